"""What the client, the agent and the person are told, as bytes and forms (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from jittrust.core.approval import Approval
from jittrust.core.model import Json
from jittrust.pep.mcp import jsonrpc, translate
from jittrust.pep.mcp.jsonrpc import Message, MessageKind
from jittrust.ports.decision_point import Outcome, Settled

KEPT_ANSWER_BYTES = 1024 * 1024
"""Largest answer kept for a re-send."""
DENIED = "A person said no to this call. Go on without it."
NEXT = "A person has to confirm this call. Tell the user, then repeat the same call, or go on without it."


def kept(reply: bytes) -> bytes | None:
    """What is kept of a reply for a re-send."""
    return reply if len(reply) <= KEPT_ANSWER_BYTES else None


def outcome_of(answer: Message, reply: bytes) -> Outcome:
    """What the broker is told of an upstream's answer; `reply` are the bytes that the client gets for it."""
    if answer.kind is MessageKind.ERROR:
        error = answer.body.get("error")
        said = error.get("message") if isinstance(error, Mapping) else None
        words = said if isinstance(said, str) else ""
        texts = (words,) if words else ()
        # Its words are what a server says: they are read for provenance and stay out of the ledger, for they may repeat a secret.
        code = error.get("code") if isinstance(error, Mapping) else None
        detail = f"error {code}" if isinstance(code, int) and not isinstance(code, bool) else "error"
        return Outcome(Settled.FAILED, texts, answer=kept(reply), detail=detail)
    return Outcome(
        Settled.COMPLETE,
        translate.texts_of(answer.result),
        answer.result.get("structuredContent"),
        kept(reply),
    )


def refusal(message: Message, code: str, words: str, approval: Approval | None) -> bytes:
    """What the agent is told: a code and a generic next step, never facts or scores."""
    if approval is not None:
        words = f"{words} Approval: {approval.id}."
    text = f"jittrust: {code}. {words}"
    decided: dict[str, Json] = {"code": code}
    if approval is not None:
        decided["approval"] = approval.id
    if message.method == "tools/call" and message.id is not None:
        return jsonrpc.tool_reply(
            message.id, text, error=True, meta={jsonrpc.META + "decision": decided}, modern=message.modern
        )
    return jsonrpc.error_reply(message.id, jsonrpc.REFUSED, text, decided)


def access_reply(message: Message) -> bytes:
    """What `request_access` answers: it is on record, and nothing else has happened."""
    words = (
        "The person in charge is asked (jittrust approve). Nothing is allowed until they decide; go on with what is."
    )
    meta: dict[str, Json] = {jsonrpc.META + "decision": {"code": "recorded"}}
    return jsonrpc.tool_reply(
        message.id or b"null", f"jittrust: {words}", error=False, meta=meta, modern=message.modern
    )


def goal_form(*, modern: bool) -> Mapping[str, Json]:
    """Params of the elicitation that asks a person for the goal. Clients before 2025-11-25 know no `mode`."""
    goal: dict[str, Json] = {
        "type": "string",
        "title": "Goal",
        "description": "In your own words: what should the agent get done?",
        "minLength": 3,
        "maxLength": 2000,
    }
    form: dict[str, Json] = {
        "message": "jittrust: the agent wants to act, and nobody has said what for. What is it working on?",
        "requestedSchema": {"type": "object", "properties": {"goal": goal}, "required": ["goal"]},
    }
    return form | ({"mode": "form"} if modern else {})


def approval_form(approval: Approval, *, modern: bool) -> Mapping[str, Json]:
    """Params of the elicitation that asks a person about one call."""
    approve: dict[str, Json] = {"type": "boolean", "title": "Let this one call through", "default": False}
    form: dict[str, Json] = {
        "message": f"jittrust: the agent wants to do this, once: {translate.safe_text(approval.text, 800)}",
        "requestedSchema": {"type": "object", "properties": {"approve": approve}, "required": ["approve"]},
    }
    return form | ({"mode": "form"} if modern else {})
