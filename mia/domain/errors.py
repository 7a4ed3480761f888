"""Errors, grouped by the reaction they call for. Each message names the thing, its value and the remedy."""


class MiaError(Exception):
    """Base of every error the project raises on purpose; the command line prints it as one line."""


class ConfigurationError(MiaError):
    """Something is wrong before the start: nothing has been run or written."""


class DataError(MiaError):
    """Recorded market data is unusable as declared: the run stops, nothing is half-written."""


class ArtefactMissing(MiaError):
    """A stage needs what an earlier stage makes; the message names the command that makes it."""


class ArtefactMismatch(MiaError):
    """A stored artefact (bundle, feature list, table) does not fit what it is used with: refuse it."""
