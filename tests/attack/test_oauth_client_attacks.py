"""Hostile clients: metadata, documents at URLs, assertions, registration. None of it is taken, and nothing private is ever asked for it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey
from tests.federating import RootAuthority, served, tls_endpoint
from tests.model.world import Clock
from tests.oauthing import CREDENTIALS, ISSUER, TOKEN, KeyClient, OAuthWorld, error_of, oauth_world

from jittrust.adapters.https.client_documents import WAITING_MOST, HttpsClientDocuments, fresh_for, is_public
from jittrust.broker.oauth.clients import REGISTERED_A_MINUTE
from jittrust.broker.oauth.replay import ReplayMemory
from jittrust.core.errors import JitError, RefusedError, UnavailableError
from jittrust.core.grant import jws
from jittrust.core.grant.proof import Es256Signer
from jittrust.core.model import Json
from jittrust.core.oauth.client import ClientSource
from jittrust.core.oauth.client_document import MAX_DOCUMENT, check_document_url, local_redirects, read_document
from jittrust.core.oauth.client_metadata import read_metadata
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.spiffe_client import JWT_ASSERTION, JWT_SPIFFE
from jittrust.core.units import Instant
from jittrust.ports.authorization_server import ClientProof, TokenRequest

URL = "https://app.example/oauth/client.json"
PUBLIC = ECKey.generate_key("P-256").as_dict(private=False)
GOOD: Mapping[str, Json] = {
    "client_name": "A client",
    "redirect_uris": ["https://app.example/callback", "http://127.0.0.1/callback", "com.example.app:/callback"],
    "grant_types": ["authorization_code", "refresh_token"],
    "client_uri": "https://app.example/about",
    "logo_uri": "javascript:alert(1)",
    "a member of tomorrow": {"x": 1},
}
KEYED: Mapping[str, Json] = {**GOOD, "token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [PUBLIC]}}

HOSTILE_REDIRECTS = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "about:blank",
    "blob:https://app.example/x",
    "http://app.example/callback",
    "http://127.0.0.1.evil.example/callback",
    "http://localhost.evil.example/callback",
    "http://localhost@evil.example/",
    "http://127.0.0.2/callback",
    "http://[::2]/callback",
    "http://0x7f000001/callback",
    "https://app.example@evil.example/",
    "https://user:pw@app.example/",
    "https://app.example\\@evil.example/",
    "https://app.example/callback#fragment",
    "https://*.app.example/callback",
    "https://app.example/*",
    "https://app.example/a/../b",
    "https://app.example/./b",
    "https://app.example/%2e%2e/b",
    "https://app.example/%2f/b",
    "https://app.example/%5c/b",
    "https://app.example/%00",
    "https://app.example/%0d%0aset-cookie:x",
    "https://app.example/%zz",
    "https://app.example/\r\nx",
    "https://app.example/ callback",
    "https://\u0430pp.example/callback",
    "https://app.example:0/callback",
    "https://app.example:99999/callback",
    "https://app.example:/callback",
    "https:///callback",
    "https://",
    "https:app.example/callback",
    "//app.example/callback",
    "/callback",
    "callback",
    "",
    "https://app..example/x",
    "urn:ietf:wg:oauth:2.0:oob",
    "myapp:/callback",
    "com.example.app:callback",
    "https://app.example/" + "a" * 2100,
]
HOSTILE_METADATA: list[Mapping[str, Json]] = [
    {"redirect_uris": []},
    {"redirect_uris": "https://app.example/callback"},
    {"redirect_uris": None},
    {"redirect_uris": [1]},
    {"redirect_uris": [["https://app.example/callback"]]},
    {"redirect_uris": ["https://app.example/callback"] * 2},
    {"redirect_uris": [f"https://app.example/{n}" for n in range(17)]},
    {"client_secret": "s3cret"},
    {"client_secret_expires_at": 0},
    {"token_endpoint_auth_method": "client_secret_basic"},
    {"token_endpoint_auth_method": "client_secret_post"},
    {"token_endpoint_auth_method": "client_secret_jwt"},
    {"token_endpoint_auth_method": "tls_client_auth"},
    {"token_endpoint_auth_method": ["none"]},
    {"token_endpoint_auth_method": None},
    {"token_endpoint_auth_method": "private_key_jwt"},
    {"token_endpoint_auth_method": "spiffe_jwt"},
    {"jwks_uri": "https://169.254.169.254/latest/meta-data"},
    {"jwks_uri": ""},
    {"jwks": {"keys": [PUBLIC]}},
    {**KEYED, "jwks": {"keys": []}},
    {**KEYED, "jwks": {"keys": [PUBLIC, PUBLIC]}},
    {**KEYED, "jwks": {"keys": [PUBLIC] * 17}},
    {**KEYED, "jwks": [PUBLIC]},
    {**KEYED, "jwks": "https://app.example/keys"},
    {**KEYED, "jwks": {"keys": [{**PUBLIC, "d": "AAAA"}]}},
    {**KEYED, "jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}},
    {**KEYED, "jwks": {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}},
    {**KEYED, "jwks": {"keys": [{**PUBLIC, "x": "AAAA"}]}},
    {**KEYED, "jwks": {"keys": [{**PUBLIC, "kid": 5}]}},
    {**KEYED, "jwks": {"keys": ["x"]}},
    {"grant_types": ["password"]},
    {"grant_types": ["implicit"]},
    {"grant_types": []},
    {"grant_types": "authorization_code"},
    {"grant_types": ["authorization_code", "authorization_code"]},
    {"grant_types": ["authorization_code", 1]},
    {"grant_types": ["client_credentials"]},
    {"grant_types": ["urn:openid:params:grant-type:ciba"]},
    {"response_types": ["token"]},
    {"response_types": ["code", "id_token"]},
    {"response_types": "code"},
    {"client_name": 5},
    {"client_name": {"en": "x"}},
    {"client_uri": "http://app.example/"},
    {"client_uri": "javascript:alert(1)"},
    {"client_uri": "https://user@app.example/"},
    {"client_uri": 5},
]


def test_metadata_that_is_right_is_taken_and_what_is_not_known_is_left_out() -> None:
    public, keyed = (read_metadata(one, "c", ClientSource.REGISTERED) for one in (GOOD, KEYED))

    assert len(public.redirect_uris) == 3
    assert (public.name, public.home, public.keys) == ("A client", "https://app.example/about", ())
    assert keyed.keys == (PUBLIC,)
    assert local_redirects(public) == ("http://127.0.0.1/callback",)


@pytest.mark.parametrize("uri", HOSTILE_REDIRECTS)
def test_a_hostile_redirect_uri_is_refused(uri: str) -> None:
    with pytest.raises(OAuthError) as refused:
        read_metadata({**GOOD, "redirect_uris": [uri]}, "c", ClientSource.REGISTERED)
    assert refused.value.error == "invalid_redirect_uri"


@pytest.mark.parametrize("row", range(len(HOSTILE_METADATA)))
def test_hostile_metadata_is_refused_whole(row: int) -> None:
    with pytest.raises(OAuthError) as refused:
        read_metadata({**GOOD, **HOSTILE_METADATA[row]}, "c", ClientSource.REGISTERED)
    assert refused.value.error in {"invalid_redirect_uri", "invalid_client_metadata"}


@pytest.mark.parametrize("name", ["a\u202eb", "a\u200bb", "a\nb", "\x1b[31mred", "a\u2066b", "\U000e0041x"])
def test_t51_a_clients_name_is_shown_without_what_cannot_be_seen(name: str) -> None:
    shown = read_metadata({**GOOD, "client_name": name * 30}, "c", ClientSource.REGISTERED).name

    assert shown.isprintable()
    assert len(shown) <= 80


# ---- documents -----------------------------------------------------------------------------------------------------------------------------------


def document(**over: Json) -> bytes:
    return json.dumps({"client_id": URL, **GOOD, **over}).encode()


@pytest.mark.parametrize(
    "data",
    [
        document(client_id=URL + "/"),
        document(client_id=URL.upper()),
        document(client_id=URL + "?"),
        document(client_id=None),
        document(client_id=[URL]),
        document(client_uri="https://bank.example/"),
        document(client_uri="https://app.example.evil.example/"),
        document(client_secret="x"),
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"client_id": "x"}',
        b'{"client_id": "https://app.example/oauth/client.json", "client_id": "https://app.example/oauth/client.json"}',
        b"\xff\xfe{}",
        b"{" + b'"a":1,' * 3000 + b'"b":1}',
        b"[" * 5000,
        document(padding="x" * (MAX_DOCUMENT + 1)),
        document(token_endpoint_auth_method="client_secret_post"),
        document(jwks_uri="https://app.example/keys"),
    ],
)
def test_a_document_that_is_not_exactly_the_clients_is_refused(data: bytes) -> None:
    with pytest.raises(OAuthError) as refused:
        read_document(URL, data, Instant(1))
    assert refused.value.error in {"invalid_client_metadata", "invalid_redirect_uri"}


def ssrf(port: int) -> list[str]:
    """Eighty ways to make a server ask itself, its network or its cloud, all with the listener's port where they can."""
    hosts = [
        "127.0.0.1", "localhost", "localhost.", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1",  # noqa: S104 - asked, never listened on
        "017700000001", "127.0.0.1.", "127.000.000.001", "127.255.255.254", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "[fd00:ec2::254]",
        "[ff02::1]", "169.254.169.254", "169.254.169.254.", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "[::ffff:169.254.169.254]",
        "100.100.100.200", "168.63.129.16", "192.0.0.192", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "198.18.0.1", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "①②⑦.⓪.⓪.①", "127。0。0。1", "localhost%00.example", "ip6-localhost", "localhost.localdomain",
    ]  # fmt: skip
    made = [f"https://{host}:{port}/client.json" for host in hosts]
    tail = [
        f"http://127.0.0.1:{port}/client.json", f"HTTPS://127.0.0.1:{port}/client.json", "file:///etc/passwd", "file://localhost/etc/passwd",
        f"gopher://127.0.0.1:{port}/_x", f"ftp://127.0.0.1:{port}/x", f"dict://127.0.0.1:{port}/x", f"ldap://127.0.0.1:{port}/x",
        "unix:///var/run/docker.sock", f"jar:https://127.0.0.1:{port}!/x", "data:application/json,{}", f"https:127.0.0.1:{port}/x",
        f"https:/127.0.0.1:{port}/x", f"https:///127.0.0.1:{port}/x", f"//127.0.0.1:{port}/x", f"https://app.example@127.0.0.1:{port}/x",
        f"https://127.0.0.1:{port}@app.example/x", f"https://app.example:pw@localhost:{port}/x", f"https://127.0.0.1:{port}\\@app.example/x",
        f"https://app.example#@127.0.0.1:{port}/x", f"https://127.0.0.1:{port}#app.example/x", f"https://127.0.0.1:{port}?app.example/x",
        f"https://127.0.0.1:{port}/", f"https://127.0.0.1:{port}", f"https://localhost:{port}/a/../b", f"https://localhost:{port}/%2e%2e/b",
        f"https://localhost:{port}//b", f"https://localhost\t:{port}/x", f"https://localhost:{port}/x\r\nHost: app.example",
        f" https://127.0.0.1:{port}/x",
    ]  # fmt: skip
    return made + tail


