"""The one registry of people, agents, workloads and workflows: for people and admins, never for agents."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from jittrust.broker.grants import GrantBook
from jittrust.broker.identity.index import (
    IdentityIndex,
    identity_record,
    moved,
    moved_record,
    names_of,
    stale,
)
from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.missions import MissionBook
from jittrust.broker.record import grant_record, milliseconds, mission_record
from jittrust.broker.state import State
from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.authority.match import check_entry
from jittrust.core.errors import BadInputError, ConflictError, JitError, NotFoundError, RefusedError
from jittrust.core.grant.states import GrantState
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.identity import IDENTITY_MOVES, Blueprint, Identity, IdentityState, Role
from jittrust.core.identity.lineage import checked_roots, joined_roots, lineage_of, owner_root
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.identity.standing import fits
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import ENDED, MissionState
from jittrust.core.model import SubjectKind
from jittrust.core.states import move
from jittrust.core.units import Instant
from jittrust.ports.commit import Keep, MoveGrant, PutMission, RecordBody, Write
from jittrust.ports.identities import IdentityChange, IdentityQuery, IdentityView, NewIdentity

NAMES_MOST = 64
"""Most names of one identity."""
LIST_MOST = 10_000
"""Most identities that one answer lists."""
_NAME = re.compile(r"(?!spiffe:)[a-z][a-z0-9_-]{0,31}:\S(.{0,510}\S)?\Z")
_LONGEST_TEXT = 256
_BLUEPRINT_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_DIGEST = re.compile(r"([0-9a-f]{64})?\Z")
OWNER_LEFT = "owner_left"
# What becomes of the missions of a person who stops: those that run can be taken up again, unless the person is gone for good.
_STOPPED = {
    MissionState.ACTIVE: MissionState.SUSPENDED,
    MissionState.APPROVED: MissionState.TERMINATED,
    MissionState.PROPOSED: MissionState.WITHDRAWN,
}
_GONE = {
    MissionState.ACTIVE: MissionState.TERMINATED,
    MissionState.SUSPENDED: MissionState.TERMINATED,
    MissionState.APPROVED: MissionState.TERMINATED,
    MissionState.PROPOSED: MissionState.WITHDRAWN,
}


@dataclass(slots=True)
class _Cut:
    """One step that stops somebody: what is written, what is recorded, which missions end."""

    writes: list[Write] = field(default_factory=list)
    records: list[RecordBody] = field(default_factory=list)
    missions: list[str] = field(default_factory=list)

    def keep(self, identity: Identity, record: RecordBody) -> None:
        self.writes.append(Keep(identity))
        self.records.append(record)


class IdentityBook:
    """Registers, shows and changes identities."""

    def __init__(self, state: State, grants: GrantBook, missions: MissionBook, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._grants = grants
        self._missions = missions
        self._parts = parts
        self._index = IdentityIndex.of(state)
        self._index.serve(parts.trust_domain.uri)

    # ---- for the rest of the broker -----------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Another one after each change of an identity or a blueprint."""
        return self._index.version

    def find(self, name: str) -> Identity | None:
        """An identity by SPIFFE ID, path or any of its names."""
        return self._index.find(name)

    def active(self, spiffe_id: str) -> bool:
        """Whether an identity is active, and so is the person who answers for it."""
        found = self._state.of_kind(Identity).get(spiffe_id)
        return found is not None and self._index.standing(found).active

    async def obtain(self, entry: RegistrationEntry, roots: tuple[str, ...], model: str, manifest: str) -> Identity:
        """The identity that an entry gives, for somebody who was attested just now; registered the first time.

        A stale one whose digests fit again becomes active.

        Args:
            entry: the entry that matched.
            roots: what the attested can be recognised by (`core.identity.lineage`).
            model: digest that was measured; empty = not measured: what was measured last stands while the identity is active (the kernel tells
                nothing of models), and otherwise nothing that a blueprint pins is met.
            manifest: likewise.

        Raises:
            RefusedError: code `identity_not_active`: it is suspended, retired or of another kind, its owner is not there, or it is not what was
                approved: then it is stale from now on. Code `owner_inactive`.
            NotFoundError: code `identity_unknown` (the owner), `blueprint_unknown`.
            BadInputError: code `root_bad`, `spiffe_id_bad`.
        """
        await self._state.refresh()
        now, by = self._parts.clock(), f"entry:{entry.id}"
        roots = checked_roots(roots)
        known = self._state.of_kind(Identity).get(entry.spiffe_id)
        blueprint = self._blueprint(entry.blueprint or (known.blueprint if known else ""))
        measured = bool(model or manifest)
        if known is not None and known.state is IdentityState.ACTIVE:
            model, manifest = model or known.model, manifest or known.manifest
        if known is None:
            if not fits(blueprint, model, manifest):
                raise _not_active(f"{entry.spiffe_id} does not run what its blueprint was approved as.")
            path = entry.spiffe_id.removeprefix(self._parts.trust_domain.uri)
            new = NewIdentity(
                entry.kind, path, entry.owner, blueprint=entry.blueprint, roots=roots, source="attested", by=by
            )
            made = replace(self._made(new, now), model=model, manifest=manifest)
            await self._state.change([Keep(made)], [identity_record(made, "attested", now, by)])
            return made
        if known.kind is not entry.kind:
            raise _not_active(f"{known.id} is registered as a {known.kind}, the entry says {entry.kind}.")
        standing = self._index.standing(known)
        if known.state in (IdentityState.SUSPENDED, IdentityState.RETIRED) or not standing.owner_active:
            raise _not_active(standing.told)
        if not fits(blueprint, model, manifest):
            if known.state is not IdentityState.STALE and measured:
                # What it was found running is kept: no word of a person makes that what was approved.
                found = replace(known, model=model, manifest=manifest)
                write, record = stale(found, now, "it does not run what its blueprint was approved as", by)
                await self._state.change([write], [record])
            raise _not_active(f"{known.id} does not run what its blueprint was approved as.")
        again = replace(
            known,
            state=IdentityState.ACTIVE,
            blueprint=blueprint.id if blueprint else "",
            roots=joined_roots(known.roots, (owner_root(known.owner, blueprint.id if blueprint else ""), *roots)),
            model=model,
            manifest=manifest,
        )
        if again.roots != known.roots:
            # Only then: a large fleet is alike in many, and this is asked with every document.
            again = replace(again, lineage=lineage_of(again, self._index.alike(again.roots)))
        if again == known:
            return known
        again = replace(again, revision=known.revision + 1, changed=now, why="attested", by=by)
        await self._state.change([Keep(again)], [identity_record(again, "attested", now, by)])
        return again

    # ---- the port -----------------------------------------------------------------------------------------------------------------------

    async def list(self, query: IdentityQuery) -> Sequence[Identity]:
        """See `Identities.list`."""
        await self._state.refresh()
        found: Iterable[Identity] = self._state.of_kind(Identity).values()
        if query.owner:
            found = self._index.owned(self._known(query.owner).id)
        text = query.text.casefold()
        chosen = (
            one
            for one in found
            if one.id > query.after
            and query.kind in (None, one.kind)
            and query.state in (None, one.state)
            and (not text or any(text in word.casefold() for word in (one.id, one.display, *one.names)))
        )
        return heapq.nsmallest(max(0, min(query.limit, LIST_MOST)), chosen, key=lambda one: one.id)

    async def show(self, name: str) -> IdentityView:
        """See `Identities.show`."""
        await self._state.refresh()
        return self._view(self._known(name))

    async def enrol(self, new: NewIdentity) -> Identity:
        """See `Identities.enrol`."""
        await self._state.refresh()
        now = self._parts.clock()
        made = self._made(new, now)
        await self._state.change([Keep(made)], [identity_record(made, "enrolled", now, new.by)])
        return made

    async def change(self, name: str, change: IdentityChange) -> IdentityView:
        """See `Identities.change`."""
        await self._state.refresh()
        now = self._parts.clock()
        before = self._known(name)
        after = self._changed(before, change)
        if after == before:
            return self._view(before)
        self._keep_an_admin(before, after)
        after = replace(after, revision=before.revision + 1, changed=now, why=change.why, by=change.by)
        cut = _Cut()
        what = "changed" if after.state is before.state else str(after.state)
        cut.keep(after, identity_record(after, what, now, change.by, change.why))
        stopping = [after] if before.state is IdentityState.ACTIVE and after.state is not IdentityState.ACTIVE else []
        if after.kind is SubjectKind.PERSON and after.state is not IdentityState.ACTIVE:
            for owned in self._index.owned(after.id):
                if owned.state in (IdentityState.ACTIVE, IdentityState.STALE):
                    suspended = moved(owned, IdentityState.SUSPENDED, now, OWNER_LEFT, change.by)
                    cut.keep(suspended, moved_record(suspended, str(suspended.state), now, change.by, OWNER_LEFT))
                    stopping.append(suspended)
        if after.state is IdentityState.RETIRED and not stopping:
            stopping = [after]
        ids = {one.id for one in stopping}
        if stopping:
            self._cut_off(stopping, ids, now, change.by, cut)
        await self._state.change(cut.writes, cut.records)
        return replace(self._view(after), ended=tuple(cut.missions))

    async def draw(self, blueprint: Blueprint) -> Blueprint:
        """See `Identities.draw`."""
        await self._state.refresh()
        now = self._parts.clock()
        known = self._state.of_kind(Blueprint).get(blueprint.id)
        drawn = replace(
            blueprint,
            owner=self._person(blueprint.owner).id,
            maximum=_checked_maximum(blueprint),
            revision=1 if known is None else known.revision + 1,
            created=now if known is None else known.created,
        )
        writes: list[Write] = [Keep(drawn)]
        records = [_blueprint_record(drawn, now)]
        if known is not None and (known.model, known.manifest) != (drawn.model, drawn.manifest):
            for identity in self._state.of_kind(Identity).values():
                unfit = identity.blueprint == drawn.id and not fits(drawn, identity.model, identity.manifest)
                if unfit and identity.state is IdentityState.ACTIVE:
                    write, record = stale(identity, now, "its blueprint was drawn anew", blueprint.by)
                    writes.append(write)
                    records.append(record)
        await self._state.change(writes, records)
        return drawn

    # ---- looking up ---------------------------------------------------------------------------------------------------------------------

    def _known(self, name: str) -> Identity:
        found = self._index.find(name)
        if found is None:
            raise NotFoundError("identity_unknown", f"There is no identity {name[:200]!r}.", "jittrust identity ls")
        return found

    def _view(self, identity: Identity) -> IdentityView:
        return IdentityView(
            identity,
            self._state.of_kind(Blueprint).get(identity.blueprint),
            tuple(one.id for one in self._index.owned(identity.id)),
            tuple(
                sorted(
                    one.id for one in self._state.of_kind(RegistrationEntry).values() if one.spiffe_id == identity.id
                )
            ),
        )

    def _person(self, name: str) -> Identity:
        """A person who may answer for others."""
        if not name:
            raise BadInputError("owner_needed", "Somebody has to answer for it.", "Name a registered person.")
        found = self._known(name)
        if found.kind is not SubjectKind.PERSON:
            raise BadInputError("owner_needed", f"{found.id} is no person.", "Only a person answers for somebody.")
        if found.state is not IdentityState.ACTIVE:
            raise RefusedError("owner_inactive", f"{found.id} is {found.state}.", "Name a person who is there.")
        return found

    def _blueprint(self, name: str) -> Blueprint | None:
        if not name:
            return None
        found = self._state.of_kind(Blueprint).get(name)
        if found is None:
            raise NotFoundError(
                "blueprint_unknown", f"There is no blueprint {name[:80]!r}.", "jittrust identity blueprint"
            )
        return found

    # ---- registering --------------------------------------------------------------------------------------------------------------------

    def _made(self, new: NewIdentity, now: Instant) -> Identity:
        """The identity that `new` asks for. Raises as `enrol`."""
        spiffe_id = SpiffeId(self._parts.trust_domain, new.path)
        if not new.path:
            raise BadInputError("spiffe_id_bad", "An identity needs a path.", "Example: /agent/coder")
        person = new.kind is SubjectKind.PERSON
        _check_texts(new.display, new.source)
        if person and (new.owner or new.blueprint):
            raise BadInputError("owner_needed", "A person answers for itself and is made by no blueprint.")
        if not person and new.role is not Role.NONE:
            raise BadInputError("role_bad", "Only people have roles.")
        if str(spiffe_id) in self._state.of_kind(Identity):
            raise ConflictError("identity_exists", f"{spiffe_id} was given before; no id is given twice.")
        owner = "" if person else self._person(new.owner).id
        blueprint = self._blueprint(new.blueprint)
        made = Identity(
            id=str(spiffe_id),
            kind=new.kind,
            owner=owner,
            names=self._free_names(new.names, ""),
            display=new.display,
            source=new.source,
            blueprint=new.blueprint,
            roots=joined_roots(() if person else (owner_root(owner, new.blueprint),), checked_roots(new.roots)),
            role=new.role,
            model=blueprint.model if blueprint else "",
            manifest=blueprint.manifest if blueprint else "",
            created=now,
            changed=now,
            by=new.by,
        )
        return replace(made, lineage=lineage_of(made, self._index.alike(made.roots)))

    def _free_names(self, names: Iterable[str], mine: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(names))
        for name in found:
            if not _NAME.match(name) or not name.isprintable():
                raise BadInputError("name_bad", f"{name[:80]!r} is no name.", "Write kind:value, such as os:alice.")
            if self._index.holder(name) not in ("", mine):
                raise ConflictError("name_taken", f"{name[:80]} is the name of {self._index.holder(name)}.")
        if len(found) > NAMES_MOST:
            raise BadInputError("name_bad", f"An identity has {NAMES_MOST} names at most.")
        return found

    # ---- changing -----------------------------------------------------------------------------------------------------------------------

    def _changed(self, before: Identity, change: IdentityChange) -> Identity:
        """The identity after a change, its revision untouched. Raises as `change`."""
        _check_texts(change.display or "", change.why)
        after = before
        if change.owner is not None:
            if before.kind is SubjectKind.PERSON:
                raise BadInputError("owner_needed", "A person answers for itself.")
            owner = self._person(change.owner).id
            root = owner_root(owner, before.blueprint)
            after = replace(after, owner=owner, roots=joined_roots(before.roots, (root,)))
            after = replace(after, lineage=lineage_of(after, self._index.alike(after.roots)))
        if change.role is not None:
            if before.kind is not SubjectKind.PERSON and change.role is not Role.NONE:
                raise BadInputError("role_bad", "Only people have roles.")
            after = replace(after, role=change.role)
        if change.display is not None:
            after = replace(after, display=change.display)
        to = before.state if change.to is None else self._going(after, change.to)
        after = replace(after, state=to)
        if change.names or change.forget_names or (to is not before.state and before.state is IdentityState.RETIRED):
            kept = (name for name in (*before.names, *change.names) if name not in change.forget_names)
            after = replace(after, names=self._free_names(kept, before.id))
        return after

    def _going(self, identity: Identity, to: IdentityState) -> IdentityState:
        """Where a person's word takes it: what is not what was approved has to be attested before it goes on."""
        if to is identity.state:
            return to
        move(IDENTITY_MOVES, identity.state, to)
        if to is not IdentityState.ACTIVE:
            return to
        if identity.owner and not self.active(identity.owner):
            raise RefusedError(
                "owner_inactive",
                f"{identity.owner} is not there to answer for {identity.id}.",
                "Give it another owner.",
            )
        if fits(self._state.of_kind(Blueprint).get(identity.blueprint), identity.model, identity.manifest):
            return to
        if identity.state is IdentityState.STALE:
            raise ConflictError(
                "illegal_move", f"{identity.id} is not what was approved.", "It has to be attested again."
            )
        return IdentityState.STALE

    def _keep_an_admin(self, before: Identity, after: Identity) -> None:
        def administers(one: Identity) -> bool:
            return one.role is Role.ADMIN and one.state is IdentityState.ACTIVE

        if not administers(before) or administers(after):
            return
        if not any(one.id != before.id and administers(one) for one in self._state.of_kind(Identity).values()):
            raise ConflictError(
                "last_admin", f"{before.id} is the last who could administer.", "Make somebody else an admin first."
            )

    def _cut_off(self, stopping: Sequence[Identity], ids: set[str], now: Instant, by: str, cut: _Cut) -> None:
        """End the grants and missions of everybody who stops.

        Their attachments stay: each further call over them is refused and recorded, and their processes stay known as an agent's, which may
        approve nothing.
        """
        why = {one.id: OWNER_LEFT if one.why == OWNER_LEFT else f"{one.id} is {one.state}" for one in stopping}
        people = {name: one for one in stopping for name in names_of(one)}
        gone: set[str] = set()
        for mission in self._state.missions.values():
            if mission.state in ENDED:
                continue
            whose = people.get(mission.person) or (people.get(mission.agent) if mission.agent else None)
            if whose is None:
                continue
            gone.add(mission.id)
            table = _GONE if whose.state is IdentityState.RETIRED else _STOPPED
            if mission.state in table:
                ended = self._ended(mission, table[mission.state], why[whose.id])
                cut.missions.append(mission.id)
                cut.writes.append(PutMission(ended, mission.generation))
                cut.records.append(mission_record(ended, str(ended.state), by, now, why[whose.id]))
        for grant in self._state.grants.values():
            if grant.state not in (GrantState.ACTIVE, GrantState.SUSPENDED):
                continue
            # What all enforcement points of a mission share is the mission's, whoever was the first to call.
            holder = None if grant.shared else self._index.agent(grant.agent)
            if grant.mission in gone or (holder is not None and holder.id in ids):
                cut.writes.append(MoveGrant(grant.id, GrantState.REVOKED))
                cut.records.append(grant_record(grant, "revoked", now, _why(holder, why), by))

    def _ended(self, mission: Mission, to: MissionState, why: str) -> Mission:
        return replace(
            mission,
            state=to,
            generation=mission.generation + 1,
            why_ended=why if to in ENDED else mission.why_ended,
        )


