"""The OAuth authorization server, behind its HTTP face. In process only: it takes the face's word for the connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from jittrust.core.model import Json
from jittrust.core.oauth.client import OAuthClient


@dataclass(frozen=True, slots=True)
class ClientProof:
    """How a client says who it is: `client_id`, a client assertion (RFC 7521 §4.2), and the chain of its TLS certificate (DER, leaf first)."""

    client: str = ""
    assertion: str = field(default="", repr=False)
    assertion_type: str = ""
    chain: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request at the token endpoint.

    `parameters`: the form, each name once. `proof`: the client. `dpop`: value of the DPoP header, empty without one. `url`: the endpoint, as
    the configuration has it.
    """

    parameters: Mapping[str, str] = field(repr=False)
    proof: ClientProof
    dpop: str = field(default="", repr=False)
    url: str = ""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token response (RFC 6749 §5.1, RFC 8693 §2.2.1). `next_pass` goes out as `DPoP-Nonce`; both are secrets."""

    body: Mapping[str, Json] = field(repr=False)
    next_pass: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Pushed:
    """A request that was taken before the person sees it: `request_uri` (RFC 9126) or `auth_req_id` (CIBA), a secret; life and interval in seconds."""

    secret: str = field(repr=False)
    expires_in: int
    interval: int = 0


class AuthorizationServer(Protocol):
    """Gives grants as access tokens. Everything raises OAuthError, and nothing else, for what a client did wrong."""

    async def token(self, request: TokenRequest) -> TokenAnswer:
        """Answer one request at the token endpoint; durable and recorded before it is returned."""
        ...

    async def push(self, request: TokenRequest) -> Pushed:
        """Take an authorization request before the browser comes (RFC 9126)."""
        ...

    async def backchannel(self, request: TokenRequest) -> Pushed:
        """Take a request that a person answers away from the client (CIBA Core 1.0 §7)."""
        ...

    async def register(self, metadata: Mapping[str, Json]) -> OAuthClient:
        """Register a client (RFC 7591); `access_denied` where that is not switched on."""
        ...
