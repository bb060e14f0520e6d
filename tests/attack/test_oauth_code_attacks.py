"""From a person's yes to a token: only the client that asked, with its verifier and its key, once, gets a grant of what was said yes to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from tests.consenting import BACK, CHALLENGE, VERIFIER, Consenting, mission, told
from tests.model.world import TOOLS
from tests.oauthing import EXCHANGE, ISSUER, RESOURCE, OAuthWorld, dpop, error_of, key, oauth_world
from tests.people import People

from jittrust.adapters.biscuit.attenuation import attenuation_of
from jittrust.broker.oauth.clients import CONNECT
from jittrust.core.errors import UnavailableError
from jittrust.core.grant.grant import Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.identity.federate import EndpointProfile, FederatedDomain
from jittrust.core.identity.identity import Role
from jittrust.core.model import SubjectKind
from jittrust.core.oauth.client import ClientMethod, ClientSource, OAuthClient
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.renewal import Renewal
from jittrust.core.oauth.spiffe_client import parsed
from jittrust.ports.commit import Change, Committed, Keep
from jittrust.ports.identities import NewIdentity

APP = OAuthClient(
    "client-1",
    ClientSource.REGISTERED,
    ClientMethod.NONE,
    "Mail Agent",
    (BACK,),
    ("authorization_code", "refresh_token"),
)
OTHER = OAuthClient("client-2", ClientSource.REGISTERED, ClientMethod.NONE, "Other", (BACK,), ("authorization_code",))


@dataclass(slots=True)
class Flow:
    """A broker that issues tokens, and Ada in front of it."""

    there: OAuthWorld
    ada: Consenting

    async def code(self, **more: str | None) -> str:
        """A code that Ada's yes gave to `client-1` for the server."""
        return await self.ada.code(mission(gas=500), resource=RESOURCE, **more)


async def flow(**more: object) -> Flow:
    there = await oauth_world(**more)
    await there.join(TOOLS)
    made = People(there)
    there.broker.driving.approvals.require_passkeys(made.passkeys)  # type: ignore[attr-defined]
    ada = Consenting(made)
    for client in (APP, OTHER):
        await ada.know(client)
    ada.signed = await made.enrol(ada.device, "/person/ada", Role.ADMIN)
    return Flow(there, ada)


def bring(given: str, **more: str) -> dict[str, str]:
    form = {
        "grant_type": "authorization_code",
        "client_id": "client-1",
        "code": given,
        "redirect_uri": BACK,
        "code_verifier": VERIFIER,
        **more,
    }
    return {name: value for name, value in form.items() if value != "-"}


async def test_a_yes_becomes_a_grant_of_what_was_shown_with_a_chain_that_renews_it() -> None:
    here = await flow()

    answer = await here.there.ask(bring(await here.code()), dpop(here.there, key()))
    body = answer.json()
    renewed = await here.there.ask(
        {"grant_type": "refresh_token", "client_id": "client-1", "refresh_token": body["refresh_token"]},
        dpop(here.there, key()),
    )

    grant = here.there.broker.state.grants[body["grant_id"]]
    mission_now = here.there.broker.state.missions[grant.mission]
    assert (grant.agent, grant.client, grant.server, grant.jkt) == ("client-1", "client-1", "srv", key().jkt)
    assert (grant.strictness, int(grant.gas_limit)) == (Strictness.STOCK, 500)
    assert mission_now.person == here.ada.person
    assert [one["type"] for one in body["authorization_details"]] == ["urn:jittrust:mcp-call"] * 2
    assert renewed.status_code == 200
    assert renewed.json()["gas"] <= 500


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"code_verifier": "-"}, "invalid_grant"),
        ({"code_verifier": "w" * 50}, "invalid_grant"),
        ({"code_verifier": CHALLENGE}, "invalid_grant"),
        ({"code_verifier": VERIFIER + "x"}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_grant"),
        ({"redirect_uri": "-"}, "invalid_grant"),
        ({"redirect_uri": BACK + "/"}, "invalid_grant"),
        ({"redirect_uri": "https://evil.example/callback"}, "invalid_grant"),
        ({"client_id": "client-2"}, "invalid_grant"),
        ({"client_id": "-"}, "invalid_client"),
        ({"client_id": "jittrust-connect"}, "invalid_grant"),
        ({"code": "x" * 43}, "invalid_grant"),
        ({"resource": f"{ISSUER}/mcp/other"}, "invalid_target"),
        ({"resource": f"{ISSUER}/mcp/mail"}, "invalid_target"),
    ],
)
async def test_a_code_with_anything_else_than_what_was_asked_with_gives_nothing(
    more: dict[str, str], error: str
) -> None:
    here = await flow()

    answer = await here.there.ask(bring(await here.code(), **more), dpop(here.there, key()))

    assert error_of(answer)[1] in {error, "invalid_request"}
    assert not here.there.broker.state.grants


