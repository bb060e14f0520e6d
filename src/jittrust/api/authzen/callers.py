"""Who may ask for decisions: enforcement points. An agent may not: a decision point that answers agents tells them where the fence is.

| credential | who |
|---|---|
| `Authorization: Bearer` with the secret in the state folder's `pep.token` | an enforcement point that the operator set up |
| `Authorization: Bearer` with a JWT-SVID for this server (`aud` = its URL) | an active identity of kind workload |
| an X.509-SVID as the client certificate of the connection | the same |

Everything else is turned away with 401, whatever it is; an agent's SVID or grant token too.
"""

from __future__ import annotations

import hmac
import ssl
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from jittrust.core.errors import JitError, RefusedError
from jittrust.core.identity.identity import IdentityState
from jittrust.core.model import SubjectKind
from jittrust.core.secret import Secret
from jittrust.ports.bundles import Bundles
from jittrust.ports.identities import Identities

OPERATORS: Final = "pep.token"
"""Name under which whoever shows the secret of the state folder is recorded."""
_MOST_CHAIN: Final = 8
_LONGEST: Final = 16 * 1024


class CallerUnknownError(RefusedError):
    """Whoever asks is no enforcement point of ours, or does not prove it."""

    http_status = 401

    def __init__(self) -> None:
        super().__init__(
            "caller_unknown",
            "Decisions are given to enforcement points: the secret of pep.token, or a workload's SVID.",
            "See docs/authzen.md.",
        )


@dataclass(frozen=True, slots=True)
class EnforcementPoint:
    """Who asks. `name` is a SPIFFE ID, or `pep.token`."""

    name: str


@dataclass(frozen=True, slots=True)
class Callers:
    """Finds out who asks.

    Attributes:
        token: the secret of `pep.token`.
        bundles, identities: what SVIDs are checked against.
        audience: what a JWT-SVID must be for, the URL of this server.
    """

    token: Secret
    bundles: Bundles
    identities: Identities
    audience: str

    async def authenticate(self, request: Request) -> EnforcementPoint:
        """Who sent this request.

        Raises:
            CallerUnknownError: HTTP 401; it says nothing of what was wrong.
            UnavailableError: the registry cannot be read.
        """
        sent = request.headers.getlist("authorization")
        if len(sent) == 1:
            return await self._bearer(sent[0])
        if sent:
            raise CallerUnknownError
        chain = self._certificates(request)
        if not chain:
            raise CallerUnknownError
        try:
            return await self._workload(await self.bundles.check_x509(chain))
        except RefusedError:
            raise CallerUnknownError from None

    async def _bearer(self, header: str) -> EnforcementPoint:
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > _LONGEST or not token.isascii() or " " in token:
            raise CallerUnknownError
        secret = self.token.reveal()
        if secret and hmac.compare_digest(token.encode("ascii"), secret):
            return EnforcementPoint(OPERATORS)
        if token.count(".") != 2:  # noqa: PLR2004 - a compact JWS has three parts
            raise CallerUnknownError
        try:
            checked = await self.bundles.check_jwt(token, self.audience)
        except RefusedError:
            raise CallerUnknownError from None
        return await self._workload(checked.spiffe_id)

    async def _workload(self, spiffe_id: str) -> EnforcementPoint:
        try:
            identity = (await self.identities.show(spiffe_id)).identity
        except JitError as error:
            if error.http_status >= 500:  # noqa: PLR2004
                raise
            raise CallerUnknownError from None
        # An agent, a workflow or a person is nobody who enforces, however well it proves who it is.
        if (
            identity.id != spiffe_id
            or identity.kind is not SubjectKind.WORKLOAD
            or identity.state is not IdentityState.ACTIVE
        ):
            raise CallerUnknownError
        return EnforcementPoint(spiffe_id)

    @staticmethod
    def _certificates(request: Request) -> tuple[bytes, ...]:
        shown = request.scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", ())
        try:
            return tuple(ssl.PEM_cert_to_DER_cert(pem) for pem in tuple(shown)[:_MOST_CHAIN])
        except ValueError:
            raise CallerUnknownError from None
