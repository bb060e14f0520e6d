"""What can be read of the ledger of record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class LedgerReader(Protocol):
    """Reads the ledger of record."""

    async def entries(self, after: int, limit: int) -> Sequence[bytes]:
        """Leaf bytes (canonical JSON) of the records with index >= `after`, oldest first, at most `limit`."""
        ...

    async def checkpoint(self) -> str:
        """The newest signed checkpoint (C2SP signed note), covering every committed record."""
        ...
