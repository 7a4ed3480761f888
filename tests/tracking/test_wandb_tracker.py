"""Tracking with the real library, read back from its file; and what happens when it cannot start.

The library keeps one service per process, so each real run happens in a process of its own.
"""

import json
import os
import socket
import subprocess
import sys
import textwrap

import pytest

from mia.tracking import wandb_tracker
from mia.tracking.open_tracker import open_tracker
from mia.tracking.settings import TrackingSettings
from mia.tracking.tracker import FAILURES, ROOMS, OffTracker, SafeTracker

CANARY = "canary-key-that-must-not-be-written"

RUN = """
    import sys
    from pathlib import Path
    import numpy as np
    import plotly.graph_objects as go
    from mia.tracking.settings import TrackingSettings
    from mia.tracking.open_tracker import open_tracker

    settings = TrackingSettings(
        name="x", mode=sys.argv[2], project="mia", config_groups=("seed", "algo", "market"), figures=True,
        start_timeout_s=3.0, finish_timeout_s=3.0,
    )
    assert "wandb" not in sys.modules
    tracker = open_tracker(settings, Path(sys.argv[1]), print)
    config = {
        "seed": 7,
        "algo": {"name": "qr_dqn", "layers": (64, 64), "api_key": "hidden-value",
            "nested": {"token": "hidden-value"}},
        "home": {"folder": "hidden-value"},
    }
    tracker.start(config, "run name", "group name")
    print("mode", tracker.mode)
    tracker.log({"regime/log_likelihood": -1.5, "regime/states": np.int64(3)}, 0)
    tracker.log({"select/chosen": 150}, 0)
    for step in (100, 200, 300):
        tracker.log({"train/loss": 1 / step, "train/profit": np.float32(0.5)}, step)
    tracker.log({"train/loss": 0.25}, 50)
    tracker.log({"typo": 1.0}, 0)
    tracker.figure("evaluate/equity", go.Figure(go.Scatter(y=[1, 2, 3])))
    tracker.artefact_manifest({"config": "abc", "data": {"bars": "def"}})
    tracker.finish({"evaluate/net_usd": -12.5, "evaluate/verdict": "luck"})
"""


def run(folder, mode, home, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    environment |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)} | variables
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RUN), str(folder), mode],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=True,
    )


def records(folder):
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    out = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in out.stdout.splitlines()]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """An offline run made while variables ask for another mode, a service (which listens) and a key."""
    service = socket.create_server(("127.0.0.1", 0))
    service.setblocking(False)
    address = f"http://127.0.0.1:{service.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("run") / "made" / "by tracker"
    home = tmp_path_factory.mktemp("home")
    done = run(
        folder,
        "offline",
        home,
        WANDB_MODE="online",
        WANDB_API_KEY=CANARY,
        WANDB_BASE_URL=address,
        WANDB_PROJECT="other",
    )
    with service:
        try:
            called = service.accept()[1]
        except BlockingIOError:
            called = None
    return done, folder, home, records(folder), called


def test_offline_run_carries_the_rooms_keys_with_their_own_steps(recorded):
    history = [r["history"]["item"] for r in recorded[3] if r["type"] == "history"]
    train = [(row["train/step"], row["train/loss"]) for row in history if "train/loss" in row]
    assert train == [
        (100, 0.01),
        (200, 0.005),
        (300, pytest.approx(1 / 300)),
        (50, 0.25),
    ]  # a new fold starts low
    assert [row["regime/states"] for row in history if "regime/states" in row] == [3]
    assert [row["select/chosen"] for row in history if "select/chosen" in row] == [150]
    assert all(key.split("/")[0] in ROOMS or key.startswith("_") for row in history for key in row)


def test_offline_run_carries_name_group_and_allowed_configuration_only(recorded):
    (made,) = [r["run"] for r in recorded[3] if r["type"] == "run"]
    assert (made["project"], made["display_name"], made["run_group"]) == ("mia", "run name", "group name")
    config = made["config"]["update"]
    assert config["seed"] == 7
    assert config["algo"] == {"name": "qr_dqn", "layers": [64, 64], "nested": {}}
    assert "home" not in config


def test_offline_run_carries_chart_manifest_and_summary(recorded):
    _, folder, _, rows, _ = recorded
    charts = list(folder.glob("wandb/offline-run-*/files/media/plotly/evaluate/*.json"))
    assert len(charts) == 1
    assert json.loads(charts[0].read_text())["data"][0]["type"] == "scatter"
    updates = [r["config"]["update"] for r in rows if r["type"] == "config"]
    assert {"artefacts": {"config": "abc", "data": {"bars": "def"}}} in updates
    summary = {}
    for row in rows:
        if row["type"] == "summary":
            summary |= row["summary"]["update"]
    assert summary["evaluate/net_usd"] == -12.5
    assert summary["evaluate/verdict"] == "luck"


def test_offline_run_contacts_nobody(recorded):
    assert recorded[4] is None
    (log,) = recorded[1].glob("wandb/cache/wandb/logs/*.log")
    starts = [json.loads(line) for line in log.read_text().splitlines() if "starting server" in line]
    assert [line["disable-analytics"] for line in starts] == [True]


def test_offline_run_ends_cleanly(recorded):
    (end,) = [r["exit"] for r in recorded[3] if r["type"] == "exit"]
    assert end["exit_code"] == 0


def test_offline_run_is_silent_but_for_the_refused_key(recorded):
    done = recorded[0]
    lines = done.stdout.splitlines()
    assert lines[0] == "mode offline"
    assert len(lines) == 2
    assert "'typo' refused" in lines[1]
    assert done.stderr == ""


