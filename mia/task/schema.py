"""Turns a composed configuration into the typed settings of the rooms, refusing what they do not know."""

import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

from mia.domain.errors import ConfigurationError

Settings = TypeVar("Settings")


def build(cls: type[Settings], data: Any, where: str) -> Settings:
    """Construct a settings dataclass from a plain mapping.

    Unknown keys, missing keys and wrong types are refused with their full path. The dataclass itself
    checks ranges. Integers are accepted where floats are asked for, nothing else is converted.

    Raises
    ------
    ConfigurationError : one line naming the key, its value and the remedy.
    """
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"{where} must be a group of keys, was {data!r}; name one of its options")
    hints = typing.get_type_hints(cls)
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            raise ConfigurationError(unknown_key(f"{where}.{key}", [f"{where}.{name}" for name in known]))
    values = {}
    for name, field in known.items():
        path = f"{where}.{name}"
        if name in data:
            values[name] = convert(data[name], hints[name], path)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ConfigurationError(f"{path} is missing; set {path}=...")
    return cls(**values)


def unknown_key(path: str, candidates: list[str]) -> str:
    """One line for a key nobody knows, with the nearest ones that exist."""
    near = difflib.get_close_matches(path, candidates, n=2, cutoff=0.5)
    remedy = f"did you mean {' or '.join(near)}?" if near else f"known here: {', '.join(sorted(candidates))}"
    return f"unknown key {path}; {remedy}"


def convert(value: Any, hint: Any, path: str) -> Any:
    """Check one value against its annotation, building nested settings and tuples on the way."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return convert(value, next(a for a in args if a is not type(None)), path)
    if hint is Any:
        return value
    if is_dataclass(hint):
        return build(hint, value, path)  # type: ignore[arg-type]
    if origin is typing.Literal:
        if value not in args:
            raise ConfigurationError(f"{path} must be one of {', '.join(map(str, args))}, was {value!r}")
        return value
    if origin is tuple:
        return _tuple(value, args, path)
    if origin in (dict, Mapping) or hint is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return _mapping(value, args, path)
    return _scalar(value, hint, path)


def _tuple(value: Any, args: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigurationError(f"{path} must be a list, was {value!r}; write [a, b]")
    inner = args[0] if args else Any
    if len(args) > 1 and args[1] is not Ellipsis:
        if len(args) != len(value):
            raise ConfigurationError(f"{path} must have {len(args)} entries, had {len(value)}")
        return tuple(convert(v, a, f"{path}[{i}]") for i, (v, a) in enumerate(zip(value, args, strict=True)))
    return tuple(convert(v, inner, f"{path}[{i}]") for i, v in enumerate(value))


def _mapping(value: Any, args: tuple[Any, ...], path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{path} must be a group of keys, was {value!r}; write {{key: value}}")
    inner = args[1] if len(args) == 2 else Any
    return {str(k): convert(v, inner, f"{path}.{k}") for k, v in value.items()}


def _scalar(value: Any, hint: Any, path: str) -> Any:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigurationError(f"{path} must be {words.get(hint, hint.__name__)}, was {value!r}")
    if hint is float and value != value:
        raise ConfigurationError(f"{path} must be a number, was nan")
    return value
