"""A policy that goes on learning while it trades: a challenger learns, the champion trades, the better one stays."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mia.algo.adaptation import Adapted, Rows, adapt
from mia.algo.policy import TrainedPolicy
from mia.desk.backtest import Track, run_policy
from mia.desk.tape import Tape
from mia.domain.rng import generator
from mia.evaluation import adaptation_page, paired
from mia.evaluation.figures import equity
from mia.evaluation.performance import daily_net_usd, joined, outcome
from mia.evaluation.shadow import PROMOTED, RETREATED, Contest, Window, awake, one_track, window_deviation, windows
from mia.task import adapting, train
from mia.task.adapting import Base, Work
from mia.task.online_settings import OnlineSettings
from mia.task.settings import RunSettings
from mia.task.watch import Watch

Array = np.ndarray

JOURNAL = "swaps.jsonl"
LOOKS = 50
"""Lines a fold adds to the performance file at most."""


@dataclass(slots=True, kw_only=True)
class Walk:
    """How far the walk of one fold's test rows is.

    Parameters
    ----------
    contest : who trades
    tape : from the first bar to the end of the test
    spans : its windows
    done : windows traded
    updates : gradient steps so far
    rows : figures of each window
    pieces : tracks of the live account
    """

    contest: Contest
    tape: Tape
    spans: list[slice]
    done: int = 0
    updates: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    pieces: list[Track] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Return everything that decides what is to come, and what was."""
        arrays = ("equity_cents", "gross_cents", "cost_cents", "position", "flags", "account")
        tracks = [{name: getattr(piece, name) for name in arrays} for piece in self.pieces]
        return {
            "contest": self.contest.state(),
            "done": self.done,
            "updates": self.updates,
            "rows": self.rows,
            "pieces": tracks,
        }

    def restore(self, state: Any, side_cost_cents: int) -> None:
        """Be where `state` was taken."""
        self.contest.restore(state["contest"], TrainedPolicy.from_state)
        self.done, self.updates, self.rows = int(state["done"]), int(state["updates"]), list(state["rows"])
        for span, arrays in zip(self.spans, state["pieces"], strict=False):
            part = self.tape.slice(span.start, span.stop)
            fixed = {"market": part.market.name, "ts": part.ts, "session": part.session}
            prices = {"open_ticks": part.open, "close_ticks": part.close}
            self.pieces.append(Track(**fixed, **prices, **arrays, side_cost_cents=side_cost_cents, closed_at_end=False))


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Train every fold's champion, let it learn along its test rows, and judge it beside itself standing still."""
    with adapting.begun(settings, plain, directory, watch) as work:
        live, still, rows, weights, events = [], [], [], [], []
        for base in adapting.bases(work):
            walk = walked(work, base)
            live.append(outcome(one_track(walk.pieces, base.headline)))
            still.append(outcome(run_policy(base.test, base.policy, base.headline, base.bounds)))
            rows += walk.rows
            events += [event for row in walk.rows for event in row["events"]]
            weights += [policy.digest for policy in walk.contest.champions]
            train.bundle_of(settings, work.made, base.taught, walk.contest.champion, directory / "bundle")
        _judge(work, live, still, rows, events, weights)


