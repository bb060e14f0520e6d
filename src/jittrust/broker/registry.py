"""Who is here: enforcement points that joined, and the tool definitions of the servers behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from jittrust.broker.identity.index import IdentityIndex, measured_otherwise
from jittrust.broker.missions import MissionBook
from jittrust.broker.promotions import enforced
from jittrust.broker.record import approval_record, mission_record, tool_record
from jittrust.broker.state import LiveAttachment, State
from jittrust.core.approval import Approval, ApprovalKind, ApprovalState
from jittrust.core.authority.map import EntryState
from jittrust.core.authority.pin import PinState, ToolPin, judge_definition, shown_definition
from jittrust.core.errors import BadInputError, NotFoundError, RefusedError
from jittrust.core.identity.identity import Blueprint, Identity, IdentityState
from jittrust.core.identity.manifest import manifest_digest
from jittrust.core.intent.reading import classify
from jittrust.core.mission.mission import GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Json
from jittrust.core.rules import Rules
from jittrust.core.units import Instant
from jittrust.ports.commit import PutApproval, PutMission, PutPin, RecordBody, Write
from jittrust.ports.missions import NewMission
from jittrust.ports.registry import Attached, Attachment, ToolStanding

NAME_CHARACTERS = 256
"""Longest name of a server, an agent, a person or a session."""
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
        """Wire it up."""
        self._state = state
        self._missions = missions
        self._rules = rules
        self._clock = clock
        self._new_id = new_id
        self._by_session: dict[str, str] = {}
        self._identities = IdentityIndex.of(state)
        self._listed: dict[str, dict[str, str]] = {}

    # ---- the port ---------------------------------------------------------------------------------------------------------------------

    async def attach(self, attachment: Attachment) -> Attached:
        """See `Registry.attach`."""
        server = attachment.server
        if "/" in server or not server or not server.isprintable() or len(server) > NAME_CHARACTERS:
            raise BadInputError(
                "server_name",
                f"{server[:80]!r} cannot name a server.",
                f"Use letters, digits, dots and dashes, {NAME_CHARACTERS} at most.",
            )
        for name in (attachment.agent, attachment.person, attachment.session):
            if len(name) > NAME_CHARACTERS or not name.isprintable():
                raise BadInputError(
                    "attachment_name",
                    f"{name[:80]!r} cannot name an agent, a person or a session.",
                    f"Use printable characters, {NAME_CHARACTERS} at most.",
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
            current = self._missions.running(attachment.person)
            if current is None or (attachment.goal.strip() and not current.goal.stated):
                await self._begin(attachment, current)
        if server in self._listed:
            # Who works with this server may have become known only now.
            writes: list[Write] = []
            records: list[RecordBody] = []
            self._measure(server, self._clock(), writes, records)
            if writes:
                await self._state.change(writes, records)
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
        # All it ever listed: one that shows other tools each time would fill the store as surely.
        names = {tool for known, tool in self._state.pins if known == server}
        names |= {str(definition.get("name")) for definition in definitions}
        if len(names) > TOOLS_MOST:
            raise BadInputError(
                "tools_too_many", f"The server has listed {len(names)} tools by now, {TOOLS_MOST} are the most."
            )
        writes: list[Write] = []
        records: list[RecordBody] = []
        seen: dict[str, ToolPin] = {}
        for definition in definitions:
            self._pin(server, definition, seen, now, writes, records)
        self._listed[server] = {f"{server}/{name}": pin.seen for name, pin in seen.items()}
        attachment.shown = True
        self._measure(server, now, writes, records)
        if writes or records:
            await self._state.change(writes, records)
        await self._extend(attached, now)
        mission = self._mission(attached)
        only_observes = self._observes(attachment)
        entries = () if mission is None else mission.authority.entries
        mapped = frozenset(entry.tool for entry in entries if entry.state is not EntryState.REFUSED)
        return [
            self._standing(server, str(d.get("name", "")), mission, mapped, only_observes=only_observes)
            for d in definitions
        ]

    async def pins(self) -> Sequence[ToolPin]:
        """See `Registry.pins`."""
        return [self._state.pins[key] for key in sorted(self._state.pins)]

    async def changed(self, attached: str, mission: str, generation: int, timeout: float) -> Attached:
        """See `Registry.changed`."""
        moved = asyncio.Event()
        self._state.listeners.append(moved.set)
        try:
            async with asyncio.timeout(timeout):
                while (now := self._attached(attached)).generation == generation and now.mission == mission:
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
        last = self._state.newest(attachment.person)
        if last is not None and last.state is MissionState.TERMINATED:
            # Whoever was stopped does not start anew by joining again: only a person who states a goal starts the next mission.
            return
        source = GoalSource.FLAG if goal else GoalSource.NONE
        await self._missions.start(
            NewMission(attachment.person, goal, source, minutes=self._rules.grants.mission_minutes)
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
            return Attached(attached, "", -1, goal_stated=False, observe=self._observes(self._live(attached)))
        observe = mission.observe or self._observes(self._live(attached))
        return Attached(attached, mission.id, mission.generation, mission.goal.stated, observe)

    def _observes(self, attachment: LiveAttachment) -> bool:
        return attachment.said.observe and not enforced(self._state, attachment.said.agent)

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

    # ---- manifests --------------------------------------------------------------------------------------------------------------------

    def _measure(self, server: str, now: Instant, writes: list[Write], records: list[RecordBody]) -> None:
        """Whoever works with this server and was approved with other tools than are listed now is stale from now on."""
        for identity in self._agents_with(server):
            blueprint = self._state.of_kind(Blueprint).get(identity.blueprint)
            if identity.state is not IdentityState.ACTIVE or blueprint is None or not blueprint.manifest:
                continue
            measured = self._manifest(identity, blueprint)
            if measured not in ("", blueprint.manifest):
                write, record = measured_otherwise(identity, measured, now)
                writes.append(write)
                records.append(record)

    def _agents_with(self, server: str) -> Sequence[Identity]:
        found = {
            identity.id: identity
            for attachment in self._state.attachments.values()
            if attachment.said.server == server and (identity := self._agent_of(attachment)) is not None
        }
        return [found[name] for name in sorted(found)]

    def _agent_of(self, attachment: LiveAttachment) -> Identity | None:
        grant = self._state.grants.get(attachment.said.grant) if attachment.said.grant else None
        return self._identities.agent(attachment.said.agent if grant is None else grant.agent)

    def _manifest(self, identity: Identity, blueprint: Blueprint) -> str:
        """Digest of the tools of every server that the agent works with, or may work with; empty while one of them has not listed its own."""
        servers = {entry.tool.partition("/")[0] for entry in blueprint.maximum}
        for attachment in self._state.attachments.values():
            agent = self._agent_of(attachment)
            if agent is not None and agent.id == identity.id:
                servers.add(attachment.said.server)
        if not servers <= self._listed.keys():
            return ""
        return manifest_digest({tool: pin for server in servers for tool, pin in self._listed[server].items()})

    # ---- definitions ------------------------------------------------------------------------------------------------------------------

    def _pin(
        self,
        server: str,
        definition: Mapping[str, Json],
        seen: dict[str, ToolPin],
        now: Instant,
        writes: list[Write],
        records: list[RecordBody],
    ) -> None:
        name = definition.get("name")
        if not isinstance(name, str) or not name:
            raise BadInputError("tool_name", "The server lists a tool without a name.")
        # Two definitions of one name in one list are a change like any other.
        known = seen.get(name) or self._state.pins.get((server, name))
        spelled = self._state.shown_definitions[server, name] = shown_definition(definition)
        pin = seen[name] = judge_definition(known, server, name, definition, now, spelled)
        if pin == known:
            return
        writes.append(PutPin(pin))
        if known is None:
            records.append(tool_record(pin, "pinned", now))
            return
        records.append(tool_record(pin, "changed", now))
        target, asked = f"{server}/{name}", False
        for earlier in self._state.open_approvals():
            if earlier.kind is not ApprovalKind.TOOL_DEFINITION or earlier.target != target:
                continue
            if earlier.digest == pin.seen:
                asked = True
            elif earlier.state is ApprovalState.WAITING:
                # What it asks about is not shown any more, so nobody can say yes to it.
                writes.append(PutApproval(replace(earlier, state=ApprovalState.EXPIRED)))
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

    def _standing(
        self, server: str, name: str, mission: Mission | None, mapped: frozenset[str], *, only_observes: bool
    ) -> ToolStanding:
        pin = self._state.pins[server, name]
        if pin.state is PinState.CHANGED:
            return ToolStanding(name, pin.state, listed=False, why="tool_changed")
        if mission is None or not mission.goal.stated or mission.observe or only_observes:
            return ToolStanding(name, pin.state, listed=True)
        tool = self._state.tools[f"{server}/{name}"]
        reading = classify(tool, {})
        listed = tool.id in mapped or not (reading.consequential or reading.open_world)
        return ToolStanding(name, pin.state, listed, "" if listed else "outside_map")
