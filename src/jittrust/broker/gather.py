"""What is known when a question is asked. Everything is in memory; what cannot be found out is None, never a guess."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from jittrust.broker.identity.index import IdentityIndex
from jittrust.broker.responses import StopIndex
from jittrust.broker.state import State
from jittrust.broker.told import Fact, how_it_stands, told_of_act
from jittrust.core.approval import Approval, ApprovalState
from jittrust.core.authority.endorsement import directed, directing, endorsed_for, endorsed_origins
from jittrust.core.authority.map import AuthorityEntry, Endorsement, EntryState
from jittrust.core.authority.match import match
from jittrust.core.authority.pin import PinState
from jittrust.core.decide import Facts, read_arguments
from jittrust.core.errors import JitError
from jittrust.core.grant.grant import Grant, PassBinding, Presentation
from jittrust.core.history import History
from jittrust.core.intent.attribution import Attribution
from jittrust.core.intent.cascade import CascadeRules, Hop, cascade, hop_of, noted, told_by_call
from jittrust.core.intent.dialogue import dialogue_of_call
from jittrust.core.intent.findings import TextFinding
from jittrust.core.intent.flow import flow_of
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.judge import JudgeSaid
from jittrust.core.intent.note import IntentNote
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole
from jittrust.core.intent.reading import ActionReading, classify
from jittrust.core.intent.roles import argument_roles, leaves
from jittrust.core.mission.mission import GoalSource, Mission
from jittrust.core.model import Evaluation, Json, Reading, Tool, ToolAnnotations
from jittrust.core.policy import PolicyAnswer
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.rules import Rules
from jittrust.core.scoring.context import value_keys
from jittrust.core.scoring.price import novelty_of
from jittrust.core.scoring.trust import opening
from jittrust.core.units import Instant, Unit
from jittrust.ports.attenuation import Attenuation
from jittrust.ports.policy import Policy, PolicyQuestion

# Calls inside this many seconds count as recent (speed, part of the price).
_RECENT = 60.0
# Calls in that time from which an agent counts as going at full speed.
_FULL_SPEED = 60


class Gather:
    """Collects the facts of one question."""

    def __init__(self, state: State, policy: Policy, rules: Rules, attenuation: Attenuation | None = None) -> None:
        """Wire it up. `attenuation`: reads tokens that their holders narrowed; None where there are none."""
        self._state = state
        self._policy = policy
        self._rules = rules
        self._identities = IdentityIndex.of(state)
        self._stops = StopIndex.of(state)
        self._attenuation = attenuation

    def facts(
        self,
        ask: Evaluation,
        grant: Grant,
        mission: Mission | None,
        presentation: Presentation,
        now: Instant,
        *,
        observed: bool = False,
        narrowing: str = "",
        said: JudgeSaid | None = None,
        endorsing: tuple[Endorsement, ...] = (),
        late: tuple[TextFinding, ...] = (),
    ) -> Facts:
        """The facts of `ask` as they are at this very moment; nothing is awaited.

        `observed`: the enforcement point that asks only observes, whatever the mission says. `narrowing`: a token that narrows the grant, as
        `Shown.narrowing`. `said`: what the judge said of the call, which was judged before and is judged again.
        `endorsing`: endorsements that nobody gave yet, to find out what would become of the call under them.
        `late`: what is said of texts that could not be read in time.
        """
        server, _, name = ask.resource.id.partition("/")
        stop = self._stops.reaching(ask.subject.id, grant.mission, grant)
        path = self._state.path_of(grant)
        if mission is None:
            return Facts(
                None, grant, presentation, None, server, None, None, PolicyAnswer(), None, None, stop=stop, path=path
            )
        standing = self._state.standings.get(mission.id) or Standing(opening(self._rules.trust), SessionState.NORMAL)
        who = self._identities.agent_standing(agent_of(ask, grant))
        person = self._identities.person_standing(mission.person)
        if ask.resource.type == "protocol":
            return Facts(
                mission,
                grant,
                presentation,
                standing,
                server,
                None,
                None,
                PolicyAnswer(),
                (),
                None,
                identity=who,
                person=person,
                stop=stop,
                path=path,
            )
        tool, pin = self._tool(ask, server, name)
        memory = self._state.memory(mission.id)
        findings = (*memory.findings, *late)
        while memory.recent and now - memory.recent[0] > _RECENT:
            memory.recent.popleft()
        if said is None and not endorsing:
            memory.recent.append(now)
        origins: tuple[ArgumentOrigin, ...] | None = None
        keys: tuple[str, ...] = ()
        reading: ActionReading | None = None
        roles: Mapping[str, ArgumentRole] | None = None
        attribution: Attribution | None = None
        endorsement: Endorsement | None = None
        if tool is not None:
            roles = argument_roles(tool, ask.arguments)
            read = read_arguments(ask)
            reading = classify(tool, read, roles=roles if read is ask.arguments else None)
            keys = value_keys(tool, ask.arguments, roles, self._rules.context)
            # What the index had to forget it marks value by value; only results that were never seen make every origin unknown.
            if not memory.results_lost:
                origins = memory.provenance.trace(ask.arguments, mission.goal, roles, memory.operator)
                explain = memory.provenance.sentences.explain
                attribution = explain(tool, reading, ask.arguments, roles, read_goal(mission.goal))
                pairs = endorsed_for(
                    mission.authority.endorsements, None if grant.authority is None else grant.authority.endorsements
                )
                refused = (one for one in mission.authority.endorsements if one.state is EntryState.REFUSED)
                told = directing(
                    (*(mine for mine, _ in pairs), *endorsing, *refused),
                    memory.sources,
                    findings,
                    reading,
                    ask.arguments,
                    roles,
                )
                if told:
                    origins = endorsed_origins(origins, told)
                    used = directed(origins, attribution, told)
                    # What is spent is the mission's, whichever part of it the grant was given.
                    endorsement = next((whole for mine, whole in pairs if mine is used), used)
                    attribution = explain(tool, reading, ask.arguments, roles, read_goal(mission.goal), told.keys())
        history = self._state.histories.get(agent_of(ask, grant), History())
        return Facts(
            mission=mission,
            grant=grant,
            presentation=presentation,
            standing=standing,
            server=server,
            tool=tool,
            pin=pin,
            policy=self._ask_policy(ask, mission, tool, reading, roles or {}, origins, attribution, grant.binding),
            origins=origins,
            history=history if history.last_tool == memory.last_tool else replace(history, last_tool=memory.last_tool),
            trail=tuple(memory.trail),
            approval=self._approved(mission.id, ask.digest, now),
            keys=keys,
            server_concerned=self._concerns(mission, server),
            observed=observed or mission.observe,
            reading=reading,
            roles=roles,
            attribution=attribution,
            endorsement=endorsement,
            findings=findings,
            results=memory.results,
            flow=flow_of(memory.flow, findings, reading, origins) if reading and origins is not None else None,
            cascade=self._cascade(ask, mission, grant, path, tool, reading, roles or {}),
            dialogue=None if reading is None else dialogue_of_call(mission.goal, reading, self._rules.dialogue),
            judged=said.answer if said is not None else None,
            novelty=novelty_of(
                sum(key not in memory.targets for key in keys), len(keys), len(memory.targets), self._rules.price
            ),
            speed=Unit(min(1.0, len(memory.recent) / _FULL_SPEED)),
            identity=who,
            person=person,
            stop=stop,
            path=path,
            narrowing=self._narrowed(narrowing, ask, server, name, now) if narrowing else "",
        )

    def _cascade(
        self,
        ask: Evaluation,
        mission: Mission,
        grant: Grant,
        path: tuple[Grant | None, ...],
        tool: Tool | None,
        reading: ActionReading | None,
        roles: Mapping[str, ArgumentRole],
    ) -> Reading | None:
        """How far the task has moved along the grants that were handed on and, where the call itself hands work to another agent, with it."""
        rules = self._rules.cascade
        hops = _hops(mission, grant, path, ask.note, rules)
        if tool is not None and reading is not None:
            told = told_by_call(mission.goal, tool, reading, ask.arguments, roles, rules)
            hops += [] if told is None else [told]
        return cascade(hops, rules)

    def _narrowed(self, token: str, ask: Evaluation, server: str, name: str, now: Instant) -> str:
        """Which condition of a narrowed token the call fails; empty: none."""
        if self._attenuation is None:
            return "this broker reads no such tokens"
        told = {f"arg:{key}": value for key, value in ask.arguments.items() if isinstance(value, str)}
        told |= {"action": ask.action.name, "tool": name, "server": server}
        return self._attenuation.forbids(token, told, now)

    def _concerns(self, mission: Mission, server: str) -> bool:
        """Whether the mission has to do with a server as a whole, so that what it hands out may be read.

        A map that a person wrote whole says itself what may be read.
        """
        if not mission.goal.stated:
            return True
        if mission.goal.source is GoalSource.FILE:
            return False
        of_server = f"{server}/"
        if any(entry.tool.startswith(of_server) for entry in mission.authority.approved):
            return True
        return not any(known == server for known, _ in self._state.pins)

    def waiting(self, mission: str, digest: str, now: Instant) -> Approval | None:
        """The open question for exactly this call, so that asking twice makes one question."""
        return self._question(mission, digest, ApprovalState.WAITING, now)

    def _approved(self, mission: str, digest: str, now: Instant) -> Approval | None:
        return self._question(mission, digest, ApprovalState.APPROVED, now)

    def _question(self, mission: str, digest: str, state: ApprovalState, now: Instant) -> Approval | None:
        found = self._state.question(mission, digest)
        return found if found is not None and found.state is state and now < found.expires else None

    def _tool(self, ask: Evaluation, server: str, name: str) -> tuple[Tool | None, PinState | None]:
        if ask.resource.type == "tool":
            pin = self._state.pins.get((server, name))
            return (None, None) if pin is None else (self._state.tools.get(ask.resource.id), pin.state)
        # Resources, prompts and what a server asks of the client have no definition to pin: they are read as what their method does.
        return described(ask, server, name), PinState.PINNED

    def _ask_policy(
        self,
        ask: Evaluation,
        mission: Mission,
        tool: Tool | None,
        reading: ActionReading | None,
        roles: Mapping[str, ArgumentRole],
        origins: tuple[ArgumentOrigin, ...] | None,
        found: Attribution | None,
        shown: PassBinding,
    ) -> PolicyAnswer | None:
        told: dict[str, Fact | Callable[[], Fact]] = {
            "goal_stated": lambda: mission.goal.stated,
            "goal_source": lambda: str(mission.goal.source),
            "mission": mission.id,
            "pass_binding": lambda: str(shown),
            "arguments": lambda: tuple(sorted(ask.arguments)),
        }
        if tool is not None and reading is not None:
            told |= told_of_act(tool, reading, origins, self._rules)
            if origins is not None and mission.goal.stated:
                told["disposition"] = lambda: how_it_stands(
                    mission, reading, ask, origins, found, _covering(mission, tool, ask, roles)
                )
            told |= {
                "targets": lambda: _values_of(ask.arguments, roles, ArgumentRole.TARGET),
                "selectors": lambda: _values_of(ask.arguments, roles, ArgumentRole.SELECTOR),
            }
        try:
            return self._policy.answer(
                PolicyQuestion(
                    agent=ask.subject.id,
                    person=mission.person,
                    action=ask.action.name,
                    resource_type=ask.resource.type,
                    resource=ask.resource.id,
                    server=ask.resource.id.partition("/")[0],
                    facts=AskedFacts(told, ask.arguments),
                )
            )
        except JitError:
            return None


def _hops(
    mission: Mission, grant: Grant, path: tuple[Grant | None, ...], note: IntentNote | None, rules: CascadeRules
) -> list[Hop]:
    """What each agent of the path was told by the one before it; a grant that is not known any more says nothing.

    What the caller's own gateway says of the way before comes first: it is a stranger's claim and can only add distance.
    """
    found = [] if note is None else [noted(note, rules)]
    if path:
        found += [
            Hop("", "", None, "A.delegate") if one is None else hop_of(mission.goal, one.agent, one.task, rules)
            for one in (*path[1:], grant)
        ]
    return found


def _covering(
    mission: Mission, tool: Tool, ask: Evaluation, roles: Mapping[str, ArgumentRole]
) -> AuthorityEntry | None:
    """The entry of the map that covers a call; None = it lies outside."""
    found = match(mission.authority, tool, ask.action.name, ask.arguments, roles)
    return found.entry if found.inside else None


def agent_of(ask: Evaluation, grant: Grant) -> str:
    """Whose call it is: the grant's agent; behind the grant that a mission's own enforcement points share, who they say it is."""
    return ask.subject.id if grant.shared else grant.agent


class AskedFacts(Mapping[str, Fact]):
    """What a written rule may look at; each fact is made when a rule asks for it, and most rules ask for few."""

    __slots__ = ("_arguments", "_told")

    def __init__(self, told: Mapping[str, Fact | Callable[[], Fact]], arguments: Mapping[str, Json]) -> None:
        """`told`: the facts by name, or how to make them; of `arguments` those that a rule may compare become `arg_NAME`."""
        self._told = told
        self._arguments = arguments

    def __getitem__(self, name: str) -> Fact:
        """The fact; KeyError where there is none."""
        if name.startswith("arg_"):
            return _plain(self._arguments)[name]
        fact = self._told[name]
        return fact() if callable(fact) else fact

    def __iter__(self) -> Iterator[str]:
        """Names of all facts."""
        yield from self._told
        yield from _plain(self._arguments)

    def __len__(self) -> int:
        """How many facts there are."""
        return len(self._told) + len(_plain(self._arguments))


def _plain(arguments: Mapping[str, Json]) -> dict[str, str | bool]:
    """`arg_NAME` for the arguments that a rule may compare: booleans and texts that are not too long."""
    return {
        f"arg_{name}": value
        for name, value in arguments.items()
        if name.isidentifier()
        and (isinstance(value, bool) or (isinstance(value, str) and len(value) <= _LONGEST_ARGUMENT))
    }


def _values_of(
    arguments: Mapping[str, Json], roles: Mapping[str, ArgumentRole], wanted: ArgumentRole
) -> tuple[str, ...]:
    return tuple(value for path, value in leaves(arguments) if isinstance(value, str) and roles.get(path) is wanted)


# Longest text argument that a written rule can look at, in characters.
_LONGEST_ARGUMENT = 1000

# What the methods that carry no tool do, in the words the reader of acts knows: name, description, read only.
_METHODS = {
    "resources/read": ("read_resource", "Read a resource of the server.", True),
    "resources/subscribe": ("read_resource", "Read a resource of the server whenever it changes.", True),
    "resources/unsubscribe": ("read_resource", "Stop reading a resource of the server.", True),
    "prompts/get": ("get_prompt", "Get a prompt template of the server.", True),
    "completion/complete": ("list_completions", "List completions of an argument.", True),
    "sampling/createMessage": ("ask_model", "Ask the model of the client.", True),
    "elicitation/create": ("ask_person", "Ask the person in front of the client.", True),
    "roots/list": ("list_roots", "List the roots of the client.", True),
}


def described(ask: Evaluation, server: str, name: str) -> Tool:
    """A method without a tool, as a tool: closed world (the server already is inside), read only where the method reads."""
    known = _METHODS.get(ask.action.name)
    if known is None:
        return Tool(
            server, name or ask.action.name, f"The method {ask.action.name}.", {}, ToolAnnotations(), pin="method"
        )
    label, description, read_only = known
    return Tool(server, label, description, {}, ToolAnnotations(read_only=read_only, open_world=False), pin="method")
