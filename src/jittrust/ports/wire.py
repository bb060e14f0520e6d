"""The driving ports as bytes, for a broker in another process: one codec, used by the face on the socket and by the adapter that calls it.

A frame is four bytes of length (big endian) and one JSON object: `{"id", "call", "args"}` one way, `{"id", "result"}` or `{"id", "error"}` the
other. What a call takes and returns is read from the ports themselves, so a port and its wire form cannot differ.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import inspect
import json
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from jittrust.core import errors, strict_json
from jittrust.core.errors import BadInputError, JitError, UnavailableError
from jittrust.ports.driving import Driving

MAX_FRAME = 48 * 1024 * 1024
"""Largest frame, in bytes: the largest message, its texts, and the answer kept for a re-send."""
_LENGTH = 4
_SOCKET_PATH_MOST = 100  # sockaddr_un holds 108 bytes on Linux, 104 elsewhere

Read = Callable[[Any], Any]


class AnyJson:
    """Stands for `core.model.Json`, which no reader can be made from: the value is taken as it is."""


@dataclasses.dataclass(frozen=True, slots=True)
class PortCall:
    """One method of a port: how to read its arguments and its result. `port` is the member of `Driving`."""

    port: str
    method: str
    arguments: Mapping[str, Read]
    required: frozenset[str]
    result: Read


def socket_path(state: Path) -> Path:
    """Where the broker of a state folder listens. A path too long for a socket gives one in a private folder under /tmp."""
    return _short(state.absolute() / "broker.sock")


def workload_socket_path(state: Path) -> Path:
    """Where the SPIFFE Workload API of a state folder listens, bounded in length as `socket_path`."""
    return _short(state.absolute() / "workload.sock")


def _short(path: Path) -> Path:
    if len(os.fsencode(path)) <= _SOCKET_PATH_MOST:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:24]
    return Path(f"/tmp/jittrust-{os.getuid()}") / f"{name}.sock"  # noqa: S108 - the folder's owner and mode are checked before use


def is_private(folder: Path) -> bool:
    """Whether only this user can make or exchange files in `folder`."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022 and folder.is_dir() and not folder.is_symlink()


def frame(message: Mapping[str, object]) -> bytes:
    """One frame; values of the ports in it are written as `encode` says. Raises BadInputError: code `frame_too_large`."""
    try:
        body = orjson.dumps(message, default=_written)
    except TypeError:  # what it does not write, halves of surrogate pairs among it, is left to what takes longer
        body = json.dumps(encode(message), separators=(",", ":"), allow_nan=False).encode("ascii")
    if len(body) > MAX_FRAME:
        raise BadInputError("frame_too_large", f"{len(body)} bytes in one frame, at most {MAX_FRAME} are taken")
    return len(body).to_bytes(_LENGTH, "big") + body


def frame_length(head: bytes) -> int:
    """Length of the body that follows these four bytes. Raises BadInputError: code `frame_too_large`."""
    length = int.from_bytes(head, "big")
    if length > MAX_FRAME:
        raise BadInputError("frame_too_large", f"a frame of {length} bytes is announced, at most {MAX_FRAME} are taken")
    return length


def unframe(body: bytes) -> Mapping[str, Any]:
    """The object in a frame's body. Raises BadInputError: as `core.strict_json`."""
    return strict_json.parse_object(body, max_bytes=MAX_FRAME, max_depth=96, max_keys=2_000_000, allow_nul=True)


def encode(value: object) -> object:
    """A value of the ports as JSON: dataclasses as objects, bytes as base64."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [encode(item) for item in value]
    kind: Any = type(value)
    return {name: encode(getattr(value, name)) for name in _fields(kind)}


def _written(value: object) -> object:
    """What orjson cannot write by itself: it knows dataclasses, texts, whole numbers, lists and dicts."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot go over the wire")


@cache
def _fields(kind: type) -> tuple[str, ...]:
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} cannot go over the wire")
    return tuple(member.name for member in dataclasses.fields(kind))


def encode_error(error: JitError) -> Mapping[str, str]:
    """An error with its class, so that it is raised again as what it was."""
    kinds = (kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _ERRORS)
    return {"class": next(kinds), "code": error.code, "message": error.message, "next_step": error.next_step}


def decode_error(told: object) -> JitError:
    """The error that `encode_error` described."""
    said = told if isinstance(told, Mapping) else {}
    kind = _ERRORS.get(str(said.get("class")), UnavailableError)
    return kind(str(said.get("code", "broker_broken")), str(said.get("message", "")), str(said.get("next_step", "")))


