"""How many documents a second one core signs, beside the bare signature in the same run, and with the durable ledger commit.

    python -m bench svid [--seconds 2] [--json]

`x509` checks the certificate request and signs the leaf; `jwt` makes the token. The bare rate is P-256 over 32 bytes with the same library. The
durable rates go through the whole issuance of a broker over the real store in a folder of this machine: attestation by a join token (one commit to
invite, one to spend it) and the issuance record, `--at-once` of them at a time so that commits are shared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import stored
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateSigningRequestBuilder, Name

from jittrust.adapters.localca.certificate_authority import LocalCertificateAuthority
from jittrust.adapters.memory.key_store import MemoryKeyStore
from jittrust.adapters.memory.pin import MemoryPin
from jittrust.adapters.memory.policy import MemoryPolicy
from jittrust.apps.wiring import offline_identity
from jittrust.broker.broker import Broker
from jittrust.broker.grants import BrokerSecrets
from jittrust.core.identity.attest import EvidenceKind
from jittrust.core.identity.authority import AuthorityKind
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.identity.svid import read_request
from jittrust.core.model import SubjectKind
from jittrust.core.rules import Rules
from jittrust.core.units import Instant, Seconds
from jittrust.ports.identities import NewIdentity
from jittrust.ports.issuance import Evidence, SvidRequest

NAME = "bench.test"
DOMAIN = TrustDomain(NAME)
WHO = SpiffeId.of(DOMAIN, "workload", "w")
NOW = Instant(1_790_000_000)
ROUNDS = 5


def request() -> bytes:
    """A certificate request as a workload makes one."""
    built = CertificateSigningRequestBuilder().subject_name(Name([]))
    return built.sign(generate_private_key(SECP256R1()), SHA256()).public_bytes(Encoding.DER)


def rates(works: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Calls a second of this process's CPU, the median of rounds in which all take turns, so that a busy machine is busy for each."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            made, began, end = 0, time.process_time(), time.perf_counter() + seconds / ROUNDS
            while time.perf_counter() < end:
                work()
                made += 1
            found[name].append(made / (time.process_time() - began))
    return {name: round(statistics.median(rounds), 1) for name, rounds in found.items()}


def signing(seconds: float) -> dict[str, float]:
    """The rates of the authority itself."""
    ca = LocalCertificateAuthority(MemoryKeyStore(), secrets.token_bytes)
    ends = Instant(NOW + 30 * 86_400)
    x509 = ca.make(AuthorityKind.X509, DOMAIN, NOW, ends)
    jwt = ca.make(AuthorityKind.JWT, DOMAIN, NOW, ends)
    key, message, der = generate_private_key(SECP256R1()), bytes(32), request()
    hour, soon = Instant(NOW + 3600), Instant(NOW + 300)
    return rates(
        {
            "bare": lambda: key.sign(message, ECDSA(SHA256())),
            "check": lambda: read_request(der),
            "x509": lambda: ca.sign_x509(x509, WHO, read_request(der), NOW, hour),
            "jwt": lambda: ca.sign_jwt(jwt, WHO, ("them",), NOW, soon, "t"),
        },
        seconds,
    )


async def durable(folder: Path, at_once: int, total: int) -> dict[str, object]:
    """The rate of whole issuances, each in the ledger before it is handed out."""
    numbers = iter(range(10**9))

    def name(prefix: str) -> str:
        return f"{prefix}-{next(numbers)}"

    rules = Rules()
    with stored.locked_store(folder) as store:
        broker = await Broker.open(
            store=store,
            ledger=store,
            policy=MemoryPolicy(),
            pin=MemoryPin(""),
            secrets=BrokerSecrets(bytes(32), "kid", lambda data: data),
            ledger_vkey=str(stored.SIGNER.key),
            rules=rules,
            clock=lambda: NOW,
            new_id=name,
            issuer="urn:bench",
            identity=offline_identity(rules, lambda: NOW, name, NAME),
        )
        enrolment, issuance = broker.driving.enrolment, broker.inner.issuance
        person = await broker.driving.identities.enrol(NewIdentity(SubjectKind.PERSON, "/person/p"))
        nobody = ("unix:uid:4294967294",)
        entry = await enrolment.put(RegistrationEntry("", str(WHO), SubjectKind.WORKLOAD, nobody, person.id))
        der = request()

        async def issue(audience: tuple[str, ...]) -> None:
            ticket = await enrolment.invite(entry.id, Seconds(600.0), "bench")
            evidence = Evidence(EvidenceKind.JOIN_TOKEN, ticket.token)
            await issuance.attest(SvidRequest(evidence, b"" if audience else der, audience))

        async def worker(audience: tuple[str, ...], calls: int) -> None:
            for _ in range(calls):
                await issue(audience)

        result: dict[str, object] = {"at_once": at_once, "documents": total}
        for kind, audience in (("x509", ()), ("jwt", ("them",))):
            await issue(audience)
            began, used = time.perf_counter(), time.process_time()
            await asyncio.gather(*(worker(audience, total // at_once) for _ in range(at_once)))
            result[f"{kind}_per_second"] = round(total / (time.perf_counter() - began), 1)
            result[f"{kind}_per_cpu_second"] = round(total / (time.process_time() - used), 1)
        await broker.close()
    return result


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each of the rates")
    parser.add_argument("--at-once", type=int, default=32, help="issuances under way at a time, durable")
    parser.add_argument("--total", type=int, default=640, help="issuances of each kind, durable")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rate = signing(asked.seconds)
    with tempfile.TemporaryDirectory() as folder:
        kept = asyncio.run(durable(Path(folder) / "state", asked.at_once, asked.total))
    result = {
        "id": "svid",
        "per_second_per_core": {
            "bare_p256_signature": rate["bare"],
            "request_check": rate["check"],
            "x509_with_request_check": rate["x509"],
            "jwt": rate["jwt"],
        },
        "signatures_per_document": {kind: round(rate["bare"] / rate[kind], 2) for kind in ("x509", "jwt")},
        "durable_with_join_token": kept,
    }
    print(json.dumps(result) if asked.json else json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
