"""What the learners' settings share: refusals in one line, bounds, and how a checkpoint is chosen."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError


def refuse(settings: object, field: str, needed: str) -> None:
    """Raise ConfigurationError naming the option, the field, its value and what it must do."""
    name = getattr(settings, "name", type(settings).__name__.removesuffix("Settings").lower())
    raise ConfigurationError(
        f"algo {name}: {field} must {needed}, was {getattr(settings, field)!r}; correct it in conf/algo"
    )


def check(settings: object, bounds: dict[str, tuple[float, float]]) -> None:
    """Refuse the first field that lies outside its bounds."""
    for field, (low, high) in bounds.items():
        if not low <= getattr(settings, field) <= high:
            refuse(settings, field, f"lie between {low:g} and {high:g}")


def check_kind(settings: object, kind: str) -> None:
    """Refuse settings that name another learner."""
    if settings.kind != kind:  # type: ignore[attr-defined]
        refuse(settings, "kind", f"be {kind}")


def check_network(settings: object) -> None:
    """Refuse a network without hidden layers or with absurd ones."""
    network = settings.network  # type: ignore[attr-defined]
    if not network or min(network) < 1 or max(network) > 4096:
        refuse(settings, "network", "name hidden widths between 1 and 4096")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSettings:
    """How a checkpoint is chosen, and whether it may trade at all, on the last rows of the training fold.

    Parameters
    ----------
    share : last share of the training rows that no gradient ever sees
    purge_rows : rows left out between the two parts [bars]
    first_look : share of training after which the learner is looked at for the first time, in [0, 1)
    checkpoints : how often it is looked at, the last time after the last step
    patience : end training after so many checkpoints without a new best; at least `checkpoints`: never
    margin : an earlier checkpoint is preferred to the last only if it is better by so many standard errors
    level : largest probability that luck explains the chosen profit; above it the policy abstains
    blocks : pieces of the validation rows whose profits are resampled [count]
    resamples : resamples behind that probability [count]

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    share: float
    purge_rows: int
    first_look: float
    checkpoints: int
    patience: int
    margin: float
    level: float
    blocks: int
    resamples: int

    def __post_init__(self) -> None:
        bounds = {
            "share": (0.05, 0.5),
            "purge_rows": (0, 1_000_000),
            "first_look": (0, 0.999),
            "checkpoints": (1, 1000),
            "patience": (1, 1000),
            "margin": (0, 10),
            "level": (0, 1),
            "blocks": (10, 10_000),
            "resamples": (100, 1_000_000),
        }
        check(self, bounds)
