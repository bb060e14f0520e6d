"""Authorization requests in front of a person. In process only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jittrust.core.approval import Approval
from jittrust.core.authority.map import AuthorityEntry
from jittrust.core.oauth.client import OAuthClient
from jittrust.core.oauth.request import AuthorizationRequest


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """One line of the table of what an agent may do; every text is safe to show.

    Attributes:
        entry: id of the entry in the map.
        tool: `server/name`.
        does: what such a tool does, in a sentence.
        marks: its consequences, a few words each; empty = it only reads.
        limits: limits of resource, arguments and uses; empty = none.
        why: how it got here.
        asked: the client itself asked for it.
        given: a yes gives it; otherwise the person is asked when it comes to it.
        optional: the person may tick it on this page.
    """

    entry: str
    tool: str
    does: str
    marks: tuple[str, ...] = ()
    limits: str = ""
    why: str = ""
    asked: bool = False
    given: bool = True
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ConsentQuestion:
    """What the page shows: request, client, the map that the goal gives, and what it would last and cost at most.

    Attributes:
        request: as it stands; `goal` is what was proposed, or what the person wrote in its place; empty = the person has to say it.
        client, client_name, host: who asks, safe to show, and where the answer goes; `local`: to this machine; `verified`: its operator is known.
        person: for whom.
        entries: the map, exactly.
        rows: the map in plain words, given ones first.
        never: known tools that it may not use at all, the first of them; `never_count`: how many.
        minutes, gas: at most. `reads`, `payments`: what the gas of one grant is worth, about. `uses`: most calls; 0 = as many as the gas pays for.
        mission: the person's current mission, when that is what the agent would work under; empty = a yes starts one.
        warnings: what a careful person should know, a sentence each.
        approval: the question that a passkey signs: made for exactly what is shown; None while there is no goal.
        passkey: whether only a passkey says yes; otherwise the PIN does.
    """

    request: AuthorizationRequest
    client: OAuthClient
    entries: Sequence[AuthorityEntry]
    minutes: int
    gas: int
    approval: Approval | None = None
    client_name: str = ""
    host: str = ""
    local: bool = False
    verified: bool = False
    person: str = ""
    rows: Sequence[ConsentRow] = ()
    never: Sequence[str] = ()
    never_count: int = 0
    reads: int = 0
    payments: int = 0
    uses: int = 0
    mission: str = ""
    warnings: Sequence[str] = ()
    passkey: bool = True


@dataclass(frozen=True, slots=True)
class ConsentAnswer:
    """A person's answer: yes with an assertion over the question (or the PIN, while nobody has a passkey), or no.

    `question`: id of the approval that was on the screen; a yes to any other is refused.
    """

    approve: bool
    session: str = field(repr=False)
    assertion: str = field(default="", repr=False)
    pin: str = field(default="", repr=False)
    question: str = ""


class Consents(Protocol):
    """Shows requests and takes answers."""

    async def begin(self, parameters: Mapping[str, str]) -> AuthorizationRequest:
        """Check and store what a browser brought (`request_uri` of a pushed one, or the parameters themselves).

        Raises:
            SentBackError: what the client is told through the browser.
            OAuthError: any other is shown on a page and never sent on: wrong client, redirect URI or request URI.
        """
        ...

    async def show(
        self, request: str, session: str, goal: str | None = None, also: Sequence[str] | None = None
    ) -> ConsentQuestion:
        """The question as it stands for the person of a session, whose request it is from then on.

        Args:
            request: its id.
            session: the console's cookie.
            goal: the person's own words in place of the agent's; None = as before.
            also: ids of optional entries that the person ticked; None = as before, and none with a new goal.

        Raises:
            NotFoundError: code `request_unknown`: no such request, or it is over, or somebody else's.
            RefusedError: code `not_signed_in`, `identity_not_active`.
            BadInputError: code `goal_too_long`.
            SentBackError: `access_denied`: too many questions of this client wait.
        """
        ...

    async def answer(self, request: str, answer: ConsentAnswer) -> str:
        """Take the answer; gives the address the browser goes to, with `code`, `state` and `iss`, or `error=access_denied`.

        Answering a request again that was answered gives the same address, while it is good.

        Raises:
            NotFoundError: code `request_unknown`.
            ConflictError: code `question_moved`: what was shown is not what would happen any more.
            RefusedError: as `Approvals.answer`, `not_signed_in`.
        """
        ...
