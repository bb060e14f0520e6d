"""`ports.process_attestor`: reads /proc."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import stat
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import TypeAlias

from jittrust.core.errors import RefusedError
from jittrust.ports.process_attestor import Process

MAX_BINARY = 1 << 30
"""A larger executable is not hashed: it has no `unix:sha256`."""
HASHES_KEPT = 256
_GROUPS_MOST = 1024
_MAX_TEXT = 900
_DELETED = " (deleted)"
_STARTED = 19  # place of `starttime` after the command name in /proc/PID/stat (proc(5), field 22)
_Seen: TypeAlias = tuple[int, int, int, int, int]


class ProcAttestor:
    """Reads /proc. Safe for many threads at once."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._hashes: OrderedDict[_Seen, str] = OrderedDict()
        self._lock = Lock()

    def selectors(self, process: Process) -> tuple[str, ...]:
        begun = self._started(process)
        found = [f"unix:uid:{process.uid}", f"unix:gid:{process.gid}"]
        found += (f"unix:user:{name}" for name in _user(process.uid))
        found += (f"unix:group:{name}" for name in _group(process.gid))
        found += (f"unix:supplementary_gid:{gid}" for gid in self._groups(process))
        found += self._executable(process)
        # The answer belongs to one process only if the pid was its own from the first look to the last.
        if self._started(process) != begun:
            raise _gone(process)
        return tuple(found)

    def _started(self, process: Process) -> int:
        try:
            text = (self._proc / str(process.pid) / "stat").read_bytes()
            # The command name is the process's own choice and may hold spaces and parentheses: only the last one ends it.
            fields = text[text.rindex(b")") + 2 :].split()
            started = int(fields[_STARTED])
        except (OSError, ValueError, IndexError):
            raise _gone(process) from None
        # A process that has ended and was not waited for yet is gone.
        if fields[0] in {b"Z", b"X", b"x"} or process.started not in {0, started}:
            raise _gone(process)
        return started

    def _groups(self, process: Process) -> tuple[int, ...]:
        try:
            status = (self._proc / str(process.pid) / "status").read_bytes()
        except OSError:
            return ()
        for line in status.splitlines():
            if line.startswith(b"Groups:"):
                return tuple(int(gid) for gid in line.split()[1 : _GROUPS_MOST + 1])
        return ()

    def _executable(self, process: Process) -> Iterator[str]:
        """`unix:path` and `unix:sha256`. What was deleted or replaced since it was started has no path, for the path names another file now."""
        link = self._proc / str(process.pid) / "exe"
        try:
            path = str(link.readlink())
            if path.startswith("/") and not path.endswith(_DELETED) and path.isprintable() and len(path) <= _MAX_TEXT:
                yield f"unix:path:{path}"
            opened = os.open(link, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            digest = self._digest(opened)
        except OSError:
            return
        finally:
            os.close(opened)
        if digest:
            yield f"unix:sha256:{digest}"

    def _digest(self, opened: int) -> str:
        seen = _seen(opened)
        if seen is None:
            return ""
        with self._lock:
            if seen in self._hashes:
                self._hashes.move_to_end(seen)
                return self._hashes[seen]
        with os.fdopen(os.dup(opened), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        # Written to meanwhile: it is neither the one nor the other.
        if _seen(opened) != seen:
            return ""
        with self._lock:
            self._hashes[seen] = digest
            while len(self._hashes) > HASHES_KEPT:
                self._hashes.popitem(last=False)
        return digest


def _seen(opened: int) -> _Seen | None:
    told = os.fstat(opened)
    if not stat.S_ISREG(told.st_mode) or told.st_size > MAX_BINARY:
        return None
    return told.st_dev, told.st_ino, told.st_mtime_ns, told.st_ctime_ns, told.st_size


def _user(uid: int) -> tuple[str, ...]:
    try:
        return (pwd.getpwuid(uid).pw_name,)
    except KeyError:
        return ()


def _group(gid: int) -> tuple[str, ...]:
    try:
        return (grp.getgrgid(gid).gr_name,)
    except KeyError:
        return ()


def _gone(process: Process) -> RefusedError:
    return RefusedError("process_gone", f"The process {process.pid} has ended, or its pid is another's now.")
