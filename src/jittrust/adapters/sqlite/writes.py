"""Each `Write` of the port as SQL inside a transaction that somebody else began and ends.

A condition is the WHERE of the statement that acts on it, and RETURNING tells whether it held: there is no moment between looking and writing.
"""

from __future__ import annotations

import json
import sqlite3
from typing import assert_never

from jittrust.adapters.sqlite.codec import encode
from jittrust.core.approval import APPROVAL_MOVES, Approval, ApprovalState
from jittrust.core.errors import ConflictError, GasExhaustedError, JitError, NotFoundError, PassSupersededError
from jittrust.core.grant.grant import Lane
from jittrust.core.grant.states import GRANT_MOVES, GrantState
from jittrust.core.states import move
from jittrust.core.units import Gas
from jittrust.ports.commit import (
    KIND_OF,
    AddHistory,
    Drop,
    Keep,
    Kept,
    MoveGrant,
    OpenGrant,
    PutApproval,
    PutLane,
    PutMission,
    PutPin,
    PutStanding,
    SpendPass,
    Write,
)

_RETIRE = """
    INSERT INTO retired_pass (grant_id, lane, seq, use_id, digest, price, retired, handed)
    SELECT grant_id, number, seq, ?, ?, ?, ?4, coalesce(delivered, ?4) FROM lane
    WHERE grant_id = ? AND number = ? AND seq = ? AND is_open >= ? RETURNING seq"""
_SUCCEED = """
    UPDATE lane SET seq = seq + 1, issued = ?, delivered = NULL, digest = ?, use_id = ?, used_at = ?, resends = 0,
        spent = seq, follows = follows OR digest <> ''
    WHERE grant_id = ? AND number = ? AND seq = ? AND is_open = 1 RETURNING seq"""
# A grant is dead as soon as one of its path is: looked at from below, so that ending one costs the same whatever hangs under it.
_PATH_ACTIVE = """(access_grant.path = '[]' OR NOT EXISTS (
        SELECT 1 FROM json_each(access_grant.path) AS up LEFT JOIN access_grant AS above ON above.id = up.value
        WHERE above.state IS NOT 'active'))"""
_DEBIT = f"""
    UPDATE access_grant SET gas_left = gas_left - :price, uses_left = uses_left - :uses
    WHERE id = :grant AND gas_left >= :price AND state = 'active' AND (uses_left IS NULL OR uses_left >= :uses)
        AND EXISTS (SELECT 1 FROM mission WHERE mission.id = access_grant.mission AND mission.state = 'active')
        AND {_PATH_ACTIVE}
    RETURNING gas_left"""  # noqa: S608  only the text above goes into it
_COUNT_ENTRY = """
    UPDATE entry_use SET uses_left = uses_left - ?1
    WHERE grant_id = ?2 AND entry = ?3 AND (uses_left IS NULL OR uses_left >= ?1) RETURNING entry"""
# A child that may be used without limit cannot come from a parent that may not: comparing with NULL does not hold.
_CARVE = f"""
    UPDATE access_grant SET gas_left = gas_left - :gas, uses_left = uses_left - :uses
    WHERE id = :parent AND path = :above AND gas_left >= :gas AND state = 'active' AND (uses_left IS NULL OR uses_left >= :uses)
        AND {_PATH_ACTIVE}
    RETURNING gas_left"""  # noqa: S608
_WHY_NOT = f"""
    SELECT access_grant.state, mission.state, path, {_PATH_ACTIVE}, gas_left FROM access_grant
    LEFT JOIN mission ON mission.id = access_grant.mission WHERE access_grant.id = ?"""  # noqa: S608
_DEBIT_REFUSED = "UPDATE access_grant SET gas_left = max(0, gas_left - ?) WHERE id = ? RETURNING gas_left"
_ADD_GRANT = """
    INSERT INTO access_grant (id, mission, request, state, gas_left, uses_left, path, body)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id"""
_ADD_LANE = """
    INSERT INTO lane (seq, issued, delivered, digest, use_id, used_at, resends, is_open, spent, follows, grant_id, number)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING seq"""
_CHANGE_LANE = """
    UPDATE lane SET seq = ?, issued = ?, delivered = ?, digest = ?, use_id = ?, used_at = ?, resends = ?, is_open = ?,
        spent = ?, follows = ?
    WHERE grant_id = ? AND number = ? AND seq = ? RETURNING seq"""
_COUNT_AGENT = """
    INSERT INTO agent (id, calls, last_tool) VALUES (?, 1, ?)
    ON CONFLICT (id) DO UPDATE SET calls = calls + 1, last_tool = excluded.last_tool"""
_COUNT = """
    INSERT INTO history (agent, kind, word, tool, calls) VALUES (?, ?, ?, ?, 1)
    ON CONFLICT (agent, kind, word, tool) DO UPDATE SET calls = calls + 1"""


