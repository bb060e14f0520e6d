"""Login at a real OpenID provider over HTTP: what it may say, and everything it must not get away with."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import aiohttp
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.authenticator import ORIGIN
from tests.consoles import ConsoleClient, console_app
from tests.people import people

from jittrust.adapters.oidc.identity_provider import MAX_ANSWER, OidcProvider
from jittrust.broker.identity.people import PeopleBook
from jittrust.core.errors import JitError, RefusedError, UnavailableError
from jittrust.core.identity.identity import Role
from jittrust.core.model import SubjectKind
from jittrust.core.secret import Secret
from jittrust.core.units import Instant
from jittrust.ports.identities import NewIdentity

ROOT = Path(__file__).resolve().parents[2]
NODE, LIBRARY = ROOT / ".tests/node", ROOT / ".tests/npm/node_modules/oidc-provider/lib/index.js"
PANVA_CLIENT, PANVA_SECRET = "jittrust", b"a secret: of %20 the test"
CLIENT, SECRET, BACK = "jit trust", b"p:w%/ +x", f"{ORIGIN}/console/callback"
Twist = Callable[[dict[str, Any]], None]


def clock() -> Instant:
    return Instant(time.time())


@dataclass(slots=True)
class Issuer:
    """An OpenID provider with one person in it. `twist` changes the claims of the next token, `discovery` what it says about itself."""

    url: str = ""
    twist: Twist = field(default=lambda _: None)
    discovery: dict[str, Any] = field(default_factory=dict)
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "k1", "use": "sig", "alg": "ES256"}))
    signer: ECKey | None = None
    header: dict[str, Any] = field(default_factory=dict)
    public: bool = False
    huge: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self.about)
        app.router.add_get("/authorize", self.authorize)
        app.router.add_post("/token", self.token)
        app.router.add_get("/jwks", self.jwks)
        return app

    async def about(self, _: web.Request) -> web.Response:
        if self.huge:
            return web.Response(body=b" " * (MAX_ANSWER + 1), content_type="application/json")
        told = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return web.json_response({**told, **self.discovery})

    async def authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        place = f"{asked['redirect_uri']}?code={code}&state={asked['state']}&iss={self.url}"
        raise web.HTTPFound(place)

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = self.codes.pop(str(form["code"]), None)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        right = "Basic " + base64.b64encode(b"jit%20trust:p%3Aw%25%2F%20%2Bx").decode()
        known = form.get("client_id") == CLIENT if self.public else request.headers.get("Authorization") == right
        if asked is None or asked["code_challenge"] != challenge or form["redirect_uri"] != asked["redirect_uri"]:
            return web.json_response({"error": "invalid_grant"}, status=400)
        if not known:
            return web.json_response({"error": "invalid_client"}, status=401)
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url,
            "sub": "s-1",
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "auth_time": now - 5,
            "nonce": asked["nonce"],
            "email": "bo@example.org",
            "email_verified": True,
            "name": "Bo",
            "amr": ["pwd", "otp"],
        }
        self.twist(claims)
        header = {"alg": "ES256", "kid": "k1", **self.header}
        return web.json_response({"id_token": jwt.encode(header, claims, self.signer or self.key)})

    async def jwks(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [self.key.as_dict(private=False)]})


@contextlib.contextmanager
def panva() -> Iterator[str]:
    """`oidc-provider`, an OpenID provider written by other people; its address."""
    assert LIBRARY.exists(), f"{LIBRARY} is missing: scripts/setup npm"
    command = [str(NODE), str(Path(__file__).with_name("oidc_provider.mjs")), str(LIBRARY), BACK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield next(json.loads(line)["url"] for line in process.stdout if line.startswith(b"{"))
        finally:
            process.terminate()


async def sign_in_at(url: str, begin: str, person: str) -> dict[str, str]:
    """Fill in the provider's own forms as a person would; what the browser brings back."""
    place = begin
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        for _ in range(12):
            if place.startswith(BACK):
                return {name: values[0] for name, values in parse_qs(urlsplit(place).query).items()}
            async with browser.get(place, allow_redirects=False) as answer:
                page, to = await answer.text(), answer.headers.get("Location")
            if to is None:
                action, prompt = re.search(r'action="([^"]+)"', page), re.search(r'name="prompt" value="([^"]+)"', page)
                assert action is not None, page
                assert prompt is not None, page
                form = {"prompt": prompt[1], "login": person, "password": "x"}
                async with browser.post(urljoin(url, action[1]), data=form, allow_redirects=False) as answer:
                    to = answer.headers["Location"]
            place = urljoin(url, to)
    raise AssertionError(place)


