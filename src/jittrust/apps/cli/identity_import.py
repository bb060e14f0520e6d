"""Registers what an export holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jittrust.core.errors import JitError, NotFoundError
from jittrust.core.identity.identity import Identity, IdentityState
from jittrust.core.identity.importing import ImportedIdentity, ImportPlan, ImportProblem
from jittrust.core.model import SubjectKind
from jittrust.ports.identities import Identities, IdentityChange, NewIdentity

WHY: Final = "not active where it was imported from"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a plan. `created`, `known`, `suspended` are paths; an existing identity under another path is in `known` with its own.

    `failed`: rows that could not be registered, with the code of the error. Nothing that was there is ever made active, given a role or
    another owner by an import.
    """

    source: str
    dry_run: bool
    created: tuple[str, ...]
    known: tuple[str, ...]
    suspended: tuple[str, ...]
    failed: tuple[ImportProblem, ...]


async def run_import(
    identities: Identities, plan: ImportPlan, owner: str, *, dry_run: bool, by: str = "import"
) -> ImportReport:
    """Register a plan's identities, people first. Run again it does nothing more.

    Args:
        identities: the registry.
        plan: see `plan_import`.
        owner: who answers for what has no owner in the export: a name or SPIFFE ID.
        dry_run: only say what would be done.
        by: who asks for it.
    """
    created: list[str] = []
    known: list[str] = []
    suspended: list[str] = []
    failed: list[ImportProblem] = []
    planned: set[str] = set()
    for one in sorted(plan.identities, key=lambda one: one.kind is not SubjectKind.PERSON):
        try:
            found = await _existing(identities, one)
            if found is not None and found.kind is not one.kind:
                failed.append(
                    ImportProblem(one.place, "identity_kind", f"{found.id} is here already, as a {found.kind}.")
                )
                continue
            if found is None:
                answers = "" if one.kind is SubjectKind.PERSON else await _owner(identities, one, owner, planned)
                if not answers and one.kind is not SubjectKind.PERSON:
                    failed.append(ImportProblem(one.place, "owner_needed", "Nobody answers for it: say --owner."))
                    continue
                if not dry_run:
                    source = f"import:{plan.source}"
                    new = NewIdentity(one.kind, one.path, answers, one.names, one.display, source=source, by=by)
                    found = await identities.enrol(new)
                created.append(one.path)
                planned.update(one.names if one.active else ())
            else:
                known.append(_path(found))
                more = tuple(name for name in one.names if name not in found.names)
                if more and not dry_run:
                    await identities.change(found.id, IdentityChange(names=more, why=found.why, by=by))
            if not one.active and (found is None or found.state in _STOPPABLE):
                if found is not None and not dry_run:
                    await identities.change(found.id, IdentityChange(to=IdentityState.SUSPENDED, why=WHY, by=by))
                suspended.append(one.path if found is None else _path(found))
        except JitError as error:
            failed.append(ImportProblem(one.place, error.code, error.message))
    return ImportReport(plan.source, dry_run, tuple(created), tuple(known), tuple(suspended), tuple(failed))


_STOPPABLE: Final = (IdentityState.ACTIVE, IdentityState.STALE)


async def _existing(identities: Identities, one: ImportedIdentity) -> Identity | None:
    """By its path, then by its id over there, then by its address."""
    for name in (one.path, *one.names):
        found = await _find(identities, name)
        if found is not None:
            return found
    return None


async def _owner(identities: Identities, one: ImportedIdentity, owner: str, planned: set[str]) -> str:
    """The name of the person whom the export names, if that person is here and active; else the one who was said."""
    if one.owner_hint:
        name = f"email:{one.owner_hint.lower()}"
        found = await _find(identities, name)
        if found is not None and found.kind is SubjectKind.PERSON and found.state is IdentityState.ACTIVE:
            return found.id
        if found is None and name in planned:
            return name
    return owner


async def _find(identities: Identities, name: str) -> Identity | None:
    try:
        return (await identities.show(name)).identity
    except NotFoundError:
        return None


def _path(identity: Identity) -> str:
    return "/" + identity.id.removeprefix("spiffe://").partition("/")[2]
