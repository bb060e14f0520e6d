"""The three things that together leak: a stranger's text, private data, and a way out. Two of them are work; all three are a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jittrust.core.intent.findings import TextFinding
from jittrust.core.intent.origin import ArgumentOrigin, ArgumentRole, Origin
from jittrust.core.intent.reading import ActionReading, Effect
from jittrust.core.intent.words import REACHING, literals
from jittrust.core.model import Reason


@dataclass(frozen=True, slots=True)
class FlowRules:
    """When the three count as having met."""

    private_from: float = 0.5  # sensitivity of what a read hands out from which it is private data


FLOW_RULES = FlowRules()


@dataclass(frozen=True, slots=True)
class Flow:
    """What met in this mission before the call, and whether the call would carry it out.

    Attributes:
        untrusted: the result whose text strangers wrote; empty = none was read.
        private: the result that brought private data; empty = none was read.
        outward: where the call would carry data to, for people; empty = nowhere that the person did not name.
    """

    untrusted: str = ""
    private: str = ""
    outward: str = ""

    @property
    def complete(self) -> bool:
        """Whether all three met."""
        return bool(self.untrusted and self.private and self.outward)


NO_FLOW = Flow()
_THE_PERSONS = frozenset({Origin.GOAL, Origin.OPERATOR, Origin.ENDORSED})


def after_result(
    flow: Flow, source: str, reading: ActionReading, *, strangers: bool, rules: FlowRules = FLOW_RULES
) -> Flow:
    """What has met once a result came back. `strangers`: it holds what strangers wrote, because a stranger's text said where it comes from."""
    brings = not reading.consequential and (reading.documents or reading.open_world)
    untrusted = flow.untrusted or (source if strangers or brings else "")
    reads = reading.sensitivity_in >= rules.private_from
    return Flow(untrusted, flow.private or (source if reads else ""), "")


def flow_of(
    before: Flow, findings: Sequence[TextFinding], reading: ActionReading, origins: Sequence[ArgumentOrigin]
) -> Flow:
    """The flow of a call: what met before it, and where it would carry that. A result with orders in it is a stranger's, whatever tool brought it."""
    untrusted = before.untrusted or (findings[0].source if findings else "")
    return Flow(untrusted, before.private, _outward(reading, origins))


def _outward(reading: ActionReading, origins: Sequence[ArgumentOrigin]) -> str:
    """The first destination, or address in what is carried, that the person did not name; empty = none, or the call carries nothing out."""
    if not reading.consequential or Effect.OUTWARD not in reading.effects:
        return ""
    return next((one.shown for one in origins if _leads_out(one)), "")


def _leads_out(one: ArgumentOrigin) -> bool:
    """Whether a value carries what is sent to where the person did not point: a stranger's or invented destination, or any address from a record.

    A name that a record gave, a channel or a user of the same server, stays inside.
    """
    if one.origin in _THE_PERSONS or one.origin is Origin.TRIVIAL:
        return False
    if "#" not in one.path and one.role is not ArgumentRole.TARGET:
        return False
    return one.origin is not Origin.FIELD or bool(literals(one.shown, REACHING))


def doubt_of_flow(flow: Flow | None) -> Reason | None:
    """Why a person is asked about the flow; None = nothing to ask."""
    if flow is None or not flow.complete:
        return None
    return Reason(
        "rule_of_two",
        f"A stranger's text ({flow.untrusted}) and private data ({flow.private}) were read, and this goes out to {flow.outward}.",
        "Name the destination in the goal, or approve this one call: jittrust approve.",
    )
