"""Debit, pass and ledger record are one port, because they are one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from jittrust.core.approval import Approval
from jittrust.core.authority.pin import ToolPin
from jittrust.core.grant.grant import Grant, Lane, RetiredPass
from jittrust.core.grant.states import GrantState
from jittrust.core.history import History
from jittrust.core.identity.attest import TrustedIssuer
from jittrust.core.identity.authority import BundleVersion, SigningAuthority
from jittrust.core.identity.directory import DirectoryGroup, DirectoryToken, DirectoryUser
from jittrust.core.identity.entry import JoinToken, RegistrationEntry
from jittrust.core.identity.federate import FederatedDomain
from jittrust.core.identity.identity import Blueprint, Identity
from jittrust.core.identity.person import OneTimeLink, Passkey, SignIn
from jittrust.core.intent.adoption import AdoptedBaseline
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.promotion import Promotion
from jittrust.core.model import Json
from jittrust.core.oauth.client import OAuthClient
from jittrust.core.oauth.renewal import Renewal
from jittrust.core.oauth.request import AuthorizationRequest
from jittrust.core.response.session import Standing
from jittrust.core.response.stop import Stop
from jittrust.core.units import Gas, Instant

RecordBody: TypeAlias = Mapping[str, Json]
"""A ledger record before it has a place: `kind` and whatever that kind carries. The store adds `index` and `prev`."""


@dataclass(frozen=True, slots=True)
class SpendPass:
    """Retire the live pass of a lane, put its successor in place, debit the grant. The one conditional write.

    Holds only if the lane is open, its `seq` is still `seq`, the grant has `gas_left >= price`, and, when `goes_out` (the call will be
    forwarded), grant, every grant of its `path` and mission are active, and `uses_left` is None or >= 1 (it goes down by one).
    A refused call (`goes_out` False) debits `min(price, gas_left)`. `entry`: the entry of the grant's own authority that covers a call that goes
    out (empty: it has none of its own); where it has `uses_left`, that must be >= 1 and goes down by one. An entry that the grant has not got has no
    use left. Neither is looked at for a refused call, nor for what is no use (`counts` False): a message without an effect of its own.
    """

    grant: str
    lane: int
    seq: int
    digest: str
    use: str
    price: Gas
    at: Instant
    goes_out: bool
    entry: str = ""
    counts: bool = True


@dataclass(frozen=True, slots=True)
class PutMission:
    """Store the mission whole. Holds only if the stored `generation` is `after` (None: it must not exist yet)."""

    mission: Mission
    after: int | None


@dataclass(frozen=True, slots=True)
class OpenGrant:
    """Store a new grant with lane 0. Holds only if no grant has this id, nor this (mission, request) when request is not empty.

    A grant with a `path` is carved from the last of it, whose own `path` is the rest: it and all before it must be active, and its `gas_left` goes
    down by the child's `gas_limit` (and its `uses_left`, where it has one, by the child's `uses_limit`, which must then be told), which must be
    there. So must the uses of entries of its own authority that are `taken` over: by entry, how many. Nothing of it ever comes back.
    """

    grant: Grant
    lane: Lane
    taken: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MoveGrant:
    """Change the state of a grant (see `core.grant.states`). Gas is never given back."""

    grant: str
    to: GrantState


@dataclass(frozen=True, slots=True)
class PutLane:
    """Open, close, challenge (`seq` + 1, digest empty) or note a delivery or re-send of a lane.

    Holds only if the stored `seq` is `after` (None: the lane must not exist yet).
    """

    lane: Lane
    after: int | None


@dataclass(frozen=True, slots=True)
class PutStanding:
    """Store how an agent stands under a mission."""

    mission: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class PutApproval:
    """Store a question or its answer."""

    approval: Approval


@dataclass(frozen=True, slots=True)
class PutPin:
    """Store the pin of a tool definition."""

    pin: ToolPin


@dataclass(frozen=True, slots=True)
class AddHistory:
    """Count one call of an agent that went out. `values` are the keys of `History.by_value`."""

    agent: str
    mission: str
    tool: str
    intent: str
    previous: str
    values: tuple[str, ...] = ()


Kept: TypeAlias = (
    Identity
    | Blueprint
    | RegistrationEntry
    | JoinToken
    | SigningAuthority
    | BundleVersion
    | FederatedDomain
    | Passkey
    | SignIn
    | OneTimeLink
    | DirectoryUser
    | DirectoryGroup
    | DirectoryToken
    | TrustedIssuer
    | OAuthClient
    | AuthorizationRequest
    | Renewal
    | Stop
    | AdoptedBaseline
    | Promotion
)
"""A value of the identity layer, of OAuth, of the kill switch or of what a person adopted: stored whole under its `id`, with a `revision`."""

KEPT: Mapping[str, type[Kept]] = {
    "identity": Identity,
    "blueprint": Blueprint,
    "entry": RegistrationEntry,
    "join_token": JoinToken,
    "authority": SigningAuthority,
    "bundle_version": BundleVersion,
    "federated_domain": FederatedDomain,
    "passkey": Passkey,
    "sign_in": SignIn,
    "one_time_link": OneTimeLink,
    "directory_user": DirectoryUser,
    "directory_group": DirectoryGroup,
    "directory_token": DirectoryToken,
    "trusted_issuer": TrustedIssuer,
    "oauth_client": OAuthClient,
    "authorization_request": AuthorizationRequest,
    "renewal": Renewal,
    "stop": Stop,
    "baseline": AdoptedBaseline,
    "promotion": Promotion,
}
"""Every kind of them by the name under which it is stored; a name is never used for another kind."""
KIND_OF: Mapping[type[Kept], str] = {kind: name for name, kind in KEPT.items()}


@dataclass(frozen=True, slots=True)
class Keep:
    """Store a value whole. Holds only if what is stored has the revision before it (revision 1: nothing is stored under its id)."""

    value: Kept


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget a value. Holds only if what is stored has exactly its revision."""

    value: Kept


