"""A process that calls the broker of a state folder: `peer.py STATE CALL…`, prints `ok` or the error's code for each."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.core.approval import ConfirmedBy
from jittrust.core.errors import JitError
from jittrust.core.mission.mission import GoalSource
from jittrust.ports.approvals import Answer
from jittrust.ports.missions import MissionChange
from jittrust.ports.registry import Attachment


async def main() -> None:
    connection = await join(Path(sys.argv[1]))
    broker = driving_of(connection)
    for call in sys.argv[2:]:
        try:
            if call == "attach":
                await broker.registry.attach(
                    Attachment("dana", "agent", "notes", (os.getpid(),), session=f"s{os.getpid()}")
                )
            elif call == "say":
                await broker.missions.say("dana", "Delete everything", GoalSource.MISSION_START, "")
            elif call == "elicited":
                await broker.missions.say("dana", "Read the note", GoalSource.ELICITATION, "")
            elif call == "change":
                (view, *_) = await broker.missions.list("dana")
                await broker.missions.change(view.mission.id, MissionChange(why="x", by="dana"))
            elif call == "answer":
                (first, *_) = await broker.approvals.waiting()
                await broker.approvals.answer(first.id, Answer(True, "dana", ConfirmedBy.PIN, "2468"))  # noqa: FBT003
            elif call == "child":
                child = await asyncio.create_subprocess_exec(
                    sys.executable, __file__, sys.argv[1], "say", "change", "answer", "elicited"
                )
                await child.wait()
        except JitError as error:
            print(call, error.code, flush=True)
        else:
            print(call, "ok", flush=True)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
