"""A grant as a part of something larger: of its mission's map, or of another grant. What is not provably a part is refused, never cut to size."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from jittrust.core.authority.endorsement import ENDORSEMENT_RULES
from jittrust.core.authority.map import AuthorityMap
from jittrust.core.authority.match import check_entry
from jittrust.core.errors import BadInputError, GasExhaustedError, RefusedError
from jittrust.core.grant.grant import Grant, PassBinding, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.intent.cascade import LONGEST_TASK
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.narrow import grant_widenings, map_widenings, require_narrower, uses_taken
from jittrust.core.rules import GrantRules
from jittrust.core.units import Gas, Instant, Seconds
from jittrust.ports.grants import ChildGrant, NewGrant

MOST_ENTRIES = 256
"""Most entries of a grant's own authority."""
MOST_ACTORS = 16
"""Most agents that may take a part of one grant."""
_LONGEST_NAME = 512
_MOST_USES = 2**53
# No store and no ledger can hold them: half of a pair, and the end of a C text.
_UNWRITABLE = re.compile("[\ud800-\udfff\x00]")


def check_asked(asked: NewGrant | ChildGrant) -> None:
    """Refuse a request that means nothing, whatever it is a part of.

    Raises:
        BadInputError: code `grant_key` (bound to two keys), `bad_number` (uses, lanes), `bad_name`, `bad_task`, `bad_authority`, or as `check_entry`.
    """
    if asked.jkt and asked.x5t:
        raise BadInputError("grant_key", "A grant is bound to a key or to a certificate, not to both.")
    if not _whole(asked.lanes) or (asked.uses is not None and not _whole(asked.uses)):
        raise BadInputError("bad_number", f"Lanes and uses are whole numbers from 1 to {_MOST_USES}.")
    names = (asked.agent, *asked.may_act)
    if len(asked.may_act) > MOST_ACTORS or not all(_name(name) for name in names):
        raise BadInputError(
            "bad_name",
            f"An agent's name has 1 to {_LONGEST_NAME} visible characters; may_act names at most {MOST_ACTORS}.",
        )
    if isinstance(asked, ChildGrant) and not _task(asked.task):
        raise BadInputError("bad_task", f"What an agent is asked to do has at most {LONGEST_TASK} characters of text.")
    if asked.authority is None:
        return
    if len(asked.authority.entries) > MOST_ENTRIES or len({one.id for one in asked.authority.entries}) != len(
        asked.authority.entries
    ):
        raise BadInputError(
            "bad_authority", f"A grant's own authority has at most {MOST_ENTRIES} entries, each with an id of its own."
        )
    if len(asked.authority.endorsements) > ENDORSEMENT_RULES.most:
        raise BadInputError("bad_authority", f"A grant's own authority has at most {ENDORSEMENT_RULES.most} sources.")
    for entry in asked.authority.entries:
        check_entry(entry)


def part_of_mission(asked: NewGrant, mission: Mission, rules: GrantRules) -> AuthorityMap | None:
    """The own authority of a root grant; None = whatever its mission allows.

    Raises:
        RefusedError: code `not_narrower`: it is not provably inside the mission's map.
    """
    if asked.authority is None:
        return None
    own = AuthorityMap(asked.authority.approved, asked.lanes, asked.authority.endorsed)
    lanes = max(mission.authority.lanes, rules.lanes)
    require_narrower(map_widenings(replace(mission.authority, lanes=lanes), own))
    return own


def part_of_grant(
    parent: Grant, asked: ChildGrant, mission: Mission, rules: GrantRules, now: Instant, new_id: Callable[[str], str]
) -> tuple[Grant, tuple[tuple[str, int], ...]]:
    """The child grant that is asked for, and which uses of the parent's own entries it takes over.

    Args:
        parent: as it stands now; those above it are the caller's to look at.
        asked: what is asked for, checked by `check_asked`.
        mission: the parent's; the child's is the same, and so is the goal that a person stated.
        rules: how deep, and how many lanes.
        now: the time.
        new_id: makes a unique name with the given prefix.

    Raises:
        RefusedError: code `depth_exhausted`, `not_narrower`.
        GasExhaustedError: code `gas_exhausted`, `uses_exhausted`: the parent has not so much left.
        BadInputError: code `bad_number`.
    """
    if len(parent.path) >= rules.depth_most:
        raise RefusedError(
            "depth_exhausted",
            f"A grant is handed on {rules.depth_most} times at most.",
            "Ask for a part of a grant nearer to the root.",
        )
    gas = Gas(parent.gas_left // 2 if asked.gas is None else asked.gas)
    if gas < 1 and asked.gas is not None:
        raise BadInputError("bad_number", "A grant without any gas is good for nothing: ask for 1 at least.")
    if gas < 1 or gas > parent.gas_left:
        raise GasExhaustedError(
            "gas_exhausted", f"{parent.gas_left} gas is left of the parent, {gas or 'a half of it'} was asked for."
        )
    uses = parent.uses_left if asked.uses is None else asked.uses
    if uses is not None and (uses < 1 or (parent.uses_left is not None and uses > parent.uses_left)):
        raise GasExhaustedError(
            "uses_exhausted", f"{parent.uses_left} uses are left of the parent, {uses} were asked for."
        )
    life = parent.expires - now if asked.ttl is None else float(Seconds(asked.ttl))
    key_bound = asked.jkt != ""
    own, taken = _own_part(parent, asked, mission, rules)
    child = Grant(
        id=new_id("g"),
        mission=parent.mission,
        family=parent.family,
        agent=asked.agent,
        server=asked.server or parent.server,
        binding=PassBinding.DPOP if key_bound else PassBinding.GATEWAY,
        jkt=asked.jkt,
        strictness=parent.strictness if key_bound else Strictness.STRICT,
        state=GrantState.ACTIVE,
        gas_left=gas,
        gas_limit=gas,
        lanes=asked.lanes,
        issued=now,
        expires=Instant(now + life),
        request=asked.request,
        client=asked.client,
        x5t=asked.x5t,
        path=(*parent.path, parent.id),
        authority=own,
        uses_left=uses,
        uses_limit=uses,
        may_act=asked.may_act,
        task=asked.task,
    )
    require_narrower(grant_widenings(parent, child, now))
    return child, taken


def _own_part(
    parent: Grant, asked: ChildGrant, mission: Mission, rules: GrantRules
) -> tuple[AuthorityMap | None, tuple[tuple[str, int], ...]]:
    if parent.authority is None:
        if asked.authority is None:
            return None, ()
        within = replace(mission.authority, lanes=max(mission.authority.lanes, rules.lanes))
    else:
        within = replace(parent.authority, lanes=parent.lanes)
    wanted = within if asked.authority is None else asked.authority
    own = AuthorityMap(wanted.approved, asked.lanes, wanted.endorsed)
    require_narrower(map_widenings(within, own))
    # The entries of a mission are counted with every call, those of a grant are its own: two children must not both have them.
    return own, () if parent.authority is None else uses_taken(within, own)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_USES


def _task(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TASK and _UNWRITABLE.search(value) is None


def _name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()
