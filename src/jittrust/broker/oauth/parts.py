"""What the authorization server needs from outside, in one bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jittrust.core.errors import RefusedError
from jittrust.core.rules import Rules
from jittrust.core.units import Instant
from jittrust.ports.attenuation import Attenuation
from jittrust.ports.client_documents import ClientDocuments


class NoDocuments:
    """`ports.client_documents` where nothing is ever fetched."""

    async def fetch(self, url: str) -> bytes:
        """Refuse."""
        raise RefusedError("document_url_refused", f"Nothing is fetched from {url[:200]!r} here.")


@dataclass(frozen=True, slots=True)
class OAuthParts:
    """Driven ports and settings of the authorization server.

    Attributes:
        issuer: URL of the authorization server, `iss` of all its tokens; resources are below it.
        origin: web origin of its pages for people, where passkeys work.
        kid, sign, keys: what signs tokens (64-byte Ed25519 signatures), and the public keys by `kid`.
        hash_key: 32 bytes for keyed hashes of codes, request URIs and refresh tokens.
        random: so many random bytes.
        rules, clock, new_id: as everywhere.
        documents: fetches metadata of clients whose id is a URL.
        attenuation: tokens that may be narrowed without us; None where the extra is not installed.
        registration: whether anybody may register a client (RFC 7591).
    """

    issuer: str
    origin: str
    kid: str
    sign: Callable[[bytes], bytes] = field(repr=False)
    keys: Mapping[str, bytes]
    hash_key: bytes = field(repr=False)
    random: Callable[[int], bytes]
    rules: Rules
    clock: Callable[[], Instant]
    new_id: Callable[[str], str]
    documents: ClientDocuments = field(default_factory=NoDocuments)
    attenuation: Attenuation | None = None
    registration: bool = False
