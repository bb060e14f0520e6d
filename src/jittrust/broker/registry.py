"""Who is here: enforcement points that joined, and the tool definitions of the servers behind them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from jittrust.broker.missions import MissionBook
from jittrust.broker.record import approval_record, mission_record, tool_record
from jittrust.broker.state import LiveAttachment, State
from jittrust.core.approval import Approval, ApprovalKind, ApprovalState
from jittrust.core.authority.map import EntryState
from jittrust.core.authority.pin import PinState, ToolPin, canonical_definition, judge_definition
from jittrust.core.errors import BadInputError, NotFoundError, RefusedError
from jittrust.core.intent.reading import classify
from jittrust.core.mission.mission import GoalSource, Mission
from jittrust.core.model import Json, Tool, ToolAnnotations
from jittrust.core.rules import Rules
from jittrust.core.units import Instant
from jittrust.ports.commit import PutApproval, PutMission, PutPin, RecordBody, Write
from jittrust.ports.missions import NewMission
from jittrust.ports.registry import Attached, Attachment, ToolStanding

TOOLS_MOST = 2_000
"""Most tools of one server; more are refused, so that a hostile server cannot fill the store."""


class ToolRegistry:
    """Joins enforcement points and pins tool definitions."""

    def __init__(
        self,
        state: State,
        missions: MissionBook,
        rules: Rules,
        clock: Callable[[], Instant],
        new_id: Callable[[str], str],
    ) -> None:
        """Wire it up and make the tools that are pinned already known again."""
        self._state = state
        self._missions = missions
        self._rules = rules
        self._clock = clock
        self._new_id = new_id
        self._by_session: dict[str, str] = {}
        for pin in state.pins.values():
            state.tools[f"{pin.server}/{pin.tool}"] = tool_of(pin)

    # ---- the port ---------------------------------------------------------------------------------------------------------------------

    async def attach(self, attachment: Attachment) -> Attached:
        """See `Registry.attach`."""
        if "/" in attachment.server or not attachment.server or not attachment.server.isprintable():
            raise BadInputError(
                "server_name", f"{attachment.server!r} cannot name a server.", "Use letters, digits, dots and dashes."
            )
        known = self._by_session.get(attachment.session) if attachment.session else None
        identity = known or self._new_id("p")
        if attachment.session:
            self._by_session[attachment.session] = identity
        earlier = self._state.attachments.get(identity)
        self._state.attachments[identity] = LiveAttachment(attachment, earlier.shown if earlier else False)
        if attachment.grant:
            self._mission_of_grant(attachment.grant)
        else:
            current = self._state.current(attachment.person)
            if current is None or (attachment.goal.strip() and not current.goal.stated):
                await self._begin(attachment, current)
        mission = self._mission(identity)
        if attachment.operator and mission is not None:
            self._state.memory(mission.id).operator = attachment.operator
        return self._attached(identity)

    async def detach(self, attached: str) -> None:
        """See `Registry.detach`."""
        gone = self._state.attachments.pop(attached, None)
        if gone is not None and gone.said.session:
            self._by_session.pop(gone.said.session, None)

    async def show_tools(self, attached: str, definitions: Sequence[Mapping[str, Json]]) -> Sequence[ToolStanding]:
        """See `Registry.show_tools`."""
        attachment = self._live(attached)
        if len(definitions) > TOOLS_MOST:
            raise BadInputError(
                "tools_too_many", f"The server lists {len(definitions)} tools, {TOOLS_MOST} are the most."
            )
        server, now = attachment.said.server, self._clock()
        writes: list[Write] = []
        records: list[RecordBody] = []
        for definition in definitions:
            self._pin(server, definition, now, writes, records)
        if writes or records:
            await self._state.change(writes, records)
        attachment.shown = True
        await self._extend(attached, now)
        mission = self._mission(attached)
        return [self._standing(server, str(d.get("name", "")), mission) for d in definitions]

    async def pins(self) -> Sequence[ToolPin]:
        """See `Registry.pins`."""
        return [self._state.pins[key] for key in sorted(self._state.pins)]

    async def changed(self, attached: str, generation: int, timeout: float) -> Attached:
        """See `Registry.changed`."""
        moved = asyncio.Event()
        self._state.listeners.append(moved.set)
        try:
            async with asyncio.timeout(timeout):
                while (now := self._attached(attached)).generation == generation:
                    moved.clear()
                    await moved.wait()
                return now
        except TimeoutError:
            return self._attached(attached)
        finally:
            self._state.listeners.remove(moved.set)

    # ---- missions of attachments --------------------------------------------------------------------------------------------------------

    async def _begin(self, attachment: Attachment, current: Mission | None) -> None:
        """Without a mission one is started, with the goal from the flag or with none; a goalless one takes the goal."""
        goal = attachment.goal.strip()
        if current is not None:
            await self._missions.say(attachment.person, goal, GoalSource.FLAG, "")
            return
        source = GoalSource.FLAG if goal else GoalSource.NONE
        await self._missions.start(
            NewMission(
                attachment.person, goal, source, minutes=self._rules.grants.mission_minutes, observe=attachment.observe
            )
        )

    def _mission_of_grant(self, grant: str) -> Mission:
        found = self._state.grants.get(grant)
        if found is None:
            raise RefusedError("invalid_token", "The token names no grant of this broker.")
        return self._state.missions[found.mission]

    def _live(self, attached: str) -> LiveAttachment:
        found = self._state.attachments.get(attached)
        if found is None:
            raise NotFoundError(
                "attachment_unknown",
                "This enforcement point has not joined, or the broker was restarted.",
                "Attach again.",
            )
        return found

    def _mission(self, attached: str) -> Mission | None:
        said = self._live(attached).said
        return self._mission_of_grant(said.grant) if said.grant else self._state.current(said.person)

    def _attached(self, attached: str) -> Attached:
        mission = self._mission(attached)
        if mission is None:
            return Attached(attached, "", -1, goal_stated=False, observe=False)
        return Attached(attached, mission.id, mission.generation, mission.goal.stated, mission.observe)

    async def _extend(self, attached: str, now: Instant) -> None:
        """A mission with a goal gets the entries that the goal proposes for tools just seen."""
        mission = self._mission(attached)
        if mission is None:
            return
        wider = self._missions.extended(mission, (self._state.tools[name] for name in sorted(self._state.tools)))
        if wider != mission.authority:
            grown = replace(mission, authority=wider, generation=mission.generation + 1)
            await self._state.change(
                [PutMission(grown, mission.generation)], [mission_record(grown, "map_extended", "policy:shipped", now)]
            )

    # ---- definitions ------------------------------------------------------------------------------------------------------------------

    def _pin(
        self, server: str, definition: Mapping[str, Json], now: Instant, writes: list[Write], records: list[RecordBody]
    ) -> None:
        name = definition.get("name")
        if not isinstance(name, str) or not name:
            raise BadInputError("tool_name", "The server lists a tool without a name.")
        known = self._state.pins.get((server, name))
        pin = judge_definition(known, server, name, definition, now)
        self._state.shown_definitions[server, name] = canonical_definition(
            {k: v for k, v in definition.items() if k != "_meta"}
        )
        if pin == known:
            return
        writes.append(PutPin(pin))
        if known is None:
            self._state.tools[f"{server}/{name}"] = tool_of(pin)
            records.append(tool_record(pin, "pinned", now))
            return
        records.append(tool_record(pin, "changed", now))
        asked = any(
            a.kind is ApprovalKind.TOOL_DEFINITION
            and a.target == f"{server}/{name}"
            and a.digest == pin.seen
            and a.state is ApprovalState.WAITING
            for a in self._state.open_approvals()
        )
        if not asked:
            question = self._definition_question(pin, now)
            writes.append(PutApproval(question))
            records.append(approval_record(question, now))

    def _definition_question(self, pin: ToolPin, now: Instant) -> Approval:
        target = f"{pin.server}/{pin.tool}"
        back = " It shows the approved definition again, after another one." if pin.seen == pin.pin else ""
        return Approval(
            id=self._new_id("a"),
            kind=ApprovalKind.TOOL_DEFINITION,
            mission="",
            subject=pin.server,
            target=target,
            digest=pin.seen,
            text=f"Use the changed definition of {target}: {self._state.shown_definitions.get((pin.server, pin.tool), '')[:1500]}",
            why=f"The definition of {target} differs from the approved one.{back} Approved was: {pin.definition[:500]}",
            risk=100,
            asked=now,
            expires=Instant(now + 365 * 86_400),
        )

    def _standing(self, server: str, name: str, mission: Mission | None) -> ToolStanding:
        pin = self._state.pins[server, name]
        if pin.state is PinState.CHANGED:
            return ToolStanding(name, pin.state, listed=False, why="tool_changed")
        if mission is None or not mission.goal.stated or mission.observe:
            return ToolStanding(name, pin.state, listed=True)
        tool = self._state.tools[f"{server}/{name}"]
        in_map = any(
            entry.tool == tool.id and entry.state is not EntryState.REFUSED for entry in mission.authority.entries
        )
        reading = classify(tool, {})
        listed = in_map or not (reading.consequential or reading.open_world)
        return ToolStanding(name, pin.state, listed, "" if listed else "outside_map")


def tool_of(pin: ToolPin) -> Tool:
    """The tool as its approved definition says."""
    definition = json.loads(pin.definition)
    hints = definition.get("annotations")
    hints = hints if isinstance(hints, dict) else {}
    schema = definition.get("inputSchema")
    return Tool(
        server=pin.server,
        name=pin.tool,
        description=_text(definition.get("description")),
        input_schema=schema if isinstance(schema, dict) else {},
        annotations=ToolAnnotations(
            read_only=_hint(hints, "readOnlyHint"),
            destructive=_hint(hints, "destructiveHint"),
            idempotent=_hint(hints, "idempotentHint"),
            open_world=_hint(hints, "openWorldHint"),
        ),
        title=_text(definition.get("title")),
        pin=pin.pin,
    )


def pin_approved(pin: ToolPin, definition: str | None, by: str) -> ToolPin:
    """The pin after a person approved the definition that the server shows now."""
    return replace(pin, pin=pin.seen, definition=definition or pin.definition, state=PinState.PINNED, approved_by=by)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _hint(hints: Mapping[str, Json], name: str) -> bool | None:
    value = hints.get(name)
    return value if isinstance(value, bool) else None
