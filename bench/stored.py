"""A store to load, and what must hold of it afterwards, whatever was done to it. Used by the campaigns here and by tests."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jittrust.adapters.files.fence import FileFence
from jittrust.adapters.files.lock import BrokerLock
from jittrust.adapters.sqlite.commit import SqliteCommit
from jittrust.adapters.sqlite.ledger_file import LedgerFile
from jittrust.core.authority.map import AuthorityMap
from jittrust.core.grant.grant import Grant, Lane, PassBinding, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.ledger.checkpoint import LedgerSigner
from jittrust.core.ledger.verify import LedgerVerified, verify
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.units import Gas, Instant
from jittrust.ports.commit import AddHistory, Change, OpenGrant, PutLane, PutMission, SpendPass, Write

ORIGIN = "jittrust.bench/ledger"
SIGNER = LedgerSigner.from_seed(ORIGIN, bytes(32))
NOW = Instant(1_790_000_000.0)
GAS = 2**40
MISSION = "m-1"


@contextmanager
def locked_store(state: Path, deadline_s: float = 10.0) -> Iterator[SqliteCommit]:
    """The store of a state folder under lock and fence, as a broker has it. Not closed on the way out: that is a coroutine."""
    with BrokerLock.take(state):
        fence = FileFence(state)
        yield SqliteCommit.open(
            state / "store.db", signer=SIGNER, origin=ORIGIN, fence=fence, clock=lambda: NOW, deadline_s=deadline_s
        )
        fence.close()


def opening(grants: int, lanes: int) -> Change:
    """An active mission, `grants` grants with `lanes` lanes each."""
    mission = Mission(
        MISSION, "ada", "agent", Goal(("load",), GoalSource.FLAG), MissionState.ACTIVE, AuthorityMap(), NOW, NOW, NOW
    )
    writes: list[Write] = [PutMission(mission, None)]
    for n in range(grants):
        grant = Grant(
            f"g-{n}", MISSION, f"g-{n}", "agent", "", PassBinding.GATEWAY, "", Strictness.STRICT, GrantState.ACTIVE,
            Gas(GAS), Gas(GAS), lanes, NOW, NOW,
        )  # fmt: skip
        writes.append(OpenGrant(grant, Lane(grant.id, 0, 0, NOW)))
        writes.extend(PutLane(Lane(grant.id, number, 0, NOW), None) for number in range(1, lanes))
    return Change(tuple(writes), ({"kind": "store", "what": "opened"},))


def use(grant: str, lane: int, seq: int, price: int, name: str) -> Change:
    """One call as the broker commits it: debit, history, and a record of the usual size."""
    factors = {name: {"value": 0.8125, "why": "words shared with the goal"} for name in "OCR"}
    body = {
        "kind": "use",
        "at": round(NOW * 1000),
        "evaluation": name,
        "subject": {"kind": "agent", "id": "agent"},
        "prompt": {
            "mission": MISSION,
            "person": "ada",
            "goal_digest": "cd" * 32,
            "source": "goal_flag",
            "generation": 0,
        },
        "intent": {"code": "K.read", "factors": factors, "wis": 71.25, "wis_ratio": 1.5, "unknown": [], "drift": 0.125},
        "policy": {
            "ruling": "allow",
            "entry": "e-1",
            "reasons": [{"code": "in_map", "fact": "files/read_file is in the authority map", "would_pass": ""}],
        },
        "grant": {"id": grant, "family": grant, "lane": lane, "seq": seq, "pass_binding": "gateway", "price": price},
        "action": {"method": "tools/call", "resource": "files/read_file", "digest": "ab" * 32},
        "response": "none",
        "trust": 61.5,
    }
    history = AddHistory(
        "agent", MISSION, "files/read_file", "K.read", "files/read_file", ("files/read_file\x1fpath\x1fabc",)
    )
    spend = SpendPass(grant, lane, seq, "ab" * 32, name, Gas(price), NOW, goes_out=True)
    return Change((spend, history), (body,))  # type: ignore[arg-type]


def faults(path: Path, acknowledged: list[tuple[str, int, int, str, int]]) -> list[str]:
    """What does not hold of a store: nothing, for an honest one.

    Args:
        path: the database file.
        acknowledged: of each commit that returned: grant, lane, seq, use and index of its record.
    """
    found: list[str] = []
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    retired = {
        (g, n, s): (u, p) for g, n, s, u, p in db.execute("SELECT grant_id, lane, seq, use_id, price FROM retired_pass")
    }
    records = dict(db.execute("SELECT number, leaf FROM record"))
    spent: Counter[str] = Counter()
    for (grant, _, _), (_, price) in retired.items():
        spent[grant] += price
    for grant, left in db.execute("SELECT id, gas_left FROM access_grant"):
        if left != GAS - spent[grant]:
            found.append(f"gas of {grant} is {left}, not {GAS - spent[grant]}")
    for grant, number, seq in db.execute("SELECT grant_id, number, seq FROM lane"):
        uses = sum(1 for (g, n, _) in retired if (g, n) == (grant, number)) if seq < 50 else None
        if uses is not None and uses != seq:
            found.append(f"lane {grant}/{number} stands at {seq} after {uses} uses")
        if (grant, number, seq) in retired:
            found.append(f"the live pass {grant}/{number}/{seq} was spent already")
    db.close()
    recorded = Counter(
        "{id}/{lane}/{seq}".format(**body["grant"])
        for body in map(json.loads, records.values())
        if body["kind"] == "use"
    )
    if any(count != 1 for count in recorded.values()):
        found.append("a pass was recorded as spent more than once")
    if set(recorded) != {f"{g}/{n}/{s}" for g, n, s in retired}:
        found.append("records and spent passes differ")
    found.extend(_lost(acknowledged, retired, records))
    with LedgerFile(path) as ledger:
        checked = verify(ledger.leaves(), ledger.checkpoint() or "", SIGNER.key, ledger.checkpoints(200), whole=True)
    if not isinstance(checked, LedgerVerified):
        found.append(f"the ledger does not verify: {checked}")
    return found


def _lost(
    acknowledged: list[tuple[str, int, int, str, int]],
    retired: dict[tuple[str, int, int], tuple[str, int]],
    records: dict[int, bytes],
) -> Iterator[str]:
    seen: set[tuple[str, int, int]] = set()
    for grant, lane, seq, name, index in acknowledged:
        place = (grant, lane, seq)
        if place in seen:
            yield f"two were told that they had spent {place}"
        seen.add(place)
        if retired.get(place, ("", 0))[0] != name:
            yield f"the acknowledged use {name} of {place} is gone"
        if index not in records or json.loads(records[index])["evaluation"] != name:
            yield f"the acknowledged record {index} of {name} is gone"
