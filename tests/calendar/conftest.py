"""Markets read from the configuration, as the calendar tests need them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mia.domain.market import Market


@pytest.fixture(scope="session")
def load_market(root: Path) -> Callable[[str], Market]:
    def load(name: str) -> Market:
        fields = yaml.safe_load((root / "conf" / "market" / f"{name}.yaml").read_text())
        return Market(**{**fields, "roll_months": tuple(fields["roll_months"])})

    return load
