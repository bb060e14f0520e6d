"""Which registration entries a set of attested selectors is entitled to, at a cost that does not grow with their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.units import Instant


class EntryIndex:
    """Registration entries, each kept under the rarest of its selectors.

    A look-up reads only what is kept under the selectors that were attested. An entry without selectors matches nobody.
    """

    __slots__ = ("_kept", "_places", "_uses")

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, RegistrationEntry]] = {}
        self._places: dict[str, str] = {}
        self._uses: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    def put(self, entry: RegistrationEntry) -> None:
        """Take an entry in, in place of the one with its id if there is one."""
        self.drop(entry)
        if not entry.selectors:
            return
        # A selector that many entries share, such as a namespace, would gather them all; the one that few have tells them apart.
        place = min(entry.selectors, key=lambda one: (self._uses[one], one))
        self._kept.setdefault(place, {})[entry.id] = entry
        self._places[entry.id] = place
        self._uses.update(set(entry.selectors))

    def drop(self, entry: RegistrationEntry) -> None:
        """Forget the entry with this id; nothing happens if there is none."""
        place = self._places.pop(entry.id, None)
        if place is None:
            return
        bucket = self._kept[place]
        gone = bucket.pop(entry.id)
        if not bucket:
            del self._kept[place]
        for selector in set(gone.selectors):
            self._uses[selector] -= 1
            if not self._uses[selector]:
                del self._uses[selector]

    def matching(self, selectors: Collection[str], now: Instant) -> tuple[RegistrationEntry, ...]:
        """The entries all of whose selectors are among these and that have not ended, in the order of SPIFFE IDs, then of their ids."""
        given = frozenset(selectors)
        found = [
            entry
            for place in given
            for entry in self._kept.get(place, {}).values()
            if given.issuperset(entry.selectors) and (not entry.expires or now < entry.expires)
        ]
        return tuple(sorted(found, key=lambda entry: (entry.spiffe_id, entry.id)))
