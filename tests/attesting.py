"""What tests of attestation act with: keys, requests, tokens of issuers, certificates of authorities, and a broker that trusts some of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.model.world import World, world

from jittrust.core.identity.attest import EvidenceKind, TrustedIssuer, statement
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.identity import Identity, Role
from jittrust.core.model import Json, SubjectKind
from jittrust.ports.identities import NewIdentity
from jittrust.ports.issuance import Credentials, Evidence, SvidRequest

DOMAIN = "spiffe://jittrust.test"
ADA = f"{DOMAIN}/person/ada"
GITHUB = "https://token.actions.githubusercontent.com"
AUDIENCE = "jittrust.test"
CLUSTER = "https://kubernetes.default.svc.cluster.local"
NOW = 1_790_000_000

Key = ec.EllipticCurvePrivateKey


def fresh() -> Key:
    """A key."""
    return ec.generate_private_key(ec.SECP256R1())


def request_of(key: Key) -> bytes:
    """A certificate request that asks for nothing but its key."""
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    return made.public_bytes(Encoding.DER)


class Issuer:
    """A token issuer."""

    def __init__(self, url: str = GITHUB, kid: str = "k1") -> None:
        self.url = url
        self.key = ECKey.generate_key("P-256", {"kid": kid, "alg": "ES256", "use": "sig"})

    @property
    def jwks(self) -> str:
        """Its public keys."""
        return json.dumps({"keys": [self.key.as_dict(private=False)]})

    def token(self, claims: Mapping[str, Json] | None = None, now: float = NOW, **over: object) -> str:
        """A token as GitHub Actions gives one, unless told otherwise."""
        base: dict[str, object] = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "repo:example/app:ref:refs/heads/main",
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now) + 300,
            "jti": "5b1a",
            "repository": "example/app",
            "repository_owner": "example",
            "ref": "refs/heads/main",
            "workflow": "deploy",
            "run_id": "4711",
            "job_workflow_ref": "example/app/.github/workflows/deploy.yml@refs/heads/main",
        }
        if claims is not None:
            base = {"iss": self.url, "aud": AUDIENCE, "iat": int(now), "exp": int(now) + 300, **claims}
        header = {"alg": "ES256", "kid": self.key.kid, "typ": "JWT"}
        made = {name: value for name, value in (base | over).items() if value is not None}
        return jwt.encode(header, made, self.key, algorithms=["ES256"])


def pod_claims(account: str = "db", namespace: str = "prod") -> dict[str, Json]:
    """What a projected service-account token claims."""
    return {
        "sub": f"system:serviceaccount:{namespace}:{account}",
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {"name": account, "uid": "11111111-aaaa"},
            "pod": {"name": f"{account}-0", "uid": "22222222-bbbb"},
        },
    }


class Authority:
    """A certificate authority outside of the trust domain."""

    def __init__(self, now: float = NOW) -> None:
        self.key, self.now = fresh(), datetime.fromtimestamp(now, UTC)
        self.cert = self._sign("Example CA", self.key, ca=True)

    @property
    def pem(self) -> str:
        """Its root."""
        return self.cert.public_bytes(Encoding.PEM).decode()

    def leaf(self, key: Key, name: str = "host-1") -> str:
        """A client certificate as PEM."""
        return self._sign(name, key, ca=False).public_bytes(Encoding.PEM).decode()

    def _sign(self, name: str, key: Key, *, ca: bool) -> x509.Certificate:
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example CA")])
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(hours=1))
            .not_valid_after(self.now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
            .add_extension(
                x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False),  # noqa: FBT003
                critical=True,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if not ca:
            made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        return made.sign(self.key, SHA256())


async def peopled() -> World:
    """A broker with an admin and Ada."""
    there = await world()
    for path, role in (("/person/root", Role.ADMIN), ("/person/ada", Role.NONE)):
        await enrol(there, path, SubjectKind.PERSON, role=role)
    return there


async def enrol(there: World, path: str, kind: SubjectKind, **more: object) -> Identity:
    """Somebody is registered."""
    return await there.broker.driving.identities.enrol(NewIdentity(kind, path, by="root", **more))  # type: ignore[arg-type]


async def entry(there: World, path: str, *selectors: str, **more: object) -> RegistrationEntry:
    """An entry of Ada's workload."""
    kind = SubjectKind(str(more.pop("kind", SubjectKind.WORKLOAD)))
    made = RegistrationEntry(
        "",
        f"{DOMAIN}{path}",
        kind,
        tuple(sorted(selectors)),
        ADA,
        by="root",
        **more,  # type: ignore[arg-type]
    )
    return await there.broker.driving.enrolment.put(made)


async def joined(there: World, path: str, key: Key) -> Credentials:
    """Somebody with an entry of its own comes in with a join token."""
    made = await entry(there, path)
    return await come_in(there, EvidenceKind.JOIN_TOKEN, await ticket(there, made.id), key)


async def ticket(there: World, entry_id: str, life: float = 600.0) -> str:
    """A join token."""
    return (await there.broker.driving.enrolment.invite(entry_id, life, "root")).token  # type: ignore[arg-type]


async def trust(there: World, issuer: Issuer, name: str = "github", kind: EvidenceKind = EvidenceKind.OIDC) -> None:
    """An admin trusts an issuer's keys."""
    source = TrustedIssuer(name, kind, issuer.url, AUDIENCE, issuer.jwks)
    await there.broker.driving.sources.trust(source, "root")


async def come_in(
    there: World, kind: EvidenceKind, document: str, key: Key | None, proof: Evidence | None = None, **more: object
) -> Credentials:
    """Somebody shows evidence and asks for documents for a key."""
    evidence = proof or Evidence(kind, document)
    request = SvidRequest(evidence, request_of(key) if key else b"", **more)  # type: ignore[arg-type]
    return await there.broker.inner.issuance.attest(request)


async def prove(
    there: World,
    kind: EvidenceKind,
    chain: str,
    holder: Key,
    request: bytes,
    challenge: str = "",
    **more: object,
) -> Credentials:
    """Somebody shows a certificate and signs for a request with a key."""
    challenge = challenge or await there.broker.inner.issuance.challenge()
    signature = holder.sign(statement(challenge, request), ec.ECDSA(SHA256()))
    evidence = Evidence(kind, chain, challenge, base64url(signature))
    return await there.broker.inner.issuance.attest(SvidRequest(evidence, request, **more))  # type: ignore[arg-type]


def pem(chain: Sequence[bytes]) -> str:
    """Certificates as PEM."""
    return "".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode() for der in chain)


def base64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def refusals(there: World) -> list[str]:
    """Why attestations were refused, as the ledger says."""
    return [str(r["why"]) for r in await there.records("identity") if r["what"] == "attestation_refused"]
