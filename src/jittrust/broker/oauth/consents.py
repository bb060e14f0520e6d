"""Authorization requests in front of a person: pushed, shown, answered, redeemed once; the same for the back channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jittrust.broker.approvals import ApprovalBook
from jittrust.broker.identity.passkeys import PasskeyBook
from jittrust.broker.identity.people import PeopleBook
from jittrust.broker.missions import MissionBook
from jittrust.broker.oauth.clients import Authenticated, ClientBook
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.state import State
from jittrust.core.oauth.request import AuthorizationRequest
from jittrust.ports.authorization_server import Pushed
from jittrust.ports.consents import ConsentAnswer, ConsentQuestion


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A request that was answered with yes and has just been spent: what a grant is opened for. Its `mission` is active."""

    request: AuthorizationRequest


class ConsentBook:
    """See `ports.consents`."""

    def __init__(
        self,
        state: State,
        clients: ClientBook,
        missions: MissionBook,
        approvals: ApprovalBook,
        people: PeopleBook,
        passkeys: PasskeyBook,
        parts: OAuthParts,
    ) -> None:
        """Wire it up."""
        self._state = state
        self._clients = clients
        self._missions = missions
        self._approvals = approvals
        self._people = people
        self._passkeys = passkeys
        self._parts = parts

    async def begin(self, parameters: Mapping[str, str]) -> AuthorizationRequest:
        """See `Consents.begin`."""
        raise NotImplementedError

    async def show(self, request: str, session: str, goal: str = "") -> ConsentQuestion:
        """See `Consents.show`."""
        raise NotImplementedError

    async def answer(self, request: str, answer: ConsentAnswer) -> str:
        """See `Consents.answer`."""
        raise NotImplementedError

    async def push(self, who: Authenticated, parameters: Mapping[str, str]) -> Pushed:
        """Take a request of an authenticated (or public) client before the browser comes (RFC 9126)."""
        raise NotImplementedError

    async def backchannel(self, who: Authenticated, parameters: Mapping[str, str]) -> Pushed:
        """Take a request of an authenticated client that a person answers elsewhere (CIBA)."""
        raise NotImplementedError

    async def redeem(self, who: Authenticated, parameters: Mapping[str, str], jkt: str) -> Redeemed:
        """Spend an authorization code: `code`, `redirect_uri`, `code_verifier`. A code that comes twice ends what it gave. Raises OAuthError."""
        raise NotImplementedError

    async def poll(self, who: Authenticated, auth_req_id: str) -> Redeemed:
        """Spend an answered back-channel request. Raises OAuthError: `authorization_pending`, `slow_down`, `access_denied`, `expired_token`."""
        raise NotImplementedError

    async def gave(self, request: AuthorizationRequest, grant: str) -> None:
        """Note the grant that a redeemed request was given."""
        raise NotImplementedError
