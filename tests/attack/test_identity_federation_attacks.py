"""Attacks on federation: whoever stands between two trust domains, and a peer that wants more than it was given. T19."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.attesting import peopled
from tests.federating import RootAuthority, served, tls_endpoint

from jittrust.adapters.https import bundle_source
from jittrust.adapters.https.bundle_source import MAX_BUNDLE, HttpsBundleSource
from jittrust.adapters.system.clock import SteadyClock
from jittrust.apps.wiring import offline_identity
from jittrust.broker.identity.parts import IdentityParts
from jittrust.core.errors import BadInputError, JitError
from jittrust.core.identity.bundle import read_bundle
from jittrust.core.identity.federate import EndpointProfile, FederatedDomain, accepts
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.ports.federation import Federation

TWO = "two.test"
WEB, SPIFFE = EndpointProfile.HTTPS_WEB, EndpointProfile.HTTPS_SPIFFE
ENDPOINT = "spiffe://two.test/endpoint"
THEIRS, OTHER, THIRD, PUBLIC = (RootAuthority(TWO), RootAuthority(TWO), RootAuthority("three.test"), RootAuthority())
BUNDLE = THEIRS.bundle()
UNREACHABLE, UNTRUSTED = "bundle_unreachable", "bundle_endpoint_untrusted"


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HttpsBundleSource:
    """The real source, which takes the web's certificates from one authority of ours."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(PUBLIC.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    return HttpsBundleSource(SteadyClock())


@pytest.fixture
async def book(monkeypatch: pytest.MonkeyPatch, source: HttpsBundleSource) -> Federation:
    """The federation of a broker that fetches for real."""

    def parts(*given: object) -> IdentityParts:
        return replace(offline_identity(*given), bundle_source=source)  # type: ignore[arg-type]

    monkeypatch.setattr("tests.model.world.offline_identity", parts)
    return (await peopled()).broker.driving.federation


def web(port: int, **more: object) -> FederatedDomain:
    pinned = hashlib.sha256(BUNDLE.encode()).hexdigest()
    base = FederatedDomain(TWO, f"https://127.0.0.1:{port}/b", WEB, pinned=pinned)
    return replace(base, **more)  # type: ignore[arg-type]


def by_id(port: int) -> FederatedDomain:
    return FederatedDomain(TWO, f"https://127.0.0.1:{port}/b", SPIFFE, endpoint_id=ENDPOINT, bundle=BUNDLE)


def good() -> tuple[bytes, bytes]:
    return PUBLIC.leaf("127.0.0.1")


# ---- older bundles, other keys, another pin -------------------------------------------------------------------------------------------------

OLDER = {
    "an older one": THEIRS.bundle(4),
    "an older one with other keys": OTHER.bundle(4),
    "other keys under the same number": OTHER.bundle(5),
    "one without a number": OTHER.bundle(0),
}


@pytest.mark.parametrize("attack", OLDER)
async def test_t19_a_bundle_is_not_rolled_back(book: Federation, attack: str) -> None:
    async with tls_endpoint(good(), served(BUNDLE)) as port:
        known = await book.federate(web(port), "ada")
    async with tls_endpoint(good(), served(OLDER[attack])) as port:
        moved = await book.federate(replace(known, bundle="", url=web(port).url), "ada")
        with pytest.raises(JitError) as refused:
            await book.refresh(TWO)
    assert refused.value.code == "bundle_rollback"
    [now] = await book.list()
    assert (now.bundle, now.sequence) == (moved.bundle, 5)


PINS = {"other keys": OTHER.bundle(), "one byte more": BUNDLE + " ", "another domain's": THIRD.bundle()}


@pytest.mark.parametrize("attack", PINS)
async def test_t19_nothing_is_trusted_because_it_came_first(book: Federation, attack: str) -> None:
    async with tls_endpoint(good(), served(PINS[attack])) as port:
        with pytest.raises(JitError) as refused:
            await book.federate(web(port), "ada")
    assert refused.value.code == "bundle_pin_mismatch"
    assert not await book.list()


# ---- addresses ------------------------------------------------------------------------------------------------------------------------------

URLS = (
    "http://two.test/b",
    "https://user@two.test/b",
    "https://user:word@two.test/b",
    "https://two.test/b#x",
    "https://two.test@evil.test/b",
    "https://two.test\\@evil.test/b",
    "https://two.test/b\r\nHost: evil.test",
    "https:///b",
    "https://two.test/b\n",
    "HTTPS://two.test/b",
    "file:///etc/passwd",
    "https://two.test/" + "a" * 2048,
)


@pytest.mark.parametrize("url", URLS)
async def test_t19_an_address_that_is_no_plain_https_url_is_refused(book: Federation, url: str) -> None:
    with pytest.raises(BadInputError) as refused:
        await book.federate(web(1, url=url), "ada")
    assert refused.value.code == "federation_bad"


WRITTEN = (
    "169.254.169.254",
    "169.254.0.1",
    "224.0.0.1",
    "0.0.0.0",  # noqa: S104 - an address that is attacked
    "255.255.255.255",
    "[fe80::1]",
    "[ff02::1]",
    "[::]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[fd00:ec2::254]",
)