Write: TypeAlias = (
    SpendPass
    | PutMission
    | OpenGrant
    | MoveGrant
    | PutLane
    | PutStanding
    | PutApproval
    | PutPin
    | AddHistory
    | Keep
    | Drop
)


@dataclass(frozen=True, slots=True)
class Change:
    """One all-or-nothing step: every condition holds and all of it is durable, or nothing is."""

    writes: tuple[Write, ...]
    records: tuple[RecordBody, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """What became durable.

    `gas_left` is the grant's gas after a `SpendPass` (None without one); `records` are the indexes of the records in the ledger.
    """

    records: tuple[int, ...]
    gas_left: Gas | None = None


@dataclass(frozen=True, slots=True)
class StoredState:
    """Everything a broker needs to go on after a restart.

    `kept` are the values of the identity layer, by kind (`KEPT`) and id.
    `pass_generation` is mixed into every pass and rises when the store was found older than the fence (a restored backup).
    """

    missions: Mapping[str, Mission] = field(default_factory=dict)
    grants: Mapping[str, Grant] = field(default_factory=dict)
    lanes: Mapping[tuple[str, int], Lane] = field(default_factory=dict)
    standings: Mapping[str, Standing] = field(default_factory=dict)
    approvals: Mapping[str, Approval] = field(default_factory=dict)
    pins: Mapping[tuple[str, str], ToolPin] = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict)
    kept: Mapping[str, Mapping[str, Kept]] = field(default_factory=dict)
    pass_generation: int = 1


class Commit(Protocol):
    """Makes steps durable. Safe for many tasks at once; one writer owns the store."""

    async def commit(self, change: Change) -> Committed:
        """Make `change` durable and return, or change nothing and raise.

        Durable means: it survives `kill -9` and loss of power once this returns. Order of commits = order of ledger indexes.

        Raises:
            PassSupersededError: a `SpendPass` or `PutLane` lost: the seq is not the live one, or the lane is closed.
            GasExhaustedError: a `SpendPass` that goes out costs more than is left, or an `OpenGrant` takes more than its parent has (code
                `gas_exhausted`); no use of the grant or of its entry is left (code `uses_exhausted`).
            ConflictError: code `stale_generation` (PutMission), `stale_revision` (Keep, Drop),
                `grant_exists` (OpenGrant), `not_active` (goes out without an active grant, path and mission; carved from what is not active).
            FencedError: another broker has taken over.
            UnavailableError: code `store_unavailable`: disk full, deadline passed, file broken. Nothing was changed as far as can be known.
        """
        ...

    async def load(self) -> StoredState:
        """Return everything stored. Called once at start and after a failed commit."""
        ...

    async def retired(self, grant: str, lane: int, first: int, last: int) -> Sequence[RetiredPass]:
        """What became of the old passes of a lane from `first` to `last`, both included, in order; those that nobody knows are missing."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then let go of the store."""
        ...
