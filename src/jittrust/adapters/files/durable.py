"""Files that are whole or not there, also after a loss of power, and folders nobody else may enter."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from jittrust.core.errors import UnavailableError

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def write_whole(path: Path, content: bytes) -> None:
    """Write `path` so that a reader sees the old content or the new one, never a part; durable when this returns. Mode 0600.

    Raises:
        OSError: as the file system says.
    """
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make names in a folder durable: a new or renamed file is lost otherwise when power goes."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def private_folder(path: Path) -> Path:
    """Make the folder (0700) if it is missing, and refuse one that others may enter.

    Raises:
        UnavailableError: code `state_exposed` (others may read it, or it is somebody else's) or `state_unusable`.
    """
    try:
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as bad:
        raise UnavailableError("state_unusable", f"{path} cannot be used: {bad.strerror}") from None
    check_private(path, found)
    return path


def check_private(path: Path, found: os.stat_result) -> None:
    """Refuse what belongs to somebody else or lets others in.

    Raises:
        UnavailableError: code `state_exposed`.
    """
    if found.st_uid != os.geteuid():
        raise UnavailableError("state_exposed", f"{path} belongs to user id {found.st_uid}, not to {os.geteuid()}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise UnavailableError(
            "state_exposed",
            f"others may read {path} (mode {stat.S_IMODE(found.st_mode):03o})",
            f"Run: chmod {mode} {path}. If it holds a key that others could read, make a new one.",
        )
