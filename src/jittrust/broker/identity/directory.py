"""Users and groups that an identity provider keeps here (SCIM 2.0).

A user stands for a person. Each step changes the person and the directory's value in an order in which a crash between the two leaves somebody with
less, never with more: who loses something loses it first, who gains something gains it last. The same request sent again then ends the rest.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from jittrust.broker.identity.identities import IdentityBook
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, ConflictError, JitError, NotFoundError, RefusedError
from jittrust.core.identity.directory import (
    GROUP_ROLES,
    DirectoryGroup,
    DirectoryToken,
    DirectoryUser,
    check_group,
    check_user,
    display_of,
    emails_of,
    folded,
    path_segment,
    rank,
    role_of,
)
from jittrust.core.identity.identity import Identity, IdentityState, Role
from jittrust.core.model import SubjectKind
from jittrust.ports.commit import Drop, Keep, Kept, RecordBody
from jittrust.ports.identities import IdentityChange, NewIdentity

LEFT: Final = "owner_left"
MAX_TOKEN = 1024
_SCIM: Final = "scim:"
Entry = TypeVar("Entry", DirectoryUser, DirectoryGroup)


class DirectoryIndex:
    """Finds users and groups by what must be unique, and the groups of a user."""

    def __init__(self, state: State) -> None:
        """Of this state."""
        self._state = state
        self.users: dict[str, str] = {}
        self.user_externals: dict[str, str] = {}
        self.persons: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        self.group_externals: dict[str, str] = {}
        self.groups_of: dict[str, set[str]] = {}
        # Oldest first; a change keeps its place. Sorting all of them for each request would make each new user dearer than the one before.
        self.all_users: dict[str, DirectoryUser] = {}
        self.all_groups: dict[str, DirectoryGroup] = {}

    def took(self) -> None:
        """See `KeptIndex.took`."""
        for table in (self.users, self.user_externals, self.persons, self.groups, self.group_externals):
            table.clear()
        for more in (self.groups_of, self.all_users, self.all_groups):
            more.clear()
        for user in sorted(self._state.of_kind(DirectoryUser).values(), key=lambda one: (one.created, one.id)):
            self.kept(user, None)
        for group in sorted(self._state.of_kind(DirectoryGroup).values(), key=lambda one: (one.created, one.id)):
            self.kept(group, None)

    def kept(self, value: Kept, before: Kept | None) -> None:
        """See `KeptIndex.kept`."""
        if before is not None:
            self._forget(before)
        if isinstance(value, DirectoryUser):
            self.all_users[value.id] = value
            self.users[folded(value.user_name)] = value.id
            self.persons[value.person] = value.id
            if value.external_id:
                self.user_externals[value.external_id] = value.id
        elif isinstance(value, DirectoryGroup):
            self.all_groups[value.id] = value
            self.groups[folded(value.name)] = value.id
            if value.external_id:
                self.group_externals[value.external_id] = value.id
            for member in value.members:
                self.groups_of.setdefault(member, set()).add(value.id)

    def dropped(self, value: Kept) -> None:
        """See `KeptIndex.dropped`."""
        self._forget(value)
        if isinstance(value, DirectoryUser):
            self.all_users.pop(value.id, None)
        elif isinstance(value, DirectoryGroup):
            self.all_groups.pop(value.id, None)

    def _forget(self, value: Kept) -> None:
        if isinstance(value, DirectoryUser):
            self.users.pop(folded(value.user_name), None)
            self.persons.pop(value.person, None)
            self.user_externals.pop(value.external_id, None)
        elif isinstance(value, DirectoryGroup):
            self.groups.pop(folded(value.name), None)
            self.group_externals.pop(value.external_id, None)
            for member in value.members:
                left = self.groups_of.get(member, set())
                left.discard(value.id)
                if not left:
                    self.groups_of.pop(member, None)


class DirectoryBook:
    """The provider's side of people. Deactivating a user makes the person a leaver: see `Identities.change`."""

    def __init__(self, state: State, identities: IdentityBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._identities = identities
        self._parts = parts
        self._index = DirectoryIndex(state)
        state.add_index(self._index)
        # A request is several steps; two of them in between each other would judge by what the other is about to change.
        self._one_at_a_time = asyncio.Lock()

    async def authorised(self, token: str) -> str:
        """See `Directory.authorised`."""
        await self._state.refresh()
        if 0 < len(token) <= MAX_TOKEN:
            mac = hmac.new(self._parts.hash_key, b"scim:" + token.encode("utf-8", "surrogatepass"), hashlib.sha256)
            known = self._state.of_kind(DirectoryToken).get(mac.hexdigest())
            # The hash is keyed: how long the look-up takes says nothing about a token.
            if known is not None:
                return known.name
        raise RefusedError(
            "scim_unauthorised", "This bearer token is no provider's.", "Make one: jittrust identity directory-token"
        )

    async def users(self) -> Sequence[DirectoryUser]:
        """See `Directory.users`."""
        await self._state.refresh()
        return tuple(self._index.all_users.values())

    async def groups(self) -> Sequence[DirectoryGroup]:
        """See `Directory.groups`."""
        await self._state.refresh()
        return tuple(self._index.all_groups.values())

    async def put(
        self, value: DirectoryUser | DirectoryGroup, by: str, *, remove: bool = False
    ) -> DirectoryUser | DirectoryGroup:
        """See `Directory.put`. `revision` is the one that the caller saw: another one is `stale_revision`."""
        async with self._one_at_a_time:
            await self._state.refresh()
            if isinstance(value, DirectoryUser):
                return await (self._remove_user(value, by) if remove else self._put_user(value, by))
            return await (self._remove_group(value, by) if remove else self._put_group(value, by))

    async def _put_user(self, value: DirectoryUser, by: str) -> DirectoryUser:
        check_user(value)
        before = self._known(DirectoryUser, value) if value.id else None
        self._check_unique(value)
        if before is None:
            made = replace(value, id=self._parts.new_id("user"))
            person = await self._person_for(made, by)
            now = self._parts.clock()
            made = replace(made, person=person.id, created=now, changed=now, revision=1)
            if not made.active:
                await self._leave(person, by)
        else:
            now = self._parts.clock()
            made = replace(
                value, person=before.person, created=before.created, changed=now, revision=before.revision + 1
            )
            if not made.active and (leaver := self._person(made)) is not None:
                await self._leave(leaver, by)
            await self._rename(before, made, by)
        if before is None or self._differs(before, made):
            # Others were served while the person changed: whatever was judged before is judged again.
            self._check_unique(made)
            what = "user_changed" if before else "user_created"
            await self._state.change([Keep(made)], [self._record(made, what, by)])
        else:
            made = before
        if made.active:
            await self._come_back(made, by, back=before is not None)
        return made

    async def _remove_user(self, value: DirectoryUser, by: str) -> DirectoryUser:
        known = self._known(DirectoryUser, value)
        person = self._person(known)
        if person is not None:
            await self._leave(person, by, role=Role.NONE)
            name = f"scim:{known.id}"
            person = self._person(known) or person
            if name in person.names and person.state is not IdentityState.RETIRED:
                why = _why(person, LEFT)
                await self._identities.change(person.id, IdentityChange(forget_names=(name,), why=why, by=_by(by)))
        known = self._known(DirectoryUser, value)
        groups = [self._state.of_kind(DirectoryGroup)[name] for name in self._index.groups_of.get(known.id, ())]
        left = [
            replace(
                group,
                members=tuple(member for member in group.members if member != known.id),
                changed=self._parts.clock(),
                revision=group.revision + 1,
            )
            for group in groups
        ]
        await self._state.change(
            [Drop(known), *(Keep(group) for group in left)],
            [self._record(known, "user_removed", by), *(self._record(one, "group_changed", by) for one in left)],
        )
        return known

    async def _put_group(self, value: DirectoryGroup, by: str) -> DirectoryGroup:
        members = tuple(dict.fromkeys(value.members))
        value = replace(value, members=members)
        check_group(value)
        users = self._state.of_kind(DirectoryUser)
        unknown = next((member for member in members if member not in users), None)
        if unknown is not None:
            raise BadInputError(
                "directory_value_bad", f"{unknown[:80]!r} is no user here: a group's members are users."
            )
        before = self._known(DirectoryGroup, value) if value.id else None
        self._check_unique(value)
        now = self._parts.clock()
        if before is None:
            made = replace(value, id=self._parts.new_id("group"), created=now, changed=now, revision=1)
        else:
            made = replace(value, created=before.created, changed=now, revision=before.revision + 1)
            if not self._differs(before, made):
                await self._set_roles(before.members, before, before, by)
                return before
        await self._store_group(before, made, by)
        return made

    async def _remove_group(self, value: DirectoryGroup, by: str) -> DirectoryGroup:
        known = self._known(DirectoryGroup, value)
        await self._store_group(known, None, by)
        return known

    async def _store_group(self, before: DirectoryGroup | None, after: DirectoryGroup | None, by: str) -> None:
        """Who loses a role loses it before the group is stored, who gains one gains it after."""
        either = tuple(dict.fromkeys((before.members if before else ()) + (after.members if after else ())))
        lowered = await self._set_roles(either, before, after, by, down=True)
        try:
            if after is None:
                known = self._known(DirectoryGroup, before) if before else None
                if known is not None:
                    await self._state.change([Drop(known)], [self._record(known, "group_removed", by)])
            else:
                self._check_unique(after)
                what = "group_changed" if before else "group_created"
                await self._state.change([Keep(after)], [self._record(after, what, by)])
        except JitError:
            await self._give_back(lowered, by)
            raise
        await self._set_roles(either, before, after, by)

    async def _set_roles(
        self,
        members: Iterable[str],
        before: DirectoryGroup | None,
        after: DirectoryGroup | None,
        by: str,
        *,
        down: bool = False,
    ) -> list[Identity]:
        """Give persons the role that their groups give. `down`: only take away. Whoever is in no such group, before or after, keeps what they have."""
        touched = before or after
        if touched is None or not any(one and folded(one.name) in GROUP_ROLES for one in (before, after)):
            return []
        users = self._state.of_kind(DirectoryUser)
        stay = frozenset(after.members) if after else frozenset[str]()
        changed: list[Identity] = []
        for member in members:
            person = self._person(users[member]) if member in users else None
            if person is None or person.state is IdentityState.RETIRED:
                continue
            names = [
                self._state.of_kind(DirectoryGroup)[one].name
                for one in self._index.groups_of.get(member, ())
                if one != touched.id
            ]
            if after is not None and member in stay:
                names.append(after.name)
            role = role_of(names)
            loses = rank(role) < rank(person.role)
            if role is person.role or loses is not down or (not loses and person.state is not IdentityState.ACTIVE):
                continue
            if role is Role.NONE and not (before and folded(before.name) in GROUP_ROLES):
                continue
            try:
                await self._identities.change(person.id, self._role_change(person, role, by))
            except JitError:
                await self._give_back(changed, by)
                raise
            changed.append(person)
        return changed

    async def _give_back(self, persons: Sequence[Identity], by: str) -> None:
        for person in persons:
            await self._identities.change(person.id, self._role_change(person, person.role, by))

    def _role_change(self, person: Identity, role: Role, by: str) -> IdentityChange:
        return IdentityChange(role=role, why=_why(person, "directory_group"), by=_by(by))

    async def _person_for(self, user: DirectoryUser, by: str) -> Identity:
        """The person a new user stands for: one that is known by the same address or user name, else a new one. Never one of the same display."""
        names = (f"scim:{user.id}", *(f"email:{address}" for address in emails_of(user)))
        segment = path_segment(folded(user.user_name))
        paths = (f"/person/{segment}", f"/person/scim/{segment}", f"/person/scim/{segment}/{path_segment(user.id)}")
        at = {path: self._identities.find(path) for path in paths}
        # A path is no user name: whoever is called `root` over there is not the `root` who was registered here, nor the one who was called so
        # before. Only a person whose user was never stored, since a step broke off in between, is taken up by it.
        mine = [one for one in at.values() if one is not None and self._orphaned(one)]
        named = [one for name in names if (one := self._identities.find(name)) is not None]
        found = {one.id: one for one in (named or mine)}
        if len(found) > 1:
            raise ConflictError(
                "directory_uniqueness", "The user name and the address belong to two people.", "Merge them first."
            )
        if not found:
            path = next(path for path, one in at.items() if one is None)
            new = NewIdentity(
                SubjectKind.PERSON, path, names=names, display=display_of(user), source="scim", by=_by(by)
            )
            return await self._identities.enrol(new)
        person = next(iter(found.values()))
        if person.kind is not SubjectKind.PERSON or person.state is IdentityState.RETIRED:
            raise ConflictError("directory_uniqueness", "The name belongs to somebody who is gone, or is no person.")
        if person.id in self._index.persons:
            raise ConflictError("directory_uniqueness", "Another user stands for the person of this address.")
        users = self._state.of_kind(DirectoryUser)
        gone = tuple(name for name in _scim_names(person) if name.removeprefix(_SCIM) not in users)
        more = tuple(name for name in names if name not in person.names)
        change = IdentityChange(names=more, forget_names=gone, why=_why(person, "directory_user"), by=_by(by))
        if person.state is IdentityState.SUSPENDED and not _sent_away(person):
            raise ConflictError(
                "directory_uniqueness", "This person was suspended here.", "Let an admin resume the person first."
            )
        return (await self._identities.change(person.id, change)).identity

    def _orphaned(self, person: Identity) -> bool:
        users, names = self._state.of_kind(DirectoryUser), _scim_names(person)
        dead = bool(names) and not any(name.removeprefix(_SCIM) in users for name in names)
        return person.source == "scim" and dead and person.id not in self._index.persons

    async def _rename(self, before: DirectoryUser, after: DirectoryUser, by: str) -> None:
        """Bring the person's addresses and display in line with what changed of the user."""
        person = self._person(after)
        if person is None or person.state is IdentityState.RETIRED:
            return
        old, new = ({f"email:{address}" for address in emails_of(user)} for user in (before, after))
        gone = tuple(sorted(name for name in old - new if name in person.names))
        more = tuple(sorted(name for name in new if name not in person.names))
        display = display_of(after) if display_of(after) != display_of(before) else None
        if gone or more or display is not None:
            why = _why(person, "directory_user")
            change = IdentityChange(display=display, names=more, forget_names=gone, why=why, by=_by(by))
            await self._identities.change(person.id, change)

    async def _leave(self, person: Identity, by: str, role: Role | None = None) -> None:
        if person.state is IdentityState.RETIRED:
            return
        if person.state is not IdentityState.SUSPENDED:
            change = IdentityChange(to=IdentityState.SUSPENDED, role=role, why=LEFT, by=_by(by))
            await self._identities.change(person.id, change)
        elif role is not None and person.role is not role:
            change = IdentityChange(role=role, why=_why(person, "directory_user"), by=_by(by))
            await self._identities.change(person.id, change)

    async def _come_back(self, user: DirectoryUser, by: str, *, back: bool) -> None:
        """Let a person go on whom the directory had sent away; what they own stays suspended until somebody looks at it."""
        person = self._person(user)
        if person is None or not _sent_away(person):
            return
        groups = self._state.of_kind(DirectoryGroup)
        names = [groups[one].name for one in self._index.groups_of.get(user.id, ())]
        role = role_of(names)
        # A user who comes new to the directory brings nothing along from an earlier life.
        said = role if not back or any(folded(name) in GROUP_ROLES for name in names) else None
        change = IdentityChange(to=IdentityState.ACTIVE, role=said, why="directory_active", by=_by(by))
        await self._identities.change(person.id, change)

    def _person(self, user: DirectoryUser) -> Identity | None:
        return self._state.of_kind(Identity).get(user.person)

    def _known(self, kind: type[Entry], value: Entry) -> Entry:
        known = self._state.of_kind(kind).get(value.id)
        if known is None:
            raise NotFoundError("directory_unknown", f"There is no {value.id[:80]!r} here.")
        if known.revision != value.revision:
            raise ConflictError(
                "stale_revision", f"{value.id} was changed meanwhile.", "Look at it again, then repeat."
            )
        return known

    def _check_unique(self, value: DirectoryUser | DirectoryGroup) -> None:
        if isinstance(value, DirectoryUser):
            names, externals, name = self._index.users, self._index.user_externals, value.user_name
        else:
            names, externals, name = self._index.groups, self._index.group_externals, value.name
        if names.get(folded(name), value.id) != value.id:
            raise ConflictError("directory_uniqueness", "The name is taken.")
        if value.external_id and externals.get(value.external_id, value.id) != value.id:
            raise ConflictError("directory_uniqueness", "The external id is taken.")

    def _differs(self, before: Entry, after: Entry) -> bool:
        return replace(after, changed=before.changed, revision=before.revision) != before

    def _record(self, value: DirectoryUser | DirectoryGroup, what: str, by: str) -> RecordBody:
        body: dict[str, str | int | bool] = {
            "kind": "identity",
            "at": milliseconds(self._parts.clock()),
            "what": f"directory_{what}",
            "id": value.id,
            "by": _by(by),
            "why": "",
        }
        if isinstance(value, DirectoryUser):
            return body | {"person": value.person, "active": value.active, "revision": value.revision}
        return body | {"name": value.name, "members": len(value.members), "revision": value.revision}


def _scim_names(person: Identity) -> tuple[str, ...]:
    return tuple(name for name in person.names if name.startswith(_SCIM))


def _by(provider: str) -> str:
    return f"scim:{provider}"


def _sent_away(person: Identity) -> bool:
    return person.state is IdentityState.SUSPENDED and person.why == LEFT and person.by.startswith("scim:")


def _why(person: Identity, why: str) -> str:
    """The reason to write beside a change that leaves the state alone: whose suspension it is must stay readable from it."""
    if person.state is not IdentityState.SUSPENDED or _sent_away(person):
        return LEFT if _sent_away(person) else why
    return person.why if person.why != LEFT else "suspended"
