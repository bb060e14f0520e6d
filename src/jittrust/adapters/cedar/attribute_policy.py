"""Access questions about anything else than tools behind the broker, answered by Cedar from one folder.

The folder holds `policy.cedar`, `schema.cedarschema` (Cedar's own syntax; required, every rule and entity is checked against it) and
`entities.json` (Cedar's JSON; may be left out). AuthZEN's words become Cedar's one to one: `subject.type` and `resource.type` are entity types,
`action.name` is an action, properties are attributes (what is sent replaces what is known of the entity), and the context is AuthZEN's context with
`action.properties` as its member `action`. What the schema does not declare is left out: no checked rule can ask for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cedarpy

from jittrust.adapters.cedar.attributes_schema import fitted, read_schema
from jittrust.adapters.cedar.places import statements
from jittrust.core.errors import BadInputError, UnavailableError
from jittrust.core.model import Json
from jittrust.core.policy import PolicyAnswer
from jittrust.core.strict_json import parse
from jittrust.ports.attribute_policy import Attributed, AttributeQuestion

POLICY_FILE: Final = "policy.cedar"
SCHEMA_FILE: Final = "schema.cedarschema"
ENTITIES_FILE: Final = "entities.json"
MOST_BYTES: Final = 4 << 20
"""Largest file of the folder."""
MOST_LOOKED_AT: Final = 4096
"""Most entities that one question may reach."""
_DEEPEST: Final = 24


class CedarAttributePolicy:
    """`ports.attribute_policy.AttributePolicy` over Cedar. Immutable: to read the folder anew, load another."""

    def __init__(self, policy: str, schema: str, entities: Sequence[Mapping[str, Any]] = ()) -> None:
        """Check and compile; see `load`."""
        try:
            self._schema = cedarpy.Schema.from_str(schema)
        except ValueError as error:
            raise _broken(SCHEMA_FILE, str(error)) from None
        self._shapes = read_schema(schema)
        self._policies = self._compiled(policy)
        self._known: dict[tuple[str, str], Mapping[str, Any]] = {}
        try:
            cedarpy.Entities.from_json_str(json.dumps(list(entities)), self._schema)
            for entity in entities:
                self._known[_uid_of(entity["uid"])] = entity
        except (ValueError, KeyError, TypeError) as error:
            raise _broken(ENTITIES_FILE, str(error)) from None
        self._ids: dict[str, list[str]] = {}
        for kind, name in sorted(self._known):
            self._ids.setdefault(kind, []).append(name)

    @classmethod
    def load(cls, folder: Path) -> CedarAttributePolicy:
        """Everything of one folder.

        Raises:
            BadInputError: code `policy_missing`, `policy_broken`, `policy_empty` or `attributes_schema`: do not start.
        """
        policy, schema = _read(folder / POLICY_FILE), _read(folder / SCHEMA_FILE)
        listed: Json = []
        if (folder / ENTITIES_FILE).exists():
            text = _read(folder / ENTITIES_FILE).encode()
            try:
                listed = parse(text, max_bytes=MOST_BYTES, max_depth=_DEEPEST, max_keys=1_000_000)
            except BadInputError as error:
                raise _broken(ENTITIES_FILE, error.message) from None
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise _broken(ENTITIES_FILE, "it is a list of entities")
        return cls(policy, schema, [one for one in listed if isinstance(one, dict)])

    def answer(self, question: AttributeQuestion) -> PolicyAnswer:
        """See `AttributePolicy.answer`."""
        action = self._shapes.actions.get(question.action)
        subject, resource = question.subject, question.resource
        if action is None or subject.type not in action.subjects or resource.type not in action.resources:
            return PolicyAnswer()
        told: dict[str, Json] = {**question.context, "action": question.action_properties}
        context = fitted(told, action.context, "context")
        changed = {
            (one.type, one.id): self._entity(one, role) for one, role in ((resource, "resource"), (subject, "subject"))
        }
        listed = self._reached(changed, _named_in(context))
        request = {
            "principal": {"type": subject.type, "id": subject.id},
            "action": {"type": "Action", "id": question.action},
            "resource": {"type": resource.type, "id": resource.id},
            "context": json.dumps(context),
        }
        try:
            entities = cedarpy.Entities.from_json_str(json.dumps(listed), self._schema)
        except ValueError as error:
            raise BadInputError(
                "attributes_bad",
                f"What was sent does not fit the schema: {str(error)[:200]}",
                "See the schema of this server.",
            ) from None
        try:
            result = cedarpy.is_authorized(request, self._policies, entities, self._schema)
        except (ValueError, TypeError) as error:
            raise UnavailableError("policy_unavailable", f"The rules could not be evaluated: {error}") from None
        if result.decision is cedarpy.Decision.NoDecision or result.diagnostics.errors:
            # Cedar skips a rule that fails. A forbid that is skipped would be a permission, so nothing counts then.
            return PolicyAnswer()
        fired = tuple(sorted(result.diagnostics.reasons))
        return PolicyAnswer(permits=fired) if result.allowed else PolicyAnswer(forbids=fired)

    def entities(self, kind: str) -> Sequence[str]:
        """See `AttributePolicy.entities`."""
        return tuple(self._ids.get(kind, ()))

    def actions(self) -> Sequence[str]:
        """See `AttributePolicy.actions`."""
        return tuple(sorted(self._shapes.actions))

    def _compiled(self, policy: str) -> cedarpy.PolicySet:
        for statement in statements(policy):
            if deep := statement.too_deep():
                line, column = statement.place()
                raise _broken(POLICY_FILE, f"{line}:{column}: {deep}")
        try:
            checked = cedarpy.validate_policies(policy, self._schema)
            parsed = json.loads(cedarpy.policies_to_json_str(policy))
        except ValueError as error:
            raise _broken(POLICY_FILE, str(error)) from None
        if not checked.validation_passed:
            raise _broken(POLICY_FILE, "; ".join(fault.error for fault in checked.errors))
        if parsed["templates"]:
            raise _broken(POLICY_FILE, "rules with ?principal or ?resource slots are not taken")
        if not parsed["staticPolicies"]:
            raise BadInputError(
                "policy_empty", f"{POLICY_FILE} has no rule", "Write one: an empty policy is a mistake."
            )
        named: dict[str, Any] = {}
        for number, body in parsed["staticPolicies"].items():
            name = body.get("annotations", {}).get("id") or number
            if name in named:
                raise _broken(POLICY_FILE, f"two rules have the id {name!r}")
            named[name] = body
        text = json.dumps({"templates": {}, "staticPolicies": named, "templateLinks": []})
        return cedarpy.PolicySet.from_json_str(text)

    def _entity(self, one: Attributed, role: str) -> Mapping[str, Any] | None:
        """The entity with what was sent about it; None where neither it nor anything of it is known."""
        known = self._known.get((one.type, one.id))
        shape = self._shapes.entities.get(one.type)
        if shape is None or not one.properties:
            return known
        sent = fitted(one.properties, shape, role)
        if not isinstance(sent, Mapping) or not sent:
            return known
        uid = {"type": one.type, "id": one.id}
        if known is None:
            return {"uid": uid, "attrs": sent, "parents": []}
        return {**known, "attrs": {**known.get("attrs", {}), **sent}}

    def _reached(
        self, first: Mapping[tuple[str, str], Mapping[str, Any] | None], named: Sequence[tuple[str, str]]
    ) -> list[Mapping[str, Any]]:
        """The entities in question, and what they hang under or name: all that a rule can look at."""
        reached: dict[tuple[str, str], Mapping[str, Any]] = {}
        waiting = [*named, *first]
        while waiting:
            uid = waiting.pop()
            entity = first[uid] if uid in first else self._known.get(uid)
            if entity is None or uid in reached:
                continue
            reached[uid] = entity
            if len(reached) > MOST_LOOKED_AT:
                raise BadInputError("attributes_bad", f"The question reaches more than {MOST_LOOKED_AT} entities")
            waiting += [_uid_of(parent) for parent in entity.get("parents", ())]
            waiting += _named_in(entity.get("attrs", {}))
        return list(reached.values())


def _uid_of(uid: Mapping[str, Any]) -> tuple[str, str]:
    plain = uid.get("__entity", uid)
    return plain["type"], plain["id"]


def _named_in(value: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - any JSON
    """Every entity that an attribute names, escaped or, where the schema says what it is, plain."""
    if isinstance(value, Mapping):
        plain = value.get("__entity", value)
        if (
            isinstance(plain, Mapping)
            and plain.keys() == {"type", "id"}
            and all(isinstance(one, str) for one in plain.values())
        ):
            return [(plain["type"], plain["id"])]
        return [found for one in value.values() for found in _named_in(one)]
    return [found for one in value for found in _named_in(one)] if isinstance(value, list) else []


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise _broken(file.name, f"it is larger than {MOST_BYTES} bytes")
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise BadInputError(
            "policy_missing",
            f"{file} cannot be read: {error.strerror}",
            "Put it there, or unset authzen.folder.",
        ) from None
    except UnicodeDecodeError as error:
        raise _broken(file.name, f"it is not UTF-8 (byte {error.start})") from None


def _broken(file: str, what: str) -> BadInputError:
    return BadInputError("policy_broken", f"{file}: {what[:600]}", "jittrust does not start with it: mend it.")