@pytest.mark.parametrize(
    "more",
    [
        {"code_challenge_method": "plain", "code_challenge": VERIFIER},
        {"code_challenge_method": None},
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge": ""},
        {"code_challenge": "short"},
        {"code_challenge_method": "s256"},
    ],
)
async def test_pkce_is_not_downgraded(more: dict[str, str | None]) -> None:
    here = await flow()
    with pytest.raises(OAuthError) as refused:
        await here.code(**more)
    assert refused.value.error == "invalid_request"


async def test_a_code_that_comes_twice_ends_the_grant_and_the_chain_it_gave() -> None:
    here = await flow()
    code = await here.code()
    first = await here.there.ask(bring(code), dpop(here.there, key()))

    again = await here.there.ask(bring(code), dpop(here.there, key()))
    after = await here.there.ask(
        {"grant_type": "refresh_token", "client_id": "client-1", "refresh_token": first.json()["refresh_token"]},
        dpop(here.there, key()),
    )

    assert error_of(again)[:2] == (400, "invalid_grant")
    assert here.there.broker.state.grants[first.json()["grant_id"]].state is GrantState.REVOKED
    assert error_of(after) == (400, "invalid_grant", "renewal_over")
    assert all(one.ended for one in here.there.broker.state.of_kind(Renewal).values())


@pytest.mark.parametrize(
    "more", [{"gas": "-1"}, {"authorization_details": "{}"}, {"may_act": "a a"}, {"resource": "x"}]
)
async def test_a_request_that_cannot_be_answered_spends_no_code(more: dict[str, str]) -> None:
    here = await flow()
    code = await here.code()

    refused = await here.there.ask(bring(code, **more), dpop(here.there, key()))
    answer = await here.there.ask(bring(code), dpop(here.there, key()))

    assert (refused.status_code, answer.status_code) == (400, 200)


async def test_a_code_that_comes_again_while_its_answer_is_made_leaves_nothing_behind() -> None:
    here = await flow()
    code, there = await here.code(), here.there
    went, reached, goes_on = there.store.commit, asyncio.Event(), asyncio.Event()

    for what in ("opened", "renewal_begun", "granted"):

        async def slow(change: Change, what: str = what) -> Committed:
            done = await went(change)
            if any(one.get("what") == what for one in change.records):
                reached.set()
                await goes_on.wait()
            return done

        code = await here.code(state=what)
        reached.clear()
        goes_on.clear()
        there.store.commit = slow  # type: ignore[method-assign]
        first = asyncio.create_task(there.ask(bring(code), dpop(there, key())))
        await reached.wait()
        second = await there.ask(bring(code), dpop(there, key(5)))
        goes_on.set()
        answer = await first
        there.store.commit = went  # type: ignore[method-assign]

        assert error_of(second)[1] == "invalid_grant"
        if answer.status_code == 200:
            form = {
                "grant_type": "refresh_token",
                "client_id": "client-1",
                "refresh_token": answer.json()["refresh_token"],
            }
            assert error_of(await there.ask(form, dpop(there, key())))[2] == "renewal_over"
        assert {g.state for g in there.broker.state.grants.values()} == {GrantState.REVOKED}
        assert all(one.ended for one in there.broker.state.of_kind(Renewal).values())


async def test_a_code_that_was_asked_for_with_a_key_is_worth_nothing_without_it() -> None:
    here = await flow()
    code = await here.code(dpop_jkt=key().jkt)

    for proof in ("", dpop(here.there, key(2))):
        assert (await here.there.ask(bring(code), proof)).status_code == 400
    assert not here.there.broker.state.grants


async def test_the_answer_names_the_issuer_so_that_a_client_sees_a_mix_up() -> None:
    here = await flow()
    asked = await here.ada.shown(mission(), resource=RESOURCE)

    address = await here.ada.yes(asked)

    assert told(address)["iss"] == ISSUER


