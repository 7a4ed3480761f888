"""What a decision is paid: it fills at the next bar's open or worse, and only what follows can earn."""

import numpy as np

from mia.evaluation.audit.finding import Finding, Offence, judged

Array = np.ndarray


def expected_cents(
    open_: Array, close: Array, held: Array, target: Array, tick_value_cents: int, side_cost_cents: int
) -> Array:
    """(T - 1, P, A) what each decision must bring, written out from the definition and nothing else.

    What was held earns from the close of the decision to the next open, what is wanted from there to its close;
    the difference pays one side's cost for every contract. All whole numbers: prices in ticks, money in cents.

    Parameters
    ----------
    open_, close : (T,) int64 prices [ticks]
    held : (P,) positions before the decision [contracts]
    target : (T, P, A) positions after it, as the rules allowed [contracts]
    """
    before = held[None, :, None]
    after = target[:-1]
    gap = (open_[1:] - close[:-1])[:, None, None]
    bar = (close[1:] - open_[1:])[:, None, None]
    return tick_value_cents * (before * gap + after * bar) - side_cost_cents * np.abs(after - before)


def finding(
    paid: Array, held: Array, target: Array, open_: Array, close: Array, tick_value_cents: int, side_cost_cents: int
) -> Finding:
    """Compare what was paid (T, P, A) with what may be, to the cent; costs must not be negative."""
    wanted = expected_cents(open_, close, held, target, tick_value_cents, side_cost_cents)
    bad = (paid[:-1] != wanted).any(axis=(1, 2))
    offences = []
    if bad.any():
        row = int(bad.argmax())
        offences.append(
            Offence(
                column="reward",
                row=row,
                detail=f"{int(bad.sum())} decisions are paid otherwise than a fill at the next open",
            )
        )
    if side_cost_cents < 0:
        offences.append(Offence(column="cost", detail=f"a side costs {side_cost_cents} cents: better than the open"))
    return judged(
        "reward",
        "fill price",
        offences,
        columns=paid.shape[1] * paid.shape[2],
        rows=len(bad),
    )
