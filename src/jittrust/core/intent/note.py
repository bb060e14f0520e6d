"""What one gateway tells the agents next to it about the intent behind a call: a small note, carried in the message itself.

The form serves every wire that has a place for metadata: `_meta` of MCP now, the metadata of an A2A message later. It holds no word of a goal and no
name: digests under a key of the broker that wrote it, so that only that broker recognises them. A note that comes in is a claim of a stranger: it can
add distance and can prove nothing.
"""

from __future__ import annotations

import base64
import hmac
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jittrust.core.errors import BadInputError

NOTE_VERSION = 1
"""Version of the form; a reader takes exactly the versions that it knows."""
MOST_HOPS = 64
"""Highest number of a hop."""

_Raw: TypeAlias = "bool | int | float | str | Sequence[_Raw] | Mapping[str, _Raw] | None"
_DIGEST = re.compile(r"[A-Za-z0-9_-]{22}\Z")
_CODE = re.compile(r"[A-Z]\.[a-z_]{1,40}\Z")
_STEP = 20  # a distance is told in steps of 1/20, upwards: enough to act on, too little to search a goal with


@dataclass(frozen=True, slots=True)
class IntentNote:
    """A note.

    Attributes:
        v: version of the form; 0 = a note came that could not be read.
        mission: digest of the mission's name.
        goal: digest of the goal under that mission.
        code: what the call is for, a code of the taxonomy; empty = not known.
        hop: how many agents handed the task on before this call, 0..64.
        distance: 0..1, how far the task has moved from the words of the person; None = not known, which is never good.
        grant: digest of the name of the grant behind the call.
    """

    v: int
    mission: str
    goal: str
    code: str
    hop: int
    distance: float | None
    grant: str


UNREADABLE_NOTE = IntentNote(0, "", "", "", 0, None, "")
"""Stands for a note that came and could not be read."""

NOTE_SCHEMA: Mapping[str, _Raw] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:jittrust:intent-note:1",
    "title": "Intent note of jittrust, version 1",
    "description": (
        "What a gateway tells adjacent agents about the intent behind a call: MCP `_meta` member `dev.jittrust/intent`. It proves nothing; a receiver may"
        " trust a call less because of it, never more. Digests are keyed with a secret of the sender."
    ),
    "type": "object",
    "properties": {
        "v": {"const": NOTE_VERSION, "description": "version of this form"},
        "mission": {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$", "description": "keyed digest of the mission"},
        "goal": {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$", "description": "keyed digest of the goal"},
        "code": {"type": "string", "pattern": "^([A-Z]\\.[a-z_]{1,40})?$", "description": "what the call is for (docs/taxonomy.md)"},
        "hop": {"type": "integer", "minimum": 0, "maximum": MOST_HOPS, "description": "how often the task was handed on"},
        "distance": {
            "type": ["number", "null"],
            "minimum": 0,
            "maximum": 1,
            "description": "how far it has moved from the person's words; null = not known",
        },
        "grant": {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$", "description": "keyed digest of the grant"},
    },
    "required": ["v", "mission", "goal", "code", "hop", "distance", "grant"],
    "additionalProperties": False,
}  # fmt: skip
"""The published JSON Schema of the form (`docs/schemas/intent-note-1.json`)."""


def note_of(key: bytes, mission: str, goal: str, grant: str, code: str, hop: int, distance: float | None) -> IntentNote:
    """The note about one call.

    Args:
        key: secret of this broker for these digests, at least 32 bytes.
        mission: name of the mission.
        goal: all words of the person; only a digest of them goes out.
        grant: name of the grant behind the call.
        code: code of the call, empty when it was not read.
        hop: how many agents handed the task on; beyond `MOST_HOPS` it stays there.
        distance: 0..1; None = not known. It is told in coarse steps, rounded up.

    Raises:
        BadInputError: code `bad_note`: the key is too short.
    """
    if len(key) < _KEY_BYTES:
        raise BadInputError("bad_note", "the key of a note has 32 bytes at least")
    told = None if distance is None else min(1.0, math.ceil(max(0.0, distance) * _STEP - 1e-9) / _STEP)
    return IntentNote(
        NOTE_VERSION,
        _digest(key, "mission", mission),
        _digest(key, f"goal\x00{mission}", goal),
        code if _CODE.match(code) else "",
        max(0, min(MOST_HOPS, hop)),
        told,
        _digest(key, "grant", grant),
    )


def note_json(note: IntentNote) -> Mapping[str, str | int | float | None]:
    """The note as it goes onto a wire."""
    return {
        "v": note.v,
        "mission": note.mission,
        "goal": note.goal,
        "code": note.code,
        "hop": note.hop,
        "distance": note.distance,
        "grant": note.grant,
    }


def read_note(raw: object) -> IntentNote:
    """A note as it came off a wire, already parsed as JSON.

    Raises:
        BadInputError: code `bad_note`: no note of a version that is known here, or anything in it that the form does not have.
    """
    if not isinstance(raw, Mapping):
        raise _bad("it is no object")
    if len(raw) != len(_MEMBERS) or set(raw) != _MEMBERS:
        raise _bad("a member is missing or unknown")
    version, hop, distance, code = raw["v"], raw["hop"], raw["distance"], raw["code"]
    if isinstance(version, bool) or version != NOTE_VERSION:
        raise _bad("its version is not known here")
    hop = _whole(hop)
    if not 0 <= hop <= MOST_HOPS:
        raise _bad("its hop is out of range")
    if distance is not None:
        if isinstance(distance, bool) or not isinstance(distance, int | float) or not 0.0 <= distance <= 1.0:
            raise _bad("its distance is not 0..1")
        distance = float(distance)
    if not isinstance(code, str) or (code and _CODE.match(code) is None):
        raise _bad("its code is none")
    for name in ("mission", "goal", "grant"):
        if not isinstance(raw[name], str) or _DIGEST.match(raw[name]) is None:
            raise _bad(f"its {name} is no digest")
    return IntentNote(NOTE_VERSION, raw["mission"], raw["goal"], code, hop, distance, raw["grant"])


_MEMBERS = frozenset(("v", "mission", "goal", "code", "hop", "distance", "grant"))
_KEY_BYTES = 32
_DIGEST_BYTES = 16
_DOMAIN = "jittrust/intent-note/1"


def _digest(key: bytes, what: str, name: str) -> str:
    told = f"{_DOMAIN}\x00{what}\x00{name}".encode("utf-8", "surrogatepass")
    mac = hmac.digest(key, told, "sha256")[:_DIGEST_BYTES]
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode("ascii")


def _whole(value: object) -> int:
    # JSON has one kind of number: 1.0 is whole.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _bad("its hop is no whole number")
    return value


def _bad(why: str) -> BadInputError:
    return BadInputError("bad_note", f"This is no intent note: {why}.")
