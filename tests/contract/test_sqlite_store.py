"""What only a store on a disk can get wrong: settings, versions, restores, a second broker, a disk that is full, hangs or lies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from bench import crash_store, races
from tests.contract.stores import NOW, ORIGIN, SIGNER, begin, lane, mission, pin, record, spend, sqlite_store

from jittrust.adapters.files.fence import FileFence
from jittrust.adapters.sqlite.commit import SqliteCommit
from jittrust.adapters.sqlite.committer import MOST_WAITING
from jittrust.adapters.sqlite.ledger_file import LedgerFile
from jittrust.adapters.sqlite.schema import MIGRATIONS, open_database
from jittrust.core.errors import (
    BadInputError,
    FencedError,
    JitError,
    NotFoundError,
    PassSupersededError,
    UnavailableError,
)
from jittrust.core.ledger.checkpoint import LedgerSigner
from jittrust.core.ledger.record import check_record
from jittrust.core.ledger.verify import LedgerVerified, verify
from jittrust.core.units import Instant
from jittrust.ports.commit import Change, PutLane, PutMission, PutPin

ROOT = Path(__file__).parents[2]


def raw_store(state: Path, *, deadline_s: float = 10.0) -> SqliteCommit:
    """A store without the broker's lock: what happens when somebody removed the lock's file."""
    state.mkdir(mode=0o700, exist_ok=True)
    return SqliteCommit.open(
        state / "store.db",
        signer=SIGNER,
        origin=ORIGIN,
        fence=FileFence(state),
        clock=lambda: NOW,
        deadline_s=deadline_s,
    )


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_settings_that_make_commits_durable_are_read_back(tmp_path: Path) -> None:
    db = open_database(tmp_path / "store.db")

    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db.execute("PRAGMA synchronous").fetchone() == (2,)
    db.close()


def test_a_place_that_cannot_keep_a_journal_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # SQLite keeps it in memory, and an empty file of that name stays
    with pytest.raises(UnavailableError) as caught:
        open_database(Path(":memory:"))

    assert caught.value.code == "store_not_durable"


async def test_a_database_of_a_newer_version_is_refused_and_not_touched(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with sqlite_store(state):
        pass
    db = sqlite3.connect(state / "store.db")
    db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()
    before = listing(state)

    with pytest.raises(UnavailableError) as caught:
        async with sqlite_store(state):
            pass

    assert caught.value.code == "store_newer"
    assert {name: held for name, held in listing(state).items() if name != "broker.lock"} == {
        name: held for name, held in before.items() if name != "broker.lock"
    }


async def test_an_older_database_is_brought_up_to_date_and_keeps_its_content(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "state") as store:
        await begin(store)

    path = tmp_path / "state" / "store.db"
    newer = (*MIGRATIONS, "CREATE TABLE later (x INTEGER); INSERT INTO later VALUES (7);")
    with pytest.raises(UnavailableError):
        open_database(path, (*MIGRATIONS, "CREATE TABLE later (x INTEGER); this is no SQL;"))
    for _ in range(2):
        db = open_database(path, newer)
        assert db.execute("SELECT x FROM later").fetchall() == [(7,)]
        assert db.execute("PRAGMA user_version").fetchone() == (len(newer),)
        assert db.execute("SELECT count(*) FROM access_grant").fetchone() == (1,)
        db.close()


def test_a_file_that_is_not_ours_is_refused_and_not_touched(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    with contextlib.closing(sqlite3.connect(foreign)) as db:
        db.execute("CREATE TABLE theirs (x)")
    marked = tmp_path / "marked.db"
    with contextlib.closing(sqlite3.connect(marked)) as db:
        db.execute("PRAGMA application_id = 77")
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"no database at all " * 100)
    short = tmp_path / "short.db"
    short.write_bytes(b"SQLite format 3\x00")
    folder = tmp_path / "folder.db"
    folder.mkdir()
    before = {path: path.read_bytes() for path in (garbage, marked, short)}

    for path, code in (
        (foreign, "store_foreign"),
        (marked, "store_foreign"),
        (garbage, "store_unavailable"),
        (short, "store_unavailable"),
        (folder, "store_unavailable"),
        (tmp_path / "missing" / "store.db", "store_unavailable"),
    ):
        with pytest.raises(UnavailableError) as caught:
            open_database(path)
        assert caught.value.code == code, path
    assert {path: path.read_bytes() for path in before} == before


async def test_a_damaged_file_is_an_error_with_a_next_step_and_not_a_crash(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with sqlite_store(state) as store:
        await begin(store)
        await store.commit(Change((), tuple(record(n=n) for n in range(200))))
    path = state / "store.db"
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 4096):
        content[at : at + 256] = os.urandom(256)
    path.write_bytes(content)

    with pytest.raises(UnavailableError) as caught:
        async with sqlite_store(state):
            pass

    assert caught.value.code == "store_unavailable"
    assert "backup" in str(caught.value)


async def test_a_second_broker_on_one_state_is_refused_also_from_another_process(tmp_path: Path) -> None:
    state = tmp_path / "state"
    script = (
        "import sys, pathlib\nfrom jittrust.adapters.files.lock import BrokerLock\nfrom jittrust.core.errors import JitError\n"
        "try:\n    BrokerLock.take(pathlib.Path(sys.argv[1]))\nexcept JitError as bad:\n    print(bad)\nelse:\n    print('taken')"
    )

    def other() -> str:
        return subprocess.run([sys.executable, "-c", script, state], capture_output=True, text=True, check=True).stdout

    async with sqlite_store(state) as store:
        await begin(store)
        with pytest.raises(UnavailableError) as caught:
            async with sqlite_store(state):
                pass
        said = await asyncio.to_thread(other)
        await store.commit(Change((spend(0),)))

    assert caught.value.code == "broker_running"
    assert "[broker_running]" in said
    assert str(os.getpid()) in said
    assert "taken" in await asyncio.to_thread(other)


async def test_restarts_keep_the_generation_of_passes(tmp_path: Path) -> None:
    for _ in range(4):
        async with sqlite_store(tmp_path / "state") as store:
            assert (await store.load()).pass_generation == 1
            assert not store.restored


def copy(state: Path, to: Path) -> None:
    to.mkdir(exist_ok=True)
    for old in to.iterdir():
        old.unlink()
    for path in state.glob("store.db*"):
        (to / path.name).write_bytes(path.read_bytes())


def put_back(backup: Path, state: Path) -> None:
    for path in state.glob("store.db*"):
        path.unlink()
    for path in backup.iterdir():
        (state / path.name).write_bytes(path.read_bytes())


@pytest.mark.parametrize("when", ["after a restart", "within one run of the broker"])
@pytest.mark.parametrize("end", ["killed", "closed"])
async def test_a_restored_backup_kills_every_pass_issued_before(tmp_path: Path, when: str, end: str) -> None:
    restart_between, killed = when == "after a restart", end == "killed"
    state, backup = tmp_path / "state", tmp_path / "backup"
    store = raw_store(state)
    await begin(store)
    await store.close()
    if not restart_between:
        store = raw_store(state)
    copy(state, backup)
    if restart_between:
        store = raw_store(state)
    await store.commit(Change((spend(0),)))
    if not killed:
        await store.close()
    put_back(backup, state)

    async with sqlite_store(state) as restored:
        generation = (await restored.load()).pass_generation
        assert restored.restored
        told = check_record((await paged(restored))[-1])
        assert (told.kind, told.body["what"], told.body["pass_generation"]) == ("store", "restored", generation)
        assert generation > 1
    async with sqlite_store(state) as again:
        assert (await again.load()).pass_generation == generation
        assert not again.restored
    put_back(backup, state)
    async with sqlite_store(state) as twice:
        assert (await twice.load()).pass_generation > 1
        assert twice.restored
    await store.close()


async def test_generations_never_repeat_over_many_restores(tmp_path: Path) -> None:
    state, backup, clock = tmp_path / "state", tmp_path / "backup", iter(range(1000))
    state.mkdir(mode=0o700)

    async def opened() -> int:
        store = SqliteCommit.open(
            state / "store.db", signer=SIGNER, origin=ORIGIN, fence=FileFence(state), clock=lambda: Instant(next(clock))
        )
        generation = (await store.load()).pass_generation
        await store.commit(Change((), (record(),)))
        await store.close()
        return generation

    seen = [await opened()]
    copy(state, backup)
    assert await opened() == seen[0]
    for _ in range(5):
        put_back(backup, state)
        seen.append(await opened())

    assert len(set(seen)) == len(seen)
    assert seen == sorted(seen)


@pytest.mark.parametrize("lost", ["fence", "database"])
async def test_a_lost_fence_or_database_kills_every_pass_issued_before(tmp_path: Path, lost: str) -> None:
    state = tmp_path / "state"
    async with sqlite_store(state) as store:
        await begin(store)
    for path in [*state.glob("store.db*")] if lost == "database" else [*(state / "fence").iterdir()]:
        path.unlink()

    async with sqlite_store(state) as store:
        assert store.restored
        assert (await store.load()).pass_generation > 1


async def test_a_start_that_dies_between_fence_and_database_is_no_restore(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with sqlite_store(state) as store:
        await begin(store)
    with contextlib.closing(sqlite3.connect(state / "store.db")) as db:
        epoch, turn = db.execute("SELECT epoch, turn FROM meta").fetchone()
    for _ in range(3):
        fence = FileFence(state)
        assert fence.begin(epoch, turn)[1] is False
        fence.close()

    async with sqlite_store(state) as store:
        assert not store.restored
        assert (await store.load()).pass_generation == 1


async def test_a_broken_fence_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "state"):
        pass
    (tmp_path / "state" / "fence" / "epoch").write_text("7\n")

    with pytest.raises(UnavailableError) as caught:
        async with sqlite_store(tmp_path / "state"):
            pass

    assert caught.value.code == "fence_broken"


async def test_another_key_or_origin_cannot_go_on_with_a_ledger(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "state"):
        pass
    stranger = LedgerSigner.from_seed(SIGNER.key.name, bytes(32))

    for signer, origin in ((stranger, ORIGIN), (SIGNER, "elsewhere")):
        with pytest.raises(UnavailableError) as caught:
            SqliteCommit.open(
                tmp_path / "state" / "store.db",
                signer=signer,
                origin=origin,
                fence=FileFence(tmp_path / "state"),
                clock=lambda: NOW,
            )
        assert caught.value.code == "ledger_key_changed"


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM record WHERE number = 2",
        "UPDATE record SET leaf_hash = zeroblob(32) WHERE number = 2",
        "DELETE FROM checkpoint",
        "UPDATE checkpoint SET note = 'x'",
        "UPDATE meta SET frontier = zeroblob(64)",
        "UPDATE meta SET ledger_size = 4",
    ],
)
async def test_a_ledger_whose_end_was_tampered_with_is_not_gone_on_with(tmp_path: Path, damage: str) -> None:
    async with sqlite_store(tmp_path / "state") as store:
        await store.commit(Change((), (record(), record(), record())))
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "store.db")) as db:
        db.execute(damage)
        db.commit()

    with pytest.raises(UnavailableError) as caught:
        async with sqlite_store(tmp_path / "state"):
            pass

    assert caught.value.code == "ledger_broken"


async def test_a_broker_that_was_overtaken_can_never_write_again(tmp_path: Path) -> None:
    zombie = raw_store(tmp_path / "state")
    await begin(zombie)
    heir = raw_store(tmp_path / "state")

    for _ in range(2):
        with pytest.raises(FencedError):
            await zombie.commit(Change((spend(0),)))
    assert (await heir.commit(Change((spend(0),)))).gas_left == 99

    await zombie.close()
    await heir.close()


ZOMBIE = """
import asyncio, pathlib, sys
from tests.contract.stores import spend
from tests.contract.test_sqlite_store import raw_store
from jittrust.core.errors import FencedError
from jittrust.ports.commit import Change

