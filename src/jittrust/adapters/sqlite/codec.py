"""Frozen values of the core to JSON and back, by their type annotations."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeAlias, TypeVar, cast

import orjson

from jittrust.core.errors import BadInputError, JitError, UnavailableError
from jittrust.core.units import Gas, Instant, Score, Seconds, Unit

T = TypeVar("T")
_Reader: TypeAlias = Callable[[Any], Any]
_UNITS: frozenset[object] = frozenset({Gas, Instant, Score, Seconds, Unit})


def encode(value: object) -> bytes:
    """JSON of a dataclass of the core. Equal values give equal bytes.

    Raises:
        BadInputError: code `bad_value`: half a surrogate pair, or a number that JSON or 64 bits cannot hold.
    """
    try:
        return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)
    except TypeError as bad:  # orjson.JSONEncodeError
        raise BadInputError("bad_value", f"a {type(value).__name__} cannot be stored: {bad}") from None


def decode(kind: type[T], data: bytes) -> T:
    """The value that `encode` wrote.

    Raises:
        UnavailableError: code `store_unavailable`: the stored value is not one of this kind, so the file is broken.
    """
    try:
        return cast("T", _reader(cast("Any", kind))(orjson.loads(data)))
    except (ValueError, TypeError, KeyError, AttributeError, JitError) as bad:
        raise UnavailableError("store_unavailable", f"a stored {kind.__name__} cannot be read: {bad}") from None


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


@cache
def _reader(kind: Any) -> _Reader:  # noqa: ANN401  an annotation can be any object
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(cast("type", kind))
    if kind in _UNITS or (isinstance(kind, type) and issubclass(kind, Enum)):
        return cast("_Reader", kind)
    if origin is tuple:
        item = _reader(arguments[0])
        return lambda found: tuple(item(each) for each in found)
    if origin in {typing.Union, types.UnionType} and len(arguments) == 2 and type(None) in arguments:  # noqa: PLR2004  optional
        inner = _reader(next(argument for argument in arguments if argument is not type(None)))
        return lambda found: None if found is None else inner(found)
    return lambda found: found  # JSON as it is: text, numbers, objects of a schema


def _dataclass_reader(kind: type) -> _Reader:
    hints = typing.get_type_hints(
        kind, localns={"Json": Any}
    )  # kept as it is, and a recursive alias cannot be evaluated
    readers = {field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind)}

    def read(found: dict[str, Any]) -> object:
        # A member that an older version did not write takes its default; one that is unknown here is an error.
        return kind(**{name: readers[name](value) for name, value in found.items()})

    return read
