"""What is read out of exports, and what becomes of it: made-up exports of example.org in the shape that the three products write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model.world import World, world

from jittrust.apps.cli.identity_import import run_import
from jittrust.core.errors import BadInputError
from jittrust.core.identity.identity import IdentityState, Role
from jittrust.core.identity.importing import ImportPlan, plan_import
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.model import Json, SubjectKind
from jittrust.core.units import Instant
from jittrust.ports.identities import IdentityChange, IdentityQuery, NewIdentity

EXPORTS = Path(__file__).parents[1] / "exports"
DOMAIN = TrustDomain("jittrust.test")
NOW = Instant(1_790_000_000.0)


def plan(name: str, source: str = "") -> ImportPlan:
    return plan_import((EXPORTS / f"{name}.json").read_bytes(), source, DOMAIN)


def made_of(value: Json, source: str = "") -> ImportPlan:
    return plan_import(json.dumps(value).encode(), source, DOMAIN)


def test_a_keycloak_realm_gives_people_and_service_accounts() -> None:
    found = plan("keycloak")

    assert found.source == "keycloak"
    assert [(one.path, one.active) for one in found.identities] == [
        ("/person/keycloak/example/ana", True),
        ("/person/keycloak/example/bea", False),
        ("/person/keycloak/example/s_c3b8_ren", True),
        ("/workload/keycloak/example/nightly", True),
        ("/workload/keycloak/example/https_3a2f2f_reports.example.org_2f_", False),
    ]
    ana, bea, _, nightly, _ = found.identities
    assert (ana.names, ana.display) == (("keycloak:example/u-0001", "email:ana@example.org"), "Ana Alba")
    assert bea.names == ("keycloak:example/u-0002",), "nobody is known by an address that was never verified"
    assert (nightly.kind, nightly.owner_hint) == (SubjectKind.WORKLOAD, "ana@example.org")
    assert nightly.notes == ("its tokens hold every role (full scope)", "realm role deployer")
    assert [(one.place, one.code) for one in found.problems] == [("clients[0]", "no_subject")]


def test_keycloaks_secrets_are_found_with_their_age_and_without_their_value() -> None:
    found = plan("keycloak").findings

    assert [(one.kind, one.path, one.last_four, one.key_id) for one in found] == [
        ("client_secret", "/workload/keycloak/example/nightly", "Tn7R", ""),
        ("client_secret", "/workload/keycloak/example/https_3a2f2f_reports.example.org_2f_", "", ""),
        ("signing_key", "", "", "kp-1"),
    ]
    assert found[0].age_days(NOW) == 2199
    assert found[1].age_days(NOW) is None


def test_an_entra_export_joins_applications_with_their_principals() -> None:
    found = plan("entra")

    assert found.source == "entra"
    assert [(one.path, one.kind, one.active) for one in found.identities] == [
        ("/person/entra/ana_40_example.org", SubjectKind.PERSON, True),
        ("/person/entra/gus_5f_partner.example_23_ext_2340_example.org", SubjectKind.PERSON, True),
        ("/person/entra/old_40_example.org", SubjectKind.PERSON, False),
        ("/workload/entra/33333333-0000-4000-8000-000000000001", SubjectKind.WORKLOAD, True),
        ("/workload/entra/33333333-0000-4000-8000-000000000003", SubjectKind.WORKLOAD, True),
        ("/agent/entra/33333333-0000-4000-8000-000000000004", SubjectKind.AGENT, False),
        ("/workload/entra/33333333-0000-4000-8000-000000000002", SubjectKind.WORKLOAD, True),
    ]
    assert found.identities[1].names == ("entra:11111111-0000-4000-8000-000000000002",), (
        "a guest's address is another's word"
    )
    assert found.identities[3].owner_hint == "ana@example.org"
    assert found.identities[3].names[1:] == (
        "entra:55555555-0000-4000-8000-000000000001",
        "entra:22222222-0000-4000-8000-000000000001",
    )
    assert [(one.kind, one.key_id, one.path[-4:]) for one in found.findings] == [
        ("password_credential", "44444444-0000-4000-8000-000000000001", "0001"),
        ("certificate", "44444444-0000-4000-8000-000000000002", "0001"),
    ]
    assert found.problems == ()


def test_a_page_of_graph_alone_is_read() -> None:
    export = json.loads((EXPORTS / "entra.json").read_bytes())
    for name, count in (("users", 3), ("applications", 2), ("servicePrincipals", 3)):
        page = {"@odata.context": f"https://graph.microsoft.com/v1.0/$metadata#{name}", **export[name]}
        assert len(made_of(page).identities) == count
        assert len(made_of(export[name]["value"], "entra").identities) == count


def test_an_okta_export_gives_people_services_and_tokens() -> None:
    found = plan("okta")

    assert found.source == "okta"
    assert [(one.path, one.active) for one in found.identities] == [
        ("/person/okta/ana_40_example.org", True),
        ("/person/okta/bea_40_example.org", False),
        ("/workload/okta/0oa1", True),
        ("/workload/okta/0oa3", False),
    ]
    assert [(one.kind, one.path, one.last_four, one.key_id) for one in found.findings] == [
        ("client_secret", "/workload/okta/0oa1", "WXYZ", "0oa1"),
        ("signing_key", "/workload/okta/0oa3", "", "key-1"),
        ("api_token", "/person/okta/ana_40_example.org", "", "00T1"),
    ]
    assert [(one.place, one.code) for one in found.problems] == [("apps[1]", "no_subject")]
    assert len(made_of(json.loads((EXPORTS / "okta.json").read_bytes())["users"]).identities) == 2


@pytest.mark.parametrize("name", ["keycloak", "entra", "okta"])
def test_no_secret_of_an_export_is_in_what_was_read(name: str) -> None:
    assert b"canary" in (EXPORTS / f"{name}.json").read_bytes()
    assert "canary" not in repr(plan(name))


@pytest.mark.parametrize("name", ["keycloak", "entra", "okta"])
def test_the_same_export_gives_the_same_ids_and_no_two_are_one(name: str) -> None:
    found = plan(name)
    assert found == plan(name, name)
    assert len({one.path for one in found.identities}) == len(found.identities)
    for one in found.identities:
        assert str(SpiffeId(DOMAIN, one.path)).startswith("spiffe://jittrust.test/")


def test_a_secret_written_as_a_name_or_a_role_is_not_shown() -> None:
    secret = "canary-1234567890-abcd"
    client: Json = {
        "clientId": "c",
        "name": f"see {secret}",
        "secret": secret,
        "serviceAccountsEnabled": True,
        "attributes": {"owner": secret},
    }
    found = made_of({"realm": "r", "clients": [client]})
    assert "canary" not in repr(found)
    assert found.findings[0].last_four == "abcd"
    short = made_of({"realm": "r", "clients": [{"clientId": "c", "secret": "canary7", "serviceAccountsEnabled": True}]})
    assert short.findings[0].last_four == ""


def test_what_cannot_be_read_is_told_with_its_place_and_the_rest_is_kept() -> None:
    found = made_of(
        {
            "realm": "r",
            "users": [
                7,
                {"username": 7},
                {"username": "ok", "enabled": "yes", "firstName": ["x"]},
                {"username": "ok"},
                None,
            ],
            "clients": {"a": 1},
        }
    )
    assert [one.path for one in found.identities] == ["/person/keycloak/r/ok"]
    assert found.identities[0].active is False, "nobody is active by a mistake"
    assert [(one.place, one.code) for one in found.problems] == [
        ("users[0]", "unreadable"),
        ("users[1].username", "unreadable"),
        ("users[1]", "unreadable"),
        ("users[2].firstName", "unreadable"),
        ("users[2].enabled", "unreadable"),
        ("users[3]", "doubled"),
        ("users[4]", "unreadable"),
        ("clients", "unreadable"),
    ]


def test_many_realms_are_read_and_two_of_one_name_stay_apart() -> None:
    found = made_of(
        [{"realm": "a", "users": [{"username": "x"}]}, {"realm": "b", "users": [{"username": "x"}, {"username": "X"}]}]
    )
    assert [one.path for one in found.identities] == ["/person/keycloak/a/x", "/person/keycloak/b/x"]
    assert [one.place for one in found.problems] == ["realms[1].users[1]"]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "json_syntax"),
        (b"[" * 100 + b"]" * 100, "json_too_deep"),
        (b'{"realm":"a","realm":"b"}', "json_duplicate_key"),
        (b'{"realm":"a\\u0000"}', "json_nul"),
        (b'{"realm":"\xff"}', "json_bad_utf8"),
        (b'{"realm":"\\ud800"}', "json_lone_surrogate"),
        (b'{"n":NaN}', "json_not_finite"),
        (b"[]", "import_unrecognised"),
        (b"{}", "import_unrecognised"),
        (b'"realm"', "import_unrecognised"),
        (b'{"realm":7}', "import_unrecognised"),
        (b'{"users":[{"name":"x"}]}', "import_unrecognised"),
        (b" " * (64 * 1024 * 1024 + 1), "json_too_large"),
    ],
)
def test_a_hostile_export_is_refused_with_its_code(document: bytes, code: str) -> None:
    with pytest.raises(BadInputError) as refused:
        plan_import(document, "", DOMAIN)
    assert refused.value.code == code


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(BadInputError) as refused:
        plan_import(b"{}", "ldap", DOMAIN)
    assert refused.value.code == "import_source"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "realm users clients components id username clientId secret attributes serviceAccountsEnabled enabled value appId applications "
                "servicePrincipals owners passwordCredentials keyCredentials userPrincipalName profile login apps apiTokens credentials "
                "oauthClient settings jwks keys status createdDate startDateTime grant_types @odata.context".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=40,
)


@given(ANY, st.sampled_from(["", "keycloak", "entra", "okta"]))
def test_whatever_an_export_holds_it_is_read_or_refused_and_each_path_is_an_id(value: Json, source: str) -> None:
    try:
        found = made_of(value, source)
    except BadInputError:
        return
    assert len({one.path for one in found.identities}) == len(found.identities)
    for one in found.identities:
        SpiffeId(DOMAIN, one.path)
        assert one.display.isprintable()
        assert all(note.isprintable() for note in one.notes)


async def people_of(w: World) -> dict[str, IdentityState]:
    listed = await w.broker.driving.identities.list(IdentityQuery(limit=10_000))
    return {one.id.removeprefix("spiffe://jittrust.test"): one.state for one in listed}


async def with_root() -> World:
    w = await world()
    await w.broker.driving.identities.enrol(NewIdentity(SubjectKind.PERSON, "/person/root", role=Role.ADMIN, by="cli"))
    return w


async def test_an_import_registers_everybody_with_an_owner_and_stops_who_is_stopped_there() -> None:
    w = await with_root()
    identities = w.broker.driving.identities

    dry = await run_import(identities, plan("keycloak"), "/person/root", dry_run=True)
    assert len(await people_of(w)) == 1
    report = await run_import(identities, plan("keycloak"), "/person/root", dry_run=False)

    assert (dry.created, dry.suspended, dry.failed) == (report.created, report.suspended, report.failed)
    assert len(report.created) == 5
    states = await people_of(w)
    assert states["/person/keycloak/example/bea"] is IdentityState.SUSPENDED
    nightly = (await identities.show("keycloak:example/k-0002")).identity
    assert (nightly.owner, nightly.source) == ("spiffe://jittrust.test/person/keycloak/example/ana", "import:keycloak")
    reports = (await identities.show("keycloak:example/k-0003")).identity
    assert reports.owner == "spiffe://jittrust.test/person/root"
    assert all(one.role is Role.NONE for one in await identities.list(IdentityQuery()) if one.id[-4:] != "root")


async def test_an_import_run_again_does_nothing_more_and_brings_nobody_back() -> None:
    w = await with_root()
    identities = w.broker.driving.identities
    await run_import(identities, plan("okta"), "/person/root", dry_run=False)
    await identities.change(
        "/workload/okta/0oa1", IdentityChange(to=IdentityState.SUSPENDED, why="incident", by="root")
    )
    before = await people_of(w), len(await w.records())

    again = await run_import(identities, plan("okta"), "/person/root", dry_run=False)

    assert (again.created, again.suspended, again.failed) == ((), (), ())
    assert len(again.known) == 4
    assert (await people_of(w), len(await w.records())) == before


async def test_one_person_of_several_exports_is_one_person() -> None:
    w = await with_root()
    for name in ("keycloak", "entra", "okta"):
        report = await run_import(w.broker.driving.identities, plan(name), "/person/root", dry_run=False)
        assert report.failed == ()
    ana = (await w.broker.driving.identities.show("email:ana@example.org")).identity
    assert {"keycloak:example/u-0001", "okta:00u1", "entra:11111111-0000-4000-8000-000000000001"} <= set(ana.names)


async def test_what_nobody_answers_for_is_told_and_not_registered() -> None:
    w = await with_root()
    report = await run_import(w.broker.driving.identities, plan("okta"), "", dry_run=False)
    assert [(one.place, one.code) for one in report.failed] == [
        ("apps[0]", "owner_needed"),
        ("apps[2]", "owner_needed"),
    ]
    unknown = await run_import(w.broker.driving.identities, plan("okta"), "/person/nobody", dry_run=False)
    assert {one.code for one in unknown.failed} == {"identity_unknown"}
