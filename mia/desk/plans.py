"""The three plans of a feature set: what the market tells, what models make of it, what the policy said before."""

from collections.abc import Sequence
from dataclasses import dataclass

from mia.domain import digest
from mia.domain.market import Market
from mia.domain.series import SERIES_SETS
from mia.features.catalogue import FeatureSpec
from mia.features.plan import Plan, compile_plan, split


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plans:
    """Plans walked one after the other; together their published columns are the feature table.

    Parameters
    ----------
    parts : the plans that have a line, in the order of `SERIES_SETS`; the market's is the first
    specs : the published specs in the order they are declared in
    """

    parts: tuple[Plan, ...]
    specs: tuple[FeatureSpec, ...]

    @property
    def market(self) -> Plan:
        """The plan that reads market rows."""
        return self.parts[0]

    @property
    def names(self) -> tuple[str, ...]:
        """(F,) published columns in the order of the view: market, model, self."""
        return tuple(name for plan in self.parts for name in plan.names)

    @property
    def view_specs(self) -> tuple[FeatureSpec, ...]:
        """(F,) specs in the order of `names`."""
        return tuple(spec for plan in self.parts for spec in plan.specs)

    def part(self, name: str) -> Plan | None:
        """The plan of a series set by name, None if no line reads it."""
        return next((plan for plan in self.parts if plan.series.name == name), None)

    def owner(self, feature: str) -> Plan:
        """The plan that computes a published column."""
        return next(plan for plan in self.parts if feature in plan.names)

    def sources(self, feature: str) -> tuple[str, ...]:
        """Source groups a published column needs."""
        return self.owner(feature).sources(feature)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what is computed."""
        return digest.of_json([plan.fingerprint for plan in self.parts])


def compile_plans(specs: Sequence[FeatureSpec], market: Market, *, bar_minutes: float, session_minutes: float) -> Plans:
    """Sort the lines into their plans and compile each.

    Raises
    ------
    ConfigurationError : as `compile_plan`, or if a line reads two sets of series.
    """
    sorted_specs = split(specs)
    parts = [
        compile_plan(
            sorted_specs[series.name], market, bar_minutes=bar_minutes, session_minutes=session_minutes, series=series
        )
        for series in SERIES_SETS
        if sorted_specs[series.name] or series is SERIES_SETS[0]
    ]
    return Plans(parts=tuple(parts), specs=tuple(spec for spec in specs if spec.published))
