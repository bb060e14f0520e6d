"""The decision API over a broker in memory, an enforcement point that asks it, and an agent with a key."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from nacl.signing import SigningKey
from starlette.applications import Starlette
from tests.model.world import SEED, World

from jittrust.adapters.cedar.attribute_policy import CedarAttributePolicy
from jittrust.api.authzen.app import authzen_routes
from jittrust.api.authzen.callers import Callers
from jittrust.api.authzen.evaluation import TokenCheck
from jittrust.core.grant.grant import PassBinding, Strictness
from jittrust.core.grant.proof import Ed25519Signer, make_proof
from jittrust.core.identity.attest import EvidenceKind
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.model import Json, SubjectKind
from jittrust.core.secret import Secret
from jittrust.core.units import Gas, Seconds
from jittrust.ports.grants import IssuedGrant, NewGrant
from jittrust.ports.identities import NewIdentity
from jittrust.ports.issuance import Credentials, Evidence, SvidRequest

PEP = "pep-7c1fe2a90b4d-of-the-tests"
ISSUER = "urn:test"
"""As the world's broker calls itself."""
BASE = "https://pdp.example"
URL = "https://gateway.example/mcp/srv"
FOLDER = Path(__file__).parent / "conformance" / "authzen"
DOMAIN = "spiffe://jittrust.test"


@dataclass(frozen=True, slots=True)
class Deciding:
    """A decision API and an enforcement point that may ask it."""

    world: World
    app: Starlette
    http: httpx2.AsyncClient

    async def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:  # noqa: ANN401
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(f"/access/v1/{path}", json=body, headers=named)

    async def told(self, path: str, body: Any) -> dict[str, Any]:  # noqa: ANN401
        answer = await self.post(path, body)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def raw(self, path: str, body: bytes, **headers: str) -> httpx2.Response:
        named = {"content-type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
        return await self.http.post(f"/access/v1/{path}", content=body, headers=named)


def asking(
    tool: str, arguments: Mapping[str, Json] | None = None, agent: str = "agent", **context: Json
) -> dict[str, Any]:
    """An evaluation request about a tool behind the broker."""
    return {
        "subject": {"type": "agent", "id": agent},
        "action": {"name": "tools/call", "properties": {"arguments": dict(arguments or {})}},
        "resource": {"type": "tool", "id": f"srv/{tool}"},
        "context": context,
    }


@dataclass(slots=True)
class KeyHolder:
    """An agent with a grant that is bound to its key, as an enforcement point sees it."""

    world: World
    grant: IssuedGrant
    signer: Ed25519Signer
    newest: str | None
    made: int = field(default=0)

    def presentation(self, **changes: Json) -> dict[str, Json]:
        """What the agent's request showed."""
        self.made += 1
        method, url = str(changes.get("method", "POST")), str(changes.get("url", URL))
        proof = make_proof(
            self.signer,
            method=method,
            url=url,
            iat=self.world.clock(),
            jti=f"proof-{self.made:08d}",
            token=self.grant.token,
            nonce=self.newest,
        )
        told: dict[str, Json] = {
            "authorization": f"DPoP {self.grant.token}",
            "dpop": proof,
            "method": method,
            "url": url,
        }
        return {**told, **changes}


async def key_holder(world: World, agent: str = "agent", gas: int | None = None) -> KeyHolder:
    signer = Ed25519Signer.from_secret(hashlib.sha256(agent.encode()).digest())
    new = NewGrant(
        "ada",
        agent,
        "srv",
        PassBinding.DPOP,
        signer.jkt,
        Strictness.STRICT,
        gas=None if gas is None else Gas(gas),
    )
    grant = await world.broker.driving.grants.open(new)
    return KeyHolder(world, grant, signer, grant.first_pass)


async def credentials(world: World, kind: SubjectKind, path: str, audience: str = ISSUER) -> Credentials:
    """Documents of an identity of this kind, for this server."""
    driving = world.broker.driving
    ada = f"{DOMAIN}/person/ada"
    with contextlib.suppress(Exception):
        await driving.identities.enrol(NewIdentity(SubjectKind.PERSON, "/person/ada", names=("os:ada",), by="test"))
    entry = await driving.enrolment.put(RegistrationEntry("", DOMAIN + path, kind, ("unix:uid:4294967294",), ada))
    token = (await driving.enrolment.invite(entry.id, Seconds(600.0), "ada")).token
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    evidence = Evidence(EvidenceKind.JOIN_TOKEN, token)
    return await world.broker.inner.issuance.attest(SvidRequest(evidence, csr.public_bytes(Encoding.DER), (audience,)))


def application(world: World, attributes: CedarAttributePolicy | None, *, issuer: str = ISSUER) -> Starlette:
    """The routes of the decision API over the world's broker."""
    driving = world.broker.driving
    tokens = TokenCheck(ISSUER, {"kid": bytes(SigningKey(SEED).verify_key)}, world.clock)
    callers = Callers(Secret(PEP.encode()), driving.bundles, driving.identities, ISSUER)
    return Starlette(routes=authzen_routes(driving, world.broker.inner, issuer, callers, attributes, tokens))


@contextlib.asynccontextmanager
async def deciding(world: World, *, rules: bool = True, issuer: str = ISSUER) -> AsyncIterator[Deciding]:
    """The API, and an enforcement point that shows the operator's secret."""
    app = application(world, CedarAttributePolicy.load(FOLDER) if rules else None, issuer=issuer)
    transport = httpx2.ASGITransport(app=app)
    headers = {"authorization": f"Bearer {PEP}"}
    async with httpx2.AsyncClient(transport=transport, headers=headers, base_url=BASE) as http:
        yield Deciding(world, app, http)


def spelled(body: Json) -> bytes:
    return json.dumps(body).encode()
