"""The three things that together leak: a stranger's text, private data, and a way out. Two of them are work; all three are a question."""

from __future__ import annotations

from dataclasses import dataclass

from jittrust.core.model import Reason


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


def doubt_of_flow(flow: Flow | None) -> Reason | None:
    """Why a person is asked about the flow; None = nothing to ask."""
    if flow is None or not flow.complete:
        return None
    return Reason(
        "rule_of_two",
        f"A stranger's text ({flow.untrusted}) and private data ({flow.private}) were read, and this goes out to {flow.outward}.",
        "Name the destination in the goal, or approve this one call: jittrust approve.",
    )
