"""Missions and questions that were stored before sources could be endorsed are read as ones without any."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contract.stores import NOW, memory_store, sqlite_store

from jittrust.adapters.sqlite.codec import decode, encode
from jittrust.core.approval import Approval, ApprovalKind
from jittrust.core.authority.map import AuthorityMap, Endorsement, EntryState
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.units import Instant
from jittrust.ports.commit import Change, PutApproval, PutMission

SOURCE = Endorsement(
    "s-1",
    "files/read_file",
    {"path": "bill.txt"},
    ("T.pay", "D.create"),
    amount_most=98.7,
    state=EntryState.APPROVED,
    approved_by="ada",
    why="the goal points at it",
    warned=True,
)
MISSION = Mission(
    id="m-1",
    person="ada",
    agent="",
    goal=Goal(("Pay the bill in bill.txt",), GoalSource.MISSION_START),
    state=MissionState.ACTIVE,
    authority=AuthorityMap(endorsements=(SOURCE,)),
    created=NOW,
    confirmed=NOW,
    expires=Instant(NOW + 60),
)
ASKED = Approval(
    "a-1",
    ApprovalKind.CALL,
    "m-1",
    "agent",
    "bank/pay",
    "d",
    "pay",
    "why",
    40,
    NOW,
    Instant(NOW + 60),
    offer=SOURCE,
    endorses=True,
)


def test_a_mission_stored_before_there_were_endorsements_has_none() -> None:
    stored = json.loads(encode(MISSION))
    assert decode(Mission, json.dumps(stored).encode()) == MISSION
    del stored["authority"]["endorsements"]
    assert decode(Mission, json.dumps(stored).encode()) == replace(MISSION, authority=AuthorityMap())


def test_an_endorsement_stored_before_there_were_warnings_was_given_without_one() -> None:
    stored = json.loads(encode(MISSION))
    del stored["authority"]["endorsements"][0]["warned"]
    (one,) = decode(Mission, json.dumps(stored).encode()).authority.endorsements
    assert one == replace(SOURCE, warned=False)


def test_a_question_stored_before_it_could_offer_a_source_offers_none() -> None:
    stored = json.loads(encode(ASKED))
    assert decode(Approval, json.dumps(stored).encode()) == ASKED
    del stored["offer"], stored["endorses"]
    assert decode(Approval, json.dumps(stored).encode()) == replace(ASKED, offer=None, endorses=False)


@pytest.mark.parametrize("store", [memory_store, sqlite_store])
async def test_what_is_endorsed_and_offered_is_the_same_after_it_was_stored(store: object, tmp_path: Path) -> None:
    async with store(tmp_path / "state") as kept:  # type: ignore[operator]
        await kept.commit(Change((PutMission(MISSION, None), PutApproval(ASKED)), ()))
        held = await kept.load()
        assert (tuple(held.missions.values()), tuple(held.approvals.values())) == ((MISSION,), (ASKED,))
