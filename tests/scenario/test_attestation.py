"""A CI job, a pod, a host and a newcomer get identities from another machine over HTTP, and keep them fresh."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from tests.attesting import AUDIENCE, DOMAIN, Authority, Issuer, Key, entry, fresh, peopled, pod_claims, ticket, trust
from tests.model.world import World

from jittrust.adapters.https.token_keys import MAX_ANSWER, HttpsTokenKeys
from jittrust.api.bundle import bundle_routes
from jittrust.api.workload.attest_http import attest_routes
from jittrust.apps.cli.identity_attest import AttestOrder, attest
from jittrust.core.errors import JitError, UnavailableError
from jittrust.core.identity.attest import EvidenceKind, TrustedIssuer
from jittrust.core.model import SubjectKind
from jittrust.core.units import Instant

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


# ---- an issuer on loopback ----------------------------------------------------------------------------------------------------------------


def server_tls(authority: Authority, folder: Path) -> ssl.SSLContext:
    """TLS of a server called localhost, vouched for by an authority of the test."""
    key = fresh()
    leaf = x509.load_pem_x509_certificate(authority.leaf(key).encode())
    made = (
        x509.CertificateBuilder()
        .subject_name(leaf.subject)
        .issuer_name(leaf.issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(leaf.not_valid_before_utc)
        .not_valid_after(leaf.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, SHA256())
    )
    (folder / "server.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "server.key").write_bytes(private(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


def private(key: Key) -> bytes:
    """A private key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class LiveIssuer:
    """An OpenID issuer that listens, and counts who asks."""

    issuer: Issuer
    keys: HttpsTokenKeys
    source: TrustedIssuer
    now: list[float]
    asked: list[str] = field(default_factory=list)
    answers: dict[str, Handler] = field(default_factory=dict)


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[LiveIssuer]:
    """A real HTTPS issuer on loopback, and the adapter that fetches its keys."""
    authority = Authority(time.time())
    runner_of: list[LiveIssuer] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        live = runner_of[0]
        live.asked.append(request.path)
        if request.path in live.answers:
            return await live.answers[request.path](request)
        if request.path == "/.well-known/openid-configuration":
            return web.json_response({"issuer": live.issuer.url, "jwks_uri": f"{live.issuer.url}/keys"})
        if request.path == "/keys":
            return web.Response(body=live.issuer.jwks.encode(), content_type="application/jwk-set+json")
        return web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "localhost", 0, ssl_context=server_tls(authority, folder))
    await site.start()
    server = site._server
    assert isinstance(server, asyncio.Server)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    trusting = ssl.create_default_context(cadata=authority.pem)
    now = [time.time()]
    source = TrustedIssuer("ci", EvidenceKind.OIDC, url, AUDIENCE)
    live = LiveIssuer(Issuer(url), HttpsTokenKeys(lambda: Instant(now[0]), trusting), source, now)
    runner_of.append(live)
    try:
        yield live
    finally:
        await runner.cleanup()


async def unreachable(doing: Awaitable[object]) -> None:
    """It cannot be had."""
    with pytest.raises(UnavailableError) as caught:
        await doing
    assert caught.value.code == "issuer_unreachable"


async def test_keys_are_found_by_discovery_and_kept_for_five_minutes(tmp_path: Path) -> None:
    async with listening(tmp_path) as live:
        assert (await live.keys.keys(live.source, "k1")) == json.loads(live.issuer.jwks)
        await live.keys.keys(live.source, "k1")
        assert live.asked == ["/.well-known/openid-configuration", "/keys"]
        live.now[0] += 301
        await live.keys.keys(live.source, "k1")
        assert len(live.asked) == 4


async def test_an_unknown_key_id_has_keys_fetched_again_once_in_a_minute(tmp_path: Path) -> None:
    async with listening(tmp_path) as live:
        await live.keys.keys(live.source, "k1")
        live.now[0] += 61
        await asyncio.gather(*(live.keys.keys(live.source, f"u{n}") for n in range(100)))
        assert len(live.asked) == 4
        live.now[0] += 59
        await live.keys.keys(live.source, "u")
        assert len(live.asked) == 4
        live.now[0] += 2
        await live.keys.keys(live.source, "u")
        assert len(live.asked) == 6


async def test_t18_a_key_that_an_issuer_adds_is_found_when_a_token_names_it(tmp_path: Path) -> None:
    async with listening(tmp_path) as live:
        await live.keys.keys(live.source, "k1")
        live.issuer = Issuer(live.issuer.url, "k2")
        live.now[0] += 61
        assert (await live.keys.keys(live.source, "k2")) == json.loads(live.issuer.jwks)


def saying(body: bytes = b"", status: int = 200, **headers: str) -> Handler:
    """An answer that is always the same."""

    async def handler(_: web.Request) -> web.StreamResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=names)

    return handler


