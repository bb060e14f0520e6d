"""Who is here: enforcement points that joined, and the tools of the servers behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from jittrust.core.authority.pin import PinState, ToolPin
from jittrust.core.model import Json


@dataclass(frozen=True, slots=True)
class Attachment:
    """An enforcement point that joins for one server of one agent.

    `agent` is the client's name and version as it introduced itself (empty until known: attach again when it is); `pids` are the processes that
    belong to the agent (its own and those of the enforcement point): approvals are refused to them and their descendants.
    `goal` comes from `--goal`; `observe` from `--observe`. `grant` ties the attachment to one grant and its mission (HTTP, where the caller
    showed an access token) instead of the person's current mission. `session` is the caller's own name for
    this attachment (idempotency). `operator` is text that the operator wrote
    for this agent (its system text), where the enforcement point knows it: values in it are not the agent's invention.
    """

    person: str
    agent: str
    server: str
    pids: tuple[int, ...] = ()
    goal: str = ""
    observe: bool = False
    session: str = ""
    grant: str = ""
    operator: str = ""


@dataclass(frozen=True, slots=True)
class Attached:
    """`id` goes into `Shown.attachment`. `mission`, `generation` and `goal_stated` tell how the person's mission stands."""

    id: str
    mission: str
    generation: int
    goal_stated: bool
    observe: bool


@dataclass(frozen=True, slots=True)
class ToolStanding:
    """How one tool stands for one attachment: whether it may be listed, and why not."""

    tool: str
    state: PinState
    listed: bool
    why: str = ""


class Registry(Protocol):
    """Joins enforcement points and pins tool definitions."""

    async def attach(self, attachment: Attachment) -> Attached:
        """Join, or update what was said before (same `session`). Starts a mission from `goal` when the person has none."""
        ...

    async def detach(self, attached: str) -> None:
        """Leave. Unknown ids are ignored."""
        ...

    async def show_tools(self, attached: str, definitions: Sequence[Mapping[str, Json]]) -> Sequence[ToolStanding]:
        """Take the full tool list of the attachment's server as it was just seen: pin what is new, mark what changed, say what may be listed.

        Listed are: every tool while there is no goal; then those that the mission's map approves or proposes, and closed-world reads. A changed
        definition is never listed.

        Raises:
            NotFoundError: code `attachment_unknown`.
        """
        ...

    async def pins(self) -> Sequence[ToolPin]:
        """Every pinned definition."""
        ...

    async def changed(self, attached: str, mission: str, generation: int, timeout: float) -> Attached:
        """Return when the mission is another one or has another `generation` (new goal, other map), or as it stands after `timeout` seconds."""
        ...
