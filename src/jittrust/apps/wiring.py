"""Which adapter stands behind which port. The only place that knows them all."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nacl.signing import SigningKey

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.adapters.files.fence import FileFence
from jittrust.adapters.files.keys import load_keys
from jittrust.adapters.files.lock import BrokerLock
from jittrust.adapters.files.pin import PinFile
from jittrust.adapters.sqlite.commit import SqliteCommit
from jittrust.adapters.sqlite.committer import DEADLINE_S
from jittrust.adapters.system.clock import SteadyClock
from jittrust.adapters.system.names import new_name
from jittrust.broker.broker import Broker
from jittrust.broker.grants import BrokerSecrets
from jittrust.core.ledger.checkpoint import LedgerSigner
from jittrust.core.rules import GrantRules, Rules
from jittrust.core.units import Instant
from jittrust.ports.driving import Driving

if TYPE_CHECKING:
    from collections.abc import Callable

    from jittrust.apps.settings import Settings

DATABASE = "jittrust.db"


@dataclass(frozen=True, slots=True)
class Wired:
    """A broker that is open.

    Attributes:
        driving: what may be asked of it.
        issuer: `iss` of its access tokens, the same for the life of the state.
        token_keys: public keys of access tokens by `kid`.
        clock: its time.
        new_name: makes unique names.
        state: its state folder.
        observe: verdicts are recorded, nothing is stopped.
    """

    driving: Driving
    issuer: str
    token_keys: Mapping[str, bytes]
    clock: Callable[[], Instant]
    new_name: Callable[[str], str]
    state: Path
    observe: bool


def rules_of(settings: Settings | None) -> Rules:
    """The rules with what the configuration says of grants and approvals."""
    rules = Rules()
    if settings is None:
        return rules
    grants = GrantRules(
        ttl=float(settings.grant.ttl_seconds),
        ttl_shortest=min(rules.grants.ttl_shortest, float(settings.grant.ttl_seconds)),
        gas=settings.grant.gas,
        gas_least=min(rules.grants.gas_least, settings.grant.gas),
        lanes=settings.grant.lanes,
        approval_seconds=float(settings.approval.valid_seconds),
        mission_minutes=settings.mission.minutes,
    )
    return replace(rules, grants=grants)


def deadline_of(settings: Settings | None) -> float:
    """How long a commit may take, in seconds."""
    return DEADLINE_S if settings is None else settings.store.commit_deadline_milliseconds / 1000


@contextlib.asynccontextmanager
async def open_broker(state: Path, settings: Settings | None = None) -> AsyncIterator[Wired]:
    """Open the broker of a state folder; at the end of the block everything queued is durable and the folder is free again.

    Raises:
        UnavailableError: code `broker_running` (another broker works on this state), or the store or the keys cannot be used.
        BadInputError: a configured policy is missing, broken or empty: nothing starts.
    """
    policy = CedarPolicy.load(settings.policy.file if settings else None)
    rules = rules_of(settings)
    clock = SteadyClock()
    with BrokerLock.take(state), contextlib.closing(FileFence(state)) as fence:
        keys = load_keys(state)
        signing = SigningKey(keys.token.reveal())
        public = bytes(signing.verify_key)
        origin = f"jittrust.local/{hashlib.sha256(public).hexdigest()[:16]}"
        signer = LedgerSigner.from_seed(origin, keys.ledger.reveal())
        store = SqliteCommit.open(
            state / DATABASE, signer=signer, origin=origin, fence=fence, clock=clock, deadline_s=deadline_of(settings)
        )
        kid = hashlib.sha256(public).hexdigest()[:16]
        try:
            observe = bool(settings and settings.policy.observe)
            broker = await Broker.open(
                store=store,
                ledger=store,
                policy=policy,
                pin=PinFile(state, clock),
                secrets=BrokerSecrets(keys.passes.reveal(), kid, lambda data: signing.sign(data).signature),
                ledger_vkey=str(signer.key),
                rules=rules,
                clock=clock,
                new_id=new_name,
                issuer=f"urn:{origin.replace('/', ':')}",
                observe=observe,
            )
            yield Wired(
                broker.driving, f"urn:{origin.replace('/', ':')}", {kid: public}, clock, new_name, state, observe
            )
        finally:
            await store.close()
