"""The faces a broker shows to enforcement points and APIs, in one bundle."""

from __future__ import annotations

from dataclasses import dataclass

from jittrust.ports.access_requests import AccessRequests
from jittrust.ports.approvals import Approvals
from jittrust.ports.authorities import Authorities
from jittrust.ports.authorization_server import AuthorizationServer
from jittrust.ports.baselines import Baselines
from jittrust.ports.bundles import Bundles
from jittrust.ports.consents import Consents
from jittrust.ports.contracts import Contracts
from jittrust.ports.decision_point import DecisionPoint
from jittrust.ports.directory import Directory
from jittrust.ports.enrolment import Enrolment
from jittrust.ports.federation import Federation
from jittrust.ports.gateway_tokens import GatewayTokens
from jittrust.ports.grants import Grants
from jittrust.ports.identities import Identities
from jittrust.ports.issuance import Issuance
from jittrust.ports.ledger_view import LedgerView
from jittrust.ports.missions import Missions
from jittrust.ports.passkeys import Passkeys
from jittrust.ports.people import People
from jittrust.ports.promotions import Promotions
from jittrust.ports.registry import Registry
from jittrust.ports.responses import Responses
from jittrust.ports.searches import Searches
from jittrust.ports.token_status import TokenStatus
from jittrust.ports.trusted_sources import TrustedSources


@dataclass(frozen=True, slots=True)
class Driving:
    """Everything that may be asked of a broker, in process or through its socket."""

    decisions: DecisionPoint
    missions: Missions
    grants: Grants
    approvals: Approvals
    registry: Registry
    ledger: LedgerView
    identities: Identities
    enrolment: Enrolment
    bundles: Bundles
    authorities: Authorities
    federation: Federation
    people: People
    sources: TrustedSources
    contracts: Contracts
    responses: Responses
    searches: Searches
    baselines: Baselines
    promotions: Promotions


@dataclass(frozen=True, slots=True)
class InProcess:
    """What only faces in the broker's own process may ask, for it takes their word for who is calling."""

    issuance: Issuance
    passkeys: Passkeys
    directory: Directory
    authorization: AuthorizationServer
    consents: Consents
    tokens: TokenStatus
    access_requests: AccessRequests
    gateway: GatewayTokens