class Listener:
    """Counts connections on loopback, over IPv4 and IPv6."""

    def __init__(self) -> None:
        self.came = 0
        self.port = 0


@asynccontextmanager
async def listener() -> AsyncIterator[Listener]:
    made = Listener()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        made.came += 1
        writer.close()

    first = await asyncio.start_server(one, "127.0.0.1", 0)
    made.port = first.sockets[0].getsockname()[1]
    servers = [first]
    for host in ("127.0.0.2", "::1"):
        try:
            servers.append(await asyncio.start_server(one, host, made.port))
        except OSError:
            continue
    try:
        yield made
    finally:
        for server in servers:
            server.close()


async def test_t55_eighty_urls_open_no_connection() -> None:
    async with listener() as ear:
        documents = HttpsClientDocuments(Clock())
        places = ssrf(ear.port)
        for place in places:
            with pytest.raises((RefusedError, UnavailableError)):
                await documents.fetch(place)
        assert (len(places), ear.came) == (80, 0)
        # It would have heard it: the listener counts.
        _, writer = await asyncio.open_connection("127.0.0.1", ear.port)
        writer.close()
        await asyncio.sleep(0.05)
        assert ear.came == 1


async def test_t55_a_name_that_leads_to_loopback_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the name is public, its address is not; what was resolved is what is connected to, so a second answer changes nothing."""
    answers = [
        ["127.0.0.1"],
        ["93.184.216.34", "10.0.0.7"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["64:ff9b::7f00:1"],
    ]
    async with listener() as ear:
        documents = HttpsClientDocuments(Clock())
        for number, addresses in enumerate(answers):

            def resolved(host: str, port: int, *_a: object, found: list[str] = addresses, **_k: object) -> list[object]:
                del host
                return [
                    (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
                    for one in found
                ]

            monkeypatch.setattr(socket, "getaddrinfo", resolved)
            with pytest.raises(RefusedError, match="not public") as refused:
                await documents.fetch(f"https://rebind{number}.example:{ear.port}/client.json")
            assert refused.value.code == "document_url_refused"
        assert ear.came == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example/x.json",
        "https://app.example:8443/a/b",
        "https://xn--bcher-kva.example/id",
        "https://a.b.c.example/~x",
    ],
)
def test_an_ordinary_url_is_a_clients_name(url: str) -> None:
    assert check_document_url(url) == url


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("fd00::1", False),
        ("nonsense", False),
    ],
)
def test_only_public_addresses_are_asked(address: str, *, public: bool) -> None:
    assert is_public(address) is public


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name leads to this machine."""

    def resolved(host: str, port: int, *_a: object, **_k: object) -> list[object]:
        del host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def fetching(root: RootAuthority, clock: Clock) -> HttpsClientDocuments:
    """A fetcher that believes this root, and asks this machine."""
    trusting = ssl.create_default_context(cadata=root.pem.decode())
    return HttpsClientDocuments(clock, trusting, lambda _address: True)


