"""One AuthZEN question answered: by the broker where an agent wants something behind it, by the written attribute rules for everything else.

What kind of question it is, the context says:

| context | meaning |
|---|---|
| `presentation` | a use: the agent's token and proof are checked, gas is debited, the pass rotates, the ledger records it |
| `grant` | a use of a grant whose chain of passes the enforcement point keeps; only for whoever shows the secret of `pep.token` |
| neither | a question without any effect |

A use is answered once; the enforcement point reports what became of it at the outcome endpoint.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from jittrust.api.authzen.access_request import AccessRequestTokens
from jittrust.api.authzen.callers import OPERATORS, EnforcementPoint
from jittrust.api.authzen.obligations import obligations_of, supported_by, unfulfilled
from jittrust.api.authzen.read import LONGEST_TOKEN, name_in, object_in, text_in
from jittrust.core.errors import BadInputError, JitError, NotFoundError, RefusedError
from jittrust.core.grant.claims import InvalidTokenError, TokenRules
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.grant.present import (
    InvalidProofError,
    PresentationRules,
    PresentedRequest,
    VerifiedBefore,
    check_bearer,
    check_presentation,
    normal_url,
)
from jittrust.core.model import Action, Evaluation, Json, Resource, Ruling, Subject, SubjectKind, Verdict
from jittrust.core.secret import hidden, without_secrets
from jittrust.core.units import Instant, Seconds
from jittrust.ports.attribute_policy import AttributePolicy, AttributeQuestion
from jittrust.ports.decision_point import Decision, Outcome, Passage, Settled
from jittrust.ports.driving import Driving

BEHIND_BROKER: Final = frozenset(("tool", "resource", "prompt"))
"""Resource types whose questions the broker answers when an agent asks."""
MOST_CALLS: Final = 10_000
"""Most uses that are remembered until they are settled."""
_LONGEST_GRANT = Seconds(3602)
_SHOWN: Final = 600
_MOST_BODY: Final = 1024 * 1024
_MOST_TEXTS: Final = 1000
_SECRET_NAME: Final = re.compile(
    r"passw|pwd|pass_?phrase|secret|token|api_?-?key|credential|private_?-?key|cookie", re.IGNORECASE
)
_SETTLED: Final = {str(one): one for one in Settled}


@dataclass(frozen=True, slots=True)
class AgentQuestion:
    """A question about an agent and something behind the broker. `mission` is empty where the caller names none."""

    ask: Evaluation
    mission: str


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """What access tokens are checked against: who issues them, the issuer's public Ed25519 keys by `kid`, and the time."""

    issuer: str
    keys: Mapping[str, bytes]
    clock: Callable[[], Instant]

    def shown(self, presented: Mapping[str, Json], server: str) -> tuple[Shown, str]:
        """What an agent showed to an enforcement point, and whose grant it is.

        Args:
            presented: `authorization`, `dpop`, `method`, `url`, `body` (base64) or `body_digest`, and `x5t` of the request, as it was received.
            server: the token must be for it, or for this broker as a whole.

        Raises:
            InvalidTokenError, InvalidProofError: see `core.grant.present`.
            BadInputError: code `request_bad`: the enforcement point's words are malformed.
        """
        proof = text_in(presented, "presentation", "dpop", LONGEST_TOKEN)
        url = text_in(presented, "presentation", "url", LONGEST_TOKEN)
        authorization = text_in(presented, "presentation", "authorization", LONGEST_TOKEN * 2)
        if normal_url(url) is None:
            raise BadInputError("request_bad", "presentation.url is the http or https URL that the agent called.")
        request = PresentedRequest(
            method=text_in(presented, "presentation", "method", 32) or "POST",
            url=url,
            authorization=[authorization] if authorization else [],
            proofs=[proof] if proof else [],
            body=_decoded(presented, "presentation", "body") if "body" in presented else None,
            digest=text_in(presented, "presentation", "body_digest", 128),
        )
        bearer = authorization.partition(" ")[0].lower() == "bearer"
        before = VerifiedBefore()
        refused: InvalidTokenError | None = None
        for audience in (f"{self.issuer}/mcp/{server}", self.issuer):
            rules = PresentationRules(TokenRules(self.issuer, audience, longest=_LONGEST_GRANT))
            check = check_bearer if bearer else check_presentation
            try:
                shown = check(request, self.keys, rules, self.clock(), before)
            except InvalidTokenError as error:
                refused = error
                if error.detail != "wrong_audience":
                    break
                continue
            (claims,) = before.tokens.values()
            x5t = text_in(presented, "presentation", "x5t", 64)
            return replace(shown, x5t=x5t), claims.actors[0] if claims.actors else claims.client
        raise refused or InvalidTokenError("wrong_audience", "the token is for another resource")


