"""Walk-forward folds by whole sessions: training always lies before its test, with a gap between them."""

from dataclasses import dataclass

import numpy as np

from mia.domain.errors import ConfigurationError, DataError
from mia.evaluation.settings import EvaluationSettings

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """One split of the rows.

    Parameters
    ----------
    index : 0-based number of the fold
    train : rows of training; of cross-validation (`cpcv_folds`) their numbers, since they lie on both sides of tests
    gap : purged and embargoed rows; between training and test, or numbers as well
    test : rows of the test
    train_sessions, test_sessions : how many sessions they touch
    """

    index: int
    train: slice | Array
    gap: slice | Array
    test: slice
    train_sessions: int
    test_sessions: int

    @property
    def train_stop(self) -> int:
        """The row after the last of training."""
        return int(self.train.stop if isinstance(self.train, slice) else self.train[-1] + 1)


def folds(session: Array, settings: EvaluationSettings) -> list[Fold]:
    """Split T rows into folds whose tests are contiguous, disjoint and end with the last row.

    Parameters
    ----------
    session : (T,) session of each row, never decreasing
    settings : scheme, counts, purge and embargo

    Returns
    -------
    `settings.n_folds` folds. For every one the last training row plus `purge_bars` plus `embargo_bars` lies
    before the first test row, so no label and no overlapping window of training reaches into the test.

    Raises
    ------
    ConfigurationError : if there are too few sessions, or purge and embargo leave no training rows.
    DataError : if sessions are not in order.
    """
    session = np.asarray(session)
    if len(session) and np.any(np.diff(session) < 0):
        raise DataError("sessions must not decrease along the rows; sort the bars by time first")
    starts = np.flatnonzero(np.diff(session, prepend=session[0] - 1)) if len(session) else np.zeros(0, np.int64)
    edges = np.append(starts, len(session))
    usable = len(starts) - settings.warmup_sessions
    train = max(settings.min_train_sessions, int(np.ceil(settings.min_train_share * usable)))
    length = (usable - train) // settings.n_folds
    if length < 1:
        needed = settings.warmup_sessions + settings.min_train_sessions + settings.n_folds
        raise ConfigurationError(
            f"evaluation {settings.name}: {len(starts)} sessions are too few, {needed} are needed "
            f"({settings.warmup_sessions} warm-up + {settings.min_train_sessions} training + "
            f"{settings.n_folds} folds); use more sessions, or lower "
            "evaluation.n_folds or evaluation.min_train_sessions"
        )
    first_test = len(starts) - length * settings.n_folds
    return [_fold(k, first_test + k * length, length, first_test, edges, settings) for k in range(settings.n_folds)]


def _fold(index: int, at: int, length: int, first_test: int, edges: Array, settings: EvaluationSettings) -> Fold:
    """The fold whose test is the sessions at .. at + length."""
    begin = settings.warmup_sessions
    if settings.scheme == "rolling":
        begin = at - (first_test - settings.warmup_sessions)
    train_start, test_start = int(edges[begin]), int(edges[at])
    train_stop = test_start - settings.purge_bars - settings.embargo_bars
    if train_stop <= train_start:
        raise ConfigurationError(
            f"evaluation {settings.name}: fold {index} has {test_start - train_start} rows before its "
            f"test but purge ({settings.purge_bars}) and embargo ({settings.embargo_bars}) take them all; "
            "use more sessions or lower evaluation.embargo_bars"
        )
    return Fold(
        index=index,
        train=slice(train_start, train_stop),
        gap=slice(train_stop, test_start),
        test=slice(test_start, int(edges[at + length])),
        train_sessions=int(np.searchsorted(edges, train_stop, side="left")) - begin,
        test_sessions=length,
    )
