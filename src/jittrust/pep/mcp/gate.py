"""The gate in front of one MCP server for one client session, whatever the transport.

A transport hands each request of the client to `Gate.handle`, with a way to forward it. The gate asks the decision point, asks a person where
it has to, lets out exactly the bytes that were judged, reports what came back before the client sees it, and answers for the refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Protocol

from jittrust.core import strict_json
from jittrust.core.approval import Approval, ApprovalState, ConfirmedBy
from jittrust.core.errors import BadInputError, JitError, NotFoundError, RefusedError, UnavailableError
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.mission.mission import GoalSource
from jittrust.core.model import Evaluation, Json, Subject
from jittrust.core.units import Seconds
from jittrust.pep.mcp import jsonrpc, replies, translate
from jittrust.pep.mcp.jsonrpc import MalformedMessageError, Message, MessageKind
from jittrust.pep.mcp.listing import ToolListing, UpstreamFace
from jittrust.pep.mcp.translate import Passing
from jittrust.ports.approvals import Answer
from jittrust.ports.decision_point import Decision, Learned, Outcome, Passage, Settled
from jittrust.ports.driving import Driving
from jittrust.ports.registry import Attachment, ToolStanding

_STATE = "jittrust."
_STATES_KEPT = 256
# From when on a call's lease is looked after, how long one question about it waits, and how long it lasts when the broker cannot be reached.
_LEASE_FROM_S, _LEASE_ASKED_S, _LEASE_KEPT_S = 0.25, Seconds(25.0), 5.0
_MOST_GOAL_FORMS = 2  # a person who twice does not answer is not asked a third time


class ClientFace(Protocol):
    """How the gate reaches the client while it handles one of its requests."""

    async def request(self, method: str, params: Mapping[str, Json], timeout: float) -> Mapping[str, Json] | None:
        """Ask the client and return its result; None when it declined with an error, left, or `timeout` seconds passed."""
        ...

    async def notify(self, raw: bytes) -> None:
        """Send the client a notification that belongs to the request at hand."""
        ...


Forward = Callable[[bytes], Awaitable[Message]]
_PAID = frozenset({"tools/call", "resources/read", "prompts/get"})
"""What costs gas, so that its result says what is left."""


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What a gate is told at its start.

    Attributes:
        server: name of the server behind the broker.
        person: for whom the agent acts.
        wait_s: how long a call waits for a person, in seconds, before it is refused with `approval_needed`.
        elicit_s: how long the client may take to answer a form, in seconds.
        elicit_risk: highest risk, 0..100, that the agent's own client may confirm.
        upstream_s: how long the server may take to list its tools, in seconds.
        repin_s: a tool list older than this many seconds is read again before a call.
        session, goal, observe, pids, grant: see `ports.registry.Attachment`.
    """

    server: str
    person: str
    wait_s: float = 20.0
    elicit_s: float = 120.0
    elicit_risk: int = 40
    upstream_s: float = 10.0
    repin_s: float = 60.0
    session: str = ""
    goal: str = ""
    observe: bool = False
    pids: tuple[int, ...] = ()
    grant: str = ""


@dataclass(frozen=True, slots=True)
class Handled:
    """What the client is told.

    Attributes:
        reply: the bytes of its response.
        decision: why, for the transport's own status; None when nothing was decided.
        error: what went wrong, if something did.
        next_pass: the pass to hand out now. No pass that a decision named earlier may be handed out: the gate may have spent it meanwhile.
    """

    reply: bytes
    decision: Decision | None = None
    error: JitError | None = None
    next_pass: str | None = None


class LeaseEndedError(RefusedError):
    """What the call stood on has ended while it was under way; whether it took effect is not known."""


