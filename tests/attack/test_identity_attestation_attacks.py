"""Attacks on attestation: replayed tokens, raced join tokens, stolen certificates, renewals as somebody else. Each is refused with one and the same word."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from tests.attesting import (
    ADA,
    CLUSTER,
    DOMAIN,
    NOW,
    Authority,
    Issuer,
    Key,
    base64url,
    come_in,
    enrol,
    entry,
    fresh,
    joined,
    pem,
    peopled,
    pod_claims,
    prove,
    refusals,
    request_of,
    ticket,
    trust,
)
from tests.model.world import World

from jittrust.apps.wiring import offline_identity
from jittrust.core.errors import JitError
from jittrust.core.identity.attest import EvidenceKind, TrustedIssuer, statement
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.federate import EndpointProfile, FederatedDomain
from jittrust.core.identity.identity import Identity, IdentityState
from jittrust.core.model import SubjectKind
from jittrust.ports.commit import Keep
from jittrust.ports.identities import IdentityChange
from jittrust.ports.issuance import Credentials, Evidence, SvidRequest

JOIN, OIDC, K8S, X509, SVID = (EvidenceKind(name) for name in ("join_token", "oidc", "kubernetes", "x509", "svid"))


async def failed(doing: Awaitable[object], code: str = "attestation_failed") -> str:
    """It is refused with this code; gives what the caller was told."""
    with pytest.raises(JitError) as caught:
        await doing
    assert caught.value.code == code
    return str(caught.value)


# ---- T18: join tokens ---------------------------------------------------------------------------------------------------------------------


async def test_t18_of_a_thousand_that_race_with_one_join_token_one_gets_in() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db")
    token, request = await ticket(there, made.id), request_of(fresh())
    ask = SvidRequest(Evidence(JOIN, token), request)
    results = await asyncio.gather(
        *(there.broker.inner.issuance.attest(ask) for _ in range(1000)), return_exceptions=True
    )
    winners = [one for one in results if isinstance(one, Credentials)]
    assert len(winners) == 1
    assert winners[0].spiffe_id == f"{DOMAIN}/workload/db"
    assert {one.code for one in results if isinstance(one, JitError)} == {"attestation_failed"}
    used = [r for r in await there.records("identity") if r["what"] == "join_token_used"]
    assert len(used) == 1


async def test_t18_a_join_token_that_is_used_ended_unknown_or_of_a_removed_entry_is_refused_alike() -> None:
    there = await peopled()
    made, gone = await entry(there, "/workload/db"), await entry(there, "/workload/gone")
    used, late = await ticket(there, made.id), await ticket(there, made.id, 60.0)
    orphan = await ticket(there, gone.id)
    await come_in(there, JOIN, used, fresh())
    await there.broker.driving.enrolment.remove(gone.id)
    there.clock.now += 61
    told = {
        await failed(come_in(there, JOIN, token, fresh()))
        for token in (used, late, orphan, "A" * 43, used + "A", used.swapcase(), "\udc80", "A" * 5000)
    }
    assert len(told) == 1
    assert set(await refusals(there)) == {
        "there is no such join token",
        "the join token was used before",
        "the join token has ended",
    }


async def test_t18_a_join_token_leads_to_its_own_entry_and_to_no_other() -> None:
    there = await peopled()
    made, _ = await entry(there, "/workload/db"), await entry(there, "/workload/admin")
    token = await ticket(there, made.id)
    await failed(come_in(there, JOIN, token, fresh(), path="/workload/admin"))
    given = await come_in(there, JOIN, token, fresh(), path="/workload/db")
    assert given.spiffe_id == f"{DOMAIN}/workload/db"


async def test_t18_a_join_token_does_not_outlive_what_its_entry_said() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db")
    token = await ticket(there, made.id)
    await there.broker.driving.enrolment.put(replace(made, spiffe_id=f"{DOMAIN}/workload/admin"))
    await failed(come_in(there, JOIN, token, fresh()))


async def test_t18_a_broken_certificate_request_spends_no_join_token() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db")
    token = await ticket(there, made.id)
    for broken in (b"\x30\x00", request_of(fresh())[:-1], b"x" * 20_000):
        await failed(there.broker.inner.issuance.attest(SvidRequest(Evidence(JOIN, token), broken)), "request_bad")
    await failed(come_in(there, JOIN, token, None), "request_bad")
    await come_in(there, JOIN, token, fresh())


async def test_t18_neither_a_token_nor_its_hash_key_is_in_the_ledger_or_the_store() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db")
    token = await ticket(there, made.id)
    await come_in(there, JOIN, token, fresh())
    assert token not in str(await there.records())
    assert token not in str(there.broker.state.kept)


# ---- T18: tokens of issuers ---------------------------------------------------------------------------------------------------------------


async def ci() -> tuple[World, Issuer]:
    """A broker that trusts a CI's issuer and knows one of its repositories."""
    there, issuer = await peopled(), Issuer()
    await trust(there, issuer)
    await entry(there, "/workflow/deploy", "oidc:github:repository:example/app", kind=SubjectKind.WORKFLOW)
    return there, issuer


