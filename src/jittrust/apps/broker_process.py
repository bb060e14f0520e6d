"""The user's broker as a process of its own: started by the first `jittrust run`, ends when nobody needs it any more."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import uvloop

from jittrust.api.local.face import LocalFace
from jittrust.apps.settings import Settings, load_settings
from jittrust.apps.state_dir import find_config, make_private
from jittrust.apps.wiring import open_broker
from jittrust.core.errors import JitError
from jittrust.ports.wire import socket_path

# How often it looks whether anybody is still there, seconds.
_LOOK_EVERY = 1.0


async def keep(state: Path, settings: Settings, idle: float) -> None:
    """Serve the broker of `state` on its socket until it was idle for `idle` seconds, or a signal comes.

    Raises:
        JitError: the state cannot be opened.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(one, stopped.set)
    async with open_broker(state, settings) as wired:
        face = LocalFace(wired.driving)
        await face.open(socket_path(state))
        try:
            while not stopped.is_set() and face.quiet_for() < idle:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), min(_LOOK_EVERY, idle))
        finally:
            # First nobody gets in any more, then what is queued becomes durable.
            await face.close()


def main(argv: list[str] | None = None) -> int:
    """Run the process; exit code as the command line's."""
    parser = argparse.ArgumentParser(prog="jittrust broker", description="The broker of one user.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--idle", type=float, default=None)
    chosen = parser.parse_args(argv)
    try:
        state = make_private(chosen.state)
        settings = load_settings(find_config(None, state), state_dir=state)
        idle = chosen.idle if chosen.idle is not None else float(settings.store.idle_exit_seconds)
        uvloop.run(keep(state, settings, idle))
    except JitError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