class QuestionAnswerer:
    """Answers questions one by one."""

    def __init__(
        self,
        driving: Driving,
        tokens: TokenCheck,
        requests: AccessRequestTokens,
        attributes: AttributePolicy | None,
        new_id: Callable[[str], str],
    ) -> None:
        """Wire it up. `new_id` makes unique names."""
        self._driving = driving
        self._tokens = tokens
        self._requests = requests
        self._attributes = attributes
        self._new_id = new_id
        self._calls: dict[str, str] = {}

    async def answer(self, question: AttributeQuestion, caller: EnforcementPoint, *, use: bool) -> dict[str, Json]:
        """The decision, as AuthZEN writes it.

        Args:
            question: what is asked.
            caller: who asks; whoever reports the outcome must be the same.
            use: whether a presentation or a grant in the context may be spent; in a batch none is.

        Raises:
            BadInputError: code `request_bad`, `use_in_batch`, `attributes_bad`.
            UnavailableError: store, ledger or rules are not there; nothing was let through.
        """
        supported = supported_by(question.context)
        wants_use = "presentation" in question.context or "grant" in question.context
        if wants_use and not use:
            raise BadInputError(
                "use_in_batch", "A use is asked for by itself: a batch has no effects.", "POST /access/v1/evaluation"
            )
        asked = agent_question(question, self._new_id("e"))
        if asked is None:
            if wants_use:
                raise BadInputError(
                    "request_bad",
                    "Only an agent's question about a tool, resource or prompt is a use.",
                    "See docs/authzen.md.",
                )
            return self._by_attributes(question)
        if wants_use:
            return await self._use(question, asked, caller, supported)
        try:
            verdict = await self._driving.searches.judge(asked.ask, asked.mission)
        except NotFoundError as error:
            return _no(error.code, asked.ask.id)
        allowed = verdict.ruling in (Ruling.ALLOW, Ruling.MODIFY)
        return self._told(question, asked, verdict, supported, allowed=allowed)

    async def settle(self, told: Mapping[str, Json], caller: EnforcementPoint) -> dict[str, Json]:
        """Report what became of a use: `evaluation_id` and `outcome` {`settled`, `texts`, `structured`, `answer`, `detail`}.

        Raises:
            NotFoundError: code `evaluation_unknown`: never let out to this caller, or settled already.
            BadInputError: code `request_bad`.
        """
        evaluation = name_in(told, "body", "evaluation_id", 128)
        outcome = _outcome(object_in(told, "body", "outcome"))
        if self._calls.get(evaluation) != caller.name:
            raise NotFoundError("evaluation_unknown", "No such use was let out to you, or it is settled already.")
        del self._calls[evaluation]
        try:
            learned = await self._driving.decisions.settle(evaluation, outcome)
        except NotFoundError:
            raise
        except JitError:
            # Not recorded, so not settled: it may be reported again.
            self._calls[evaluation] = caller.name
            raise
        answer: dict[str, Json] = {"evaluation_id": evaluation, "response": str(learned.response)}
        if learned.next_pass is not None:
            answer["next_pass"] = learned.next_pass
        return answer

    # ---- uses -----------------------------------------------------------------------------------------------------------------------

    async def _use(
        self,
        question: AttributeQuestion,
        asked: AgentQuestion,
        caller: EnforcementPoint,
        supported: frozenset[str] | None,
    ) -> dict[str, Json]:
        try:
            shown = self._shown(question, asked.ask, caller)
            decision = await self._driving.decisions.evaluate(asked.ask, shown)
        except (InvalidTokenError, InvalidProofError) as error:
            return _no(error.code, asked.ask.id, {"error": {"status": 401, "message": error.code}})
        except RefusedError as error:
            return _no(error.code, asked.ask.id)
        verdict, goes_out = decision.verdict, decision.passage is Passage.FORWARD
        asked = replace(asked, mission=decision.mission or asked.mission)
        answer = self._told(question, asked, verdict, supported, allowed=goes_out, observed=decision.observed)
        context = answer["context"]
        if not isinstance(context, dict):  # pragma: no cover - made above
            raise TypeError
        context.update(_standing(decision))
        if goes_out and answer["decision"] is not True:
            # Paid, and it cannot go out: whoever would carry it out cannot do what it is bound to.
            await self._driving.decisions.settle(
                decision.evaluation, Outcome(Settled.FAILED, detail="obligation_unsupported")
            )
        elif goes_out:
            self._calls[decision.evaluation] = caller.name
            while len(self._calls) > MOST_CALLS:
                del self._calls[next(iter(self._calls))]
        return answer

    def _shown(self, question: AttributeQuestion, ask: Evaluation, caller: EnforcementPoint) -> Shown:
        server = ask.resource.id.partition("/")[0]
        if "presentation" not in question.context:
            if caller.name != OPERATORS:
                # A name is no proof: a workload that has heard of a grant would spend the gas of an agent that never came to it.
                raise RefusedError(
                    "grant_not_shown",
                    "A workload uses only grants whose token was shown to it.",
                    "Send what the agent showed as context.presentation.",
                )
            return Shown(PassBinding.GATEWAY, name_in(question.context, "context", "grant", 128))
        if "grant" in question.context:
            raise BadInputError("request_bad", "A use has a presentation or a grant, not both.", "See docs/authzen.md.")
        shown, agent = self._tokens.shown(object_in(question.context, "context", "presentation"), server)
        if agent != ask.subject.id:
            # Rules that people write speak of the subject: it must be whose grant it is.
            raise InvalidTokenError("other_subject", "the grant is another agent's")
        return shown

    # ---- words ----------------------------------------------------------------------------------------------------------------------

    def _told(
        self,
        question: AttributeQuestion,
        asked: AgentQuestion,
        verdict: Verdict,
        supported: frozenset[str] | None,
        *,
        allowed: bool,
        observed: bool = False,
    ) -> dict[str, Json]:
        # What is only recorded binds nobody.
        obligations = [] if observed else obligations_of(verdict, asked.ask.subject.id)
        missing = unfulfilled(obligations, supported)
        context: dict[str, Json] = {
            "evaluation_id": asked.ask.id,
            "reason": verdict.agent_code,
            "reason_user": {"en": verdict.agent_next},
            "reason_admin": {"en": " ".join(reason.fact for reason in verdict.reasons if reason.fact)},
            "reasons": list(verdict.codes),
            "measured": _measured(verdict),
        }
        if obligations:
            context["obligations"] = [dict(one) for one in obligations]
        if allowed and missing:
            context["reason"] = "obligation_unsupported"
        if not allowed and verdict.ruling is Ruling.STEP_UP:
            context["access_request"] = self._requests.offer(question, asked.ask.id, asked.mission)
        return {"decision": allowed and not missing, "context": context}

    def _by_attributes(self, question: AttributeQuestion) -> dict[str, Json]:
        evaluation = self._new_id("e")
        if self._attributes is None:
            return _no("no_rules", evaluation)
        found = self._attributes.answer(question)
        allowed = bool(found.permits) and not found.forbids
        context: dict[str, Json] = {"evaluation_id": evaluation, "reasons": [*found.permits, *found.forbids]}
        if not allowed:
            context["reason"] = "forbidden" if found.forbids else "not_permitted"
        return {"decision": allowed, "context": context}


