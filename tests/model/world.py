"""A whole broker on fakes, with a clock that moves when told: what the broker's tests act in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from nacl.signing import SigningKey

from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.adapters.memory.pin import MemoryPin
from jittrust.adapters.memory.policy import MemoryPolicy, MemoryRule
from jittrust.apps.wiring import offline_identity
from jittrust.broker.broker import Broker
from jittrust.broker.grants import BrokerSecrets
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.core.approval import Approval, ConfirmedBy
from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.grant.grant import PassBinding, Shown, Strictness
from jittrust.core.ledger.checkpoint import LedgerSigner
from jittrust.core.mission.mission import GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Action, Evaluation, Json, Resource, Subject, SubjectKind
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.rules import Rules
from jittrust.core.units import Instant, Score
from jittrust.ports.approvals import Answer
from jittrust.ports.attenuation import Attenuation
from jittrust.ports.commit import Commit, PutMission, PutStanding
from jittrust.ports.decision_point import Decision, Learned, Outcome, Settled
from jittrust.ports.grants import IssuedGrant, NewGrant
from jittrust.ports.judge import Judge
from jittrust.ports.ledger_reader import LedgerReader
from jittrust.ports.missions import MissionChange, NewMission
from jittrust.ports.registry import Attachment

SEED = hashlib.sha256(b"a world for tests").digest()
SIGNER = LedgerSigner.from_seed("jittrust.test/world", SEED)
GOAL = "Read the file plan.txt and send a mail with a summary to anna@example.com"
PIN = "4711"

READ: Mapping[str, Json] = {
    "name": "read_file",
    "description": "Read a file.",
    "inputSchema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}
SEND: Mapping[str, Json] = {
    "name": "send_mail",
    "description": "Send a mail to a recipient.",
    "inputSchema": {
        "type": "object",
        "properties": {"to": {"type": "string"}, "subject": {"type": "string"}, "body": {"type": "string"}},
        "required": ["to", "body"],
    },
    "annotations": {"readOnlyHint": False, "openWorldHint": True},
}
DROP: Mapping[str, Json] = {
    "name": "delete_record",
    "description": "Delete a record of the database.",
    "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    "annotations": {"destructiveHint": True, "openWorldHint": False},
}
TOOLS: Sequence[Mapping[str, Json]] = (READ, SEND, DROP)
MAIL: Mapping[str, Json] = {"to": "anna@example.com", "subject": "summary", "body": "The plan is fine."}


def allowing(tool: str, **more: object) -> AuthorityEntry:
    """An entry that a person approved."""
    made = AuthorityEntry(f"e-{tool}", f"srv/{tool}", state=EntryState.APPROVED, approved_by="ada", why="said so")
    return replace(made, **more)  # type: ignore[arg-type]


@dataclass(slots=True)
class Clock:
    """Time that moves only when told."""

    now: float = 1_790_000_000.0

    def __call__(self) -> Instant:
        return Instant(self.now)


@dataclass(slots=True)
class Names:
    """Unique names by counting."""

    made: int = 0

    def __call__(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}-{self.made}"


@dataclass(slots=True)
class World:
    """A broker and the few things a test does with it."""

    store: Commit
    ledger: LedgerReader
    clock: Clock = field(default_factory=Clock)
    names: Names = field(default_factory=Names)
    rules: Rules = field(default_factory=Rules)
    policy: MemoryPolicy = field(default_factory=MemoryPolicy)
    pin: MemoryPin = field(default_factory=lambda: MemoryPin(PIN))
    attached: str = ""
    attenuation: Attenuation | None = None
    judge: Judge | None = None
    broker: Broker = field(init=False)

    async def open(self) -> World:
        """Open the broker over the store; again after a crash."""
        signing = SigningKey(SEED)
        identity = offline_identity(self.rules, self.clock, self.names)
        secrets = BrokerSecrets(SEED, "kid", lambda data: signing.sign(data).signature)
        oauth = OAuthParts(
            issuer="urn:test",
            origin="urn:test",
            kid=secrets.token_kid,
            sign=secrets.sign_token,
            keys={secrets.token_kid: bytes(signing.verify_key)},
            hash_key=identity.hash_key,
            random=identity.random,
            rules=self.rules,
            clock=self.clock,
            new_id=self.names,
            attenuation=self.attenuation,
        )
        self.broker = await Broker.open(
            store=self.store,
            ledger=self.ledger,
            policy=self.policy,
            pin=self.pin,
            secrets=secrets,
            ledger_vkey=str(SIGNER.key),
            rules=self.rules,
            clock=self.clock,
            new_id=self.names,
            issuer="urn:test",
            identity=identity,
            oauth=oauth,
            judge=self.judge,
        )
        return self

    async def join(self, tools: Sequence[Mapping[str, Json]] = TOOLS, session: str = "s", **more: object) -> str:
        """An enforcement point joins and shows its tools."""
        attachment = Attachment("ada", "agent", "srv", session=session, **more)  # type: ignore[arg-type]
        self.attached = (await self.broker.driving.registry.attach(attachment)).id
        await self.broker.driving.registry.show_tools(self.attached, tools)
        return self.attached

    async def start(self, *entries: AuthorityEntry, goal: str = GOAL, **more: object) -> Mission:
        """A person starts a mission."""
        new = NewMission("ada", goal, GoalSource.MISSION_START, entries=entries, pin=PIN, **more)  # type: ignore[arg-type]
        return await self.broker.driving.missions.start(new)

    def ask(self, tool: str, arguments: Mapping[str, Json], *, server: str = "srv", agent: str = "agent") -> Evaluation:
        """One question, its digest over the exact arguments."""
        text = json.dumps(arguments, sort_keys=True)
        digest = hashlib.sha256(f"tools/call {server}/{tool} {text}".encode()).hexdigest()
        subject = Subject(SubjectKind.AGENT, agent)
        resource = Resource("tool", f"{server}/{tool}")
        return Evaluation(self.names("c"), subject, Action("tools/call"), resource, arguments, digest, text)

    async def call(self, tool: str, arguments: Mapping[str, Json], **more: str) -> Decision:
        """A call through the enforcement point that joined."""
        shown = Shown(PassBinding.GATEWAY, attachment=self.attached)
        return await self.broker.driving.decisions.evaluate(self.ask(tool, arguments, **more), shown)

    async def grant(self, strictness: Strictness = Strictness.STRICT, **more: object) -> IssuedGrant:
        """A grant bound to a key."""
        new = NewGrant("ada", "agent", "srv", PassBinding.DPOP, "thumb".ljust(43, "_"), strictness, **more)  # type: ignore[arg-type]
        return await self.broker.driving.grants.open(new)

    async def show(
        self, grant: str, presented: str | None, tool: str, arguments: Mapping[str, Json], iat: float | None = None
    ) -> Decision:
        """A call of a key holder who shows a pass; the proof is made now unless told otherwise."""
        made = Instant(self.clock.now if iat is None else iat)
        shown = Shown(PassBinding.DPOP, grant, presented, made, self.names("j"), "thumb".ljust(43, "_"))
        return await self.broker.driving.decisions.evaluate(self.ask(tool, arguments), shown)

    async def settle(self, decision: Decision, *texts: str, answer: bytes | None = b"{}") -> Learned:
        """The server answered."""
        outcome = Outcome(Settled.COMPLETE, texts, answer=answer)
        return await self.broker.driving.decisions.settle(decision.evaluation, outcome)

    async def yes(self, approval: Approval, *, approve: bool = True) -> Approval:
        """The person answers with the PIN."""
        return await self.broker.driving.approvals.answer(approval.id, Answer(approve, "ada", ConfirmedBy.PIN, PIN))

    async def change(self, mission: str, **more: object) -> Mission:
        """The person changes the mission, having shown the PIN."""
        change = MissionChange(by="ada", pin=PIN, **more)  # type: ignore[arg-type]
        return await self.broker.driving.missions.change(mission, change)

    async def stand(self, mission: str, trust: float, state: SessionState) -> None:
        """Put the session where a test needs it."""
        await self.broker.state.change([PutStanding(mission, Standing(Score(trust), state))], [])

    async def put(self, mission: Mission, state: MissionState) -> None:
        """Put the mission where a test needs it."""
        await self.broker.state.change([PutMission(replace(mission, state=state), mission.generation)], [])

    async def paid(self) -> dict[str, list[tuple[int, int]]]:
        """What the ledger says was spent: by grant, the number of the pass and the price of each use and refusal."""
        spent: dict[str, list[tuple[int, int]]] = {}
        for entry in await self.ledger.entries(0, 1_000_000):
            record = json.loads(entry)
            if record["kind"] in ("use", "refusal"):
                grant = record["grant"]
                spent.setdefault(grant["id"], []).append((grant["seq"], grant["price"]))
        return spent

    async def records(self, kind: str = "") -> list[dict[str, Json]]:
        """What the ledger holds."""
        found = [json.loads(entry) for entry in await self.ledger.entries(0, 1_000_000)]
        return [one for one in found if not kind or one["kind"] == kind]


async def world(**more: object) -> World:
    """A broker in memory."""
    store = MemoryCommit(signer=SIGNER, origin="jittrust.test/world")
    return await World(store, store, **more).open()  # type: ignore[arg-type]


def rules_that(permits: Sequence[str] = (), forbids: Sequence[str] = ()) -> MemoryPolicy:
    """A policy that names tools."""

    def rule(name: str, *, yes: bool) -> MemoryRule:
        return MemoryRule(f"{'p' if yes else 'f'}-{name}", yes, lambda question: question.resource == f"srv/{name}")

    return MemoryPolicy([*(rule(name, yes=True) for name in permits), *(rule(name, yes=False) for name in forbids)])