async def test_a_refresh_token_is_given_only_to_clients_that_named_it() -> None:
    here = await flow()
    code = await here.ada.code(mission(), resource=RESOURCE, client_id="client-2")

    answer = await here.there.ask(bring(code, client_id="client-2"), dpop(here.there, key()))

    assert answer.status_code == 200
    assert "refresh_token" not in answer.json()


async def test_a_pushed_request_takes_the_key_that_was_proved_with_it() -> None:
    here = await flow()
    form = {
        "client_id": "client-1",
        "response_type": "code",
        "redirect_uri": BACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "resource": RESOURCE,
    }
    url = f"{ISSUER}/oauth/par"

    pushed = await here.there.ask(form, dpop(here.there, key(), url=url), "/oauth/par")
    differs = await here.there.ask({**form, "dpop_jkt": key(2).jkt}, dpop(here.there, key(), url=url), "/oauth/par")
    begun = await here.ada.book.begin({"client_id": "client-1", "request_uri": pushed.json()["request_uri"]})

    assert pushed.status_code == 201
    assert pushed.json()["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    assert begun.jkt == key().jkt
    assert error_of(differs) == (400, "invalid_dpop_proof", "dpop_jkt_differs")


async def test_a_store_that_is_away_gives_no_token_and_loses_none() -> None:
    here = await flow()
    code = await here.code()
    store, went = here.there.store, here.there.store.commit

    async def away(change: Change) -> Committed:
        raise UnavailableError("store_unavailable", "the disk is full")

    store.commit = away  # type: ignore[method-assign]
    refused = await here.there.ask(bring(code), dpop(here.there, key()))
    store.commit = went  # type: ignore[method-assign]
    answer = await here.there.ask(bring(code), dpop(here.there, key()))

    assert error_of(refused)[:2] == (503, "temporarily_unavailable")
    assert "disk" not in refused.text
    assert answer.status_code == 200
    assert len(here.there.broker.state.grants) == 1


async def test_a_grant_is_given_as_a_token_that_its_holder_narrows_alone() -> None:
    narrowing = attenuation_of(b"k" * 32)
    assert narrowing is not None
    here = await flow(attenuation=narrowing)
    given = (await here.there.ask(bring(await here.code()), dpop(here.there, key()))).json()
    form = {
        "grant_type": EXCHANGE,
        "client_id": CONNECT,
        "subject_token": given["access_token"],
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "requested_token_type": "urn:jittrust:token-type:biscuit",
    }

    answer = await here.there.ask({k: v for k, v in form.items() if k != "client_id"}, dpop(here.there, key()))
    stranger = await here.there.ask(form, dpop(here.there, key(2)))
    nobody = await here.there.ask(form)

    read = narrowing.read(answer.json()["access_token"])
    assert (read.grant, read.jkt, read.audience) == (given["grant_id"], key().jkt, RESOURCE)
    assert (answer.json()["token_type"], answer.json()["issued_token_type"]) == ("N_A", form["requested_token_type"])
    for refused in (stranger, nobody):
        assert error_of(refused)[1] == "invalid_dpop_proof"


async def test_a_workload_from_elsewhere_is_a_client_only_where_an_admin_accepts_it_and_acts_as_whom_the_admin_said() -> (
    None
):
    here = await flow()
    clients = here.there.broker.inner.authorization._clients  # type: ignore[attr-defined]
    foreign = FederatedDomain(
        "partner.example",
        "https://partner.example/bundle",
        EndpointProfile.HTTPS_WEB,
        accepts=("spiffe://partner.example/ci/*",),
    )
    await here.there.broker.state.change([Keep(foreign)], [])
    name = "spiffe://partner.example/ci/build"

    alone = await clients.known(name)
    owner = f"spiffe://jittrust.test{'/person/ada'}"
    await here.there.broker.driving.identities.enrol(
        NewIdentity(SubjectKind.AGENT, "/agent/partner-ci", owner, names=(f"client:{name}",), by="root")
    )
    named = await clients.known(name)

    assert parsed(name) is not None
    assert (alone.agent, named.agent) == (name, "spiffe://jittrust.test/agent/partner-ci")
    for other in ("spiffe://partner.example/ops/x", "spiffe://partner.example", "spiffe://other.example/ci/build"):
        with pytest.raises(OAuthError):
            await clients.known(other)