def apply_write(db: sqlite3.Connection, write: Write) -> Gas | None:
    """Carry out one write; give what is left of the grant after a `SpendPass`.

    Raises:
        PassSupersededError, GasExhaustedError, ConflictError, NotFoundError: as the port says. The caller rolls back.
        sqlite3.Error: as SQLite says.
    """
    match write:
        case SpendPass():
            return _spend(db, write)
        case PutMission():
            _put_mission(db, write)
        case OpenGrant():
            _open_grant(db, write)
        case MoveGrant():
            _move_grant(db, write)
        case PutLane():
            _put_lane(db, write)
        case PutStanding():
            db.execute("REPLACE INTO standing (mission, body) VALUES (?, ?)", (write.mission, encode(write.standing)))
        case PutApproval():
            _put_approval(db, write.approval)
        case PutPin():
            pin = write.pin
            db.execute("REPLACE INTO pin (server, tool, body) VALUES (?, ?, ?)", (pin.server, pin.tool, encode(pin)))
        case AddHistory():
            _count(db, write)
        case Keep():
            _keep(db, write.value)
        case Drop():
            _drop(db, write.value)
        case _:
            assert_never(write)
    return None


def _spend(db: sqlite3.Connection, spend: SpendPass) -> Gas:
    place = (spend.grant, spend.lane, spend.seq)
    at = float(spend.at)
    _retire(db, (spend.use, spend.digest, int(spend.price), at), place, only_open=True)
    if not db.execute(_SUCCEED, (at, spend.digest, spend.use, at, *place)).fetchall():
        raise _superseded()
    if not spend.goes_out:
        left = db.execute(_DEBIT_REFUSED, (int(spend.price), spend.grant)).fetchall()
        if not left:
            raise _no_such_grant(spend.grant)
        return Gas(left[0][0])
    debit = {"price": int(spend.price), "grant": spend.grant, "uses": int(spend.counts)}
    left = db.execute(_DEBIT, debit).fetchall()
    if not left:
        raise _why_not(db, spend.grant, int(spend.price))
    if spend.entry and spend.counts:
        _take(db, spend.grant, spend.entry, 1)
    return Gas(left[0][0])


def _take(db: sqlite3.Connection, grant: str, entry: str, times: int) -> None:
    if not db.execute(_COUNT_ENTRY, (times, grant, entry)).fetchall():
        raise GasExhaustedError("uses_exhausted", f"entry {entry} of the grant {grant} has not so many uses left")


def _why_not(db: sqlite3.Connection, grant: str, gas: int, above: tuple[str, ...] | None = None) -> JitError:
    """Why nothing could be taken from a grant: by a call under its mission (`above` None), or by a child that says what lies above it."""
    found = db.execute(_WHY_NOT, (grant,)).fetchone()
    if found is None:
        return _no_such_grant(grant) if above is None else _not_active()
    state, mission, path, path_active, left = found
    if state != "active" or not path_active or (mission != "active" if above is None else path != json.dumps(above)):
        return _not_active()
    if left < gas:
        return GasExhaustedError("gas_exhausted", f"this costs {gas} gas, {left} are left")
    return GasExhaustedError("uses_exhausted", f"the grant {grant} has not so many uses left")


def _retire(
    db: sqlite3.Connection, why: tuple[str, str, int, float], place: tuple[str, int, int], *, only_open: bool
) -> None:
    try:
        retired = db.execute(_RETIRE, (*why, *place, int(only_open))).fetchall()
    except sqlite3.IntegrityError:
        raise _superseded() from None
    if not retired:
        raise _superseded()


def _put_mission(db: sqlite3.Connection, write: PutMission) -> None:
    mission = write.mission
    if write.after is None:
        sql = (
            "INSERT INTO mission (state, generation, body, id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id"
        )
        condition: tuple[int, ...] = ()
    else:
        sql = "UPDATE mission SET state = ?, generation = ?, body = ? WHERE id = ? AND generation = ? RETURNING id"
        condition = (write.after,)
    if not db.execute(
        sql, (mission.state.value, mission.generation, encode(mission), mission.id, *condition)
    ).fetchall():
        raise ConflictError("stale_generation", f"mission {mission.id} was changed meanwhile")


