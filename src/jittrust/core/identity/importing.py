"""Identities out of other systems' exports: Keycloak realms, Entra ID (Microsoft Graph), Okta.

Reading an export changes nothing. Each row becomes an identity, a finding (a secret that lives long), or a problem with its place: none is lost.
The value of a secret never leaves this module; of a long one the last four characters do, by which a person can tell which one it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jittrust.core.errors import BadInputError
from jittrust.core.identity.directory import folded, path_segment, shown
from jittrust.core.identity.spiffe_id import SpiffeId, TrustDomain
from jittrust.core.model import Json, SubjectKind
from jittrust.core.strict_json import parse
from jittrust.core.units import Instant

MAX_BYTES = 64 * 1024 * 1024
"""Largest export, in bytes."""
MAX_DEPTH = 32
MAX_KEYS = 2_000_000
MAX_NOTES = 20
MAX_NAME = 256
SHOWN_FROM = 16
"""Of secrets with at least so many characters the last four are told: of a shorter one they would be too much of it."""
_DAY = 86_400.0
_MASK = "*"
_MILLISECONDS_FROM = 100_000_000_000  # a number of seconds that large lies in the year 5138


@dataclass(frozen=True, slots=True)
class ImportedIdentity:
    """Somebody an export knows.

    Attributes:
        place: where in the export, such as `clients[3]`.
        kind: person, agent or workload.
        path: of the SPIFFE ID; the same row always gives the same one.
        names: `keycloak:REALM/ID`, `entra:ID`, `okta:ID`, and `email:ADDRESS` where the source vouches for the address.
        display: for people; safe to print.
        owner_hint: address or user name of whoever answers for it, if the export says so.
        active: whether it may act there.
        notes: what a person should know, such as the roles it has there.
    """

    place: str
    kind: SubjectKind
    path: str
    names: tuple[str, ...]
    display: str
    owner_hint: str = ""
    active: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SecretFinding:
    """A secret that somebody has over there.

    Attributes:
        place: where in the export.
        path: whose it is: the path of an imported identity; empty where that is not known.
        kind: `client_secret`, `password_credential`, `certificate`, `api_token`, `signing_key`.
        last_four: its last four characters, if the export holds it and it is long enough.
        key_id: its id in the export.
        since, until: from when to when it is good; None where the export does not say, and where it never ends.
    """

    place: str
    path: str
    kind: str
    last_four: str = ""
    key_id: str = ""
    since: Instant | None = None
    until: Instant | None = None

    def age_days(self, now: Instant) -> int | None:
        """Whole days since it was made; None where the export does not say."""
        return None if self.since is None else max(0, int((now - self.since) // _DAY))


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """A row, or a part of one, that did not become an identity.

    `code`: `unreadable` (of the wrong type or incomplete), `no_subject` (nobody who acts on their own, such as a page that people log in to),
    `doubled` (the same subject once more).
    """

    place: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What an export holds. `source`: keycloak, entra or okta."""

    source: str
    identities: tuple[ImportedIdentity, ...]
    findings: tuple[SecretFinding, ...]
    problems: tuple[ImportProblem, ...]


def plan_import(document: bytes, source: str, trust_domain: TrustDomain) -> ImportPlan:
    """Read an export.

    Args:
        document: JSON, at most 64 MiB, 32 levels deep.
        source: keycloak, entra or okta; empty = recognised by its members.
        trust_domain: in which the identities will be.

    Raises:
        BadInputError: code `json_…` (see `core.strict_json`), `import_unrecognised`, `import_source`.
    """
    if source and source not in _READERS:
        raise BadInputError("import_source", f"{source[:40]!r} cannot be imported.", f"One of: {', '.join(_READERS)}.")
    export = parse(document, max_bytes=MAX_BYTES, max_depth=MAX_DEPTH, max_keys=MAX_KEYS)
    found = source or _recognised(export)
    gathered = _Gathered(found, trust_domain)
    _READERS[found](export, gathered)
    return ImportPlan(found, tuple(gathered.identities.values()), tuple(gathered.findings), tuple(gathered.problems))


