"""What the kernel says about a process at the other end of a local socket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Process:
    """A process as SO_PEERCRED names it. `started` (clock ticks since boot, from /proc) tells it from a later one with the same pid; 0 = unknown."""

    pid: int
    uid: int
    gid: int
    started: int = 0


class ProcessAttestor(Protocol):
    """Turns a process into selectors."""

    def selectors(self, process: Process) -> tuple[str, ...]:
        """`unix:uid:`, `unix:gid:`, `unix:user:`, `unix:group:`, `unix:supplementary_gid:`, `unix:path:`, `unix:sha256:`; what cannot be read is left out.

        Raises:
            RefusedError: code `process_gone`: the process ended, or its pid belongs to another one now.
        """
        ...
