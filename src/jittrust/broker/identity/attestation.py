"""Remote attestation: what somebody proves to be, and which entries that entitles to."""

from __future__ import annotations

import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from jittrust.broker.identity.bundles import BundleBook
from jittrust.broker.identity.enrolment import EnrolmentBook, gives
from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.identity.sources import SourceBook
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, RefusedError, UnavailableError
from jittrust.core.grant import jws
from jittrust.core.identity.attest import (
    MAX_TOKEN,
    EvidenceKind,
    check_certificate,
    check_token,
    holds,
    kubernetes_selectors,
    oidc_selectors,
    statement,
    svid_selectors,
    x509_selectors,
)
from jittrust.core.identity.authority import BACKDATED_SECONDS
from jittrust.core.identity.certificates import MAX_CHAIN, read_certificate
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.federate import FederatedDomain, accepts
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.identity.svid import key_hash, read_jws, read_request
from jittrust.core.model import Json
from jittrust.core.units import Instant
from jittrust.ports.commit import RecordBody
from jittrust.ports.issuance import Evidence, SvidRequest

CHALLENGE_SECONDS = 60.0
"""How long a challenge is good, once."""
CHALLENGES_MOST = 10_000
TOKENS_MOST = 100_000
"""Most tokens that are remembered until they end; while there are as many, no other token is taken."""
MAX_DOCUMENT = 48 * 1024
RECORDS_AT_ONCE = 20
"""Most refused attestations recorded in a row; after that one each second, with the number left out."""
_CHALLENGE_BYTES = 32
_MAX_SIGNATURE = 2048
_LONGEST_WHY = 200


@dataclass(slots=True)
class _Refusals:
    """How many refused attestations may still be recorded, so that whoever sends rubbish does not fill the ledger."""

    left: float = float(RECORDS_AT_ONCE)
    at: float = 0.0
    unsaid: int = 0

    def may(self, now: Instant) -> bool:
        self.left = min(float(RECORDS_AT_ONCE), self.left + max(0.0, now - self.at))
        self.at = now
        if self.left < 1:
            self.unsaid += 1
            return False
        self.left -= 1
        return True


