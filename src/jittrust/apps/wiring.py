"""Which adapter stands behind which port. The only place that knows them all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nacl.signing import SigningKey

from jittrust.adapters.biscuit.attenuation import attenuation_of
from jittrust.adapters.cedar.policy import PolicyChange, ReloadablePolicy
from jittrust.adapters.files.fence import FileFence
from jittrust.adapters.files.key_store import FileKeyStore
from jittrust.adapters.files.keys import load_keys
from jittrust.adapters.files.lock import BrokerLock
from jittrust.adapters.files.models import shipped_access, shipped_model
from jittrust.adapters.files.pin import PinFile
from jittrust.adapters.https.bundle_source import HttpsBundleSource
from jittrust.adapters.https.client_documents import HttpsClientDocuments
from jittrust.adapters.https.token_keys import HttpsTokenKeys, is_refused
from jittrust.adapters.localca.certificate_authority import LocalCertificateAuthority
from jittrust.adapters.memory.key_store import MemoryKeyStore
from jittrust.adapters.oidc.identity_provider import OidcProvider
from jittrust.adapters.openai.judge import OpenAiJudge, judge_named
from jittrust.adapters.pkcs11.key_store import Pkcs11KeyStore
from jittrust.adapters.proc.process_attestor import ProcAttestor
from jittrust.adapters.sqlite.commit import SqliteCommit
from jittrust.adapters.sqlite.committer import DEADLINE_S
from jittrust.adapters.system.clock import SteadyClock
from jittrust.adapters.system.names import new_name
from jittrust.adapters.webauthn.passkey_check import WebauthnCheck
from jittrust.broker.broker import Broker
from jittrust.broker.grants import BrokerSecrets
from jittrust.broker.identity.own import OwnDocument
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.core.identity.spiffe_id import TrustDomain
from jittrust.core.ledger.checkpoint import LedgerSigner
from jittrust.core.rules import GrantRules, Rules
from jittrust.core.secret import Secret
from jittrust.core.units import Instant
from jittrust.ports.attenuation import Attenuation
from jittrust.ports.driving import Driving, InProcess
from jittrust.ports.judge import Judge
from jittrust.ports.key_store import KeyStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jittrust.apps.settings import Settings

DATABASE = "jittrust.db"
_LOG = logging.getLogger(__name__)
_TEND_EVERY = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Wired:
    """A broker that is open.

    Attributes:
        driving: what may be asked of it; inner: what only faces in this process may ask.
        issuer: URL under which clients know it, `iss` of its tokens.
        trust_domain: of its SPIFFE IDs.
        token_keys: public keys of access tokens by `kid`.
        clock: its time.
        new_name: makes unique names.
        state: its state folder.
        origin: web origin of its pages for people.
        own_document: what its bundle endpoint presents now.
        observe: verdicts are recorded, nothing is stopped.
        reload_policy: reads the policy file again; what is in force stays when it is broken.
        attenuation: tokens that their holders narrow; None without the extra `biscuit`.
    """

    driving: Driving
    inner: InProcess
    issuer: str
    trust_domain: TrustDomain
    token_keys: Mapping[str, bytes]
    clock: Callable[[], Instant]
    new_name: Callable[[str], str]
    state: Path
    origin: str
    own_document: Callable[[], Awaitable[OwnDocument]]
    observe: bool
    reload_policy: Callable[[], PolicyChange]
    attenuation: Attenuation | None


def rules_of(settings: Settings | None) -> Rules:
    """The rules with what the configuration says of grants and approvals."""
    rules = Rules(model=shipped_model(), access=shipped_access())
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


def judge_of(settings: Settings | None, environ: Mapping[str, str]) -> Judge | None:
    """Who is asked about grey calls; None = nobody.

    Raises:
        BadInputError: code `judge_bad`, `judge_missing`.
    """
    if settings is None or not settings.intent.judge:
        return None
    model, base_url = judge_named(settings.intent.judge)
    key = environ.get("JITTRUST_JUDGE_KEY", "")
    return OpenAiJudge(model, base_url, Secret(key.encode()) if key else None, lambda address: not is_refused(address))


def deadline_of(settings: Settings | None) -> float:
    """How long a commit may take, in seconds."""
    return DEADLINE_S if settings is None else settings.store.commit_deadline_milliseconds / 1000


def trust_domain_of(settings: Settings | None, kid: str) -> TrustDomain:
    """The trust domain as configured; else one that no other state has."""
    named = settings.identity.trust_domain if settings else ""
    return TrustDomain(named or f"{kid}.jittrust.local")


def origin_of(settings: Settings | None) -> str:
    """The web origin under which people reach this server: passkeys are bound to it."""
    if settings is None:
        return "http://localhost:8750"
    tls = settings.listen.tls_certificate is not None
    return settings.listen.public_url or f"{'https' if tls else 'http'}://localhost:{settings.listen.port}"


def issuer_of(settings: Settings | None) -> str:
    """URL under which clients know this server: `iss` of its tokens, and what its resources are below.

    Not the origin of its pages: that must be a name, for passkeys are bound to it, and this may be an address.
    """
    if settings is None:
        return "http://127.0.0.1:8750"
    scheme = "http" if settings.listen.tls_certificate is None else "https"
    host = settings.listen.host
    return settings.listen.public_url or f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.listen.port}"


def key_store(state: Path, settings: Settings | None) -> KeyStore:
    """Where the signing keys of the trust domain live. Raises UnavailableError: code `key_store_unavailable`."""
    named = settings.identity.keys if settings else ""
    return Pkcs11KeyStore(named) if named.startswith("pkcs11:") else FileKeyStore(state / "keys" / "identity")


def provider_of(settings: Settings | None, clock: Callable[[], Instant]) -> OidcProvider | None:
    """Login at an OpenID provider, where one is configured."""
    if settings is None or not settings.people.oidc_issuer:
        return None
    people = settings.people
    from jittrust.apps.settings import filled

    secret = Secret(filled(people.oidc_secret, os.environ).encode()) if people.oidc_secret else None
    return OidcProvider(people.oidc_issuer, people.oidc_client, secret, clock)


def identity_parts(
    *,
    trust_domain: TrustDomain,
    keys: KeyStore,
    hash_key: bytes,
    origin: str,
    provider: OidcProvider | None,
    rules: Rules,
    clock: Callable[[], Instant],
    new_id: Callable[[str], str],
) -> IdentityParts:
    """The identity layer's driven ports as this product has them."""
    return IdentityParts(
        trust_domain=trust_domain,
        authority=LocalCertificateAuthority(keys, secrets.token_bytes),
        processes=ProcAttestor(),
        bundle_source=HttpsBundleSource(clock),
        token_keys=HttpsTokenKeys(clock),
        provider=provider,
        passkeys=WebauthnCheck(origin),
        hash_key=hash_key,
        random=secrets.token_bytes,
        rules=rules,
        clock=clock,
        new_id=new_id,
    )


