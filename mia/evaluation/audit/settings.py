"""Settings of the leak audit; conf/audit/default.yaml makes one. Cheap to import."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError

_COUNTS = ("cuts", "poison_rows", "file_cuts", "rolls", "delay_rows", "shuffles", "late_starts", "shown")
_POSITIVE = ("delay_ic", "delay_t", "warm_up_tolerance", "shuffle_errors", "shuffle_ic")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """How thoroughly the audit looks.

    Parameters
    ----------
    name : option name
    sessions : so many of the first sessions are audited [count]; 0: all
    seed : of cuts, poisons and shuffles
    cuts : random cuts, beside those at every gap, roll, session edge and fit [count]
    poison_rows : rows after a cut that are spoilt and walked [bars]
    file_cuts : random cuts of the user's own files [count], beside those at rolls
    rolls : at most so many rolls of the files, the newest, are cut at [count]
    refit : everything is fitted again with its future spoilt
    effort : share of the algorithm's training steps of the policy that is trained for this
    delay_ic, delay_t : rank correlation with the next bar's return, and its t, from which a column is looked at
    delay_fall : share of it that one bar's delay must leave intact, or it is called a leak
    delay_rows : pairs needed [bars]
    late_starts : beginnings dropped in the warm-up sweep [count]
    warm_up_tolerance : relative difference at which a column counts as settled
    shuffles : runs on shuffled sessions [count]
    shuffle_errors : standard errors of chance a skill may lie above it
    shuffle_ic : rank correlation below which no skill is worth an alarm
    shown : rows a table shows at most [count]
    plant : a leak planted on purpose, to see the audit find it; "none" for none
    """

    name: str
    sessions: int
    seed: int
    cuts: int
    poison_rows: int
    file_cuts: int
    rolls: int
    refit: bool
    effort: float
    delay_ic: float
    delay_t: float
    delay_fall: float
    delay_rows: int
    late_starts: int
    warm_up_tolerance: float
    shuffles: int
    shuffle_errors: float
    shuffle_ic: float
    shown: int
    plant: str

    def __post_init__(self) -> None:
        for key in ("sessions", "seed", *_COUNTS):
            if getattr(self, key) < 0:
                raise ConfigurationError(f"audit.{key} must not be negative, was {getattr(self, key)}")
        for key in _POSITIVE:
            if not 0 < getattr(self, key) < float("inf"):
                raise ConfigurationError(f"audit.{key} must be positive, was {getattr(self, key):g}")
        for key in ("effort", "delay_fall"):
            if not 0 < getattr(self, key) <= 1:
                raise ConfigurationError(f"audit.{key} must lie in (0, 1], was {getattr(self, key):g}")
        if self.cuts < 1 or self.poison_rows < 1:
            raise ConfigurationError(
                f"audit: cuts and poison_rows must be at least 1, were {self.cuts} and {self.poison_rows}"
            )
