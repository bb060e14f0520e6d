"""The mission file: a goal and its authority map, written or edited by a person, in YAML. Strict like the configuration.

```yaml
goal: Summarise last week's commits
minutes: 60
entries:
  - tool: git/git_log            # server/name, exactly
    resource: ".*repo"           # RE2, both ends anchored; left out: any
    constraints: {}              # JSON Schema that the arguments must satisfy
    uses: 5                      # left out: not limited
endorsements:                    # sources that may direct acts of named kinds
  - tool: files/read_file
    selectors: {path: bill.txt}  # exactly what the reading call says, and nothing more
    intents: [T.pay]
    up_to: 100                   # all amounts together; left out: acts without an amount
```
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import re2
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from jittrust.apps.marked_yaml import read_marked, validated
from jittrust.core.authority.endorsement import endorsable, endorsement_id
from jittrust.core.authority.map import AuthorityEntry, Endorsement, EntryState
from jittrust.core.intent.taxonomy import TAXONOMY

_LINE = 120


def _pattern(value: str) -> str:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(value, options)
    except re2.error as error:
        raise ValueError(f"not a pattern (RE2): {error}") from error
    return value


def _schema(value: dict[str, Any]) -> dict[str, Any]:
    try:
        jsonschema.Draft202012Validator.check_schema(value)
    except jsonschema.SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.message}") from error
    return value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class MissionFileEntry(_Part):
    """One thing the mission may do."""

    tool: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}/\S(.{0,1022}\S)?$", description="`server/name`, exactly; no pattern."
    )
    action: Literal[
        "tools/call", "resources/read", "prompts/get", "resources/subscribe", "resources/unsubscribe",
        "completion/complete", "sampling/createMessage", "elicitation/create", "roots/list",
    ] = "tools/call"  # fmt: skip
    resource: Annotated[str, AfterValidator(_pattern)] = ""
    constraints: Annotated[dict[str, Any], AfterValidator(_schema)] = Field(default_factory=dict)
    uses: int | None = Field(default=None, ge=1, le=1_000_000)
    why: str = Field(default="", max_length=1000)
    pin: str = Field(default="", pattern=r"^([0-9a-f]{64})?$", description="Hash of the definition that was looked at.")
    approved: bool = Field(default=True, description="false: left as a proposal; a call asks a person.")


def _kind(value: str) -> str:
    if value not in TAXONOMY:
        raise ValueError("no code of the taxonomy (docs/taxonomy.md)")
    if not endorsable(value):
        raise ValueError("acts of this kind are directed by no text: a person decides call by call")
    return value


class MissionFileEndorsement(_Part):
    """A source that may direct acts of named kinds."""

    tool: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}/\S(.{0,1022}\S)?$", description="`server/name`, exactly; no pattern."
    )
    selectors: dict[str, Annotated[str, Field(min_length=1, max_length=512)]] = Field(
        min_length=1,
        max_length=16,
        description="Argument → its exact value in the call that reads the source; all of them.",
    )
    intents: tuple[Annotated[str, AfterValidator(_kind)], ...] = Field(strict=False, min_length=1, max_length=32)
    up_to: float | None = Field(default=None, ge=0, le=1e12, description="What the amounts may add up to.")
    why: str = Field(default="", max_length=1000)
    approved: bool = Field(default=True, description="false: left as a proposal; a call asks a person.")


class MissionFile(_Part):
    """A goal and what may be done for it."""

    goal: str = Field(min_length=1, max_length=20_000)
    minutes: int = Field(default=60, ge=1, le=480)
    lanes: int = Field(default=1, ge=1, le=16)
    entries: tuple[MissionFileEntry, ...] = Field(default=(), strict=False, max_length=1000)
    endorsements: tuple[MissionFileEndorsement, ...] = Field(default=(), strict=False, max_length=64)

    @model_validator(mode="after")
    def _goal_has_words(self) -> MissionFile:
        if not self.goal.strip():
            raise ValueError("the goal has no words")
        return self

    def authority(self, person: str) -> tuple[AuthorityEntry, ...]:
        """The entries, approved by `person` where the file says so. The same file gives the same ids."""
        return tuple(
            AuthorityEntry(
                id="e-" + hashlib.sha256(f"{index}\0{entry.model_dump_json()}".encode()).hexdigest()[:12],
                tool=entry.tool,
                action=entry.action,
                resource=entry.resource,
                constraints=entry.constraints,
                uses_left=entry.uses,
                state=EntryState.APPROVED if entry.approved else EntryState.PROPOSED,
                approved_by=person if entry.approved else "",
                why=entry.why or "mission file",
                pin=entry.pin,
            )
            for index, entry in enumerate(self.entries)
        )

    def endorsed(self, person: str) -> tuple[Endorsement, ...]:
        """The sources, endorsed by `person` where the file says so; one that is written twice counts once."""
        found: dict[str, Endorsement] = {}
        for one in self.endorsements:
            name = endorsement_id(one.tool, one.selectors, one.intents)
            found[name] = Endorsement(
                name,
                one.tool,
                one.selectors,
                one.intents,
                amount_most=one.up_to,
                state=EntryState.APPROVED if one.approved else EntryState.PROPOSED,
                approved_by=person if one.approved else "",
                why=one.why or "mission file",
            )
        return tuple(found.values())


def read_mission_file(file: Path) -> MissionFile:
    """Read and check a mission file.

    Raises:
        BadInputError: `mission_file_missing`, `mission_file_syntax`, `mission_file_unknown_key`, `mission_file_bad_value`, with line and column.
    """
    return validated(MissionFile, read_marked(file, "mission_file"), "mission_file")


def written_mission(
    goal: str,
    minutes: int,
    entries: Sequence[AuthorityEntry],
    lanes: int = 1,
    endorsements: Sequence[Endorsement] = (),
) -> str:
    """A mission file for a person to edit. Entries that wait for a person are `approved: false`."""
    listed = [
        {
            "tool": entry.tool,
            **({"action": entry.action} if entry.action != "tools/call" else {}),
            **({"resource": entry.resource} if entry.resource else {}),
            **({"constraints": json.loads(json.dumps(entry.constraints))} if entry.constraints else {}),
            **({"uses": entry.uses_left} if entry.uses_left is not None else {}),
            **({"why": entry.why} if entry.why else {}),
            **({"pin": entry.pin} if entry.pin else {}),
            "approved": entry.state is EntryState.APPROVED,
        }
        for entry in entries
        if entry.state is not EntryState.REFUSED
    ]
    head = (
        "# Look at every entry: `approved: true` lets calls through, `false` asks you when they come. Remove what is not needed.\n"
        "# Then: jittrust mission start --file THIS_FILE\n"
    )
    sources = [
        {
            "tool": one.tool,
            "selectors": dict(one.selectors),
            "intents": list(one.intents),
            **({"up_to": one.amount_most} if one.amount_most is not None else {}),
            **({"why": one.why} if one.why else {}),
            # The policy endorses nothing in a map that a person wrote.
            "approved": one.state is EntryState.APPROVED and not one.approved_by.startswith("policy:"),
        }
        for one in endorsements
        if one.state is not EntryState.REFUSED
    ]
    body = {
        "goal": goal,
        "minutes": minutes,
        **({"lanes": lanes} if lanes > 1 else {}),
        "entries": listed,
        **({"endorsements": sources} if sources else {}),
    }
    return head + yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=_LINE)