@contextlib.asynccontextmanager
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    runner = web.AppRunner(made.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


async def browse(url: str) -> dict[str, str]:
    """What the browser brings back."""
    async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as answer:
        back = urlsplit(answer.headers["Location"])
    return {name: values[0] for name, values in parse_qs(back.query).items()}


def provider_of(made: Issuer) -> OidcProvider:
    return OidcProvider(made.url, CLIENT, None if made.public else Secret(SECRET), clock)


@pytest.mark.parametrize("public", [False, True])
async def test_a_person_logs_in_and_the_provider_s_word_is_taken_as_it_is(public: bool) -> None:  # noqa: FBT001 - a case
    async with issuer() as made:
        made.public = public
        provider = provider_of(made)
        start = await provider.begin(BACK)
        back = await browse(start.url)
        claims = await provider.finish(start, back["state"], back["code"], back["iss"])
        assert (claims.issuer, claims.subject, claims.email) == (made.url, "s-1", "bo@example.org")
        assert claims.methods == ("pwd", "otp")
        assert start.verifier not in start.url


async def test_a_mail_address_that_the_provider_did_not_verify_is_none() -> None:
    async with issuer() as made:
        for value in (False, "true", 1, None):
            made.twist = lambda claims, value=value: claims.update(email_verified=value)  # type: ignore[misc]
            provider = provider_of(made)
            start = await provider.begin(BACK)
            back = await browse(start.url)
            assert (await provider.finish(start, back["state"], back["code"], back["iss"])).email == ""


async def test_a_provider_written_by_other_people_logs_a_person_in() -> None:
    with panva() as url:
        provider = OidcProvider(url, PANVA_CLIENT, Secret(PANVA_SECRET), clock)
        start = await provider.begin(BACK)
        back = await sign_in_at(url, start.url, "bo")
        claims = await provider.finish(start, back["state"], back["code"], back["iss"])
        assert (claims.issuer, claims.subject, claims.email) == (url, "bo", "bo@example.org")
        with pytest.raises(RefusedError):
            await provider.finish(start, back["state"], back["code"], back["iss"])
        start = await provider.begin(BACK)
        back = await sign_in_at(url, start.url, "bo")
        with pytest.raises(RefusedError):
            await provider.finish(replace(start, verifier="x" * 43), back["state"], back["code"], back["iss"])


TOKENS: dict[str, Twist] = {
    "another issuer": lambda claims: claims.update(iss="https://evil.example"),
    "another audience": lambda claims: claims.update(aud="other"),
    "given to another client": lambda claims: claims.update(azp="other"),
    "several audiences and another client": lambda claims: claims.update(aud=[CLIENT, "other"], azp="other"),
    "another login's nonce": lambda claims: claims.update(nonce="x"),
    "no nonce": lambda claims: claims.pop("nonce"),
    "a nonce that is no text": lambda claims: claims.update(nonce=7),
    "expired": lambda claims: claims.update(exp=int(time.time()) - 1),
    "no end": lambda claims: claims.pop("exp"),
    "from the future": lambda claims: claims.update(iat=int(time.time()) + 600),
    "too old": lambda claims: claims.update(iat=int(time.time()) - 700),
    "no subject": lambda claims: claims.pop("sub"),
    "an empty subject": lambda claims: claims.update(sub=""),
    "a subject with a line end": lambda claims: claims.update(sub="s\n1"),
}


@pytest.mark.parametrize("attack", TOKENS)
async def test_a_token_that_is_not_for_this_login_lets_nobody_in(attack: str) -> None:
    async with issuer() as made:
        made.twist = TOKENS[attack]
        provider = provider_of(made)
        start = await provider.begin(BACK)
        back = await browse(start.url)
        with pytest.raises(RefusedError) as refused:
            await provider.finish(start, back["state"], back["code"], back["iss"])
        assert refused.value.code == "login_failed"


async def test_a_token_signed_by_another_key_lets_nobody_in() -> None:
    async with issuer() as made:
        made.signer = ECKey.generate_key("P-256")
        provider = provider_of(made)
        start = await provider.begin(BACK)
        back = await browse(start.url)
        with pytest.raises(RefusedError):
            await provider.finish(start, back["state"], back["code"], back["iss"])


async def test_mixed_up_states_issuers_verifiers_and_codes_let_nobody_in() -> None:
    async with issuer() as made:
        provider = provider_of(made)
        start = await provider.begin(BACK)
        back = await browse(start.url)
        state, code, iss = back["state"], back["code"], back["iss"]
        mixed = [
            (start, "x", code, iss),
            (start, "", code, iss),
            (start, state, code, "https://evil.example"),
            (start, state, code, ""),
            (start, state, "", iss),
            (start, state, "x" * 5000, iss),
            (start, state, "guessed", iss),
            (replace(start, verifier="x" * 43), state, code, iss),
        ]
        for told in mixed:
            with pytest.raises(RefusedError) as refused:
                await provider.finish(*told)
            assert refused.value.code == "login_failed"
        start = await provider.begin(BACK)
        back = await browse(start.url)
        await provider.finish(start, back["state"], back["code"], back["iss"])
        with pytest.raises(RefusedError):
            await provider.finish(start, back["state"], back["code"], back["iss"])


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"authorization_endpoint": "http://evil.example/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": 7},
        {"code_challenge_methods_supported": ["plain"]},
    ],
    ids=json.dumps,
)
async def test_a_provider_that_says_something_else_about_itself_is_not_used(discovery: dict[str, Any]) -> None:
    async with issuer() as made:
        made.discovery = discovery
        with pytest.raises(UnavailableError) as refused:
            await provider_of(made).begin(BACK)
        assert refused.value.code == "provider_unreachable"


