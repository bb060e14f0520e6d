"""The broker: the only code that joins ports and core."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from jittrust.broker.access_requests import AccessRequestBook
from jittrust.broker.approvals import ApprovalBook
from jittrust.broker.baselines import BaselineBook
from jittrust.broker.contracts import ContractBook
from jittrust.broker.evaluate import Evaluations
from jittrust.broker.gather import Gather
from jittrust.broker.grants import BrokerSecrets, GrantBook
from jittrust.broker.identity.authorities import AuthorityBook
from jittrust.broker.identity.bundles import BundleBook
from jittrust.broker.identity.directory import DirectoryBook
from jittrust.broker.identity.enrolment import EnrolmentBook
from jittrust.broker.identity.federation import FederationBook
from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.issuance import IssuanceBook
from jittrust.broker.identity.own import OwnDocuments
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.identity.passkeys import PasskeyBook
from jittrust.broker.identity.people import PeopleBook
from jittrust.broker.identity.sources import SourceBook
from jittrust.broker.missions import MissionBook
from jittrust.broker.oauth.clients import ClientBook
from jittrust.broker.oauth.consents import ConsentBook
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.oauth.renewals import RenewalBook
from jittrust.broker.oauth.server import ServerBook
from jittrust.broker.oauth.status import StatusBook
from jittrust.broker.oauth.transactions import TransactionBook
from jittrust.broker.promotions import PromotionBook
from jittrust.broker.registry import ToolRegistry
from jittrust.broker.responses import ResponseBook
from jittrust.broker.search import SearchBook
from jittrust.broker.state import State
from jittrust.broker.texts import TextWatch
from jittrust.core.errors import JitError
from jittrust.core.rules import Rules
from jittrust.core.units import Instant
from jittrust.ports.commit import Commit
from jittrust.ports.driving import Driving, InProcess
from jittrust.ports.judge import Judge
from jittrust.ports.ledger_reader import LedgerReader
from jittrust.ports.pin import PinCheck
from jittrust.ports.policy import Policy

_ENTRIES_MOST = 1000


@dataclass(frozen=True, slots=True)
class _Ledger:
    reader: LedgerReader
    vkey: str

    async def entries(self, after: int, limit: int) -> Sequence[bytes]:
        return await self.reader.entries(after, max(0, min(limit, _ENTRIES_MOST)))

    async def checkpoint(self) -> str:
        return await self.reader.checkpoint()

    async def public_key(self) -> str:
        return self.vkey


def _oauth_parts(issuer: str, secrets: BrokerSecrets, identity: IdentityParts) -> OAuthParts:
    return OAuthParts(
        issuer=issuer,
        origin=issuer,
        kid=secrets.token_kid,
        sign=secrets.sign_token,
        keys={},
        hash_key=identity.hash_key,
        random=identity.random,
        rules=identity.rules,
        clock=identity.clock,
        new_id=identity.new_id,
    )


class Tended(Protocol):
    """A part with something to do as time goes by."""

    async def tick(self) -> None:
        """Do what is due; called about every second."""
        ...


class Broker:
    """Everything that decides, in one process. Open it with `Broker.open`, ask it through `driving`, or (its own process's faces only) `inner`."""

    def __init__(
        self,
        driving: Driving,
        inner: InProcess,
        state: State,
        store: Commit,
        tending: Sequence[Tended],
        own: OwnDocuments,
    ) -> None:
        """Use `Broker.open`."""
        self.driving = driving
        self.inner = inner
        self.state = state
        self._store = store
        self._tending = tuple(tending)
        self.own = own

    @classmethod
    async def open(
        cls,
        store: Commit,
        ledger: LedgerReader,
        policy: Policy,
        pin: PinCheck,
        secrets: BrokerSecrets,
        ledger_vkey: str,
        rules: Rules,
        clock: Callable[[], Instant],
        new_id: Callable[[str], str],
        issuer: str,
        identity: IdentityParts,
        *,
        oauth: OAuthParts | None = None,
        observe: bool = False,
        judge: Judge | None = None,
        reader: Executor | None = None,
    ) -> Broker:
        """Load what is stored and go on from there.

        Args:
            store: where steps are made durable.
            ledger: where records are read back; may be the same object.
            policy: written rules.
            pin: the approver's PIN.
            secrets: keys, used for nothing else.
            ledger_vkey: the ledger's verifier key (public).
            rules: every threshold.
            clock: the time, never going back (see `adapters.system.clock`).
            new_id: makes a unique name with the given prefix.
            issuer: `iss` of access tokens.
            identity: what the identity layer needs from outside.
            oauth: what the authorization server needs from outside; None = what follows from the rest, with nothing fetched from anywhere.
            observe: record every verdict and stop nothing but hard refusals.
            judge: a language model that is asked about calls that stay grey; None = nobody is.
            reader: a pool of one thread in which texts are read beside the event loop; None = they are read at once.

        Raises:
            UnavailableError: the store cannot be read.
        """
        state = State(store, await store.load(), rules.access)
        oauth = oauth or _oauth_parts(issuer, secrets, identity)
        grants = GrantBook(state, rules, secrets, issuer, clock, new_id)
        missions = MissionBook(state, grants, pin, rules, clock, new_id)
        identities = IdentityBook(state, grants, missions, identity)
        enrolment = EnrolmentBook(state, identities, identity)
        authorities = AuthorityBook(state, identity)
        federation = FederationBook(state, identities, identity)
        bundles = BundleBook(state, authorities, federation, identities, identity)
        sources = SourceBook(state, identity)
        people = PeopleBook(state, identities, identity)
        passkeys = PasskeyBook(state, people, identities, identity)
        approvals = ApprovalBook(state, missions, pin, rules, clock)
        approvals.require_passkeys(passkeys)
        gather = Gather(state, policy, rules, oauth.attenuation)
        searches = SearchBook(state, gather, rules, clock)
        texts = TextWatch(state, reader)
        texts.warm()
        driving = Driving(
            decisions=Evaluations(
                state,
                gather,
                grants,
                rules,
                secrets.pass_key,
                clock,
                new_id,
                observe=observe,
                judge=judge,
                note_key=hmac.digest(identity.hash_key, b"notes to adjacent agents", "sha256"),
                texts=texts,
            ),
            missions=missions,
            grants=grants,
            approvals=approvals,
            registry=ToolRegistry(state, missions, rules, clock, new_id),
            ledger=_Ledger(ledger, ledger_vkey),
            identities=identities,
            enrolment=enrolment,
            bundles=bundles,
            authorities=authorities,
            federation=federation,
            people=people,
            sources=sources,
            contracts=ContractBook(state, missions, rules, clock, oauth.issuer, oauth.keys, oauth.kid, oauth.sign),
            responses=ResponseBook(state, pin, clock),
            searches=searches,
            baselines=BaselineBook(state, pin, clock),
            promotions=PromotionBook(state, pin, rules, clock),
        )
        clients = ClientBook(state, identities, bundles, oauth)
        consents = ConsentBook(state, clients, missions, approvals, people, passkeys, oauth)
        renewals = RenewalBook(state, grants, oauth)
        transactions = TransactionBook(state, identity.trust_domain, oauth)
        inner = InProcess(
            issuance=IssuanceBook(state, identities, enrolment, authorities, bundles, sources, identity),
            passkeys=passkeys,
            directory=DirectoryBook(state, identities, identity),
            authorization=ServerBook(
                state,
                clients,
                consents,
                grants,
                renewals,
                transactions,
                identities,
                sources,
                identity.token_keys,
                oauth,
            ),
            consents=consents,
            tokens=StatusBook(state, clients, grants, renewals, oauth),
            access_requests=AccessRequestBook(state, searches, rules, clock, new_id),
            gateway=transactions,
        )
        return cls(
            driving,
            inner,
            state,
            store,
            (authorities, federation, people, consents, renewals),
            OwnDocuments(state, authorities, identity),
        )

    async def tend(self) -> None:
        """Do what is due: rotate signing authorities before they end, ask federated domains for their bundles. Call it about every second.

        What fails is tried again the next time; each part records its own failures.
        """
        for part in self._tending:
            with contextlib.suppress(JitError):
                await part.tick()

    async def close(self) -> None:
        """Finish what is queued and let go of the store."""
        await self._store.close()
