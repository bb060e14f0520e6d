"""What the commit port promises, kept by every store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from tests.contract.stores import (
    NOW,
    ORIGIN,
    SIGNER,
    STORES,
    Store,
    approval,
    begin,
    grant,
    lane,
    memory_store,
    mission,
    pin,
    record,
    spend,
    sqlite_store,
    standing,
)

from jittrust.core.approval import ApprovalState
from jittrust.core.errors import (
    BadInputError,
    ConflictError,
    GasExhaustedError,
    JitError,
    NotFoundError,
    PassSupersededError,
    UnavailableError,
)
from jittrust.core.grant.grant import RetiredPass
from jittrust.core.grant.lanes import challenge
from jittrust.core.grant.states import GrantState
from jittrust.core.history import History
from jittrust.core.ledger.checkpoint import open_checkpoint
from jittrust.core.ledger.record import FIRST_PREV, check_record, link
from jittrust.core.ledger.verify import LedgerVerified, verify
from jittrust.core.mission.states import MissionState
from jittrust.core.units import Gas, Instant
from jittrust.ports.commit import (
    AddHistory,
    Change,
    Committed,
    MoveGrant,
    OpenGrant,
    PutApproval,
    PutLane,
    PutMission,
    PutPin,
    PutStanding,
    StoredState,
    Write,
)


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = cast("AbstractAsyncContextManager[Store]", STORES[request.param](tmp_path / "state"))
    async with opened as made:
        yield made


async def refused(store: Store, *writes: Write, records: int = 1) -> JitError:
    before, size = await store.load(), len(await store.entries(0, 1000))
    with pytest.raises(JitError) as caught:
        await store.commit(Change(writes, (record(),) * records))
    assert await store.load() == before, "a refused change left something behind"
    assert len(await store.entries(0, 1000)) == size, "a refused change left a record behind"
    return caught.value


async def test_a_spent_pass_retires_debits_and_gives_its_successor(store: Store) -> None:
    await begin(store)

    done = await store.commit(Change((spend(0, 30, use="c-7"),), (record(),)))

    state = await store.load()
    assert done == Committed((0,), Gas(70))
    assert state.grants["g-1"] == replace(grant(), gas_left=Gas(70))
    assert state.lanes["g-1", 0] == replace(
        lane(), seq=1, issued=Instant(NOW + 1), digest="digest-c-7", use="c-7", used_at=Instant(NOW + 1), spent=0
    )


async def test_a_new_pass_starts_undelivered_and_never_given_again(store: Store) -> None:
    await begin(store)
    await store.commit(Change((PutLane(replace(lane(), delivered=NOW, resends=3), 0), spend(0))))

    live = (await store.load()).lanes["g-1", 0]
    assert (live.seq, live.delivered, live.resends) == (1, None, 0)


async def test_one_of_fifty_tasks_racing_for_a_pass_wins(store: Store) -> None:
    await begin(store)

    async def use(n: int) -> Gas | None:
        try:
            return (await store.commit(Change((spend(0, 1, use=f"c-{n}"),), (record(n=n),)))).gas_left
        except PassSupersededError:
            return None

    won = [left for left in await asyncio.gather(*map(use, range(50))) if left is not None]

    state = await store.load()
    assert won == [99]
    assert state.grants["g-1"].gas_left == 99
    assert len(await store.entries(0, 100)) == 1


async def test_a_pass_is_refused_when_it_is_old_or_not_there_yet_or_of_a_lane_that_is_closed_or_unknown(
    store: Store,
) -> None:
    await begin(store)
    await store.commit(Change((spend(0), PutLane(replace(lane(number=1), open=False), None))))

    for wrong in (spend(0), spend(2), spend(0, number=1), spend(0, number=9), spend(0, of="g-9")):
        assert isinstance(await refused(store, wrong), PassSupersededError)


async def test_a_call_that_goes_out_never_costs_more_than_is_left(store: Store) -> None:
    await begin(store, gas=5)

    assert isinstance(await refused(store, spend(0, 6)), GasExhaustedError)
    assert (await store.commit(Change((spend(0, 5),)))).gas_left == 0


async def test_a_refused_call_debits_what_there_is_and_no_more(store: Store) -> None:
    await begin(store, gas=5)

    assert (await store.commit(Change((spend(0, 3, goes_out=False),)))).gas_left == 2
    assert (await store.commit(Change((spend(1, 3, goes_out=False),)))).gas_left == 0
    assert (await store.commit(Change((spend(2, 3, goes_out=False),)))).gas_left == 0


@pytest.mark.parametrize("state", [state for state in GrantState if state is not GrantState.ACTIVE])
async def test_no_call_goes_out_on_a_grant_that_is_not_active(store: Store, state: GrantState) -> None:
    await begin(store)
    await store.commit(Change((MoveGrant("g-1", state),)))

    error = await refused(store, spend(0))

    assert isinstance(error, ConflictError)
    assert error.code == "not_active"
    assert (await store.commit(Change((spend(0, goes_out=False),)))).gas_left == 99


@pytest.mark.parametrize("state", [state for state in MissionState if state is not MissionState.ACTIVE])
async def test_no_call_goes_out_under_a_mission_that_is_not_active(store: Store, state: MissionState) -> None:
    await begin(store)
    await store.commit(Change((PutMission(mission(state=state), 0),)))

    assert (await refused(store, spend(0))).code == "not_active"


async def test_a_step_sees_what_the_same_change_wrote_before_it(store: Store) -> None:
    start = (PutMission(mission(), None), OpenGrant(grant(), lane()), spend(0, 4), spend(1, 5, use="c-2"))

    done = await store.commit(Change(start))

    assert done.gas_left == 91
    assert (await store.load()).lanes["g-1", 0].seq == 2


async def test_all_of_a_change_or_nothing(store: Store) -> None:
    await begin(store)
    good: tuple[Write, ...] = (
        PutMission(mission("m-2"), None),
        OpenGrant(grant("g-2", request="r"), lane("g-2")),
        MoveGrant("g-1", GrantState.SUSPENDED),
        PutLane(lane(number=1), None),
        PutStanding("m-1", standing()),
        PutApproval(approval()),
        PutPin(pin()),
        AddHistory("agent-1", "m-1", "files/read_file", "K.read", "", ("v",)),
        spend(0, 1, goes_out=False),
    )

    for count in range(len(good) + 1):
        await refused(store, *good[:count], PutLane(lane("g-9"), None))
    assert (await store.commit(Change(good))).gas_left == 99
    assert await store.retired("g-1", 0, 9, 9) == ()


async def test_a_record_that_cannot_be_written_takes_its_change_with_it(store: Store) -> None:
    await begin(store)
    before = await store.load()

    for bad in (record(x=float("nan")), record(x="\ud800"), {"no": "kind"}, record(index=0), record(x=2**60)):
        with pytest.raises(BadInputError):
            await store.commit(Change((spend(0),), (record(), bad)))

    assert await store.load() == before
    assert await store.entries(0, 10) == ()


async def test_a_mission_is_replaced_only_by_who_read_its_newest_generation(store: Store) -> None:
    await begin(store)
    await store.commit(Change((PutMission(mission(generation=3), 0),)))

    for after in (None, 0, 2, 4):
        assert (await refused(store, PutMission(mission(generation=9), after))).code == "stale_generation"
    assert (await refused(store, PutMission(mission("m-9"), 0))).code == "stale_generation"
    assert (await store.load()).missions == {"m-1": mission(generation=3)}


async def test_a_grant_is_opened_once_for_each_id_and_each_request(store: Store) -> None:
    await begin(store)
    await store.commit(Change((OpenGrant(grant("g-2", request="r-1"), lane("g-2")),)))

    assert (await refused(store, OpenGrant(grant("g-1"), lane()))).code == "grant_exists"
    assert (await refused(store, OpenGrant(grant("g-3", request="r-1"), lane("g-3")))).code == "grant_exists"
    await store.commit(Change((OpenGrant(grant("g-3", request="r-1", of="m-2"), lane("g-3")),)))
    await store.commit(Change((OpenGrant(grant("g-4"), lane("g-4")), OpenGrant(grant("g-5"), lane("g-5")))))
    assert set((await store.load()).grants) == {"g-1", "g-2", "g-3", "g-4", "g-5"}


async def test_a_refused_opening_leaves_its_request_free(store: Store) -> None:
    await begin(store)
    await refused(store, OpenGrant(grant("g-2", request="r-1"), lane("g-2")), spend(7))

    await store.commit(Change((OpenGrant(grant("g-3", request="r-1"), lane("g-3")),)))

    assert "g-3" in (await store.load()).grants


async def test_a_grant_moves_only_as_its_table_says(store: Store) -> None:
    await begin(store)
    await store.commit(Change((MoveGrant("g-1", GrantState.SUSPENDED), MoveGrant("g-1", GrantState.ACTIVE))))
    await store.commit(Change((MoveGrant("g-1", GrantState.REUSED),)))

    assert (await refused(store, MoveGrant("g-1", GrantState.ACTIVE))).code == "illegal_move"
    assert isinstance(await refused(store, MoveGrant("g-9", GrantState.SPENT)), NotFoundError)
    assert (await store.load()).grants["g-1"].gas_left == 100


async def test_a_lane_changes_only_for_who_knows_its_live_pass(store: Store) -> None:
    await begin(store)
    delivered = replace(lane(), delivered=Instant(NOW + 2), resends=1)
    await store.commit(Change((PutLane(delivered, 0), PutLane(lane(number=1), None))))

    for late in (PutLane(lane(), None), PutLane(replace(lane(), seq=2), 1), PutLane(lane(number=7), 0)):
        assert isinstance(await refused(store, late), PassSupersededError)
    assert (await store.load()).lanes == {("g-1", 0): delivered, ("g-1", 1): lane(number=1)}


async def test_a_lane_never_goes_back_or_skips_a_pass(store: Store) -> None:
    await begin(store)
    await store.commit(Change((spend(0),)))

    for seq in (0, 3):
        assert isinstance(await refused(store, PutLane(lane(seq=seq), 1)), ConflictError)


async def test_a_challenge_retires_the_pass_it_replaces(store: Store) -> None:
    await begin(store)
    await store.commit(Change((PutLane(replace(lane(), seq=1, issued=Instant(NOW + 5)), 0),)))

    assert isinstance(await refused(store, spend(0)), PassSupersededError)
    assert (await store.commit(Change((spend(1),)))).gas_left == 99


async def test_a_closed_lane_can_be_opened_again_with_the_next_pass_only(store: Store) -> None:
    await begin(store)
    await store.commit(Change((PutLane(lane(number=1), None), spend(0, number=1))))
    await store.commit(Change((PutLane(replace(lane(number=1, seq=1), open=False), 1),)))
    await store.commit(Change((PutLane(lane(number=1, seq=2), 1),)))

    for old in (0, 1):
        assert isinstance(await refused(store, spend(old, number=1)), PassSupersededError)
    assert (await store.commit(Change((spend(2, number=1),)))).gas_left == 98


async def test_what_became_of_an_old_pass_is_known(store: Store) -> None:
    await begin(store)
    await store.commit(Change((PutLane(replace(lane(), delivered=Instant(NOW + 3)), 0),)))
    await store.commit(Change((spend(0, later=4),)))
    await store.commit(Change((spend(1, later=5),)))

    await store.commit(Change((PutLane(challenge((await store.load()).lanes["g-1", 0], Instant(NOW + 9)), 2),)))

    assert await store.retired("g-1", 0, 0, 5) == (
        RetiredPass(0, bought=True, handed=Instant(NOW + 3), retired=Instant(NOW + 4)),
        RetiredPass(1, bought=True, handed=Instant(NOW + 5), retired=Instant(NOW + 5)),  # delivery not noted
        RetiredPass(2, bought=False, handed=Instant(NOW + 9), retired=Instant(NOW + 9)),
    )
    assert [one.seq for one in await store.retired("g-1", 0, 1, 1)] == [1]
    for unknown in (("g-1", 0, 3), ("g-1", 1, 0), ("g-2", 0, 0)):
        assert await store.retired(*unknown, unknown[2] + 2) == ()


async def test_a_lane_knows_the_last_pass_that_bought_and_whether_its_client_takes_passes_from_answers(
    store: Store,
) -> None:
    async def known() -> tuple[int, int, bool]:
        stored = (await store.load()).lanes["g-1", 0]
        return stored.seq, stored.spent, stored.follows

    await begin(store)
    assert await known() == (0, -1, False)
    await store.commit(Change((spend(0),)))
    assert await known() == (1, 0, False), "the opening gave pass 0"
    await store.commit(Change((PutLane(challenge((await store.load()).lanes["g-1", 0], NOW), 1),)))
    assert await known() == (2, 0, False)
    await store.commit(Change((spend(2),)))
    assert await known() == (3, 2, False), "a challenge gave pass 2"
    await store.commit(Change((spend(3),)))
    assert await known() == (4, 3, True), "the answer gave pass 3"


async def test_an_approval_is_used_once(store: Store) -> None:
    asked = approval()
    approved = replace(asked, state=ApprovalState.APPROVED, answered_by="ada", answered=NOW)
    await begin(store)
    await store.commit(Change((PutApproval(asked),)))
    await store.commit(Change((PutApproval(approved),)))

    used = PutApproval(replace(approved, state=ApprovalState.USED))
    await store.commit(Change((used, spend(0))))

    assert (await refused(store, used, spend(1))).code == "illegal_move"
    assert (await refused(store, PutApproval(approved))).code == "illegal_move"


async def test_history_counts_every_call_of_an_agent(store: Store) -> None:
    first = AddHistory("agent-1", "m-1", "files/read", "K.read", "", ("v1", "v2"))
    second = AddHistory("agent-1", "m-2", "mail/send", "K.send", "files/read", ("v1",))
    await store.commit(Change((first, second)))
    await store.commit(Change((first, AddHistory("agent-2", "m-1", "x/y", "K.read", ""))))
    await store.commit(Change((AddHistory("agent-1", "m-1", "mail/list", "K.read", "files/read"),)))

    histories = (await store.load()).histories

    assert histories["agent-1"] == History(
        calls=4,
        by_tool={"files/read": 2, "mail/send": 1, "mail/list": 1},
        by_intent={"K.read": 3, "K.send": 1},
        after={("", "files/read"): 2, ("files/read", "mail/send"): 1, ("files/read", "mail/list"): 1},
        by_value={"v1": 3, "v2": 2},
        last_tool="mail/list",
    )
    assert histories["agent-2"].calls == 1


async def test_the_order_of_commits_is_the_order_of_records(store: Store) -> None:
    done = await asyncio.gather(*(store.commit(Change((), (record(n=n), record(n=n)))) for n in range(40)))

    entries = [check_record(entry) for entry in await store.entries(0, 1000)]
    assert [entry.index for entry in entries] == list(range(80))
    for n, committed in enumerate(done):
        assert [entries[index].body["n"] for index in committed.records] == [n, n]
        assert committed.records[1] == committed.records[0] + 1
    assert entries[0].prev == FIRST_PREV


async def test_entries_are_read_in_pages(store: Store) -> None:
    await store.commit(Change((), tuple(record(n=n) for n in range(10))))

    whole = await store.entries(0, 1000)
    assert [*await store.entries(0, 4), *await store.entries(4, 4), *await store.entries(8, 4)] == [*whole]
    assert await store.entries(10, 5) == ()
    assert await store.entries(0, 0) == ()
    assert check_record(whole[1]).prev == link(whole[0])


async def test_the_checkpoint_covers_every_committed_record(store: Store) -> None:
    empty = open_checkpoint(await store.checkpoint(), SIGNER.key)
    await store.commit(Change((), (record(), record())))
    early = await store.checkpoint()
    await store.commit(Change((), (record(),)))

    assert (empty.size, empty.origin) == (0, ORIGIN)
    assert isinstance(
        verify(await store.entries(0, 10), await store.checkpoint(), SIGNER.key, [early], whole=True), LedgerVerified
    )
    assert open_checkpoint(early, SIGNER.key).size == 2


async def test_a_closed_store_takes_nothing(store: Store) -> None:
    await store.close()

    with pytest.raises(UnavailableError):
        await store.commit(Change((), (record(),)))
    with pytest.raises(UnavailableError):
        await store.load()


async def test_what_is_loaded_after_a_restart_is_what_memory_holds(tmp_path: Path) -> None:
    changes = [
        Change((PutMission(mission(), None), OpenGrant(grant(request="r"), lane())), (record("mission"),)),
        Change((spend(0, 7), AddHistory("agent-1", "m-1", "files/read", "K.read", "", ("v",))), (record(),)),
        Change((PutStanding("m-1", standing()), PutApproval(approval()), PutPin(pin()), PutPin(pin("other")))),
        Change(
            (PutLane(replace(lane(), seq=2, delivered=NOW, issued=Instant(NOW + 9)), 1), PutLane(lane(number=1), None))
        ),
        Change((MoveGrant("g-1", GrantState.SUSPENDED), PutStanding("m-1", standing(12)))),
    ]

    async with memory_store(tmp_path) as memory, sqlite_store(tmp_path / "state") as sqlite:
        for change in changes:
            assert await memory.commit(change) == await sqlite.commit(change)
        said: StoredState = await memory.load()
        entries, checkpoint = await memory.entries(0, 100), await memory.checkpoint()
    async with sqlite_store(tmp_path / "state") as again:
        assert await again.load() == said
        assert await again.entries(0, 100) == entries
        assert await again.checkpoint() == checkpoint
        assert await again.retired("g-1", 0, 0, 1) == (
            RetiredPass(0, bought=True, handed=Instant(NOW + 1), retired=Instant(NOW + 1)),
            RetiredPass(1, bought=False, handed=Instant(NOW + 9), retired=Instant(NOW + 9)),
        )
        assert not again.restored