_ERRORS: Mapping[str, type[JitError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, JitError)
}


@cache
def calls() -> Mapping[str, PortCall]:
    """Every call of every driving port by name, such as `decisions.evaluate`."""
    found: dict[str, PortCall] = {}
    for port, protocol in typing.get_type_hints(Driving).items():
        for name, method in inspect.getmembers(protocol, inspect.isfunction):
            if name.startswith("_"):
                continue
            hints = _hints(method)
            parameters = {key: hints[key] for key in inspect.signature(method).parameters if key != "self"}
            required = frozenset(
                key
                for key, parameter in inspect.signature(method).parameters.items()
                if key != "self" and parameter.default is inspect.Parameter.empty
            )
            arguments = {key: reader(kind) for key, kind in parameters.items()}
            found[f"{port}.{name}"] = PortCall(port, name, arguments, required, reader(hints["return"]))
    return found


def _hints(of: Any) -> dict[str, Any]:  # noqa: ANN401 - a class or a function
    return typing.get_type_hints(of, localns={"Json": AnyJson})


@cache
def reader(kind: Any) -> Read:  # noqa: ANN401 - any type expression
    """A function that turns parsed JSON into a value of type `kind`; it raises BadInputError, code `wire_value`, for anything else."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is AnyJson or kind is Any:
        return lambda value: value
    if origin in (types.UnionType, typing.Union):
        return _optional(inner)
    if origin is tuple and inner[-1:] != (Ellipsis,):
        return _fixed(tuple(reader(part) for part in inner))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(reader(inner[1]))
    if origin is not None and issubclass(origin, Sequence):
        return _sequence(reader(inner[0]))
    if dataclasses.is_dataclass(kind):
        return _record(kind)
    return _scalar(kind)


def _scalar(kind: Any) -> Read:  # noqa: ANN401
    if kind in (type(None), bool, int, str):
        return _exactly(kind)
    if kind is bytes:
        return _checked(str, lambda value: base64.b64decode(value, validate=True))
    if issubclass(kind, Enum):
        return _checked(str, kind)
    if issubclass(kind, float):
        return _checked((int, float), kind)
    if issubclass(kind, int):
        return _checked(int, kind)
    if issubclass(kind, str):
        return _checked(str, lambda value: value)
    raise TypeError(f"{kind} cannot go over the wire")


def _exactly(wanted: type) -> Read:
    def read(value: Any) -> Any:  # noqa: ANN401
        if type(value) is not wanted:  # what JSON is read as has no subclasses; True is no whole number
            raise _bad(f"{type(value).__name__} where {wanted} is wanted")
        return value

    return read


def _checked(wanted: type | tuple[type, ...], make: Read) -> Read:
    def read(value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise _bad(f"{type(value).__name__} where {wanted} is wanted")
        try:
            return make(value)
        except (ValueError, binascii.Error) as error:
            raise _bad(str(error)) from None

    return read


def _optional(parts: tuple[Any, ...]) -> Read:
    rest = [part for part in parts if part is not type(None)]
    if len(rest) != 1:
        raise TypeError(f"{parts}: only one type or None can go over the wire")
    read = reader(rest[0])
    return lambda value: None if value is None else read(value)


def _fixed(parts: tuple[Read, ...]) -> Read:
    def read(value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, list) or len(value) != len(parts):
            raise _bad("a list of another length")
        return tuple(part(item) for part, item in zip(parts, value, strict=True))

    return read


def _sequence(part: Read) -> Read:
    def read(value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, list):
            raise _bad(f"{type(value).__name__} where a list is wanted")
        return tuple(map(part, value))

    return read


def _mapping(part: Read) -> Read:
    def read(value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            raise _bad(f"{type(value).__name__} where an object is wanted")
        return {name: part(item) for name, item in value.items()}

    return read


def _record(kind: Any) -> Read:  # noqa: ANN401
    readers: dict[str, Read] = {}

    def read(value: Any) -> Any:  # noqa: ANN401
        if not readers:  # made at first use, so that a type may contain itself
            readers.update({name: reader(hint) for name, hint in _hints(kind).items() if name in _fields(kind)})
        if not isinstance(value, dict):
            raise _bad(f"{type(value).__name__} where {kind.__name__} is wanted")
        try:
            return kind(**{name: readers[name](item) for name, item in value.items()})
        except (KeyError, TypeError):
            raise _bad(f"the members of {kind.__name__} are others than {', '.join(sorted(value))[:200]}") from None

    return read


def _bad(words: str) -> BadInputError:
    return BadInputError("wire_value", f"a call over the socket is malformed: {words}")