def _open_grant(db: sqlite3.Connection, write: OpenGrant) -> None:
    grant = write.grant
    if grant.path:
        taken = {
            "gas": int(grant.gas_limit),
            "uses": grant.uses_limit,
            "parent": grant.parent,
            "above": json.dumps(grant.path[:-1]),
        }
        if not db.execute(_CARVE, taken).fetchall():
            raise _why_not(db, grant.parent, int(grant.gas_limit), grant.path[:-1])
        for entry, times in write.taken:
            _take(db, grant.parent, entry, times)
    row = (
        grant.id,
        grant.mission,
        grant.request,
        grant.state.value,
        int(grant.gas_left),
        grant.uses_left,
        json.dumps(grant.path),
        encode(grant),
    )
    if not db.execute(_ADD_GRANT, row).fetchall() or not db.execute(_ADD_LANE, _lane_row(write.lane)).fetchall():
        raise ConflictError("grant_exists", "there is a grant with this id or for this request already")
    for own in grant.authority.entries if grant.authority is not None else ():
        db.execute("INSERT INTO entry_use VALUES (?, ?, ?)", (grant.id, own.id, own.uses_left))


def _move_grant(db: sqlite3.Connection, write: MoveGrant) -> None:
    found = db.execute("SELECT state FROM access_grant WHERE id = ?", (write.grant,)).fetchone()
    if found is None:
        raise _no_such_grant(write.grant)
    to = move(GRANT_MOVES, GrantState(found[0]), write.to)
    db.execute("UPDATE access_grant SET state = ? WHERE id = ?", (to.value, write.grant))


def _put_lane(db: sqlite3.Connection, write: PutLane) -> None:
    lane = write.lane
    if write.after is None:
        if not db.execute(_ADD_LANE, _lane_row(lane)).fetchall():
            raise _superseded()
        if db.execute("SELECT 1 FROM access_grant WHERE id = ?", (lane.grant,)).fetchone() is None:
            raise _no_such_grant(lane.grant)
        return
    if lane.seq != write.after:
        _retire(db, ("", "", 0, float(lane.issued)), (lane.grant, lane.number, write.after), only_open=False)
        if lane.seq != write.after + 1:
            raise ConflictError("illegal_move", f"a lane goes from pass {write.after} to the next one only")
    if not db.execute(_CHANGE_LANE, (*_lane_row(lane), write.after)).fetchall():
        raise _superseded()


def _put_approval(db: sqlite3.Connection, approval: Approval) -> None:
    found = db.execute("SELECT state FROM approval WHERE id = ?", (approval.id,)).fetchone()
    if found is not None:
        stored = ApprovalState(found[0])
        # What has ended stays as it is, so an approval is used once even when two calls wait for it.
        if stored is not approval.state or not APPROVAL_MOVES[stored]:
            move(APPROVAL_MOVES, stored, approval.state)
    db.execute(
        "REPLACE INTO approval (id, state, body) VALUES (?, ?, ?)",
        (approval.id, approval.state.value, encode(approval)),
    )


def _count(db: sqlite3.Connection, add: AddHistory) -> None:
    agent = add.agent
    db.execute(_COUNT_AGENT, (agent, add.tool))
    rows = [(agent, "tool", add.tool, ""), (agent, "intent", add.intent, ""), (agent, "after", add.previous, add.tool)]
    rows += [(agent, "value", value, "") for value in add.values]
    for row in rows:
        db.execute(_COUNT, row)


def _keep(db: sqlite3.Connection, value: Kept) -> None:
    kind = KIND_OF[type(value)]
    if value.revision == 1:
        sql = "INSERT INTO kept (body, revision, kind, id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id"
        condition: tuple[int, ...] = ()
    else:
        sql = "UPDATE kept SET body = ?, revision = ? WHERE kind = ? AND id = ? AND revision = ? RETURNING id"
        condition = (value.revision - 1,)
    if not db.execute(sql, (encode(value), value.revision, kind, value.id, *condition)).fetchall():
        raise _stale(kind, value.id)


def _drop(db: sqlite3.Connection, value: Kept) -> None:
    kind = KIND_OF[type(value)]
    sql = "DELETE FROM kept WHERE kind = ? AND id = ? AND revision = ? RETURNING id"
    if not db.execute(sql, (kind, value.id, value.revision)).fetchall():
        raise _stale(kind, value.id)


def _lane_row(lane: Lane) -> tuple[object, ...]:
    return (
        lane.seq,
        float(lane.issued),
        None if lane.delivered is None else float(lane.delivered),
        lane.digest,
        lane.use,
        None if lane.used_at is None else float(lane.used_at),
        lane.resends,
        int(lane.open),
        lane.spent,
        int(lane.follows),
        lane.grant,
        lane.number,
    )


def _stale(kind: str, name: str) -> ConflictError:
    return ConflictError("stale_revision", f"{kind} {name} was changed meanwhile", "Look at it again, then repeat.")


def _superseded() -> PassSupersededError:
    return PassSupersededError("pass_superseded", "this pass is not the live one of its lane")


def _not_active() -> ConflictError:
    return ConflictError("not_active", "the grant, one of those it was carved from, or its mission is not active")


def _no_such_grant(grant: str) -> NotFoundError:
    return NotFoundError("no_such_grant", f"there is no grant {grant}")
