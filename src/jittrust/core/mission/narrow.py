"""Narrowing: a child may do no more than its parent. What cannot be proven narrower is refused, never repaired.

The check compares what is written, it normalises nothing: `..`, another spelling or a cleverer pattern is simply not provable. Empty means
what it says in `AuthorityEntry` ("any"), so an empty child field passes only under an empty parent field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import re2

from jittrust.core.authority.endorsement import endorsement_inside
from jittrust.core.authority.map import AuthorityEntry, AuthorityMap
from jittrust.core.errors import RefusedError
from jittrust.core.grant.grant import Grant, PassBinding, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.model import Json, Reason
from jittrust.core.units import Instant


def map_widenings(parent: AuthorityMap, child: AuthorityMap) -> tuple[Reason, ...]:
    """Why the child's map is not provably inside the parent's; empty when it is.

    Only approved entries count, on both sides: the others let nothing through. Every approved child entry must lie inside one approved parent
    entry, and the uses of all that lie inside the same one are added up.

    Every approved endorsement of a source must lie inside one of the parent's.

    Codes: `widens_lanes`, `widens_entry`, `widens_uses`, `widens_endorsement`.
    """
    return _compared(parent, child)[0]


def uses_taken(parent: AuthorityMap, child: AuthorityMap) -> tuple[tuple[str, int], ...]:
    """Of which entries of the parent's map the child's takes uses over, and how many: what its own limits add up to.

    The child's map must lie inside the parent's. What a child takes its parent has not got any more, so that siblings share one limit.
    """
    return _compared(parent, child)[1]


def _compared(parent: AuthorityMap, child: AuthorityMap) -> tuple[tuple[Reason, ...], tuple[tuple[str, int], ...]]:
    found: list[Reason] = []
    if not 1 <= child.lanes <= parent.lanes:
        found.append(Reason("widens_lanes", f"{child.lanes} lanes, the parent has {parent.lanes}"))
    left: dict[int, int] = {
        at: entry.uses_left for at, entry in enumerate(parent.approved) if entry.uses_left is not None
    }
    before = dict(left)
    for entry in child.approved:
        inside = [at for at, outer in enumerate(parent.approved) if _inside(outer, entry)]
        if not inside:
            fact = f"nothing in the parent provably covers {entry.action} {entry.tool} ({entry.id})"
            found.append(Reason("widens_entry", fact, "Take the tool, action, pattern and constraints of the parent."))
        elif not _take_uses(left, inside, entry):
            found.append(
                Reason("widens_uses", f"{entry.tool} ({entry.id}) may be used more often than the parent allows")
            )
    found += [
        Reason("widens_endorsement", f"nothing in the parent provably endorses {source.tool} ({source.id})")
        for source in child.endorsed
        if not any(endorsement_inside(one, source) for one in parent.endorsed)
    ]
    taken = tuple((parent.approved[at].id, before[at] - now) for at, now in left.items() if now < before[at])
    return tuple(found), taken


def grant_widenings(parent: Grant, child: Grant, now: Instant) -> tuple[Reason, ...]:
    """Why the child grant is not provably inside the parent grant as it stands now; empty when it is.

    Its own authority is another question (`map_widenings`).

    Codes: `parent_not_active`, `widens_family`, `widens_gas`, `widens_uses`, `widens_time`, `widens_lanes`, `widens_audience`, `widens_key`,
    `widens_strictness`.
    """
    checks = (
        (parent.state is GrantState.ACTIVE and now < parent.expires, "parent_not_active", "the parent takes no calls"),
        (child.family == parent.family, "widens_family", "the child would not end with its parent's family"),
        (
            child.gas_left <= child.gas_limit <= parent.gas_left,
            "widens_gas",
            f"{child.gas_limit} gas, the parent has {parent.gas_left} left",
        ),
        (
            _keeps_uses(parent, child),
            "widens_uses",
            f"{child.uses_limit} uses, the parent has {parent.uses_left} left",
        ),
        (
            parent.issued <= child.issued < child.expires <= parent.expires,
            "widens_time",
            "the child would not lie within the parent's time",
        ),
        (1 <= child.lanes <= parent.lanes, "widens_lanes", f"{child.lanes} lanes, the parent has {parent.lanes}"),
        (
            parent.server in {"", child.server},
            "widens_audience",
            f"for server {child.server or 'any'!r}, the parent is for {parent.server!r}",
        ),
        (_keeps_key(parent, child), "widens_key", "a chain bound to a key may only be handed to another key"),
        (
            child.strictness is Strictness.STRICT or parent.strictness is Strictness.STOCK,
            "widens_strictness",
            "the child would be treated more mildly than its parent",
        ),
    )
    return tuple(Reason(code, fact) for holds, code, fact in checks if not holds)


def require_narrower(widenings: Sequence[Reason]) -> None:
    """Refuse when there is any widening.

    Raises:
        RefusedError: code `not_narrower`, naming the first widening.
    """
    if widenings:
        first = widenings[0]
        raise RefusedError("not_narrower", f"{first.code}: {first.fact}", first.would_pass)


def _keeps_uses(parent: Grant, child: Grant) -> bool:
    if child.uses_limit is None or child.uses_left is None:
        return parent.uses_left is None and child.uses_limit == child.uses_left
    return child.uses_left <= child.uses_limit and (parent.uses_left is None or child.uses_limit <= parent.uses_left)


def _keeps_key(parent: Grant, child: Grant) -> bool:
    """Whether the child is bound to a key, or its parent is to none either."""
    if child.binding is PassBinding.DPOP:
        return child.jkt != ""
    return child.x5t != "" or (parent.binding is PassBinding.GATEWAY and parent.x5t == "")


def _inside(parent: AuthorityEntry, child: AuthorityEntry) -> bool:
    return (
        child.tool == parent.tool
        and child.action == parent.action
        and (parent.pin in {"", child.pin})
        and pattern_inside(parent.resource, child.resource)
        and constraints_inside(parent.constraints, child.constraints)
    )


def _take_uses(left: dict[int, int], inside: Sequence[int], child: AuthorityEntry) -> bool:
    if any(at not in left for at in inside):
        return True  # a parent entry without a limit covers any number of uses
    if child.uses_left is None or child.uses_left < 0:
        return False
    for at in inside:
        if child.uses_left <= left[at]:
            left[at] -= child.uses_left
            return True
    return False


def pattern_inside(parent: str, child: str) -> bool:
    """Whether every text that the child's pattern matches is matched by the parent's, as far as that can be seen.

    It can be seen when the parent matches anything (empty), when both are the same text, and when the child is a literal (every sign that
    could be an operator is escaped) that the parent's pattern matches as a whole. Anything else: False.
    """
    if parent in {"", child}:
        return True
    literal = literal_of(child)
    if not literal:
        return False
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(parent, options).fullmatch(literal) is not None
    except re2.error:
        return False


def literal_of(pattern: str) -> str | None:
    r"""The one text that an RE2 pattern matches; None when the pattern is no plain literal.

    Letters, digits, `_`, space, `-`, `/`, `@`, `:`, `,`, `=`, `%` and `~` stand for themselves; an ASCII punctuation sign behind a backslash
    stands for itself (RE2 syntax, "Escape sequences"). Everything else, `\d` and non-ASCII text included, is no literal.
    """
    made: list[str] = []
    signs = iter(pattern)
    for sign in signs:
        if sign == "\\":
            escaped = next(signs, "")
            if not escaped.isascii() or escaped.isalnum() or not escaped.isprintable() or escaped == "":
                return None
            made.append(escaped)
        elif sign in _PLAIN:
            made.append(sign)
        else:
            return None
    return "".join(made)


_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_ -/@:,=%~")


def constraints_inside(parent: Mapping[str, Json], child: Mapping[str, Json]) -> bool:
    """Whether arguments that satisfy the child's JSON Schema surely satisfy the parent's.

    Seen in three shapes: the parent has none; both are the same JSON; the child has the parent's as one member of a top-level `allOf`. In the
    last shape no `$` keyword may stand in the parent or at the child's top: `$ref`, `$id` and `$schema` change what the words around them mean
    (JSON Schema 2020-12 core §8).
    """
    if not parent:
        return True
    same = _canonical(parent)
    if _canonical(child) == same:
        return True
    parts = child.get("allOf")
    if not isinstance(parts, list | tuple) or any(name.startswith("$") for name in child) or '"$' in same:
        return False
    return any(_canonical(part) == same for part in parts)


def _canonical(value: Json) -> str:
    # Text, because for Python 1, 1.0 and True are equal and for JSON Schema's readers they need not be.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=dict)
