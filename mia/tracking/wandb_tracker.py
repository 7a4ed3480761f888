"""Weights & Biases as a tracker: offline it writes one local file, contacts nobody and waits for nothing.

Made by `open_tracker`. Read a run back with ``wandb leet inspect --json``, send it
with ``wandb sync``.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mia.tracking.settings import TrackingSettings
from mia.tracking.tracker import FAILURES, ROOMS

if TYPE_CHECKING:
    import plotly.graph_objects as go

_SECRET = re.compile(r"(?i)(secret|token|passw|api_?key|credential|account_id|webhook|login|user)")


def failures() -> tuple[type[BaseException], ...]:
    """Return the exceptions that mean "tracking is in trouble", never "the run is"."""
    return (*FAILURES, _TrackingError)


class _TrackingError(Exception):
    """An error of the library, which does not derive from any built-in one."""


class WandbTracker:
    """One run recorded with wandb.

    Parameters
    ----------
    settings : see `TrackingSettings`
    mode : "offline" or "online"; tried in turn by `SafeTracker`
    directory : folder of the records, made if missing
    """

    def __init__(self, settings: TrackingSettings, mode: str, directory: Path) -> None:
        self.mode = mode
        self._settings = settings
        self._directory = Path(directory)
        self._run: Any = None

    def start(self, config: Mapping[str, Any], name: str, group: str) -> None:
        """Open the run. Only the configuration groups that settings allow are recorded."""
        self._directory.mkdir(parents=True, exist_ok=True)
        if not os.access(self._directory, os.W_OK | os.X_OK):
            # The library would quietly move to the system's temporary folder.
            raise PermissionError(f"folder {self._directory} is not writable")
        with _environment(self.mode, self._directory), _translated():
            import wandb

            self._run = wandb.init(
                project=self._settings.project,
                name=name,
                group=group,
                dir=str(self._directory),
                config=allowed(config, self._settings.config_groups),
                settings=wandb.Settings(**self._options()),
            )
        for room in ROOMS:
            self._run.define_metric(f"{room}/step", hidden=True)
            self._run.define_metric(f"{room}/*", step_metric=f"{room}/step")

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Record finite and non-finite numbers alike; each room counts its own steps."""
        row = {key: _plain(value) for key, value in metrics.items()}
        row |= {f"{key.partition('/')[0]}/step": int(step) for key in metrics}
        with _translated():
            self._run.log(row)

    def figure(self, name: str, figure: "go.Figure") -> None:
        """Record a chart, if the settings want charts."""
        if not self._settings.figures:
            return
        with _translated():
            import wandb

            self._run.log({name: wandb.Plotly(figure)})

    def artefact_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Record name -> digest beside the configuration: runs are compared by what they were made of."""
        with _translated():
            self._run.config.update({"artefacts": _tree(manifest)}, allow_val_change=True)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Record the final figures and close; online, wait no longer than the settings say."""
        with _translated():
            for key, value in summary.items():
                self._run.summary[key] = _plain(value)
            self._run.finish()

    def _options(self) -> dict[str, Any]:
        """Everything the library does beside recording what it is told is switched off."""
        return {
            "mode": self.mode,
            "console": "off",
            "silent": True,
            "use_dot_wandb": False,
            "save_code": False,
            "disable_code": True,
            "disable_git": True,
            "disable_job_creation": True,
            "host": "not-recorded",
            "init_timeout": self._settings.start_timeout_s,
            "login_timeout": self._settings.start_timeout_s,
            "finish_timeout": self._settings.finish_timeout_s,
            "reinit": "create_new",
            "x_disable_stats": True,
            "x_disable_meta": True,
            "x_disable_machine_info": True,
            "x_save_requirements": False,
        }


def allowed(config: Mapping[str, Any], groups: tuple[str, ...]) -> dict[str, Any]:
    """Return the part of a configuration that may be recorded.

    Only the listed top-level groups, only plain values, and never a key whose name suggests a secret.
    """
    return {group: _tree(config[group]) for group in groups if group in config}


def _tree(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _tree(item) for key, item in value.items() if not _SECRET.search(str(key))}
    if isinstance(value, (list, tuple)):
        return [_tree(item) for item in value]
    return _plain(value)


def _plain(value: Any) -> Any:
    """Turn numpy scalars and paths into what any reader understands."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return value.item()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


@contextmanager
def _translated() -> Iterator[None]:
    """Give the library's errors a type that exists before the library is imported."""
    from wandb.errors import Error

    try:
        yield
    except Error as error:
        raise _TrackingError(str(error) or type(error).__name__) from error


@contextmanager
def _environment(mode: str, directory: Path) -> Iterator[None]:
    """Offline, hide the service's variables from the library: what the user exported for another project
    must not change the mode, name an address or hand over a key.

    Reports to the library's makers are always off: they are sent offline too (seen in 0.31.0 by tracing
    system calls: a name lookup, or a connection to the address in the environment).
    """
    before = {key: value for key, value in os.environ.items() if key.startswith("WANDB_")}
    if mode == "offline":
        for key in before:
            del os.environ[key]
        for kind in ("CACHE", "CONFIG", "DATA"):
            os.environ[f"WANDB_{kind}_DIR"] = str(directory / "wandb" / "cache")
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    try:
        yield
    finally:
        for key in [key for key in os.environ if key.startswith("WANDB_")]:
            del os.environ[key]
        os.environ.update(before)
