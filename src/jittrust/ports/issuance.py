"""Documents for whoever was attested. The one driving port that workloads and agents reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jittrust.core.identity.attest import EvidenceKind
from jittrust.core.units import Instant
from jittrust.ports.process_attestor import Process


@dataclass(frozen=True, slots=True)
class Evidence:
    """Proof of what somebody is.

    `document` is the token, or the certificate chain as PEM; `challenge` is what `Issuance.challenge` gave, and `signature` (base64url) is made
    with the certificate's key over `core.identity.attest.statement(challenge, request)`; both empty where the document is a token.
    """

    kind: EvidenceKind
    document: str
    challenge: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class SvidRequest:
    """What is asked for.

    `request`: PKCS#10 certificate request, DER: proves the key, and nothing else in it is believed; empty = no X.509-SVID. `audience`: for a
    JWT-SVID; empty = none. `path`: which of several identities; empty = the first. `model`, `manifest`: digests of what runs.
    """

    evidence: Evidence
    request: bytes = b""
    audience: tuple[str, ...] = ()
    path: str = ""
    model: str = ""
    manifest: str = ""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Documents of one identity. `chain`: DER, leaf first, empty without a request. `key`: PKCS#8 DER, only where the broker made the key (Workload API)."""

    spiffe_id: str
    hint: str = ""
    chain: tuple[bytes, ...] = ()
    key: bytes = b""
    jwt: str = ""
    expires: Instant = Instant(0)
    federates_with: tuple[str, ...] = ()


class Issuance(Protocol):
    """Gives documents. Each is in the ledger before it is handed out."""

    async def challenge(self) -> str:
        """A fresh challenge for proofs of possession, good once and for a minute."""
        ...

    async def attest(self, request: SvidRequest) -> Credentials:
        """Check the evidence and give what its selectors entitle to.

        Raises:
            RefusedError: code `attestation_failed` (also: no entry matches; the ledger says why, the caller is not told), `identity_not_active`.
            BadInputError: code `request_bad`.
        """
        ...

    async def for_process(self, process: Process) -> tuple[Credentials, ...]:
        """X.509-SVIDs for every identity that the process is entitled to, keys made here; empty = none."""
        ...

    async def jwt(self, process: Process, audience: tuple[str, ...], spiffe_id: str) -> tuple[Credentials, ...]:
        """JWT-SVIDs for the process: all of its identities, or the one named. Raises BadInputError: code `audience_bad`."""
        ...

    async def changed(self, known: int, timeout: float) -> int:
        """The number of the last change that can matter to documents, as soon as it is another than `known` or `timeout` seconds have passed.

        Renewals are among them: a document past half of its life is worth a new one.
        """
        ...
