"""The `mcp` SDK's own client auth flows against `jittrust serve`: a person's consent, client credentials, an enterprise's identities.

The SDK's providers are used as they are. One step of the enterprise's flow is replaced: the SDK signs in there with a shared secret only, and clients
have none here.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from mcp import Client
from mcp.client.auth import OAuthClientProvider, OAuthTokenError, TokenStorage
from mcp.client.auth.extensions.client_credentials import PrivateKeyJWTOAuthProvider, SignedJWTParameters
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
)
from pydantic import AnyUrl
from tests.browsing import Browsing, signed_in
from tests.serving import Running, gateway, now

from jittrust.apps.cli.reach import person
from jittrust.core.identity.attest import EvidenceKind, TrustedIssuer
from jittrust.core.mission.mission import GoalSource
from jittrust.core.model import SubjectKind
from jittrust.ports.identities import NewIdentity
from jittrust.ports.missions import NewMission

ROOT = Path(__file__).resolve().parents[2]
BACK = "http://127.0.0.1:39217/callback"
GOAL = "List the files and read them."
CREDENTIALS = "client_credentials"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
JWT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
IDP = "https://idp.example"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("auth")
    files = folder / "data" / "files"
    files.mkdir(parents=True)
    (files / "plan.txt").write_text("Plant tulips in March.", "utf-8")

    def command() -> dict[str, object]:
        return {
            "command": sys.executable,
            "args": [str(ROOT / "examples/servers/files.py"), "--data", str(folder / "data")],
        }

    servers = {"files": command(), "other": command()}
    with gateway(folder / "gateway", servers, oauth={"registration": True}) as found:
        yield found


@pytest.fixture(scope="module")
def browser(running: Running) -> Browsing:
    return now(signed_in(running))


class Kept:
    """What a client keeps between its starts."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def provider(url: str, kept: TokenStorage, browser: Browsing, scope: str | None = None) -> OAuthClientProvider:
    back: dict[str, str] = {}

    async def go(to: str) -> None:
        back.clear()
        back.update(await browser.follow(to))

    async def came() -> AuthorizationCodeResult:
        return AuthorizationCodeResult(code=back.get("code", ""), state=back.get("state"), iss=back.get("iss"))

    metadata = OAuthClientMetadata(
        client_name="File reader",
        redirect_uris=[AnyUrl(BACK)],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
        scope=scope,
    )
    return OAuthClientProvider(url, metadata, kept, go, came)


@asynccontextmanager
async def client(url: str, auth: httpx2.Auth) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(auth=auth, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http)) as made,
    ):
        yield made


async def works(url: str, auth: httpx2.Auth) -> str:
    """List, and read a file; what it says."""
    async with client(url, auth) as here:
        assert "read_file" in {tool.name for tool in (await here.list_tools()).tools}
        return str((await here.call_tool("read_file", {"path": "plan.txt"})).content)


def last(records: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(record for record in reversed(records) if record["kind"] == kind)


# --- authorization code ------------------------------------------------------------------------------------------------------------------


async def test_a_client_that_knows_only_the_address_gets_to_its_tools_over_a_persons_yes(
    running: Running, browser: Browsing
) -> None:
    browser.goal = GOAL
    browser.approve = True
    kept = Kept()

    assert "Plant tulips" in await works(running.mcp["files"], provider(running.mcp["files"], kept, browser))
    assert kept.client is not None
    assert kept.tokens is not None
    assert kept.tokens.refresh_token
    # The yes began a mission of exactly this goal, and the record of the call names it, the person and the grant.
    records = await running.records()
    used = last(records, "use")
    mission = next(
        record for record in records if record["kind"] == "mission" and record["mission"] == used["prompt"]["mission"]
    )
    assert GOAL in mission["goal"]
    assert used["action"]["resource"] == "files/read_file"
    assert kept.tokens.access_token not in json.dumps(records)
    assert kept.tokens.refresh_token not in json.dumps(records)


async def test_a_client_that_starts_again_goes_on_with_what_it_kept_and_asks_nobody(
    running: Running, browser: Browsing
) -> None:
    browser.goal = GOAL
    browser.approve = True
    kept = Kept()
    await works(running.mcp["files"], provider(running.mcp["files"], kept, browser))
    pages, before = len(browser.seen), kept.tokens
    assert before is not None

    assert "Plant tulips" in await works(running.mcp["files"], provider(running.mcp["files"], kept, browser))
    assert len(browser.seen) == pages

    # Its token is over: the SDK renews it with the refresh token, which is another one each time.
    again = provider(running.mcp["files"], kept, browser)
    await again._initialize()
    again.context.token_expiry_time = time.time() - 1
    again.context.oauth_metadata = await metadata_of(running)
    assert "Plant tulips" in await works(running.mcp["files"], again)
    assert len(browser.seen) == pages
    assert kept.tokens is not None
    assert kept.tokens.access_token != before.access_token
    assert kept.tokens.refresh_token != before.refresh_token


async def metadata_of(running: Running) -> Any:  # noqa: ANN401
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"{issuer_of(running)}/.well-known/oauth-authorization-server")
    return OAuthMetadata.model_validate(answer.json())