JSON_TYPE = "Content-Type: application/json"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("said", "fresh_s"), [("max-age=3600", 3600), ("max-age=1", 300), ("no-store", 300), ("max-age=999999", 86400)]
)
async def test_a_document_is_kept_as_long_as_http_allows_within_bounds(said: str, fresh_s: float) -> None:
    root, clock, asked = RootAuthority(), Clock(), list[str]()
    answer = served(document(), JSON_TYPE, f"Cache-Control: {said}")
    async with tls_endpoint(root.leaf("docs.example"), answer, asked=asked) as port:
        documents, url = fetching(root, clock), f"https://docs.example:{port}/client.json"
        first, *rest = await asyncio.gather(*(documents.fetch(url) for _ in range(5)))
        clock.now += fresh_s - 1
        await documents.fetch(url)
        before = len(asked)
        clock.now += 2
        await documents.fetch(url)

    assert (first, set(rest)) == (document(), {document()})
    assert (before, len(asked)) == (1, 2)
    assert fresh_for(said) == fresh_s


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (served(b"", "Location: https://docs.example/other", status="302 Found"), "document_url_refused"),
        (served(b"", "Location: https://169.254.169.254/", status="307 Temporary Redirect"), "document_url_refused"),
        (served(document(), JSON_TYPE, status="404 Not Found"), "document_unreachable"),
        (served(document(), JSON_TYPE, status="500 Internal Server Error"), "document_unreachable"),
        (served(document(), "Content-Type: text/html"), "document_url_refused"),
        (served(document()), "document_url_refused"),
        (served(document(), JSON_TYPE, "Content-Encoding: gzip"), "document_unreachable"),
        (served(b"x" * (MAX_DOCUMENT + 1), JSON_TYPE), "document_unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\nContent-Type: application/json\r\n\r\n{", "document_unreachable"),
        (b"\x16\x03\x01 no http", "document_unreachable"),
    ],
)
async def test_an_answer_that_is_no_small_json_document_is_refused_and_asked_once(answer: bytes, code: str) -> None:
    root, clock, asked = RootAuthority(), Clock(), list[str]()
    async with tls_endpoint(root.leaf("docs.example"), answer, asked=asked) as port:
        documents, url = fetching(root, clock), f"https://docs.example:{port}/client.json"
        for _ in range(3):
            with pytest.raises(JitError) as refused:
                await documents.fetch(url)
            assert refused.value.code == code
        clock.now += 31
        with pytest.raises(JitError):
            await documents.fetch(url)

    assert len(asked) == 2


