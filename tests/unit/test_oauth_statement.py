"""What a grant's token says of it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.authority.mask import NO_ROLE, mask_of
from jittrust.core.errors import RefusedError
from jittrust.core.grant.claims import (
    MAX_ACTORS,
    AccessClaims,
    InvalidTokenError,
    TokenRules,
    body_of,
    mint,
    mint_body,
    verify,
)
from jittrust.core.grant.grant import Grant, PassBinding, Strictness
from jittrust.core.grant.proof import Ed25519Signer
from jittrust.core.grant.statement import MOST_BYTES, claims_of, digest_of_goal, intent_digest
from jittrust.core.grant.states import GrantState
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.reading import goal_code
from jittrust.core.intent.taxonomy import TAXONOMY
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Json, Tool, ToolAnnotations
from jittrust.core.oauth.status_list import LIST_SIZE
from jittrust.core.units import Gas, Instant

SIGNER = Ed25519Signer.from_secret(bytes(range(32)))
KEYS = {"k1": bytes(SIGNER.key.verify_key)}
ISSUER = "https://broker.example"
URL = f"{ISSUER}/mcp/files"
RULES = TokenRules(ISSUER, URL)
NOW = Instant(1_700_000_000)
READ = AuthorityEntry(
    "e1", "files/read", resource="docs/.*", constraints={"maxProperties": 1}, state=EntryState.APPROVED, why="secret"
)
SEND = AuthorityEntry("e2", "mail/send", uses_left=3, state=EntryState.APPROVED)
MISSION = Mission(
    id="m-1",
    person="anna",
    agent="spiffe://example.org/agent/1",
    goal=Goal(("Read the plan", "and send it to Bo"), GoalSource.MISSION_START),
    state=MissionState.ACTIVE,
    authority=AuthorityMap((READ, SEND, AuthorityEntry("e3", "files/write"))),
    created=NOW,
    confirmed=NOW,
    expires=Instant(NOW + 3600),
)
GRANT = Grant(
    id="g-3",
    mission="m-1",
    family="g-1",
    agent="spiffe://example.org/agent/3",
    server="files",
    binding=PassBinding.DPOP,
    jkt=SIGNER.jkt,
    strictness=Strictness.STRICT,
    state=GrantState.ACTIVE,
    gas_left=Gas(5),
    gas_limit=Gas(5),
    lanes=1,
    issued=NOW,
    expires=Instant(NOW + 300),
    client="https://client.example/app",
    path=("g-1", "g-2"),
    may_act=("spiffe://example.org/agent/4",),
    status=2 * LIST_SIZE + 7,
)
PARENTS = ("spiffe://example.org/agent/1", "spiffe://example.org/agent/2")


def said(grant: Grant = GRANT, mission: Mission = MISSION, parents: tuple[str, ...] = PARENTS) -> AccessClaims:
    return claims_of(grant, mission, ISSUER, URL, "t-1", "C.send_external", "reader+sender", parents)


def test_the_token_says_who_is_accountable_who_acts_what_for_and_what_may_be_done() -> None:
    assert body_of(said()) == {
        "iss": ISSUER,
        "sub": "anna",
        "aud": URL,
        "client_id": "https://client.example/app",
        "iat": 1_700_000_000,
        "exp": 1_700_000_300,
        "jti": "t-1",
        "grant_id": "g-3",
        "mission": "m-1",
        "cnf": {"jkt": SIGNER.jkt},
        "act": {
            "sub": "spiffe://example.org/agent/3",
            "sub_profile": "ai_agent",
            "act": {
                "sub": "spiffe://example.org/agent/2",
                "sub_profile": "ai_agent",
                "act": {"sub": "spiffe://example.org/agent/1", "sub_profile": "ai_agent"},
            },
        },
        "may_act": {"sub": "spiffe://example.org/agent/4"},
        "intent": intent_digest(MISSION),
        "intent_code": "C.send_external",
        "role": "reader+sender",
        "status": {"status_list": {"idx": 7, "uri": f"{ISSUER}/oauth/status/2"}},
        "authorization_details": [
            {
                "type": "urn:jittrust:mcp-call",
                "identifier": "files/read",
                "actions": ["tools/call"],
                "resource": "docs/.*",
                "constraints": {"maxProperties": 1},
            }
        ],
    }


def test_all_of_it_reads_back() -> None:
    claims = said()

    assert verify(mint(claims, "k1", SIGNER.sign).encode(), KEYS, RULES, NOW) == claims


def test_a_grants_own_map_and_every_server_and_a_limit_by_number_are_told() -> None:
    claims = said(replace(GRANT, server="", uses_limit=2, uses_left=1, authority=AuthorityMap((SEND,))))

    assert claims.uses == 2
    assert [(detail["identifier"], detail["uses"]) for detail in claims.details] == [("mail/send", 3)]


def test_what_the_mission_does_not_allow_any_more_is_not_told() -> None:
    own = replace(GRANT, server="", authority=AuthorityMap((READ, SEND)))

    claims = said(own, replace(MISSION, authority=AuthorityMap((SEND, replace(READ, state=EntryState.REFUSED)))))

    assert [detail["identifier"] for detail in claims.details] == ["mail/send"]


def test_a_certificate_takes_the_place_of_a_key_and_no_client_means_the_agent() -> None:
    claims = said(replace(GRANT, jkt="", x5t=SIGNER.jkt, client="", binding=PassBinding.GATEWAY, may_act=("a", "b")))

    assert body_of(claims)["cnf"] == {"x5t#S256": SIGNER.jkt}
    assert (claims.client, claims.may_act) == (GRANT.agent, "")
    assert verify(mint(claims, "k1", SIGNER.sign).encode(), KEYS, RULES, NOW) == claims


def long_map(entries: int, **more: Any) -> AuthorityMap:  # noqa: ANN401
    return AuthorityMap(tuple(replace(READ, id=f"e{at}", tool=f"files/t{at}", **more) for at in range(entries)))


def test_no_token_reaches_six_kibibytes_and_none_tells_only_a_part() -> None:
    for entries in (1, 10, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 60, 2_000):
        claims = said(mission=replace(MISSION, authority=long_map(entries)))
        token = mint(claims, "k" * 64, SIGNER.sign)

        assert len(token) <= MOST_BYTES
        assert len(claims.details) == (0 if claims.details_at else entries)
        assert claims.details_at in {"", f"{ISSUER}/oauth/introspect"}
    assert said(mission=replace(MISSION, authority=long_map(2_000))).details_at


def nested(depth: int) -> Mapping[str, Json]:
    made: Mapping[str, Json] = {"type": "string"}
    for _ in range(depth):
        made = {"items": made}
    return made


@pytest.mark.parametrize("constraints", [nested(14), {"const": "a\x00b"}, {"const": "\ud800"}, {"enum": [[]] * 1200}])
def test_what_no_strict_reader_takes_is_told_elsewhere(constraints: Mapping[str, Json]) -> None:
    claims = said(mission=replace(MISSION, authority=long_map(1, constraints=constraints)))

    assert (claims.details, claims.details_at) == ((), f"{ISSUER}/oauth/introspect")
    assert verify(mint(claims, "k1", SIGNER.sign).encode(), KEYS, RULES, NOW) == claims


def test_a_name_that_no_verifier_takes_gets_no_token() -> None:
    with pytest.raises(RefusedError) as refused:
        said(replace(GRANT, agent="a" * 600))

    assert refused.value.code == "token_too_large"


def test_the_goal_is_told_as_a_digest_that_its_words_and_the_mission_give() -> None:
    plain = b"jittrust intent 1\0m-1\0Read the plan and send it to Bo"
    digest = base64.urlsafe_b64encode(hashlib.sha256(plain).digest()).rstrip(b"=").decode()

    assert intent_digest(MISSION) == digest == digest_of_goal("m-1", " Read  the plan\r\n\tand send it to Bo\n")
    assert intent_digest(replace(MISSION, id="m-2")) != digest
    assert digest_of_goal("m-1", "caf\u00e9") == digest_of_goal("m-1", "cafe\u0301")
    assert digest_of_goal("m-1", "read the plan") != digest_of_goal("m-1", "Read the plan")
    assert digest_of_goal("m-1", "a\u00a0b") != digest_of_goal("m-1", "a b")
    assert intent_digest(replace(MISSION, goal=Goal((), GoalSource.NONE))) == ""


GOOD = body_of(said())


@pytest.mark.parametrize(
    "change",
    [
        {"cnf": {"jkt": SIGNER.jkt, "x5t#S256": SIGNER.jkt}},
        {"cnf": {}},
        {"cnf": None},
        {"cnf": {"kid": SIGNER.jkt}},
        {"cnf": {"x5t#S256": SIGNER.jkt[:-1]}},
        {"cnf": {"x5t#S256": 5}},
        {"act": "spiffe://example.org/agent/3"},
        {"act": None},
        {"act": {}},
        {"act": {"sub": ""}},
        {"act": {"sub": "a", "act": None}},
        {"act": {"sub": "a", "iss": "https://other.example"}},
        {"act": {"sub": "a", "act": {"sub": ["b"]}}},
        {"may_act": ["a"]},
        {"may_act": {"sub": "a", "client_id": "b"}},
        {"status": {}},
        {"status": {"status_list": {"idx": -1, "uri": "u"}}},
        {"status": {"status_list": {"idx": True, "uri": "u"}}},
        {"status": {"status_list": {"idx": 1}}},
        {"status": {"status_list": {"idx": 1, "uri": "u"}, "other": {}}},
        {"intent": ""},
        {"intent": 5},
        {"role": ["reader"]},
        {"uses": -1},
        {"uses": 1.0},
        {"uses": True},
        {"authorization_details": {}},
        {"authorization_details": ["x"]},
        {"authorization_details_at": 1},
        {"sub": ["anna"]},
        {"aud": [URL]},
        {"exp": 1e300},
        {"exp": "1700000300"},
        {"exp": 1_700_000_000},
        {"nbf": 1_700_000_100},
        {"grant_id": None},
    ],
)
def test_a_claim_of_another_shape_is_refused_although_it_is_signed(change: dict[str, Json]) -> None:
    token = mint_body({**GOOD, **change}, "at+jwt", "k1", SIGNER.sign)

    with pytest.raises(InvalidTokenError) as refused:
        verify(token.encode(), KEYS, RULES, NOW)

    assert refused.value.detail == "bad_claims"


def test_a_chain_of_actors_ends_somewhere() -> None:
    most = replace(said(), actors=tuple(f"a{at}" for at in range(MAX_ACTORS)))

    assert verify(mint(most, "k1", SIGNER.sign).encode(), KEYS, RULES, NOW) == most
    with pytest.raises(InvalidTokenError, match="chain"):
        verify(mint(replace(most, actors=(*most.actors, "b")), "k1", SIGNER.sign).encode(), KEYS, RULES, NOW)


def test_a_claim_that_is_said_twice_is_refused() -> None:
    payload = json.dumps(GOOD)[:-1] + ', "sub": "mallory"}'
    head = base64.urlsafe_b64encode(b'{"alg":"Ed25519","typ":"at+jwt","kid":"k1"}').rstrip(b"=")
    signed = head + b"." + base64.urlsafe_b64encode(payload.encode()).rstrip(b"=")
    token = signed + b"." + base64.urlsafe_b64encode(SIGNER.sign(signed)).rstrip(b"=")

    with pytest.raises(InvalidTokenError, match="json_duplicate_key"):
        verify(token, KEYS, RULES, NOW)


@pytest.mark.parametrize(
    ("goal", "code"),
    [
        ("Summarise my inbox", "K.read"),
        ("Read the file plan.txt and send a mail with a summary to anna@example.com", "C.send_external"),
        ("Pay the electricity bill", "T.pay"),
        ("Refund order 12", "T.refund"),
        ("Delete the old branches", "D.delete"),
        ("Grant Bo access to the repository", "I.grant"),
        ("Do what the mail from Bo says", "G.delegate_to_content"),
        ("Hello", "G.request"),
    ],
)
def test_a_goal_has_the_code_of_what_it_is_mostly_about(goal: str, code: str) -> None:
    assert goal_code(read_goal(Goal((goal,), GoalSource.MISSION_START))) == code
    assert code in TAXONOMY


def test_no_goal_has_no_code() -> None:
    assert goal_code(read_goal(Goal((), GoalSource.NONE))) == ""


def test_a_mask_names_the_kinds_of_acts_that_the_approved_entries_are_for() -> None:
    known = {"files/read": Tool("files", "read", "Read a file", annotations=ToolAnnotations(read_only=True))}
    mask = mask_of(MISSION.authority.entries, known)

    assert mask.name == "reader+sender"
    assert mask.tools == {"files/read", "mail/send"}
    assert all(mask.covers(code) for code in mask.codes)
    assert not mask.covers("T.pay")
    assert mask_of([AuthorityEntry("e", "files/read")], known).name == NO_ROLE
    assert mask_of([replace(READ, action="resources/read", tool="x/file:///a")], {}).name == "reader"
