"""What the commit port promises about grants carved from others, and about uses; kept by every store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from tests.contract.stores import STORES, Store, begin, child, grant, lane, mission, record, spend, sqlite_store

from jittrust.adapters.sqlite.codec import encode
from jittrust.adapters.sqlite.schema import MIGRATIONS, open_database
from jittrust.core.authority.map import AuthorityEntry, AuthorityMap
from jittrust.core.errors import GasExhaustedError, JitError
from jittrust.core.grant.states import GrantState
from jittrust.ports.commit import Change, MoveGrant, OpenGrant, PutMission, Write

OWN = AuthorityMap((AuthorityEntry("e-0", "files/read_file", uses_left=1), AuthorityEntry("e-1", "files/write_file")))


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = cast("AbstractAsyncContextManager[Store]", STORES[request.param](tmp_path / "state"))
    async with opened as made:
        yield made


async def refused(store: Store, *writes: Write) -> str:
    before, size = await store.load(), len(await store.entries(0, 1000))
    with pytest.raises(JitError) as caught:
        await store.commit(Change(writes, (record(),)))
    assert await store.load() == before, "a refused change left something behind"
    assert len(await store.entries(0, 1000)) == size, "a refused change left a record behind"
    return caught.value.code


async def test_a_child_takes_its_gas_from_its_parent_in_the_same_step(store: Store) -> None:
    await begin(store)

    await store.commit(Change((child("g-2", "g-1", gas=30), child("g-3", "g-1", "g-2", gas=10)), (record(),)))

    grants = (await store.load()).grants
    assert [int(grants[name].gas_left) for name in ("g-1", "g-2", "g-3")] == [70, 20, 10]
    assert grants["g-3"].path == ("g-1", "g-2")
    assert await refused(store, child("g-4", "g-1", gas=71)) == "gas_exhausted"


async def test_uses_of_a_child_are_taken_from_a_parent_that_counts_them(store: Store) -> None:
    await begin(store)
    await store.commit(Change((child("g-2", "g-1", uses=3),)))
    await store.commit(Change((child("g-3", "g-1", "g-2", gas=1, uses=2),)))

    assert (await store.load()).grants["g-2"].uses_left == 1
    assert await refused(store, child("g-4", "g-1", "g-2", gas=1, uses=2)) == "uses_exhausted"
    assert await refused(store, child("g-4", "g-1", "g-2", gas=1)) == "uses_exhausted", (
        "without a limit is more than any"
    )


async def test_siblings_that_race_for_the_last_gas_never_get_more_than_there_is(store: Store) -> None:
    await begin(store, gas=100)

    async def take(n: int) -> int:
        try:
            await store.commit(Change((child(f"c-{n}", "g-1", gas=30),), (record(),)))
        except GasExhaustedError:
            return 0
        return 30

    taken = sum(await asyncio.gather(*map(take, range(20))))

    assert taken == 90
    assert (await store.load()).grants["g-1"].gas_left == 10


@pytest.mark.parametrize("ended", ["g-1", "g-2", "g-3"])
@pytest.mark.parametrize("state", [state for state in GrantState if state is not GrantState.ACTIVE])
async def test_nothing_goes_out_and_nothing_is_carved_below_a_grant_that_is_not_active(
    store: Store, ended: str, state: GrantState
) -> None:
    await begin(store)
    await store.commit(
        Change((child("g-2", "g-1", gas=40), child("g-3", "g-1", "g-2", gas=20), child("g-9", "g-1", gas=5)))
    )
    await store.commit(Change((MoveGrant(ended, state),)))

    assert await refused(store, spend(of="g-3")) == "not_active"
    assert await refused(store, child("g-4", "g-1", "g-2", "g-3", gas=1)) == "not_active"
    beside = spend(of="g-9")
    if ended == "g-1":
        assert await refused(store, beside) == "not_active"
    else:
        assert (await store.commit(Change((beside,)))).gas_left == 4
    assert (await store.commit(Change((spend(of="g-3", goes_out=False),)))).gas_left == 19, "a refusal is charged"


async def test_a_grant_whose_parent_is_not_there_is_not_opened(store: Store) -> None:
    await begin(store)

    assert await refused(store, child("g-3", "g-9", gas=0)) == "not_active"
    assert await refused(store, child("g-3", "g-9", "g-1", gas=0)) == "not_active"


async def test_each_call_that_goes_out_is_one_use_and_none_goes_out_without(store: Store) -> None:
    limited = replace(grant("g-2"), uses_left=2, uses_limit=2)
    await store.commit(Change((PutMission(mission(), None), OpenGrant(limited, lane("g-2")))))

    await store.commit(Change((spend(0, of="g-2"),)))
    await store.commit(Change((spend(1, of="g-2", goes_out=False),)))
    await store.commit(Change((spend(2, of="g-2"),)))

    assert (await store.load()).grants["g-2"].uses_left == 0
    assert await refused(store, spend(3, of="g-2")) == "uses_exhausted"
    assert (await store.commit(Change((spend(3, of="g-2", goes_out=False),)))).gas_left == 96


async def test_the_entry_of_a_grants_own_authority_is_counted_and_an_unknown_one_has_no_use(store: Store) -> None:
    own = replace(grant("g-2"), authority=OWN)
    await store.commit(Change((PutMission(mission(), None), OpenGrant(own, lane("g-2")))))

    await store.commit(Change((spend(0, of="g-2", entry="e-0"),)))

    assert await refused(store, spend(1, of="g-2", entry="e-0")) == "uses_exhausted"
    assert await refused(store, spend(1, of="g-2", entry="e-7")) == "uses_exhausted"
    await store.commit(Change((spend(1, of="g-2", entry="e-1"), spend(2, of="g-2", entry="e-1"))))
    stored = (await store.load()).grants["g-2"].authority
    assert stored is not None
    assert [entry.uses_left for entry in stored.entries] == [0, None]


async def test_what_is_left_of_uses_survives_a_restart(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as first:
        await begin(first)
        await first.commit(Change((child("g-2", "g-1", uses=3, own=OWN),)))
        await first.commit(Change((spend(of="g-2", entry="e-0"),)))
        said = await first.load()
    async with sqlite_store(tmp_path) as again:
        assert await again.load() == said
    assert said.grants["g-2"].uses_left == 2


async def test_a_grant_of_an_older_store_is_a_root_without_limits(tmp_path: Path) -> None:
    with closing(open_database(tmp_path / "store.db", MIGRATIONS[:2])) as db:
        old = grant()
        db.execute(
            "INSERT INTO access_grant (id, mission, request, state, gas_left, body) VALUES (?, ?, ?, ?, ?, ?)",
            (old.id, old.mission, "", "active", 77, encode(old)),
        )
    async with sqlite_store(tmp_path) as store:
        await store.commit(Change((PutMission(mission(), None), child("g-2", "g-1", gas=7))))
        found = (await store.load()).grants["g-1"]
    assert (int(found.gas_left), found.uses_left, found.path, found.authority) == (70, None, (), None)


async def test_ending_a_grant_writes_one_row_whatever_hangs_below_it(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as store:
        await begin(store)
        await store.commit(Change(tuple(child(f"c-{n}", "g-1", gas=0) for n in range(200))))
        await store.commit(Change((MoveGrant("g-1", GrantState.REVOKED),)))
    with closing(sqlite3.connect(tmp_path / "store.db")) as db:
        assert db.execute("SELECT count(*) FROM access_grant WHERE state <> 'active'").fetchone() == (1,)
