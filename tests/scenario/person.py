"""A person at another terminal: answers no to every question of a broker, until the file STATE/gone is there: `person.py STATE`.

Started so that no agent is among its ancestors (`setsid --fork`); whoever descends from an agent may answer nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.core.approval import ConfirmedBy
from jittrust.core.errors import JitError
from jittrust.ports import wire
from jittrust.ports.approvals import Answer


async def main(state: Path) -> None:
    while not wire.socket_path(state).exists():
        if (state / "gone").exists():
            return
        await asyncio.sleep(0.05)
    connection = await join(state)
    approvals = driving_of(connection).approvals
    try:
        while not (state / "gone").exists():
            for one in await approvals.waiting():
                with contextlib.suppress(JitError):
                    await approvals.answer(one.id, Answer(approve=False, by="person", confirmed_by=ConfirmedBy.NOBODY))
            await asyncio.sleep(0.05)
    finally:
        await connection.close()


if __name__ == "__main__":
    with contextlib.suppress(JitError):
        asyncio.run(main(Path(sys.argv[1])))