def agent_question(question: AttributeQuestion, evaluation: str) -> AgentQuestion | None:
    """The broker's question; None where the written attribute rules answer.

    The agent is the subject (type `agent`), or, in the form of COAZ-MCP, `context.agent` of an `identity` that it acts for. What is called is
    `SERVER/NAME`, or NAME with the server as `resource.properties.server`; the arguments are `action.properties.arguments`.

    Raises:
        BadInputError: code `request_bad`.
    """
    kind, resource = question.subject.type, question.resource
    if resource.type not in BEHIND_BROKER or not (
        kind == "agent" or (kind == "identity" and "agent" in question.context)
    ):
        return None
    agent = question.subject.id if kind == "agent" else name_in(question.context, "context", "agent")
    server = (
        name_in(resource.properties, "resource.properties", "server", 128) if "server" in resource.properties else ""
    )
    target = f"{server}/{resource.id}" if server else resource.id
    arguments = object_in(question.action_properties, "action.properties", "arguments")
    mission = name_in(question.context, "context", "mission", 128) if "mission" in question.context else ""
    ask = Evaluation(
        id=evaluation,
        subject=Subject(SubjectKind.AGENT, agent),
        action=Action(question.action),
        resource=Resource(resource.type, target),
        arguments=arguments,
        digest=digest_of(question.action, target, arguments),
        text=shown_arguments(arguments) if arguments else "",
    )
    return AgentQuestion(ask, mission)


