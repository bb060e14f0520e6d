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
class ConsentQuestion:
    """What the page shows: request, client, the map that the goal gives, and what it would last and cost at most.

    `approval` is the question that a passkey signs: made for exactly what is shown; None before the person is signed in or has a goal.
    """

    request: AuthorizationRequest
    client: OAuthClient
    entries: Sequence[AuthorityEntry]
    minutes: int
    gas: int
    approval: Approval | None = None


@dataclass(frozen=True, slots=True)
class ConsentAnswer:
    """A person's answer: yes with an assertion over the question (or the PIN, while nobody has a passkey), or no."""

    approve: bool
    session: str = field(repr=False)
    assertion: str = field(default="", repr=False)
    pin: str = field(default="", repr=False)


class Consents(Protocol):
    """Shows requests and takes answers."""

    async def begin(self, parameters: Mapping[str, str]) -> AuthorizationRequest:
        """Check and store what a browser brought (`request_uri` of a pushed one, or the parameters themselves).

        Raises:
            OAuthError: wrong client or redirect URI (shown on a page, never sent on), or anything else (sent to the redirect URI).
        """
        ...

    async def show(self, request: str, session: str, goal: str = "") -> ConsentQuestion:
        """The question as it stands for the person of a session; `goal` puts the person's own words in place of the agent's.

        Raises:
            NotFoundError: code `request_unknown`: no such request, or it is over.
            RefusedError: code `not_signed_in`.
        """
        ...

    async def answer(self, request: str, answer: ConsentAnswer) -> str:
        """Take the answer; gives the address the browser goes to, with `code`, `state` and `iss`, or `error=access_denied`.

        Raises:
            NotFoundError: code `request_unknown`.
            RefusedError: as `Approvals.answer`, `not_signed_in`.
        """
        ...
