"""The risk profile: how much may be held, when it must be gone, when to stop. conf/risk/* makes one."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError

FLAT_AT = ("session_end", "rth_close", "never")
MARGINS = ("intraday", "initial", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskProfile:
    """Limits every driver obeys alike, in training, backtest, paper and live.

    Parameters
    ----------
    name : option name
    account_usd : money the account starts with [USD], > 0
    max_contracts : position limit, either side [contracts], >= 1
    margin : margin one contract ties up: "intraday", "initial" (overnight) or "none" (unchecked)
    flat_at : when positions must be gone: "session_end", "rth_close" or "never"
    flat_before_minutes : how long before that the flat order is sent at the latest [minutes], >= 0
    max_daily_loss_usd : loss since the last session's close that ends the session's trading [USD]; None: off
    max_drawdown_usd : loss from the highest equity that ends trading for good [USD]; None: off
    warm_up_bars : rows of own history before anything may be entered [bars], >= 0
    safety_features : features without which nothing may be entered

    Raises
    ------
    ConfigurationError : naming the profile, the field, the value and the remedy.
    """

    name: str
    account_usd: float
    max_contracts: int
    margin: str
    flat_at: str
    flat_before_minutes: int
    max_daily_loss_usd: float | None
    max_drawdown_usd: float | None
    warm_up_bars: int
    safety_features: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 0 < self.account_usd < float("inf"):
            self._refuse("account_usd", "be positive", f"{self.account_usd:g}")
        if self.max_contracts < 1:
            self._refuse("max_contracts", "be at least 1", str(self.max_contracts))
        if self.margin not in MARGINS:
            self._refuse("margin", f"be one of {', '.join(MARGINS)}", repr(self.margin))
        if self.flat_at not in FLAT_AT:
            self._refuse("flat_at", f"be one of {', '.join(FLAT_AT)}", repr(self.flat_at))
        for field in ("flat_before_minutes", "warm_up_bars"):
            if getattr(self, field) < 0:
                self._refuse(field, "not be negative", str(getattr(self, field)))
        if self.margin == "intraday" and self.flat_at == "never":
            self._refuse("margin", "be initial when positions are held overnight", repr(self.margin))
        for field in ("max_daily_loss_usd", "max_drawdown_usd"):
            value = getattr(self, field)
            if value is not None and not 0 <= value < float("inf"):
                self._refuse(field, "be positive, or null to switch it off", f"{value:g}")

    def _refuse(self, field: str, rule: str, value: str) -> None:
        raise ConfigurationError(
            f"risk {self.name}: {field} must {rule}, was {value}; correct it in conf/risk/{self.name}.yaml"
        )
