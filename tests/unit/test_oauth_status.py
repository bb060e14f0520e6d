"""What tokens are worth, over HTTP: introspection, revocation, keys, status lists; transaction tokens."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from joserfc import jws as joserfc_jws
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import KeySet
from nacl.signing import SigningKey
from tests.model.world import GOAL, SEED
from tests.oauthing import (
    ACCESS,
    AGENT,
    CREDENTIALS,
    EXCHANGE,
    HELPER,
    ISSUER,
    RESOURCE,
    SERVICE,
    OAuthWorld,
    as_workload,
    claims_of,
    dpop,
    error_of,
    key,
    oauth_world,
    working,
)

from jittrust.core.grant.claims import mint_body
from jittrust.core.grant.grant import PassBinding
from jittrust.core.grant.statement import digest_of_goal
from jittrust.core.grant.states import GrantState
from jittrust.core.identity.identity import IdentityState
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.oauth.introspection import read_introspection
from jittrust.core.oauth.status_list import LIST_SIZE, TokenStanding
from jittrust.core.oauth.transaction import read_transaction
from jittrust.core.response.session import SessionState
from jittrust.core.response.stop import StopScope
from jittrust.core.units import Instant
from jittrust.ports.grants import ChildGrant, NewGrant
from jittrust.ports.identities import IdentityChange

SIGNING = SigningKey(SEED)
KEYS = {"kid": bytes(SIGNING.verify_key)}
CONNECT = "jittrust-connect"
TXN = "urn:ietf:params:oauth:token-type:txn_token"
TRUST_DOMAIN = "jittrust.test"


@dataclass(slots=True)
class Desk:
    """A broker with a mission, an agent with a grant, and a workload that asks."""

    there: OAuthWorld
    mission: Mission
    token: str
    grant: str

    async def asker(self, path: str = "/workload/service") -> dict[str, str]:
        """Who asks: a workload that proves who it is."""
        return as_workload(await self.there.svid(path))

    async def introspect(self, token: str | None = None, asker: Mapping[str, str] | None = None) -> httpx.Response:
        form = {"token": self.token if token is None else token, **(await self.asker() if asker is None else asker)}
        return await self.there.ask(form, path="/oauth/introspect")

    async def active(self) -> bool:
        return bool((await self.introspect()).json()["active"])

    async def standing(self) -> TokenStanding:
        """What the token's status list says, read by fifteen lines that share nothing with ours."""
        place = claims_of(self.token)["status"]["status_list"]
        async with self.there.web() as web:
            answer = await web.get(place["uri"])
        assert answer.headers["content-type"].startswith("application/statuslist+jwt")
        return TokenStanding(status_at(answer.text, place["uri"], place["idx"]))


