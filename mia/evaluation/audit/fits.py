"""What was fitted on which rows, and what it is used on first: nothing may be fitted after what it transforms."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mia.domain import digest
from mia.evaluation.audit.finding import Finding, Offence, judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """One entry of the fit log.

    Parameters
    ----------
    what : what was fitted
    first, stop : the rows it was fitted on are first .. stop - 1
    used : the first row that is judged by it, or turned into a feature by it
    """

    what: str
    first: int
    stop: int
    used: int

    @property
    def honest(self) -> bool:
        """Whether everything it was fitted on came before everything it is used on."""
        return self.first < self.stop <= self.used

    def line(self) -> dict[str, Any]:
        """The row of the table."""
        return {
            "fitted": self.what,
            "on rows": f"{self.first:,} .. {self.stop - 1:,}",
            "first used at": f"{self.used:,}",
            "verdict": "clean" if self.honest else "LEAK",
        }


def log(fits: Sequence[Fit]) -> Finding:
    """Judge a fit log."""
    offences = [
        Offence(
            column=fit.what,
            row=fit.used,
            detail=f"fitted on rows up to {fit.stop - 1:,} but used from row {fit.used:,} on",
        )
        for fit in fits
        if not fit.honest
    ]
    return judged("fits", "fit log", offences, columns=len(fits), facts={"log": [asdict(fit) for fit in fits]})


def same(area: str, before: Mapping[str, Any], after: Mapping[str, Any], cut: int, **more: int) -> Finding:
    """Compare artefacts by name, fitted twice: as things were, and with all rows from `cut` on replaced."""
    offences = [
        Offence(column=name, cut=cut, detail="another result when the rows after its own are replaced")
        for name in sorted({*before, *after})
        if name not in before or name not in after or digest.of_json(before[name]) != digest.of_json(after[name])
    ]
    return judged(area, "fitted again", offences, columns=len(before), cuts=1, **more)