def digest_of(action: str, target: str, arguments: Mapping[str, Json]) -> str:
    """SHA-256 (64 hex digits) of what is asked for: each part preceded by its length, the arguments in one spelling (sorted, no white space)."""
    made = hashlib.sha256(b"authzen\x00")
    for part in (action, target, canonical(arguments)):
        raw = part.encode("utf-8")
        made.update(len(raw).to_bytes(8, "big") + raw)
    return made.hexdigest()


def canonical(value: Json) -> str:
    """JSON in one spelling: members sorted by name, no white space, nothing escaped that need not be."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)


def shown_arguments(arguments: Mapping[str, Json]) -> str:
    """Arguments as people may see them: secrets hidden, what is not printable escaped, cut."""
    text = without_secrets(json.dumps(_redacted(arguments), ensure_ascii=False, default=_plain))[:_SHOWN]
    return "".join(char if char.isprintable() else f"\\u{{{ord(char):x}}}" for char in text)


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, Sequence) else str(value)


def _redacted(value: Json, name: str = "") -> Json:
    if isinstance(value, Mapping):
        return {key: _redacted(inner, key) for key, inner in value.items()}
    if isinstance(value, str):
        return hidden(value) if value and _SECRET_NAME.search(name) else value
    return [_redacted(inner, name) for inner in value] if isinstance(value, Sequence) else value


def _no(reason: str, evaluation: str, more: Mapping[str, Json] | None = None) -> dict[str, Json]:
    return {"decision": False, "context": {"evaluation_id": evaluation, "reason": reason, **(more or {})}}


def _measured(verdict: Verdict) -> dict[str, Json]:
    """What was measured, for people; agents are never shown it."""
    factors, score = verdict.factors, verdict.wis
    return {
        "intent": verdict.intent,
        "ruling": str(verdict.ruling),
        "response": str(verdict.response),
        "price": int(verdict.price),
        "trust": round(float(verdict.trust), 2),
        "wis": None if score is None else round(float(score.value), 2),
        "risk": None if factors is None or factors.risk.value is None else round(float(factors.risk.value), 4),
    }


def _standing(decision: Decision) -> dict[str, Json]:
    """How the grant stands after a use."""
    told: dict[str, Json] = {
        "evaluation_id": decision.evaluation,
        "grant": decision.grant,
        "mission": decision.mission,
        "gas": int(decision.gas_left),
        "passage": str(decision.passage),
    }
    if decision.next_pass is not None:
        told["next_pass"] = decision.next_pass
    if decision.observed:
        told["observed"] = True
    if decision.passage is Passage.CHALLENGE:
        told["reason"] = "use_dpop_nonce"
    elif decision.passage is Passage.RESEND:
        # It went out before and was answered: it must not go out again.
        told["reason"] = "answered_before" if decision.answer is not None else "in_doubt"
        if decision.answer is not None:
            told["answer"] = base64.b64encode(decision.answer).decode("ascii")
    elif decision.passage is Passage.BUSY:
        told |= {"reason": "busy", "retry_after": decision.retry_after}
    return told


def _outcome(told: Mapping[str, Json]) -> Outcome:
    settled, texts = told.get("settled"), told.get("texts", [])
    if not isinstance(settled, str) or settled not in _SETTLED:
        raise BadInputError("request_bad", f"outcome.settled is one of {', '.join(_SETTLED)}.")
    if not isinstance(texts, list) or len(texts) > _MOST_TEXTS or not all(isinstance(one, str) for one in texts):
        raise BadInputError("request_bad", f"outcome.texts is a list of at most {_MOST_TEXTS} texts.")
    return Outcome(
        settled=_SETTLED[settled],
        texts=tuple(str(one) for one in texts),
        structured=told.get("structured"),
        answer=_decoded(told, "outcome", "answer") if "answer" in told else None,
        detail=text_in(told, "outcome", "detail", 2000)[:200],
    )


def _decoded(told: Mapping[str, Json], where: str, name: str) -> bytes:
    text = text_in(told, where, name, _MOST_BODY * 2)
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (ValueError, UnicodeEncodeError):
        raise BadInputError("request_bad", f"{where}.{name} is base64.", "See docs/authzen.md.") from None