async def test_a_person_who_says_no_sends_the_client_away_with_nothing(running: Running, browser: Browsing) -> None:
    browser.goal, browser.approve = GOAL, False
    kept = Kept()
    try:
        with pytest.raises(BaseExceptionGroup):
            await works(running.mcp["files"], provider(running.mcp["files"], kept, browser))
    finally:
        browser.approve = True

    assert kept.tokens is None


async def test_a_token_for_one_server_is_worth_nothing_at_another(running: Running, browser: Browsing) -> None:
    browser.goal = GOAL
    kept = Kept()
    await works(running.mcp["files"], provider(running.mcp["files"], kept, browser))
    assert kept.tokens is not None

    async with httpx2.AsyncClient() as http:
        headers = {
            "authorization": f"Bearer {kept.tokens.access_token}",
            "accept": "application/json, text/event-stream",
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        answer = await http.post(running.mcp["other"], json=body, headers=headers)
    assert answer.status_code == 401


# --- client credentials ------------------------------------------------------------------------------------------------------------------


def issuer_of(running: Running) -> str:
    where = urlsplit(running.mcp["files"])
    return f"{where.scheme}://{where.netloc}"


async def registered(running: Running, key: ECKey, *grants: str) -> str:
    """A client with a key that registers itself, and the identity under which an admin lets it act; gives its id."""
    metadata = {
        "client_name": "Nightly reader",
        "grant_types": list(grants),
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [key.as_dict(private=False)]},
    }
    async with httpx2.AsyncClient() as http:
        answer = await http.post(f"{issuer_of(running)}/oauth/register", json=metadata)
    assert answer.status_code == 201, answer.text
    made = str(answer.json()["client_id"])
    async with running.person() as driving:
        owner = f"os:{person()}"
        await driving.identities.enrol(
            NewIdentity(SubjectKind.AGENT, f"/agent/{made}", owner=owner, names=(f"client:{made}",), by="test")
        )
    return made


def assertions(name: str, key: ECKey) -> Callable[[str], Any]:
    made = SignedJWTParameters(
        issuer=name, subject=name, signing_key=key.as_pem(private=True).decode(), signing_algorithm="ES256"
    )
    return made.create_assertion_provider()


async def test_a_client_with_a_key_acts_alone_under_the_mission_of_who_answers_for_it(
    running: Running, browser: Browsing
) -> None:
    del browser  # there is a person
    key = ECKey.generate_key("P-256")
    name = await registered(running, key, CREDENTIALS)
    await running.mission(GOAL)
    url = running.mcp["files"]
    auth = PrivateKeyJWTOAuthProvider(url, Kept(), name, assertions(name, key), issuer=issuer_of(running))

    assert "Plant tulips" in await works(url, auth)
    used = last(await running.records(), "use")
    assert used["action"]["resource"] == "files/read_file"


async def test_a_stranger_with_another_key_under_the_same_name_gets_nothing(
    running: Running, browser: Browsing
) -> None:
    del browser
    name = await registered(running, ECKey.generate_key("P-256"), CREDENTIALS)
    thief = assertions(name, ECKey.generate_key("P-256"))
    url = running.mcp["files"]

    with pytest.raises(BaseExceptionGroup) as refused:
        await works(url, PrivateKeyJWTOAuthProvider(url, Kept(), name, thief, issuer=issuer_of(running)))
    assert refused.group_contains(OAuthTokenError, match="invalid_client")