async def main():
    store, seq = raw_store(pathlib.Path(sys.argv[1])), 0
    lane = (await store.load()).lanes["g-1", 0]
    try:
        for seq in range(lane.seq, lane.seq + 10**6):
            await store.commit(Change((spend(seq, 0),)))
            print(seq, flush=True)
    except FencedError:
        print("fenced", flush=True)

asyncio.run(main())
"""


def started_zombie(state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", ZOMBIE, state], stdout=subprocess.PIPE, text=True, cwd=ROOT)


async def test_a_stopped_process_that_wakes_up_after_a_takeover_writes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = raw_store(state)
    await begin(first)
    await first.close()

    for _ in range(3):
        zombie = started_zombie(state)
        assert zombie.stdout is not None
        for _ in range(20):
            assert zombie.stdout.readline().strip().isdigit()
        zombie.send_signal(signal.SIGSTOP)
        await asyncio.sleep(0.05)
        # A process that sleeps inside a transaction holds SQLite's own lock; then nobody can take over until it wakes.
        heir = None
        while heir is None:
            try:
                heir = raw_store(state)
            except UnavailableError:
                zombie.send_signal(signal.SIGCONT)
                await asyncio.sleep(0.002)
                zombie.send_signal(signal.SIGSTOP)
        seq = (await heir.load()).lanes["g-1", 0].seq
        zombie.send_signal(signal.SIGCONT)
        said = zombie.communicate(timeout=30)[0].split()

        assert said[-1] == "fenced"
        assert all(int(told) < seq for told in said[:-1])
        assert (await heir.load()).lanes["g-1", 0].seq == seq
        await heir.close()


class SlowFence(FileFence):
    """A disk that hangs: the step after each commit waits until it is let go."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self.hang = False

    def note(self, turn: int) -> None:
        while self.hang:
            time.sleep(0.005)
        super().note(turn)


