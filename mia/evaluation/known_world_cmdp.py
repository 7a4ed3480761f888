"""The market with a limit on the risk of an episode, as a tape, and its judge. Called by known_worlds."""

import numpy as np

from mia.desk.tape import Tape
from mia.domain.rng import generator
from mia.evaluation.known_world import MARKET, Judged, of_changes, targets_of, terms
from mia.source import cmdp
from mia.source.cmdp_settings import CmdpSettings

Array = np.ndarray

RESAMPLES = 2000
_TAILS = (0.025, 0.975)


class Cmdp:
    """Sessions to learn from and fresh ones to be judged on.

    Parameters
    ----------
    settings : the market and its limit
    seed : of its sessions

    Attributes
    ----------
    limit_cents : most that the mean of the worst sessions may lose with one contract [cents]
    """

    def __init__(self, settings: CmdpSettings, seed: int) -> None:
        self._settings, self._seed = settings, seed
        self._judged_on = cmdp.sessions(settings, seed, "judge")
        self.tape = tape(settings, cmdp.sessions(settings, seed, "train"))
        self.terms = terms(settings)
        self.limit_cents = limit_cents(settings)

    def judge(self, policy: Judged) -> dict[str, float]:
        """Return what a policy earns in expectation, exactly, and what its fresh sessions lose.

        `optimum`, `achieved` and `unconstrained_optimum` are profits per session [units]; `cvar` is the mean loss
        of the worst fresh sessions with its bootstrap 95 % interval, `cvar_exact` what it is in truth;
        `violation_rate` is the share of sessions that lose more than the limit, `worst` the greatest loss.
        """
        settings = self._settings
        observed = cmdp.columns(settings)
        held = cmdp.held_by(targets_of(policy, observed.reshape(-1, cmdp.COLUMNS)).reshape(*observed.shape[:2], 3))
        earned = cmdp.profits(settings, np.repeat(held[:, None, None, :], 2, axis=2))[:, 0]
        weights = np.broadcast_to(cmdp.chances(settings) / len(earned), earned.shape)
        fresh = self._judged_on
        losses = -earned[fresh.kind, fresh.crashed.astype(np.int64)]
        low, high = tail_interval(losses, settings.alpha, generator(self._seed, "cmdp", "bootstrap"))
        best, free = cmdp.solve(settings), cmdp.unconstrained(settings)
        achieved = float((earned * weights).sum())
        trades = np.abs(np.diff(held, axis=1, prepend=0, append=0)).sum(axis=1)[fresh.kind]
        equal = np.full(len(losses), 1.0 / len(losses))
        return {
            "optimum": best.reward,
            "achieved": achieved,
            "fraction": achieved / best.reward,
            "cvar": cmdp.tail_mean(losses, equal, settings.alpha),
            "cvar_low": low,
            "cvar_high": high,
            "cvar_exact": cmdp.tail_mean(-earned, weights, settings.alpha),
            "limit": settings.limit,
            "violation_rate": float(np.mean(losses > settings.limit)),
            "worst": float(losses.max()),
            "unconstrained_optimum": free.reward,
            "unconstrained_cvar": free.cvar,
            "cost": settings.cost * float(trades.mean()),
            "trades": int(trades.sum()),
            "rows": len(losses) * cmdp.ROWS,
        }

    def fresh(self) -> Tape:
        """Return the fresh sessions."""
        return tape(self._settings, self._judged_on)


def limit_cents(settings: CmdpSettings) -> int:
    """Return the limit for one contract [cents]: units x ticks a unit x cents a tick."""
    return round(settings.limit * settings.ticks_per_unit) * MARKET.tick_value_cents


def tape(settings: CmdpSettings, drawn: cmdp.Sessions) -> Tape:
    """Return sessions as a tape: each starts flat, and nothing is held in its first and its last bar."""
    count, rows = len(drawn), len(drawn) * cmdp.ROWS
    flat = np.zeros((count, cmdp.ROWS), dtype=np.bool_)
    # Closed by the last decision that fills within the session; the one after it would fill in the next.
    flat[:, cmdp.BARS :] = True
    return of_changes(
        cmdp.changes(settings, drawn).ravel(),
        cmdp.columns(settings)[drawn.kind].reshape(rows, cmdp.COLUMNS),
        session=np.repeat(np.arange(count, dtype=np.int64), cmdp.ROWS),
        must_flat=flat.ravel(),
        belief=np.full((rows, 1), 1.0),
    )


def tail_interval(losses: Array, alpha: float, rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile interval of the mean of the worst `1 - alpha` of (S,) independent losses, by bootstrap.

    Few different losses occur, so a resample is how often each was drawn.
    """
    values, counts = np.unique(losses, return_counts=True)
    drawn = rng.multinomial(len(losses), counts / len(losses), size=RESAMPLES)[:, ::-1]
    mass = np.minimum(np.cumsum(drawn, axis=1) / len(losses), 1.0 - alpha)
    means = np.diff(mass, axis=1, prepend=0.0) @ values[::-1] / (1.0 - alpha)
    low, high = np.quantile(means, _TAILS)
    return float(low), float(high)