def test_no_secret_host_or_command_is_written(recorded):
    _, folder, home, *_ = recorded

    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert CANARY.encode() not in content, path
            assert b"hidden-value" not in content, path
    (made,) = [r["run"] for r in recorded[3] if r["type"] == "run"]
    assert made["host"] == "not-recorded" != socket.gethostname()
    assert not [r for r in recorded[3] if r["type"] in ("environment", "output", "output_raw", "stats")]
    assert not list(folder.glob("wandb/offline-run-*/files/requirements.txt"))
    assert not list(folder.glob("wandb/offline-run-*/files/wandb-metadata.json"))
    assert list(home.iterdir()) == []


def test_online_without_a_key_continues_offline_without_waiting(tmp_path):
    done = run(tmp_path / "run", "online", tmp_path)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tracking online did not start (")
    assert lines[0].endswith("; continuing offline")
    assert lines[1] == "mode offline"
    assert any(r["type"] == "history" for r in records(tmp_path / "run"))


def settings(mode="offline", **change):
    values = {
        "name": mode,
        "mode": mode,
        "project": "mia",
        "config_groups": ("seed",),
        "figures": True,
        "start_timeout_s": 2.0,
        "finish_timeout_s": 2.0,
    }
    return TrackingSettings(**values | change)


def test_a_folder_that_cannot_be_made_turns_tracking_off(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    said = []
    tracker = open_tracker(settings(), blocker / "run", said.append)
    tracker.start({"seed": 1}, "n", "g")
    tracker.log({"train/loss": 1.0}, 0)
    tracker.finish({"evaluate/net_usd": 1.0})
    assert tracker.mode == "off"
    assert len(said) == 1
    assert said[0].startswith("tracking offline did not start (")
    assert said[0].endswith("; continuing off")


class Fails:
    """A tracker that raises where told to."""

    mode = "offline"

    def __init__(self, where, error):
        self.where, self.error = where, error

    def __getattr__(self, name):
        def call(*arguments):
            if name == self.where:
                raise self.error

        return call


@pytest.mark.parametrize("error", [kind("the service is on fire\nsecond line") for kind in FAILURES])
def test_any_failure_to_start_steps_down_one_by_one(error):
    said = []
    candidates = [
        ("online", lambda: Fails("start", error)),
        ("offline", lambda: Fails("start", error)),
        ("off", OffTracker),
    ]
    tracker = SafeTracker(candidates, wandb_tracker.failures(), said.append)
    tracker.start({}, "n", "g")
    assert tracker.mode == "off"
    assert [line.rsplit(" ", 1)[1] for line in said] == ["offline", "off"]
    assert all("on fire" in line and "\n" not in line for line in said)


@pytest.mark.parametrize("where", ["log", "figure", "artefact_manifest", "finish"])
def test_a_failure_while_running_is_said_once_and_the_run_goes_on(where):
    said = []
    tracker = SafeTracker([("offline", lambda: Fails(where, OSError("disk full")))], FAILURES, said.append)
    tracker.start({}, "n", "g")
    for _ in range(3):
        tracker.log({"train/loss": 1.0}, 0)
        tracker.figure("evaluate/equity", None)
        tracker.artefact_manifest({})
    tracker.finish({})
    assert said == ["tracking stopped (disk full); the run goes on without"]


def test_the_librarys_own_errors_count_as_trouble(tmp_path, monkeypatch):
    import wandb

    def refuse(**arguments):
        raise wandb.errors.CommError("service unreachable")

    monkeypatch.setattr(wandb, "init", refuse)
    said = []
    tracker = open_tracker(settings("online"), tmp_path, said.append)
    tracker.start({"seed": 1}, "n", "g")
    assert tracker.mode == "off"
    assert said == [
        "tracking online did not start (service unreachable); continuing offline",
        "tracking offline did not start (service unreachable); continuing off",
    ]


def test_an_interrupt_is_not_swallowed():
    tracker = SafeTracker([("offline", lambda: Fails("log", KeyboardInterrupt()))], FAILURES, print)
    tracker.start({}, "n", "g")
    with pytest.raises(KeyboardInterrupt):
        tracker.log({"train/loss": 1.0}, 0)


def test_the_environment_is_given_back(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", CANARY)
    before = dict(os.environ)
    with wandb_tracker._environment("offline", tmp_path):
        assert "WANDB_API_KEY" not in os.environ
        assert "WANDB_MODE" not in os.environ
        assert os.environ["WANDB_ERROR_REPORTING"] == "false"
    assert dict(os.environ) == before


def test_keys_must_name_their_room():
    said = []
    tracker = SafeTracker([("off", OffTracker)], (), said.append)
    tracker.start({}, "n", "g")
    for _ in range(2):
        tracker.log({"loss": 1.0, "train/": 2.0, "training/loss": 3.0, "train/loss": 4.0}, 0)
    assert [line.split("'")[1] for line in said] == ["loss", "train/", "training/loss"]


def test_off_never_imports_the_library(tmp_path):
    code = (
        "import sys; from pathlib import Path; from mia.tracking.settings import TrackingSettings;"
        "from mia.tracking.open_tracker import open_tracker;"
        "s = TrackingSettings(name='off', mode='off', project='m', config_groups=(), figures=True,"
        " start_timeout_s=1.0, finish_timeout_s=1.0);"
        "t = open_tracker(s, Path(sys.argv[1]), print); t.start({}, 'n', 'g'); t.log({'train/x': 1}, 0);"
        "t.finish({});"
        "assert not {'wandb', 'plotly', 'rich', 'numpy'} & set(sys.modules), set(sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60, env=environment)
    assert list(tmp_path.iterdir()) == []
