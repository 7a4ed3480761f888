"""What the settings of made-up worlds check alike; imported by settings modules, so it costs nothing."""

from typing import Any, NoReturn

from mia.domain.errors import ConfigurationError

LEAST_ROWS = 1000


def refuse(settings: Any, field: str, needed: str) -> NoReturn:
    """Raise ConfigurationError naming the field, its value and the file to correct."""
    raise ConfigurationError(
        f"source {settings.name}: {field} must {needed}, was {getattr(settings, field)!r}; "
        f"correct it in conf/source/{settings.name}.yaml"
    )


def check_kind(settings: Any, *kinds: str) -> None:
    """Refuse another kind of source."""
    if settings.kind not in kinds:
        refuse(settings, "kind", f"be {' or '.join(kinds)}")


def check_rows(settings: Any, *fields: str, least: int = LEAST_ROWS) -> None:
    """Refuse fewer than `least` rows."""
    for field in fields:
        if getattr(settings, field) < least:
            refuse(settings, field, f"be at least {least} bars")


def check_positive(settings: Any, *fields: str) -> None:
    """Refuse what is not a positive number."""
    for field in fields:
        if not 0 < getattr(settings, field) < float("inf"):
            refuse(settings, field, "be positive")


def check_not_negative(settings: Any, *fields: str) -> None:
    """Refuse negative numbers."""
    for field in fields:
        if not 0 <= getattr(settings, field) < float("inf"):
            refuse(settings, field, "not be negative")


def check_ticks(settings: Any, least: int = 100) -> None:
    """Refuse a tick too large to hold the cost exactly."""
    if settings.ticks_per_unit < least or abs(settings.cost * settings.ticks_per_unit % 1) > 1e-9:
        refuse(settings, "ticks_per_unit", f"be at least {least} and make the cost a whole number of ticks")
