"""Questions to a person and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jittrust.core.approval import Approval, ConfirmedBy
from jittrust.core.units import Seconds


@dataclass(frozen=True, slots=True)
class Caller:
    """Who answers, as the operating system says: user id, process id and its ancestors (nearest first)."""

    uid: int
    pid: int
    ancestors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer.

    Attributes:
        approve: yes or no.
        by: who says so; with a passkey or a session the broker takes the person whose it is, whatever stands here.
        confirmed_by: how they prove it.
        pin: checked by the broker when `confirmed_by` is PIN; a secret, never recorded.
        caller: the process, as the operating system says.
        assertion: WebAuthn's JSON over `Passkeys.request(approval)`, when `confirmed_by` is PASSKEY; never recorded.
        session: the console's cookie, when `confirmed_by` is PASSKEY or SESSION; a secret, never recorded.
        endorse: yes not to this one call, but to the source that the question offers to endorse.
        up_to: what the amounts of such acts may add up to; None = the amount of the call that is asked about.
    """

    approve: bool
    by: str
    confirmed_by: ConfirmedBy
    pin: str = ""
    caller: Caller | None = None
    assertion: str = field(default="", repr=False)
    session: str = field(default="", repr=False)
    endorse: bool = False
    up_to: float | None = None


class Approvals(Protocol):
    """What waits for a person."""

    async def waiting(self) -> Sequence[Approval]:
        """Every open question, oldest first."""
        ...

    async def answer(self, approval: str, answer: Answer) -> Approval:
        """Answer one question.

        Raises:
            NotFoundError: code `approval_unknown`.
            BadInputError: code `nothing_to_endorse` (the question offers no source), `bad_amount`.
            ConflictError: code `approval_closed`: answered, used or expired.
            RefusedError: code `pin_wrong`, `pin_not_set`, `pin_locked`, `agent_may_not_approve` (the caller descends from an agent's process),
                `confirmation_too_weak` (client confirmation for more than low risk, or a session alone), `passkey_required` (somebody who may
                answer has a passkey: a PIN does not say yes any more), `passkey_refused`, `not_signed_in`, `role_too_low` (below responder).
        """
        ...

    async def wait(self, approval: str, timeout: Seconds) -> Approval:
        """Return as soon as the question is answered, or as it stands when `timeout` has passed."""
        ...
