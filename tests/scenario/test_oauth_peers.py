"""OAuth clients that nobody here wrote, against a server that runs: authlib and requests-oauth2client, as their users call them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from authlib.integrations.httpx_client import OAuth2Client as AuthlibClient  # type: ignore[import-untyped]
from authlib.integrations.requests_client import OAuth2Session  # type: ignore[import-untyped]
from authlib.oauth2.rfc7523 import PrivateKeyJWT  # type: ignore[import-untyped]
from joserfc.jwk import ECKey
from tests.serving import PIN, Running, gateway, now

from jittrust.apps.cli.reach import person
from jittrust.core.approval import ApprovalState, ConfirmedBy
from jittrust.core.identity.identity import Role
from jittrust.core.model import SubjectKind
from jittrust.ports.approvals import Answer
from jittrust.ports.identities import NewIdentity

ROOT = Path(__file__).parents[2]
GOAL = "Read the file plan.txt and write a summary to summary.txt"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
CIBA = "urn:openid:params:grant-type:ciba"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"


class Peer:
    """A client that registered itself with a key, as the library's users do."""

    def __init__(self, running: Running, name: str, *grants: str) -> None:
        self.url = running.url
        self.key = ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"})
        metadata = {
            "client_name": name,
            "grant_types": list(grants),
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [self.key.as_dict(private=False)]},
        }
        answer = httpx.post(f"{self.url}/oauth/register", json=metadata)
        assert answer.status_code == 201, answer.text
        self.id = str(answer.json()["client_id"])

    def of_httpx(self) -> AuthlibClient:
        """Authlib over httpx."""
        client = AuthlibClient(
            self.id,
            self.key,
            token_endpoint_auth_method="private_key_jwt",
            revocation_endpoint_auth_method="private_key_jwt",
        )
        client.register_client_auth_method(PrivateKeyJWT(self.token, alg="ES256"))
        return client

    def of_requests(self) -> OAuth2Session:
        """Authlib over requests."""
        client = OAuth2Session(self.id, self.key, token_endpoint_auth_method="private_key_jwt")
        client.register_client_auth_method(PrivateKeyJWT(self.token, alg="ES256"))
        return client

    @property
    def token(self) -> str:
        """The token endpoint."""
        return f"{self.url}/oauth/token"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("peers")
    (folder / "data").mkdir()
    (folder / "data" / "plan.txt").write_text("the plan")
    files = {
        "command": sys.executable,
        "args": [str(ROOT / "examples/servers/files.py"), "--data", str(folder / "data")],
    }
    with gateway(folder, {"files": files}, oauth={"registration": True}) as made:
        now(_people(made))
        yield made


async def _people(running: Running) -> None:
    async with running.person() as driving:
        new = NewIdentity(SubjectKind.PERSON, "/person/me", role=Role.ADMIN, names=(f"os:{person()}",), by="test")
        await driving.identities.enrol(new)
    await running.mission(GOAL)


def acts(running: Running, peer: Peer, path: str) -> None:
    """An admin says which identity a client acts as."""

    async def enrol() -> None:
        async with running.person() as driving:
            owner = (await driving.identities.show(f"os:{person()}")).identity.id
            new = NewIdentity(SubjectKind.AGENT, path, owner, names=(f"client:{peer.id}",), by="test")
            await driving.identities.enrol(new)

    now(enrol())


