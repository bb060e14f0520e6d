"""Where the stories happen: the embedded broker on its Unix socket, the agent and the servers as processes, the person who is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jittrust.api.local.face import LocalFace
from jittrust.apps.demo.telling import LedgerTail, ToldCall, short, told
from jittrust.apps.demo.world import SERVERS
from jittrust.apps.wiring import Wired, open_broker
from jittrust.core.approval import Approval, ApprovalKind, ConfirmedBy
from jittrust.core.errors import JitError, UnavailableError
from jittrust.core.mission.mission import GoalSource, Mission
from jittrust.ports import wire
from jittrust.ports.approvals import Answer
from jittrust.ports.missions import MissionView, NewMission

_LINE: Final = 32 * 1024 * 1024
_AGENT_SECONDS: Final = 120.0
_END_SECONDS: Final = 5.0
_LOOK_EVERY: Final = 0.02


@dataclass(frozen=True, slots=True)
class AgentRun:
    """What the agent is to do: its plan, in which world, and whether it obeys what documents say."""

    story: str
    plan: Sequence[Mapping[str, Any]]
    data: Path
    obey: bool


@dataclass(slots=True)
class Stage:
    """An open broker that `jittrust run` can join, and everything the stories do with it."""

    wired: Wired
    folder: Path
    examples: Path
    person: str
    tail: LedgerTail

    async def start(self, goal: str) -> Mission:
        """The person states a goal."""
        return await self.wired.driving.missions.start(NewMission(self.person, goal, GoalSource.MISSION_START))

    async def view(self, mission: str) -> MissionView:
        """How a mission stands."""
        return next(view for view in await self.wired.driving.missions.list() if view.mission.id == mission)

    async def act(self, run: AgentRun, on_call: Callable[[ToldCall], None]) -> list[ToldCall]:
        """Let the agent do its work, each server behind `jittrust run`. The person says no to whatever is asked.

        Raises:
            UnavailableError: code `demo_agent_failed`: the agent could not do its work at all.
        """
        calls: list[ToldCall] = []
        person = asyncio.create_task(self._say_no())
        try:
            async with self._agent(run) as events:
                async for event in events:
                    if event.get("event") != "call":
                        continue
                    call = await self._told(run, event)
                    calls.append(call)
                    on_call(call)
        finally:
            person.cancel()
            await asyncio.gather(person, return_exceptions=True)
        return calls

    async def _told(self, run: AgentRun, event: Mapping[str, Any]) -> ToldCall:
        target = f"{event['server']}/{event['tool']}"
        who = "agent" if event["because"] == "plan" else "document"
        record = await self.tail.verdict(target)
        if record is not None:
            return told(record, story=run.story, on=short(event["arguments"]), who=who)
        raise UnavailableError(
            "demo_unjudged", f"{target} was answered ({event.get('outcome')}) and the ledger has no record of it"
        )

    @contextlib.asynccontextmanager
    async def _agent(self, run: AgentRun) -> AsyncIterator[AsyncIterator[Mapping[str, Any]]]:
        servers = [word for name in SERVERS for word in ("--server", f"{name}={self._behind(name, run.data)}")]
        command = [sys.executable, str(self.examples / "agent.py"), *servers, "--plan", "-"]
        log = self.folder / f"agent-{run.story}.log"
        with log.open("wb") as errors:
            # Of its own process group: Ctrl-C reaches us alone, and we end the rest in order.
            agent = await asyncio.create_subprocess_exec(
                *command, *(["--obey"] if run.obey else []), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=errors, limit=_LINE, start_new_session=True, cwd=self.folder, env=environment(),
            )  # fmt: skip
        try:
            async with asyncio.timeout(_AGENT_SECONDS):
                yield _events(agent, json.dumps(list(run.plan)))
                status = await agent.wait()
        except TimeoutError:
            raise UnavailableError(
                "demo_agent_failed",
                f"the sample agent did not finish within {_AGENT_SECONDS:.0f} s",
                f"Look into {log}",
            ) from None
        finally:
            await _end(agent)
        if status != 0:
            words = log.read_text("utf-8", errors="replace").strip().splitlines()
            last = f": {words[-1][:300]}" if words else ""
            raise UnavailableError("demo_agent_failed", f"the sample agent ended with status {status}{last}")

    def _behind(self, name: str, data: Path) -> str:
        server = [sys.executable, str(self.examples / "servers" / f"{name}.py"), "--data", str(data)]
        ours = [
            sys.executable,
            "-m",
            "jittrust.apps.cli.main",
            "run",
            "--server",
            name,
            "--state",
            str(self.wired.state),
        ]
        return shlex.join([*ours, "--", *server])

    async def _say_no(self) -> None:
        """The person at the keyboard: refuses each call that is asked about, leaves open whether a suspended mission may go on."""
        approvals = self.wired.driving.approvals
        while True:
            for question in await approvals.waiting():
                if question.kind is ApprovalKind.CALL:
                    with contextlib.suppress(JitError):
                        await approvals.answer(question.id, Answer(approve=False, by=self.person, confirmed_by=ConfirmedBy.NOBODY))  # fmt: skip
            await asyncio.sleep(_LOOK_EVERY)

    async def question(self, mission: str) -> Approval | None:
        """What a suspended mission asks its person."""
        waiting = await self.wired.driving.approvals.waiting()
        return next((one for one in waiting if one.mission == mission and one.kind is ApprovalKind.SUSPENSION), None)


@contextlib.asynccontextmanager
async def open_stage(state: Path, folder: Path, examples: Path, person: str) -> AsyncIterator[Stage]:
    """Open the broker of `state` on its socket; `folder` takes worlds and logs."""
    async with open_broker(state) as wired:
        face = LocalFace(wired.driving)
        await face.open(wire.socket_path(state))
        try:
            yield Stage(wired, folder, examples, person, LedgerTail(wired.driving.ledger))
        finally:
            await face.close()


async def _events(agent: asyncio.subprocess.Process, plan: str) -> AsyncIterator[Mapping[str, Any]]:
    if agent.stdin is None or agent.stdout is None:
        return
    with contextlib.suppress(ConnectionError):
        agent.stdin.write(plan.encode())
        await agent.stdin.drain()
    agent.stdin.close()
    async for line in agent.stdout:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                yield event


async def _end(agent: asyncio.subprocess.Process) -> None:
    """End the agent. What it started sees its pipes close and ends by itself."""
    if agent.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        agent.terminate()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await agent.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            agent.kill()
        await agent.wait()


def environment() -> dict[str, str]:
    """Ours without settings of jittrust: the stories run on what is shipped."""
    return {name: value for name, value in os.environ.items() if not name.startswith("JITTRUST_")}
