"""Where state lies. Imported by every entry point, so it costs nothing: no third-party imports."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from jittrust.core.errors import BadInputError

CONFIG_NAME: Final = "jittrust.yaml"
STATE_VARIABLE: Final = "JITTRUST_STATE_DIR"


def default_state_dir(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """The platform's data directory for jittrust: `$JITTRUST_STATE_DIR`, else `$XDG_DATA_HOME/jittrust`, else the usual place.

    The usual place is `~/.local/share/jittrust`, on macOS `~/Library/Application Support/jittrust`. Nothing is created.
    """
    variables = os.environ if environ is None else environ
    if chosen := variables.get(STATE_VARIABLE):
        return Path(chosen).expanduser()
    # The XDG specification says to ignore relative paths.
    if (data := variables.get("XDG_DATA_HOME")) and Path(data).is_absolute():
        return Path(data) / "jittrust"
    home = Path.home()
    return (
        home / "Library" / "Application Support" / "jittrust"
        if platform == "darwin"
        else home / ".local/share/jittrust"
    )


def find_config(explicit: Path | None, state_dir: Path) -> Path | None:
    """The configuration file in force: the one named, else `jittrust.yaml` in the state directory, else none.

    The working directory is never searched: an agent may be able to write there, and it must not choose its own policy.

    Raises:
        BadInputError: code `config_missing`: the file that was named does not exist.
    """
    if explicit is not None:
        if not explicit.is_file():
            raise BadInputError(
                "config_missing",
                f"There is no configuration file {explicit}",
                "Name another with --config, or leave it out.",
            )
        return explicit
    usual = state_dir / CONFIG_NAME
    return usual if usual.is_file() else None


def make_private(folder: Path) -> Path:
    """Create `folder` readable by its owner alone, or take those rights away from the rest; return it.

    Raises:
        BadInputError: code `state_dir_unusable`: it is no directory, cannot be made, or belongs to somebody else.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid == os.getuid() and status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise BadInputError(
            "state_dir_unusable",
            f"{folder} cannot be used for state: {error.strerror}",
            "Choose another with --state DIR.",
        ) from error
    if status.st_uid != os.getuid():
        raise BadInputError(
            "state_dir_unusable", f"{folder} belongs to another user", "Choose another with --state DIR."
        )
    return folder
