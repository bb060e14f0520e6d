"""One broker a state folder: an exclusive lock that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from jittrust.adapters.files.durable import PRIVATE_FILE, private_folder
from jittrust.core.errors import UnavailableError


class BrokerLock:
    """Holds `<state>/broker.lock` until `release()` or the end of the process.

    The kernel drops the lock with the process, so there are no stale locks. The file stays: removing it would let two brokers hold two files of
    one name. A broker that runs on after somebody removed the file by hand is stopped by the fence.
    """

    def __init__(self, handle: int, path: Path) -> None:
        self._handle = handle
        self.path = path

    @classmethod
    def take(cls, state: Path) -> BrokerLock:
        """Take the lock or fail at once.

        Raises:
            UnavailableError: code `broker_running` (another process has it), `state_exposed`, `state_unusable`.
        """
        path = private_folder(state) / "broker.lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
        except OSError as bad:
            raise UnavailableError("state_unusable", f"{path} cannot be opened: {bad.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            os.close(handle)
            who = f" (process {holder})" if holder.isdigit() else ""
            raise UnavailableError(
                "broker_running",
                f"another broker{who} works on {state}",
                "Join it with `jittrust run`, stop it, or give this one its own --state.",
            ) from None
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            # The number only helps people, and a full disk must not keep a broker from starting to say so.
            pass
        return cls(handle, path)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.release()
