"""Finds authorization requests by what a client, a question or a person names them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jittrust.broker.state import State
from jittrust.core.oauth.request import AuthorizationRequest, RequestState
from jittrust.ports.commit import Kept


@dataclass(slots=True)
class RequestIndex:
    """Finds requests by what a client or a question names them by."""

    state: State
    by_secret: dict[str, str] = field(default_factory=dict)
    by_approval: dict[str, str] = field(default_factory=dict)
    of_person: dict[str, dict[str, None]] = field(default_factory=dict)
    open_now: dict[str, None] = field(default_factory=dict)

    def took(self) -> None:
        """See `KeptIndex.took`."""
        for table in (self.by_secret, self.by_approval, self.of_person, self.open_now):
            table.clear()
        for one in self.state.of_kind(AuthorizationRequest).values():
            self._add(one)

    def kept(self, value: Kept, before: Kept | None) -> None:
        """See `KeptIndex.kept`."""
        if isinstance(before, AuthorizationRequest):
            self._remove(before)
        if isinstance(value, AuthorizationRequest):
            self._add(value)

    def dropped(self, value: Kept) -> None:
        """See `KeptIndex.dropped`."""
        if isinstance(value, AuthorizationRequest):
            self._remove(value)

    def _add(self, one: AuthorizationRequest) -> None:
        if one.secret:
            self.by_secret[one.secret] = one.id
        if one.approval:
            self.by_approval[one.approval] = one.id
        if one.person:
            self.of_person.setdefault(one.person, {})[one.id] = None
        if one.state in (RequestState.PUSHED, RequestState.ASKED):
            self.open_now[one.id] = None

    def _remove(self, one: AuthorizationRequest) -> None:
        self.by_secret.pop(one.secret, None)
        self.by_approval.pop(one.approval, None)
        self.open_now.pop(one.id, None)
        theirs = self.of_person.get(one.person, {})
        theirs.pop(one.id, None)
        if not theirs:
            self.of_person.pop(one.person, None)

    def open_requests(self) -> list[AuthorizationRequest]:
        """Those that nobody has answered."""
        return self._values(self.open_now)

    def of(self, person: str) -> list[AuthorizationRequest]:
        """Those of a person."""
        return self._values(self.of_person.get(person, {}))

    def _values(self, names: Mapping[str, None]) -> list[AuthorizationRequest]:
        known = self.state.of_kind(AuthorizationRequest)
        return [known[name] for name in names]
