"""Settings of the ensemble; conf/algo/ensemble*.yaml makes one."""

import re
from dataclasses import dataclass
from typing import Any

from mia.algo.settings.checks import check_kind, refuse
from mia.domain.errors import ConfigurationError

MOST_MEMBERS = 16
PLAIN = re.compile(r"^[a-z][a-z0-9_]{0,40}$")


def _check(settings: object, what: str, bounds: dict[str, tuple[float, float]]) -> None:
    for field, (low, high) in bounds.items():
        value = getattr(settings, field)
        if not low <= value <= high:
            raise ConfigurationError(
                f"algo ensemble: {what}.{field} must lie between {low:g} and {high:g}, was {value!r}; "
                "correct it in conf/algo"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteSettings:
    """How evidence moves the members' weights, and how their targets become one.

    Parameters
    ----------
    forgetting : share of the log-odds against the prior that stays from block to block, in (0, 1]; 1 forgets nothing
    edge : how much more than the average the best member is supposed to earn in a block [standard deviations of a
        member's excess over the average]
    clip : largest excess of a block that counts [standard deviations]
    doubt : a member is inverted if it loses and its mirror image earns by more than this [standard errors]
    least_blocks : blocks before that is asked, counted with forgetting
    patience : a member whose target did not change in so many blocks in which the market did is out until it does
    voice : least weight with which a member's disagreement can make the vote flat
    """

    forgetting: float
    edge: float
    clip: float
    doubt: float
    least_blocks: float
    patience: int
    voice: float

    def __post_init__(self) -> None:
        bounds = {
            "forgetting": (0.5, 1),
            "edge": (0, 5),
            "clip": (0.1, 100),
            "doubt": (0.5, 10),
            "least_blocks": (2, 1000),
            "patience": (1, 10_000),
            "voice": (0, 1),
        }
        _check(self, "vote", bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSettings:
    """The rows on which the members are compared and the whole is tested; no member's gradients see them.

    Parameters
    ----------
    share : last share of the training rows; every member keeps it from its gradients
    purge_rows : rows left out before them [bars]
    blocks : pieces of them, each one piece of evidence
    level : largest probability that luck explains the vote's profit; above it the ensemble abstains
    resamples : resamples behind that probability
    """

    share: float
    purge_rows: int
    blocks: int
    level: float
    resamples: int

    def __post_init__(self) -> None:
        bounds = {
            "share": (0.05, 0.5),
            "purge_rows": (0, 1_000_000),
            "blocks": (10, 10_000),
            "level": (0, 1),
            "resamples": (100, 1_000_000),
        }
        _check(self, "evidence", bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleSettings:
    """Several learners and a Bayesian vote.

    Parameters
    ----------
    name : option name
    kind : which learner this is; "ensemble"
    members : settings of each member's learner, by the member's name
    prior : probability of each member being the best before any evidence; they sum to 1
    vote : how weights follow evidence
    evidence : where evidence comes from

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    kind: str
    members: dict[str, Any]
    prior: dict[str, float]
    vote: VoteSettings
    evidence: EvidenceSettings

    def __post_init__(self) -> None:
        check_kind(self, "ensemble")
        if not 1 <= len(self.members) <= MOST_MEMBERS:
            refuse(self, "members", f"name 1 to {MOST_MEMBERS} learners")
        for member, settings in self.members.items():
            if not PLAIN.match(member):
                raise ConfigurationError(
                    f"algo {self.name}: member {member!r} must be called by a plain lower-case word"
                )
            if getattr(settings, "kind", "ensemble") == "ensemble":
                raise ConfigurationError(
                    f"algo {self.name}: member {member} must be a single learner, was {settings!r}; "
                    "write `- /algo@members.NAME: OPTION` in its defaults"
                )
        if set(self.prior) != set(self.members):
            refuse(self, "prior", f"name each of {', '.join(self.members)}")
        if min(self.prior.values()) <= 0 or abs(sum(self.prior.values()) - 1.0) > 1e-9:
            refuse(self, "prior", "be positive probabilities that sum to 1")
