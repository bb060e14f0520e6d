"""Reads back everything stored."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jittrust.adapters.sqlite.codec import decode
from jittrust.core.approval import Approval
from jittrust.core.authority.pin import ToolPin
from jittrust.core.errors import UnavailableError
from jittrust.core.grant.grant import Grant, Lane, RetiredPass
from jittrust.core.grant.states import GrantState
from jittrust.core.history import History
from jittrust.core.mission.mission import Mission
from jittrust.core.response.session import Standing
from jittrust.core.units import Gas, Instant
from jittrust.ports.commit import KEPT, Kept, StoredState


def read_state(db: sqlite3.Connection) -> StoredState:
    """Everything a broker needs, as one consistent picture.

    Raises:
        UnavailableError: code `store_unavailable`: a value cannot be read.
        sqlite3.Error: as SQLite says.
    """
    return StoredState(
        missions={name: decode(Mission, body) for name, body in db.execute("SELECT id, body FROM mission")},
        grants=_grants(db),
        lanes={(lane.grant, lane.number): lane for lane in _lanes(db)},
        standings={name: decode(Standing, body) for name, body in db.execute("SELECT mission, body FROM standing")},
        approvals={name: decode(Approval, body) for name, body in db.execute("SELECT id, body FROM approval")},
        pins={
            (server, tool): decode(ToolPin, body)
            for server, tool, body in db.execute("SELECT server, tool, body FROM pin")
        },
        histories=_histories(db),
        kept=_kept(db),
        pass_generation=db.execute("SELECT pass_generation FROM meta").fetchone()[0],
    )


def read_retired(db: sqlite3.Connection, grant: str, lane: int, first: int, last: int) -> Sequence[RetiredPass]:
    """The retired passes of a lane from `first` to `last`, both included."""
    rows = db.execute(
        "SELECT seq, use_id <> '', handed, retired FROM retired_pass"
        " WHERE grant_id = ? AND lane = ? AND seq BETWEEN ? AND ? ORDER BY seq",
        (grant, lane, first, last),
    )
    return tuple(RetiredPass(seq, bool(bought), Instant(handed), Instant(at)) for seq, bought, handed, at in rows)


def _kept(db: sqlite3.Connection) -> dict[str, dict[str, Kept]]:
    kept: dict[str, dict[str, Kept]] = {kind: {} for kind in KEPT}
    for kind, name, body in db.execute("SELECT kind, id, body FROM kept"):
        if kind not in KEPT:
            raise UnavailableError("store_unavailable", f"the store holds a {kind}, which this version does not know")
        kept[kind][name] = decode(KEPT[kind], body)
    return kept


def _grants(db: sqlite3.Connection) -> dict[str, Grant]:
    uses: dict[str, dict[str, int | None]] = defaultdict(dict)
    for name, entry, left in db.execute("SELECT grant_id, entry, uses_left FROM entry_use"):
        uses[name][entry] = left
    grants: dict[str, Grant] = {}
    for name, state, gas, left, body in db.execute("SELECT id, state, gas_left, uses_left, body FROM access_grant"):
        found = replace(decode(Grant, body), state=GrantState(state), gas_left=Gas(gas), uses_left=left)
        if found.authority is not None:
            counted = tuple(replace(one, uses_left=uses[name][one.id]) for one in found.authority.entries)
            found = replace(found, authority=replace(found.authority, entries=counted))
        grants[name] = found
    return grants


def _lanes(db: sqlite3.Connection) -> list[Lane]:
    rows = db.execute(
        "SELECT grant_id, number, seq, issued, delivered, digest, use_id, used_at, resends, is_open, spent, follows FROM lane"
    )
    return [
        Lane(
            grant=grant,
            number=number,
            seq=seq,
            issued=Instant(issued),
            delivered=None if delivered is None else Instant(delivered),
            digest=digest,
            use=use,
            used_at=None if used_at is None else Instant(used_at),
            resends=resends,
            open=bool(is_open),
            spent=spent,
            follows=bool(follows),
        )
        for grant, number, seq, issued, delivered, digest, use, used_at, resends, is_open, spent, follows in rows
    ]


def _histories(db: sqlite3.Connection) -> dict[str, History]:
    counts: dict[tuple[str, str], dict[Any, int]] = defaultdict(dict)
    for agent, kind, word, tool, calls in db.execute("SELECT agent, kind, word, tool, calls FROM history"):
        counts[agent, kind][(word, tool) if kind == "after" else word] = calls
    return {
        agent: History(
            calls=calls,
            by_tool=counts[agent, "tool"],
            by_intent=counts[agent, "intent"],
            after=counts[agent, "after"],
            by_value=counts[agent, "value"],
            last_tool=last_tool,
        )
        for agent, calls, last_tool in db.execute("SELECT id, calls, last_tool FROM agent")
    }
