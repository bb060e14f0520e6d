"""Access requests (AuthZEN Access Request and Approval Profile, draft 1). Everything of the draft is in this module.

A refusal that a person's yes would lift says so (`context.access_request`). The enforcement point may then ask that person; the answer to the
question is a task, and access comes only from asking for the decision again. The state of a task is the state of the broker's own question:

| question | task |
|---|---|
| waiting | `pending` |
| approved, used | `approved` |
| denied by a person | `denied` |
| taken back by the enforcement point | `cancelled` |
| expired | `expired` |

`binding_token` is a MAC over what was refused, so that nothing else can be asked for with it; a task's handle is a MAC over its name, so that none can
be guessed. Neither lets anything through: the call is judged anew when the question is put and when the decision is asked for again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from jittrust.core.approval import Approval, ApprovalState
from jittrust.core.errors import BadInputError, NotFoundError
from jittrust.core.model import Json
from jittrust.core.secret import Secret
from jittrust.core.units import Instant
from jittrust.ports.attribute_policy import AttributeQuestion

PATH: Final = "/access/v1/requests"
CAPABILITY: Final = "urn:openid:authzen:capability:access-request"
ERRORS: Final = "urn:openid:authzen:access-request:error:"
OFFER_SECONDS: Final = 600.0
"""How long a refusal may be turned into a question."""
TAKEN_BACK: Final = "caller:"
"""How whoever took a question back is recorded, before their name."""
_MAC: Final = 16
_STATES: Final = {
    ApprovalState.WAITING: "pending",
    ApprovalState.APPROVED: "approved",
    ApprovalState.USED: "approved",
    ApprovalState.DENIED: "denied",
    ApprovalState.EXPIRED: "expired",
}
# Members of the context that decide what is judged; the rest is machinery or changes with every attempt.
_BOUND: Final = ("agent", "mission")


class DenialBindingError(BadInputError):
    """What is asked for is not what was refused, or too late."""


class AccessRequestTokens:
    """Makes and reads binding tokens and task handles."""

    def __init__(self, key: Secret, issuer: str, clock: Callable[[], Instant]) -> None:
        """`key`: from which the MAC keys are derived, one for each purpose."""
        self._binding = hmac.digest(key.reveal(), b"jittrust authzen binding", "sha256")
        self._task = hmac.digest(key.reveal(), b"jittrust authzen task", "sha256")
        self._issuer = issuer
        self._clock = clock

    def offer(self, question: AttributeQuestion, evaluation: str, mission: str) -> dict[str, Json]:
        """`context.access_request` of a refusal."""
        # Whole seconds, for that is how it is written.
        expires = int(self._clock() + OFFER_SECONDS)
        claims = json.dumps({"e": evaluation, "m": mission, "x": expires}, separators=(",", ":")).encode()
        mac = self._mac(claims, question)
        return {
            "endpoint": self._issuer + PATH,
            "expires_at": written(Instant(expires)),
            "binding_token": f"{_encoded(claims)}.{_encoded(mac)}",
        }

    def bound(self, question: AttributeQuestion, denial: Mapping[str, Json]) -> str:
        """The mission whose refusal `denial` shows, if it was for exactly this question and may still be asked about.

        Raises:
            DenialBindingError: code `invalid_denial_binding`, `expired_denial`.
        """
        token, told = denial.get("binding_token"), denial.get("expires_at")
        if not isinstance(token, str) or not token.isascii() or token.count(".") != 1:
            raise _unbound()
        try:
            claims, mac = (
                base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True) for part in token.split(".")
            )
        except (ValueError, binascii.Error):
            raise _unbound() from None
        if not hmac.compare_digest(mac, self._mac(claims, question)):
            raise _unbound()
        read = json.loads(claims)
        if told != written(Instant(read["x"])):
            raise _unbound()
        if self._clock() >= read["x"]:
            raise DenialBindingError("expired_denial", "The refusal is too old.", "Ask for the decision again.")
        mission: str = read["m"]
        return mission

    def handle(self, approval: str) -> str:
        """The opaque name of a question."""
        raw = approval.encode()
        return "arq_" + _encoded(hmac.digest(self._task, raw, "sha256")[:_MAC] + raw)

    def approval_of(self, handle: str) -> str:
        """The question that a handle names. Raises NotFoundError: code `unknown_task`."""
        unknown = NotFoundError("unknown_task", "There is no such task.")
        head, text = handle[:4], handle[4:]
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise unknown from None
        mac, name = raw[:_MAC], raw[_MAC:]
        good = hmac.compare_digest(mac, hmac.digest(self._task, name, "sha256")[:_MAC])
        if head != "arq_" or not good or _encoded(raw) != text:
            raise unknown
        return name.decode("utf-8")

    def told(self, approval: Approval) -> dict[str, Json]:
        """The task, as it is answered; with a result once a person has said yes."""
        handle = self.handle(approval.id)
        where = f"{self._issuer}{PATH}/{handle}"
        status = task_state(approval)
        task: dict[str, Json] = {
            "id": handle,
            "status": status,
            "status_endpoint": where,
            "expires_at": written(approval.expires),
        }
        if status == "pending":
            task["links"] = {"cancel": f"{where}/cancel"}
        if status != "approved":
            return {"task": task}
        approved: dict[str, Json] = {"id": handle, "approved_until": written(approval.expires)}
        if approval.answered:
            approved["approved_at"] = written(approval.answered)
        return {"task": task, "result": {"mode": "reevaluate", "approval": approved}}

    def _mac(self, claims: bytes, question: AttributeQuestion) -> bytes:
        subject, resource = question.subject, question.resource
        bound: Json = [
            [subject.type, subject.id, subject.properties],
            [question.action, question.action_properties],
            [resource.type, resource.id, resource.properties],
            {name: question.context[name] for name in _BOUND if name in question.context},
        ]
        text = json.dumps(bound, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(text).digest()
        return hmac.digest(self._binding, len(claims).to_bytes(8, "big") + claims + digest, "sha256")


def task_state(approval: Approval) -> str:
    """The state of a task, in the draft's words."""
    if approval.state is ApprovalState.DENIED and approval.answered_by.startswith(TAKEN_BACK):
        return "cancelled"
    return _STATES[approval.state]


def written(moment: Instant) -> str:
    """A moment as RFC 3339 writes it, in UTC and whole seconds."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _unbound() -> DenialBindingError:
    return DenialBindingError(
        "invalid_denial_binding", "What is asked for is not what was refused.", "Ask for the decision again."
    )