@pytest.mark.usefixtures("here")
async def test_a_site_that_cannot_prove_its_name_is_not_believed() -> None:
    root = RootAuthority()
    async with tls_endpoint(root.leaf("other.example"), served(document(), JSON_TYPE)) as port:
        with pytest.raises(UnavailableError):
            await fetching(root, Clock()).fetch(f"https://docs.example:{port}/client.json")


async def test_a_client_whose_id_is_its_url_is_known_by_its_document_alone() -> None:
    there = await oauth_world()
    there.documents.at[URL] = document()
    clients = there.broker.inner.authorization._clients  # type: ignore[attr-defined]

    known = await clients.known(URL)

    assert (known.id, known.source, known.redirect_uris[0]) == (
        URL,
        ClientSource.DOCUMENT,
        "https://app.example/callback",
    )
    for other in (
        URL + "/",
        URL + "?x",
        "https://app.example",
        "https://APP.example/oauth/client.json",
        "https://127.0.0.1/x",
    ):
        with pytest.raises(OAuthError) as refused:
            await clients.known(other)
        assert refused.value.error == "invalid_client"
    assert set(there.documents.asked) <= {URL, URL + "/", "https://APP.example/oauth/client.json"}


# ---- assertions ------------------------------------------------------------------------------------------------------------------------------------