async def test_behind_a_hung_disk_every_caller_is_told_in_time_and_what_was_not_begun_never_is(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    fence = SlowFence(state)
    store = SqliteCommit.open(
        state / "store.db", signer=SIGNER, origin=ORIGIN, fence=fence, clock=lambda: NOW, deadline_s=0.3
    )
    await begin(store)
    fence.hang = True
    loop = asyncio.get_running_loop()
    began = loop.time()
    first = asyncio.create_task(store.commit(Change((spend(0),))))
    await asyncio.sleep(0.1)
    waiting = [asyncio.create_task(store.commit(Change((), (record(n=n),)))) for n in range(20)]
    cancelled = asyncio.create_task(store.commit(Change((), (record(),))))
    ticks = 0
    while loop.time() - began < 0.5:
        await asyncio.sleep(0.01)
        ticks += 1
        if ticks == 5:
            cancelled.cancel()

    results = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert all(isinstance(result, UnavailableError) and result.code == "store_unavailable" for result in results)
    assert loop.time() - began < 1.0
    assert ticks > 20, "the loop went on"
    with pytest.raises(UnavailableError):
        await store.load()
    fence.hang = False
    await asyncio.sleep(0.1)
    assert await store.entries(0, 100) == (), "none of those that were told no was carried out"
    assert (await store.load()).lanes["g-1", 0].seq == 1, (
        "the one under way was, and its caller may not think otherwise"
    )
    await store.close()


async def test_too_many_waiting_are_refused_at_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    fence = SlowFence(state)
    store = SqliteCommit.open(state / "store.db", signer=SIGNER, origin=ORIGIN, fence=fence, clock=lambda: NOW)
    fence.hang = True
    first = asyncio.create_task(store.commit(Change((), (record(),))))
    await asyncio.sleep(0.05)
    tasks = [asyncio.create_task(store.commit(Change((), (record(n=n),)))) for n in range(MOST_WAITING + 100)]
    await asyncio.sleep(0)
    fence.hang = False

    outcomes = await asyncio.gather(first, *tasks, return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(refused) == 100
    assert all(isinstance(outcome, UnavailableError) for outcome in refused)
    assert len(await paged(store)) == MOST_WAITING + 1
    await store.close()


async def paged(store: SqliteCommit) -> list[bytes]:
    entries: list[bytes] = []
    while page := await store.entries(len(entries), 1000):
        entries.extend(page)
    return entries


@contextlib.contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def filled(store: SqliteCommit) -> tuple[int, JitError]:
    """Spend until the store says no; how often it said yes, and what it said then."""
    first = (await store.load()).lanes["g-1", 0].seq
    for seq in range(first, first + 5000):
        try:
            await store.commit(Change((spend(seq, 0, use=f"c-{seq}"),), (record(seq=seq, more="x" * 2000),)))
        except JitError as bad:
            return seq - first, bad
    raise AssertionError("it never filled up")


async def goes_on_after(store: SqliteCommit, done: int, error: JitError) -> None:
    assert isinstance(error, UnavailableError)
    assert error.code == "store_unavailable"
    assert done > 10, "there was traffic before it was full"
    state = await store.load()
    assert state.lanes["g-1", 0].seq == done, "what was acknowledged is there and nothing else"
    await store.commit(Change((spend(done, 0),), (record(),)))
    entries = await paged(store)
    assert len(entries) == done + 1
    assert isinstance(verify(entries, await store.checkpoint(), SIGNER.key, whole=True), LedgerVerified)


async def test_a_disk_that_takes_no_more_denies_and_the_store_goes_on_by_itself_when_it_does(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "state") as store:
        await begin(store)
        with no_file_longer_than(1024 * 1024):
            done, error = await filled(store)
            for _ in range(3):
                with pytest.raises(UnavailableError):
                    await store.commit(Change((PutPin(replace(pin(), definition="x" * 1024 * 1024)),)))

        await goes_on_after(store, done, error)


@pytest.fixture
def small_disk(tmp_path: Path, unproven: Callable[[str, str], NoReturn]) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        unproven("full disk", f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


async def test_a_full_disk_denies_and_the_store_goes_on_by_itself_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1024 * 1024))
    async with sqlite_store(small_disk / "state") as store:
        await begin(store)
        done, error = await filled(store)
        assert "full" in error.message
        assert "room" in error.next_step
        ballast.unlink()

        await goes_on_after(store, done, error)


async def test_a_store_that_cannot_be_written_is_refused_and_can_still_be_read(small_disk: Path) -> None:
    async with sqlite_store(small_disk / "state") as store:
        await begin(store)
        await store.commit(Change((spend(0),), (record(),)))
    remount(small_disk, "ro")

    with pytest.raises(UnavailableError):
        raw_store(small_disk / "state")
    with LedgerFile(small_disk / "state" / "store.db") as ledger:
        assert len(list(ledger.leaves())) == 1

    remount(small_disk, "rw")
    async with sqlite_store(small_disk / "state") as store:
        assert (await store.commit(Change((spend(1),)))).gas_left == 98


async def test_a_pass_is_spent_once_whatever_the_lane_says(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "state") as store:
        await begin(store)
        await store.commit(Change((spend(0),)))
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "store.db")) as db:
        db.execute("UPDATE lane SET seq = 0")
        db.commit()

    async with sqlite_store(tmp_path / "state") as store:
        with pytest.raises(PassSupersededError):
            await store.commit(Change((spend(0),)))
        with pytest.raises(PassSupersededError):
            await store.commit(Change((PutLane(lane(seq=1), 0),)))


