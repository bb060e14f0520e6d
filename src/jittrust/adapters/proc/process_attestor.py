"""`ports.process_attestor`: reads /proc."""

from __future__ import annotations

from jittrust.ports.process_attestor import Process


class ProcAttestor:
    """Reads /proc."""

    def selectors(self, process: Process) -> tuple[str, ...]:
        raise NotImplementedError