@pytest.mark.parametrize("host", WRITTEN)
async def test_t19_addresses_of_metadata_and_the_link_are_never_asked(source: HttpsBundleSource, host: str) -> None:
    with pytest.raises(JitError) as refused:
        await source.fetch(web(1, url=f"https://{host}/b"))
    assert refused.value.code == UNTRUSTED


RESOLVED = ("169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::ffff:169.254.169.254")  # noqa: S104


@pytest.mark.parametrize("address", RESOLVED)
async def test_t19_names_that_lead_to_such_addresses_are_not_asked(
    source: HttpsBundleSource, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    where = (address, 443, 0, 0) if ":" in address else (address, 443)
    connected: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: [(family, socket.SOCK_STREAM, 6, "", where)])
    monkeypatch.setattr(socket.socket, "connect", lambda _self, place: connected.append(place))
    with pytest.raises(JitError) as refused:
        await source.fetch(web(1, url="https://two.test/b"))
    assert refused.value.code == UNREACHABLE
    assert not connected


@pytest.mark.parametrize("host", ["2852039166", "0xA9FEA9FE", "169.16689662", "0251.0376.0251.0376"])
async def test_t19_other_spellings_of_the_metadata_address_are_not_asked(source: HttpsBundleSource, host: str) -> None:
    with pytest.raises(JitError) as refused:
        await source.fetch(web(1, url=f"https://{host}/b"))
    assert refused.value.code in (UNREACHABLE, UNTRUSTED)


# ---- what is answered -----------------------------------------------------------------------------------------------------------------------

ANSWERS = {
    "a redirect": served("", "Location: /elsewhere", status="302 Found"),
    "a lasting redirect": served("", "Location: http://169.254.169.254/", status="308 Permanent Redirect"),
    "a redirect with a bundle": served(BUNDLE, "Location: https://evil.test/", status="301 Moved Permanently"),
    "not found": served(BUNDLE, status="404 Not Found"),
    "an error": served(BUNDLE, status="500 Oops"),
    "partial": served(BUNDLE, status="206 Partial Content"),
    "no content": b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "too large": served(b" " * (MAX_BUNDLE + 1)),
    "packed": served(gzip.compress(BUNDLE.encode()), "Content-Encoding: gzip"),
    "a bomb": served(gzip.compress(b" " * (64 << 20)), "Content-Encoding: gzip"),
    "cut off": served(BUNDLE).replace(b"Content-Length: ", b"Content-Length: 9"),
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
    "silence": b"",
}


@pytest.mark.parametrize("attack", ANSWERS)
async def test_t19_an_answer_that_is_no_plain_bundle_is_not_read(source: HttpsBundleSource, attack: str) -> None:
    asked: list[str] = []
    async with tls_endpoint(good(), ANSWERS[attack], asked=asked) as port:
        with pytest.raises(JitError) as refused:
            await source.fetch(web(port))
    assert refused.value.code == UNREACHABLE
    # A connection that closes without a word is tried once more; nothing is ever followed.
    assert asked == ["GET /b HTTP/1.1"] * (2 if attack == "silence" else 1)


async def test_t19_a_slow_endpoint_is_left(source: HttpsBundleSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_source, "TIMEOUT_S", 0.3)
    async with tls_endpoint(good(), served(BUNDLE), seconds=1.0) as port:
        with pytest.raises(JitError) as refused:
            await source.fetch(web(port))
    assert refused.value.code == UNREACHABLE


URL_LIKE = ("url", "bundle_endpoint_url", "spiffe_bundle_endpoint", "x5u", "jku", "federates_with", "accepts")


@pytest.mark.parametrize("member", URL_LIKE)
async def test_t19_a_bundle_says_nothing_of_where_to_ask_or_whom_to_take(book: Federation, member: str) -> None:
    text = json.dumps({**json.loads(BUNDLE), member: "https://evil.test/b"})
    async with tls_endpoint(good(), served(text)) as port:
        wanted = web(port, pinned=hashlib.sha256(text.encode()).hexdigest())
        made = await book.federate(wanted, "ada")
    assert (made.url, made.accepts, made.profile, made.endpoint_id) == (wanted.url, (), WEB, "")
    assert read_bundle(text, TWO) == read_bundle(BUNDLE, TWO)


# ---- who the endpoint is --------------------------------------------------------------------------------------------------------------------

PEERS = {
    "another id of the domain": THEIRS.leaf("spiffe://two.test/other"),
    "a longer id": THEIRS.leaf(ENDPOINT + "/x"),
    "two ids": THEIRS.leaf(ENDPOINT, "spiffe://two.test/other"),
    "no id": THEIRS.leaf("127.0.0.1"),
    "a web certificate": PUBLIC.leaf("127.0.0.1"),
    "a web certificate with the id": PUBLIC.leaf("127.0.0.1", ENDPOINT),
    "a third domain": THIRD.leaf("spiffe://three.test/endpoint"),
    "a third domain with the id": THIRD.leaf(ENDPOINT),
    "a third domain's id by this root": THEIRS.leaf("spiffe://three.test/endpoint"),
    "another root of the same name": OTHER.leaf(ENDPOINT),
    "over": THEIRS.leaf(ENDPOINT, life=timedelta(minutes=-1)),
    "not begun": THEIRS.leaf(ENDPOINT, life=timedelta(hours=3)),
}


