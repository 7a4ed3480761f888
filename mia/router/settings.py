"""Settings of the router; conf/router/<option>.yaml makes one."""

from dataclasses import dataclass
from typing import Any

from mia.domain.errors import ConfigurationError

SOURCES = ("lagrangian", "quantile", "vote")
_KINDS = {"lagrangian": "ppo_lagrangian", "quantile": "qr_dqn", "vote": "ensemble"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """How the probability that a trade succeeds is learned, and whether it may stop one.

    Parameters
    ----------
    name : option name
    trade_threshold : probability below which a new trade is not worth taking, if `veto`
    veto : whether it is then not taken
    cvar_rows : latest steps whose worst are the `cvar_loss` of PPO-Lagrangian
    cvar_tail : share of them that counts as worst
    most_bars : a trade is closed after so many bars at the latest
    wait_bars : bars between the end of a trade and the next; right after one ended all begin alike
    learn_share, fit_share : shares of the rows for the sources and for the probability; the rest is judged on
    purge_rows : rows left out between these parts [bars]
    calibrate_share : last share of the fitted trades, on which told and happened are made to agree
    penalty : strength of the pull of every coefficient to 0, in trades
    anchor : strength of the pull of the calibration to changing nothing, in trades
    least_trades : fewer fitted trades than this teach nothing; the base rate is told
    sources : settings of the learners by source: lagrangian, quantile, vote; None: nothing is learned
    """

    name: str
    trade_threshold: float
    veto: bool
    cvar_rows: int
    cvar_tail: float
    most_bars: int
    wait_bars: int
    learn_share: float
    fit_share: float
    purge_rows: int
    calibrate_share: float
    penalty: float
    anchor: float
    least_trades: int
    sources: Any

    def __post_init__(self) -> None:
        bounds = {
            "trade_threshold": (0, 1),
            "cvar_rows": (20, 1_000_000),
            "cvar_tail": (0.001, 1),
            "most_bars": (1, 1_000_000),
            "wait_bars": (0, 1_000_000),
            "learn_share": (0.1, 0.9),
            "fit_share": (0.05, 0.95 - self.learn_share),
            "purge_rows": (0, 1_000_000),
            "calibrate_share": (0.05, 0.9),
            "penalty": (0, 1e6),
            "anchor": (0, 1e6),
            "least_trades": (10, 1_000_000),
        }
        for field, (low, high) in bounds.items():
            value = getattr(self, field)
            if not low <= value <= high:
                self._refuse(field, f"lie between {low:g} and {high:g}")
        if self.sources is not None:
            self._check_sources()

    def _check_sources(self) -> None:
        if not isinstance(self.sources, dict) or set(self.sources) != set(SOURCES):
            self._refuse("sources", f"name {', '.join(SOURCES)}")
        for source, kind in _KINDS.items():
            if getattr(self.sources[source], "kind", None) != kind:
                self._refuse("sources", f"have a learner of kind {kind} as {source}")

    def _refuse(self, field: str, needed: str) -> None:
        value = getattr(self, field)
        shown = ", ".join(value) if isinstance(value, dict) else repr(value)
        raise ConfigurationError(
            f"router {self.name}: {field} must {needed}, was {shown}; correct it in conf/router/{self.name}.yaml"
        )
