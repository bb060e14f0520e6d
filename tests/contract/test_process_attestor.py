"""What the kernel says about a process becomes selectors, and every answer belongs to exactly one process."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jittrust.adapters.proc import process_attestor
from jittrust.adapters.proc.process_attestor import ProcAttestor
from jittrust.core.errors import RefusedError
from jittrust.ports.process_attestor import Process, ProcessAttestor

SLEEP = Path(shutil.which("sleep") or "/bin/sleep").resolve()


def started(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    return int(text[text.rindex(")") + 2 :].split()[19])


@pytest.fixture
def attestor() -> ProcessAttestor:
    return ProcAttestor()


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a binary of its own."""
    own = tmp_path / "sleeper"
    shutil.copy(SLEEP, own)
    running = subprocess.Popen([own, "60"], close_fds=True)
    yield running
    running.kill()
    running.wait()


def of(running: subprocess.Popen[bytes]) -> Process:
    return Process(running.pid, os.getuid(), os.getgid(), started(running.pid))


def test_a_process_is_told_by_user_group_path_and_hash(
    attestor: ProcessAttestor, sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    found = attestor.selectors(of(sleeper))

    assert f"unix:uid:{os.getuid()}" in found
    assert f"unix:gid:{os.getgid()}" in found
    assert f"unix:user:{pwd.getpwuid(os.getuid()).pw_name}" in found
    assert f"unix:group:{grp.getgrgid(os.getgid()).gr_name}" in found
    assert f"unix:path:{tmp_path / 'sleeper'}" in found
    assert f"unix:sha256:{hashlib.sha256(SLEEP.read_bytes()).hexdigest()}" in found
    assert {f"unix:supplementary_gid:{gid}" for gid in os.getgroups()} <= set(found)


def test_a_binary_that_was_deleted_has_no_path_and_keeps_its_hash(
    attestor: ProcessAttestor, sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / "sleeper").unlink()

    found = attestor.selectors(of(sleeper))

    assert not [one for one in found if one.startswith("unix:path:")]
    assert f"unix:sha256:{hashlib.sha256(SLEEP.read_bytes()).hexdigest()}" in found


def test_another_binary_put_at_the_path_gives_its_hash_to_nobody(
    attestor: ProcessAttestor, sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "other").replace(tmp_path / "sleeper")

    found = attestor.selectors(of(sleeper))

    assert f"unix:sha256:{hashlib.sha256(b'other').hexdigest()}" not in found
    assert f"unix:path:{tmp_path / 'sleeper'}" not in found


def test_a_process_that_ended_is_refused(attestor: ProcessAttestor, sleeper: subprocess.Popen[bytes]) -> None:
    process = of(sleeper)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(RefusedError, match="ended"):
        attestor.selectors(process)
    sleeper.wait()
    with pytest.raises(RefusedError) as told:
        attestor.selectors(process)
    assert told.value.code == "process_gone"


def test_another_process_under_the_same_pid_is_refused(
    attestor: ProcessAttestor, sleeper: subprocess.Popen[bytes]
) -> None:
    then = Process(sleeper.pid, os.getuid(), os.getgid(), started(sleeper.pid) - 1)

    with pytest.raises(RefusedError) as told:
        attestor.selectors(then)

    assert told.value.code == "process_gone"


def test_a_name_that_looks_like_the_rest_of_the_line_tells_no_other_start(tmp_path: Path) -> None:
    folder = tmp_path / "77"
    folder.mkdir()
    after = " ".join(str(number) for number in range(4, 53))
    (folder / "stat").write_text(f"77 (a) S 1 1 1 ) S {after}\n", encoding="utf-8")

    found = ProcAttestor(tmp_path).selectors(Process(77, 4_000_000_000, 4_000_000_001, 22))

    assert found == ("unix:uid:4000000000", "unix:gid:4000000001")
    with pytest.raises(RefusedError):
        ProcAttestor(tmp_path).selectors(Process(77, 0, 0, 21))


def test_a_binary_is_hashed_once_and_again_when_it_is_another(attestor: ProcessAttestor, tmp_path: Path) -> None:
    folder = tmp_path / "78"
    folder.mkdir()
    (folder / "stat").write_text("78 (x) S " + " ".join("1" for _ in range(49)), encoding="utf-8")
    target = tmp_path / "binary"
    target.write_bytes(b"one")
    (folder / "exe").symlink_to(target)
    reading = ProcAttestor(tmp_path)

    assert f"unix:sha256:{hashlib.sha256(b'one').hexdigest()}" in reading.selectors(Process(78, 1, 1))
    target.write_bytes(b"two")
    os.utime(target, ns=(1, 1))
    assert f"unix:sha256:{hashlib.sha256(b'two').hexdigest()}" in reading.selectors(Process(78, 1, 1))
    assert len(reading._hashes) == 2


def test_a_binary_too_large_to_hash_has_no_hash(
    attestor: ProcessAttestor, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_attestor, "MAX_BINARY", 10)

    assert not [one for one in attestor.selectors(of(sleeper)) if one.startswith("unix:sha256:")]


def test_the_tests_own_process_is_attested_too(attestor: ProcessAttestor) -> None:
    found = attestor.selectors(Process(os.getpid(), os.getuid(), os.getgid(), started(os.getpid())))

    assert f"unix:path:{Path(sys.executable).resolve()}" in found
