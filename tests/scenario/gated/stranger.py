"""A process that is no enforcement point: `stranger.py STATE CALL:NAME…`, prints `ok` or the error's code for each."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.core.errors import JitError
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.mission.mission import GoalSource
from jittrust.core.model import Action, Evaluation, Resource, Subject, SubjectKind
from jittrust.core.units import Instant
from jittrust.ports.decision_point import Outcome, Settled
from jittrust.ports.driving import Driving
from jittrust.ports.registry import Attachment

ASK = Evaluation(
    "c-stranger",
    Subject(SubjectKind.AGENT, "agent@dana"),
    Action("tools/call"),
    Resource("tool", "notes/read_note"),
    {},
    "1" * 64,
)


async def one(broker: Driving, call: str, name: str) -> None:
    """Do one thing in the name of somebody else."""
    if call == "evaluate":
        await broker.decisions.evaluate(ASK, Shown(PassBinding.GATEWAY, attachment=name))
    elif call == "grant":
        await broker.decisions.evaluate(ASK, Shown(PassBinding.GATEWAY, name))
    elif call == "dpop":
        await broker.decisions.evaluate(ASK, Shown(PassBinding.DPOP, name, "pass", Instant(1.0), "jti", "jkt"))
    elif call == "settle":
        await broker.decisions.settle(name, Outcome(Settled.COMPLETE, (), {"email": "mallory@example.com"}))
    elif call == "show_tools":
        await broker.registry.show_tools(name, [{"name": "read_note", "description": "another"}])
    elif call == "changed":
        await broker.registry.changed(name, "", -5, 0.01)
    elif call == "detach":
        await broker.registry.detach(name)
    elif call == "tie":
        await broker.registry.attach(Attachment("dana", "agent", "notes", session="t", grant=name))
    elif call == "operator":
        await broker.registry.attach(Attachment("dana", "agent", "notes", session="o", operator=name))
    elif call == "attach_elsewhere":
        await broker.registry.attach(Attachment("erin", "agent", "notes", (os.getpid(),), session="e"))
    elif call == "elicited":
        await broker.missions.say("dana", "Read the note", GoalSource.ELICITATION, "")


async def main() -> None:
    """Do what the command line says."""
    connection = await join(Path(sys.argv[1]))
    for word in sys.argv[2:]:
        call, _, name = word.partition(":")
        try:
            await one(driving_of(connection), call, name)
        except JitError as error:
            print(call, error.code, flush=True)
        else:
            print(call, "ok", flush=True)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