async def keyed() -> tuple[OAuthWorld, KeyClient]:
    there = await oauth_world()
    return there, await there.client(CREDENTIALS)


async def shown(there: OAuthWorld, form: Mapping[str, str]) -> tuple[int, str, str]:
    return error_of(await there.ask({"grant_type": CREDENTIALS, **form}))


@pytest.mark.parametrize(
    "over",
    [
        {"aud": "https://other.example"},
        {"aud": ISSUER + "/"},
        {"aud": ISSUER.upper()},
        {"aud": [TOKEN, "https://other.example"]},
        {"aud": []},
        {"aud": [""]},
        {"aud": {"x": TOKEN}},
        {"aud": None},
        {"iss": "somebody"},
        {"sub": "somebody"},
        {"iss": "somebody", "sub": "somebody"},
        {"sub": None},
        {"sub": ""},
        {"sub": ["client-x"]},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 300},
        {"exp": None},
        {"exp": 1},
        {"exp": 1e300},
        {"exp": "1790000060"},
        {"exp": True},
        {"exp": 1_790_090_000},
        {"exp": 1_790_000_000},
        {"iat": None},
        {"iat": 1_790_000_061},
        {"iat": 1_789_999_999},
        {"iat": -1},
        {"nbf": 1_790_000_061},
        {"header": {"typ": "at+jwt"}},
        {"header": {"typ": "dpop+jwt"}},
        {"header": {"typ": "oauth-id-jag+jwt"}},
        {"header": {"typ": "secevent+jwt"}},
        {"header": {"typ": 5}},
        {"header": {"kid": "c2"}},
        {"header": {"kid": ""}},
        {"header": {"jwk": PUBLIC}},
        {"header": {"jku": "https://evil.example/keys"}},
        {"header": {"x5u": "https://evil.example/cert"}},
        {"header": {"b64": False, "crit": ["b64"]}},
        {"header": {"cty": "JWT"}},
    ],
)
async def test_t12_a_clients_assertion_that_is_not_exactly_right_authenticates_nobody(over: dict[str, object]) -> None:
    there, client = await keyed()
    raw = {**over, "header": dict(over["header"])} if "header" in over else dict(over)  # type: ignore[call-overload]
    try:
        form = client.form(**raw)
    except (ValueError, JoseError):
        # The library that makes the attack refuses to; it is made by hand.
        form = {**client.form(), "client_assertion": by_hand(client, raw)}

    status, error, _ = await shown(there, form)

    assert (status, error) == (401, "invalid_client")