def status_at(token: str, uri: str, index: int) -> int:
    """draft-ietf-oauth-status-list §8.3, by hand."""
    header, payload, signature = token.split(".")
    SIGNING.verify_key.verify(f"{header}.{payload}".encode(), unpadded(signature))
    assert json.loads(unpadded(header))["typ"] == "statuslist+jwt"
    body = json.loads(unpadded(payload))
    assert body["sub"] == uri
    bits = body["status_list"]["bits"]
    packed = zlib.decompress(unpadded(body["status_list"]["lst"]))
    per_byte = 8 // bits
    return int(packed[index // per_byte] >> (index % per_byte * bits) & ((1 << bits) - 1))


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def desk(**more: Any) -> Desk:  # noqa: ANN401
    there = await oauth_world()
    mission = await working(there)
    for path in ("/agent/coder", "/agent/tester"):
        await there.svid(path)
    new = NewGrant("ada", AGENT, "srv", PassBinding.DPOP, key().jkt, mission=mission.id, client=CONNECT, **more)
    issued = await there.broker.driving.grants.open(new)
    return Desk(there, mission, issued.token, issued.grant.id)


async def test_a_workload_is_told_what_a_live_token_is_worth() -> None:
    here = await desk(uses=4)
    answer = await here.introspect()
    body = answer.json()
    grant = here.there.broker.state.grants[here.grant]

    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert body["active"] is True
    assert (body["iss"], body["sub"], body["aud"], body["client_id"]) == (ISSUER, "ada", RESOURCE, CONNECT)
    assert (body["token_type"], body["cnf"]) == ("DPoP", {"jkt": key().jkt})
    assert body["act"] == {"sub": AGENT, "sub_profile": "ai_agent"}
    assert (body["grant_id"], body["mission"]) == (here.grant, here.mission.id)
    assert (body["gas_left"], body["gas_limit"]) == (grant.gas_left, grant.gas_limit)
    assert (body["uses_left"], body["uses_limit"]) == (4, 4)
    assert [one["identifier"] for one in body["authorization_details"]] == ["srv/read_file", "srv/send_mail"]
    assert body["intent"] == digest_of_goal(here.mission.id, GOAL)
    assert (body["intent_code"], body["role"]) == ("C.send_external", "reader+sender")
    assert body["exp"] == claims_of(here.token)["exp"]


async def test_the_tokens_own_client_may_ask_and_others_learn_nothing() -> None:
    here = await desk()
    other = await here.there.client(CREDENTIALS)

    form, shown = {"token": here.token, "client_id": CONNECT}, dpop(here.there, key(), url=f"{ISSUER}/oauth/introspect")
    assert (await here.there.ask(form, shown, "/oauth/introspect")).json()["active"] is True
    assert (await here.introspect(asker=other.form())).json() == {"active": False}
    assert error_of(await here.introspect(asker={}))[:2] == (401, "invalid_client")
    assert error_of(await here.introspect(asker={"client_id": "nobody"}))[:2] == (401, "invalid_client")
    assert error_of(await here.introspect(token=""))[:2] == (400, "invalid_request")


async def test_what_is_no_live_token_of_ours_is_not_active_and_nothing_more_is_said() -> None:
    here = await desk()
    forged = here.token[:-4] + ("AAAA" if not here.token.endswith("AAAA") else "BBBB")
    elsewhere = mint_body({**claims_of(here.token), "iss": "https://other.example"}, "at+jwt", "kid", sign)
    nobody = mint_body({**claims_of(here.token), "grant_id": "g-none"}, "at+jwt", "kid", sign)
    rebound = mint_body({**claims_of(here.token), "cnf": {"jkt": key(9).jkt}}, "at+jwt", "kid", sign)

    for token in (forged, elsewhere, nobody, rebound, "x", "a.b.c", "\u00e9", "x" * 60_000):
        assert (await here.introspect(token)).json() == {"active": False}


def sign(data: bytes) -> bytes:
    return SIGNING.sign(data).signature


async def test_everything_that_stops_a_grant_shows_in_both_places_at_once() -> None:
    async def stop_grant(here: Desk) -> None:
        await here.there.broker.driving.grants.revoke(here.grant, "enough", "ada")

    async def suspend_session(here: Desk) -> None:
        await here.there.stand(here.mission.id, 20.0, SessionState.SUSPENDED)

    async def kill_session(here: Desk) -> None:
        await here.there.stand(here.mission.id, 0.0, SessionState.KILLED)

    async def suspend_mission(here: Desk) -> None:
        await here.there.put(here.there.broker.state.missions[here.mission.id], MissionState.SUSPENDED)

    async def end_mission(here: Desk) -> None:
        await here.there.put(here.there.broker.state.missions[here.mission.id], MissionState.TERMINATED)

    async def suspend_identity(here: Desk) -> None:
        change = IdentityChange(by="root", to=IdentityState.SUSPENDED, why="odd")
        await here.there.broker.driving.identities.change(AGENT, change)

    async def everything(here: Desk) -> None:
        await here.there.broker.driving.responses.stop(StopScope.EVERYTHING, "*", "fire", "ada")

    async def time(here: Desk) -> None:
        here.there.clock.now += 301

    cases = (
        (stop_grant, {TokenStanding.ENDED}),
        (suspend_session, {TokenStanding.SUSPENDED}),
        (kill_session, {TokenStanding.ENDED}),
        (suspend_mission, {TokenStanding.SUSPENDED}),
        (end_mission, {TokenStanding.ENDED}),
        (suspend_identity, {TokenStanding.SUSPENDED, TokenStanding.ENDED}),
        (everything, {TokenStanding.SUSPENDED, TokenStanding.ENDED}),
        (time, {TokenStanding.ENDED}),
    )
    for change, expected in cases:
        here = await desk()
        assert await here.active()
        assert await here.standing() is TokenStanding.VALID
        await change(here)
        here.there.clock.now += 2  # a list is signed anew every two seconds
        assert not await here.active(), change.__name__
        assert await here.standing() in expected, change.__name__


async def test_a_signed_answer_is_for_the_one_who_asked() -> None:
    here = await desk()
    asker = await here.asker()
    async with here.there.web() as web:
        answer = await web.post(
            "/oauth/introspect",
            data={"token": here.token, **asker},
            headers={"accept": "application/token-introspection+jwt"},
        )
        jwks = (await web.get("/oauth/jwks")).json()
    assert answer.headers["content-type"].startswith("application/token-introspection+jwt")
    said = read_introspection(answer.content, KEYS, ISSUER, SERVICE, Instant(here.there.now))
    independent = joserfc_jwt.decode(answer.text, KeySet.import_key_set(jwks), algorithms=["Ed25519"])

    assert said["active"] is True
    assert independent.header["typ"] == "token-introspection+jwt"
    assert independent.claims["token_introspection"] == said
    assert (independent.claims["iss"], independent.claims["aud"]) == (ISSUER, SERVICE)
    assert not {"sub", "exp", "client_id"} & set(independent.claims)


async def test_the_key_set_is_what_the_tokens_are_signed_with() -> None:
    here = await desk()
    async with here.there.web() as web:
        jwks = (await web.get("/oauth/jwks")).json()

    assert [one["kid"] for one in jwks["keys"]] == ["kid"]
    assert all(set(one) == {"kty", "crv", "x", "kid", "use", "alg"} for one in jwks["keys"])
    read = joserfc_jws.deserialize_compact(here.token, KeySet.import_key_set(jwks), algorithms=["Ed25519"])

    assert json.loads(read.payload)["grant_id"] == here.grant


async def test_its_client_ends_a_token_with_a_proof_of_its_key_and_not_without() -> None:
    here = await desk()
    form = {"token": here.token, "client_id": CONNECT}
    there, url = here.there, f"{ISSUER}/oauth/revoke"

    assert error_of(await there.ask(form, path="/oauth/revoke"))[2] == "key_not_shown"
    assert error_of(await there.ask(form, dpop(there, key(9), url=url), path="/oauth/revoke"))[2] == "key_not_shown"
    assert error_of(await there.ask(form, dpop(there, key()), path="/oauth/revoke"))[1] == "invalid_dpop_proof"
    assert await here.active()

    answer = await there.ask(form, dpop(there, key(), url=url), path="/oauth/revoke")

    assert (answer.status_code, answer.content, answer.headers["cache-control"]) == (200, b"", "no-store")
    assert not await here.active()
    assert there.broker.state.grants[here.grant].state is GrantState.REVOKED
    assert (await there.ask(form, dpop(there, key(), url=url), path="/oauth/revoke")).status_code == 200


async def test_others_end_nothing_and_an_unknown_token_is_no_error() -> None:
    here = await desk()
    other = await here.there.client(CREDENTIALS)

    assert error_of(await here.there.ask({"token": here.token, **other.form()}, path="/oauth/revoke"))[:2] == (
        401,
        "invalid_client",
    )
    stranger = {"token": here.token, **await here.asker()}
    assert error_of(await here.there.ask(stranger, path="/oauth/revoke"))[2] == "token_of_another"
    for token in ("nothing", "a.b.c", here.token[:-3] + "AAA", "jtr_n-1.0." + "A" * 43):
        assert (await here.there.ask({"token": token, **other.form()}, path="/oauth/revoke")).status_code == 200
    assert await here.active()

    agent = {"token": here.token, **await here.asker("/agent/coder")}
    assert (await here.there.ask(agent, path="/oauth/revoke")).status_code == 200
    assert not await here.active()


async def test_a_list_that_was_never_filled_is_not_there() -> None:
    here = await desk()
    async with here.there.web() as web:
        for number in ("1", "-1", "x", "9" * 30, "0x0", "\u0661"):
            answer = await web.get(f"/oauth/status/{number}")
            assert (answer.status_code, answer.json()["code"]) == (404, "status_list_unknown")


async def test_every_grant_has_a_place_of_its_own_also_after_a_restart() -> None:
    here = await desk()
    for _ in range(3):
        for number in range(30):
            await here.there.broker.driving.grants.open(
                NewGrant("ada", f"agent-{number}", "srv", PassBinding.GATEWAY, mission=here.mission.id)
            )
        await here.there.open()
    places = [grant.status for grant in here.there.broker.state.grants.values()]

    assert len(set(places)) == len(places) > 90
    assert all(0 <= at < LIST_SIZE for at in places)


async def test_schemas_are_published() -> None:
    there = await oauth_world()
    async with there.web() as web:
        found = await web.get("/schemas/mcp-call.json")
        missing = await web.get("/schemas/other.json")

    assert found.headers["content-type"].startswith("application/schema+json")
    assert found.json()["properties"]["type"] == {"const": "urn:jittrust:mcp-call"}
    assert missing.status_code == 404


# ---- transaction tokens ---------------------------------------------------------------------------------------------------------------------


async def exchange(here: Desk, asker: Mapping[str, str] | None = None, **change: str) -> httpx.Response:
    form = {
        "grant_type": EXCHANGE,
        "requested_token_type": TXN,
        "audience": TRUST_DOMAIN,
        "subject_token": here.token,
        "subject_token_type": ACCESS,
        **(await here.asker() if asker is None else asker),
        **change,
    }
    return await here.there.ask({name: value for name, value in form.items() if value})


async def test_a_grant_token_becomes_a_transaction_token_of_the_mission() -> None:
    here = await desk()
    answer = await exchange(
        here, scope="srv/read_file", request_details='{"order": 7}', request_context='{"req_ip": "192.0.2.1"}'
    )
    body = answer.json()
    found = read_transaction(body["access_token"].encode(), KEYS, ISSUER, TRUST_DOMAIN, Instant(here.there.now))

    assert (body["token_type"], body["issued_token_type"], body["expires_in"]) == ("N_A", TXN, 60)
    assert (found.transaction, found.subject, found.workload) == (here.mission.id, "ada", SERVICE)
    assert found.scope == ("srv/read_file",)
    assert found.environment == {"req_ip": "192.0.2.1"}
    assert found.context == {
        "grant_id": here.grant,
        "mission": here.mission.id,
        "agent": AGENT,
        "intent": digest_of_goal(here.mission.id, GOAL),
        "intent_code": "C.send_external",
        "details": {"order": 7},
    }
    records = [one for one in await here.there.records("oauth") if one["what"] == "transaction_issued"]
    assert [(one["mission"], one["workload"]) for one in records] == [(here.mission.id, SERVICE)]
    assert body["access_token"] not in json.dumps(records)


async def test_a_replacement_keeps_transaction_subject_audience_and_context_and_never_widens() -> None:
    here = await desk()
    first = (await exchange(here, scope="srv/read_file C.send_external", request_details='{"order": 7}')).json()
    here.there.clock.now += 20
    shown = {"subject_token": first["access_token"], "subject_token_type": TXN}
    coder = await here.asker("/agent/coder")
    second = (await exchange(here, coder, scope="srv/read_file", **shown)).json()
    now = Instant(here.there.now)
    before = read_transaction(first["access_token"].encode(), KEYS, ISSUER, TRUST_DOMAIN, now)
    after = read_transaction(second["access_token"].encode(), KEYS, ISSUER, TRUST_DOMAIN, now)

    assert (after.transaction, after.subject, after.audience) == (before.transaction, before.subject, before.audience)
    assert (after.context, after.environment) == (before.context, before.environment)
    assert (after.scope, after.workload, after.expires) == (("srv/read_file",), AGENT, before.expires)
    wider = {**shown, "subject_token": second["access_token"]}
    for change, code in (
        ({"scope": "srv/send_mail"}, "not_narrower"),
        ({"scope": "srv/read_file C.send_external"}, "not_narrower"),
        ({"scope": "*"}, "not_narrower"),
        ({"request_details": '{"order": 8}'}, "context_fixed"),
        ({"request_context": "{}"}, "context_fixed"),
    ):
        assert error_of(await exchange(here, coder, **{**wider, **change}))[2] == code
    here.there.clock.now += 41
    assert error_of(await exchange(here, coder, **wider))[2] == "token_dead"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"audience": ""}, "audience_unknown"),
        ({"audience": "other.example"}, "audience_unknown"),
        ({"audience": f"spiffe://{TRUST_DOMAIN}"}, "audience_unknown"),
        ({"subject_token": "a.b.c"}, "token_dead"),
        ({"subject_token_type": TXN}, "token_dead"),
        ({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "subject_token_type"),
        ({"scope": "srv/delete_record"}, "not_narrower"),
        ({"scope": "srv/read_file  x"}, "scope_malformed"),
        ({"scope": "a" * 600}, "scope_malformed"),
        ({"request_details": "[]"}, "context_malformed"),
        ({"request_details": '{"a":1,"a":2}'}, "context_malformed"),
        ({"request_details": '{"a":' + "[" * 40 + "]" * 40 + "}"}, "context_malformed"),
        ({"request_context": '{"a":"' + "x" * 3000 + '"}'}, "context_malformed"),
        ({"actor_token": "x"}, "parameter_unknown"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_code(change: dict[str, str], code: str) -> None:
    here = await desk()

    status, _, found = error_of(await exchange(here, None, **change))

    assert (status, found) == (400, code)


async def test_only_a_proven_workload_gets_one_and_only_for_what_still_lives() -> None:
    here = await desk()
    other = await here.there.client(EXCHANGE)

    for asker in (other.form(), {"client_id": CONNECT}):
        status, _, code = error_of(await exchange(here, asker))
        assert (status, code) == (400, "no_workload")
    first = (await exchange(here)).json()["access_token"]
    await here.there.broker.driving.grants.revoke(here.grant, "enough", "ada")
    assert error_of(await exchange(here))[2] == "token_dead"
    again = await exchange(here, subject_token=first, subject_token_type=TXN)
    assert error_of(again)[2] == "token_dead"


# ---- handed down ----------------------------------------------------------------------------------------------------------------------------


async def test_a_part_of_a_grant_names_the_whole_chain_and_ends_with_what_is_above_it() -> None:
    here = await desk(may_act=(HELPER,))
    grants = here.there.broker.driving.grants
    child = await grants.delegate(ChildGrant(here.grant, HELPER, jkt=key(2).jkt), None)
    claims = claims_of(child.token)

    assert claims["sub"] == "ada"
    assert claims["act"] == {
        "sub": HELPER,
        "sub_profile": "ai_agent",
        "act": {"sub": AGENT, "sub_profile": "ai_agent"},
    }
    assert claims["intent"] == claims_of(here.token)["intent"]
    assert claims_of(here.token)["may_act"] == {"sub": HELPER}
    below = Desk(here.there, here.mission, child.token, child.grant.id)
    assert await below.active()
    assert await below.standing() is TokenStanding.VALID

    await grants.revoke(here.grant, "enough", "ada")
    here.there.clock.now += 2

    assert not await below.active()
    assert await below.standing() is TokenStanding.ENDED


async def test_revoking_a_part_leaves_what_it_was_carved_from() -> None:
    here = await desk(may_act=(HELPER,))
    child = await here.there.broker.driving.grants.delegate(ChildGrant(here.grant, HELPER, jkt=key(2).jkt), None)
    below = Desk(here.there, here.mission, child.token, child.grant.id)

    answer = await here.there.ask({"token": child.token, **await here.asker("/agent/tester")}, path="/oauth/revoke")

    assert answer.status_code == 200
    assert not await below.active()
    assert await here.active()
