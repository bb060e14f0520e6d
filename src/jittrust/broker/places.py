"""Which place in a Token Status List the next grant gets."""

from __future__ import annotations

from jittrust.broker.state import State
from jittrust.core.oauth.status_list import LIST_SIZE, place


class StatusPlaces:
    """Gives every grant a place of its own, also after a restart, in an order that only the key's holder can tell."""

    def __init__(self, state: State, key: bytes) -> None:
        """Go on after the places that stored grants have. `key`: see `core.oauth.status_list.place`."""
        self._key = key
        taken = [grant.status for grant in state.grants.values() if grant.status >= 0]
        self._list = max(taken, default=0) // LIST_SIZE
        self._taken = {at for at in taken if at // LIST_SIZE == self._list}
        # Not more were given from this list than are taken; a number whose grant was never stored is skipped below.
        self._number = self._list * LIST_SIZE + len(self._taken)

    def next(self) -> int:
        """A place that no grant has; each call gives another."""
        while True:
            at = place(self._number, self._key)
            self._number += 1
            if at // LIST_SIZE != self._list:
                self._list = at // LIST_SIZE
                self._taken.clear()
            if at not in self._taken:
                self._taken.add(at)
                return at