def tools(url: str, **headers: str) -> httpx.Response:
    """A call of the gateway with a token."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "peer", "version": "1"},
    }}  # fmt: skip
    return httpx.post(url, json=body, headers={"accept": "application/json, text/event-stream", **headers}, timeout=20)


def test_authlib_gets_a_grant_with_private_key_jwt_and_calls_a_server_with_it(running: Running) -> None:
    peer = Peer(running, "authlib over httpx", "client_credentials")
    acts(running, peer, "/agent/httpx")
    resource = running.mcp["files"]
    with peer.of_httpx() as client:
        token = client.fetch_token(peer.token, grant_type="client_credentials", resource=resource)
        told = client.introspect_token(f"{running.url}/oauth/introspect", token=token["access_token"]).json()
        answer = tools(resource, authorization=f"Bearer {token['access_token']}")
        ended = client.revoke_token(f"{running.url}/oauth/revoke", token=token["access_token"])
        after = client.introspect_token(f"{running.url}/oauth/introspect", token=token["access_token"]).json()

    assert token["token_type"] == "Bearer"
    assert (told["active"], told["aud"], told["client_id"]) == (True, resource, peer.id)
    assert answer.status_code == 200, answer.text
    assert (ended.status_code, after) == (200, {"active": False}), ended.text


def test_authlib_exchanges_another_agents_token_for_a_part_of_it(running: Running) -> None:
    parent, child = Peer(running, "parent", "client_credentials"), Peer(running, "child", EXCHANGE)
    acts(running, parent, "/agent/parent")
    acts(running, child, "/agent/child")
    resource = running.mcp["files"]
    mine = parent.of_requests().fetch_token(
        parent.token, grant_type="client_credentials", resource=resource, may_act=_identity("/agent/child", running)
    )

    part = child.of_requests().fetch_token(
        child.token,
        grant_type=EXCHANGE,
        subject_token=mine["access_token"],
        subject_token_type=ACCESS,
        gas="200",
    )

    assert part["issued_token_type"] == ACCESS
    assert part["gas"] == 200
    assert part["mission"] == mine["mission"]
    assert part["expires_in"] <= mine["expires_in"]
    assert tools(resource, authorization=f"Bearer {part['access_token']}").status_code == 200


def _identity(path: str, running: Running) -> str:
    async def found() -> str:
        async with running.person() as driving:
            return (await driving.identities.show(path)).identity.id

    return now(found())


def test_authlib_polls_for_a_persons_yes_and_refreshes_what_it_was_given(running: Running) -> None:
    peer = Peer(running, "back channel", CIBA, "refresh_token")
    client = peer.of_requests()
    details = [{"type": "urn:jittrust:mission", "goal": "Read the file plan.txt", "gas": 300}]
    uri, headers, body = client.client_auth("private_key_jwt").prepare(
        "POST", f"{running.url}/oauth/bc-authorize", {}, ""
    )
    form = dict(httpx.QueryParams(body)) | {
        "login_hint": person(), "authorization_details": json.dumps(details), "resource": running.mcp["files"],
        "binding_message": "peer 7", "client_id": peer.id,
    }  # fmt: skip
    del uri, headers
    asked = httpx.post(f"{running.url}/oauth/bc-authorize", data=form)
    assert asked.status_code == 200, asked.text
    poll: dict[str, Any] = {"grant_type": CIBA, "auth_req_id": asked.json()["auth_req_id"]}
    with pytest.raises(Exception, match="authorization_pending"):
        client.fetch_token(peer.token, **poll)
    now(_yes(running))
    time.sleep(asked.json()["interval"])

    token = client.fetch_token(peer.token, **poll)
    first = token["refresh_token"]
    renewed = client.refresh_token(peer.token, refresh_token=first)

    assert token["gas"] <= 300
    assert renewed["refresh_token"] != first
    assert renewed["mission"] == token["mission"]
    assert tools(running.mcp["files"], authorization=f"Bearer {renewed['access_token']}").status_code == 200
    time.sleep(11)
    with pytest.raises(Exception, match="invalid_grant"):
        client.refresh_token(peer.token, refresh_token=first)
    assert tools(running.mcp["files"], authorization=f"Bearer {renewed['access_token']}").status_code == 401


async def _yes(running: Running) -> None:
    async with running.person() as driving:
        waiting = [one for one in await driving.approvals.waiting() if one.state is ApprovalState.WAITING]
        assert len(waiting) == 1
        await driving.approvals.answer(
            waiting[0].id, Answer(approve=True, by=person(), confirmed_by=ConfirmedBy.PIN, pin=PIN)
        )


def test_a_stock_dpop_client_gets_a_grant_bound_to_its_key_and_calls_a_server_with_it(running: Running) -> None:
    from jwskate import Jwk
    from requests_oauth2client import OAuth2Client, PrivateKeyJwt

    peer = Peer(running, "dpop", "client_credentials")
    acts(running, peer, "/agent/dpop")
    # What the person said yes to before was another agent's.
    now(running.mission(GOAL))
    private = Jwk(peer.key.as_dict(private=True) | {"alg": "ES256"})
    client = OAuth2Client(
        token_endpoint=peer.token,
        auth=PrivateKeyJwt(peer.id, private, alg="ES256"),
        testing=True,
    )
    import requests

    resource = running.mcp["files"]
    token = client.client_credentials(dpop=True, resource=resource)
    body: Any = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "peer", "version": "1"},
    }}  # fmt: skip
    answer = requests.post(
        resource, json=body, auth=token, headers={"accept": "application/json, text/event-stream"}, timeout=20
    )

    assert token.token_type == "DPoP"
    assert answer.status_code == 200, answer.text


def test_the_servers_metadata_is_what_a_library_takes(running: Running) -> None:
    from authlib.oauth2.rfc8414 import AuthorizationServerMetadata  # type: ignore[import-untyped]
    from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata

    told = httpx.get(f"{running.url}/.well-known/oauth-authorization-server").json()
    server = AuthorizationServerMetadata(told)
    server.validate_token_endpoint_auth_methods_supported()
    server.validate_grant_types_supported()
    parsed = OAuthMetadata.model_validate(told)
    resource = ProtectedResourceMetadata.model_validate(
        httpx.get(f"{running.url}/.well-known/oauth-protected-resource/mcp/files").json()
    )

    assert str(parsed.token_endpoint) == f"{running.url}/oauth/token"
    assert str(resource.resource) == running.mcp["files"]