async def test_t18_a_token_that_was_shown_for_one_key_is_good_for_no_other() -> None:
    there, issuer = await ci()
    token, key = issuer.token(), fresh()
    await come_in(there, OIDC, token, key)
    await come_in(there, OIDC, token, key)
    await failed(come_in(there, OIDC, token, fresh()))
    await failed(come_in(there, OIDC, token, None, audience=("x",)))
    assert "the token was used before" in await refusals(there)


async def test_t18_a_token_without_jti_is_bound_as_well() -> None:
    there, issuer = await ci()
    token = issuer.token(jti=None)
    await come_in(there, OIDC, token, fresh())
    await failed(come_in(there, OIDC, token, fresh()))


async def test_t18_a_token_shown_without_a_key_is_good_once() -> None:
    there, issuer = await ci()
    token = issuer.token()
    assert (await come_in(there, OIDC, token, None, audience=("api",))).jwt
    await failed(come_in(there, OIDC, token, None, audience=("api",)))
    await failed(come_in(there, OIDC, token, fresh()))


async def test_t18_a_replay_with_another_signature_over_the_same_claims_is_a_replay() -> None:
    there, issuer = await ci()
    token = issuer.token()
    head, body, signature = token.split(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    await come_in(there, OIDC, token, fresh())
    await failed(come_in(there, OIDC, f"{head}.{body}.{base64url(other)}", fresh()))


async def test_t18_strangers_with_an_account_at_a_public_issuer_do_not_fill_what_is_remembered() -> None:
    there, issuer = await ci()
    for n in range(50):
        await failed(come_in(there, OIDC, issuer.token(repository=f"stranger/{n}"), fresh()))
    attestation = there.broker.inner.issuance._attestation  # type: ignore[attr-defined]
    assert attestation._seen._seen == {}


async def test_t18_of_keys_that_race_with_one_token_one_gets_in() -> None:
    there, issuer = await ci()
    token = issuer.token()
    requests = [request_of(fresh()) for _ in range(50)]
    results = await asyncio.gather(
        *(there.broker.inner.issuance.attest(SvidRequest(Evidence(OIDC, token), one)) for one in requests * 4),
        return_exceptions=True,
    )
    winners = {one.chain for one in results if isinstance(one, Credentials)}
    assert 1 <= len(winners) <= 4
    assert sum(isinstance(one, JitError) for one in results) >= 196


BAD_TOKENS: dict[str, Callable[[Issuer], str]] = {
    "another issuer": lambda i: i.token(iss="https://evil.example"),
    "another audience": lambda i: i.token(aud="elsewhere"),
    "no audience": lambda i: i.token(aud=None),
    "an audience among many": lambda i: i.token(aud=["a"] * 20 + ["jittrust.test"]),
    "another repository": lambda i: i.token(repository="example/other"),
    "another spelling of the repository": lambda i: i.token(repository="Example/App"),
    "a repository with a blank": lambda i: i.token(repository="example/app "),
    "over": lambda i: i.token(now=NOW - 301),
    "of tomorrow": lambda i: i.token(now=NOW + 3600),
    "without an end": lambda i: i.token(exp=None),
    "for ever": lambda i: i.token(exp=NOW + 10**8),
    "end as text": lambda i: i.token(exp=str(NOW + 100)),
    "issuer as list": lambda i: i.token(iss=[i.url]),
    "issuer with a slash": lambda i: i.token(iss=i.url + "/"),
    "issuer in capitals": lambda i: i.token(iss=i.url.upper()),
    "of another key under its kid": lambda _: Issuer().token(),
    "of another kid": lambda _: Issuer(kid="k2").token(),
    "cut": lambda i: i.token()[:-10],
    "no signature": lambda i: i.token().rsplit(".", 1)[0] + ".",
    "alg none": lambda i: base64url(b'{"alg":"none","kid":"k1"}') + "." + i.token().split(".")[1] + ".",
    "no token": lambda _: "hello",
    "nothing": lambda _: "",
    "a bomb": lambda _: "e30." * 10_000,
    "a claim twice": lambda i: i.token().split(".")[0] + "." + base64url(b'{"iss":"a","iss":"b"}') + ".AA",
}


@pytest.mark.parametrize("what", BAD_TOKENS)
async def test_t18_a_token_that_is_not_exactly_what_was_trusted_is_refused(what: str) -> None:
    there, issuer = await ci()
    await failed(come_in(there, OIDC, BAD_TOKENS[what](issuer), fresh()))
    assert len(await refusals(there)) == 1


async def test_t18_a_token_of_an_issuer_of_one_kind_is_no_evidence_of_another() -> None:
    there, issuer = await ci()
    await failed(come_in(there, K8S, issuer.token(), fresh()))
    await failed(come_in(there, SVID, issuer.token(), fresh()))
    await failed(come_in(there, JOIN, issuer.token(), fresh()))


async def test_t18_an_issuer_that_is_trusted_no_more_says_nothing() -> None:
    there, issuer = await ci()
    await there.broker.driving.sources.distrust("github", "root")
    await failed(come_in(there, OIDC, issuer.token(), fresh()))


async def test_t18_pods_are_who_their_cluster_says_and_nobody_else() -> None:
    there, cluster = await peopled(), Issuer(CLUSTER)
    await trust(there, cluster, "prod", K8S)
    await entry(there, "/workload/db", "k8s:prod:ns:prod", "k8s:prod:sa:db")
    given = await come_in(there, K8S, cluster.token(pod_claims()), fresh())
    assert given.spiffe_id == f"{DOMAIN}/workload/db"
    contradiction = pod_claims() | {"sub": "system:serviceaccount:prod:web"}
    for claims in (
        pod_claims("web"),
        pod_claims("db", "test"),
        {"sub": "system:serviceaccount:prod:db"},
        contradiction,
    ):
        await failed(come_in(there, K8S, cluster.token(claims), fresh()))


# ---- T18: proof of possession -------------------------------------------------------------------------------------------------------------


async def hosts() -> tuple[World, Authority, Key, str]:
    """A broker that trusts an authority and knows one host."""
    there, authority, key = await peopled(), Authority(), fresh()
    await there.broker.driving.sources.trust(TrustedIssuer("corp", X509, document=authority.pem), "root")
    await entry(there, "/workload/host", "x509pop:corp:subject:cn:host-1")
    return there, authority, key, authority.leaf(key)


async def test_t18_a_host_with_a_certificate_and_its_key_gets_in_once_a_challenge() -> None:
    there, _, key, chain = await hosts()
    request, challenge = request_of(fresh()), await there.broker.inner.issuance.challenge()
    given = await prove(there, X509, chain, key, request, challenge)
    assert given.spiffe_id == f"{DOMAIN}/workload/host"
    await failed(prove(there, X509, chain, key, request, challenge))


async def test_t18_a_certificate_without_its_key_proves_nothing() -> None:
    there, authority, key, chain = await hosts()
    request, issuance = request_of(fresh()), there.broker.inner.issuance
    await failed(prove(there, X509, chain, fresh(), request))
    await failed(come_in(there, X509, chain, fresh()))
    await failed(prove(there, X509, chain, key, request, "A" * 43))
    stale = await issuance.challenge()
    there.clock.now += 60
    await failed(prove(there, X509, chain, key, request, stale))
    # What was signed for one request is moved to another one.
    challenge = await issuance.challenge()
    with pytest.raises(JitError):
        await prove(there, X509, chain, key, request, challenge, path="/workload/other")
    await failed(prove(there, X509, Authority().leaf(key), key, request))
    await failed(prove(there, X509, authority.leaf(key, "host-2"), key, request))
    await failed(prove(there, X509, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", key, request))
    await failed(prove(there, X509, chain * 20, key, request))


async def test_t18_a_proof_is_for_one_request_and_cannot_be_moved_to_another() -> None:
    there, _, key, chain = await hosts()
    challenge = await there.broker.inner.issuance.challenge()
    signature = base64url(key.sign(statement(challenge, request_of(fresh())), ec.ECDSA(SHA256())))
    await failed(come_in(there, X509, chain, fresh(), Evidence(X509, chain, challenge, signature)))


async def test_t18_challenges_that_nobody_uses_do_not_fill_the_memory() -> None:
    there = await peopled()
    first = await there.broker.inner.issuance.challenge()
    made = {await there.broker.inner.issuance.challenge() for _ in range(10_001)}
    assert len(made | {first}) == 10_002
    attestation = there.broker.inner.issuance._attestation  # type: ignore[attr-defined]
    assert len(attestation._challenges) == 10_000


async def test_t18_whoever_sends_rubbish_does_not_fill_the_ledger() -> None:
    there = await peopled()
    for _ in range(200):
        await failed(come_in(there, JOIN, "rubbish", None, audience=("x",)))
    assert len(await refusals(there)) == 20
    there.clock.now += 5
    await failed(come_in(there, JOIN, "rubbish", None, audience=("x",)))
    last = [r for r in await there.records("identity") if r["what"] == "attestation_refused"][-1]
    assert last["unsaid"] == 180


# ---- T20: renewal -------------------------------------------------------------------------------------------------------------------------


class Held:
    """Somebody who holds an SVID."""

    def __init__(self, there: World, path: str, key: Key, given: Credentials) -> None:
        self.there, self.path, self.key, self.given = there, path, key, given

    async def renew(self, **more: object) -> Credentials:
        """Ask for a new one with the one it has."""
        key = more.pop("key", self.key)
        return await prove(self.there, SVID, pem(self.given.chain), key, request_of(fresh()), **more)  # type: ignore[arg-type]


async def holder(there: World, path: str = "/workload/db") -> Held:
    """Somebody came in with a join token."""
    key = fresh()
    return Held(there, path, key, await joined(there, path, key))


async def stop(there: World, name: str, to: IdentityState) -> None:
    """A person stops somebody."""
    await there.broker.driving.identities.change(name, IdentityChange(to=to, by="root", why="test"))


async def test_t20_who_holds_an_svid_and_its_key_renews_it_for_a_new_key() -> None:
    there = await peopled()
    held = await holder(there)
    there.clock.now += 1800
    again = await held.renew()
    assert again.spiffe_id == f"{DOMAIN}/workload/db"
    assert again.chain[0] != held.given.chain[0]


@pytest.mark.parametrize("path", ["/workload/other", f"{DOMAIN}/workload/other", "/workload/db/", "/", "workload/db"])
async def test_t20_a_valid_svid_of_one_never_renews_as_another(path: str) -> None:
    there = await peopled()
    held = await holder(there)
    await holder(there, "/workload/other")
    await failed(held.renew(path=path))


@pytest.mark.parametrize(
    "selectors",
    [
        (f"svid:id:{DOMAIN}/workload/db",),
        ("svid:trust-domain:jittrust.test",),
        (f"svid:id:{DOMAIN}/workload/db", "svid:trust-domain:jittrust.test"),
    ],
)
async def test_t20_an_entry_that_names_our_own_svids_gives_their_holders_nothing(selectors: tuple[str, ...]) -> None:
    there = await peopled()
    held = await holder(there)
    await entry(there, "/workload/admin", *selectors)
    await failed(held.renew(path="/workload/admin"))
    assert (await held.renew()).spiffe_id == f"{DOMAIN}/workload/db"


async def test_t20_the_chain_of_one_with_the_key_of_another_is_refused() -> None:
    there = await peopled()
    held, other = await holder(there), await holder(there, "/workload/other")
    await failed(held.renew(key=other.key))


async def test_t20_a_leaf_of_one_before_the_chain_of_another_is_only_the_leaf() -> None:
    there = await peopled()
    held, other = await holder(there), await holder(there, "/workload/other")
    mixed = pem([other.given.chain[0], held.given.chain[0], *held.given.chain[1:]])
    await failed(prove(there, SVID, mixed, held.key, request_of(fresh()), path="/workload/db"))


@pytest.mark.parametrize("to", [IdentityState.SUSPENDED, IdentityState.RETIRED, IdentityState.STALE])
async def test_t20_who_is_not_active_renews_nothing(to: IdentityState) -> None:
    there = await peopled()
    held = await holder(there)
    if to is IdentityState.STALE:
        known = there.broker.state.of_kind(Identity)[f"{DOMAIN}/workload/db"]
        await there.broker.state.change([Keep(replace(known, state=to, revision=known.revision + 1))], [])
    else:
        await stop(there, "/workload/db", to)
    await failed(held.renew())


@pytest.mark.parametrize("to", [IdentityState.SUSPENDED, IdentityState.RETIRED])
async def test_t20_whose_owner_left_renews_nothing(to: IdentityState) -> None:
    there = await peopled()
    held = await holder(there)
    await stop(there, ADA, to)
    await failed(held.renew())


async def test_t20_a_removed_entry_ends_renewal() -> None:
    there = await peopled()
    held = await holder(there)
    entries = await there.broker.driving.enrolment.entries()
    await there.broker.driving.enrolment.remove(entries[0].id)
    await failed(held.renew())


async def test_t20_an_entry_that_came_later_does_not_renew_who_held_the_name_before() -> None:
    there = await peopled()
    held = await holder(there)
    entries = await there.broker.driving.enrolment.entries()
    await there.broker.driving.enrolment.remove(entries[0].id)
    there.clock.now += 5
    await entry(there, "/workload/db", "unix:uid:1001")
    await failed(held.renew())


async def test_t20_an_entry_that_asks_for_other_facts_now_does_not_renew_on_the_old_ones() -> None:
    there = await peopled()
    held = await holder(there)
    made = (await there.broker.driving.enrolment.entries())[0]
    there.clock.now += 5
    await there.broker.driving.enrolment.put(replace(made, selectors=("unix:uid:1001",)))
    await failed(held.renew())


async def test_t20_a_change_of_the_documents_alone_stops_no_renewal() -> None:
    there = await peopled()
    held = await holder(there)
    made = (await there.broker.driving.enrolment.entries())[0]
    there.clock.now += 5
    await there.broker.driving.enrolment.put(replace(made, x509_seconds=600, hint="db"))
    assert (await held.renew()).hint == "db"


async def test_t20_an_entry_that_has_ended_renews_nothing() -> None:
    there = await peopled()
    key = fresh()
    made = await entry(there, "/workload/db", expires=there.clock.now + 100)
    held = Held(there, "/workload/db", key, await come_in(there, JOIN, await ticket(there, made.id), key))
    there.clock.now += 100
    await failed(held.renew())


async def test_t20_an_svid_that_is_over_renews_nothing() -> None:
    there = await peopled()
    held = await holder(there)
    there.clock.now += 3601
    await failed(held.renew())


async def test_t20_a_renewal_cannot_be_played_again_for_the_thiefs_key() -> None:
    there = await peopled()
    held = await holder(there)
    challenge = await there.broker.inner.issuance.challenge()
    await held.renew(challenge=challenge)
    await failed(held.renew(challenge=challenge))


async def test_t20_an_svid_of_an_unknown_trust_domain_is_refused() -> None:
    there, elsewhere = await peopled(), await peopled()
    held = await holder(elsewhere)
    await entry(there, "/workload/db", "svid:trust-domain:jittrust.test")
    await failed(prove(there, SVID, pem(held.given.chain), held.key, request_of(fresh())))


async def test_t20_a_jwt_svid_renews_its_own_identity_once_and_no_other() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db")
    await holder(there, "/workload/other")
    key, domain = fresh(), "jittrust.test"
    given = await come_in(there, JOIN, await ticket(there, made.id), key, audience=(domain,))
    await failed(come_in(there, SVID, given.jwt, key, path="/workload/other"))
    assert (await come_in(there, SVID, given.jwt, key)).spiffe_id == f"{DOMAIN}/workload/db"
    await failed(come_in(there, SVID, given.jwt, fresh()))


@pytest.mark.parametrize("audience", ["api", "https://jittrust.test", "spiffe://jittrust.test/", "JITTRUST.TEST"])
async def test_t20_a_jwt_svid_for_somebody_else_is_no_evidence_here(audience: str) -> None:
    there = await peopled()
    made = await entry(there, "/workload/db")
    given = await come_in(there, JOIN, await ticket(there, made.id), fresh(), audience=(audience,))
    await failed(come_in(there, SVID, given.jwt, fresh()))


async def test_t20_a_jwt_svid_of_somebody_who_was_stopped_is_refused() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db")
    given = await come_in(there, JOIN, await ticket(there, made.id), fresh(), audience=("jittrust.test",))
    await stop(there, "/workload/db", IdentityState.SUSPENDED)
    await failed(come_in(there, SVID, given.jwt, fresh()))


async def test_t20_a_person_is_never_attested() -> None:
    there = await peopled()
    await enrol(there, "/person/bob", SubjectKind.PERSON)
    for kind in (SubjectKind.WORKLOAD, SubjectKind.PERSON):
        await failed(entry(there, "/person/bob", kind=kind), "entry_bad")


# ---- SVIDs of a federated trust domain -----------------------------------------------------------------------------------------------------

PARTNER = "partner.test"


async def partner(monkeypatch: pytest.MonkeyPatch, path: str) -> tuple[str, Held]:
    """Another broker's bundle, and somebody there who holds an SVID."""
    with monkeypatch.context() as patched:
        patched.setattr("tests.model.world.offline_identity", functools.partial(offline_identity, trust_domain=PARTNER))
        there = await peopled()
    owner = f"spiffe://{PARTNER}/person/ada"
    made = await there.broker.driving.enrolment.put(
        RegistrationEntry("", f"spiffe://{PARTNER}{path}", SubjectKind.WORKLOAD, (), owner, by="root")
    )
    key = fresh()
    given = await come_in(there, JOIN, await ticket(there, made.id), key, audience=("jittrust.test",))
    return await there.broker.driving.bundles.own(), Held(there, path, key, given)


async def federated(there: World, bundle: str, *accepts: str) -> None:
    """An admin accepts some of the partner's identities."""
    domain = FederatedDomain(
        PARTNER, "https://partner.test/bundle", EndpointProfile.HTTPS_WEB, accepts=accepts, bundle=bundle
    )
    await there.broker.driving.federation.federate(domain, "root")


async def shown(there: World, held: Held) -> Credentials:
    """The partner's workload comes to us."""
    return await prove(there, SVID, pem(held.given.chain), held.key, request_of(fresh()))


async def test_t20_an_svid_of_a_federated_domain_leads_to_what_entries_say_of_it_as_long_as_it_is_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, held = await partner(monkeypatch, "/ci/build")
    there = await peopled()
    await entry(there, "/workload/build", f"svid:id:spiffe://{PARTNER}/ci/build")
    await failed(shown(there, held))
    await federated(there, bundle, f"spiffe://{PARTNER}/ci/*")
    assert (await shown(there, held)).spiffe_id == f"{DOMAIN}/workload/build"
    key = fresh()
    assert (await come_in(there, SVID, held.given.jwt, key)).spiffe_id == f"{DOMAIN}/workload/build"
    await failed(come_in(there, SVID, held.given.jwt, fresh()))
    await there.broker.driving.federation.end(PARTNER, "root")
    await failed(shown(there, held))


@pytest.mark.parametrize("accepted", [(), (f"spiffe://{PARTNER}/ci/other",), (f"spiffe://{PARTNER}/c/*",)])
async def test_t20_a_foreign_svid_that_policy_does_not_accept_is_refused_whatever_entries_say(
    accepted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, held = await partner(monkeypatch, "/ci/build")
    there = await peopled()
    await entry(there, "/workload/build", f"svid:trust-domain:{PARTNER}")
    await federated(there, bundle, *accepted)
    await failed(shown(there, held))
    assert await refusals(there) == ["its trust domain is not accepted for this identity"]
