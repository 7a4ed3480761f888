"""Several trained policies that vote: the ensemble as env, backtest, desk and evaluation ask it. It needs no torch.

Trained by mia.algo.ensemble; its weights follow mia.algo.evidence.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numba import njit

from mia.algo.compiled_policy import squash
from mia.algo.evidence import VOICE, rule_of
from mia.algo.experience import POSITIONS
from mia.algo.policy import FLAT, TrainedPolicy
from mia.algo.settings.ensemble import VoteSettings
from mia.domain import digest
from mia.domain.errors import ArtefactMismatch

Array = np.ndarray

TOLERANCE = 1e-12
"""How far from 1 weights may sum."""
_TARGETS = np.array(POSITIONS, dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class VotePolicy:
    """Trained policies and the weight of each, with the calls of a `TrainedPolicy`.

    Every member leans to a target at the position the whole holds: its own target if it is continuous, else the mean
    of its actions by its own probabilities (a learner of values has none: the action it would take). The mean of
    these by weight is done, a contract more or less from half of one on. So a member's no-trade band is a vote to
    stay, one that is unsure moves little, and one alone turns nothing. Where every member wishes another side, long
    and short among them, the vote is flat, whatever the weights; so it is where all have failed. A member that would
    abstain on its own votes all the same: whether the evidence suffices is asked once, of the whole.

    Parameters
    ----------
    algo : name of the learner
    members : the policies by name
    weights : probability of each being the best, in the order of `members`; they sum to 1, or are all 0: all failed
    prior : the same before any evidence
    rule : how weights follow evidence and votes become one target
    abstains : whether it stays flat whatever it sees
    card : how it came about: JSON-able

    Raises
    ------
    ArtefactMismatch : if members, weights and prior do not fit together.
    """

    algo: str
    members: Mapping[str, TrainedPolicy]
    weights: tuple[float, ...]
    prior: tuple[float, ...]
    rule: VoteSettings
    abstains: bool
    card: Mapping[str, Any] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.members or len({policy.width for policy in self.members.values()}) != 1:
            widths = {name: policy.width for name, policy in self.members.items()}
            raise ArtefactMismatch(f"vote: members must read the same observation, read {widths}; train again")
        for what, values in (("weights", self.weights), ("prior", self.prior)):
            self._check(what, values)
        if min(self.prior) <= 0:
            raise ArtefactMismatch(f"vote: prior must be positive, was {self.prior}; train again")
        object.__setattr__(self, "_weights", np.array([self.weights]))
        object.__setattr__(self, "_voice", float(rule_of(self.rule)[VOICE]))

    def _check(self, what: str, values: tuple[float, ...]) -> None:
        whole = all(0.0 <= value <= 1.0 for value in values) and abs(sum(values) - 1.0) <= TOLERANCE
        failed = what == "weights" and not any(values)
        if len(values) != len(self.members) or not (whole or failed):
            raise ArtefactMismatch(
                f"vote: {what} of {len(self.members)} members must be as many probabilities that sum to 1, "
                f"were {values}; train again"
            )

    @property
    def width(self) -> int:
        """Width Dm of the market part its members read."""
        return next(iter(self.members.values())).width

    @property
    def n_quantiles(self) -> int:
        """A vote knows no quantiles."""
        return 0

    @property
    def value_cents(self) -> float:
        """What one unit of its members' value is worth [cents]."""
        return next(iter(self.members.values())).value_cents

    @property
    def risk_level(self) -> float:
        """A vote decides by what its members lean to, whatever they fear."""
        return 1.0

    @property
    def actions(self) -> str:
        """Continuous if a member's are, else discrete."""
        kinds = {policy.actions for policy in self.members.values()}
        return "continuous" if "continuous" in kinds else "discrete"

    @property
    def digest(self) -> str:
        """SHA-256 of the members' weights and of their own."""
        parts = [[name, policy.digest] for name, policy in self.members.items()]
        return digest.of_json([parts, list(self.weights), list(self.prior), asdict(self.rule)])

    @property
    def weights_by_name(self) -> dict[str, float]:
        """The weights by member, as the performance logger and dashboards want them."""
        return dict(zip(self.members, self.weights, strict=True))

    def to_state(self) -> dict[str, Any]:
        """Return all fields, the members' arrays as they are.

        Weights and prior are in the order of `names`, for a file may sort the members.
        """
        return {
            "algo": self.algo,
            "names": list(self.members),
            "members": {name: policy.to_state() for name, policy in self.members.items()},
            "weights": list(self.weights),
            "prior": list(self.prior),
            "rule": asdict(self.rule),
            "abstains": self.abstains,
            "card": dict(self.card),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "VotePolicy":
        """Build what `to_state` gave; the errors of the constructor, KeyError and TypeError if it is something else."""
        if sorted(state["names"]) != sorted(state["members"]):
            raise ArtefactMismatch(f"vote: names {state['names']} are not those of its members; train again")
        members = {name: TrainedPolicy.from_state(state["members"][name]) for name in state["names"]}
        fields = {name: value for name, value in state.items() if name != "names"}
        tuples = {name: tuple(float(value) for value in state[name]) for name in ("weights", "prior")}
        return cls(**{**fields, **tuples, "members": members, "rule": VoteSettings(**state["rule"])})

    def table(self, obs: Array, positions: Array) -> Array:
        """Return (T, P) float64 wished targets in [-1, 1] for every row of obs (T, Dm) at every position held (P,).

        Bit-equal to `decide` of each row and position. Whole where all members are discrete.
        """
        check_width(self, obs)
        if self.abstains:
            return np.zeros((len(obs), len(positions)))
        return votes(
            self.leanings(obs, positions),
            self._weights,  # type: ignore[attr-defined]
            self._voice,  # type: ignore[attr-defined]
            self.actions == "discrete",
        )

    def leanings(self, obs: Array, positions: Array) -> Array:
        """Return (K, T, P) float64, what each member leans to; NaN where what it computes is not finite."""
        check_width(self, obs)
        return np.stack([leanings_of(policy, obs, positions) for policy in self.members.values()])

    def decide(self, obs: Array, position: float) -> float:
        """Return the wished target in [-1, 1] for one row (Dm,) and the position held as a share of the limit."""
        return float(self.table(obs[None, :], np.array([position], dtype=np.float32))[0, 0])

    def predict(
        self,
        obs: Array,
        state: Any = None,
        episode_start: Any = None,  # noqa: ARG002 - part of the library's signature
        deterministic: bool = True,  # noqa: ARG002
    ) -> tuple[Array, Any]:
        """Return actions as Stable-Baselines3's `predict` does: 0 short, 1 flat, 2 long, or a target (n, 1).

        Parameters are those of `TrainedPolicy.predict`.
        """
        rows = np.atleast_2d(np.asarray(obs, dtype=np.float32))
        targets = np.array([self.decide(row[:-1], row[-1]) for row in rows])
        if self.actions == "continuous":
            actions = targets.astype(np.float32)[:, None]
            return (actions if np.ndim(obs) > 1 else actions[0]), state
        discrete = targets.astype(np.int64) + FLAT
        return (discrete if np.ndim(obs) > 1 else discrete.reshape(())), state


Policy = TrainedPolicy | VotePolicy
"""What learners return and bundles hold."""


def policy_of_state(state: Mapping[str, Any]) -> Policy:
    """Build what `to_state` of either kind of policy gave."""
    return VotePolicy.from_state(state) if "members" in state else TrainedPolicy.from_state(state)


def check_width(policy: Policy, obs: Array) -> None:
    """Refuse an observation (T, Dm) of another width than the policy reads."""
    if obs.ndim != 2 or obs.shape[1] != policy.width:
        raise ArtefactMismatch(
            f"policy {policy.algo} reads {policy.width} columns, was given {obs.shape}; "
            "use the observation it was trained on"
        )


def targets_of(policy: TrainedPolicy, obs: Array, positions: Array) -> Array:
    """Return (T, P) float64, what a policy wishes though it abstained; NaN where a number it decides by is none.

    A choice of the largest score would hide a NaN, and a rectifier swallows one in the observation.
    """
    values = policy.values(obs, positions)
    targets = squash(values) if policy.actions == "continuous" else _TARGETS[values.argmax(axis=2)]
    return np.where(_finite(values, obs), targets, np.nan)


def leanings_of(policy: TrainedPolicy, obs: Array, positions: Array) -> Array:
    """Return (T, P) float64, what a policy leans to (`VotePolicy`); NaN where `targets_of` is."""
    if policy.actions == "continuous" or policy.n_quantiles:
        return targets_of(policy, obs, positions)
    values = policy.values(obs, positions)
    return np.where(_finite(values, obs), _means(values), np.nan)


def _finite(values: Array, obs: Array) -> Array:
    """(T, P) bool, whether all scores (T, P, A) and the row's observation (T, Dm) are numbers."""
    found: Array = np.isfinite(values).all(axis=2) & np.isfinite(obs).all(axis=1)[:, None]
    return found


@njit(cache=True)
def _means(scores: Array) -> Array:
    """(T, P) mean of short, flat and long by the softmax of scores (T, P, 3)."""
    out = np.empty(scores.shape[:2])
    for t in range(scores.shape[0]):
        for p in range(scores.shape[1]):
            short, flat, long = np.float64(scores[t, p, 0]), np.float64(scores[t, p, 1]), np.float64(scores[t, p, 2])
            best = max(short, max(flat, long))
            short, flat, long = math.exp(short - best), math.exp(flat - best), math.exp(long - best)
            out[t, p] = (long - short) / (short + flat + long)
    return out


@njit(cache=True)
def side_of(leaning: float) -> int:
    """Return the side a leaning means: a contract more or less is rounded at half of one."""
    return 1 if leaning > 0.5 else (-1 if leaning < -0.5 else 0)


@njit(cache=True)
def _all_disagree(leanings: Array, weights: Array, voice: float) -> bool:
    """Whether every member heard wishes another side, with long and short among them."""
    short = flat = long = 0
    for k in range(len(leanings)):
        if weights[k] > 0.0 and weights[k] >= voice and not np.isnan(leanings[k]):
            side = side_of(leanings[k])
            short += side < 0
            flat += side == 0
            long += side > 0
    return short == 1 and long == 1 and flat <= 1


@njit(cache=True)
def vote(leanings: Array, weights: Array, voice: float, whole: bool) -> float:
    """Return the target of K members: the mean of what they lean to, by weight.

    Parameters
    ----------
    leanings : (K,) in [-1, 1]; NaN: that member is not heard
    weights : (K,) at least 0; without any the vote is flat
    voice : least weight that counts in a disagreement of all
    whole : whether the target is one of short, flat and long
    """
    total = mean = 0.0
    for k in range(len(leanings)):
        if weights[k] > 0.0 and not np.isnan(leanings[k]):
            total += weights[k]
            mean += weights[k] * leanings[k]
    if total <= 0.0 or _all_disagree(leanings, weights, voice):
        return 0.0
    mean = min(1.0, max(-1.0, mean / total))
    return float(side_of(mean)) if whole else mean


@njit(cache=True)
def votes(leanings: Array, weights: Array, voice: float, whole: bool) -> Array:
    """Return (T, P), `vote` at every row and position.

    Parameters
    ----------
    leanings : (K, T, P)
    weights : (T, K), or (1, K): the same at every row
    """
    members, rows, positions = leanings.shape
    out = np.empty((rows, positions))
    heard = np.empty(members)
    for t in range(rows):
        weight = weights[t if len(weights) > 1 else 0]
        for p in range(positions):
            for k in range(members):
                heard[k] = leanings[k, t, p]
            out[t, p] = vote(heard, weight, voice, whole)
    return out
