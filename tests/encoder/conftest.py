"""One small encoder for all tests that only look at it."""

import encoder_cases as cases
import pytest

from mia.encoder.encoder import Encoder
from mia.encoder.training import fit


@pytest.fixture(scope="session")
def small_encoder() -> Encoder:
    """Both kinds, fitted on the first 900 rows."""
    return fit(cases.rows(), cases.settings(), 7, bar_minutes=1.0)
