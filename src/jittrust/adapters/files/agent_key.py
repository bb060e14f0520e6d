"""`ports.agent_key` as a file of mode 0600 that is made once and checked whenever it is read."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from jittrust.adapters.files.durable import PRIVATE_FILE, check_private, sync_folder
from jittrust.core.errors import UnavailableError
from jittrust.core.secret import Secret

MOST_BYTES = 16384


def read_private(path: Path) -> bytes | None:
    """The content of a file that is its owner's alone; None when it is not there.

    Raises:
        UnavailableError: code `state_exposed`, or `agent_key_unusable`.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as bad:
        raise _unusable(path, bad.strerror) from None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise _unusable(path, "it is no plain file")
        check_private(path, found)
        content = os.read(handle, MOST_BYTES + 1)
    finally:
        os.close(handle)
    if len(content) > MOST_BYTES:
        raise _unusable(path, f"it has more than {MOST_BYTES} bytes")
    return content


class AgentKeyFile:
    """One key in one file."""

    def __init__(self, path: Path) -> None:
        """The folder must be there, and nobody else's."""
        self._path = path

    def read(self) -> Secret | None:
        content = read_private(self._path)
        return None if content is None else Secret(content)

    def make(self, key: Secret) -> Secret:
        # Whole under another name first, then in its place unless somebody was faster: a reader never sees a part, nobody overwrites.
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
            try:
                os.write(handle, key.reveal())
                os.fsync(handle)
            finally:
                os.close(handle)
            try:
                os.link(draft, self._path, follow_symlinks=False)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
            sync_folder(self._path.parent)
        except OSError as bad:
            raise _unusable(self._path, bad.strerror) from None
        kept = self.read()
        if kept is None:
            raise _unusable(self._path, "it went away again")
        return kept


def _unusable(path: Path, why: str | None) -> UnavailableError:
    return UnavailableError(
        "agent_key_unusable", f"The key file {path} cannot be used: {why}.", "Name another: --key FILE."
    )
