"""T1: every token that this house signs, as it is really made, in front of every reader that it has. Each takes its own kind and nothing else.

`test_typ_confusion` relabels one claims set with every `typ`; here nothing is relabelled, so that the claims of one kind cannot pass for another's
either, and the whole endpoints are asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import pytest
from nacl.signing import SigningKey
from tests.model.world import SEED
from tests.oauthing import (
    ACCESS,
    AGENT,
    EXCHANGE,
    ISSUER,
    RESOURCE,
    SERVICE,
    OAuthWorld,
    as_workload,
    dpop,
    key,
    oauth_world,
    working,
)

from jittrust.core.errors import BadInputError, JitError, RefusedError
from jittrust.core.grant import jws
from jittrust.core.grant.claims import TokenRules, mint_body, verify
from jittrust.core.grant.grant import PassBinding
from jittrust.core.grant.present import (
    PresentationRules,
    PresentedRequest,
    check_bearer,
    check_key_proof,
    check_presentation,
)
from jittrust.core.grant.proof import make_proof
from jittrust.core.model import Json
from jittrust.core.oauth.introspection import read_introspection
from jittrust.core.oauth.status_list import read_list
from jittrust.core.oauth.transaction import read_transaction
from jittrust.core.units import Instant
from jittrust.ports.grants import NewGrant
from jittrust.verify import Verifier

TXN = "urn:ietf:params:oauth:token-type:txn_token"
TRUST_DOMAIN = "jittrust.test"
SIGNING = SigningKey(SEED)
KEYS = {"kid": bytes(SIGNING.verify_key)}
LIST = f"{ISSUER}/oauth/status/0"

KINDS = (
    "access token",
    "bearer access token",
    "key proof",
    "transaction token",
    "status list",
    "introspection answer",
    "JWT-SVID",
    "identity assertion",
    "security event",
    "workload identity token",
    "refresh token",
)


def sign(data: bytes) -> bytes:
    return SIGNING.sign(data).signature


@dataclass(slots=True)
class Bench:
    """A broker, one token of each kind, and who asks."""

    there: OAuthWorld
    tokens: Mapping[str, str]

    @property
    def now(self) -> Instant:
        return Instant(self.there.now)

    async def asker(self) -> dict[str, str]:
        return as_workload(await self.there.svid("/workload/service"))


async def bench() -> Bench:
    there = await oauth_world()
    mission = await working(there)
    svid = await there.svid("/agent/coder", RESOURCE)
    await there.svid("/workload/service")
    grants, now = there.broker.driving.grants, int(there.now)
    bound = await grants.open(
        NewGrant("ada", AGENT, "srv", PassBinding.DPOP, key().jkt, mission=mission.id, client="jittrust-connect")
    )
    loose = await grants.open(NewGrant("ada", AGENT, "srv", PassBinding.GATEWAY, mission=mission.id))
    form = {
        "grant_type": EXCHANGE,
        "requested_token_type": TXN,
        "audience": TRUST_DOMAIN,
        "subject_token": bound.token,
        "subject_token_type": ACCESS,
        **as_workload(await there.svid("/workload/service")),
    }
    transaction = (await there.ask(form)).json()["access_token"]
    async with there.web() as web:
        status_list = (await web.get("/oauth/status/0")).text
        answer = await web.post(
            "/oauth/introspect",
            data={"token": bound.token, **as_workload(await there.svid("/workload/service"))},
            headers={"accept": "application/token-introspection+jwt"},
        )
    common: dict[str, Json] = {
        "iss": ISSUER,
        "sub": "ada",
        "aud": RESOURCE,
        "iat": now,
        "exp": now + 60,
        "jti": "j" * 16,
    }
    assertion: dict[str, Json] = {**common, "client_id": "agent", "resource": RESOURCE}
    events: dict[str, Json] = {
        **common,
        "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}},
    }
    workload: dict[str, Json] = {**common, "cnf": {"jwk": dict(key().jwk)}}
    tokens = {
        "access token": bound.token,
        "bearer access token": loose.token,
        "key proof": dpop(there, key(), url=RESOURCE),
        "transaction token": transaction,
        "status list": status_list,
        "introspection answer": answer.text,
        "JWT-SVID": svid,
        # Kinds that we take or will make; signed by our own key, as if it were used for them too.
        "identity assertion": mint_body(assertion, "oauth-id-jag+jwt", "kid", sign),
        "security event": mint_body(events, "secevent+jwt", "kid", sign),
        "workload identity token": mint_body(workload, "wit+jwt", "kid", sign),
        "refresh token": "jtr_n-1.0." + "A" * 43,
    }
    assert set(tokens) == set(KINDS)
    return Bench(there, tokens)


async def as_access(here: Bench, token: str) -> None:
    verify(token.encode(), KEYS, TokenRules(ISSUER, RESOURCE), here.now)


async def as_shown(here: Bench, token: str) -> None:
    proof = make_proof(key(), method="POST", url=RESOURCE, iat=here.now, jti=here.there.names("jti-12345"), token=token)
    rules = PresentationRules(TokenRules(ISSUER, RESOURCE))
    check_presentation(PresentedRequest("POST", RESOURCE, [f"DPoP {token}"], [proof]), KEYS, rules, here.now)


async def as_bearer(here: Bench, token: str) -> None:
    rules = PresentationRules(TokenRules(ISSUER, RESOURCE))
    check_bearer(PresentedRequest("POST", RESOURCE, [f"Bearer {token}"], []), KEYS, rules, here.now)


async def as_verified(here: Bench, token: str) -> None:
    made = Verifier(ISSUER, RESOURCE, KEYS, clock=lambda: here.there.now)
    proof = make_proof(key(), method="POST", url=RESOURCE, iat=here.now, jti="j" * 16, token=token)
    made.check("POST", RESOURCE, {"Authorization": f"DPoP {token}", "DPoP": proof})


async def as_proof(here: Bench, token: str) -> None:
    check_key_proof(token, "POST", RESOURCE, here.now)


async def as_transaction(here: Bench, token: str) -> None:
    read_transaction(token.encode(), KEYS, ISSUER, TRUST_DOMAIN, here.now)


async def as_list(here: Bench, token: str) -> None:
    read_list(token.encode(), KEYS, LIST, ISSUER, here.now)


async def as_answer(here: Bench, token: str) -> None:
    read_introspection(token.encode(), KEYS, ISSUER, SERVICE, here.now)


async def as_svid(here: Bench, token: str) -> None:
    await here.there.broker.driving.bundles.check_jwt(token, RESOURCE)


async def as_introspected(here: Bench, token: str) -> None:
    answer = await here.there.ask({"token": token, **await here.asker()}, path="/oauth/introspect")
    assert answer.status_code == 200
    if answer.json() == {"active": False}:
        raise RefusedError("not_active", "not active")


async def exchanged(here: Bench, token: str, kind: str) -> None:
    form = {
        "grant_type": EXCHANGE,
        "requested_token_type": TXN,
        "audience": TRUST_DOMAIN,
        "subject_token": token,
        "subject_token_type": kind,
        **await here.asker(),
    }
    answer = await here.there.ask(form)
    assert answer.status_code < 500
    if answer.status_code != 200:
        raise RefusedError(answer.json()["code"], "refused")


async def as_subject(here: Bench, token: str) -> None:
    await exchanged(here, token, ACCESS)


async def as_replaced(here: Bench, token: str) -> None:
    await exchanged(here, token, TXN)


async def as_revoked(here: Bench, token: str) -> None:
    form = {"token": token, "client_id": "jittrust-connect"}
    proof = dpop(here.there, key(), url=f"{ISSUER}/oauth/revoke")
    before = {name: grant.state for name, grant in here.there.broker.state.grants.items()}
    answer = await here.there.ask(form, proof, path="/oauth/revoke")
    assert answer.status_code < 500
    if before == {name: grant.state for name, grant in here.there.broker.state.grants.items()}:
        raise RefusedError("nothing_ended", "nothing was ended")


async def as_client(here: Bench, token: str) -> None:
    answer = await here.there.ask({"token": "x", **as_workload(token)}, path="/oauth/introspect")
    assert answer.status_code < 500
    if answer.status_code != 200:
        raise RefusedError(answer.json()["code"], "refused")


READERS: Mapping[str, tuple[Callable[[Bench, str], Awaitable[None]], frozenset[str]]] = {
    "access token": (as_access, frozenset({"access token", "bearer access token"})),
    "presentation": (as_shown, frozenset({"access token"})),
    "bearer presentation": (as_bearer, frozenset({"bearer access token"})),
    "jittrust.verify": (as_verified, frozenset({"access token"})),
    "key proof": (as_proof, frozenset({"key proof"})),
    "transaction token": (as_transaction, frozenset({"transaction token"})),
    "status list": (as_list, frozenset({"status list"})),
    "introspection answer": (as_answer, frozenset({"introspection answer"})),
    "JWT-SVID": (as_svid, frozenset({"JWT-SVID"})),
    "introspection": (as_introspected, frozenset({"access token", "bearer access token"})),
    "exchange of a grant token": (as_subject, frozenset({"access token", "bearer access token"})),
    "exchange of a transaction token": (as_replaced, frozenset({"transaction token"})),
    "revocation": (as_revoked, frozenset({"access token"})),
    "client authentication": (as_client, frozenset()),  # the JWT-SVID here is for another audience
}


@pytest.mark.parametrize("reader", READERS)
async def test_t1_a_reader_takes_its_own_kind_and_no_other(reader: str) -> None:
    read, own = READERS[reader]
    here = await bench()
    # What it should take comes last: taking it may change what stands.
    for kind in sorted(KINDS, key=lambda kind: kind in own):
        if kind in own:
            await read(here, here.tokens[kind])
            continue
        with pytest.raises((RefusedError, BadInputError)) as refused:
            await read(here, here.tokens[kind])
        assert isinstance(refused.value, JitError), (reader, kind)


async def test_t1_a_transaction_token_and_an_answer_hold_no_claim_that_would_make_them_access_tokens() -> None:
    here = await bench()
    for kind in ("transaction token", "introspection answer", "status list"):
        body = here.tokens[kind].split(".")[1].encode()
        # Even with the header of an access token the claims would not do.
        token = mint_body(jws.json_object(jws.decode(body), "bad_claims"), "at+jwt", "kid", sign)
        with pytest.raises(RefusedError):
            verify(token.encode(), KEYS, TokenRules(ISSUER, RESOURCE), here.now)


@pytest.mark.parametrize("name", ["Txn-Token", "DPoP"])
async def test_t1_a_token_in_another_header_is_no_credential(name: str) -> None:
    here = await bench()
    made = Verifier(ISSUER, RESOURCE, KEYS, clock=lambda: here.there.now)
    for token in here.tokens.values():
        with pytest.raises(RefusedError):
            made.check("POST", RESOURCE, {name: token})
