"""What tests of the authorization server act with: a broker that issues tokens, people, workloads with SVIDs, clients with keys, and the ASGI face."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey
from nacl.signing import SigningKey
from starlette.applications import Starlette
from tests.model.world import SEED, SIGNER, Names, World, allowing

from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.api.oauth.app import oauth_routes
from jittrust.apps.wiring import offline_identity
from jittrust.broker.broker import Broker
from jittrust.broker.grants import BrokerSecrets
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.core.errors import RefusedError
from jittrust.core.grant.proof import Ed25519Signer, make_proof
from jittrust.core.identity.attest import EvidenceKind
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.identity import Role
from jittrust.core.mission.mission import Mission
from jittrust.core.model import Json, SubjectKind
from jittrust.core.oauth.client import ClientMethod, ClientSource, OAuthClient
from jittrust.core.oauth.spiffe_client import JWT_ASSERTION, JWT_SPIFFE
from jittrust.core.units import Instant, Seconds
from jittrust.ports.attenuation import Attenuation
from jittrust.ports.commit import Keep
from jittrust.ports.identities import NewIdentity
from jittrust.ports.issuance import Evidence, SvidRequest

ISSUER = "http://127.0.0.1:8750"
ORIGIN = "http://localhost:8750"
TOKEN = f"{ISSUER}/oauth/token"
RESOURCE = f"{ISSUER}/mcp/srv"
DOMAIN = "spiffe://jittrust.test"
ADA = f"{DOMAIN}/person/ada"
AGENT = f"{DOMAIN}/agent/coder"
HELPER = f"{DOMAIN}/agent/tester"
SERVICE = f"{DOMAIN}/workload/service"
CREDENTIALS = "client_credentials"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"


class Documents:
    """Documents that lie at URLs; everything else is refused. Counts what was asked for."""

    def __init__(self) -> None:
        self.at: dict[str, bytes] = {}
        self.asked: list[str] = []

    async def fetch(self, url: str) -> bytes:
        """See `ClientDocuments.fetch`."""
        self.asked.append(url)
        if url not in self.at:
            raise RefusedError("document_url_refused", "Nothing lies there.")
        return self.at[url]


@dataclass(slots=True)
class OAuthWorld(World):
    """A broker whose tokens can be read."""

    documents: Documents = field(default_factory=Documents)
    registration: bool = False
    attenuation: Attenuation | None = None

    async def open(self) -> OAuthWorld:
        """Open the broker over the store; again after a crash."""
        signing = SigningKey(SEED)

        def sign(data: bytes) -> bytes:
            return signing.sign(data).signature

        identity = offline_identity(self.rules, self.clock, self.names)
        self.broker = await Broker.open(
            store=self.store,
            ledger=self.ledger,
            policy=self.policy,
            pin=self.pin,
            secrets=BrokerSecrets(SEED, "kid", sign),
            ledger_vkey=str(SIGNER.key),
            rules=self.rules,
            clock=self.clock,
            new_id=self.names,
            issuer=ISSUER,
            identity=identity,
            oauth=OAuthParts(
                issuer=ISSUER,
                origin=ORIGIN,
                kid="kid",
                sign=sign,
                keys={"kid": bytes(signing.verify_key)},
                hash_key=hashlib.sha256(SEED).digest(),
                random=identity.random,
                rules=self.rules,
                clock=self.clock,
                new_id=self.names,
                documents=self.documents,
                attenuation=self.attenuation,
                registration=self.registration,
            ),
        )
        return self

    @property
    def now(self) -> float:
        """The time."""
        return self.clock.now

    def web(self) -> httpx.AsyncClient:
        """A client of the server's HTTP face."""
        app = Starlette(
            routes=oauth_routes(self.broker.inner, ISSUER, ORIGIN, ("srv", "mail"), registration=self.registration)
        )
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=ISSUER)

    async def ask(self, form: Mapping[str, str], dpop: str = "", path: str = "/oauth/token") -> httpx.Response:  # type: ignore[override]
        """One request at the token endpoint."""
        async with self.web() as web:
            return await web.post(path, data=dict(form), headers={"dpop": dpop} if dpop else {})

    async def workload(self, path: str, kind: SubjectKind = SubjectKind.AGENT) -> str:
        """A workload of Ada's with an entry; gives the join token that lets it in."""
        entry = RegistrationEntry("", f"{DOMAIN}{path}", kind, (f"test:{path}",), ADA, by="root")
        made = await self.broker.driving.enrolment.put(entry)
        return (await self.broker.driving.enrolment.invite(made.id, Seconds(600.0), "root")).token

    async def svid(self, path: str = "/agent/coder", *audience: str) -> str:
        """A JWT-SVID of a workload."""
        evidence = Evidence(EvidenceKind.JOIN_TOKEN, await self.workload_again(path))
        request = SvidRequest(evidence, b"", audience or (ISSUER,), path)
        return (await self.broker.inner.issuance.attest(request)).jwt

    async def workload_again(self, path: str) -> str:
        """One more join token of a workload that may be there already."""
        for entry in await self.broker.driving.enrolment.entries():
            if entry.spiffe_id == f"{DOMAIN}{path}":
                return (await self.broker.driving.enrolment.invite(entry.id, Seconds(600.0), "root")).token
        return await self.workload(path, SubjectKind.WORKLOAD if path.startswith("/workload/") else SubjectKind.AGENT)

    async def client(self, *grants: str, name: str = "client-x", agent: str = "", **more: object) -> KeyClient:
        """A client with a key, registered by an admin."""
        key = ECKey.generate_key("P-256", {"kid": "c1"})
        made = OAuthClient(
            name,
            ClientSource.REGISTERED,
            ClientMethod.PRIVATE_KEY_JWT,
            grant_types=grants,
            keys=(key.as_dict(private=False),),
            agent=agent,
            **more,  # type: ignore[arg-type]
        )
        await self.broker.state.change([Keep(made)], [])
        return KeyClient(self, name, key)


