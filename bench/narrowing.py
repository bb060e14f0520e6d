"""Does a part of a grant ever allow more than the grant? Generated pairs against an independent model of sets.

    python -m bench narrowing [--pairs 200000] [--seed 1]

Each pair is a parent grant and what is asked of it, made of what goes wrong in practice: pattern operators in values, `..`, `//`, `%2e`, case, look-alike
letters, an empty list, another order, a longer life, another audience, numbers that are none. The broker's own check answers; what it lets through is
laid beside `outside`, which knows nothing of that check and tries out every call of a small world.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from jittrust.broker.delegation import check_asked, part_of_grant
from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.errors import JitError
from jittrust.core.grant.grant import Grant, PassBinding, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.rules import GrantRules
from jittrust.core.units import Gas, Instant
from jittrust.ports.grants import ChildGrant

NOW = Instant(1_790_000_000)
TOOLS = ("files/read", "files/Read", "files/read ", "mail/send", "mail/read", "\uff46iles/read")
ACTIONS = ("tools/call", "resources/read")
WORDS = (
    "/data/a", "/data/ab", "/data/a/b", "/data/../etc/a", "/data//a", "/data/%2e%2e/etc", "/DATA/A", "/data/a\n", "/data/", "/etc/passwd", "a", "A", "ab",
    "b", "a.b",    "axb", "a*", "*", ".*", "", "é", "e\u0301", "\u0430", "/data/a\u2215b", "a|b", "^a$", "a@x.example", "a@xyexample", "\u202ea", "(",
)  # fmt: skip
PATTERNS = (
    "", "/data/a", "/data/.*", "/data/[^/]*", "/data/\\.\\./etc/a", "/data//a", "/data/%2e%2e/etc", "(?i)/data/a", "/DATA/A", "a", "A", "[ab]+", "a|b", "(a|b)",
    "a\\.b", "a.b", "a\\*", ".*", ".+", "\\*", "\\.\\*", "^a$", "^a", "a{1,2}", "é", "e\u0301", "\u0430", "(", "a@x\\.example", "a@x.example", "/data/(a|ab)",
    "/data/a.*|/etc/.*", "(?:)", "\\(", "a?", "/data/a\\n", "/[^.]*", "..", "/data/.{1}",
)  # fmt: skip
LIMITS: tuple[Mapping[str, Any], ...] = (
    {},
    {"properties": {"n": {"maximum": 3}}},
    {"properties": {"n": {"maximum": 5}}},
    {"properties": {"n": {"enum": [1, 7]}}},
    {"allOf": [{"properties": {"n": {"maximum": 3}}}, {"properties": {"n": {"enum": [1, 7]}}}]},
    {"anyOf": [{"properties": {"n": {"maximum": 3}}}]},
)
NUMBERS = (0, 1, 3, 4, 7)
CALLS = tuple(itertools.product(TOOLS, ACTIONS, WORDS, NUMBERS))
GASES: tuple[Any, ...] = (None, 1, 10, 99, 100, 101, 0, -1, True, 1.5, float("nan"), float("inf"), 2**60, "5")
USES: tuple[Any, ...] = (None, None, 1, 2, 5, 6, 0, -1, True, 2.0, float("nan"))
TTLS: tuple[Any, ...] = (None, None, 1, 299, 300, 300.5, 301, 10**9, 0, -1, float("nan"), True)
SERVERS = ("", "files", "mail", "FILES", "files ", "files/../mail", "file", "\uff46iles")

# ---- the model: a map is the set of calls it lets through, a grant the set of what may be spent -------------------------------------------


def _met(limits: Mapping[str, Any], number: int) -> bool:
    of = limits.get("properties", {}).get("n", {})
    if "maximum" in of and number > of["maximum"]:
        return False
    if "enum" in of and number not in of["enum"]:
        return False
    return all(
        _met(one, number) for word in ("allOf", "anyOf") for one in limits.get(word, ())
    )  # each list has one kind only


def _words(pattern: str) -> frozenset[str]:
    try:
        return frozenset(word for word in WORDS if pattern == "" or (word and re.fullmatch(pattern, word)))
    except re.error:
        return frozenset()


_WORDS_OF = {pattern: _words(pattern) for pattern in PATTERNS}


def calls_of(entry: AuthorityEntry) -> frozenset[tuple[str, str, str, int]]:
    """Every call of the small world that the entry lets through."""
    numbers = [number for number in NUMBERS if _met(entry.constraints, number)]
    return frozenset(itertools.product([entry.tool], [entry.action], _WORDS_OF[entry.resource], numbers))


def outside(parent: Grant, child: Grant, mission: Mission) -> list[str]:
    """What the child may do and the parent may not."""
    found = []
    above = [e for e in (parent.authority or mission.authority).entries if e.state is EntryState.APPROVED]
    below = [
        e for e in (child.authority or parent.authority or mission.authority).entries if e.state is EntryState.APPROVED
    ]
    if child.authority is not None and not child.authority.entries:
        below = []
    allowed = frozenset[Any]().union(*map(calls_of, above))
    found += ["calls"] if not frozenset[Any]().union(*map(calls_of, below)) <= allowed else []
    for limited in (entry for entry in above if entry.uses_left is not None):
        only = calls_of(limited).difference(*(calls_of(other) for other in above if other is not limited))
        taken = [entry.uses_left for entry in below if calls_of(entry) & only]
        found += ["uses of an entry"] if None in taken or sum(t for t in taken if t) > (limited.uses_left or 0) else []
    whole = all(type(n) in (int, Gas) for n in (child.gas_limit, child.lanes)) and child.gas_left == child.gas_limit
    found += ["gas"] if not whole or not 1 <= child.gas_limit <= parent.gas_left else []
    if child.uses_limit != child.uses_left or not (child.uses_limit is None or type(child.uses_limit) is int):
        found.append("uses")
    if parent.uses_left is not None and (child.uses_limit is None or not 1 <= child.uses_limit <= parent.uses_left):
        found.append("uses")
    found += ["time"] if not parent.issued <= child.issued < child.expires <= parent.expires else []
    found += ["audience"] if parent.server not in ("", child.server) else []
    found += ["lanes"] if not 1 <= child.lanes <= parent.lanes else []
    found += ["key"] if (parent.jkt or parent.x5t) and not (child.jkt or child.x5t) else []
    found += (
        ["strictness"] if parent.strictness is Strictness.STRICT and child.strictness is not Strictness.STRICT else []
    )
    chain = (child.mission, child.family, child.path) == (parent.mission, parent.family, (*parent.path, parent.id))
    found += ["chain"] if not chain or len(child.path) > GrantRules().depth_most else []
    return found


# ---- pairs --------------------------------------------------------------------------------------------------------------------------------


def _entry(dice: random.Random, number: int, like: AuthorityEntry | None = None) -> AuthorityEntry:
    near = (
        like is not None and dice.random() < 0.85
    )  # mostly one step away, or everything would be refused for its tool
    changed = dice.choice(("nothing", "tool", "action", "resource", "limits", "uses", "state", "pin")) if near else ""

    def part(name: str, own: Any, made: Any) -> Any:  # noqa: ANN401
        return own if near and changed != name else made

    known = like or AuthorityEntry("", TOOLS[0])
    return AuthorityEntry(
        id=f"e-{number}",
        tool=part("tool", known.tool, dice.choice(TOOLS[: 4 if like is None else 6])),
        action=part("action", known.action, dice.choice(ACTIONS)),
        resource=part("resource", known.resource, dice.choice(PATTERNS)),
        constraints=part("limits", known.constraints, dice.choice(LIMITS)),
        uses_left=part("uses", known.uses_left, dice.choice((None, None, 0, 1, 2, 3, 5))),
        state=part(
            "state", EntryState.APPROVED, dice.choice((EntryState.APPROVED, EntryState.PROPOSED, EntryState.REFUSED))
        ),
    )


def _map(dice: random.Random, like: AuthorityMap | None = None) -> AuthorityMap:
    chosen = list(like.entries) if like is not None and dice.random() < 0.9 else [None] * 3
    dice.shuffle(chosen)
    some = chosen[: dice.choice((0, 1, 1, 2, 3))]
    return AuthorityMap(tuple(_entry(dice, number, one) for number, one in enumerate(some)), dice.choice((1, 1, 2, 4)))


def pair(dice: random.Random) -> tuple[Grant, ChildGrant, Mission]:
    """A parent, what is asked of it, and its mission."""
    mission_map = _map(dice)
    own = _map(dice) if dice.random() < 0.7 else None
    mission = Mission(
        "m", "ada", "a", Goal(("x",), GoalSource.FLAG), MissionState.ACTIVE, mission_map, NOW, NOW, Instant(NOW + 300)
    )
    key = dice.choice(("dpop", "dpop", "x5t", "bearer"))
    uses = dice.choice((None, None, 1, 5))
    parent = Grant(
        id="g-p", mission="m", family="g-0", agent="a", server=dice.choice(("", "files", "files")),
        binding=PassBinding.DPOP if key == "dpop" else PassBinding.GATEWAY, jkt="k" if key == "dpop" else "",
        strictness=Strictness.STRICT if key != "dpop" or dice.random() < 0.5 else Strictness.STOCK, state=GrantState.ACTIVE,
        gas_left=Gas(dice.choice((0, 1, 2, *((100,) * 9)))), gas_limit=Gas(500), lanes=dice.choice((1, 2, 4)), issued=Instant(NOW - 10),
        expires=Instant(NOW + 300), x5t="c" if key == "x5t" else "", authority=own, uses_left=uses, uses_limit=uses,
        path=tuple(f"g-{n}" for n in range(dice.choice((*((0,) * 16), 1, 3, 7, 7, 8, 9, 10_000)))),
    )  # fmt: skip
    wild = dice.choice(("", "", "gas", "uses", "ttl", "server", "lanes", "key"))
    within = own if own is not None else mission_map
    child = ChildGrant(
        parent="g-p", agent="b", jkt=dice.choice(("", "k", "k2")) if wild == "key" else "k2",
        x5t=dice.choice(("", "", "c2")) if wild == "key" else "",
        server=dice.choice(SERVERS) if wild == "server" else "", gas=dice.choice(GASES if wild == "gas" else (None, 1)),
        uses=dice.choice(USES) if wild == "uses" else None, ttl=dice.choice(TTLS if wild == "ttl" else (None, 30)),
        lanes=dice.choice((0, 1, 2, 4, 5, -1, True)) if wild == "lanes" else 1,
        authority=_map(dice, within) if dice.random() < 0.8 else None,
    )  # fmt: skip
    return parent, child, mission


def campaign(pairs: int, seed: int) -> dict[str, Any]:
    """Judge so many pairs."""
    dice, rules = random.Random(seed), GrantRules()
    codes: Counter[str] = Counter()
    wrong: list[str] = []
    crashes: list[str] = []
    begin, accepted = time.perf_counter(), 0
    for number in range(pairs):
        parent, asked, mission = pair(dice)
        try:
            check_asked(asked)
            child, taken = part_of_grant(parent, asked, mission, rules, NOW, lambda prefix: f"{prefix}-c")
        except JitError as error:
            codes[error.message.partition(":")[0] if error.code == "not_narrower" else error.code] += 1
            continue
        except Exception as error:  # noqa: BLE001  a crash is a finding
            crashes.append(f"{number}: {type(error).__name__} {error}")
            continue
        accepted += 1
        too_much = outside(parent, child, mission)
        left = {e.id: e.uses_left for e in parent.authority.entries} if parent.authority else {}
        too_much += ["taken"] if any(times > (left[entry] or 0) for entry, times in taken) else []
        if too_much:
            wrong.append(f"{number}: {', '.join(too_much)}")
    return {
        "bench": "narrowing",
        "seed": seed,
        "pairs": pairs,
        "accepted": accepted,
        "refused": sum(codes.values()),
        "by_code": dict(codes.most_common()),
        "calls_tried_a_pair": len(CALLS),
        "child_not_inside_parent": len(wrong),
        "crashes": len(crashes),
        "first": (wrong + crashes)[:5],
        "seconds": round(time.perf_counter() - begin, 1),
    }


def main() -> int:
    """Print one JSON line; 1 when any child is not inside its parent."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=200_000)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    found = campaign(chosen.pairs, chosen.seed)
    print(json.dumps(found))
    return int(bool(found["child_not_inside_parent"] or found["crashes"]))


if __name__ == "__main__":
    sys.exit(main())
