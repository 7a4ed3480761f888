"""The profile's limits for one market in contracts and whole cents, as the accounting kernel applies them."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError
from mia.domain.market import Market
from mia.risk.settings import RiskProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Integer limits of one account; 0 switches a rule off (not `max_contracts`).

    Parameters
    ----------
    max_contracts : position limit, either side [contracts], >= 1
    account_cents : money the account starts with [cents]
    margin_cents : margin of one contract [cents]; 0: unchecked
    max_daily_loss_cents : loss since the last session's close that ends the session's trading [cents]
    max_drawdown_cents : loss from the highest equity that ends trading for good [cents]

    Raises
    ------
    ConfigurationError : if a limit is negative, or `max_contracts` below 1.
    """

    max_contracts: int
    account_cents: int
    margin_cents: int
    max_daily_loss_cents: int
    max_drawdown_cents: int

    def __post_init__(self) -> None:
        if self.max_contracts < 1:
            raise ConfigurationError(f"limits: max_contracts must be at least 1, was {self.max_contracts}")
        for field in ("account_cents", "margin_cents", "max_daily_loss_cents", "max_drawdown_cents"):
            if getattr(self, field) < 0:
                raise ConfigurationError(
                    f"limits: {field} must not be negative, was {getattr(self, field)}; 0 switches it off"
                )


def limits(profile: RiskProfile, market: Market) -> Limits:
    """Return the limits `profile` means for `market`.

    Raises
    ------
    ConfigurationError : if the account cannot carry a single contract.
    """
    margin_usd = {"intraday": market.margin_intraday, "initial": market.margin_initial, "none": 0.0}[profile.margin]
    if margin_usd > profile.account_usd:
        raise ConfigurationError(
            f"risk {profile.name}: account_usd {profile.account_usd:g} is below the {profile.margin} margin "
            f"{margin_usd:g} of one {market.name} contract; raise account_usd or choose a smaller market"
        )
    return Limits(
        max_contracts=profile.max_contracts,
        account_cents=round(profile.account_usd * 100),
        margin_cents=round(margin_usd * 100),
        max_daily_loss_cents=round((profile.max_daily_loss_usd or 0) * 100),
        max_drawdown_cents=round((profile.max_drawdown_usd or 0) * 100),
    )


def unlimited(max_contracts: int = 1) -> Limits:
    """Return limits that only bound the position: for yardsticks that must not be stopped out."""
    return Limits(
        max_contracts=max_contracts,
        account_cents=0,
        margin_cents=0,
        max_daily_loss_cents=0,
        max_drawdown_cents=0,
    )
