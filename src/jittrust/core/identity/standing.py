"""How a subject stands in the registry, at the moment of a call."""

from __future__ import annotations

from dataclasses import dataclass

from jittrust.core.authority.map import AuthorityMap
from jittrust.core.identity.identity import Blueprint, Identity, IdentityState


@dataclass(frozen=True, slots=True)
class IdentityStanding:
    """A subject that the registry speaks about.

    Attributes:
        id: its SPIFFE ID, or what was claimed to be one.
        state: how it stands; None: the registry does not know it, which is never good.
        why: why it stands so.
        owner_active: the person who answers for it is there.
        maximum: the most that it may ever do; None = no blueprint, or one without a maximum.
    """

    id: str
    state: IdentityState | None
    why: str = ""
    owner_active: bool = True
    maximum: AuthorityMap | None = None

    @property
    def active(self) -> bool:
        """Whether it gets documents, grants and calls."""
        return self.state is IdentityState.ACTIVE and self.owner_active

    @property
    def told(self) -> str:
        """How it stands, for people."""
        if self.state is None:
            return f"{self.id[:200]} is no identity of this registry."
        if self.state is IdentityState.ACTIVE and not self.owner_active:
            return f"The person who answers for {self.id} is not there any more."
        return f"{self.id} is {self.state}{f': {self.why}' if self.why else ''}."


def standing_of(identity: Identity, owner: Identity | None, blueprint: Blueprint | None) -> IdentityStanding:
    """The standing of a registered identity. `owner` and `blueprint` as the registry has them; one that is named and missing counts against it."""
    owner_active = not identity.owner or (owner is not None and owner.state is IdentityState.ACTIVE)
    maximum: AuthorityMap | None = None
    if identity.blueprint and (blueprint is None or not blueprint.unlimited):
        maximum = AuthorityMap(() if blueprint is None else blueprint.maximum)
    return IdentityStanding(identity.id, identity.state, identity.why, owner_active, maximum)


def fits(blueprint: Blueprint | None, model: str, manifest: str) -> bool:
    """Whether what was measured is what was approved. What was not measured fits nothing that is pinned."""
    if blueprint is None:
        return True
    return blueprint.model in ("", model) and blueprint.manifest in ("", manifest)
