"""What one check found: the row of the audit's table, and everything behind it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

CLEAN, LEAK, WARNING, SKIPPED = "clean", "LEAK", "warning", "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offence:
    """One column, artefact or place that fails.

    Parameters
    ----------
    column : its name
    row : first row that is wrong, None where rows do not matter
    cut : where the future was cut off or spoilt when it showed first, None where nothing was cut
    detail : figures, for people
    """

    column: str
    row: int | None = None
    cut: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the audit.

    Parameters
    ----------
    area : what was looked at: bars, companions, features, regime, embedding, memory, self, belief, view, ...
    check : how
    verdict : `CLEAN`, `LEAK`, `WARNING` or `SKIPPED`
    columns, rows, cuts : how much was looked at
    offences : what failed, worst first
    note : for people: why it was skipped, or a figure
    facts : further figures for programs
    """

    area: str
    check: str
    verdict: str
    columns: int = 0
    rows: int = 0
    cuts: int = 0
    offences: tuple[Offence, ...] = ()
    note: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def line(self) -> dict[str, Any]:
        """The row of the table."""
        return {
            "area": self.area,
            "check": self.check,
            "columns": self.columns,
            "rows": self.rows,
            "cuts": self.cuts,
            "changed": len(self.offences),
            "verdict": self.verdict,
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        return asdict(self)


def judged(area: str, check: str, offences: Sequence[Offence], **more: Any) -> Finding:
    """A finding that is a leak exactly if something failed."""
    return Finding(area=area, check=check, verdict=LEAK if offences else CLEAN, offences=tuple(offences), **more)


def skipped(area: str, check: str, why: str) -> Finding:
    """A finding that says why nothing was looked at."""
    return Finding(area=area, check=check, verdict=SKIPPED, note=why)
