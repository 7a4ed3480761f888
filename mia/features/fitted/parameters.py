"""What a fit leaves behind: one block of numbers per node, saved with the model that uses it."""

import json
from dataclasses import dataclass

import numpy as np

from mia.domain.errors import ArtefactMismatch

Array = np.ndarray


class TooShortError(Exception):
    """The training fold cannot support this fit; the feature stays NaN and the reason is reported."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FittedParameters:
    """Fitted blocks of one training fold.

    Parameters
    ----------
    params : node name -> (L,) float64, in the layout of the node's operator
    unavailable : node name -> why it could not be fitted
    fit_end : index of the last training row, -1 if there was none
    fit_rows : number of training rows
    """

    params: dict[str, Array]
    unavailable: dict[str, str]
    fit_end: int
    fit_rows: int

    def to_json(self) -> str:
        """Text that restores every bit of every number."""
        blocks = {name: [float(value) for value in block] for name, block in self.params.items()}
        content = {"params": blocks, "unavailable": self.unavailable}
        return json.dumps({**content, "fit_end": self.fit_end, "fit_rows": self.fit_rows}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "FittedParameters":
        """Restore what `to_json` wrote.

        Raises
        ------
        ArtefactMismatch : if the text is something else.
        """
        try:
            content = json.loads(text)
            return cls(
                params={name: np.array(block, dtype=np.float64) for name, block in content["params"].items()},
                unavailable={str(name): str(reason) for name, reason in content["unavailable"].items()},
                fit_end=int(content["fit_end"]),
                fit_rows=int(content["fit_rows"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            raise ArtefactMismatch(f"fitted parameters: not what a fit wrote ({problem}); refit") from problem