def by_hand(client: KeyClient, over: dict[str, object]) -> str:
    """An assertion that no library makes."""
    header = {"alg": "ES256", "kid": "c1", **over.pop("header", {})}  # type: ignore[dict-item]
    base = {
        "iss": client.name,
        "sub": client.name,
        "aud": TOKEN,
        "iat": 1_790_000_000,
        "exp": 1_790_000_060,
        "jti": "h",
    }
    signed = jws.join(header, {**base, **over})  # type: ignore[dict-item]
    return (signed + b"." + jws.encode(Es256Signer.from_secret(b"\x01" * 32).sign(signed))).decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "ES384", "RS256", "Ed25519", "", "ES256 "])
async def test_t12_another_algorithm_than_the_keys_authenticates_nobody(algorithm: str) -> None:
    there, client = await keyed()
    form = {**client.form(), "client_assertion": by_hand(client, {"header": {"alg": algorithm}})}

    assert (await shown(there, form))[:2] == (401, "invalid_client")


@pytest.mark.parametrize("junk", ["x", "a.b", "a.b.c", "....", "e30.e30.", "é.é.é", "A" * 20_000, "e30.e30.AA=="])
async def test_what_is_no_assertion_authenticates_nobody(junk: str) -> None:
    there, client = await keyed()

    assert (await shown(there, {**client.form(), "client_assertion": junk}))[:2] == (401, "invalid_client")


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"client_id": "client-x"},
        {"client_id": "nobody"},
        {"client_id": "client-x", "client_secret": "x"},
        {"client_id": "x" * 5000},
        {"client_id": "SPIFFE://jittrust.test/agent/coder"},
        {"client_id": "spiffe://jittrust.test/agent/nobody"},
        {"client_id": "spiffe://jittrust.test/person/ada"},
        {"client_id": "spiffe://jittrust.test/a/../b"},
        {"client_id": "spiffe://other.example/agent"},
        {"client_id": "jittrust-connect\u200b"},
        {"client_id": "javascript:alert(1)"},
        {"client_id": "https://127.0.0.1/client.json"},
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "client_assertion": "x"},
        {"client_assertion": "x"},
        {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
    ],
)
async def test_nobody_is_authenticated_by_saying_a_name(form: dict[str, str]) -> None:
    there, _ = await keyed()

    assert (await shown(there, form))[:2] == (401, "invalid_client")


