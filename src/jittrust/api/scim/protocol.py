"""SCIM's resources, patches and filters (RFC 7643, RFC 7644), by way of scim2-models. Imported when the first request comes: it costs half a second.

Nothing in here awaits or changes anything: values in, values out. It runs in a thread of its own, since a large group takes its time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias, cast

from pydantic import ValidationError
from scim2_models import (
    AuthenticationScheme,
    Bulk,
    ChangePassword,
    Context,
    EnterpriseUser,
    Error,
    ETag,
    Filter,
    Group,
    Patch,
    PatchOp,
    Path,
    Resource,
    ResourceType,
    ResponseParameters,
    SCIMException,
    ScimFilter,
    ScimPolicy,
    SearchRequest,
    ServiceProviderConfig,
    Sort,
    User,
)
from scim2_models.path import AttrPath, CompareOperator, Comparison, FilterNode, LogicalExpr, LogicalOperator, ValuePath

from jittrust.api.scim.fault import ScimError
from jittrust.core.identity.directory import DirectoryGroup, DirectoryUser, folded
from jittrust.core.model import Json

PAGE: Final = 100
MAX_PAGE: Final = 200
MAX_PAGE_MEMBERS: Final = 20_000
"""Members of all groups on one page: a page is shorter than asked for rather than larger than this (RFC 7644 §3.4.2.4)."""
MAX_DIGITS: Final = 9
MAX_FILTER: Final = 2048
MAX_TERMS: Final = 64
MAX_OPERATIONS: Final = 1000
LIST_RESPONSE: Final = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
PATCH_OP: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
USER_SCHEMA: Final = str(User.__schema__)
GROUP_SCHEMA: Final = str(Group.__schema__)

AnyModel: TypeAlias = Any
"""A model of scim2-models. Its attributes are made at run time, so no type checker knows them."""
UserModel: AnyModel = User[EnterpriseUser]
# Entra sends "False" for false, operations with capitals, removals with a value, and filters that nothing matches yet; and every provider sends
# attributes that nobody here asked for.
LENIENT: Final = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
# Ours to say, not the provider's, and kept elsewhere than in the document. A password is nobody's business here: it is never kept.
_NOT_KEPT: Final = ("id", "meta", "groups", "members", "password", "schemas")
_MEMBERS: Final = ("members", f"{GROUP_SCHEMA}:members".lower())


@dataclass(frozen=True, slots=True)
class Shelf:
    """What a request is answered from: everything the directory holds at one moment, and the address under which it is seen."""

    users: Mapping[str, DirectoryUser]
    groups: Mapping[str, DirectoryGroup]
    base: str


@contextmanager
def _faults() -> Iterator[None]:
    """Errors of the library in SCIM's words."""
    try:
        yield
    except ValidationError as error:
        first = Error.from_validation_errors(error)[0]
        raise ScimError(first.status or 400, first.detail or "", first.scim_type or "") from None
    except SCIMException as error:
        raise ScimError(error.status, error.detail, error.scim_type) from None
    except RecursionError:
        raise ScimError(400, "It is nested too deeply.", "invalidSyntax") from None
    except (ValueError, TypeError, AttributeError) as error:
        # A value of a kind that the library did not expect; its words may hold the value.
        raise ScimError(400, f"A value does not fit its attribute ({type(error).__name__}).", "invalidValue") from None


