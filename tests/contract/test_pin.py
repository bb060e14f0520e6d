"""What every check of the approver's PIN promises, and what the one on disk promises besides."""

from __future__ import annotations

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jittrust.adapters.files.pin import PinFile
from jittrust.adapters.memory.pin import MemoryPin
from jittrust.core.errors import BadInputError, RefusedError
from jittrust.core.units import Instant
from jittrust.ports.pin import PinCheck

PIN = "271828"


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> Instant:
        return Instant(self.now)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path, clock: Clock) -> PinFile:
    return PinFile(tmp_path, clock)


def outcome(check: Callable[[], None]) -> str:
    try:
        check()
    except (RefusedError, BadInputError) as error:
        return error.code
    return "right"


@pytest.fixture(params=["files", "memory"])
def with_pin(request: pytest.FixtureRequest, file: PinFile) -> PinCheck:
    if request.param == "memory":
        return MemoryPin(PIN)
    file.set(PIN)
    return file


@pytest.fixture(params=["files", "memory"])
def without_pin(request: pytest.FixtureRequest, file: PinFile) -> PinCheck:
    return MemoryPin() if request.param == "memory" else file


def test_the_right_pin_is_right_as_often_as_it_is_shown(with_pin: PinCheck) -> None:
    assert [outcome(lambda: with_pin.check(PIN)) for _ in range(3)] == ["right"] * 3


@pytest.mark.parametrize(
    "pin", ["", "271829", PIN + " ", "\ud800", "\uff12\uff17\uff11\uff18\uff12\uff18", "x" * 10_000, PIN + "\0"]
)
def test_any_other_pin_is_wrong(with_pin: PinCheck, pin: str) -> None:
    assert outcome(lambda: with_pin.check(pin)) == "pin_wrong"


def test_without_a_pin_nothing_is_right(without_pin: PinCheck) -> None:
    assert outcome(lambda: without_pin.check("")) == "pin_not_set"
    assert outcome(lambda: without_pin.check(PIN)) == "pin_not_set"


def test_after_five_wrong_tries_even_the_right_pin_is_not_looked_at(with_pin: PinCheck) -> None:
    assert [outcome(lambda: with_pin.check("999999x")) for _ in range(5)] == ["pin_wrong"] * 5
    assert outcome(lambda: with_pin.check(PIN)) == "pin_locked"


def test_a_right_pin_forgives_the_wrong_ones_before_it(with_pin: PinCheck) -> None:
    for _ in range(3):
        tries = [outcome(lambda: with_pin.check("000001")) for _ in range(4)]
        assert [*tries, outcome(lambda: with_pin.check(PIN))] == ["pin_wrong"] * 4 + ["right"]


def test_the_lock_grows_and_survives_a_restart(file: PinFile, tmp_path: Path, clock: Clock) -> None:
    file.set(PIN)
    for _ in range(5):
        outcome(lambda: file.check("x"))
    waits = []
    for _ in range(9):
        begun = clock.now
        while outcome(lambda: PinFile(tmp_path, clock).check("x")) == "pin_locked":
            clock.now += 10
        waits.append(clock.now - begun)

    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    clock.now += 3600
    assert outcome(lambda: file.check(PIN)) == "right"


def test_parallel_guesses_do_not_share_a_count(file: PinFile) -> None:
    file.set(PIN)
    with ThreadPoolExecutor(8) as pool:
        tries = list(pool.map(lambda n: outcome(lambda: file.check(f"wrong{n}")), range(16)))

    assert sorted(tries) == ["pin_locked"] * 11 + ["pin_wrong"] * 5


def test_a_damaged_count_is_no_free_try(file: PinFile, tmp_path: Path) -> None:
    file.set(PIN)
    (tmp_path / "approver.tries").write_text("{")

    assert outcome(lambda: file.check("x")) == "pin_wrong"
    assert outcome(lambda: file.check("x")) == "pin_locked"


@pytest.mark.parametrize("pin", ["", "12345", "111111", "123456", "987654", "abcdefg", "x" * 129])
def test_a_weak_pin_is_refused_and_nothing_is_set(file: PinFile, pin: str) -> None:
    assert outcome(lambda: file.set(pin)) == "pin_weak"
    assert not file.is_set()


def test_a_pin_is_changed_only_by_who_knows_it(file: PinFile) -> None:
    file.set(PIN)

    assert outcome(lambda: file.set("314159")) == "pin_wrong"
    assert outcome(lambda: file.set("314159", "000000")) == "pin_wrong"
    file.set("314159", PIN)
    assert outcome(lambda: file.check(PIN)) == "pin_wrong"
    assert outcome(lambda: file.check("314159")) == "right"


def test_what_is_on_disk_is_private_and_not_the_pin(file: PinFile, tmp_path: Path) -> None:
    file.set(PIN)
    outcome(lambda: file.check("x"))
    found = {path.name: path for path in tmp_path.iterdir()}

    assert set(found) == {"approver.pin", "approver.tries", "approver.lock"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in found.values())
    assert all(PIN not in path.read_text() for path in found.values())
    other = PinFile(tmp_path / "other", Clock())
    (tmp_path / "other").mkdir()
    other.set(PIN)
    assert (tmp_path / "other" / "approver.pin").read_text() != found["approver.pin"].read_text()


def test_a_file_that_others_may_touch_or_that_is_no_pin_is_never_believed(file: PinFile, tmp_path: Path) -> None:
    file.set(PIN)
    kept = tmp_path / "approver.pin"
    good = kept.read_text()
    kept.chmod(0o644)
    assert outcome(lambda: file.check(PIN)) == "pin_unsafe"
    kept.chmod(0o600)
    for text in (
        "",
        "{}",
        good.replace('"v": 1', '"v": 2'),
        good.replace('"n": 32768', '"n": 1e12'),
        '{"v":1,"n":"x"}',
    ):
        kept.write_text(text)
        assert outcome(lambda: file.check(PIN)) == "pin_unsafe"
    kept.unlink()
    (tmp_path / "elsewhere").write_text(good)
    kept.symlink_to(tmp_path / "elsewhere")
    assert outcome(lambda: file.check(PIN)) == "pin_unsafe"
