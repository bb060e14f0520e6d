"""The question a gate asks before a call goes out, and what it reports after."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from jittrust.core.approval import Approval
from jittrust.core.grant.grant import Shown
from jittrust.core.intent.note import IntentNote
from jittrust.core.model import Evaluation, Json, Response, Verdict
from jittrust.core.units import Gas, Seconds


class Settled(StrEnum):
    """How a call that went out ended."""

    COMPLETE = "complete"  # the upstream answered (also with a tool error)
    FAILED = "failed"  # the upstream answered with a protocol error, or refused before doing anything
    IN_DOUBT = "in_doubt"  # it went out and no answer came: died, timed out, client cancelled


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back. Everything in it is untrusted and is indexed for provenance.

    Attributes:
        settled: how it ended.
        texts: every text block of the result, in order (not cut; the broker bounds it).
        structured: `structuredContent`, or None.
        answer: the exact bytes that were given to the caller, for a re-send inside the retry window; None when larger than 1 MiB or not kept.
        detail: one line for people (error text of the upstream, cut to 200 characters).
    """

    settled: Settled
    texts: tuple[str, ...] = ()
    structured: Json = None
    answer: bytes | None = None
    detail: str = ""


class Passage(StrEnum):
    """What the gate has to do."""

    FORWARD = "forward"  # let it out, then call `settle`
    REFUSE = "refuse"  # answer with `verdict.agent_code` and `verdict.agent_next`
    ASK = "ask"  # a person is asked (`approval`); wait for it or refuse with the code
    CHALLENGE = "challenge"  # the pass is not the live one: answer 401 use_dpop_nonce with `next_pass`
    RESEND = "resend"  # same pass, same request: give `answer` again; None: in doubt, answer 202-like
    BUSY = "busy"  # too many callers at once: 429 with `retry_after`


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict and what follows from it for the enforcement point.

    Attributes:
        passage: what to do. In observe mode it is FORWARD although `verdict.ruling` says otherwise (`observed` is then True).
        verdict: the full answer with reasons, for people; never shown to the agent beyond its `agent_*` members.
        evaluation: id under which `settle` is called.
        next_pass: the pass the caller must show next; None for gateway-kept chains. Hand it out with every answer.
        gas_left: what is left of the grant.
        approval: the question to a person, with ASK.
        answer: stored bytes, with RESEND.
        retry_after: whole seconds, with BUSY.
        observed: the verdict was recorded and not enforced.
        note: what agents next to this one may be told of the intent behind the call, with FORWARD; None = nothing.
    """

    passage: Passage
    verdict: Verdict
    evaluation: str
    grant: str
    next_pass: str | None
    gas_left: Gas
    approval: Approval | None = None
    answer: bytes | None = None
    retry_after: int = 0
    observed: bool = False
    mission: str = ""
    generation: int = 0
    note: IntentNote | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """What reading the result changed: the response now in force for the session.

    `next_pass` is the pass to hand out with the answer, when headers were not sent yet; None: hand out none (gateway-kept chain, or a challenge
    has replaced the pass meanwhile and whoever asked for that one holds the newest).
    """

    response: Response
    reasons: tuple[str, ...] = field(default=())
    next_pass: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """Whether a call under way, or an open stream, may go on.

    Attributes:
        goes_on: whether it may, for now. False is final: cut it.
        code: `lease_ended` when it may not.
        why: what has ended, in words for people.
    """

    goes_on: bool
    code: str = ""
    why: str = ""


class DecisionPoint(Protocol):
    """Answers access questions. Every answer that lets a call out is durable before it is given."""

    async def evaluate(self, ask: Evaluation, shown: Shown) -> Decision:
        """Decide one call: gather, decide, commit. Never raises for a refusal.

        Raises:
            UnavailableError: the store, ledger or signer is not there; nothing was let through.
            RefusedError: code `invalid_token`: no such grant, attachment or key.
        """
        ...

    async def settle(self, evaluation: str, outcome: Outcome) -> Learned:
        """Report what came back for a call that was forwarded; once per evaluation.

        Raises:
            NotFoundError: code `evaluation_unknown`: never let out, or settled already.
        """
        ...

    async def lease(self, evaluation: str, timeout: Seconds) -> Lease:
        """Wait until a call that was forwarded may not go on any longer, or `timeout` seconds have passed.

        It may go on while its mission is active and not stopped, its session stands, and its grant and all it was carved from are neither revoked,
        suspended nor reused; beyond the grant's life only while the session would get a new one (see `core.grant.lease`). A stream is
        asked about under the evaluation that opened it, for the first time before that is settled.

        Raises:
            NotFoundError: code `evaluation_unknown`: never let out, or settled before anybody asked.
        """
        ...