def _why(holder: Identity | None, why: dict[str, str]) -> str:
    return why.get(holder.id, "its mission was stopped") if holder is not None else "its mission was stopped"


def _not_active(message: str) -> JitError:
    return RefusedError("identity_not_active", message, "A person decides: jittrust identity show.")


def _check_texts(*texts: str) -> None:
    for text in texts:
        if len(text) > _LONGEST_TEXT or not text.isprintable():
            raise BadInputError(
                "name_bad", f"{text[:80]!r} cannot be shown.", f"Use printable characters, {_LONGEST_TEXT} at most."
            )


def _checked_maximum(blueprint: Blueprint) -> tuple[AuthorityEntry, ...]:
    """The maximum as it is stored: drawing it is its approval. Raises BadInputError: code `blueprint_bad`."""
    if not _BLUEPRINT_ID.match(blueprint.id):
        raise _bad_blueprint(f"{blueprint.id[:80]!r} is no name of a blueprint")
    if not _DIGEST.match(blueprint.model) or not _DIGEST.match(blueprint.manifest):
        raise _bad_blueprint("a digest is 64 hex digits in lower case, or empty")
    if blueprint.unlimited and blueprint.maximum:
        raise _bad_blueprint("it has a maximum and says that it has none")
    taken: set[str] = set()
    for entry in blueprint.maximum:
        try:
            check_entry(entry)
        except BadInputError as error:
            raise _bad_blueprint(f"entry {entry.id[:80]}: {error.message}") from None
        if entry.id in taken or "/" not in entry.tool:
            raise _bad_blueprint(f"entry {entry.id[:80]} is there twice, or names no tool as server/name")
        if entry.uses_left is not None:
            raise _bad_blueprint(f"entry {entry.id[:80]} counts uses, which only a mission can")
        taken.add(entry.id)
    return tuple(
        replace(entry, state=EntryState.APPROVED, approved_by=entry.approved_by or blueprint.by)
        if entry.state is EntryState.PROPOSED
        else entry
        for entry in blueprint.maximum
    )


def _bad_blueprint(why: str) -> BadInputError:
    return BadInputError("blueprint_bad", f"The blueprint is not taken: {why}.")


def _blueprint_record(blueprint: Blueprint, now: Instant) -> RecordBody:
    return {
        "kind": "identity",
        "at": milliseconds(now),
        "what": "blueprint_drawn",
        "blueprint": blueprint.id,
        "owner": blueprint.owner,
        "unlimited": blueprint.unlimited,
        "maximum": [
            {
                "id": entry.id,
                "tool": entry.tool,
                "action": entry.action,
                "resource": entry.resource,
                "constraints": dict(entry.constraints),
                "state": entry.state,
                "pin": entry.pin,
            }
            for entry in blueprint.maximum
        ],
        "model": blueprint.model,
        "manifest": blueprint.manifest,
        "revision": blueprint.revision,
        "by": blueprint.by,
        "why": "",
    }
