"""Checkpoints of a learner between two rollouts: everything that shapes its future, so that it goes on bit for bit.

`learning` captures and restores; a `Keeper` decides when and where. Files hold JSON and safetensors, never code.
"""

import hashlib
import json
import math
import os
import random
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mia.algo.policy import TrainedPolicy
from mia.domain.errors import ArtefactMismatch

Array = np.ndarray
State = dict[str, Any]

SCHEMA = 1
_HEADER = 64  # hexadecimal digits of the SHA-256 that begins a file


class Keeper(Protocol):
    """Where a learner's state is kept, and whether it is asked to stop."""

    def part(self, name: str) -> "Keeper":
        """Return the keeper of a part that learns on its own: a member of an ensemble."""
        ...

    def result(self) -> TrainedPolicy | None:
        """Return the policy of a training that has ended, None if it has not."""
        ...

    def finish(self, policy: TrainedPolicy) -> None:
        """Keep the policy of a training that has just ended; its state is needed no more."""
        ...

    def load(self) -> State | None:
        """Return the state to go on from, None to start anew."""
        ...

    def is_due(self) -> bool:
        """Whether the state at this boundary shall be saved."""
        ...

    def save(self, state: State) -> None:
        """Keep the state."""
        ...

    def is_stopping(self) -> bool:
        """Whether the learner shall save and raise KeyboardInterrupt."""
        ...


class Forgetful:
    """Keeps nothing and never stops: for quick trainings."""

    def part(self, name: str) -> "Forgetful":  # noqa: ARG002
        """Its parts keep nothing either."""
        return self

    def result(self) -> None:
        """Nothing has ended."""

    def finish(self, policy: TrainedPolicy) -> None:
        """Forget it."""

    def load(self) -> None:
        """There is nothing to go on from."""

    def is_due(self) -> bool:
        """Never."""
        return False

    def save(self, state: State) -> None:
        """Forget it."""

    def is_stopping(self) -> bool:
        """Never."""
        return False


def capture(model: Any) -> State:
    """Return what a Stable-Baselines3 model, its environment, its buffer and the global generators hold.

    To be called between two rollouts: then nothing is half done.
    """
    import torch

    _, variables = model._get_torch_save_params()
    numbers = ("num_timesteps", "_n_updates", "_n_calls", "_episode_num", "_current_progress_remaining")
    state: State = {
        "parameters": model.get_parameters(),
        "variables": {name: getattr(model, name).detach() for name in variables or ()},
        "numbers": {name: getattr(model, name) for name in numbers if hasattr(model, name)},
        "last_obs": model._last_obs,
        "last_episode_starts": model._last_episode_starts,
        "episodes": [dict(info) for info in model.ep_info_buffer or ()],
        "actions": model.action_space.np_random.bit_generator.state,
        "env": model.env.state(),
        "torch": torch.get_rng_state(),
        "numpy": list(np.random.get_state()),  # noqa: NPY002 - what Stable-Baselines3 draws from
        "python": random.getstate(),
    }
    if hasattr(model, "replay_buffer"):
        state["replay"] = model.replay_buffer.state()
    if hasattr(model, "extra_state"):
        state["extra"] = model.extra_state()
    return state


def restore(model: Any, state: Mapping[str, Any]) -> None:
    """Put a model and the global generators where `capture` found them."""
    import torch

    model.set_parameters(state["parameters"], exact_match=True, device=model.device)
    for name, value in state["variables"].items():
        getattr(model, name).data.copy_(value)
    for name, value in state["numbers"].items():
        setattr(model, name, value)
    model._last_obs, model._last_episode_starts = state["last_obs"], state["last_episode_starts"]
    model.ep_info_buffer = deque(state["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    model.action_space.np_random.bit_generator.state = state["actions"]
    model.env.restore(state["env"])
    if "replay" in state:
        model.replay_buffer.restore(state["replay"])
    if "extra" in state:
        model.restore_extra(state["extra"])
    torch.set_rng_state(state["torch"])
    np.random.set_state(tuple(state["numpy"]))  # noqa: NPY002
    random.setstate(_tuples(state["python"]))


def _tuples(value: Any) -> Any:
    """Python's generator wants tuples where JSON has lists."""
    return tuple(_tuples(part) for part in value) if isinstance(value, list | tuple) else value


def write(path: Path, state: State, identity: Mapping[str, Any]) -> None:
    """Write a state whole or not at all.

    Parameters
    ----------
    path : the file
    state : dicts, lists, numbers, texts, arrays and tensors, in any nesting
    identity : JSON-able; what the state belongs to, `read` refuses another
    """
    from safetensors.numpy import save as pack_tensors

    arrays: dict[str, Array] = {}
    tree = _packed(state, arrays)
    head = json.dumps({"schema": SCHEMA, "identity": identity, "state": tree}, allow_nan=False)
    # An empty or zero-dimensional array has no bytes of its own to point at, so all go in as they are with a shape.
    body = pack_tensors({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {"head": head})
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with fresh.open("wb") as file:
            file.write(hashlib.sha256(body).hexdigest().encode())
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def read(path: Path, identity: Mapping[str, Any]) -> State | None:
    """Read what `write` wrote; None if there is no such file or it belongs to something else.

    Raises
    ------
    ArtefactMismatch : if the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpack_tensors

    if not path.is_file():
        return None
    content = path.read_bytes()
    body = content[_HEADER:]
    if hashlib.sha256(body).hexdigest().encode() != content[:_HEADER]:
        raise ArtefactMismatch(f"checkpoint {path} is damaged (SHA-256 differs); delete it to start anew")
    try:
        size = int.from_bytes(body[:8], "little")
        head = json.loads(json.loads(body[8 : 8 + size])["__metadata__"]["head"])
        if head["schema"] != SCHEMA or head["identity"] != json.loads(json.dumps(identity)):
            return None
        found: State = _unpacked(head["state"], unpack_tensors(body))
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ArtefactMismatch(f"checkpoint {path} is not readable ({error}); delete it to start anew") from error
    return found


def _packed(value: Any, arrays: dict[str, Array]) -> Any:
    """Return a JSON-able tree; arrays move to `arrays` and leave their key."""
    kind = type(value).__name__
    if kind in ("Tensor", "Parameter"):
        return {"tensor": _kept(value.detach().cpu().numpy(), arrays)}
    if isinstance(value, np.ndarray):
        return {"array": _kept(value, arrays)}
    if isinstance(value, np.generic):
        return _packed(value.item(), arrays)
    if isinstance(value, Mapping):
        return {"pairs": [[_packed(key, arrays), _packed(part, arrays)] for key, part in value.items()]}
    if isinstance(value, list | tuple | deque):
        return [_packed(part, arrays) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint cannot hold a {kind}")


def _kept(array: Array, arrays: dict[str, Array]) -> list[Any]:
    key = f"a{len(arrays)}"
    arrays[key] = array.reshape(-1)
    return [key, list(array.shape)]


def _unpacked(tree: Any, arrays: Mapping[str, Array]) -> Any:
    if isinstance(tree, list):
        return [_unpacked(part, arrays) for part in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, value),) = tree.items()
    if kind == "pairs":
        return {_unpacked(key, arrays): _unpacked(part, arrays) for key, part in value}
    if kind == "float":
        return float(value)
    array = arrays[value[0]].reshape(value[1])
    if kind == "array":
        return array.copy()
    import torch

    return torch.from_numpy(array.copy())
