"""Whatever is sent to a service behind `jittrust.verify`: it is refused in order, or it is what was issued."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_verify import BASE, BROKER, CLAIMS, KEYS, URL, http, served, shown, verifier

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.errors import JitError
from jittrust.core.grant.claims import InvalidTokenError, TokenRules, mint, verify
from jittrust.core.grant.present import InvalidProofError
from jittrust.core.mission.narrow import map_widenings
from jittrust.core.oauth.details import authority_of, read_details
from jittrust.core.oauth.error import OAuthError
from jittrust.core.units import Instant

TOKEN = mint(CLAIMS, "k1", BROKER.sign).encode()
RULES = TokenRules(CLAIMS.issuer, BASE)
NOW = Instant(1_700_000_100)


def outcome(work: Callable[[], Any]) -> Any:  # noqa: ANN401
    """What it gives, or how it refuses; any other exception is a fault."""
    try:
        return work()
    except JitError as refused:
        return refused


@given(st.integers(0, len(TOKEN) - 1), st.integers(0, 255), st.sampled_from(("change", "insert", "drop", "cut")))
def test_a_token_with_one_byte_changed_is_no_token(at: int, byte: int, how: str) -> None:
    made = {
        "change": TOKEN[:at] + bytes((byte,)) + TOKEN[at + 1 :],
        "insert": TOKEN[:at] + bytes((byte,)) + TOKEN[at:],
        "drop": TOKEN[:at] + TOKEN[at + 1 :],
        "cut": TOKEN[:at],
    }[how]
    if made == TOKEN:
        return
    found = outcome(lambda: verify(made, KEYS, RULES, NOW))

    assert isinstance(found, InvalidTokenError), made


names = st.sampled_from(("Authorization", "DPoP", "authorization", "dpop", "X"))
values = st.one_of(
    st.text(st.characters(codec="latin-1"), max_size=200),
    st.sampled_from([*shown().values(), "DPoP", "Bearer ", f"Bearer {TOKEN.decode()}", f"DPoP  {TOKEN.decode()}"]),
)


@given(st.lists(st.tuples(names, values), max_size=4), st.text(max_size=20), st.binary(max_size=20))
def test_headers_of_any_kind_are_refused_in_order_or_are_the_holders(
    headers: list[tuple[str, str]], method: str, body: bytes
) -> None:
    found = outcome(lambda: verifier().check(method or "POST", URL, headers, body, body))

    assert isinstance(found, InvalidTokenError | InvalidProofError) or found.claims == CLAIMS


@given(st.lists(st.tuples(names, values), max_size=3))
def test_the_middleware_answers_whatever_comes(headers: list[tuple[str, str]]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope: dict[str, Any] = {**http({}), "headers": raw}

    answered, inside = asyncio.run(served(scope))

    assert answered.status == (204 if inside else 401)


tools = st.sampled_from(("a/x", "a/y", "b/x"))
patterns = st.sampled_from(("", "docs/.*", "docs/a", "docs/[ab]", ".*", "secret"))
limits = st.sampled_from(({}, {"maxProperties": 1}, {"required": ["p"]}))
uses = st.one_of(st.none(), st.integers(1, 4))
entries = st.builds(
    AuthorityEntry,
    st.uuids().map(str),
    tools,
    st.sampled_from(("tools/call", "resources/read")),
    patterns,
    limits,
    uses,
    st.sampled_from(EntryState),
    pin=st.sampled_from(("", "p")),
)


@st.composite
def details(draw: st.DrawFn) -> dict[str, Any]:
    optional = {"resource": draw(patterns), "constraints": draw(limits), "uses": draw(uses)}
    return {
        "type": "urn:jittrust:mcp-call",
        "identifier": draw(tools),
        "actions": draw(
            st.lists(st.sampled_from(("tools/call", "resources/read")), min_size=1, max_size=2, unique=True)
        ),
        **{name: value for name, value in optional.items() if value},
    }


@given(st.lists(entries, max_size=5), st.lists(details(), min_size=1, max_size=4))
def test_what_is_given_for_details_is_always_inside_the_map(
    inside: list[AuthorityEntry], asked: list[dict[str, Any]]
) -> None:
    within = AuthorityMap(tuple(inside))
    made = outcome(lambda: authority_of(read_details(json.dumps(asked)), within))
    if isinstance(made, OAuthError):
        assert made.code == "not_narrower"
        return

    assert made.approved == made.entries
    assert map_widenings(within, made) == ()
    assert {(one["identifier"], action) for one in asked for action in one["actions"]} == {
        (entry.tool, entry.action) for entry in made.entries
    }