async def test_a_provider_that_is_away_over_plain_http_or_too_large_is_unreachable() -> None:
    async with issuer() as made:
        made.huge = True
        with pytest.raises(UnavailableError):
            await provider_of(made).begin(BACK)
    for url in (made.url, "http://id.example", "file:///etc", "https://", ""):
        with pytest.raises(UnavailableError):
            await OidcProvider(url, CLIENT, None, clock).begin(BACK)


async def test_the_console_lets_in_whom_an_admin_named_and_nobody_else() -> None:
    async with issuer() as made:
        here = await people()
        here.world.clock.now = time.time()
        broker, parts = here.world.broker, replace(here.passkeys._parts, provider=provider_of(made))
        book = PeopleBook(broker.state, here.passkeys._identities, parts)
        broker.driving = replace(broker.driving, people=book)
        client = ConsoleClient(here, console_app(here, provider=True))

        async def login(subject: str) -> Any:  # noqa: ANN401 - the client's answer
            made.twist = lambda claims: claims.update(sub=subject)
            begun = await client.post("/login/provider")
            cookie = begun.headers["set-cookie"]
            assert "SameSite=lax" in cookie
            back = urlsplit("?" + "&".join(f"{k}={v}" for k, v in (await browse(begun.json()["to"])).items())).query
            return await client.send("GET", f"/callback?{back}", Cookie=cookie.partition(";")[0])

        refused = await login("s-1")
        assert refused.status_code == 403
        assert "person_unknown" in refused.text
        new = NewIdentity(SubjectKind.PERSON, "/person/bo", names=("email:bo@example.org",), role=Role.VIEWER)
        await broker.driving.identities.enrol(new)
        let_in = await login("s-1")
        assert let_in.status_code == 200
        client.cookie = next(
            one.partition("=")[2].partition(";")[0]
            for one in let_in.headers.get_list("set-cookie")
            if one.startswith("__Host-jittrust=")
        )
        assert "/person/bo" in (await client.get("/")).text
        assert (await login("s-2")).status_code == 403
        with pytest.raises(JitError):
            await book.logged_in("made up", "s", "c", made.url)