class _Question(StrEnum):
    GOAL = "goal"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question that went out inside `input_required`. It is kept here and the client gets only an unguessable name for it."""

    question: _Question
    approval: str
    method: str
    digest: str
    subject: str
    holder: str
    expires: float
    state: bytes | None
    answers: bytes | None


@dataclass(slots=True)
class _Call:
    """One call on its way through the gate."""

    message: Message
    shown: Shown | None
    face: ClientFace | None
    key: str
    elicits: bool
    asked_goal: bool = False
    asked_approval: bool = False
    denied: str = ""
    waited: set[str] = field(default_factory=set)


class Gate:
    """One gate: one client session in front of one server (in the stateless revision: one caller)."""

    def __init__(
        self,
        ports: Driving,
        settings: GateSettings,
        upstream: UpstreamFace,
        announce: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """Nothing is sent before `open`; `announce` takes notifications for the whole session."""
        self._attached = ""
        self._ports = ports
        self._settings = settings
        self._announce = announce
        self._client = ""
        self._elicits = False
        self._goal_stated = False
        self._goal_refused = 0
        self._generation = -1
        self._mission = ""
        self._goal_lock = asyncio.Lock()
        self._opened = False  # the client may be told things
        self._listing = ToolListing(upstream, self._show, settings.upstream_s, settings.repin_s)
        self._asked: dict[str, _Asked] = {}
        self._behind: set[asyncio.Task[None]] = set()

    # --- joining -----------------------------------------------------------------------------------------------------------------------

    @property
    def subject(self) -> Subject:
        """The agent behind this session, as far as it has introduced itself."""
        return translate.agent_subject(self._client, self._settings.person)

    async def open(self) -> None:
        """Join the broker. Raises UnavailableError when it is not there."""
        await self._attach()

    async def close(self) -> None:
        """Leave. Outcomes still on their way to the broker get two seconds; whatever else goes on in the background is ended."""
        if self._behind:
            await asyncio.wait(tuple(self._behind), timeout=2.0)
        for task in tuple(self._behind):
            task.cancel()
        await asyncio.gather(*self._behind, return_exceptions=True)
        if self._attached:
            with contextlib.suppress(JitError):
                await self._ports.registry.detach(self._attached)

    async def watch(self) -> None:
        """Follow the person's mission for as long as the session lasts, and tell the client when its tool list has changed."""
        while True:
            try:
                now = await self._ports.registry.changed(self._attached, self._mission, self._generation, 25.0)
            except UnavailableError:
                await asyncio.sleep(1.0)
                continue
            except JitError:  # it was started again and does not know this session
                await asyncio.sleep(0.2)
                with contextlib.suppress(JitError):
                    await self._rejoin()
                continue
            self._goal_stated = now.goal_stated
            if (now.mission, now.generation) == (self._mission, self._generation):
                await asyncio.sleep(0)
                continue
            self._mission, self._generation = now.mission, now.generation
            with contextlib.suppress(JitError):
                await self._show_again()

    async def _attach(self) -> None:
        said = self._settings
        attachment = Attachment(
            said.person, self._client, said.server, said.pids, said.goal, said.observe, said.session, said.grant
        )
        joined = await self._ports.registry.attach(attachment)
        self._attached = joined.id
        self._goal_stated, self._mission, self._generation = joined.goal_stated, joined.mission, joined.generation

    async def _rejoin(self) -> None:
        """A broker that was started again does not know this session; tell it everything once more."""
        await self._attach()
        await self._show_again()

    async def _introduced(self, message: Message) -> None:
        """Take note of what the client says about itself."""
        elicits = translate.can_elicit(message)
        if elicits is not None:
            self._elicits = elicits
        if message.modern:
            self._listing.envelope = message.meta
            self._opened = True
        name = translate.client_name(message)
        if name and name != self._client:
            self._client = name
            if self._attached:
                await self._attach()

    # --- the client's messages ---------------------------------------------------------------------------------------------------------

    def notice_from_client(self, message: Message) -> bool:
        """Whether a client's notification goes on to the server."""
        if message.method == "notifications/initialized":
            self._opened = True
            if self._listing.offered:
                self._start(self._listing.fresh())
        return message.method in translate.FROM_CLIENT

    async def notice_from_server(self, message: Message) -> bool:
        """Whether a server's notification goes on to the client. A changed tool list is read and pinned before anybody hears of it."""
        if message.method == "notifications/tools/list_changed":
            self._listing.changed()
            self._start(self._listing.fresh())
        return message.method.startswith("notifications/")

    async def handle(
        self,
        message: Message,
        shown: Shown | None,
        face: ClientFace | None,
        forward: Forward,
        idempotency_key: str = "",
    ) -> Handled:
        """Carry one request of the client through.

        Args:
            message: the request.
            shown: what the caller showed; None = this session's attachment stands for it.
            face: how to reach the client meanwhile; None where that is not possible.
            forward: sends bytes to the server and returns its final response; raises a JitError when there is none.
            idempotency_key: the transport's, empty when it has none.

        Never raises for a refusal. Cancelling the task cancels the call; if it had gone out it is settled as in doubt.
        """
        handled = await self._handle(message, shown, face, forward, idempotency_key)
        decision = handled.decision
        if decision is None:
            return handled
        next_pass = handled.next_pass if decision.passage is Passage.FORWARD else decision.next_pass
        # Last: what is kept for a re-send says nothing of gas, for it will be less by then. Results that must be empty (`ping`) stay so.
        paid = message.method in _PAID
        reply = jsonrpc.with_gas(handled.reply, int(decision.gas_left)) if paid else handled.reply
        return replace(handled, reply=reply, next_pass=next_pass)

    async def _handle(
        self, message: Message, shown: Shown | None, face: ClientFace | None, forward: Forward, idempotency_key: str
    ) -> Handled:
        try:
            if message.method == "initialize" or message.modern:
                await self._introduced(message)
            ask = self._ask(message, idempotency_key)
            if isinstance(ask, Passing):
                return await self._pass(message, ask, shown, forward)
            elicits = translate.can_elicit(message) if message.modern else self._elicits
            call = _Call(message, shown, face, idempotency_key, bool(elicits))
            return await self._call(call, ask, forward)
        except MalformedMessageError as error:
            return Handled(error.reply(), error=error)
        except JitError as error:
            return Handled(self._failed(message, error), error=error)

    def _ask(self, message: Message, key: str) -> Evaluation | Passing:
        return translate.to_evaluation(
            message,
            server=self._settings.server,
            subject=self.subject,
            evaluation_id=fresh_id(),
            idempotency_key=key,
        )

    async def _pass(self, message: Message, passing: Passing, shown: Shown | None, forward: Forward) -> Handled:
        if passing is Passing.UNKNOWN:
            error = BadInputError(
                "method_unknown", f"the method {translate.safe_text(message.method, 80)} is not part of MCP"
            )
            reply = jsonrpc.error_reply(
                message.id, jsonrpc.METHOD_NOT_FOUND, f"jittrust: {error.message}.", {"code": error.code}
            )
            return Handled(reply, error=error)
        if shown is not None:
            return await self._pass_shown(message, passing, shown, forward)
        return await self._through(message, passing, forward)

    async def _pass_shown(self, message: Message, passing: Passing, shown: Shown, forward: Forward) -> Handled:
        """A message that is not judged still shows its pass and gets the next one."""
        ask = translate.protocol_evaluation(
            message, server=self._settings.server, subject=self.subject, evaluation_id=fresh_id()
        )
        decision = await self._evaluate(ask, shown)
        if decision.passage is not Passage.FORWARD:
            return self._turned_away(message, decision)
        try:
            async with self._leased(decision):
                handled = await self._through(message, passing, forward)
        except asyncio.CancelledError:
            self._start(self._settle_quietly(decision, Outcome(Settled.IN_DOUBT, detail="cancelled by the client")))
            raise
        except JitError as error:
            await self._settle_quietly(
                decision, Outcome(Settled.IN_DOUBT, detail=translate.safe_text(error.message, 200))
            )
            return Handled(self._failed(message, error), decision, error, decision.next_pass)
        outcome = Outcome(Settled.COMPLETE, answer=replies.kept(handled.reply))
        learned = await asyncio.shield(self._settle(decision, outcome))
        return replace(handled, decision=decision, next_pass=learned.next_pass)

    async def _through(self, message: Message, passing: Passing, forward: Forward) -> Handled:
        if passing is Passing.TOOL_LISTING:
            await self._listing.fresh()
        answer = await forward(message.raw)
        if answer.kind is not MessageKind.RESULT:
            return Handled(answer.raw)
        if passing is Passing.OPENING:
            self._listing.offered = translate.has_tools(answer)
            return Handled(translate.opened(answer))
        if passing is Passing.TOOL_LISTING:
            return Handled(await self._listing.narrowed(message, answer))
        return Handled(answer.raw)

    # --- one judged call ---------------------------------------------------------------------------------------------------------------

    async def _call(self, call: _Call, ask: Evaluation, forward: Forward) -> Handled:
        call.message, ask = await self._answered(call, ask)
        if call.denied:
            return Handled(replies.refusal(call.message, "approval_denied", replies.DENIED, None))
        if ask.resource.type == "tool":
            await self._listing.ready()
        while True:
            decision = await self._evaluate(ask, call.shown)
            if call.shown is not None and decision.next_pass is not None:
                # The caller has not got it yet: until it is answered, the gate spends its newest pass for it.
                began = call.shown.began or call.shown.presented
                call.shown = replace(call.shown, presented=decision.next_pass, began=began)
            self._noticed(decision, call.shown)
            if decision.passage is Passage.FORWARD:
                return await self._let_out(call, decision, forward)
            if decision.passage is not Passage.ASK:
                return self._turned_away(call.message, decision)
            asked = await self._ask_person(call, ask, decision)
            if isinstance(asked, Handled):
                return asked
            ask = replace(ask, id=fresh_id())

    async def _evaluate(self, ask: Evaluation, shown: Shown | None) -> Decision:
        """Ask the decision point; a decision that arrives after the client has cancelled lets nothing out and is settled as failed."""
        task = asyncio.ensure_future(self._evaluate_once(ask, shown))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._start(self._withdraw(task))
            raise

    async def _evaluate_once(self, ask: Evaluation, shown: Shown | None) -> Decision:
        try:
            return await self._ports.decisions.evaluate(ask, shown or self._own_shown())
        except RefusedError as error:
            if shown is not None or error.code not in _NOT_JOINED:
                raise
        await self._rejoin()
        return await self._ports.decisions.evaluate(ask, self._own_shown())

    async def _withdraw(self, task: asyncio.Task[Decision]) -> None:
        with contextlib.suppress(JitError):
            decision = await task
            if decision.passage is Passage.FORWARD:
                outcome = Outcome(Settled.FAILED, detail="cancelled before it went out")
                await self._ports.decisions.settle(decision.evaluation, outcome)

    def _own_shown(self) -> Shown:
        return Shown(PassBinding.GATEWAY, attachment=self._attached)

    def _noticed(self, decision: Decision, shown: Shown | None) -> None:
        now = (decision.mission, decision.generation)
        if decision.mission and shown is None and now != (self._mission, self._generation):
            self._mission, self._generation = now
            self._start(self._show_again())

    async def _let_out(self, call: _Call, decision: Decision, forward: Forward) -> Handled:
        message = call.message
        if translate.is_access_request(message):
            reply = replies.access_reply(message)
            learned = await self._settle(decision, Outcome(Settled.COMPLETE, answer=reply))
            return Handled(reply, decision, next_pass=learned.next_pass)
        try:
            async with self._leased(decision):
                answer = await forward(translate.with_note(message, decision.note))
        except asyncio.CancelledError:
            self._start(self._settle_quietly(decision, Outcome(Settled.IN_DOUBT, detail="cancelled by the client")))
            raise
        except JitError as error:
            outcome = Outcome(Settled.IN_DOUBT, detail=translate.safe_text(error.message, 200))
            newest = await self._settle_quietly(decision, outcome)
            return Handled(self._failed(message, error), decision, error, newest)
        refused = await self._embedded(call, answer)
        reply = refused or answer.raw
        try:
            learned = await asyncio.shield(self._settle(decision, replies.outcome_of(answer, reply)))
        except JitError as error:
            # What came back could not be read for provenance; later calls would take its values for the agent's own.
            withheld = UnavailableError(
                "result_withheld",
                "the call was carried out, but its result could not be recorded and is held back",
                "Do not repeat the call; tell the user.",
            )
            withheld.__cause__ = error
            return Handled(self._failed(message, withheld), decision, withheld)
        return Handled(reply, decision, next_pass=learned.next_pass)

    @contextlib.asynccontextmanager
    async def _leased(self, decision: Decision) -> AsyncIterator[None]:
        """Around what the server does: it is cut as soon as the call's lease ends.

        Raises:
            LeaseEndedError: code `lease_ended`.
        """
        here, loop = asyncio.current_task(), asyncio.get_running_loop()
        ended: list[str] = []
        watching: list[asyncio.Task[None]] = []

        async def watch() -> None:
            ended.append(await self.lease_end(decision.evaluation))
            if here is not None:
                here.cancel()

        # Most calls are over before anybody has to look after them.
        timer = loop.call_later(_LEASE_FROM_S, lambda: watching.append(loop.create_task(watch())))
        try:
            yield
        except asyncio.CancelledError:
            if not ended or here is None or here.uncancel() > 0:
                raise
            words = "the permission for this call has ended while it was under way; it may have taken effect"
            raise LeaseEndedError("lease_ended", words, "Do not repeat it; tell the user.") from None
        finally:
            timer.cancel()
            for task in watching:
                task.cancel()

    async def lease_end(self, evaluation: str) -> str:
        """Return when what was let out under this evaluation may not go on any longer, and why."""
        loop = asyncio.get_running_loop()
        reached = loop.time()
        while True:
            try:
                lease = await self._ports.decisions.lease(evaluation, _LEASE_ASKED_S)
            except UnavailableError as error:
                # Without a broker nobody says that it may go on.
                if loop.time() - reached > _LEASE_KEPT_S:
                    return error.message
                await asyncio.sleep(_LEASE_FROM_S)
                continue
            except JitError as error:
                return error.message
            reached = loop.time()
            if not lease.goes_on:
                return lease.why

    async def _settle(self, decision: Decision, outcome: Outcome) -> Learned:
        return await self._ports.decisions.settle(decision.evaluation, outcome)

    async def _settle_quietly(self, decision: Decision, outcome: Outcome) -> str | None:
        """Settle what cannot be answered anyway; the pass to hand out."""
        try:
            return (await self._settle(decision, outcome)).next_pass
        except JitError:
            return None

    async def _embedded(self, call: _Call, answer: Message) -> bytes | None:
        """Judge what the server asks of the client inside its result; the reply that takes its place when one question is refused."""
        for method, raw, params in translate.embedded_requests(answer):
            error: JitError | None = None
            if method not in translate.FROM_SERVER:
                error = RefusedError(
                    "server_request_refused", "the server asked the client for something that is not part of MCP"
                )
            else:
                error = await self._judge_server(method, raw, params)
            if error is not None:
                return self._failed(call.message, error)
        return None

    def _turned_away(self, message: Message, decision: Decision) -> Handled:
        verdict = decision.verdict
        if decision.passage is Passage.RESEND:
            if decision.answer is not None and message.id is not None:
                return Handled(
                    jsonrpc.with_members(decision.answer, {"id": message.id}), decision, next_pass=decision.next_pass
                )
            words = "the same call went out already and its answer is not known"
            reply = jsonrpc.error_reply(message.id, jsonrpc.CONFLICT, f"jittrust: {words}.", {"code": "in_doubt"})
            return Handled(reply, decision)
        if decision.passage is Passage.BUSY:
            words = f"too many calls at once; try again in {decision.retry_after} s"
            reply = jsonrpc.error_reply(message.id, jsonrpc.TOO_MANY, f"jittrust: {words}.", {"code": "busy"})
            return Handled(reply, decision)
        return Handled(replies.refusal(message, verdict.agent_code, verdict.agent_next, decision.approval), decision)

    def _failed(self, message: Message, error: JitError) -> bytes:
        return jsonrpc.failure_reply(message.id, error)

    # --- asking a person ---------------------------------------------------------------------------------------------------------------

    async def _ask_person(self, call: _Call, ask: Evaluation, decision: Decision) -> Handled | None:
        """Ask; None when there is reason to evaluate again, else what the client is told."""
        approval = decision.approval
        if not self._goal_stated and call.elicits and not call.asked_goal and self._goal_refused < _MOST_GOAL_FORMS:
            call.asked_goal = True
            if call.message.modern:
                if call.message.method in translate.INPUT_METHODS:
                    return Handled(self._input_required(call, ask, _Question.GOAL, ""), decision)
            elif await self._elicit_goal(call):
                return None
        if approval is None:
            return self._turned_away(call.message, decision)
        if approval.risk <= self._settings.elicit_risk and call.elicits and not call.asked_approval:
            call.asked_approval = True
            if call.message.modern:
                if call.message.method in translate.INPUT_METHODS:
                    return Handled(self._input_required(call, ask, _Question.APPROVAL, approval.id, approval), decision)
            elif (done := await self._elicit_approval(call, approval)) is not None:
                return None if done else self._denied(call.message, approval, decision)
        if approval.id in call.waited:  # it was approved and is asked for again: something else changed meanwhile
            return Handled(replies.refusal(call.message, "approval_needed", replies.NEXT, approval), decision)
        call.waited.add(approval.id)
        answered = await self._wait(call, approval)
        if answered.state is ApprovalState.APPROVED:
            return None
        if answered.state is ApprovalState.DENIED:
            return self._denied(call.message, approval, decision)
        return Handled(replies.refusal(call.message, "approval_needed", replies.NEXT, approval), decision)

    def _denied(self, message: Message, approval: Approval, decision: Decision) -> Handled:
        return Handled(replies.refusal(message, "approval_denied", replies.DENIED, approval), decision)

    async def _wait(self, call: _Call, approval: Approval) -> Approval:
        """Wait for a person, telling the client now and then that it is not forgotten."""
        left, token, told = self._settings.wait_s, call.message.progress_token, 0
        answered = approval
        while left > 0:
            if token is not None and call.face is not None:
                told += 1
                words = f"Waiting for a person: jittrust approve {approval.id}"
                # Far below 1, so that whatever the server counts afterwards is still an increase.
                params: dict[str, Json] = {"progressToken": token, "progress": told * 1e-6, "message": words}
                await call.face.notify(jsonrpc.notification("notifications/progress", params))
            step = min(left, 5.0)
            answered = await self._ports.approvals.wait(approval.id, Seconds(step))
            if answered.state is not ApprovalState.WAITING:
                break
            left -= step
        return answered

    async def _elicit_goal(self, call: _Call) -> bool:
        """Ask the person for the goal through a form; whether there is a goal now."""
        if call.face is None:
            return False
        async with self._goal_lock:  # calls that come in together ask once
            if self._goal_stated or self._goal_refused >= _MOST_GOAL_FORMS:
                return self._goal_stated
            answer = await call.face.request(
                "elicitation/create", replies.goal_form(modern=False), self._settings.elicit_s
            )
            return await self._take_goal(answer)

    async def _take_goal(self, answer: Mapping[str, Json] | None) -> bool:
        content = (answer or {}).get("content")
        goal = content.get("goal") if isinstance(content, Mapping) else None
        if (answer or {}).get("action") != "accept" or not isinstance(goal, str) or not goal.strip():
            self._goal_refused += 1
            return False
        await self._ports.missions.say(self._settings.person, goal.strip(), GoalSource.ELICITATION, "")
        self._goal_stated = True
        return True

    async def _elicit_approval(self, call: _Call, approval: Approval) -> bool | None:
        if call.face is None:
            return None
        form = replies.approval_form(approval, modern=False)
        answer = await call.face.request("elicitation/create", form, self._settings.elicit_s)
        return await self._take_approval(answer, approval.id)

    async def _take_approval(self, answer: Mapping[str, Json] | None, approval: str) -> bool | None:
        """True: approved; False: denied; None: no answer that counts."""
        action = (answer or {}).get("action")
        content = (answer or {}).get("content")
        approve = content.get("approve") if isinstance(content, Mapping) else None
        if action == "decline" or (action == "accept" and approve is False):
            said = False
        elif action == "accept" and approve is True:
            said = True
        else:
            return None
        try:
            await self._ports.approvals.answer(approval, Answer(said, self._settings.person, ConfirmedBy.CLIENT))
        except RefusedError:  # the broker wants more than a click in the agent's own client
            return None
        except BadInputError:
            return None
        return said

    # Revision 2026-07-28 has no requests from the server: the question is the result, and the answer comes with the next attempt. The state
    # that the client carries is a random name; what it stands for stays here, so there is nothing in it to read, forge or use twice.

    def _input_required(
        self, call: _Call, ask: Evaluation, question: _Question, approval_id: str, approval: Approval | None = None
    ) -> bytes:
        now = asyncio.get_running_loop().time()
        for name in [name for name, asked in self._asked.items() if asked.expires < now]:
            del self._asked[name]
        while len(self._asked) >= _STATES_KEPT:
            del self._asked[next(iter(self._asked))]
        name = _STATE + secrets.token_urlsafe(32)
        raw = call.message.raw
        self._asked[name] = _Asked(
            question,
            approval_id,
            ask.action.name,
            ask.digest,
            ask.subject.id,
            _holder(call.shown),
            now + self._settings.elicit_s,
            strict_json.raw_member(raw, ("params", "requestState")),
            strict_json.raw_member(raw, ("params", "inputResponses")),
        )
        form = replies.goal_form(modern=True) if approval is None else replies.approval_form(approval, modern=True)
        result: dict[str, Json] = {
            "resultType": "input_required",
            "inputRequests": {"jittrust": {"method": "elicitation/create", "params": form}},
            "requestState": name,
        }
        return jsonrpc.result_reply(call.message.id or b"null", result)

    async def _answered(self, call: _Call, ask: Evaluation) -> tuple[Message, Evaluation]:
        """Take the answer to our own question out of a repeated request: the message and the question asked without it.

        Raises:
            MalformedMessageError: code `request_state_invalid`: unknown, used, too old, or given to another caller or for another call.
        """
        state = call.message.params.get("requestState")
        if not isinstance(state, str) or not state.startswith(_STATE):
            return call.message, ask
        asked = self._asked.pop(state, None)
        bare, again = call.message, ask
        if asked is not None:
            changes = {"requestState": asked.state, "inputResponses": asked.answers}
            raw = jsonrpc.with_path(call.message.raw, ("params",), changes)
            bare = jsonrpc.read_message(raw, max_bytes=len(raw))
            judged = self._ask(bare, call.key)
            again = judged if isinstance(judged, Evaluation) else ask
        now = asyncio.get_running_loop().time()
        if (
            asked is None
            or now > asked.expires
            or asked
            != replace(
                asked,
                method=again.action.name,
                digest=again.digest,
                subject=again.subject.id,
                holder=_holder(call.shown),
            )
        ):
            words = "requestState is unknown, used, too old or belongs to another call; call again without it"
            raise MalformedMessageError("request_state_invalid", words, jsonrpc.INVALID_PARAMS, call.message.id)
        responses = call.message.params.get("inputResponses")
        answer = responses.get("jittrust") if isinstance(responses, Mapping) else None
        answer = answer if isinstance(answer, Mapping) else None
        if asked.question is _Question.GOAL:
            call.asked_goal = True
            await self._take_goal(answer)
        else:
            call.asked_goal = call.asked_approval = True
            if await self._take_approval(answer, asked.approval) is False:
                call.denied = asked.approval
        return bare, again

    # --- the server's requests ---------------------------------------------------------------------------------------------------------

    async def server_request(self, message: Message, to_client: Forward) -> bytes:
        """Carry a server's request of the client through; the response for the server."""
        if message.method == "ping":
            return (await to_client(message.raw)).raw
        if message.method not in translate.FROM_SERVER:
            return jsonrpc.error_reply(
                message.id, jsonrpc.METHOD_NOT_FOUND, "jittrust: not a method of MCP.", {"code": "method_unknown"}
            )
        if message.method == "elicitation/create" and translate.asks_for_secrets(message.params):
            words = "jittrust: a form may not ask a person for a secret."
            return jsonrpc.error_reply(message.id, jsonrpc.REFUSED, words, {"code": "form_asks_for_secret"})
        raw = strict_json.raw_member(message.raw, ("params",)) or b""
        try:
            error = await self._judge_server(message.method, raw, message.params)
            if error is not None:
                return jsonrpc.failure_reply(message.id, error)
            return (await to_client(message.raw)).raw
        except JitError as error:
            return jsonrpc.failure_reply(message.id, error)

    async def _judge_server(self, method: str, raw: bytes, params: Mapping[str, Json]) -> JitError | None:
        ask = translate.from_server(
            method, raw, params, server=self._settings.server, subject=self.subject, evaluation_id=fresh_id()
        )
        decision = await self._evaluate(ask, None)
        if decision.passage is Passage.ASK and decision.approval is not None:
            waited = Seconds(self._settings.wait_s)
            answered = await self._ports.approvals.wait(decision.approval.id, waited)
            if answered.state is ApprovalState.APPROVED:
                decision = await self._evaluate(replace(ask, id=fresh_id()), None)
        if decision.passage is Passage.FORWARD:
            # Settled at once: what comes back is the client's own word to its server, nothing that the agent reads.
            await self._settle(decision, Outcome(Settled.COMPLETE))
            return None
        return RefusedError(decision.verdict.agent_code, "the client does not answer this request", "")

    async def _show(self, shown: Sequence[Mapping[str, Json]]) -> Sequence[ToolStanding]:
        try:
            return await self._ports.registry.show_tools(self._attached, shown)
        except NotFoundError:  # the broker was started again
            await self._attach()
            return await self._ports.registry.show_tools(self._attached, shown)

    async def _show_again(self) -> None:
        """The mission changed: find out what may be listed now, and tell the client if that is something else."""
        if await self._listing.show_again() and self._opened:
            await self._announce(jsonrpc.notification("notifications/tools/list_changed"))

    def _start(self, work: Awaitable[object]) -> None:
        async def quietly() -> None:
            with contextlib.suppress(JitError):
                await work

        task = asyncio.ensure_future(quietly())
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)


def fresh_id() -> str:
    """A new id for an evaluation."""
    return f"c-{secrets.token_hex(8)}"


_NOT_JOINED = frozenset({"invalid_token", "no_mission"})


def _holder(shown: Shown | None) -> str:
    return "" if shown is None else f"{shown.grant}\n{shown.jkt}\n{shown.attachment}"
