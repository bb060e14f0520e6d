"""A call is inside the map or it is not, and the map says why."""

from __future__ import annotations

import time

import pytest

from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.authority.match import MatchStanding, check_entry, match
from jittrust.core.errors import BadInputError
from jittrust.core.model import Tool

TOOL = Tool(
    "files",
    "write_file",
    "Writes a file",
    {"properties": {"path": {"type": "string"}, "content": {"type": "string"}}},
    pin="p1",
)
CALL = {"path": "/srv/reports/a.txt", "content": "x"}


def entry(**changes: object) -> AuthorityEntry:
    values: dict[str, object] = {"id": "e-1", "tool": TOOL.id, "state": EntryState.APPROVED, "pin": "p1", **changes}
    return AuthorityEntry(**values)  # type: ignore[arg-type]


def standing(*entries: AuthorityEntry, action: str = "tools/call") -> MatchStanding:
    return match(AuthorityMap(entries), TOOL, action, CALL).standing


def test_an_approved_entry_covers_the_call() -> None:
    assert standing(entry()) is MatchStanding.INSIDE


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tool": "files/read_file"}, MatchStanding.OUTSIDE),
        ({"action": "resources/read"}, MatchStanding.OUTSIDE),
        ({"state": EntryState.PROPOSED}, MatchStanding.WAITING),
        ({"state": EntryState.REFUSED}, MatchStanding.REFUSED),
        ({"pin": "p2"}, MatchStanding.PIN_DIFFERS),
        ({"uses_left": 0}, MatchStanding.USES_EXHAUSTED),
        ({"resource": "/srv/reports/.*"}, MatchStanding.INSIDE),
        ({"resource": "/srv/reports"}, MatchStanding.RESOURCE_FAILED),
        ({"resource": "(broken"}, MatchStanding.RESOURCE_FAILED),
        ({"constraints": {"properties": {"path": {"const": "/srv/reports/a.txt"}}}}, MatchStanding.INSIDE),
        ({"constraints": {"properties": {"path": {"const": "/etc/passwd"}}}}, MatchStanding.CONSTRAINT_FAILED),
        ({"constraints": {"required": ["other"]}}, MatchStanding.CONSTRAINT_FAILED),
        ({"constraints": {"$ref": "https://evil.example/schema"}}, MatchStanding.CONSTRAINT_FAILED),
        ({"constraints": {"$ref": "#"}}, MatchStanding.CONSTRAINT_FAILED),
        ({"constraints": {"type": 5}}, MatchStanding.CONSTRAINT_FAILED),
    ],
)
def test_the_nearest_entry_says_why_not(changes: dict[str, object], expected: MatchStanding) -> None:
    assert standing(entry(**changes)) is expected


def test_one_entry_that_covers_is_enough() -> None:
    assert standing(entry(id="e-0", pin="p2"), entry(state=EntryState.PROPOSED), entry()) is MatchStanding.INSIDE


def test_a_call_without_a_resource_word_does_not_match_a_pattern() -> None:
    found = match(AuthorityMap((entry(resource=".*"),)), TOOL, "tools/call", {})
    assert found.standing is MatchStanding.RESOURCE_FAILED


def test_no_pattern_can_backtrack() -> None:
    evil = entry(resource="(a+)+$", constraints={"properties": {"path": {"pattern": "^(a+)+$"}}})
    started = time.process_time()
    match(AuthorityMap((evil,)), TOOL, "tools/call", {"path": "a" * 50_000 + "!"})
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    "changes", [{"resource": "("}, {"constraints": {"type": 5}}, {"constraints": {"$ref": "https://evil.example"}}]
)
def test_a_broken_entry_is_refused_when_it_is_made(changes: dict[str, object]) -> None:
    with pytest.raises(BadInputError):
        check_entry(entry(**changes))
