"""Documents of the broker itself: its bundle endpoint proves itself like everybody else."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from jittrust.broker.identity.authorities import AuthorityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.identity.authority import AuthorityKind
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.identity.svid import key_hash
from jittrust.core.units import Instant
from jittrust.ports.commit import RecordBody

OWN_SECONDS = 3600.0
"""Life of the broker's own X.509-SVIDs."""
BUNDLE_ENDPOINT = ("jittrust", "bundle-endpoint")


@dataclass(frozen=True, slots=True)
class OwnDocument:
    """An X.509-SVID with its key, PEM; `key_pem` is secret."""

    spiffe_id: str
    serial: str
    chain_pem: bytes
    key_pem: bytes
    authority: str
    renew: Instant


class OwnDocuments:
    """The newest document of the broker's bundle endpoint: another one past half of its life and as soon as another authority signs."""

    def __init__(self, state: State, authorities: AuthorityBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._authorities = authorities
        self._parts = parts
        self._held: OwnDocument | None = None

    async def newest(self) -> OwnDocument:
        """The document to present now. Raises UnavailableError: as `AuthorityBook.active`, or what the store says."""
        signer = await self._authorities.active(AuthorityKind.X509)
        now = self._parts.clock()
        if self._held is not None and self._held.authority == signer.id and now < self._held.renew:
            return self._held
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        who = SpiffeId.of(self._parts.trust_domain, *BUNDLE_ENDPOINT)
        signed = self._parts.authority.sign_x509(signer, who, public, now, Instant(now + OWN_SECONDS))
        record: RecordBody = {
            "kind": "issuance",
            "at": milliseconds(now),
            "what": "x509",
            "authority": signer.id,
            "key": key_hash(base64.b64decode(signer.public)),
            "spiffe_id": str(who),
            "serial": signed.serial,
            "public_key": key_hash(public),
            "expires": milliseconds(signed.expires),
            "by": "jittrust",
        }
        await self._state.change([], [record])
        self._held = OwnDocument(
            str(who),
            signed.serial,
            "".join(ssl.DER_cert_to_PEM_cert(der) for der in signed.chain).encode("ascii"),
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            signer.id,
            Instant(now + (signed.expires - now) / 2),
        )
        return self._held
