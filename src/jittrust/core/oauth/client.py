"""OAuth clients, however they became known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from jittrust.core.model import Json
from jittrust.core.units import Instant


class ClientSource(StrEnum):
    """How a client became known."""

    BUILT_IN = "built_in"  # our own `jittrust connect`
    REGISTERED = "registered"  # RFC 7591, only where switched on, or by an admin
    DOCUMENT = "document"  # its id is the URL of its metadata (Client ID Metadata Document, draft)
    SPIFFE = "spiffe"  # its id is a SPIFFE ID of an identity that is registered here or federated


class ClientMethod(StrEnum):
    """How a client proves who it is (`token_endpoint_auth_method`)."""

    NONE = "none"  # a public client; PKCE and the key of its grant stand in
    PRIVATE_KEY_JWT = "private_key_jwt"  # RFC 7523, keys in its metadata
    SPIFFE_JWT = "spiffe_jwt"  # a JWT-SVID (draft)
    TLS = "spiffe_x509"  # an X.509-SVID over mutual TLS (draft, RFC 8705)


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A client and its metadata (RFC 7591 §2), checked.

    Attributes:
        id: `client_id`.
        source, method: see there.
        name: `client_name`, for people, safe to print; empty = its id.
        redirect_uris: compared byte for byte; the port of a loopback address may be another (RFC 8252 §7.3).
        grant_types: what it may ask for; empty = authorization_code and refresh_token.
        keys: its JWK set's keys, for `private_key_jwt`; public ones only.
        agent: the subject that acts through it; empty = the client id is the agent.
        strict: whether reuse of an old pass ends its grants at once (only our own clients).
        home: `client_uri`, for people; https only.
        since, fetched: when it became known; when its document was read last.
        revision: see `ports.commit.Keep`.
    """

    id: str
    source: ClientSource
    method: ClientMethod
    name: str = ""
    redirect_uris: tuple[str, ...] = ()
    grant_types: tuple[str, ...] = ()
    keys: tuple[Mapping[str, Json], ...] = field(default_factory=tuple)
    agent: str = ""
    strict: bool = False
    home: str = ""
    since: Instant = Instant(0)
    fetched: Instant = Instant(0)
    revision: int = 1