async def test_t12_an_assertion_counts_once_and_none_that_was_made_before_the_server_began() -> None:
    there, client = await keyed()
    form = client.form()
    old = client.form(iat=int(there.now) - 30, exp=int(there.now) + 30)
    there.clock.now += 10
    await there.open()
    again = client.form()

    answers = [await shown(there, one) for one in (again, again, form, old)]

    assert [one[2] for one in answers] == ["no_mission", "assertion_used", "assertion_used", "assertion_used"]


async def test_an_assertion_is_taken_for_five_minutes_however_long_it_says_it_lives() -> None:
    there, client = await keyed()
    hour = {"exp": int(there.now) + 3600}
    first, second = client.form(**hour), client.form(**hour)
    there.clock.now += 299
    early = await shown(there, first)
    there.clock.now += 1

    assert early[2] == "no_mission"
    assert (await shown(there, second))[2] == "assertion_bad"


async def test_ten_thousand_showings_of_one_id_let_one_through() -> None:
    clock = Clock()
    memory = ReplayMemory(clock)
    took: list[bool] = []

    async def one() -> None:
        await asyncio.sleep(0)
        took.append(memory.take(("a", "b"), clock(), Instant(clock.now + 60)))

    await asyncio.gather(*(one() for _ in range(10_000)))

    assert sum(took) == 1


def test_a_full_memory_takes_nothing_more_and_forgets_what_is_over() -> None:
    clock = Clock()
    memory = ReplayMemory(clock, most=3)
    for name in "abc":
        assert memory.take((name,), clock(), Instant(clock.now + 60))
    with pytest.raises(OAuthError) as full:
        memory.take(("d",), clock(), Instant(clock.now + 60))
    clock.now += 61

    assert full.value.error == "temporarily_unavailable"
    assert memory.take(("d",), clock(), Instant(clock.now + 60))
    assert not memory.take(("d",), clock(), Instant(clock.now + 60))


def test_what_is_released_costs_no_room() -> None:
    clock = Clock()
    memory = ReplayMemory(clock, most=10)
    for number in range(1000):
        assert memory.take((str(number),), clock(), Instant(clock.now + 60))
        memory.release((str(number),))

    assert len(memory._ends) <= 21


async def test_a_document_of_a_workload_is_for_us_alone() -> None:
    there = await oauth_world()
    for audience in (("https://other.example",), (ISSUER, "https://other.example"), (ISSUER + "/",)):
        svid = await there.svid("/agent/coder", *audience)
        form = {"client_assertion_type": JWT_SPIFFE, "client_assertion": svid}
        assert (await shown(there, form))[:2] == (401, "invalid_client")
    good = await there.svid("/agent/coder", ISSUER, TOKEN)
    named = {
        "client_assertion_type": JWT_SPIFFE,
        "client_assertion": good,
        "client_id": "spiffe://jittrust.test/agent/x",
    }
    swapped = {"client_assertion_type": JWT_ASSERTION, "client_assertion": good}

    assert (await shown(there, named))[2] == "client_differs"
    assert (await shown(there, swapped))[:2] == (401, "invalid_client")
    assert (await shown(there, {"client_assertion_type": JWT_SPIFFE, "client_assertion": good}))[2] == "no_mission"


async def test_a_certificate_of_a_stranger_authenticates_nobody() -> None:
    there = await oauth_world()
    root = RootAuthority("jittrust.test")
    leaf, _ = root.leaf("spiffe://jittrust.test/agent/coder")
    chain = (x509.load_pem_x509_certificate(leaf).public_bytes(Encoding.DER), root.der)
    for shown_chain in (chain, chain[:1], (b"x",), chain * 5):
        with pytest.raises(OAuthError) as refused:
            await there.broker.inner.authorization.token(
                TokenRequest({"grant_type": CREDENTIALS}, ClientProof(chain=shown_chain), "", TOKEN)
            )
        assert refused.value.error == "invalid_client"


