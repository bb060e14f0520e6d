"""Documents for whoever was attested. The one driving port that workloads and agents reach."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from jittrust.broker.identity.attestation import Attestation
from jittrust.broker.identity.authorities import AuthorityBook
from jittrust.broker.identity.bundles import BundleBook
from jittrust.broker.identity.enrolment import EnrolmentBook
from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.identity.sources import SourceBook
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, NotFoundError, RefusedError
from jittrust.core.identity.authority import AuthorityKind, BundleVersion, SigningAuthority
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.federate import FederatedDomain
from jittrust.core.identity.identity import Blueprint, Identity
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.identity.svid import key_hash, read_request
from jittrust.core.units import Instant
from jittrust.ports.commit import Kept, RecordBody
from jittrust.ports.issuance import Credentials, SvidRequest
from jittrust.ports.process_attestor import Process

X509_SECONDS: Final = 3600
"""Life of an X.509-SVID where the entry says nothing."""
JWT_SECONDS: Final = 300
"""Life of a JWT-SVID where the entry says nothing."""
AUDIENCES_MOST: Final = 16
"""Most audiences of one JWT-SVID."""
AUDIENCE_LONGEST: Final = 512
IDENTITIES_MOST: Final = 32
"""Most identities that one process is given, those with the first SPIFFE IDs."""
PROCESSES_KEPT: Final = 1024
"""For so many processes their documents are remembered until half of their life is over."""
_BINARY: Final = "unix:sha256:"
_MATTERS: Final = frozenset({Identity, Blueprint, RegistrationEntry, SigningAuthority, BundleVersion, FederatedDomain})


@dataclass(frozen=True, slots=True)
class _Given:
    """What a process holds for one entry."""

    entry: RegistrationEntry
    authority: str
    credentials: Credentials
    renew: Instant


@dataclass(slots=True)
class _Lease:
    """Everything that is remembered of one process."""

    given: dict[str, _Given] = field(default_factory=dict)
    making: asyncio.Lock = field(default_factory=asyncio.Lock)


class IssuanceClock:
    """Counts the changes that can matter to documents, and wakes who waits for one. A `KeptIndex`."""

    def __init__(self) -> None:
        """Nothing has changed yet."""
        self.number = 1
        self._waiting = asyncio.Event()

    def took(self) -> None:
        """See `KeptIndex.took`."""
        self.step()

    def kept(self, value: Kept, before: Kept | None) -> None:  # noqa: ARG002 - the protocol's
        """See `KeptIndex.kept`."""
        if type(value) in _MATTERS:
            self.step()

    def dropped(self, value: Kept) -> None:
        """See `KeptIndex.dropped`."""
        if type(value) in _MATTERS:
            self.step()

    def step(self) -> None:
        """One more."""
        self.number += 1
        self._waiting.set()
        self._waiting = asyncio.Event()

    async def wait(self, timeout: float) -> None:
        """Until the next change, at most `timeout` seconds."""
        waiting = self._waiting
        try:
            await asyncio.wait_for(waiting.wait(), max(0.0, timeout))
        except TimeoutError:
            return


class IssuanceBook:
    """Gives documents. Each is in the ledger before it is handed out."""

    def __init__(
        self,
        state: State,
        identities: IdentityBook,
        enrolment: EnrolmentBook,
        authorities: AuthorityBook,
        bundles: BundleBook,
        sources: SourceBook,
        parts: IdentityParts,
    ) -> None:
        """Wire it up."""
        self._state = state
        self._identities = identities
        self._enrolment = enrolment
        self._authorities = authorities
        self._parts = parts
        self._attestation = Attestation(state, enrolment, bundles, sources, identities, parts)
        self._leases: OrderedDict[Process, _Lease] = OrderedDict()
        self._renewals: list[Instant] = []
        self._clock = IssuanceClock()
        state.add_index(self._clock)

    async def challenge(self) -> str:
        """See `Issuance.challenge`."""
        return await self._attestation.challenge()

    async def attest(self, request: SvidRequest) -> Credentials:
        """See `Issuance.attest`."""
        # What is asked for is judged before the evidence: a one-use token is not spent on a request that can only fail.
        public = read_request(request.request) if request.request else b""
        if request.audience:
            check_audience(request.audience)
        entries = await self._attestation.attested(request)
        entry = _chosen(entries, request.path)
        roots = (f"key:{key_hash(public)}",) if public else ()
        await self._identities.obtain(entry, roots, request.model, request.manifest)
        return await self._issue_attested(entry, public, request)

    async def _issue_attested(self, entry: RegistrationEntry, public: bytes, request: SvidRequest) -> Credentials:
        x509 = await self._authorities.active(AuthorityKind.X509) if public else None
        jwt = await self._authorities.active(AuthorityKind.JWT) if request.audience else None
        by = f"{request.evidence.kind}/{entry.id}"
        credentials = Credentials(entry.spiffe_id, entry.hint, federates_with=entry.federates_with)
        records: list[RecordBody] = []
        if x509 is not None:
            credentials, record = self._x509(entry, x509, public, b"", by)
            records.append(record)
        if jwt is not None:
            told, record = self._jwt(entry, jwt, request.audience, by)
            records.append(record)
            ends = credentials.expires if public else told.expires
            credentials = Credentials(
                told.spiffe_id, told.hint, credentials.chain, b"", told.jwt, ends, told.federates_with
            )
        if records:
            await self._state.change([], records)
        if not self._identities.active(entry.spiffe_id):
            raise RefusedError("identity_not_active", f"{entry.spiffe_id} was stopped meanwhile.")
        return credentials

    async def for_process(self, process: Process) -> tuple[Credentials, ...]:
        """See `Issuance.for_process`."""
        lease = self._lease(process)
        async with lease.making:
            entries = await self._entitled(process)
            authority = await self._authorities.active(AuthorityKind.X509) if entries else None
            now = self._parts.clock()
            records: list[RecordBody] = []
            given: dict[str, _Given] = {}
            for entry in entries:
                known = lease.given.get(entry.id)
                if authority is None:
                    break
                if known and known.entry == entry and known.authority == authority.id and now < known.renew:
                    given[entry.id] = known
                    continue
                key = ec.generate_private_key(ec.SECP256R1())
                public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
                made, record = self._x509(entry, authority, public, private, f"unix/{entry.id}")
                records.append(record)
                given[entry.id] = _Given(entry, authority.id, made, Instant((now + made.expires) / 2))
                heapq.heappush(self._renewals, given[entry.id].renew)
            if records:
                await self._state.change([], records)
            # Whoever was stopped while the records were written gets nothing.
            given = {name: one for name, one in given.items() if self._identities.active(one.entry.spiffe_id)}
            # Without a start time a later process with the same pid could not be told from this one: nothing is remembered for it.
            lease.given = given if process.started else {}
            return tuple(one.credentials for one in given.values())

    async def jwt(self, process: Process, audience: tuple[str, ...], spiffe_id: str) -> tuple[Credentials, ...]:
        """See `Issuance.jwt`."""
        check_audience(audience)
        entries = [one for one in await self._entitled(process) if spiffe_id in {"", one.spiffe_id}]
        if not entries:
            return ()
        authority = await self._authorities.active(AuthorityKind.JWT)
        made = [self._jwt(entry, authority, audience, f"unix/{entry.id}") for entry in entries]
        await self._state.change([], [record for _, record in made])
        return tuple(told for told, _ in made if self._identities.active(told.spiffe_id))

    async def changed(self, known: int, timeout: float) -> int:
        """See `Issuance.changed`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while True:
            now = self._parts.clock()
            if self._renewals and self._renewals[0] <= now:
                while self._renewals and self._renewals[0] <= now:
                    heapq.heappop(self._renewals)
                self._clock.step()
            left = end - loop.time()
            if self._clock.number != known or left <= 0:
                return self._clock.number
            await self._clock.wait(min(left, self._renewals[0] - now) if self._renewals else left)

    # ---- inside -----------------------------------------------------------------------------------------------------------------------------

    def _lease(self, process: Process) -> _Lease:
        if not process.started:
            return _Lease()
        lease = self._leases.setdefault(process, _Lease())
        self._leases.move_to_end(process)
        while len(self._leases) > PROCESSES_KEPT:
            self._leases.popitem(last=False)
        return lease

    async def _entitled(self, process: Process) -> list[RegistrationEntry]:
        """The entries whose identity the process has now, one for each SPIFFE ID."""
        await self._state.refresh()
        try:
            # Hashing a binary that was not seen before takes a while.
            selectors = await asyncio.to_thread(self._parts.processes.selectors, process)
        except RefusedError:
            return []
        matching = self._enrolment.matching(selectors, self._parts.clock())
        chosen: dict[str, RegistrationEntry] = {}
        for entry in sorted(matching, key=lambda one: (one.spiffe_id, one.id)):
            if (
                len(chosen) < IDENTITIES_MOST
                and entry.spiffe_id not in chosen
                and await self._obtained(entry, selectors)
            ):
                chosen[entry.spiffe_id] = entry
        return list(chosen.values())

    async def _obtained(self, entry: RegistrationEntry, selectors: Sequence[str]) -> bool:
        # A binary recognises somebody only where the entry names it: an interpreter runs many, and they are no kin.
        named = [one for one in selectors if one.startswith(_BINARY) and one in entry.selectors]
        try:
            await self._identities.obtain(entry, tuple(f"binary:{one.removeprefix(_BINARY)}" for one in named), "", "")
        except (RefusedError, NotFoundError, BadInputError):
            return False
        return True

    def _x509(
        self, entry: RegistrationEntry, authority: SigningAuthority, public: bytes, private: bytes, by: str
    ) -> tuple[Credentials, RecordBody]:
        now = self._parts.clock()
        ends = Instant(now + (entry.x509_seconds or X509_SECONDS))
        begins = Instant(max(now, authority.begins))
        subject = SpiffeId.parse(entry.spiffe_id)
        signed = self._parts.authority.sign_x509(authority, subject, public, begins, ends, entry.dns_names)
        record = {
            **self._record(authority, entry, signed.expires, by),
            "what": "x509",
            "serial": signed.serial,
            "public_key": hashlib.sha256(public).hexdigest(),
        }
        made = Credentials(entry.spiffe_id, entry.hint, signed.chain, private, "", signed.expires, entry.federates_with)
        return made, record

    def _jwt(
        self, entry: RegistrationEntry, authority: SigningAuthority, audience: tuple[str, ...], by: str
    ) -> tuple[Credentials, RecordBody]:
        now = self._parts.clock()
        ends = Instant(min(now + (entry.jwt_seconds or JWT_SECONDS), authority.ends))
        jti = self._parts.new_id("t")
        subject = SpiffeId.parse(entry.spiffe_id)
        token = self._parts.authority.sign_jwt(authority, subject, audience, now, ends, jti)
        told = {"what": "jwt", "jti": jti, "audience": list(audience)}
        record = {**self._record(authority, entry, ends, by), **told}
        made = Credentials(entry.spiffe_id, entry.hint, jwt=token, expires=ends, federates_with=entry.federates_with)
        return made, record

    def _record(self, authority: SigningAuthority, entry: RegistrationEntry, ends: Instant, by: str) -> RecordBody:
        jwt = authority.kind is AuthorityKind.JWT
        return {
            "kind": "issuance",
            "at": milliseconds(self._parts.clock()),
            "authority": authority.id,
            "key": authority.id if jwt else key_hash(b64decode(authority.public)),
            "spiffe_id": entry.spiffe_id,
            "expires": milliseconds(ends),
            "by": by,
        }


def check_audience(audience: Sequence[str]) -> None:
    """Refuse audiences that a JWT-SVID may not have. Raises BadInputError: code `audience_bad`."""
    if not 1 <= len(audience) <= AUDIENCES_MOST:
        raise BadInputError("audience_bad", f"A JWT-SVID is for 1 to {AUDIENCES_MOST} audiences.")
    for one in audience:
        if not one or len(one) > AUDIENCE_LONGEST or not one.isprintable():
            raise BadInputError("audience_bad", f"An audience is a printable text of at most {AUDIENCE_LONGEST}.")


def _chosen(entries: Sequence[RegistrationEntry], path: str) -> RegistrationEntry:
    for entry in entries:
        if not path or SpiffeId.parse(entry.spiffe_id).path == path:
            return entry
    raise RefusedError("attestation_failed", "This evidence entitles to no such identity.")