# --- an enterprise's identities ----------------------------------------------------------------------------------------------------------


class SignedIdentityAssertion(IdentityAssertionOAuthProvider):
    """The SDK's provider, but for how the client says who it is: with its key."""

    def __init__(
        self, url: str, name: str, issuer: str, word: Callable[[str, str], Any], sign_in: Callable[[], str]
    ) -> None:
        super().__init__(url, Kept(), name, "none is used", issuer, word)
        self._sign_in = sign_in

    def _build_token_request(self, scope: str | None, assertion: str) -> httpx2.Request:
        made = super()._build_token_request(scope, assertion)
        form = dict(httpx2.QueryParams(made.content.decode()))
        form.pop("client_secret")
        form |= {"client_assertion_type": JWT_ASSERTION, "client_assertion": self._sign_in()}
        return httpx2.Request("POST", made.url, data=form)


def signed_in_with(name: str, key: ECKey, audience: str) -> Callable[[], str]:
    def sign_in() -> str:
        at = int(time.time())
        claims = {"iss": name, "sub": name, "aud": audience, "iat": at, "exp": at + 60, "jti": f"{time.time_ns()}"}
        return jwt.encode({"alg": "ES256"}, claims, key)

    return sign_in


async def enterprise(running: Running, provider_key: ECKey) -> str:
    """An admin takes the word of an identity provider, and says whom it means; gives that person's id."""
    async with running.person() as driving:
        document = json.dumps({"keys": [provider_key.as_dict(private=False)]})
        await driving.sources.trust(
            TrustedIssuer("idp", EvidenceKind.OIDC, IDP, issuer_of(running), document), person()
        )
        names = (f"oidc:{IDP}#emp-7",)
        made = await driving.identities.enrol(NewIdentity(SubjectKind.PERSON, "/person/erin", names=names, by="test"))
    return made.id


def id_jag(provider_key: ECKey, name: str, **over: object) -> Callable[[str, str], Any]:
    async def asked(audience: str, resource: str) -> str:
        at = int(time.time())
        claims = {
            "iss": IDP,
            "sub": "emp-7",
            "aud": audience,
            "client_id": name,
            "resource": resource,
            "iat": at,
            "exp": at + 60,
            "jti": f"{time.time_ns()}",
            **over,
        }
        return jwt.encode({"alg": "ES256", "kid": "idp-1", "typ": "oauth-id-jag+jwt"}, claims, provider_key)

    return asked


async def test_an_enterprises_word_for_a_person_opens_what_the_persons_mission_allows(
    running: Running, browser: Browsing
) -> None:
    del browser
    idp, key = ECKey.generate_key("P-256", {"kid": "idp-1"}), ECKey.generate_key("P-256")
    erin = await enterprise(running, idp)
    name = await registered(running, key, JWT_BEARER)
    url, issuer = running.mcp["files"], issuer_of(running)

    def auth(**over: object) -> SignedIdentityAssertion:
        word = id_jag(idp, name, **over)
        return SignedIdentityAssertion(url, name, issuer, word, signed_in_with(name, key, issuer))

    # Erin has said of nothing what it is for: there is no standing access, whatever the provider says.
    with pytest.raises(BaseExceptionGroup) as refused:
        await works(url, auth())
    assert refused.group_contains(OAuthTokenError, match="mission")

    async with running.person() as driving:
        await driving.missions.start(NewMission(erin, GOAL, GoalSource.MISSION_START))
    assert "Plant tulips" in await works(url, auth())
    used = last(await running.records(), "use")
    assert used["prompt"]["person"] == erin

    for wrong in (
        {"aud": "https://elsewhere.example"},
        {"client_id": "another"},
        {"sub": "emp-8"},
        {"resource": running.mcp["other"]},
    ):
        with pytest.raises(BaseExceptionGroup) as refused:
            await works(url, auth(**wrong))
        assert refused.group_contains(OAuthTokenError)