@pytest.mark.parametrize("attack", PEERS)
async def test_t19_an_endpoint_proves_exactly_its_spiffe_id(source: HttpsBundleSource, attack: str) -> None:
    async with tls_endpoint(PEERS[attack], served(THEIRS.bundle(6))) as port:
        with pytest.raises(JitError) as refused:
            await source.fetch(by_id(port))
    assert refused.value.code == UNTRUSTED
    assert "gone" not in refused.value.message, "it was looked at"


async def test_t19_the_endpoint_that_proves_it_is_read(source: HttpsBundleSource) -> None:
    async with tls_endpoint(THEIRS.leaf(ENDPOINT), served(THEIRS.bundle(6))) as port:
        assert await source.fetch(by_id(port)) == THEIRS.bundle(6).encode()


SITES = {
    "another authority": OTHER.leaf("127.0.0.1"),
    "self-signed": RootAuthority().leaf("127.0.0.1"),
    "another host": PUBLIC.leaf("two.test"),
    "over": PUBLIC.leaf("127.0.0.1", life=timedelta(minutes=-1)),
    "an SVID": THEIRS.leaf(ENDPOINT),
}


@pytest.mark.parametrize("attack", SITES)
async def test_t19_a_web_endpoint_is_that_host_by_a_known_authority(source: HttpsBundleSource, attack: str) -> None:
    async with tls_endpoint(SITES[attack], served(BUNDLE)) as port:
        with pytest.raises(JitError) as refused:
            await source.fetch(web(port))
    assert refused.value.code == UNTRUSTED


# ---- foreign names --------------------------------------------------------------------------------------------------------------------------

STRANGERS = (
    "spiffe://two.test/ci2",
    "spiffe://two.test/ci",
    "spiffe://two.test/ci2/x",
    "spiffe://two.test/CI/x",
    "spiffe://two.test/exact/x",
    "spiffe://two.test/exac",
    "spiffe://two.test/x/ci/y",
    "spiffe://two.test.evil/ci/x",
    "spiffe://evil.two.test/ci/x",
    "spiffe://jittrust.test/ci/x",
    "spiffe://two.test",
)
UNREADABLE = (
    "spiffe://two.test/ci/../x",
    "spiffe://two.test/ci/./x",
    "spiffe://two.test/ci//x",
    "spiffe://two.test/ci/",
    "spiffe://two.test/ci/%2e%2e/x",
    "spiffe://TWO.test/ci/x",
    "SPIFFE://two.test/ci/x",
    "spiffe://two.test:443/ci/x",
    "spiffe://a@two.test/ci/x",
    "spiffe://two.test/ci/x?y",
    "spiffe://two.test/ci/x#y",
    "spiffe://two.test/ci/*",
)
TAKEN = FederatedDomain(TWO, "", WEB, accepts=("spiffe://two.test/ci/*", "spiffe://two.test/exact"))


@pytest.mark.parametrize("name", STRANGERS)
def test_t19_who_is_not_named_is_not_taken(name: str) -> None:
    assert not accepts(TAKEN, SpiffeId.parse(name))
    assert not accepts(replace(TAKEN, accepts=()), SpiffeId.parse(name))


@pytest.mark.parametrize("name", UNREADABLE)
def test_t19_tricks_with_names_are_no_names(name: str) -> None:
    with pytest.raises(BadInputError):
        SpiffeId.parse(name)


PATTERNS = (
    "*",
    "spiffe://*",
    "spiffe://two.test*",
    "spiffe://two.test/ci*",
    "spiffe://two.test/*/x",
    "spiffe://two.test/ci/*/*",
    "spiffe://three.test/ci/*",
    "spiffe://two.test.evil/*",
    "spiffe://jittrust.test/*",
)


@pytest.mark.parametrize("pattern", PATTERNS)
async def test_t19_a_pattern_reaches_no_further_than_it_says(book: Federation, pattern: str) -> None:
    with pytest.raises(BadInputError):
        await book.federate(FederatedDomain(TWO, "", WEB, bundle=BUNDLE, accepts=(pattern,)), "ada")


async def test_t19_our_own_domain_has_no_foreign_bundle(book: Federation) -> None:
    ours = RootAuthority("jittrust.test").bundle()
    with pytest.raises(BadInputError):
        await book.federate(FederatedDomain("jittrust.test", "", WEB, bundle=ours), "ada")


def test_t19_there_are_at_least_thirty_attacks() -> None:
    tables = (OLDER, PINS, URLS, WRITTEN, RESOLVED, ANSWERS, URL_LIKE, PEERS, SITES, STRANGERS, UNREADABLE, PATTERNS)
    assert sum(map(len, tables)) == 104