DISCOVERY = "/.well-known/openid-configuration"
HOSTILE: dict[str, tuple[str, Callable[[str], Handler]]] = {
    "another issuer": (DISCOVERY, lambda u: saying(json.dumps({"issuer": u + "/", "jwks_uri": u + "/keys"}).encode())),
    "keys over http": (DISCOVERY, lambda u: saying(json.dumps({"issuer": u, "jwks_uri": "http" + u[5:]}).encode())),
    "keys in a file": (
        DISCOVERY,
        lambda u: saying(json.dumps({"issuer": u, "jwks_uri": "file:///etc/passwd"}).encode()),
    ),
    "keys of the cloud": (
        DISCOVERY,
        lambda u: saying(json.dumps({"issuer": u, "jwks_uri": "https://169.254.169.254/latest"}).encode()),
    ),
    "keys of the cloud, hidden": (
        DISCOVERY,
        lambda u: saying(json.dumps({"issuer": u, "jwks_uri": "https://[::ffff:a9fe:a9fe]/"}).encode()),
    ),
    "keys of the cloud, as a number": (
        DISCOVERY,
        lambda u: saying(json.dumps({"issuer": u, "jwks_uri": "https://2852039166/"}).encode()),
    ),
    "keys with a user": (
        DISCOVERY,
        lambda u: saying(json.dumps({"issuer": u, "jwks_uri": u.replace("//", "//a@")}).encode()),
    ),
    "keys nowhere": (DISCOVERY, lambda u: saying(json.dumps({"issuer": u}).encode())),
    "a redirect": ("/keys", lambda u: saying(status=302, Location=u + "/other")),
    "too many bytes": ("/keys", lambda _: saying(b" " * (MAX_ANSWER + 1))),
    "no JSON": ("/keys", lambda _: saying(b"<html>")),
    "no keys": ("/keys", lambda _: saying(b'{"keys":{}}')),
    "keys twice": ("/keys", lambda _: saying(b'{"keys":[],"keys":[]}')),
    "an error": ("/keys", lambda _: saying(b'{"keys":[]}', 500)),
    "another coding": ("/keys", lambda _: saying(b"\x1f\x8b", Content_Encoding="gzip")),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_t18_an_issuer_that_misbehaves_gives_no_keys(what: str, tmp_path: Path) -> None:
    async with listening(tmp_path) as live:
        path, making = HOSTILE[what]
        live.answers[path] = making(live.issuer.url)
        await unreachable(live.keys.keys(live.source, "k1"))
        before = len(live.asked)
        await unreachable(live.keys.keys(live.source, "k1"))
        assert len(live.asked) == before
        live.answers.clear()
        live.now[0] += 6
        await live.keys.keys(live.source, "k1")


async def test_t18_an_issuer_whose_certificate_nobody_vouches_for_gives_no_keys(tmp_path: Path) -> None:
    async with listening(tmp_path) as live:
        await unreachable(HttpsTokenKeys(lambda: Instant(live.now[0])).keys(live.source, "k1"))
        assert live.asked == []


async def test_keys_given_as_a_document_need_no_connection() -> None:
    issuer = Issuer()
    source = TrustedIssuer("ci", EvidenceKind.OIDC, issuer.url, AUDIENCE, issuer.jwks)
    assert await HttpsTokenKeys(lambda: Instant(0)).keys(source, "k1") == json.loads(issuer.jwks)


# ---- a broker on loopback -----------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(there: World) -> AsyncIterator[str]:
    """The broker's HTTP face on loopback."""
    there.clock.now = time.time()
    app = Starlette(routes=[*attest_routes(there.broker.inner.issuance), *bundle_routes(there.broker.driving.bundles)])
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        task = asyncio.create_task(server.serve([bound]))
        while not server.started:  # noqa: ASYNC110 - uvicorn sets a flag and wakes nobody
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def command(order: AttestOrder) -> int:
    """The command, as a process of its own would run it."""
    return await asyncio.to_thread(attest, order, as_json=True)


def held(folder: Path) -> x509.Certificate:
    """The SVID in a folder."""
    return x509.load_pem_x509_certificates((folder / "svid.pem").read_bytes())[0]


def named(certificate: x509.Certificate) -> str:
    """Its SPIFFE ID."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0]


async def test_a_newcomer_joins_with_a_token_and_renews_with_what_it_holds(tmp_path: Path) -> None:
    there = await peopled()
    async with serving(there) as url:
        made = await entry(there, "/workload/db")
        token = await ticket(there, made.id)
        assert await command(AttestOrder(url, tmp_path, join_token=token)) == 0
        first = held(tmp_path)
        assert named(first) == f"{DOMAIN}/workload/db"
        assert stat.S_IMODE((tmp_path / "svid_key.pem").stat().st_mode) == 0o600
        assert (tmp_path / "svid_bundle.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
        assert await command(AttestOrder(url, tmp_path)) == 0
        second = held(tmp_path)
        assert named(second) == named(first)
        assert second.public_key() != first.public_key()
        with pytest.raises(JitError) as caught:
            await command(AttestOrder(url, tmp_path, join_token=token))
        assert caught.value.code == "attestation_failed"
        assert held(tmp_path) == second


async def test_a_ci_job_comes_in_with_its_token_and_may_repeat_itself(tmp_path: Path) -> None:
    there, issuer = await peopled(), Issuer()
    async with serving(there) as url:
        await trust(there, issuer)
        await entry(
            there,
            "/workflow/deploy",
            "oidc:github:repository:example/app",
            "oidc:github:ref:refs/heads/main",
            kind=SubjectKind.WORKFLOW,
        )
        token = tmp_path / "ci.jwt"
        token.write_text(issuer.token(now=time.time()) + "\n")
        order = AttestOrder(url, tmp_path / "svid", token_file=token)
        assert await command(order) == 0
        assert await command(order) == 0
        assert named(held(order.write)) == f"{DOMAIN}/workflow/deploy"
        # Whoever read the token in a log has no use for it.
        with pytest.raises(JitError) as caught:
            await command(AttestOrder(url, tmp_path / "thief", token_file=token))
        assert caught.value.code == "attestation_failed"
        assert not (tmp_path / "thief").exists()


async def test_a_pod_comes_in_with_its_projected_token(tmp_path: Path) -> None:
    there, cluster = await peopled(), Issuer("https://kubernetes.default.svc")
    async with serving(there) as url:
        await trust(there, cluster, "prod", EvidenceKind.KUBERNETES)
        await entry(there, "/workload/db", "k8s:prod:ns:prod", "k8s:prod:sa:db")
        token = tmp_path / "token"
        token.write_text(cluster.token(pod_claims(), time.time()))
        assert await command(AttestOrder(url, tmp_path / "svid", token_file=token, kind="kubernetes")) == 0
        assert named(held(tmp_path / "svid")) == f"{DOMAIN}/workload/db"


async def test_a_host_comes_in_with_the_certificate_it_has(tmp_path: Path) -> None:
    there, authority, key = await peopled(), Authority(time.time()), fresh()
    async with serving(there) as url:
        await there.broker.driving.sources.trust(
            TrustedIssuer("corp", EvidenceKind.X509, document=authority.pem), "root"
        )
        await entry(there, "/workload/host", "x509pop:corp:subject:cn:host-1")
        (tmp_path / "host.pem").write_text(authority.leaf(key))
        (tmp_path / "host.key").write_bytes(private(key))
        order = AttestOrder(
            url, tmp_path / "svid", certificate=tmp_path / "host.pem", key=tmp_path / "host.key", path="/workload/host"
        )
        assert await command(order) == 0
        assert named(held(order.write)) == f"{DOMAIN}/workload/host"
        (tmp_path / "host.key").write_bytes(private(fresh()))
        with pytest.raises(JitError) as caught:
            await command(order)
        assert caught.value.code == "attestation_failed"


async def test_what_is_wrong_with_a_command_is_said_before_anybody_is_asked(tmp_path: Path) -> None:
    nobody = "https://127.0.0.1:9"
    wrong = {
        "url_bad": [AttestOrder("http://trust.example", tmp_path, join_token="x"), AttestOrder("ftp://x", tmp_path)],
        "evidence_bad": [
            AttestOrder(nobody, tmp_path),
            AttestOrder(nobody, tmp_path, join_token="x", token_file=tmp_path / "t"),
            AttestOrder(nobody, tmp_path, token_file=tmp_path / "missing"),
            AttestOrder(nobody, tmp_path, certificate=tmp_path / "c"),
        ],
        "broker_unreachable": [AttestOrder(nobody, tmp_path, join_token="x")],
    }
    for code, orders in wrong.items():
        for order in orders:
            with pytest.raises(JitError) as caught:
                await command(order)
            assert caught.value.code == code


async def test_the_face_answers_rubbish_with_problems_and_never_breaks() -> None:
    there = await peopled()
    async with serving(there) as url, ClientSession() as session:
        json_type = {"Content-Type": "application/json"}
        bodies = [b"", b"{}", b"\xff", b"[" * 100, b"x" * 70_000, b'{"evidence":{"kind":"oidc","document":"x"}}']
        for body in bodies:
            async with session.post(f"{url}/identity/v1/svid", data=body, headers=json_type) as answer:
                assert answer.status == 400
                assert answer.content_type == "application/problem+json"
                assert (await answer.json())["code"]
        async with session.post(
            f"{url}/identity/v1/svid", data=b"{}", headers={"Content-Type": "text/plain"}
        ) as answer:
            assert answer.status == 400
        async with session.post(
            f"{url}/identity/v1/svid",
            data=b'{"evidence":{"kind":"oidc","document":"x"},"audience":["a"]}',
            headers=json_type,
        ) as answer:
            assert answer.status == 403
            assert (await answer.json())["code"] == "attestation_failed"
        async with session.get(f"{url}/identity/v1/challenge") as answer:
            assert len((await answer.json())["challenge"]) == 43
            assert answer.headers["Cache-Control"] == "no-store"