def _recognised(export: Json) -> str:
    sample = export[0] if isinstance(export, list) and export else export
    if isinstance(sample, dict):
        if isinstance(sample.get("realm"), str):
            return "keycloak"
        if "servicePrincipals" in sample or "applications" in sample or "userPrincipalName" in sample:
            return "entra"
        context = sample.get("@odata.context")
        if isinstance(context, str) or "appId" in sample:
            return "entra"
        if "profile" in sample or {"apps", "apiTokens", "api_tokens"} & sample.keys():
            return "okta"
        users = _listed(sample.get("users"))
        if users and isinstance(users[0], dict):
            return "okta" if "profile" in users[0] else "entra" if "userPrincipalName" in users[0] else _unknown()
    return _unknown()


def _unknown() -> str:
    raise BadInputError(
        "import_unrecognised",
        "This is no export that is known here.",
        f"Say what it is with --source: {', '.join(_READERS)}.",
    )


@dataclass(slots=True)
class _Gathered:
    """What was read so far."""

    source: str
    trust_domain: TrustDomain
    identities: dict[str, ImportedIdentity] = field(default_factory=dict)
    findings: list[SecretFinding] = field(default_factory=list)
    problems: list[ImportProblem] = field(default_factory=list)

    def problem(self, place: str, code: str, message: str) -> None:
        self.problems.append(ImportProblem(place, code, message))

    def rows(self, place: str, value: Json) -> Iterator[tuple[str, Mapping[str, Json]]]:
        """The objects of a list; what is none is a problem."""
        if value is None:
            return
        if not isinstance(value, list):
            self.problem(place, "unreadable", f"A list is wanted, not {_type(value)}.")
            return
        for number, row in enumerate(value):
            if isinstance(row, dict):
                yield f"{place}[{number}]", row
            else:
                self.problem(f"{place}[{number}]", "unreadable", f"An object is wanted, not {_type(row)}.")

    def text(self, place: str, row: Mapping[str, Json], *names: str) -> str:
        """The first member of these that is a text which is not empty."""
        for name in names:
            value = row.get(name)
            if isinstance(value, str):
                if value:
                    return value
            elif value is not None:
                self.problem(f"{place}.{name}", "unreadable", f"A text is wanted, not {_type(value)}.")
        return ""

    def flag(self, place: str, row: Mapping[str, Json], name: str, *, missing: bool) -> bool:
        """A member that is true or false. One that is neither counts as false: nobody is active, or trusted, by a mistake."""
        value = row.get(name)
        if value is None:
            return missing
        if not isinstance(value, bool):
            self.problem(f"{place}.{name}", "unreadable", f"True or false is wanted, not {_type(value)}.")
            return False
        return value

    def inner(self, place: str, row: Mapping[str, Json], name: str) -> Mapping[str, Json]:
        """A member that is an object; empty where it is not there."""
        value = row.get(name)
        if isinstance(value, dict):
            return value
        if value is not None:
            self.problem(f"{place}.{name}", "unreadable", f"An object is wanted, not {_type(value)}.")
        return {}

    def add(self, identity: ImportedIdentity, secrets: Sequence[str] = ()) -> bool:
        """Keep an identity; whether it was the first of its path. What is one of the row's own secrets is not shown."""
        SpiffeId(self.trust_domain, identity.path)
        if identity.path in self.identities:
            first = self.identities[identity.path].place
            self.problem(identity.place, "doubled", f"It is the same subject as {first}.")
            return False
        self.identities[identity.path] = ImportedIdentity(
            identity.place,
            identity.kind,
            identity.path,
            tuple(dict.fromkeys(name for name in identity.names if len(name) <= MAX_NAME and name.isprintable())),
            shown(_without(identity.display, secrets)),
            shown(_without(identity.owner_hint, secrets)),
            identity.active,
            tuple(shown(_without(note, secrets)) for note in identity.notes[:MAX_NOTES]),
        )
        return True

    def credentials(self, place: str, row: Mapping[str, Json], path: str) -> None:
        """Entra's password and key credentials."""
        for member, kind in (("passwordCredentials", "password_credential"), ("keyCredentials", "certificate")):
            for at, one in self.rows(f"{place}.{member}", row.get(member)):
                self.findings.append(
                    SecretFinding(
                        at,
                        path,
                        kind,
                        # `hint` holds the first characters of the secret, `secretText` all of them: neither is looked at.
                        key_id=shown(self.text(at, one, "keyId")),
                        since=self.moment(at, one, "startDateTime"),
                        until=self.moment(at, one, "endDateTime"),
                    )
                )

    def moment(self, place: str, row: Mapping[str, Json], name: str) -> Instant | None:
        """A member that is an RFC 3339 text, or seconds or milliseconds since 1970 as a number or text; None where it is not there."""
        value = row.get(name)
        if value is None or value == "" or isinstance(value, bool):
            return None
        try:
            if isinstance(value, int | float) or (isinstance(value, str) and value.isascii() and value.isdigit()):
                number = float(value)
                return Instant(number / 1000 if number >= _MILLISECONDS_FROM else number) if number > 0 else None
            if isinstance(value, str):
                made = datetime.fromisoformat(value)
                return Instant((made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            pass
        self.problem(f"{place}.{name}", "unreadable", "A point in time is wanted.")
        return None


def _type(value: Json) -> str:
    names = {
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "nothing")


def _listed(value: Json) -> list[Json]:
    """A list, bare or as Graph wraps it."""
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, list) else []


def _unwrapped(value: Json) -> Json:
    return value["value"] if isinstance(value, dict) and "value" in value else value


def _without(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if secret and secret in text:
            text = text.replace(secret, "[secret]")
    return text


def _last_four(secret: str) -> str:
    """The end of a long secret; nothing of a short or masked one."""
    four = secret[-4:]
    return four if len(secret) >= SHOWN_FROM and _MASK not in secret and four.isprintable() else ""


def _address(text: str) -> tuple[str, ...]:
    name, at, domain = text.partition("@")
    plain = name and at and domain and "@" not in domain and text.isprintable() and " " not in text
    return (f"email:{folded(text)}",) if plain else ()


def _keycloak(export: Json, found: _Gathered) -> None:
    """A realm, or a list of realms (`kc.sh export`)."""
    realms = list(found.rows("realms", export)) if isinstance(export, list) else [("", export)]
    for at, realm in realms:
        if not isinstance(realm, dict):
            raise BadInputError("import_unrecognised", "A Keycloak export is an object, or a list of them.")
        name = found.text(at or "realm", realm, "realm", "id")
        if not name:
            found.problem(at or "realm", "unreadable", "A realm without a name.")
            continue
        dot = f"{at}." if at else ""
        accounts = _keycloak_users(found, f"{dot}users", realm.get("users"), name)
        for place, client in found.rows(f"{dot}clients", realm.get("clients")):
            _keycloak_client(found, place, client, name, accounts)
        for place, key in found.rows(f"{dot}components", _key_providers(realm)):
            found.findings.append(
                SecretFinding(place, "", "signing_key", key_id=shown(found.text(place, key, "id", "name")))
            )


def _key_providers(realm: Mapping[str, Json]) -> Json:
    components = realm.get("components")
    return components.get("org.keycloak.keys.KeyProvider") if isinstance(components, dict) else None


def _keycloak_users(found: _Gathered, place: str, users: Json, realm: str) -> dict[str, tuple[str, ...]]:
    """Keeps people; gives the roles of service accounts by their client."""
    accounts: dict[str, tuple[str, ...]] = {}
    for at, user in found.rows(place, users):
        roles = _texts(user.get("realmRoles"))
        client = found.text(at, user, "serviceAccountClientId")
        if client:
            accounts[client] = roles
            continue
        name = found.text(at, user, "username")
        if not name:
            found.problem(at, "unreadable", "A user without a user name.")
            continue
        email = found.text(at, user, "email")
        vouched = found.flag(at, user, "emailVerified", missing=False)
        full = f"{found.text(at, user, 'firstName')} {found.text(at, user, 'lastName')}".strip()
        ident = found.text(at, user, "id") or folded(name)
        found.add(
            ImportedIdentity(
                at,
                SubjectKind.PERSON,
                f"/person/keycloak/{path_segment(realm)}/{path_segment(folded(name))}",
                (f"keycloak:{realm}/{ident}", *(_address(email) if vouched else ())),
                full or name,
                active=found.flag(at, user, "enabled", missing=True),
                notes=(
                    *(("its e-mail address is not verified there",) if email and not vouched else ()),
                    *(f"realm role {role}" for role in roles),
                ),
            )
        )
    return accounts


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _keycloak_client(
    found: _Gathered, at: str, client: Mapping[str, Json], realm: str, accounts: Mapping[str, tuple[str, ...]]
) -> None:
    name = found.text(at, client, "clientId")
    if not name:
        found.problem(at, "unreadable", "A client without a client id.")
        return
    path = f"/workload/keycloak/{path_segment(realm)}/{path_segment(name)}"
    secret = found.text(at, client, "secret")
    attributes = found.inner(at, client, "attributes")
    acts = found.flag(at, client, "serviceAccountsEnabled", missing=False)
    if acts:
        full = "fullScopeAllowed" in client and found.flag(at, client, "fullScopeAllowed", missing=False)
        acts = found.add(
            ImportedIdentity(
                at,
                SubjectKind.WORKLOAD,
                path,
                (f"keycloak:{realm}/{found.text(at, client, 'id') or name}",),
                found.text(at, client, "name") or name,
                owner_hint=found.text(f"{at}.attributes", attributes, "owner", "contact"),
                active=found.flag(at, client, "enabled", missing=True),
                notes=(
                    *(("its tokens hold every role (full scope)",) if full else ()),
                    *(f"realm role {role}" for role in accounts.get(name, ())),
                ),
            ),
            [secret],
        )
    else:
        found.problem(
            at, "no_subject", "A client without a service account: people log in with it, nothing acts by itself."
        )
    if secret and not found.flag(at, client, "publicClient", missing=False):
        found.findings.append(
            SecretFinding(
                f"{at}.secret",
                path if acts else "",
                "client_secret",
                _last_four(secret),
                since=found.moment(f"{at}.attributes", attributes, "client.secret.creation.time"),
                until=found.moment(f"{at}.attributes", attributes, "client.secret.expiration.time"),
            )
        )


def _entra(export: Json, found: _Gathered) -> None:
    """`{"applications": […], "servicePrincipals": […], "users": […]}`, each a list or a page of Microsoft Graph; or one such page, or list."""
    parts = _entra_parts(export)
    if not parts:
        raise BadInputError("import_unrecognised", "An Entra export holds applications, servicePrincipals or users.")
    for at, user in found.rows("users", _unwrapped(parts.get("users"))):
        _entra_user(found, at, user)
    apps: dict[str, tuple[str, Mapping[str, Json]]] = {}
    for at, app in found.rows("applications", _unwrapped(parts.get("applications"))):
        name = found.text(at, app, "appId")
        if not name:
            found.problem(at, "unreadable", "An application without an appId.")
        elif name in apps:
            found.problem(at, "doubled", f"It is the same subject as {apps[name][0]}.")
        else:
            apps[name] = (at, app)
    for at, principal in found.rows("servicePrincipals", _unwrapped(parts.get("servicePrincipals"))):
        name = found.text(at, principal, "appId", "id")
        if not name:
            found.problem(at, "unreadable", "A service principal without an appId.")
            continue
        _entra_workload(found, at, principal, name, apps.pop(name, None))
    for name, (at, app) in apps.items():
        _entra_workload(found, at, app, name, None)


def _entra_parts(export: Json) -> Mapping[str, Json]:
    if isinstance(export, dict) and {"applications", "servicePrincipals", "users"} & export.keys():
        return export
    context = export.get("@odata.context") if isinstance(export, dict) else None
    rows = _listed(export)
    sample = rows[0] if rows else None
    for name, member in (
        ("servicePrincipals", "servicePrincipalType"),
        ("users", "userPrincipalName"),
        ("applications", "appId"),
    ):
        if (isinstance(context, str) and f"#{name}" in context) or (isinstance(sample, dict) and member in sample):
            return {name: [*rows]}
    return {}


def _entra_user(found: _Gathered, at: str, user: Mapping[str, Json]) -> None:
    name, ident = found.text(at, user, "userPrincipalName"), found.text(at, user, "id")
    if not name and not ident:
        found.problem(at, "unreadable", "A user without a userPrincipalName.")
        return
    guest = found.text(at, user, "userType").lower() == "guest" or "#ext#" in name.lower()
    found.add(
        ImportedIdentity(
            at,
            SubjectKind.PERSON,
            f"/person/entra/{path_segment(folded(name or ident))}",
            # Whoever manages the tenant chooses the principal name; `mail` is often what people wrote themselves.
            (f"entra:{ident or folded(name)}", *(() if guest else _address(name))),
            found.text(at, user, "displayName") or name or ident,
            active=found.flag(at, user, "accountEnabled", missing=True),
            notes=("a guest of another directory",) if guest else (),
        )
    )


def _entra_workload(
    found: _Gathered, at: str, row: Mapping[str, Json], name: str, app: tuple[str, Mapping[str, Json]] | None
) -> None:
    kind = f"{found.text(at, row, 'servicePrincipalType')} {found.text(at, row, '@odata.type')}".lower()
    agent = "agentidentity" in kind
    path = f"/{'agent' if agent else 'workload'}/entra/{path_segment(folded(name))}"
    ids = [found.text(one_at, one, "id") for one_at, one in ((at, row), *((app,) if app else ()))]
    owners = [owner for one in (row, *((app[1],) if app else ())) for owner in _listed(one.get("owners"))]
    first = next((one for one in owners if isinstance(one, dict)), {})
    notes = ["a managed identity: no secret of its own"] if "managedidentity" in kind else []
    enabled = found.flag(at, row, "accountEnabled", missing=True)
    if app is not None and "accountEnabled" in app[1]:
        enabled = enabled and found.flag(app[0], app[1], "accountEnabled", missing=True)
    added = found.add(
        ImportedIdentity(
            at,
            SubjectKind.AGENT if agent else SubjectKind.WORKLOAD,
            path,
            tuple(f"entra:{one}" for one in (folded(name), *(folded(one) for one in ids if one))),
            found.text(at, row, "displayName") or name,
            owner_hint=found.text(f"{at}.owners[0]", first, "userPrincipalName", "mail"),
            active=enabled,
            notes=tuple(notes),
        ),
        _secret_texts(row) + (_secret_texts(app[1]) if app else []),
    )
    whose = path if added else ""
    found.credentials(at, row, whose)
    if app is not None:
        found.credentials(*app, whose)


def _secret_texts(row: Mapping[str, Json]) -> list[str]:
    listed = _listed(row.get("passwordCredentials"))
    texts = (one.get("secretText") for one in listed if isinstance(one, dict))
    return [one for one in texts if isinstance(one, str)]


def _okta(export: Json, found: _Gathered) -> None:
    """`{"users": […], "apps": […], "apiTokens": […]}`, or a list of users as the users API gives it."""
    parts: Mapping[str, Json] = {"users": export} if isinstance(export, list) else {}
    if isinstance(export, dict):
        parts = {"users": [export]} if "profile" in export else export
    if not {"users", "apps", "apiTokens", "api_tokens", "tokens"} & parts.keys():
        raise BadInputError("import_unrecognised", "An Okta export holds users, apps or apiTokens.")
    people: dict[str, str] = {}
    for at, user in found.rows("users", parts.get("users")):
        profile = found.inner(at, user, "profile")
        login, ident = found.text(f"{at}.profile", profile, "login"), found.text(at, user, "id")
        if not login and not ident:
            found.problem(at, "unreadable", "A user without a login.")
            continue
        status = found.text(at, user, "status").upper()
        full = f"{found.text(f'{at}.profile', profile, 'firstName')} {found.text(f'{at}.profile', profile, 'lastName')}"
        path = f"/person/okta/{path_segment(folded(login or ident))}"
        people[ident or login] = path
        found.add(
            ImportedIdentity(
                at,
                SubjectKind.PERSON,
                path,
                (f"okta:{ident or folded(login)}", *_address(login)),
                found.text(f"{at}.profile", profile, "displayName") or full.strip() or login or ident,
                active=status in _OKTA_ACTIVE,
                notes=(f"status {status.lower()}",) if status not in {"", "ACTIVE"} else (),
            )
        )
    for at, app in found.rows("apps", parts.get("apps")):
        _okta_app(found, at, app)
    for member in ("apiTokens", "api_tokens", "tokens"):
        for at, token in found.rows(member, parts.get(member)):
            secret = found.text(at, token, "token", "value")
            found.findings.append(
                SecretFinding(
                    at,
                    people.get(found.text(at, token, "userId"), ""),
                    "api_token",
                    _last_four(secret),
                    shown(_without(found.text(at, token, "id", "name"), [secret])),
                    found.moment(at, token, "created"),
                    found.moment(at, token, "expiresAt"),
                )
            )


# LOCKED_OUT and RECOVERY end by themselves, PASSWORD_EXPIRED at the next login: these people are still there. A missing status says nothing.
_OKTA_ACTIVE = frozenset({"", "ACTIVE", "LOCKED_OUT", "PASSWORD_EXPIRED", "RECOVERY", "PROVISIONED"})


def _okta_app(found: _Gathered, at: str, app: Mapping[str, Json]) -> None:
    ident = found.text(at, app, "id")
    oauth = found.inner(f"{at}.credentials", found.inner(at, app, "credentials"), "oauthClient")
    settings = found.inner(f"{at}.settings", found.inner(at, app, "settings"), "oauthClient")
    client = found.text(f"{at}.credentials.oauthClient", oauth, "client_id")
    secret = found.text(f"{at}.credentials.oauthClient", oauth, "client_secret")
    if not ident and not client:
        found.problem(at, "unreadable", "An app without an id.")
        return
    path = f"/workload/okta/{path_segment(client or ident)}"
    acts = "client_credentials" in _texts(settings.get("grant_types")) or settings.get("application_type") == "service"
    if acts:
        acts = found.add(
            ImportedIdentity(
                at,
                SubjectKind.WORKLOAD,
                path,
                tuple(f"okta:{one}" for one in dict.fromkeys((ident, client)) if one),
                found.text(at, app, "label", "name") or client or ident,
                active=found.text(at, app, "status").upper() in {"", "ACTIVE"},
            ),
            [secret],
        )
    else:
        found.problem(at, "no_subject", "People log in to this app; nothing acts by itself.")
    if secret or found.text(f"{at}.credentials.oauthClient", oauth, "token_endpoint_auth_method").startswith(
        "client_secret"
    ):
        found.findings.append(
            SecretFinding(
                f"{at}.credentials.oauthClient",
                path if acts else "",
                "client_secret",
                _last_four(secret),
                shown(_without(client, [secret])),
                found.moment(at, app, "created"),
            )
        )
    for place, key in found.rows(f"{at}.settings.oauthClient.jwks.keys", _okta_keys(settings)):
        kid = shown(found.text(place, key, "kid"))
        found.findings.append(
            SecretFinding(
                place, path if acts else "", "signing_key", key_id=kid, since=found.moment(place, key, "created")
            )
        )


def _okta_keys(settings: Mapping[str, Json]) -> Json:
    jwks = settings.get("jwks")
    return jwks.get("keys") if isinstance(jwks, dict) else None


_READERS: Mapping[str, Callable[[Json, _Gathered], None]] = {"keycloak": _keycloak, "entra": _entra, "okta": _okta}
