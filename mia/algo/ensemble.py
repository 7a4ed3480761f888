"""Trains several learners and lets them vote. Called through mia.algo.learner("ensemble")."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numba import njit

from mia.algo import learner
from mia.algo.checkpoint import Forgetful, Keeper
from mia.algo.evidence import (
    BLOCK_FIELDS,
    CHANGES,
    FINITE,
    MIRRORED,
    PROFIT,
    begin,
    follow,
    rule_of,
    standing_of,
    weights_of,
)
from mia.algo.experience import POSITIONS, Experience, experience
from mia.algo.policy import FLAT, TrainedPolicy
from mia.algo.progress import Progress, silent
from mia.algo.selection import Candidate, Choice, Validation, split, walk
from mia.algo.settings import EnsembleSettings, ValidationSettings
from mia.algo.vote import Policy, VotePolicy, leanings_of, targets_of, votes
from mia.broker.terms import Terms
from mia.desk.accounting import contracts_of
from mia.desk.tape import Tape
from mia.domain.errors import ArtefactMismatch, DataError
from mia.domain.rng import generator
from mia.reward.settings import RewardSettings

Array = np.ndarray

TICKS = 1000
"""Steps of the shared progress that each member's training counts as."""
_HELD = np.array(POSITIONS, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hearing:
    """How the members and their vote did on rows none of them learned from.

    Parameters
    ----------
    weights : (K,) posterior after all blocks
    trace : (B, K), before each block
    standing : of each member, one of `evidence.STANDING`
    profits : (K, B), net profit of each member in each block [cents]
    vote : (B,), that of the vote, which in each block used the weights of the blocks before [cents]
    trades : contracts the vote traded
    rows : rows of all blocks
    """

    weights: Array
    trace: Array
    standing: tuple[str, ...]
    profits: Array
    vote: Array
    trades: int
    rows: int


def train(
    tape: Tape,
    terms: Terms,
    settings: EnsembleSettings,
    seed: int,
    progress: Progress = silent,
    *,
    reward: RewardSettings | None = None,
    keeper: Keeper | None = None,
    start: Policy | None = None,
    device: str = "cpu",
) -> VotePolicy:
    """Train every member on the first rows of a training fold and weigh them on the last.

    Parameters are those of `mia.algo.learning.teach`; `start` is an ensemble whose members have the same names. The
    same seed gives the same members, whoever else there is. A member whose weights are not finite is left out.

    Raises
    ------
    DataError : if the tape is too short, its prices never move, or no member's weights are finite.
    ArtefactMismatch : if `start` is no such ensemble.
    KeyboardInterrupt : if the keeper asks a member to stop; those that were finished are kept.
    """
    keeper = keeper or Forgetful()
    ready: Any = keeper.result()
    if ready is not None:
        return ready  # type: ignore[no-any-return]
    total = TICKS * len(settings.members) + settings.evidence.blocks
    taught: dict[str, TrainedPolicy] = {}
    for at, (name, part) in enumerate(settings.members.items()):
        taught[name] = learner(part.kind)(
            tape,
            terms,
            replace(part, validation=kept_rows(part.validation, settings)),
            int(generator(seed, "algo", "ensemble", name).integers(2**31)),
            _shared(progress, name, at, total),
            reward=reward,
            keeper=keeper.part(name),
            start=_begin_with(start, name),
            device=device,
        )
    started = time.process_time()
    sound = {name: replace(policy, abstains=False) for name, policy in taught.items() if is_finite(policy)}
    if not sound:
        raise DataError(f"ensemble: the weights of {', '.join(taught)} are not finite; lower their learning rates")
    prior = np.array([settings.prior[name] for name in sound])
    prior = prior / prior.sum()
    seen = _validation(tape, terms, settings, seed)
    heard = try_out(sound, prior, seen.experience, settings)
    for b, weights in enumerate(heard.trace):
        at = TICKS * len(taught) + b
        progress(at, total, {"step": float(at), "ensemble_weights": _named(sound, weights)})
    choice = judge(seen, sound, heard, total)
    vote = VotePolicy(
        algo="ensemble",
        members=sound,
        weights=tuple(heard.weights.tolist()),
        prior=tuple(prior.tolist()),
        rule=settings.vote,
        abstains=choice.abstains,
        card={},
    )
    figures: dict[str, Any] = {
        "step": float(total),
        "profit_cents_per_bar": float(heard.vote.sum()) / heard.rows,
        "trades_per_1000_bars": 1000.0 * heard.trades / heard.rows,
        "ensemble_weights": vote.weights_by_name,
    }
    progress(total, total, {**figures, "policy": vote})
    # A member finished in an earlier process brings its time along.
    seconds = time.process_time() - started + sum(policy.card["cpu_s"] for policy in taught.values())
    vote = replace(
        vote, card=_card(settings, seed, reward, vote, taught, heard, choice, [*looks_of(taught), figures], seconds)
    )
    keeper.finish(vote)  # type: ignore[arg-type]
    return vote


def kept_rows(validation: ValidationSettings, settings: EnsembleSettings) -> ValidationSettings:
    """Return a member's validation, which keeps from its gradients exactly the rows the ensemble keeps."""
    kept = settings.evidence
    return replace(validation, share=kept.share, purge_rows=kept.purge_rows)


def is_finite(policy: TrainedPolicy) -> bool:
    """Whether all weights of a policy are numbers."""
    return all(bool(np.isfinite(array).all()) for pair in policy.layers for array in pair)


def _begin_with(start: Policy | None, name: str) -> TrainedPolicy | None:
    if start is None:
        return None
    if not isinstance(start, VotePolicy) or name not in start.members:
        raise ArtefactMismatch(f"ensemble: cannot begin member {name} with a policy of {start.algo}; name an ensemble")
    return start.members[name]


def _shared(progress: Progress, name: str, at: int, total: int) -> Progress:
    """Return what a member tells its progress to."""

    def hear(done: int, of: int, figures: Mapping[str, Any]) -> None:
        step = TICKS * at + round(TICKS * done / max(of, 1))
        progress(step, total, {**figures, "step": float(step), "member": name} if figures else {})

    return hear


def looks_of(taught: Mapping[str, TrainedPolicy]) -> list[dict[str, Any]]:
    """Return the members' looks, one after the other as they were told; of members finished earlier as well."""
    return [
        {**look, "step": float(TICKS * at + round(TICKS * look["step"] / policy.card["steps"])), "member": name}
        for at, (name, policy) in enumerate(taught.items())
        for look in policy.card.get("curve", ())
    ]


def _validation(tape: Tape, terms: Terms, settings: EnsembleSettings, seed: int) -> Validation:
    """Return the kept rows with the test to be passed on them."""
    kept = settings.evidence
    first = next(iter(settings.members.values()))
    asked = replace(kept_rows(first.validation, settings), blocks=kept.blocks, level=kept.level)
    asked = replace(asked, resamples=kept.resamples)
    _, choose_tape = split(tape, asked)
    return Validation(experience(choose_tape, terms), asked, generator(seed, "algo", "ensemble", "validation"))


def try_out(
    members: Mapping[str, TrainedPolicy], prior: Array, seen: Experience, settings: EnsembleSettings
) -> Hearing:
    """Let every member trade the kept rows on an account of its own, and their vote on another.

    Block by block, in time order: the vote of a block uses the weights of the blocks before it.
    """
    said = [targets_of(policy, seen.obs, _HELD) for policy in members.values()]
    leanings = np.stack([leanings_of(policy, seen.obs, _HELD) for policy in members.values()])
    whole = all(policy.actions == "discrete" for policy in members.values())
    edges = (np.arange(settings.evidence.blocks) * len(seen)) // settings.evidence.blocks
    evidence = np.stack([of_blocks(targets, seen, edges) for targets in said], axis=1)
    rule, known = rule_of(settings.vote), begin(prior.tolist())
    trace = follow(known, np.log(prior), rule, evidence, moved_in(seen, edges))
    per_row = np.repeat(trace, np.diff(np.append(edges, len(seen))), axis=0)
    profit, trades = walk(_actions(votes(leanings, per_row, settings.vote.voice, whole)), seen.cents, seen.held)
    return Hearing(
        weights=weights_of(known, rule),
        trace=trace,
        standing=standing_of(known, rule),
        profits=evidence[:, :, PROFIT].T.copy(),
        vote=np.add.reduceat(profit, edges),
        trades=trades,
        rows=len(seen),
    )


def of_blocks(targets: Array, seen: Experience, edges: Array) -> Array:
    """Return (B, BLOCK_FIELDS), what one member's targets (T, 3) did in blocks that begin at `edges` (B,).

    Its mirror image wishes the opposite of what it wishes at the opposite position.
    """
    profit, wished = lived(_actions(targets), seen.cents, seen.held)
    mirrored, _ = lived(_actions(-targets[:, ::-1]), seen.cents, seen.held)
    changed = np.diff(wished, prepend=wished[:1]) != 0
    out = np.empty((len(edges), BLOCK_FIELDS))
    out[:, PROFIT], out[:, MIRRORED] = np.add.reduceat(profit, edges), np.add.reduceat(mirrored, edges)
    out[:, CHANGES] = np.add.reduceat(changed.astype(np.float64), edges)
    out[:, FINITE] = np.logical_and.reduceat(np.isfinite(targets).all(axis=1), edges)
    return out


def moved_in(seen: Experience, edges: Array) -> Array:
    """Return (B,) bool, whether the price changed within each block: one contract held gained or lost."""
    moves = seen.cents[:, 2, 2] != 0
    return np.logical_or.reduceat(moves, edges)


def _actions(targets: Array) -> Array:
    return contracts_of(np.ascontiguousarray(targets), 1) + FLAT


@njit(cache=True)
def lived(actions: Array, cents: Array, held: Array) -> tuple[Array, Array]:
    """Walk tables from flat: net change of each row (T,) float64 [cents], and the action wished at it (T,).

    Parameters
    ----------
    actions : (T, 3) int64, action by position held
    cents, held : (T, 3, 3) tables of `Experience`
    """
    position = 1
    profit = np.zeros(len(actions), dtype=np.float64)
    wished = np.empty(len(actions), dtype=np.int64)
    for t in range(len(actions)):
        action = actions[t, position]
        wished[t] = action
        profit[t] = cents[t, position, action]
        position = held[t, position, action]
    return profit, wished


def judge(seen: Validation, members: Mapping[str, TrainedPolicy], heard: Hearing, total: int) -> Choice:
    """Test the vote's profit against luck, knowing that it may have followed the luckiest of its members.

    The members stand beside it as candidates of the same reality check (`Validation.choose`), though it is always
    the vote that is chosen. A vote whose members have all failed abstains.
    """
    for policy, blocks in zip(members.values(), heard.profits, strict=True):
        seen.candidates.append(Candidate(step=total, policy=policy, blocks=blocks, trades=0))
    chosen = Candidate(step=total, policy=next(iter(members.values())), blocks=heard.vote, trades=heard.trades)
    seen.candidates.append(chosen)
    chance = seen._chance(chosen)
    return Choice(candidate=chosen, chance=chance, abstains=chance > seen.settings.level or not heard.weights.any())


def _named(members: Mapping[str, Any], weights: Array) -> dict[str, float]:
    return dict(zip(members, weights.tolist(), strict=True))


def _card(
    settings: EnsembleSettings,
    seed: int,
    reward: RewardSettings | None,
    vote: VotePolicy,
    taught: Mapping[str, TrainedPolicy],
    heard: Hearing,
    choice: Choice,
    curve: list[dict[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    lost = {name: "not finite" for name in taught if name not in vote.members}
    return {
        "algo": settings.kind,
        "settings": asdict(settings),
        "reward": asdict(reward) if reward else None,
        "seed": seed,
        "curve": curve,
        "cpu_s": round(seconds, 3),
        "stopped_early": False,
        "selected_step": choice.candidate.step,
        "validation_rows": heard.rows,
        "validation_profit_cents_per_bar": float(heard.vote.sum()) / heard.rows,
        "validation_trades": heard.trades,
        "chance": choice.chance,
        "abstains": choice.abstains,
        "weights_sha256": vote.digest,
        "ensemble_weights": vote.weights_by_name | dict.fromkeys(lost, 0.0),
        "standing": dict(zip(vote.members, heard.standing, strict=True)) | lost,
        "evidence": {
            "weights": {name: heard.trace[:, k].tolist() for k, name in enumerate(vote.members)},
            "profit_cents": {name: heard.profits[k].tolist() for k, name in enumerate(vote.members)}
            | {"vote": heard.vote.tolist()},
        },
        "members": {name: dict(policy.card) for name, policy in taught.items()},
    }
