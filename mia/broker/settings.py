"""How kind simulated fills are; conf/broker/sim.yaml makes these. Read by the sim terms and by the report."""

from dataclasses import dataclass
from itertools import pairwise

from mia.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class FillModel:
    """What one fill costs beyond the next bar's open.

    Parameters
    ----------
    name : name of the model, as it appears in reports
    concession_half_ticks : price given away per side [half ticks], >= 0; 1 is half of a one-tick spread
    commission_factor : multiple of the market's commission that is charged, >= 0

    Raises
    ------
    ConfigurationError : if a cost is negative or not finite.
    """

    name: str
    concession_half_ticks: int
    commission_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.concession_half_ticks < 0:
            raise ConfigurationError(
                f"fill model {self.name}: concession_half_ticks must not be negative, "
                f"was {self.concession_half_ticks}; use 0 for fills at the open"
            )
        if not 0 <= self.commission_factor < float("inf"):
            raise ConfigurationError(
                f"fill model {self.name}: commission_factor must be finite and not negative, "
                f"was {self.commission_factor:g}; use 1 for the market's commission"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """The simulated broker: three fill models and which of them training and the headline use.

    Parameters
    ----------
    name : option name
    headline : fill model of the headline figures
    train : fill model the learners train with
    optimistic, central, pessimistic : the three models every report shows side by side

    Raises
    ------
    ConfigurationError : if a name is unknown, or the models are not ordered from kind to unkind.
    """

    name: str
    headline: str
    train: str
    optimistic: FillModel
    central: FillModel
    pessimistic: FillModel

    def __post_init__(self) -> None:
        for field, model in (
            ("optimistic", self.optimistic),
            ("central", self.central),
            ("pessimistic", self.pessimistic),
        ):
            if model.name != field:
                raise ConfigurationError(
                    f"broker {self.name}: fill model {field} is named {model.name!r}; name it as its key"
                )
        costs = [(model.concession_half_ticks, model.commission_factor) for model in self.models]
        if any(a > b for kind, unkind in pairwise(costs) for a, b in zip(kind, unkind, strict=True)):
            raise ConfigurationError(
                f"broker {self.name}: fill models must not get cheaper from optimistic to pessimistic, "
                f"were {costs}; raise the later ones"
            )
        for field in ("headline", "train"):
            self.model(getattr(self, field))

    @property
    def models(self) -> tuple[FillModel, ...]:
        """The fill models from kind to unkind."""
        return (self.optimistic, self.central, self.pessimistic)

    def model(self, name: str) -> FillModel:
        """Return the fill model called `name`; ConfigurationError if there is none."""
        for model in self.models:
            if model.name == name:
                return model
        known = ", ".join(model.name for model in self.models)
        raise ConfigurationError(f"broker {self.name}: unknown fill model {name!r}; choose one of {known}")
