"""Files beside the store: keys nobody else reads, writes that are whole, a lock that ends with its process."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from jittrust.adapters.files.durable import write_whole
from jittrust.adapters.files.fence import FileFence
from jittrust.adapters.files.keys import BrokerKeys, load_keys
from jittrust.adapters.files.lock import BrokerLock
from jittrust.core.errors import UnavailableError
from jittrust.core.secret import Secret


def refused(act: Callable[[], object]) -> UnavailableError:
    with pytest.raises(UnavailableError) as caught:
        act()
    return caught.value


def test_keys_are_made_once_and_differ_from_each_other(tmp_path: Path) -> None:
    made = load_keys(tmp_path / "state")

    assert load_keys(tmp_path / "state") == made
    secrets = [getattr(made, name).reveal() for name in BrokerKeys.__dataclass_fields__]
    assert len(set(secrets)) == 4
    assert {len(secret) for secret in secrets} == {32}
    assert all(secret.hex() not in repr(made) for secret in secrets)


def test_only_the_owner_can_read_keys(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_keys(tmp_path / "state")
    finally:
        os.umask(before)

    folder = tmp_path / "state" / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_key_that_others_may_read_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    load_keys(tmp_path / "state")
    key = tmp_path / "state" / "keys" / "passes"
    key.chmod(mode)

    error = refused(lambda: load_keys(tmp_path / "state"))

    assert error.code == "state_exposed"
    assert f"chmod 600 {key}" in error.next_step


@pytest.mark.parametrize("which", ["state", "state/keys"])
def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path, which: str) -> None:
    load_keys(tmp_path / "state")
    (tmp_path / which).chmod(0o755)

    error = refused(lambda: load_keys(tmp_path / "state"))

    assert error.code == "state_exposed"
    assert "chmod 700" in error.next_step


def test_a_missing_broken_or_redirected_key_is_refused_and_never_made_anew(tmp_path: Path) -> None:
    load_keys(tmp_path / "state")
    key = tmp_path / "state" / "keys" / "ledger"
    content = key.read_bytes()

    for broken in (b"", content[:-1], content.upper() + b"x", content * 2, b"\xff" * 65):
        key.write_bytes(broken)
        assert refused(lambda: load_keys(tmp_path / "state")).code == "key_broken"
    key.unlink()
    assert refused(lambda: load_keys(tmp_path / "state")).code == "key_missing"
    (tmp_path / "elsewhere").write_bytes(content)
    key.symlink_to(tmp_path / "elsewhere")
    assert refused(lambda: load_keys(tmp_path / "state")).code == "state_unusable"


def test_making_keys_that_was_cut_short_starts_over(tmp_path: Path) -> None:
    calls = iter(range(6))

    def dies_at_the_third(size: int) -> bytes:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return bytes(size)

    with pytest.raises(KeyboardInterrupt):
        load_keys(tmp_path / "state", dies_at_the_third)

    assert load_keys(tmp_path / "state", lambda size: b"k" * size).ledger == Secret(b"k" * 32)


def test_a_state_folder_that_cannot_be_made_is_an_error_with_a_code(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for act in (load_keys, FileFence, BrokerLock.take):
        assert refused(lambda act=act: act(tmp_path / "file")).code == "state_unusable"  # type: ignore[misc]


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / ".x.new").write_bytes(b"left by a crash")
    write_whole(tmp_path / "x", b"1" * 100_000)
    write_whole(tmp_path / "x", b"2")

    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"2"


def test_the_lock_is_free_again_when_released_and_says_who_holds_it(tmp_path: Path) -> None:
    lock = BrokerLock.take(tmp_path / "state")

    error = refused(lambda: BrokerLock.take(tmp_path / "state"))
    lock.release()
    lock.release()

    assert error.code == "broker_running"
    assert str(os.getpid()) in error.message
    with BrokerLock.take(tmp_path / "state"):
        pass


def test_each_start_has_an_epoch_above_all_before(tmp_path: Path) -> None:
    epochs = []
    stored = 0
    for turn in range(5):
        fence = FileFence(tmp_path / "state")
        stored, restored = fence.begin(stored, turn)
        fence.settle()
        fence.note(turn + 1)
        fence.close()
        fence.close()
        epochs.append(stored)
        assert not restored

    assert epochs == sorted(set(epochs))
    assert len(list((tmp_path / "state" / "fence").iterdir())) == 2, "old turns are cleared away"


@pytest.mark.parametrize(
    ("epoch", "turn", "restored"),
    [(3, 7, False), (3, 9, False), (3, 6, True), (2, 7, True), (9, 7, True), (0, 0, True)],
)
def test_a_database_that_does_not_fit_the_fence_is_not_the_one_that_ran_last(
    tmp_path: Path, epoch: int, turn: int, *, restored: bool
) -> None:
    for stored in range(3):
        fence = FileFence(tmp_path / "state")
        fence.begin(stored, stored)
        fence.settle()
        fence.note(7)
        fence.close()

    fence = FileFence(tmp_path / "state")
    assert fence.begin(epoch, turn)[1] is restored
    fence.close()


def test_a_torn_turn_is_a_loss_of_power_and_no_restore(tmp_path: Path) -> None:
    fence = FileFence(tmp_path / "state")
    epoch, _ = fence.begin(0, 0)
    fence.settle()
    fence.close()
    (tmp_path / "state" / "fence" / f"turn-{epoch}").write_bytes(b"0000000000999")

    fence = FileFence(tmp_path / "state")
    assert fence.begin(epoch, 5)[1] is False
    fence.close()