class _SeenTokens:
    """Tokens that were taken, until they end, and the key each was first shown for."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[str, float]] = {}

    def take(self, digest: bytes, key: str, ends: float, now: Instant) -> None:
        """Bind a token to a key. Raises RefusedError: code `token_refused`: it was shown for another key, or for none."""
        bound = self._seen.get(digest)
        if bound is not None and now < bound[1]:
            # A token shown without a key is good once: nothing would tell its bearer from whoever read it on the way.
            if not key or bound[0] != key:
                raise _refused("the token was used before")
            return
        if len(self._seen) >= TOKENS_MOST:
            self._seen = {name: kept for name, kept in self._seen.items() if now < kept[1]}
            if len(self._seen) >= TOKENS_MOST:
                raise _refused("too many tokens are remembered")
        self._seen[digest] = (key, ends)


class Attestation:
    """Checks evidence. Whatever is wrong with it, its bearer is told only that it failed; the ledger says why."""

    def __init__(
        self,
        state: State,
        enrolment: EnrolmentBook,
        bundles: BundleBook,
        sources: SourceBook,
        identities: IdentityBook,
        parts: IdentityParts,
    ) -> None:
        """Wire it up."""
        self._state = state
        self._enrolment = enrolment
        self._bundles = bundles
        self._sources = sources
        self._identities = identities
        self._parts = parts
        self._challenges: OrderedDict[str, Instant] = OrderedDict()
        self._seen = _SeenTokens()
        self._refusals = _Refusals()

    async def challenge(self) -> str:
        """See `Issuance.challenge`. At most 10,000 wait to be used; of more the oldest go."""
        now = self._parts.clock()
        made = jws.encode(self._parts.random(_CHALLENGE_BYTES)).decode("ascii")
        self._challenges[made] = Instant(now + CHALLENGE_SECONDS)
        while len(self._challenges) > CHALLENGES_MOST:
            self._challenges.popitem(last=False)
        return made

    async def attested(self, request: SvidRequest) -> tuple[RegistrationEntry, ...]:
        """The entries that the evidence entitles to, never none; those that give `request.path` if it is set.

        Raises:
            RefusedError: code `attestation_failed`.
            BadInputError: code `request_bad`: the certificate request is broken, or nothing is asked for. No evidence was used up.
            JitError: as `State.change`.
        """
        spki = read_request(request.request) if request.request else b""
        if not spki and not request.audience:
            raise BadInputError(
                "request_bad", "Nothing is asked for.", "Send a certificate request, an audience, or both."
            )
        await self._state.refresh()
        now = self._parts.clock()
        try:
            entries = await self._entitled(request, key_hash(spki) if spki else "")
            found = tuple(entry for entry in entries if gives(entry, request.path))
            if not found:
                raise _refused("no entry matches" if not entries else "no entry that matches gives what was asked for")
        except UnavailableError as error:
            if error.code != "issuer_unreachable":
                raise
            await self._record(request.evidence.kind, error.message, now)
        except (RefusedError, BadInputError) as error:
            await self._record(request.evidence.kind, error.message, now)
        else:
            return found
        raise RefusedError(
            "attestation_failed",
            "This proves no identity here.",
            "Ask whoever runs this trust domain; their ledger says why.",
        )

    async def _entitled(self, request: SvidRequest, key: str) -> tuple[RegistrationEntry, ...]:
        evidence = request.evidence
        if len(evidence.document) > MAX_DOCUMENT:
            raise _refused("the evidence is too large")
        match evidence.kind:
            case EvidenceKind.JOIN_TOKEN:
                return (await self._enrolment.redeem(evidence.document, request.path, key),)
            case EvidenceKind.OIDC | EvidenceKind.KUBERNETES:
                return await self._token(evidence, key)
            case EvidenceKind.X509:
                return self._enrolment.matching(self._certificate(request), self._parts.clock())
            case EvidenceKind.SVID:
                if _is_token(evidence.document):
                    return await self._jwt_svid(evidence, key)
                return self._x509_svid(request)

    # ---- tokens ---------------------------------------------------------------------------------------------------------------------------

    async def _token(self, evidence: Evidence, key: str) -> tuple[RegistrationEntry, ...]:
        """Entries for the bearer of an outside issuer's token."""
        header, payload, _, signed = read_jws(evidence.document, MAX_TOKEN)
        named, kid = jws.json_object(payload, "jws_claims").get("iss"), header.get("kid")
        # What the token says of itself only chooses among those an admin trusts: no address is ever taken from it.
        issuer = self._sources.of(evidence.kind, named) if isinstance(named, str) and named else None
        if issuer is None or not isinstance(kid, str):
            raise _refused("nobody here trusts its issuer, or it names no key")
        keys = await self._parts.token_keys.keys(issuer, kid)
        now = self._parts.clock()
        if self._sources.of(evidence.kind, issuer.issuer) != issuer:
            raise _refused("its issuer is trusted no more")
        claims = check_token(evidence.document, keys, issuer.issuer, issuer.audience, now)
        kubernetes = evidence.kind is EvidenceKind.KUBERNETES
        selectors = (kubernetes_selectors if kubernetes else oidc_selectors)(issuer.id, claims)
        entries = self._enrolment.matching(selectors, now)
        # Anybody may have an account at a public issuer: what leads to nothing here is not remembered.
        if entries:
            self._seen.take(hashlib.sha256(signed).digest(), key, _number(claims, "exp"), now)
        return entries

    async def _jwt_svid(self, evidence: Evidence, key: str) -> tuple[RegistrationEntry, ...]:
        """Entries for the bearer of a JWT-SVID that names our trust domain as audience."""
        _, payload, _, signed = read_jws(evidence.document, MAX_TOKEN)
        named = jws.json_object(payload, "jws_claims").get("aud")
        ours = self._parts.trust_domain
        audience = ours.name if named == ours.name or (isinstance(named, list) and ours.name in named) else ours.uri
        checked = await self._bundles.check_jwt(evidence.document, audience)
        now = self._parts.clock()
        spiffe_id = SpiffeId.parse(checked.spiffe_id)
        entries = self._of_svid(spiffe_id, _number(checked.claims, "iat"), now)
        if entries:
            self._seen.take(hashlib.sha256(signed).digest(), key, _number(checked.claims, "exp"), now)
        return entries

    # ---- certificates -----------------------------------------------------------------------------------------------------------------------

    def _certificate(self, request: SvidRequest) -> tuple[str, ...]:
        """Selectors of a certificate that its bearer proves to hold; from every certificate authority here that vouches for it."""
        chain = _chain(request.evidence.document)
        now = self._parts.clock()
        selectors: list[str] = []
        refusal = _refused("no certificate authority is trusted here")
        proven = False
        for issuer in self._sources.all_of(EvidenceKind.X509):
            try:
                spki = check_certificate(chain, issuer.document, now)
            except RefusedError as error:
                refusal = error
                continue
            if not proven:
                self._prove(spki, request, now)
                proven = True
            selectors.extend(x509_selectors(issuer.id, chain))
        if not selectors:
            raise refusal
        return tuple(selectors)

    def _x509_svid(self, request: SvidRequest) -> tuple[RegistrationEntry, ...]:
        """Entries for the holder of an X.509-SVID."""
        chain = _chain(request.evidence.document)
        now = self._parts.clock()
        checked = self._bundles.checked(chain, now)
        self._prove(checked.public_key, request, now)
        issued = read_certificate(chain[0]).begins + BACKDATED_SECONDS
        return self._of_svid(checked.spiffe_id, issued, now)

    def _prove(self, spki: bytes, request: SvidRequest, now: Instant) -> None:
        """Check the signature over a challenge of ours and this very request; the challenge is used up either way."""
        evidence = request.evidence
        ends = self._challenges.pop(evidence.challenge, None)
        if ends is None or now >= ends:
            raise _refused("its challenge is not ours, was used before, or has ended")
        if len(evidence.signature) > _MAX_SIGNATURE or not evidence.signature.isascii():
            raise _refused("it proves no possession of the key")
        try:
            signature = jws.decode(evidence.signature.encode("ascii"))
        except BadInputError:
            raise _refused("it proves no possession of the key") from None
        if not holds(spki, statement(evidence.challenge, request.request), signature):
            raise _refused("it proves no possession of the key")

    def _of_svid(self, spiffe_id: SpiffeId, issued: float, now: Instant) -> tuple[RegistrationEntry, ...]:
        """What an SVID leads to: one of ours to itself and nothing else, a foreign one to what entries say of it, if its domain is accepted for it."""
        if spiffe_id.trust_domain != self._parts.trust_domain:
            domain = self._state.of_kind(FederatedDomain).get(spiffe_id.trust_domain.name)
            if domain is None or not accepts(domain, spiffe_id):
                raise _refused("its trust domain is not accepted for this identity")
            return self._enrolment.matching(svid_selectors(spiffe_id), now)
        if not self._identities.active(str(spiffe_id)):
            raise _refused("its identity is not active")
        # An entry that came later says nothing about who held the name before: its holders prove what it asks for.
        entries = self._enrolment.giving(str(spiffe_id), now)
        # Documents tell whole seconds.
        found = tuple(entry for entry in entries if int(entry.created) <= issued)
        if not found:
            raise _refused("no entry that it was issued under is in force")
        return found

    # ---- bits -------------------------------------------------------------------------------------------------------------------------------

    async def _record(self, kind: EvidenceKind, why: str, now: Instant) -> None:
        if not self._refusals.may(now):
            return
        unsaid, self._refusals.unsaid = self._refusals.unsaid, 0
        record: RecordBody = {
            "kind": "identity",
            "at": milliseconds(now),
            "what": "attestation_refused",
            "evidence": kind,
            "by": "nobody",
            "why": why[:_LONGEST_WHY],
            "unsaid": unsaid,
        }
        await self._state.change([], [record])


def _is_token(document: str) -> bool:
    return not document.lstrip().startswith("-----BEGIN")


def _chain(document: str) -> tuple[bytes, ...]:
    """Certificates out of PEM, leaf first. Raises RefusedError."""
    if not document.isascii() or document.count("-----BEGIN") > MAX_CHAIN:
        raise _refused("its certificates are no PEM, or too many")
    try:
        found = x509.load_pem_x509_certificates(document.encode("ascii"))
        return tuple(one.public_bytes(Encoding.DER) for one in found)
    except (ValueError, TypeError, binascii.Error, x509.InvalidVersion):
        raise _refused("its certificates cannot be read") from None


def _number(claims: Mapping[str, Json], name: str) -> float:
    value = claims.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _refused(why: str) -> RefusedError:
    return RefusedError("attestation_failed", why)
