"""The markets whose best policy is known, by the kind of their source. Called by task=known_world."""

from typing import Any, Protocol

from mia.broker.terms import Terms
from mia.desk.tape import Tape
from mia.evaluation.known_world import Judged

KINDS = ("yardstick", "null_market", "yardstick_hidden", "regime_market", "cmdp")


class KnownWorld(Protocol):
    """A market to learn on, and its judge.

    Attributes
    ----------
    tape : rows to learn from
    terms : what a tick is worth and a side costs there
    """

    tape: Tape
    terms: Terms

    def judge(self, policy: Judged) -> dict[str, float]:
        """Return how a policy did on fresh rows: `optimum`, `achieved`, `fraction`, `trades`, `rows` and more."""
        ...

    def fresh(self) -> Tape:
        """Return the rows `judge` judges on, laid out as `tape` is."""
        ...


def opened(source: Any, seed: int, *, features: Any, regime: Any, memory: Any) -> KnownWorld:
    """Draw a world's rows and make them ready to learn from.

    Parameters
    ----------
    source : settings of a source whose kind is one of `KINDS`
    seed : of everything drawn
    features, regime, memory : settings of those rooms, for the worlds that are seen through them
    """
    # Each world's rooms are imported only for it: the yardstick needs neither features nor a regime model.
    if source.kind == "yardstick_hidden":
        from mia.evaluation.known_world_hidden import HiddenYardstick, Rooms

        return HiddenYardstick(source, Rooms(features=features, regime=regime, memory=memory), seed)
    if source.kind == "regime_market":
        from mia.evaluation.known_world_regime import RegimeMarket

        return RegimeMarket(source, regime, seed)
    if source.kind == "cmdp":
        from mia.evaluation.known_world_cmdp import Cmdp

        return Cmdp(source, seed)
    from mia.evaluation.known_world import NullMarket, Yardstick

    return {"yardstick": Yardstick, "null_market": NullMarket}[source.kind](source, seed)