async def test_what_cannot_be_stored_fails_alone(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path / "state") as store:
        await begin(store)
        bad = [
            Change((PutMission(replace(mission("m-2"), person="\ud800"), None),)),
            Change((spend(0, use="\ud800"),)),
            Change((PutLane(lane(number=1, seq=2**70), None),)),
        ]

        results = await asyncio.gather(
            *(store.commit(change) for change in bad), store.commit(Change((spend(0),))), return_exceptions=True
        )

        assert [type(result) for result in results[:-1]] == [BadInputError] * len(bad)
        assert not isinstance(results[-1], BaseException)


async def test_the_ledger_is_read_offline_and_beside_a_running_broker(tmp_path: Path) -> None:
    path = tmp_path / "state" / "store.db"
    with pytest.raises(NotFoundError):
        LedgerFile(path)
    async with sqlite_store(tmp_path / "state") as store:
        with LedgerFile(path) as ledger:
            assert ledger.checkpoint() is None
        for n in range(30):
            await store.commit(Change((), (record(n=n),)))
        with LedgerFile(path) as ledger:
            await store.commit(Change((), (record(),)))
            leaves, note = list(ledger.leaves()), ledger.checkpoint()
            some = ledger.checkpoints(10)
            assert ledger.ledger_key() == str(SIGNER.key)
            assert len(ledger.checkpoints(100)) == 30
            assert len(ledger.checkpoints(100, begin=5, end=9)) == 5

    assert note is not None
    assert len(leaves) == 30, "one picture, whatever was written meanwhile"
    assert len(some) == 10
    assert isinstance(verify(leaves, note, SIGNER.key, some, whole=True), LedgerVerified)
    (tmp_path / "other.db").write_bytes(b"x" * 5000)
    with pytest.raises(UnavailableError):
        LedgerFile(tmp_path / "other.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "foreign.db")) as db:
        db.execute("CREATE TABLE theirs (x)")
    with pytest.raises(UnavailableError) as caught:
        LedgerFile(tmp_path / "foreign.db")
    assert caught.value.code == "store_foreign"


@pytest.mark.slow
def test_ten_thousand_races_on_one_pass_have_one_winner_each(tmp_path: Path) -> None:
    result = races.campaign(tmp_path / "state", 10_000)

    assert result["faults"] == []
    assert result["winners"] == result["races"]
    assert int(str(result["races"])) >= 10_000


@pytest.mark.slow
def test_killed_under_load_nothing_lives_twice_and_nothing_acknowledged_is_missing(tmp_path: Path) -> None:
    result = crash_store.campaign(tmp_path / "state", 20, seed=7)

    assert result["faults"] == []
    assert result["false_restores"] == 0
    assert result["floor_met"]
