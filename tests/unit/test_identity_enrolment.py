"""Who is given which identity, and whose word counts: what an admin may write, and what comes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import replace

import pytest
from tests.attesting import (
    ADA,
    AUDIENCE,
    CLUSTER,
    DOMAIN,
    GITHUB,
    Authority,
    Issuer,
    enrol,
    entry,
    fresh,
    peopled,
    ticket,
)
from tests.model.world import World

from jittrust.adapters.https.token_keys import is_refused
from jittrust.api.workload.attest_http import MAX_BODY, read_svid_request
from jittrust.broker.identity.enrolment import EnrolmentBook
from jittrust.core.errors import BadInputError, JitError
from jittrust.core.identity.attest import EvidenceKind, TrustedIssuer
from jittrust.core.identity.directory import DirectoryToken
from jittrust.core.identity.entry import JoinToken, RegistrationEntry
from jittrust.core.identity.identity import Blueprint, IdentityState
from jittrust.core.model import SubjectKind
from jittrust.ports.identities import IdentityChange


async def refused(code: str, doing: Awaitable[object]) -> None:
    """What is done is refused with exactly this code."""
    with pytest.raises(JitError) as caught:
        await doing
    assert caught.value.code == code


def book(there: World) -> EnrolmentBook:
    """The entries as the rest of the broker sees them."""
    found = there.broker.driving.enrolment
    assert isinstance(found, EnrolmentBook)
    return found


# ---- entries ------------------------------------------------------------------------------------------------------------------------------


async def test_an_entry_is_found_by_all_of_its_selectors_and_by_no_fewer() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db", "unix:uid:998", "unix:path:/bin/db")
    now = there.clock()
    assert book(there).matching(("unix:path:/bin/db", "unix:uid:998", "unix:gid:1"), now) == (made,)
    assert book(there).matching(("unix:uid:998",), now) == ()
    assert book(there).matching((), now) == ()


async def test_an_entry_without_selectors_matches_nobody() -> None:
    there = await peopled()
    await entry(there, "/workload/db")
    assert book(there).matching(("unix:uid:0", "join_token:x", ""), there.clock()) == ()


async def test_an_entry_is_changed_by_its_id_and_found_as_it_is_now() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db", "unix:uid:998")
    changed = await there.broker.driving.enrolment.put(replace(made, selectors=("unix:uid:999",)))
    assert (changed.id, changed.revision) == (made.id, 2)
    assert book(there).matching(("unix:uid:998",), there.clock()) == ()
    assert book(there).matching(("unix:uid:999",), there.clock()) == (changed,)
    await there.broker.driving.enrolment.remove(made.id)
    assert book(there).matching(("unix:uid:999",), there.clock()) == ()
    assert await there.broker.driving.enrolment.entries() == []
    await refused("entry_unknown", there.broker.driving.enrolment.remove(made.id))
    await refused("entry_unknown", there.broker.driving.enrolment.put(made))


async def test_entries_and_join_tokens_outlive_a_restart() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db", "unix:uid:998")
    token = await ticket(there, made.id)
    await there.open()
    assert book(there).matching(("unix:uid:998",), there.clock()) == (made,)
    assert (await book(there).redeem(token, "", "")).id == made.id
    await there.open()
    await refused("attestation_failed", book(there).redeem(token, "", ""))


BAD_ENTRIES = {
    "a foreign trust domain": ({"spiffe_id": "spiffe://other.test/x"}, "entry_bad"),
    "no path": ({"spiffe_id": DOMAIN}, "entry_bad"),
    "a path of the broker": ({"spiffe_id": f"{DOMAIN}/jittrust/broker"}, "entry_bad"),
    "dots": ({"spiffe_id": f"{DOMAIN}/a/../b"}, "spiffe_id_bad"),
    "a person": ({"spiffe_id": f"{DOMAIN}/person/ada"}, "entry_bad"),
    "the kind of people": ({"kind": SubjectKind.PERSON}, "entry_bad"),
    "an owner who is unknown": ({"owner": f"{DOMAIN}/person/nobody"}, "identity_unknown"),
    "no owner": ({"owner": ""}, "identity_unknown"),
    "an owner who is an agent": ({"owner": f"{DOMAIN}/agent/coder"}, "entry_bad"),
    "a blueprint that is unknown": ({"blueprint": "nothing"}, "blueprint_unknown"),
    "a selector without type": ({"selectors": ("uid",)}, "selector_bad"),
    "a selector that is reserved": ({"selectors": ("join_token:abc",)}, "entry_bad"),
    "a selector that cannot be shown": ({"selectors": ("unix:uid:\x1b[0m",)}, "selector_bad"),
    "too many selectors": ({"selectors": tuple(f"unix:gid:{n}" for n in range(100))}, "entry_bad"),
    "a long life": ({"x509_seconds": 86_401}, "entry_bad"),
    "a short life": ({"x509_seconds": 59}, "entry_bad"),
    "a negative life": ({"x509_seconds": -1}, "entry_bad"),
    "a long life of tokens": ({"jwt_seconds": 3601}, "entry_bad"),
    "a short life of tokens": ({"jwt_seconds": 29}, "entry_bad"),
    "a DNS name in capitals": ({"dns_names": ("DB.example.org",)}, "entry_bad"),
    "a wildcard": ({"dns_names": ("*.example.org",)}, "entry_bad"),
    "an address as DNS name": ({"dns_names": ("10.0.0.1",)}, "entry_bad"),
    "a long label": ({"dns_names": ("a" * 64 + ".org",)}, "entry_bad"),
    "an empty label": ({"dns_names": ("a..org",)}, "entry_bad"),
    "a trust domain with a scheme": ({"federates_with": ("spiffe://x",)}, "spiffe_id_bad"),
    "a hint with a line end": ({"hint": "a\nb"}, "entry_bad"),
    "an end that has passed": ({"expires": 1.0}, "entry_bad"),
}


@pytest.mark.parametrize("what", BAD_ENTRIES)
async def test_an_entry_that_says_something_impossible_is_refused_and_stored_nowhere(what: str) -> None:
    there = await peopled()
    await enrol(there, "/agent/coder", SubjectKind.AGENT, owner=ADA)
    over, code = BAD_ENTRIES[what]
    good = RegistrationEntry("", f"{DOMAIN}/workload/db", SubjectKind.WORKLOAD, ("unix:uid:1",), ADA)
    await refused(code, there.broker.driving.enrolment.put(replace(good, **over)))  # type: ignore[arg-type]
    assert await there.broker.driving.enrolment.entries() == []


async def test_nobody_answers_for_an_entry_after_leaving() -> None:
    there = await peopled()
    await there.broker.driving.identities.change(ADA, IdentityChange(to=IdentityState.SUSPENDED, by="root"))
    await refused("owner_inactive", entry(there, "/workload/db"))


async def test_the_owner_and_the_selectors_are_stored_in_one_form() -> None:
    there = await peopled()
    good = RegistrationEntry(
        "", f"{DOMAIN}/workload/db", SubjectKind.WORKLOAD, ("unix:uid:2", "unix:gid:1"), "/person/ada"
    )
    made = await there.broker.driving.enrolment.put(good)
    assert (made.owner, made.selectors) == (ADA, ("unix:gid:1", "unix:uid:2"))


async def test_an_entry_may_name_a_blueprint_that_is_drawn() -> None:
    there = await peopled()
    await there.broker.driving.identities.draw(Blueprint("coder", ADA, unlimited=True, by="root"))
    made = await entry(there, "/agent/coder", "unix:uid:1", kind=SubjectKind.AGENT, blueprint="coder")
    assert made.blueprint == "coder"


# ---- join tokens --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("life", [0.0, 59.0, 7 * 86_400 + 1.0, -1.0, float("nan"), float("inf")])
async def test_a_join_token_lives_for_a_minute_to_a_week(life: float) -> None:
    there = await peopled()
    made = await entry(there, "/workload/db")
    await refused("life_bad", there.broker.driving.enrolment.invite(made.id, life, "root"))  # type: ignore[arg-type]
    await refused("entry_unknown", ticket(there, "n-999"))


async def test_join_tokens_differ_and_are_stored_as_keyed_hashes_alone() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db")
    tokens = {await ticket(there, made.id) for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) == 43 for token in tokens)
    assert {len(one) for one in there.broker.state.of_kind(JoinToken)} == {64}


async def test_join_tokens_that_have_ended_are_forgotten_as_others_are_made() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db")
    for _ in range(20):
        await ticket(there, made.id, 60.0)
    there.clock.now += 61
    await ticket(there, made.id)
    assert len(there.broker.state.of_kind(JoinToken)) == 1


async def test_two_who_change_one_entry_at_once_have_one_winner() -> None:
    there = await peopled()
    made = await entry(there, "/workload/db", "unix:uid:1")
    done = await asyncio.gather(
        *(there.broker.driving.enrolment.put(replace(made, hint=str(n))) for n in range(5)), return_exceptions=True
    )
    known = (await there.broker.driving.enrolment.entries())[0]
    assert known.revision == 1 + sum(isinstance(one, RegistrationEntry) for one in done)


# ---- sources ------------------------------------------------------------------------------------------------------------------------------

JWKS = Issuer().jwks
GOOD_SOURCES = {
    "oidc by discovery": TrustedIssuer("github", EvidenceKind.OIDC, GITHUB, AUDIENCE),
    "oidc with keys": TrustedIssuer("github", EvidenceKind.OIDC, GITHUB, AUDIENCE, JWKS),
    "a path and a port": TrustedIssuer("gitlab", EvidenceKind.OIDC, "https://git.example:8443/a/b", AUDIENCE),
    "a cluster": TrustedIssuer("prod", EvidenceKind.KUBERNETES, CLUSTER, AUDIENCE, JWKS),
    "a cluster of an old make": TrustedIssuer("old", EvidenceKind.KUBERNETES, "kubernetes/serviceaccount", "x", JWKS),
    "a certificate authority": TrustedIssuer("corp", EvidenceKind.X509, document=Authority().pem),
}


@pytest.mark.parametrize("what", GOOD_SOURCES)
async def test_a_source_that_an_admin_trusts_is_listed_until_it_is_not(what: str) -> None:
    there, source = await peopled(), GOOD_SOURCES[what]
    sources = there.broker.driving.sources
    made = await sources.trust(source, "root")
    assert await sources.list() == [made]
    assert (await sources.trust(source, "root")).revision == 2
    await sources.distrust(source.id, "root")
    assert await sources.list() == []
    await refused("issuer_unknown", sources.distrust(source.id, "root"))


BAD_SOURCES = {
    "http": TrustedIssuer("x", EvidenceKind.OIDC, "http://issuer.example", "a"),
    "no issuer": TrustedIssuer("x", EvidenceKind.OIDC, "", "a"),
    "a user": TrustedIssuer("x", EvidenceKind.OIDC, "https://u@issuer.example", "a"),
    "a query": TrustedIssuer("x", EvidenceKind.OIDC, "https://issuer.example?a=b", "a"),
    "a fragment": TrustedIssuer("x", EvidenceKind.OIDC, "https://issuer.example#a", "a"),
    "a blank": TrustedIssuer("x", EvidenceKind.OIDC, "https://issuer.example/ ", "a"),
    "a line end": TrustedIssuer("x", EvidenceKind.OIDC, "https://issuer.example\n", "a"),
    "no audience": TrustedIssuer("x", EvidenceKind.OIDC, "https://issuer.example"),
    "a name with a colon": TrustedIssuer("x:y", EvidenceKind.OIDC, "https://issuer.example", "a"),
    "no name": TrustedIssuer("", EvidenceKind.OIDC, "https://issuer.example", "a"),
    "no JSON": TrustedIssuer("x", EvidenceKind.OIDC, "https://issuer.example", "a", "{"),
    "no keys": TrustedIssuer("x", EvidenceKind.OIDC, "https://issuer.example", "a", '{"keys":[]}'),
    "a key without kid": TrustedIssuer(
        "x", EvidenceKind.OIDC, "https://issuer.example", "a", '{"keys":[{"kty":"EC"}]}'
    ),
    "a private key": TrustedIssuer(
        "x", EvidenceKind.OIDC, "https://i.example", "a", json.dumps({"keys": [Issuer().key.as_dict(private=True)]})
    ),
    "a shared key": TrustedIssuer(
        "x", EvidenceKind.OIDC, "https://i.example", "a", '{"keys":[{"kty":"oct","kid":"1","k":"AAAA"}]}'
    ),
    "a huge document": TrustedIssuer("x", EvidenceKind.OIDC, "https://i.example", "a", " " * 300_000),
    "a cluster without keys and https": TrustedIssuer("x", EvidenceKind.KUBERNETES, "kubernetes/serviceaccount", "a"),
    "no roots": TrustedIssuer("x", EvidenceKind.X509),
    "roots that are none": TrustedIssuer("x", EvidenceKind.X509, document=Authority().leaf(fresh())),
    "roots with an issuer": TrustedIssuer("x", EvidenceKind.X509, "https://i.example", "", Authority().pem),
    "a join token": TrustedIssuer("x", EvidenceKind.JOIN_TOKEN, "https://i.example", "a"),
    "an SVID": TrustedIssuer("x", EvidenceKind.SVID, "https://i.example", "a"),
}


@pytest.mark.parametrize("what", BAD_SOURCES)
async def test_a_source_that_could_not_be_checked_is_not_trusted(what: str) -> None:
    there = await peopled()
    await refused("issuer_bad", there.broker.driving.sources.trust(BAD_SOURCES[what], "root"))
    assert await there.broker.driving.sources.list() == []


async def test_one_issuer_has_one_name_and_a_name_keeps_its_kind() -> None:
    there = await peopled()
    sources = there.broker.driving.sources
    await sources.trust(GOOD_SOURCES["oidc with keys"], "root")
    await refused("issuer_bad", sources.trust(replace(GOOD_SOURCES["oidc with keys"], id="other"), "root"))
    await refused("issuer_bad", sources.trust(replace(GOOD_SOURCES["a certificate authority"], id="github"), "root"))


async def test_a_directory_has_one_live_token() -> None:
    there = await peopled()
    sources, directory = there.broker.driving.sources, there.broker.inner.directory
    first = await sources.directory_token("okta", "root")
    assert await directory.authorised(first) == "okta"
    second = await sources.directory_token("okta", "root")
    other = await sources.directory_token("entra", "root")
    await refused("scim_unauthorised", directory.authorised(first))
    assert await directory.authorised(second) == "okta"
    assert await directory.authorised(other) == "entra"
    assert len(there.broker.state.of_kind(DirectoryToken)) == 2
    told = str(await there.records())
    assert not any(token in told for token in (first, second, other))
    await refused("issuer_bad", sources.directory_token("no such\nname", "root"))


# ---- what comes over the wire -----------------------------------------------------------------------------------------------------------------

BAD_BODIES = {
    "nothing": b"",
    "no object": b"[]",
    "no evidence": b"{}",
    "evidence as text": b'{"evidence":"x"}',
    "a kind that is unknown": b'{"evidence":{"kind":"magic","document":"x"}}',
    "a kind as number": b'{"evidence":{"kind":1,"document":"x"}}',
    "no document": b'{"evidence":{"kind":"oidc"}}',
    "a member that is unknown": b'{"evidence":{"kind":"oidc","document":"x"},"selectors":["unix:uid:0"]}',
    "a member of the evidence that is unknown": b'{"evidence":{"kind":"oidc","document":"x","iss":"y"}}',
    "evidence twice": b'{"evidence":{"kind":"oidc","document":"x"},"evidence":{"kind":"oidc","document":"y"}}',
    "a request that is no base64": b'{"evidence":{"kind":"oidc","document":"x"},"request":"***"}',
    "a request as number": b'{"evidence":{"kind":"oidc","document":"x"},"request":1}',
    "an audience as text": b'{"evidence":{"kind":"oidc","document":"x"},"audience":"a"}',
    "an empty audience": b'{"evidence":{"kind":"oidc","document":"x"},"audience":[""]}',
    "many audiences": b'{"evidence":{"kind":"oidc","document":"x"},"audience":[' + b'"a",' * 20 + b'"a"]}',
    "null": b'{"evidence":{"kind":"oidc","document":null}}',
    "half a surrogate": b'{"evidence":{"kind":"oidc","document":"\\ud800"}}',
    "too deep": b'{"evidence":{"kind":"oidc","document":"x"},"audience":[[[[[[[]]]]]]]}',
    "too large": b'{"evidence":{"kind":"oidc","document":"' + b"x" * MAX_BODY + b'"}}',
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_a_body_that_is_not_exactly_a_request_is_refused(what: str) -> None:
    with pytest.raises(BadInputError):
        read_svid_request(BAD_BODIES[what])


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "ff02::1",
        "0.0.0.0",  # noqa: S104 - nobody listens there
        "::",
        "255.255.255.255",
        "240.0.0.1",
        "nonsense",
    ],
)
def test_t18_keys_are_never_fetched_from_addresses_that_answer_anybody(address: str) -> None:
    assert is_refused(address)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.1.2.3", "192.168.0.1", "140.82.112.3", "2606:50c0::1", "64:ff9b::8c52:7003"]
)
def test_keys_are_fetched_from_usual_addresses_and_from_clusters_inside(address: str) -> None:
    assert not is_refused(address)
