"""What people may read of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class LedgerView(Protocol):
    """Reads records and checkpoints of a running broker."""

    async def entries(self, after: int, limit: int) -> Sequence[bytes]:
        """Canonical JSON of the records with index >= `after`, oldest first, at most `limit` (<= 1000)."""
        ...

    async def checkpoint(self) -> str:
        """The newest signed checkpoint."""
        ...

    async def public_key(self) -> str:
        """The ledger's verifier key in C2SP `vkey` form (name+hash+base64)."""
        ...
