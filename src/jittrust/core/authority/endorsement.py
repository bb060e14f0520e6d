"""A source that a person endorsed: what it says may direct acts of named kinds, up to an amount.

"Pay the bill in bill.txt" points at content as the source of instructions. One confirmation endorses that file for paying, so that nobody is asked
again at each value that comes out of it; whatever else the file says stays a stranger's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from jittrust.core.authority.map import Endorsement, EntryState
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import ActionReading
from jittrust.core.intent.roles import leaves
from jittrust.core.model import Json


@dataclass(frozen=True, slots=True)
class ReadSource:
    """Which call brought a result: its tool and the plain values that said what to read."""

    tool: str
    selectors: Mapping[str, str] = field(default_factory=dict)


def endorsing(
    endorsements: Sequence[Endorsement],
    source: ReadSource,
    reading: ActionReading,
    arguments: Mapping[str, Json],
    roles: Mapping[str, ArgumentRole],
) -> Endorsement | None:
    """The approved endorsement that lets this source direct this call; None = it stays a stranger's text."""
    for one in endorsements:
        if one.state is not EntryState.APPROVED or one.tool != source.tool or reading.intent not in one.intents:
            continue
        if any(source.selectors.get(name) != value for name, value in one.selectors.items()):
            continue
        if _within(one.amount_most, arguments, roles):
            return one
    return None


def endorsed_origins(
    origins: Sequence[ArgumentOrigin],
    endorsements: Sequence[Endorsement],
    sources: Mapping[str, ReadSource],
    reading: ActionReading,
    arguments: Mapping[str, Json],
    roles: Mapping[str, ArgumentRole],
) -> tuple[ArgumentOrigin, ...]:
    """The origins, with what came out of an endorsed source marked as such. `sources`: result id → the call that brought it."""
    told = {
        name
        for name in {one.source for one in origins if one.origin is Origin.FREE_TEXT}
        if name in sources and endorsing(endorsements, sources[name], reading, arguments, roles) is not None
    }
    return tuple(
        replace(one, origin=Origin.ENDORSED) if one.origin is Origin.FREE_TEXT and one.source in told else one
        for one in origins
    )


def _within(most: float | None, arguments: Mapping[str, Json], roles: Mapping[str, ArgumentRole]) -> bool:
    for path, value in leaves(arguments):
        if roles.get(path) is not ArgumentRole.AMOUNT:
            continue
        if most is None or isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > most:
            return False
    return True