def check_names(value: Json) -> None:
    """Refuse an object that names one attribute twice in different cases: names are read in any case (RFC 7643 §2.1), so readers would differ."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if len({name.lower() for name in one}) != len(one):
                raise ScimError(400, "An attribute is named twice, in different cases.", "invalidSyntax")
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def read_user(sent: Mapping[str, Json], known: DirectoryUser | None = None) -> DirectoryUser:
    """The user that a POST or (with `known`) a PUT sends. Raises ScimError."""
    with _faults():
        context = Context.RESOURCE_REPLACEMENT_REQUEST if known else Context.RESOURCE_CREATION_REQUEST
        model = UserModel.model_validate(_with_schemas(sent, USER_SCHEMA), scim_ctx=context, scim_policy=LENIENT)
        return _user(model, known)


def patch_user(sent: Mapping[str, Json], known: DirectoryUser) -> DirectoryUser:
    """The user after a PATCH. Raises ScimError."""
    operations = _operations(sent, known.id)
    with _faults():
        model = _user_model(known)
        _apply(UserModel, model, operations)
        return _user(model, known, unsaid=True)


def read_group(sent: Mapping[str, Json], known: DirectoryGroup | None = None) -> DirectoryGroup:
    """The group that a POST or (with `known`) a PUT sends. Raises ScimError."""
    name = next((one for one in sent if one.lower() in _MEMBERS), None)
    members = _values(sent[name]) if name is not None else ()
    rest = {one: value for one, value in sent.items() if one != name}
    with _faults():
        context = Context.RESOURCE_REPLACEMENT_REQUEST if known else Context.RESOURCE_CREATION_REQUEST
        model = Group.model_validate(_with_schemas(rest, GROUP_SCHEMA), scim_ctx=context, scim_policy=LENIENT)
        return _group(model, members, known)


def patch_group(sent: Mapping[str, Json], known: DirectoryGroup) -> DirectoryGroup:
    """The group after a PATCH. Raises ScimError.

    Members are handled here: the library compares each with all others, and ten thousand of them would take seconds.
    """
    members = dict.fromkeys(known.members)
    with _faults():
        model = Group.model_validate(json.loads(known.document), scim_policy=LENIENT)
    for operation in _operations(sent, known.id):
        rest = _patch_members(operation, members)
        if rest is not None:
            with _faults():
                _apply(Group, model, [rest])
    with _faults():
        return _group(model, tuple(members), known)


def _patch_members(operation: Mapping[str, Json], members: dict[str, None]) -> Mapping[str, Json] | None:
    """Carry out what an operation says of members; what else it says is given back, None when that is all."""
    op, path, value = operation["op"], operation.get("path"), operation.get("value")
    if path is None:
        name = next((one for one in value if one.lower() in _MEMBERS), None) if isinstance(value, dict) else None
        if not isinstance(value, dict) or name is None:
            return operation
        _patch_members({"op": op, "path": "members", "value": value[name]}, members)
        rest = {one: inner for one, inner in value.items() if one != name}
        return {"op": op, "value": rest} if rest else None
    if not isinstance(path, str):
        raise ScimError(400, "A path is a text.", "invalidPath")
    attribute = path.lower()
    if attribute in _MEMBERS:
        named = _values(value) if value is not None else ()
        if op == "replace" or (op == "remove" and value is None):
            members.clear()
        for one in named:
            if op == "remove":
                members.pop(one, None)
            else:
                members[one] = None
        if op == "add" and value is None:
            raise ScimError(400, "An addition has a value.", "invalidValue")
        return None
    if not attribute.startswith(tuple(f"{one}{sign}" for one in _MEMBERS for sign in "[.")):
        return operation
    chosen = _chosen(path)
    if op != "remove":
        raise ScimError(400, "A member is added or removed, never changed.", "mutability")
    for one in chosen:
        members.pop(one, None)
    return None


def _chosen(path: str) -> tuple[str, ...]:
    """The members that `members[value eq "x" or value eq "y"]` chooses."""
    if len(path) > MAX_FILTER:
        raise ScimError(400, "The path is too long.", "invalidPath")
    with _faults():
        text = str(Path[Group](path))
        inner = text[text.index("[") + 1 : text.rindex("]")] if "[" in text and text.endswith("]") else ""
        if not inner:
            raise ScimError(400, 'Members are chosen by members[value eq "ID"].', "invalidPath")
        node = ScimFilter[Any](inner).ast
    terms = node.terms if isinstance(node, LogicalExpr) and node.op is LogicalOperator.or_ else (node,)
    found: list[str] = []
    for term in terms:
        if not (
            isinstance(term, Comparison)
            and term.op is CompareOperator.eq
            and _name(term.attr_path) == "value"
            and isinstance(term.value, str)
        ):
            raise ScimError(400, 'Members are chosen by members[value eq "ID"].', "invalidPath")
        found.append(term.value)
    return tuple(found)


def _values(sent: Json) -> tuple[str, ...]:
    """Ids in a list of members, or in one."""
    listed = sent if isinstance(sent, list) else [] if sent is None else [sent]
    found: list[str] = []
    for one in listed:
        value = (
            next((inner for name, inner in one.items() if name.lower() == "value"), None)
            if isinstance(one, dict)
            else None
        )
        if not isinstance(value, str) or not value:
            raise ScimError(400, "A member has a value: the id of a user.", "invalidValue")
        found.append(value)
    return tuple(found)


def _operations(sent: Mapping[str, Json], known: str) -> list[Mapping[str, Json]]:
    """The operations of a PATCH, names in small letters, paths hidden in values taken out of them (Entra)."""
    named = {name.lower(): value for name, value in sent.items()}
    schemas, listed = named.get("schemas"), named.get("operations")
    if not isinstance(schemas, list) or not any(
        isinstance(one, str) and one.lower() == PATCH_OP.lower() for one in schemas
    ):
        raise ScimError(400, f"A PATCH names the schema {PATCH_OP}.", "invalidSyntax")
    if not isinstance(listed, list) or not listed or len(listed) > MAX_OPERATIONS:
        raise ScimError(400, f"A PATCH has 1 to {MAX_OPERATIONS} operations.", "invalidSyntax")
    made: list[Mapping[str, Json]] = []
    for one in listed:
        operation = {name.lower(): value for name, value in one.items()} if isinstance(one, dict) else {}
        op = operation.get("op")
        if not isinstance(op, str) or op.lower() not in {"add", "remove", "replace"}:
            raise ScimError(400, "An operation is add, remove or replace.", "invalidSyntax")
        operation["op"] = op = op.lower()
        if op == "remove" and not operation.get("path"):
            raise ScimError(400, "A removal has a path.", "noTarget")
        path, value = operation.get("path"), operation.get("value")
        if path is None or path == "":
            operation.pop("path", None)
            if not isinstance(value, dict):
                raise ScimError(400, "Without a path the value is an object.", "invalidValue")
            # Okta names the resource once more in the value; that changes nothing, as long as it is this one.
            value = {name: inner for name, inner in value.items() if not (name.lower() == "id" and inner == known)}
            hidden = {name: inner for name, inner in value.items() if "[" in name}
            made.extend({"op": op, "path": name, "value": inner} for name, inner in hidden.items())
            rest = {name: inner for name, inner in value.items() if name not in hidden}
            if not rest:
                continue
            operation["value"] = rest
        made.append(operation)
    return made


def _apply(kind: AnyModel, model: AnyModel, operations: Sequence[Mapping[str, Json]]) -> None:
    if not operations:
        return
    message = {"schemas": [PATCH_OP], "Operations": [dict(one) for one in operations]}
    patch = PatchOp[kind].model_validate(message, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=LENIENT)
    patch.patch(model, scim_policy=LENIENT)


def _with_schemas(sent: Mapping[str, Json], schema: str) -> dict[str, Json]:
    """As sent; a request without `schemas`, as some providers send it, is what its address says."""
    made = dict(sent)
    if not any(name.lower() == "schemas" for name in made):
        made["schemas"] = [schema]
    return made


def _document(model: AnyModel) -> dict[str, Any]:
    return {name: value for name, value in json.loads(model.model_dump_json()).items() if name not in _NOT_KEPT}


def _user(model: AnyModel, known: DirectoryUser | None, *, unsaid: bool = False) -> DirectoryUser:
    # Who says nothing about `active` changes nothing about it: no leaver comes back by an omission, or by taking the attribute away (`unsaid`).
    active = model.active if model.active is not None else (known.active if known else True)
    model.active = None if unsaid and model.active is None else active
    made = DirectoryUser(
        known.id if known else "",
        known.person if known else "",
        model.user_name or "",
        model.external_id or "",
        active,
        json.dumps(_document(model), ensure_ascii=False, separators=(",", ":")),
    )
    return (
        made if known is None else replace(made, created=known.created, changed=known.changed, revision=known.revision)
    )


def _group(model: AnyModel, members: tuple[str, ...], known: DirectoryGroup | None) -> DirectoryGroup:
    made = DirectoryGroup(
        known.id if known else "",
        model.display_name or "",
        model.external_id or "",
        tuple(dict.fromkeys(members)),
        json.dumps(_document(model), ensure_ascii=False, separators=(",", ":")),
    )
    return (
        made if known is None else replace(made, created=known.created, changed=known.changed, revision=known.revision)
    )


def _user_model(user: DirectoryUser) -> AnyModel:
    return UserModel.model_validate(json.loads(user.document), scim_policy=LENIENT)


def etag(value: DirectoryUser | DirectoryGroup) -> str:
    """The weak entity tag of a resource (RFC 7644 §3.14)."""
    return f'W/"{value.revision}"'


def location(value: DirectoryUser | DirectoryGroup, base: str) -> str:
    """The address of a resource."""
    return f"{base}/{'Users' if isinstance(value, DirectoryUser) else 'Groups'}/{value.id}"


def _meta(value: DirectoryUser | DirectoryGroup, base: str) -> dict[str, Json]:
    return {
        "resourceType": "User" if isinstance(value, DirectoryUser) else "Group",
        "created": _moment(value.created),
        "lastModified": _moment(value.changed),
        "location": location(value, base),
        "version": etag(value),
    }


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parameters(kind: str, query: Mapping[str, str]) -> ResponseParameters[Any]:
    """`attributes` and `excludedAttributes` of a request (RFC 7644 §3.9). Raises ScimError."""
    asked = {one: query[one] for one in ("attributes", "excludedAttributes") if query.get(one)}
    if sum(map(len, asked.values())) > MAX_FILTER:
        raise ScimError(400, "Too many attributes are named.", "invalidValue")
    with _faults():
        model: AnyModel = UserModel if kind == "Users" else Group
        return ResponseParameters[model].model_validate(asked)


def memberships(ids: Collection[str], groups: Collection[DirectoryGroup]) -> dict[str, list[DirectoryGroup]]:
    """The groups of each of these users, by one walk through all members."""
    found: dict[str, list[DirectoryGroup]] = {}
    for group in groups:
        for member in group.members:
            if member in ids:
                found.setdefault(member, []).append(group)
    return found


def show(
    value: DirectoryUser | DirectoryGroup,
    base: str,
    chosen: ResponseParameters[Any],
    mine: Sequence[DirectoryGroup] = (),
) -> dict[str, Json]:
    """A resource as an answer shows it. `mine` are the groups of a user."""
    model = _user_model(value) if isinstance(value, DirectoryUser) else _group_model(value)
    model.id = value.id
    raw = model.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=chosen, mode="json")
    made = cast("dict[str, Json]", raw)
    kept, left = _roots(chosen.attributes), _roots(chosen.excluded_attributes)

    def wanted(name: str) -> bool:
        return name in kept if kept is not None else name not in (left or ())

    if wanted("meta"):
        made["meta"] = _meta(value, base)
    if mine and wanted("groups"):
        made["groups"] = [{"value": group.id, "$ref": location(group, base), "display": group.name} for group in mine]
    if isinstance(value, DirectoryGroup) and wanted("members") and value.members:
        made["members"] = [{"value": one, "$ref": f"{base}/Users/{one}", "type": "User"} for one in value.members]
    return made


def _roots(paths: Collection[Any] | None) -> frozenset[str] | None:
    """Top names in `attributes`, without their schema and sub-attribute, in small letters; None where nothing is asked for."""
    return None if not paths else frozenset(str(one).rsplit(":", 1)[-1].split(".", 1)[0].lower() for one in paths)


def _group_model(group: DirectoryGroup) -> AnyModel:
    return Group.model_validate(json.loads(group.document), scim_policy=LENIENT)


def search(kind: str, query: Mapping[str, str], shelf: Shelf) -> dict[str, Json]:
    """A page of users or groups (RFC 7644 §3.4.2). Raises ScimError."""
    start, count = max(_number(query, "startIndex", 1), 1), min(max(_number(query, "count", PAGE), 0), MAX_PAGE)
    chosen = parameters(kind, query)
    values: Sequence[DirectoryUser | DirectoryGroup] = tuple(
        shelf.users.values() if kind == "Users" else shelf.groups.values()
    )
    if query.get("filter"):
        values = _filtered(kind, query["filter"], values, shelf)
    page: list[Json] = []
    members = 0
    chunk = values[start - 1 : start - 1 + count]
    mine = memberships({one.id for one in chunk}, shelf.groups.values()) if kind == "Users" else {}
    for value in chunk:
        members += len(value.members) if isinstance(value, DirectoryGroup) else 0
        if page and members > MAX_PAGE_MEMBERS:
            break
        page.append(show(value, shelf.base, chosen, mine.get(value.id, ())))
    return {
        "schemas": [LIST_RESPONSE],
        "totalResults": len(values),
        "startIndex": start,
        "itemsPerPage": len(page),
        "Resources": page,
    }


def _number(query: Mapping[str, str], name: str, usual: int) -> int:
    text = query.get(name, "")
    if not text:
        return usual
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > MAX_DIGITS:
        raise ScimError(400, f"{name} is a whole number.", "invalidValue")
    return int(text)


def _filtered(
    kind: str, text: str, values: Sequence[DirectoryUser | DirectoryGroup], shelf: Shelf
) -> Sequence[DirectoryUser | DirectoryGroup]:
    if len(text) > MAX_FILTER or text.count("(") + text.count("[") > MAX_TERMS:
        raise ScimError(400, f"A filter has at most {MAX_FILTER} characters.", "invalidFilter")
    model: AnyModel = UserModel if kind == "Users" else Group
    with _faults():
        request = SearchRequest[model].model_validate({"filter": text})
        tree = cast("ScimFilter[Any]", request.filter)
        left, exact = _narrowed(tree.ast, values)
        if exact:
            return left
        # Members and groups are looked up only where the filter speaks of them: they cost more than all the rest.
        mine = memberships({one.id for one in left}, shelf.groups.values()) if "groups" in text.lower() else {}
        members = "members" in text.lower()
        return [
            value for value in left if tree.match(_whole(value, shelf.base, mine.get(value.id, ()), members=members))
        ]


def _whole(
    value: DirectoryUser | DirectoryGroup, base: str, mine: Sequence[DirectoryGroup], *, members: bool
) -> Resource[Any]:
    """What a filter is matched with."""
    sent = {**json.loads(value.document), "id": value.id, "meta": _meta(value, base)}
    if isinstance(value, DirectoryUser):
        sent["groups"] = [{"value": one.id, "display": one.name} for one in mine]
        return cast("Resource[Any]", UserModel.model_validate(sent, scim_policy=LENIENT))
    if members:
        sent["members"] = [{"value": one, "type": "User"} for one in value.members]
    return Group.model_validate(sent, scim_policy=LENIENT)


def _narrowed(
    node: FilterNode, values: Sequence[DirectoryUser | DirectoryGroup]
) -> tuple[Sequence[DirectoryUser | DirectoryGroup], bool]:
    """Fewer values, none of which the filter would take is lost; and whether that is already all the filter says.

    Nearly every filter that a provider sends is `userName eq "…"` or the like: it is answered without building a single model.
    """
    if isinstance(node, LogicalExpr) and node.op is LogicalOperator.and_:
        all_exact = True
        for term in node.terms:
            values, exact = _narrowed(term, values)
            all_exact = all_exact and exact
        return values, all_exact
    test = _test(node)
    return (values, False) if test is None else ([value for value in values if test(value)], True)


def _test(node: FilterNode) -> Callable[[DirectoryUser | DirectoryGroup], bool] | None:
    if isinstance(node, ValuePath):
        inner = node.val_filter
        one = isinstance(inner, Comparison) and inner.op is CompareOperator.eq and _name(inner.attr_path) == "value"
        if not one or _name(node.attr_path) != "members" or node.sub_attr is not None:
            return None
        name, wanted = "members.value", cast("Comparison", inner).value
    elif isinstance(node, Comparison) and node.op is CompareOperator.eq:
        name, wanted = _name(node.attr_path), node.value
    else:
        return None
    if name == "active" and isinstance(wanted, bool):
        return lambda value: isinstance(value, DirectoryUser) and value.active is wanted
    if not isinstance(wanted, str):
        return None
    same = folded(wanted)
    tests: dict[str, Callable[[DirectoryUser | DirectoryGroup], bool]] = {
        "id": lambda value: value.id == wanted,
        "externalid": lambda value: value.external_id == wanted,
        "username": lambda value: isinstance(value, DirectoryUser) and folded(value.user_name) == same,
        "members": lambda value: isinstance(value, DirectoryGroup) and wanted in value.members,
        "members.value": lambda value: isinstance(value, DirectoryGroup) and wanted in value.members,
    }
    if name == "displayname":
        # A user's display name is in the document alone.
        return None
    return tests.get(name)


def _name(path: AttrPath) -> str:
    return f"{path.attr}.{path.sub_attr}".lower() if path.sub_attr else path.attr.lower()


def service_config(base: str) -> dict[str, Json]:
    """What is supported (RFC 7643 §5)."""
    made = ServiceProviderConfig(
        patch=Patch(supported=True),
        bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
        filter=Filter(supported=True, max_results=MAX_PAGE),
        change_password=ChangePassword(supported=False),
        sort=Sort(supported=False),
        etag=ETag(supported=True),
        authentication_schemes=[
            AuthenticationScheme(
                type=AuthenticationScheme.Type("oauthbearertoken"),
                name="Bearer token",
                description="The token that `jittrust identity directory-token` prints",
                primary=True,
            )
        ],
    )
    shown = made.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, mode="json")
    shown["meta"] = {"resourceType": "ServiceProviderConfig", "location": f"{base}/ServiceProviderConfig"}
    return cast("dict[str, Json]", shown)


def resource_types(base: str) -> list[dict[str, Json]]:
    """Users and groups (RFC 7643 §6)."""
    made: list[dict[str, Json]] = []
    models: tuple[Any, ...] = (UserModel, Group)
    for model in models:
        shown = ResourceType.from_resource(model).model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, mode="json")
        shown["meta"] = {"resourceType": "ResourceType", "location": f"{base}/ResourceTypes/{shown['name']}"}
        made.append(shown)
    return made


def schemas(base: str) -> list[dict[str, Json]]:
    """What users and groups consist of here (RFC 7643 §7): without a password, and members are users."""
    made: list[dict[str, Json]] = []
    models: tuple[Any, ...] = (User, Group, EnterpriseUser)
    for model in models:
        shown = model.to_schema().model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, mode="json")
        shown["attributes"] = [one for one in shown["attributes"] if one["name"] != "password"]
        for attribute in shown["attributes"]:
            if attribute["name"] == "members":
                # RFC 7643 §8.7.1 has no `display` among them: it would be another's name, and stale when that one is renamed.
                attribute["subAttributes"] = [one for one in attribute["subAttributes"] if one["name"] != "display"]
                for inner in attribute["subAttributes"]:
                    if inner["name"] == "$ref":
                        inner["referenceTypes"] = ["User"]
                    elif inner["name"] == "type":
                        inner["canonicalValues"] = ["User"]
        shown["meta"] = {"resourceType": "Schema", "location": f"{base}/Schemas/{shown['id']}"}
        made.append(shown)
    return made


def listed(values: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """All of them as one page."""
    return {
        "schemas": [LIST_RESPONSE],
        "totalResults": len(values),
        "startIndex": 1,
        "itemsPerPage": len(values),
        "Resources": [dict(one) for one in values],
    }
