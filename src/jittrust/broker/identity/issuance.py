"""Documents for whoever was attested. The one driving port that workloads and agents reach."""

from __future__ import annotations

from jittrust.broker.identity.authorities import AuthorityBook
from jittrust.broker.identity.bundles import BundleBook
from jittrust.broker.identity.enrolment import EnrolmentBook
from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.identity.sources import SourceBook
from jittrust.broker.state import State
from jittrust.ports.issuance import Credentials, SvidRequest
from jittrust.ports.process_attestor import Process


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
        self._bundles = bundles
        self._sources = sources
        self._parts = parts

    async def challenge(self) -> str:
        """See `Issuance.challenge`."""
        raise NotImplementedError

    async def attest(self, request: SvidRequest) -> Credentials:
        """See `Issuance.attest`."""
        raise NotImplementedError

    async def for_process(self, process: Process) -> tuple[Credentials, ...]:
        """See `Issuance.for_process`."""
        raise NotImplementedError

    async def jwt(self, process: Process, audience: tuple[str, ...], spiffe_id: str) -> tuple[Credentials, ...]:
        """See `Issuance.jwt`."""
        raise NotImplementedError

    async def changed(self, known: int, timeout: float) -> int:
        """See `Issuance.changed`."""
        raise NotImplementedError