@dataclass(slots=True)
class KeyClient:
    """A client of `private_key_jwt`."""

    there: OAuthWorld
    name: str
    key: ECKey | OKPKey
    made: int = 0

    def assertion(self, **over: object) -> str:
        """An assertion for the server, each with a jti of its own unless told otherwise; None leaves a claim out."""
        self.made += 1
        now = int(self.there.now)
        header = over.pop("header", {})
        assert isinstance(header, dict)
        base: dict[str, object] = {
            "iss": self.name,
            "sub": self.name,
            "aud": TOKEN,
            "iat": now,
            "exp": now + 60,
            "jti": f"jti-{self.made}",
        }
        claims = {name: value for name, value in (base | over).items() if value is not None}
        return jwt.encode(
            {"alg": "ES256", "kid": "c1"} | header, claims, self.key, algorithms=["ES256", "HS256", "Ed25519"]
        )

    def form(self, **over: object) -> dict[str, str]:
        """The parameters that authenticate it."""
        return {"client_assertion_type": JWT_ASSERTION, "client_assertion": self.assertion(**over)}


def as_workload(svid: str) -> dict[str, str]:
    """The parameters that authenticate a workload."""
    return {"client_assertion_type": JWT_SPIFFE, "client_assertion": svid}


def key(number: int = 1) -> Ed25519Signer:
    """A key of a grant."""
    return Ed25519Signer.from_secret(bytes([number]) * 32)


def dpop(there: OAuthWorld, signer: Ed25519Signer, nonce: str | None = None, **over: Any) -> str:  # noqa: ANN401
    """A proof for the token endpoint, each with a jti of its own unless told otherwise."""
    facts: dict[str, Any] = {
        "method": "POST",
        "url": TOKEN,
        "iat": Instant(there.now),
        "jti": there.names("proof-number"),
        "nonce": nonce,
        **over,
    }
    return make_proof(signer, **facts)


def claims_of(token: str) -> dict[str, Any]:
    """What a token of ours says; its signature holds."""
    own = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": _x(bytes(SigningKey(SEED).verify_key))})
    return dict(jwt.decode(token, own, algorithms=["Ed25519", "EdDSA"]).claims)


def _x(data: bytes) -> str:

    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def oauth_world(**more: object) -> OAuthWorld:
    """A broker in memory with an admin, Ada, and a goal of hers."""
    store = MemoryCommit(signer=SIGNER, origin="jittrust.test/world")
    there = await OAuthWorld(store, store, names=Names(), **more).open()  # type: ignore[arg-type]
    for path, role in (("/person/root", Role.ADMIN), ("/person/ada", Role.NONE)):
        new = NewIdentity(SubjectKind.PERSON, path, role=role, names=(f"os:{path.rpartition('/')[2]}",), by="root")
        await there.broker.driving.identities.enrol(new)
    return there


async def working(there: OAuthWorld) -> Mission:
    """Ada has a mission that runs, with a tool in its map."""
    await there.join()
    return await there.start(allowing("read_file"), allowing("send_mail"))


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, OAuth's word and our code of a refusal."""
    body: dict[str, Json] = json.loads(answer.text)
    return answer.status_code, str(body["error"]), str(body["code"])