def walked(work: Work, base: Base) -> Walk:
    """Walk one fold's test rows, from where an interruption left it."""
    online: OnlineSettings = work.settings.online
    span = base.taught.state.fold.test
    walk = Walk(
        contest=Contest(
            base.policy,
            base.headline,
            base.bounds,
            online.shadow,
            window_deviation(base.learn, base.headline, online.window_bars),
        ),
        tape=base.taught.tape,
        spans=windows(span.start, span.stop, online.window_bars),
    )
    state = base.keeper.load()
    if state is not None:
        walk.restore(state, base.headline.side_cost_cents)
        journal(work.directory, [event for row in walk.rows for event in row["events"]])
    every = max(1, len(walk.spans) // LOOKS)
    with work.watch.step(f"fold {base.index + 1}: learn while trading", len(walk.spans)) as step:
        while walk.done < len(walk.spans):
            stopping = base.keeper.is_stopping()
            if stopping or base.keeper.is_due():
                base.keeper.save(walk.state())
            if stopping:
                raise KeyboardInterrupt
            adapted = improve(work.settings, base, walk)
            window = trade(walk, adapted, base)
            journal(work.directory, walk.rows[-1]["events"])
            step(walk.done, len(walk.spans))
            if walk.done % every == 0 or walk.done == len(walk.spans):
                base.log.log(base.steps + walk.updates, _told(walk, adapted, window))
        base.keeper.save(walk.state())
    return walk


def improve(settings: RunSettings, base: Base, walk: Walk) -> Adapted:
    """Let the challenger learn from the newest rows before its next window."""
    online: OnlineSettings = settings.online
    stop = walk.spans[walk.done].start
    start = max(base.taught.state.fold.train.start, stop - online.memory_windows * online.window_bars)
    rows = Rows.of(walk.tape.slice(start, stop), base.terms, base.experience)
    seed = int(generator(settings.seed, "online", str(base.index), str(walk.done)).integers(2**31))
    champion = awake(walk.contest.champion)
    return adapt(
        walk.contest.challenger,
        rows,
        settings.algo,
        online.step,
        seed,
        reference=champion,
        device=settings.device,
    )


def trade(walk: Walk, adapted: Adapted, base: Base) -> Window:
    """Trade the next window and note what happened."""
    span = walk.spans[walk.done]
    window = walk.contest.trade(walk.tape.slice(span.start, span.stop), adapted.policy)
    walk.updates += adapted.updates
    walk.pieces.append(window.track)
    events = [{"fold": base.index, **event} for event in window.events]
    walk.rows.append(
        {
            "fold": base.index,
            "window": walk.done,
            "live": window.live,
            "challenger": window.challenger,
            "former": window.former,
            "promote_evidence": window.promote_evidence,
            "retreat_evidence": window.retreat_evidence,
            "kl": adapted.kl,
            "loss": adapted.losses[-1],
            "events": events,
        }
    )
    walk.done += 1
    return window


def journal(directory: Path, events: list[dict[str, Any]]) -> None:
    """Write what changed for good before the next window is traded: one JSON line each."""
    if not events:
        return
    with (directory / JOURNAL).open("a", encoding="utf-8") as file:
        for event in events:
            file.write(json.dumps(event, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _told(walk: Walk, adapted: Adapted, window: Window) -> dict[str, Any]:
    return {
        "finetune_loss": adapted.losses[-1],
        "online_learning_steps": walk.updates,
        "kl": adapted.kl,
        "live_cents_per_window": window.live,
        "challenger_cents_per_window": window.challenger,
        "promote_evidence": window.promote_evidence,
        "retreat_evidence": window.retreat_evidence,
        "policy": walk.contest.champion,
    }


def _judge(
    work: Work, live: list[Any], still: list[Any], rows: list[dict[str, Any]], events: list[Any], weights: list[str]
) -> None:
    """Compare the account that learned with the one that stood still, and leave both behind."""
    judge, bars = work.settings.evaluation, work.settings.online.window_bars
    ours, others = (
        np.concatenate([paired.pieces(part.equity_cents, bars) for part in parts]) for parts in (live, still)
    )
    rng = generator(work.settings.seed, "online", "bootstrap")
    raw = paired.lead(ours, others, rng, judge.bootstrap_samples, judge.confidence)
    lead = adapting.usd(raw)
    whole, standing = joined(live), joined(still)
    count = {what: sum(event["event"] == what for event in events) for what in (PROMOTED, RETREATED)}
    verdict = (
        f"Learning while trading earned {adapting.sentence_of(lead)}: {count[PROMOTED]} promotions, "
        f"{count[RETREATED]} retreats in {len(rows)} windows."
    )
    oos = adapting.figures(work, live, "policy")
    found = {
        **lead,
        "at_least_base": raw["difference"] >= -2 * raw["error"],
        "net_usd": oos["net_usd"],
        "base_net_usd": float(standing.equity_cents[-1]) / 100,
        "windows": len(rows),
        "promotions": count[PROMOTED],
        "retreats": count[RETREATED],
        "events": events,
        "champions": weights,
    }
    shadow = work.settings.online.shadow
    evidence = {what: np.array([row[what] for row in rows]) for what in ("promote_evidence", "retreat_evidence")}
    levels = {
        "first promotion": 2 / shadow.promote_alpha,
        "retreat": 1 / shadow.retreat_alpha,
    }
    lines = {"learning": whole.equity_cents, "standing still": standing.equity_cents}
    content = adaptation_page.Content(
        what="online learning",
        title=f"{work.settings.market.name} · {work.settings.algo.name}",
        facts=adapting.facts(work),
        verdict=verdict,
        tone=paired.tone(raw),
        warnings=adapting.warnings(work),
        drawn={"equity": equity(whole.ts, lines, "learning"), "evidence": adaptation_page.evidence(evidence, levels)},
        captions={
            "equity": ("Net profit on test rows", "the account that learned, and its base without learning"),
            "evidence": ("Sequential tests", "wealth of a bet on the challenger, and on the predecessor"),
        },
        tables={"Changes": [{k: v for k, v in event.items() if k != "ts"} for event in _alike(events)]},
    )
    adapting.finish(work, found, oos, daily_net_usd(whole), weights, content)


def _alike(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events with the same keys."""
    return [{**event, "reason": event.get("reason", "did better than the champion")} for event in events]