@pytest.mark.parametrize(
    "made",
    [
        OctKey.generate_key(256).as_dict(private=True),
        {"kty": "RSA", "n": jws.encode(b"\xff" * 128).decode(), "e": "AQAB"},
        OKPKey.generate_key("X25519").as_dict(private=False),
    ],
    ids=["symmetric", "short", "for_agreement"],
)
def test_a_key_that_is_no_good_registers_nobody(made: dict[str, Json]) -> None:
    with pytest.raises(OAuthError):
        read_metadata({**KEYED, "jwks": {"keys": [made]}}, "c", ClientSource.REGISTERED)


# ---- registration ------------------------------------------------------------------------------------------------------------------------------------


async def test_nobody_registers_unless_it_is_switched_on() -> None:
    there = await oauth_world()
    async with there.web() as web:
        answer = await web.post("/oauth/register", json=dict(GOOD))
        metadata = (await web.get("/.well-known/oauth-authorization-server")).json()

    assert error_of(answer) == (400, "access_denied", "registration_off")
    assert "registration_endpoint" not in metadata


async def test_registration_gives_a_name_and_no_secret_and_is_bounded() -> None:
    there = await oauth_world(registration=True)
    async with there.web() as web:
        answers = [await web.post("/oauth/register", json=dict(GOOD)) for _ in range(REGISTERED_A_MINUTE + 1)]
        there.clock.now += 61
        later = await web.post("/oauth/register", json=dict(KEYED))
        metadata = (await web.get("/.well-known/oauth-authorization-server")).json()

    body = answers[0].json()
    assert [one.status_code for one in answers] == [201] * REGISTERED_A_MINUTE + [503]
    assert (body["token_endpoint_auth_method"], body["redirect_uris"]) == ("none", GOOD["redirect_uris"])
    assert not any("secret" in name for name in body)
    assert len({one.json().get("client_id") for one in answers[:-1]}) == REGISTERED_A_MINUTE
    assert later.json()["jwks"] == {"keys": [PUBLIC]}
    assert metadata["registration_endpoint"] == f"{ISSUER}/oauth/register"
    assert len([one for one in await there.records("oauth") if one["what"] == "client_registered"]) == 11


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{}", "text/plain"),
        (b"{}", "application/x-www-form-urlencoded"),
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b'{"a":1,"a":2}', "application/json"),
        (b'{"a":NaN}', "application/json"),
        (b'{"a":' * 50, "application/json"),
        (b'{"x":"' + b"a" * 70_000 + b'"}', "application/json"),
        (b"\xff", "application/json"),
    ],
)
async def test_a_registration_that_is_no_small_json_object_is_refused(content: bytes, kind: str) -> None:
    there = await oauth_world(registration=True)
    async with there.web() as web:
        answer = await web.post("/oauth/register", content=content, headers={"content-type": kind})

    assert error_of(answer)[:2] == (400, "invalid_client_metadata")


@pytest.mark.usefixtures("here")
async def test_t58_strangers_urls_hold_few_connections_and_push_out_no_client_that_is_known() -> None:
    root, clock, asked = RootAuthority(), Clock(), list[str]()
    answer = served(document(), JSON_TYPE)
    async with (
        tls_endpoint(root.leaf("docs.example"), answer, asked=asked) as port,
        tls_endpoint(root.leaf("slow.example"), answer, seconds=0.5, asked=asked) as slow,
    ):
        documents, url = fetching(root, clock), f"https://docs.example:{port}/client.json"
        await documents.fetch(url)
        flood = await asyncio.gather(
            *(documents.fetch(f"https://slow.example:{slow}/{n}.json") for n in range(WAITING_MOST + 200)),
            return_exceptions=True,
        )
        for n in range(600):
            with pytest.raises(JitError):
                await documents.fetch(f"https://nothing.example:1/{n}.json")
        before = len(asked)
        await documents.fetch(url)

    assert sum(isinstance(one, UnavailableError) for one in flood) >= 200
    assert len(asked) == before