def offline_identity(
    rules: Rules, clock: Callable[[], Instant], new_id: Callable[[str], str], trust_domain: str = "jittrust.test"
) -> IdentityParts:
    """The same with keys in memory, for a broker that leaves nothing behind: replay, benchmarks, tests."""
    return identity_parts(
        trust_domain=TrustDomain(trust_domain),
        keys=MemoryKeyStore(),
        hash_key=bytes(32),
        origin="http://localhost:8750",
        provider=None,
        rules=rules,
        clock=clock,
        new_id=new_id,
    )


@contextlib.asynccontextmanager
async def open_broker(
    state: Path, settings: Settings | None = None, origin: str = "", issuer: str = ""
) -> AsyncIterator[Wired]:
    """Open the broker of a state folder; at the end of the block everything queued is durable and the folder is free again.

    `origin` and `issuer` are what a server that listens somewhere else than its settings say puts in their place.

    Raises:
        UnavailableError: code `broker_running` (another broker works on this state), or the store or the keys cannot be used.
        BadInputError: a configured policy is missing, broken or empty: nothing starts.
    """
    web_origin = origin or origin_of(settings)
    policy = ReloadablePolicy(settings.policy.file if settings else None)
    rules = rules_of(settings)
    clock = SteadyClock()
    with BrokerLock.take(state), contextlib.closing(FileFence(state)) as fence, _reader() as reader:
        keys = load_keys(state)
        signing = SigningKey(keys.token.reveal())
        public = bytes(signing.verify_key)
        ledger_origin = f"jittrust.local/{hashlib.sha256(public).hexdigest()[:16]}"
        signer = LedgerSigner.from_seed(ledger_origin, keys.ledger.reveal())
        store = SqliteCommit.open(
            state / DATABASE,
            signer=signer,
            origin=ledger_origin,
            fence=fence,
            clock=clock,
            deadline_s=deadline_of(settings),
        )
        kid = hashlib.sha256(public).hexdigest()[:16]
        issuer = issuer or issuer_of(settings)
        try:
            identity = identity_parts(
                trust_domain=trust_domain_of(settings, kid),
                keys=key_store(state, settings),
                hash_key=hmac.digest(keys.passes.reveal(), b"jittrust identity layer, keyed hashes", "sha256"),
                origin=web_origin,
                provider=provider_of(settings, clock),
                rules=rules,
                clock=clock,
                new_id=new_name,
            )
            observe = bool(settings and settings.policy.observe)
            attenuation = attenuation_of(keys.passes.reveal())
            oauth = OAuthParts(
                issuer=issuer,
                origin=web_origin,
                kid=kid,
                sign=lambda data: signing.sign(data).signature,
                keys={kid: public},
                hash_key=hmac.digest(keys.passes.reveal(), b"jittrust authorization server, keyed hashes", "sha256"),
                random=secrets.token_bytes,
                rules=rules,
                clock=clock,
                new_id=new_name,
                documents=HttpsClientDocuments(clock),
                attenuation=attenuation,
                registration=bool(settings and settings.oauth.registration),
            )
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
                issuer=issuer,
                identity=identity,
                oauth=oauth,
                observe=observe,
                judge=judge_of(settings, os.environ),
                reader=reader,
            )
            async with _tended(broker):
                yield Wired(
                    broker.driving,
                    broker.inner,
                    issuer,
                    identity.trust_domain,
                    {kid: public},
                    clock,
                    new_name,
                    state,
                    web_origin,
                    broker.own.newest,
                    observe,
                    policy.reload,
                    attenuation,
                )
        finally:
            await store.close()


@contextlib.contextmanager
def _reader() -> Iterator[ThreadPoolExecutor]:
    """The one thread in which texts are read beside the event loop; what it has not begun by the end is left."""
    reader = ThreadPoolExecutor(1, thread_name_prefix="jittrust-reader")
    try:
        yield reader
    finally:
        reader.shutdown(wait=False, cancel_futures=True)


@contextlib.asynccontextmanager
async def _tended(broker: Broker) -> AsyncIterator[None]:
    """Let the broker do what is due, every second while the block lasts."""

    async def forever() -> None:
        while True:
            await asyncio.sleep(_TEND_EVERY)
            try:
                await broker.tend()
            except Exception:  # noqa: BLE001 - whatever it is, it is logged and tried again
                # A fault of ours in one part must not keep the others from being tended for ever.
                _LOG.exception("tending failed")

    tending = asyncio.create_task(forever())
    try:
        yield
    finally:
        tending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tending
