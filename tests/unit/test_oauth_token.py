"""The token endpoint: who gets which grant, bound to what, and how it is renewed."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.attesting import fresh, request_of
from tests.oauthing import (
    ACCESS,
    ADA,
    AGENT,
    BEARER,
    CREDENTIALS,
    EXCHANGE,
    HELPER,
    ISSUER,
    JWT,
    RESOURCE,
    TOKEN,
    OAuthWorld,
    as_workload,
    claims_of,
    dpop,
    error_of,
    key,
    oauth_world,
    working,
)

from jittrust.broker.oauth.clients import _OURS, CONNECT, Authenticated, ClientBook
from jittrust.broker.oauth.issuing import Holder
from jittrust.broker.oauth.renewals import RenewalBook, grant_request
from jittrust.core.errors import JitError
from jittrust.core.grant import jws
from jittrust.core.grant.grant import PassBinding, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.identity.attest import EvidenceKind, TrustedIssuer
from jittrust.core.identity.identity import IdentityState
from jittrust.core.mission.mission import GoalSource
from jittrust.core.mission.states import MissionState
from jittrust.core.model import SubjectKind
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.renewal import Renewal
from jittrust.core.response.session import SessionState
from jittrust.ports.authorization_server import ClientProof, TokenRequest
from jittrust.ports.commit import Keep
from jittrust.ports.grants import NewGrant
from jittrust.ports.identities import IdentityChange, NewIdentity
from jittrust.ports.issuance import Evidence, SvidRequest
from jittrust.ports.missions import NewMission

IDP = "https://idp.example"
ACTOR = f"{ISSUER}/oauth/actor"


def clients_of(there: OAuthWorld) -> ClientBook:
    return there.broker.inner.authorization._clients  # type: ignore[attr-defined,no-any-return]


def renewals_of(there: OAuthWorld) -> RenewalBook:
    return there.broker.inner.authorization._renewals  # type: ignore[attr-defined,no-any-return]


async def chain(there: OAuthWorld, jkt: str, client: str = CONNECT, gas: int = 0) -> tuple[Renewal, str]:
    """A chain of refresh tokens as an answered code gives one."""
    mission = there.broker.state.current("ada")
    assert mission is not None
    name = there.names("n")
    binding = PassBinding.DPOP if jkt else PassBinding.GATEWAY
    opened = await there.broker.driving.grants.open(
        NewGrant(
            "ada",
            CONNECT,
            "srv",
            binding,
            jkt,
            Strictness.STRICT,
            mission.id,
            request=grant_request(name, 0),
            client=client,
        )
    )
    made = Renewal(
        name, client, CONNECT, "ada", mission.id, "srv", mission.expires, jkt, grant=opened.grant.id, gas=gas
    )
    return made, await renewals_of(there).begin(made)


def renew(token: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "client_id": CONNECT, "refresh_token": token}


# ---- workloads -----------------------------------------------------------------------------------------------------------------------------


async def test_a_workload_gets_a_grant_bound_to_the_key_it_proves_and_its_first_pass_as_the_nonce() -> None:
    there = await oauth_world()
    mission = await working(there)

    answer = await there.ask(
        {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(await there.svid())}, dpop(there, key())
    )

    body = answer.json()
    claims = claims_of(body["access_token"])
    grant = there.broker.state.grants[body["grant_id"]]
    assert (answer.status_code, body["token_type"], body["mission"]) == (200, "DPoP", mission.id)
    assert (claims["aud"], claims["cnf"], claims["client_id"]) == (RESOURCE, {"jkt": key().jkt}, AGENT)
    assert (grant.agent, grant.server, grant.binding, grant.strictness) == (
        AGENT, "srv", PassBinding.DPOP, Strictness.STOCK,
    )  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["dpop-nonce"] not in answer.text
    told = [one for one in await there.records("oauth") if one["what"] == "token_issued"]
    assert [(one["grant"], one["bound"], one["how"]) for one in told] == [(grant.id, "key", CREDENTIALS)]
    assert answer.headers["dpop-nonce"] not in json.dumps(told)


async def test_without_a_proof_the_gateway_keeps_the_passes() -> None:
    there = await oauth_world()
    await working(there)

    answer = await there.ask({"grant_type": CREDENTIALS, **as_workload(await there.svid())})

    grant = there.broker.state.grants[answer.json()["grant_id"]]
    assert (answer.json()["token_type"], grant.binding, grant.server) == ("Bearer", PassBinding.GATEWAY, "")
    assert "dpop-nonce" not in answer.headers
    assert claims_of(answer.json()["access_token"])["aud"] == ISSUER


async def test_a_workload_that_comes_over_tls_gets_a_grant_bound_to_its_certificate() -> None:
    there = await oauth_world()
    await working(there)
    evidence = Evidence(EvidenceKind.JOIN_TOKEN, await there.workload("/agent/coder"))
    given = await there.broker.inner.issuance.attest(SvidRequest(evidence, request_of(fresh()), (), "/agent/coder"))

    answer = await there.broker.inner.authorization.token(
        TokenRequest({"grant_type": CREDENTIALS}, ClientProof(AGENT, chain=given.chain), "", TOKEN)
    )

    thumbprint = jws.encode(hashlib.sha256(given.chain[0]).digest()).decode()
    grant = there.broker.state.grants[str(answer.body["grant_id"])]
    assert (grant.x5t, grant.jkt, grant.agent) == (thumbprint, "", AGENT)
    assert claims_of(str(answer.body["access_token"]))["cnf"] == {"x5t#S256": thumbprint}


async def test_a_jwt_svid_is_grant_enough_and_may_be_shown_again() -> None:
    there = await oauth_world()
    await working(there)
    svid = await there.svid("/agent/coder", TOKEN)

    first, second = [
        await there.ask({"grant_type": BEARER, "assertion": svid, "resource": RESOURCE}, dpop(there, key()))
        for _ in range(2)
    ]

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["grant_id"] != second.json()["grant_id"]


async def test_our_own_client_with_a_workloads_document_gets_a_strict_grant() -> None:
    there = await oauth_world()
    await working(there)
    form = {"grant_type": BEARER, "assertion": await there.svid(), "client_id": CONNECT, "resource": RESOURCE}

    unproven = await there.ask(form)
    answer = await there.ask(form, dpop(there, key()))

    grant = there.broker.state.grants[answer.json()["grant_id"]]
    assert error_of(unproven) == (400, "invalid_dpop_proof", "proof_missing")
    assert (grant.strictness, grant.agent, grant.client) == (Strictness.STRICT, AGENT, CONNECT)


async def test_a_client_with_a_key_acts_as_the_identity_that_has_its_name() -> None:
    there = await oauth_world()
    await working(there)
    client = await there.client(CREDENTIALS)
    alone = await there.ask({"grant_type": CREDENTIALS, **client.form()})
    await there.broker.driving.identities.enrol(
        NewIdentity(SubjectKind.AGENT, "/agent/partner", ADA, names=("client:client-x",), by="root")
    )

    answer = await there.ask({"grant_type": CREDENTIALS, "resource": RESOURCE, **client.form()}, dpop(there, key()))

    assert error_of(alone) == (400, "access_denied", "no_mission")
    assert "goal" in alone.json()["next_step"]
    assert claims_of(answer.json()["access_token"])["client_id"] == "client-x"


async def test_a_mission_that_a_person_started_for_another_agent_is_never_taken() -> None:
    there = await oauth_world()
    svid = await there.svid()
    mission = await working(there)

    async def with_agent(agent: str) -> tuple[int, str]:
        await there.put(replace(there.broker.state.missions[mission.id], agent=agent), MissionState.ACTIVE)
        answer = await there.ask({"grant_type": CREDENTIALS, **as_workload(svid)})
        return answer.status_code, answer.json().get("code", answer.json().get("mission"))

    assert await with_agent(HELPER) == (400, "no_mission")
    assert await with_agent("") == (200, mission.id)


async def test_an_agents_own_mission_goes_before_its_owners_and_gives_no_more_than_the_person_said() -> None:
    there = await oauth_world()
    svid = await there.svid()
    mission = await working(there)
    await there.put(replace(there.broker.state.missions[mission.id], agent=AGENT), MissionState.ACTIVE)
    form = {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(svid)}
    unfetched = await there.ask(form, dpop(there, key()))
    await there.broker.driving.missions.start(NewMission(ADA, "Something else", GoalSource.MISSION_START))
    made = Renewal("n-77", AGENT, AGENT, "ada", mission.id, "srv", mission.expires, key().jkt, gas=100, uses=3)
    await renewals_of(there).begin(made)

    first = await there.ask({**form, "uses": "2", "gas": "5000"}, dpop(there, key()))
    second = await there.ask({**form, "uses": "5"}, dpop(there, key()))
    third = await there.ask(form, dpop(there, key()))

    assert error_of(unfetched)[2] == "no_mission"
    assert (first.json()["mission"], first.json()["gas"], first.json()["uses"]) == (mission.id, 100, 2)
    assert (second.json()["gas"], second.json()["uses"]) == (100, 1)
    assert error_of(third) == (503, "temporarily_unavailable", "renewal_spent")
    await renewals_of(there).end(made, "test", "test")
    assert {g.state for g in there.broker.state.grants.values()} == {GrantState.REVOKED}
    assert error_of(await there.ask(form, dpop(there, key())))[2] == "no_mission"


async def test_the_calls_that_a_person_allowed_are_counted_over_the_whole_chain() -> None:
    there = await oauth_world()
    await working(there)
    made, token = await chain(there, key().jkt)
    renewals = renewals_of(there)
    kept = there.broker.state.of_kind(Renewal)[made.id]
    await there.broker.state.change([Keep(replace(kept, uses=3, revision=2))], [])
    told = []
    for used in (2, 0, 1):
        answer = await there.ask(renew(token), dpop(there, key()))
        token = answer.json()["refresh_token"]
        told.append(answer.json()["uses"])
        grant = there.broker.state.grants[answer.json()["grant_id"]]
        assert grant.uses_left is not None
        there.broker.state.grants[grant.id] = replace(grant, uses_left=grant.uses_left - used)
    over = await there.ask(renew(token), dpop(there, key()))

    assert told == [3, 1, 1]
    assert error_of(over) == (400, "invalid_grant", "uses_exhausted")
    assert renewals.find(token) is not None


async def test_who_was_suspended_is_no_client_any_more() -> None:
    there = await oauth_world()
    await working(there)
    svid = await there.svid()
    await there.broker.driving.identities.change(
        AGENT, IdentityChange(to=IdentityState.SUSPENDED, why="test", by="root")
    )

    answer = await there.ask({"grant_type": CREDENTIALS, **as_workload(svid)})

    assert error_of(answer) == (401, "invalid_client", "svid_refused")
    assert "www-authenticate" in answer.headers


# ---- less than everything --------------------------------------------------------------------------------------------------------------------


async def test_less_can_be_asked_for_and_is_told() -> None:
    there = await oauth_world()
    await working(there)
    details = [{"type": "urn:jittrust:mcp-call", "identifier": "srv/read_file", "actions": ["tools/call"], "uses": 2}]
    form = {
        "grant_type": CREDENTIALS,
        "resource": RESOURCE,
        "authorization_details": json.dumps(details),
        "gas": "50",
        "uses": "3",
        "ttl": "30",
        "may_act": f"{HELPER} other",
        "scope": "anything",
        **as_workload(await there.svid()),
    }

    answer = await there.ask(form, dpop(there, key()))

    body = answer.json()
    grant = there.broker.state.grants[body["grant_id"]]
    assert (body["gas"], body["uses"], body["expires_in"], body["scope"]) == (50, 3, 30, "")
    assert [one["identifier"] for one in body["authorization_details"]] == ["srv/read_file"]
    assert grant.authority is not None
    assert (grant.may_act, grant.uses_limit) == ((HELPER, "other"), 3)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"gas": "-1"}, "number_bad"),
        ({"gas": "NaN"}, "number_bad"),
        ({"gas": "1e9"}, "number_bad"),
        ({"gas": "0"}, "number_bad"),
        ({"uses": "1.5"}, "number_bad"),
        ({"ttl": "9" * 40}, "number_bad"),
        ({"lanes": "99"}, "lanes_too_many"),
        ({"may_act": " ".join(f"a{n}" for n in range(17))}, "may_act_bad"),
        ({"may_act": "a a"}, "may_act_bad"),
        ({"authorization_details": "{}"}, "details_malformed"),
        ({"authorization_details": '[{"type":"urn:jittrust:mission","goal":"everything"}]'}, "mission_needs_a_person"),
        (
            {
                "authorization_details": '[{"type":"urn:jittrust:mcp-call","identifier":"srv/x","actions":["tools/call"]}]'
            },
            "not_narrower",
        ),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_with_its_code(more: dict[str, str], code: str) -> None:
    there = await oauth_world()
    await working(there)

    answer = await there.ask(
        {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(await there.svid()), **more},
        dpop(there, key()),
    )

    assert (answer.status_code, error_of(answer)[2]) == (400, code)
    assert there.broker.state.grants == {}


# ---- identity providers ------------------------------------------------------------------------------------------------------------------------


def id_jag(signer: ECKey, there: OAuthWorld, **over: object) -> str:
    """An identity assertion as a provider makes it for the client."""
    header = {"alg": "ES256", "kid": "idp-1", "typ": str(over.pop("typ", "oauth-id-jag+jwt"))}
    claims = {
        "iss": IDP,
        "sub": "u-7",
        "aud": ISSUER,
        "client_id": "client-x",
        "jti": "jag-1",
        "iat": int(there.now),
        "exp": int(there.now) + 300,
        "resource": RESOURCE,
        **over,
    }
    return jwt.encode(header, {k: v for k, v in claims.items() if v is not None}, signer, algorithms=["ES256"])


async def enterprise() -> tuple[OAuthWorld, ECKey, dict[str, str]]:
    there = await oauth_world()
    signer = ECKey.generate_key("P-256", {"kid": "idp-1"})
    jwks = json.dumps({"keys": [signer.as_dict(private=False) | {"kid": "idp-1", "kty": "EC"}]})
    source = TrustedIssuer("idp", EvidenceKind.OIDC, IDP, ISSUER, jwks)
    await there.broker.driving.sources.trust(source, "root")
    await there.broker.driving.identities.change(
        ADA, IdentityChange(names=(f"oidc:{IDP}#u-7", "email:ada@example.org"), why="test", by="root")
    )
    await working(there)
    client = await there.client(BEARER)
    return there, signer, {"grant_type": BEARER, "client_id": "client-x", "_": client.name}


async def test_an_identity_provider_names_the_person_and_the_grant_goes_under_their_mission() -> None:
    there, signer, form = await enterprise()
    client = await there.client(BEARER, name="client-y")
    form.pop("_")

    answer = await there.ask(
        {**form, "client_id": "client-y", "assertion": id_jag(signer, there, client_id="client-y"), **client.form()},
        dpop(there, key()),
    )

    grant = there.broker.state.grants[answer.json()["grant_id"]]
    assert (grant.agent, grant.server, grant.jkt) == ("client-y", "srv", key().jkt)


@pytest.mark.parametrize(
    ("over", "code"),
    [
        ({"typ": "JWT"}, "svid_refused"),
        ({"typ": "at+jwt"}, "svid_refused"),
        ({"aud": TOKEN}, "assertion_bad"),
        ({"aud": [ISSUER, "https://other.example"]}, "assertion_bad"),
        ({"aud": None}, "assertion_bad"),
        ({"iss": "https://evil.example"}, "issuer_untrusted"),
        ({"iss": None}, "issuer_untrusted"),
        ({"client_id": "somebody-else"}, "assertion_bad"),
        ({"client_id": None}, "assertion_bad"),
        ({"sub": "u-8"}, "person_unknown"),
        ({"sub": "u-8", "email": "ada@example.org"}, "person_unknown"),
        ({"sub": "u-8", "email": "ada@example.org", "email_verified": True}, "person_unknown"),
        ({"sub": None}, "assertion_bad"),
        ({"jti": None}, "assertion_bad"),
        ({"exp": 1}, "assertion_bad"),
        ({"exp": 9e15}, "assertion_bad"),
        ({"iat": None}, "assertion_bad"),
        ({"resource": "https://other.example/mcp/srv"}, "resource_unknown"),
        ({"resource": [RESOURCE, f"{ISSUER}/mcp/mail"]}, "assertion_bad"),
        ({"cnf": {"jkt": "x"}}, "assertion_bad"),
        ({"authorization_details": []}, "details_in_assertion"),
    ],
)
async def test_t12_an_identity_assertion_that_is_not_exactly_right_gives_nothing(
    over: dict[str, object], code: str
) -> None:
    there, signer, _ = await enterprise()
    client = await there.client(BEARER, name="client-y")
    over = {"client_id": "client-y", **over}

    answer = await there.ask({"grant_type": BEARER, "assertion": id_jag(signer, there, **over), **client.form()})

    assert error_of(answer)[2] == code
    assert answer.status_code == 400
    assert there.broker.state.grants == {}


async def test_a_person_known_by_mail_only_is_found_by_a_verified_address_and_never_by_an_unverified_one() -> None:
    there, signer, _ = await enterprise()
    client = await there.client(BEARER, name="client-y")
    await there.broker.driving.identities.change(
        ADA, IdentityChange(forget_names=(f"oidc:{IDP}#u-7",), why="test", by="root")
    )

    async def ask(**over: object) -> int:
        said = id_jag(signer, there, client_id="client-y", sub="u-9", email="ada@example.org", **over)
        return (await there.ask({"grant_type": BEARER, "assertion": said, **client.form()})).status_code

    assert await ask(jti="a") == 400
    assert await ask(jti="b", email_verified="true") == 400
    assert await ask(jti="c", email_verified=True) == 200


async def test_t12_an_identity_assertion_counts_once() -> None:
    there, signer, _ = await enterprise()
    client = await there.client(BEARER, name="client-y")
    said = id_jag(signer, there, client_id="client-y")

    answers = [await there.ask({"grant_type": BEARER, "assertion": said, **client.form()}) for _ in range(2)]

    assert answers[0].status_code == 200
    assert error_of(answers[1]) == (400, "invalid_grant", "assertion_used")


# ---- renewal ---------------------------------------------------------------------------------------------------------------------------------


async def test_a_refresh_token_gives_the_next_grant_and_the_next_token() -> None:
    there = await oauth_world()
    await working(there)
    made, token = await chain(there, key().jkt)

    first = await there.ask(renew(token), dpop(there, key()))
    second = await there.ask(renew(first.json()["refresh_token"]), dpop(there, key()))

    grants = [there.broker.state.grants[one.json()["grant_id"]] for one in (first, second)]
    assert [one.jkt for one in grants] == [key().jkt] * 2
    assert len({made.grant, *(one.id for one in grants)}) == 3
    assert there.broker.state.of_kind(Renewal)[made.id].seq == 2
    assert first.json()["refresh_token"] != second.json()["refresh_token"]
    # Of one chain two grants take calls at once, however fast it is renewed.
    assert there.broker.state.grants[made.grant].state is GrantState.REVOKED
    assert [one.state for one in grants] == [GrantState.ACTIVE] * 2


async def test_a_lost_answer_is_given_again_to_the_same_key_and_there_are_never_two_successors() -> None:
    there = await oauth_world()
    await working(there)
    made, token = await chain(there, key().jkt)
    lost = await there.ask(renew(token), dpop(there, key()))
    there.clock.now += 9

    again = await there.ask(renew(token), dpop(there, key()))

    assert again.json()["refresh_token"] == lost.json()["refresh_token"]
    assert again.json()["grant_id"] == lost.json()["grant_id"]
    assert again.headers["dpop-nonce"] != lost.headers["dpop-nonce"]
    assert there.broker.state.of_kind(Renewal)[made.id].seq == 1


async def test_an_old_refresh_token_ends_the_chain_and_its_grants() -> None:
    there = await oauth_world()
    await working(there)
    made, token = await chain(there, key().jkt)
    first = await there.ask(renew(token), dpop(there, key()))
    there.clock.now += 11

    reused = await there.ask(renew(token), dpop(there, key()))
    after = await there.ask(renew(first.json()["refresh_token"]), dpop(there, key()))

    assert error_of(reused) == (400, "invalid_grant", "renewal_reused")
    assert error_of(after) == (400, "invalid_grant", "renewal_over")
    states = {there.broker.state.grants[one].state for one in (made.grant, first.json()["grant_id"])}
    assert states == {GrantState.REVOKED}
    assert [one["why"] for one in await there.records("oauth") if one["what"] == "renewal_ended"] == [
        "an old refresh token was shown again"
    ]


async def test_a_token_two_steps_old_is_never_a_lost_answer() -> None:
    there = await oauth_world()
    await working(there)
    _, token = await chain(there, key().jkt)
    newest = token
    for _ in range(2):
        newest = (await there.ask(renew(newest), dpop(there, key()))).json()["refresh_token"]

    assert error_of(await there.ask(renew(token), dpop(there, key())))[2] == "renewal_reused"


@pytest.mark.parametrize("proved", [True, False])
async def test_t40_a_copied_refresh_token_without_the_key_ends_nothing(*, proved: bool) -> None:
    there = await oauth_world()
    await working(there)
    made, token = await chain(there, key().jkt)
    first = await there.ask(renew(token), dpop(there, key()))
    there.clock.now += 60

    stolen = await there.ask(renew(token), dpop(there, key(2)) if proved else "")
    owner = await there.ask(renew(first.json()["refresh_token"]), dpop(there, key()))

    assert error_of(stolen)[1] == "invalid_dpop_proof"
    assert owner.status_code == 200
    assert there.broker.state.of_kind(Renewal)[made.id].ended == ""


async def test_what_the_chain_gives_follows_trust_and_ends_with_the_mission() -> None:
    there = await oauth_world()
    mission = await working(there)
    _, token = await chain(there, key().jkt)

    await there.stand(mission.id, 30.0, SessionState.NORMAL)
    answer = await there.ask(renew(token), dpop(there, key()))
    await there.stand(mission.id, 20.0, SessionState.SUSPENDED)
    refused = await there.ask(renew(answer.json()["refresh_token"]), dpop(there, key()))
    await there.put(there.broker.state.missions[mission.id], MissionState.COMPLETED)
    over = await there.ask(renew(answer.json()["refresh_token"]), dpop(there, key()))

    assert (answer.json()["gas"], answer.json()["expires_in"]) == (600, 90)
    assert error_of(refused)[1] == "invalid_grant"
    assert error_of(over) == (400, "invalid_grant", "mission_ended")


async def test_one_chain_is_given_no_more_in_a_span_of_time_than_one_identity() -> None:
    there = await oauth_world()
    await working(there)
    made, token = await chain(there, key().jkt)
    given = 1600
    answer = await there.ask(renew(""))
    for _ in range(5):
        answer = await there.ask(renew(token), dpop(there, key()))
        if answer.status_code != 200:
            break
        token = answer.json()["refresh_token"]
        grant = there.broker.state.grants[answer.json()["grant_id"]]
        # Whatever is given is spent at once.

        there.broker.state.grants[grant.id] = replace(grant, gas_left=type(grant.gas_left)(0))
        given += int(grant.gas_limit)
    assert error_of(answer) == (503, "temporarily_unavailable", "renewal_spent")
    assert given <= 2 * there.rules.grants.gas + 1600
    there.clock.now += 700
    assert (await there.ask(renew(token), dpop(there, key()))).status_code == 200
    assert there.broker.state.of_kind(Renewal)[made.id].ended == ""


async def test_a_chain_goes_on_after_a_crash_between_grant_and_token() -> None:
    there = await oauth_world()
    await working(there)
    made, token = await chain(there, key().jkt)
    who = await clients_of(there).authenticate(ClientProof(CONNECT), ())
    half = await renewals_of(there)._opened(made, 1, who, key().jkt)
    await there.open()

    answer = await there.ask(renew(token), dpop(there, key()))

    assert answer.json()["grant_id"] == half.grant.id
    assert there.broker.state.of_kind(Renewal)[made.id].seq == 1


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "jtr_n-1.0.",
        "jtr_n-1.0." + "A" * 43,
        "jtr_n-99.0." + "A" * 43,
        "jtr_n-1.-1." + "A" * 43,
        "é" * 300,
        "jtr_" * 100,
    ],
)
async def test_what_is_no_refresh_token_of_ours_is_nothing(token: str) -> None:
    there = await oauth_world()
    await working(there)
    await chain(there, key().jkt)

    answer = await there.ask(renew(token), dpop(there, key()))

    assert answer.status_code == 400
    assert renewals_of(there).find(token) is None


async def test_two_renewals_at_once_give_one_successor() -> None:

    there = await oauth_world()
    await working(there)
    made, token = await chain(there, key().jkt)

    answers = await asyncio.gather(*(there.ask(renew(token), dpop(there, key())) for _ in range(8)))

    assert {one.status_code for one in answers} <= {200, 503}
    assert len({one.json()["grant_id"] for one in answers if one.status_code == 200}) == 1
    assert len({one.json()["refresh_token"] for one in answers if one.status_code == 200}) == 1
    assert there.broker.state.of_kind(Renewal)[made.id].seq == 1


# ---- exchange ---------------------------------------------------------------------------------------------------------------------------------


async def parent(there: OAuthWorld, **more: str) -> tuple[str, str, str]:
    """A grant of the coder, its token and its live pass."""
    answer = await there.ask(
        {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(await there.svid()), **more},
        dpop(there, key()),
    )
    return answer.json()["grant_id"], answer.json()["access_token"], answer.headers["dpop-nonce"]


def exchange(token: str, **more: str) -> dict[str, str]:
    return {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS, **more}


async def test_a_parent_gives_a_part_to_another_agents_key_and_spends_a_pass() -> None:
    there = await oauth_world()
    await working(there)
    grant, token, live = await parent(there)
    actor = await there.svid("/agent/tester", ACTOR)
    form = exchange(token, actor_token=actor, actor_token_type=JWT, dpop_jkt=key(2).jkt, gas="100")

    answer = await there.ask(form, dpop(there, key(), live))
    again = await there.ask(form, dpop(there, key(), live))
    other = await there.ask({**form, "gas": "200"}, dpop(there, key(), live))

    body = answer.json()
    child = there.broker.state.grants[body["grant_id"]]
    assert (answer.status_code, body["issued_token_type"], body["token_type"]) == (200, ACCESS, "DPoP")
    assert (child.parent, child.agent, child.jkt, int(child.gas_limit)) == (grant, HELPER, key(2).jkt, 100)
    assert answer.headers["dpop-nonce"] not in {live, body["first_pass"]}
    assert again.json().get("grant_id", child.id) == child.id
    assert other.status_code == 400
    assert [g.id for g in there.broker.state.grants.values() if g.path] == [child.id]


async def test_what_the_child_is_asked_to_do_is_kept_with_its_grant_and_is_no_goal() -> None:
    there = await oauth_world()
    await working(there)
    _, token, live = await parent(there)
    actor = await there.svid("/agent/tester", ACTOR)
    form = exchange(token, actor_token=actor, actor_token_type=JWT, dpop_jkt=key(2).jkt, task="Delete the archive.")

    answer = await there.ask(form, dpop(there, key(), live))

    child = there.broker.state.grants[answer.json()["grant_id"]]
    assert child.task == "Delete the archive."
    assert "archive" not in there.broker.state.missions[child.mission].goal.text


async def test_an_agent_that_may_act_takes_a_part_by_itself_and_nobody_else_does() -> None:
    there = await oauth_world()
    await working(there)
    grant, token, _ = await parent(there, may_act=HELPER)
    helper, stranger = await there.svid("/agent/tester"), await there.svid("/agent/stranger")

    answer = await there.ask({**exchange(token), **as_workload(helper)}, dpop(there, key(2)))
    refused = await there.ask({**exchange(token), **as_workload(stranger)}, dpop(there, key(3)))
    public = await there.ask(exchange(token, client_id=CONNECT), dpop(there, key(3)))

    child = there.broker.state.grants[answer.json()["grant_id"]]
    assert (child.parent, child.agent, child.jkt) == (grant, HELPER, key(2).jkt)
    assert answer.headers["dpop-nonce"]
    assert error_of(refused)[2] == "may_not_act"
    assert error_of(public) == (401, "invalid_client", "client_unproven")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"subject_token": "x"}, "subject_token_bad"),
        ({"subject_token": ""}, "parameter_missing"),
        ({"subject_token_type": JWT}, "token_type_unknown"),
        ({"requested_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "token_type_unknown"),
        ({"requested_token_type": "urn:jittrust:token-type:biscuit"}, "narrowing_missing"),
        ({"actor_token": "x"}, "actor_token_bad"),
        ({"actor_token_type": ACCESS}, "token_type_unknown"),
        ({"actor_token": "", "actor_token_type": ""}, "actor_missing"),
        ({"dpop_jkt": "short"}, "dpop_jkt_bad"),
        ({"audience": "https://other.example"}, "resource_unknown"),
        ({"resource": f"{ISSUER}/mcp/other"}, "resource_unknown"),
        ({"gas": "0"}, "number_bad"),
        ({"task": "x" * 2001}, "bad_task"),
    ],
)
async def test_t11_an_exchange_that_is_not_exactly_right_gives_nothing(more: dict[str, str], code: str) -> None:
    there = await oauth_world()
    await working(there)
    _, token, live = await parent(there)
    form = exchange(
        token, actor_token=await there.svid("/agent/tester", ACTOR), actor_token_type=JWT, dpop_jkt=key(2).jkt
    )

    answer = await there.ask({**form, **more}, dpop(there, key(), live))

    assert (answer.status_code, error_of(answer)[2]) == (400, code)
    assert not any(g.path for g in there.broker.state.grants.values())


async def test_a_document_given_to_a_parent_lets_nobody_act_as_the_child() -> None:
    there = await oauth_world()
    await working(there)
    _, token, live = await parent(there)
    given, wide = await there.svid("/agent/tester", ACTOR), await there.svid("/agent/tester")

    for answer in (
        await there.ask({"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(given)}, dpop(there, key(9))),
        await there.ask({"grant_type": BEARER, "resource": RESOURCE, "assertion": given}, dpop(there, key(9))),
    ):
        assert error_of(answer)[2] == "svid_refused"
    form = exchange(token, actor_token=wide, actor_token_type=JWT, dpop_jkt=key(2).jkt)
    assert error_of(await there.ask(form, dpop(there, key(), live)))[2] == "actor_token_bad"


async def test_a_child_that_is_bound_to_a_key_is_for_one_server_too() -> None:
    there = await oauth_world()
    await working(there)
    mine = {"grant_type": CREDENTIALS, "may_act": HELPER, **as_workload(await there.svid())}
    token = (await there.ask(mine)).json()["access_token"]
    helper = as_workload(await there.svid("/agent/tester"))

    wide = await there.ask({**exchange(token), **helper}, dpop(there, key(2)))
    one = await there.ask({**exchange(token, resource=RESOURCE), **helper}, dpop(there, key(2)))

    assert error_of(wide)[2] == "resource_needed"
    assert one.status_code == 200, one.text


async def test_giving_a_part_away_takes_a_live_pass() -> None:
    there = await oauth_world()
    await working(there)
    _, token, live = await parent(there)
    form = exchange(
        token, actor_token=await there.svid("/agent/tester", ACTOR), actor_token_type=JWT, dpop_jkt=key(2).jkt
    )

    without = await there.ask(form, dpop(there, key()))
    forged = await there.ask(form, dpop(there, key(), "AAAA"))
    first = await there.ask(form, dpop(there, key(), live))
    dead = await there.ask({**form, "gas": "10"}, dpop(there, key(), live))

    assert error_of(without)[2] == "pass_needed"
    assert error_of(forged)[1] == "invalid_dpop_proof"
    assert first.status_code == 200
    assert error_of(dead)[1] == "invalid_dpop_proof"
    assert sum(bool(g.path) for g in there.broker.state.grants.values()) == 1


# ---- bounds -------------------------------------------------------------------------------------------------------------------------------------


async def test_a_grants_key_is_for_one_server() -> None:
    there = await oauth_world()
    await working(there)

    answer = await there.ask({"grant_type": CREDENTIALS, **as_workload(await there.svid())}, dpop(there, key()))

    assert error_of(answer) == (400, "invalid_target", "resource_needed")


async def test_a_refused_request_uses_up_no_proof() -> None:
    there = await oauth_world()
    svid = await there.svid()
    proof = dpop(there, key())
    form = {"grant_type": CREDENTIALS, "resource": RESOURCE, **as_workload(svid)}
    refused = await there.ask(form, proof)
    await working(there)

    taken, replayed = [await there.ask(form, proof) for _ in range(2)]

    assert error_of(refused)[2] == "no_mission"
    assert taken.status_code == 200
    assert error_of(replayed) == (400, "invalid_dpop_proof", "proof_used")


def test_a_holder_is_bound_to_the_key_before_the_certificate() -> None:

    holder = Holder(Authenticated(_OURS, CONNECT, proven=False, x5t="x"), "k")

    assert (holder.binding, holder.x5t, holder.bound) == (PassBinding.DPOP, "", "key")
    assert Holder(Authenticated(_OURS, CONNECT, proven=False, x5t="x"), "").x5t == "x"


async def test_every_refusal_of_the_server_is_one_that_oauth_knows() -> None:
    there = await oauth_world()
    server = there.broker.inner.authorization
    for parameters in ({}, {"grant_type": "password"}, {"grant_type": "authorization_code"}, {"grant_type": BEARER}):
        with pytest.raises(JitError) as refused:
            await server.token(TokenRequest(parameters, ClientProof(CONNECT), "", TOKEN))
        assert isinstance(refused.value, OAuthError)
