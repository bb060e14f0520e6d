"""The one configuration file, `jittrust.yaml`: at most forty settings, each with its unit in its name.

Unknown keys, wrong types and duplicate keys are refused with file, line and column: a misspelt key that is ignored is a guard that is off. The
environment serves overrides (`JITTRUST_LISTEN_PORT`) and secrets (`${VAR}` in `env` and `headers` values). Weights and thresholds are no
settings: they live in the rules, with their source.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from jittrust.apps.marked_yaml import DocumentPath, MarkedDocument, read_marked, validated
from jittrust.apps.state_dir import default_state_dir
from jittrust.core.errors import BadInputError
from jittrust.core.model import Json

PREFIX: Final = "JITTRUST_"
# Variables of ours that are no settings. Any other variable with the prefix must name a setting.
RESERVED: Final = frozenset(
    {"JITTRUST_DEBUG", "JITTRUST_TOKEN", "JITTRUST_HOOK_TOKEN", "JITTRUST_JOIN_TOKEN", "JITTRUST_JUDGE_KEY"}
)
SCHEMA_URL: Final = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SERVER_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


def _absolute(value: object, info: ValidationInfo) -> object:
    """Paths are relative to the file that names them, never to the working directory."""
    if not isinstance(value, str):
        return value
    if "\0" in value or not value:
        raise ValueError("must be a path")
    base = (info.context or {}).get("base", Path.cwd())
    return Path(base) / Path(value).expanduser()


def _origin(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", value):
        raise ValueError("must be an origin such as http://localhost:3000, without a path")
    return value.lower()


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.\-\[\]:]+", value):
        raise ValueError("must be a host name, with a port where it is not the usual one")
    return value.lower()


FilePath = Annotated[Path, BeforeValidator(_absolute), Field(strict=False, json_schema_extra={"format": "path"})]
WebOrigin = Annotated[str, AfterValidator(_origin)]
HostName = Annotated[str, AfterValidator(_host)]


class _Section(BaseModel):
    """What all parts of the file share: frozen, no unknown keys, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class ServerSettings(_Section):
    """One upstream MCP server: a command on this machine, or a URL. The keys are those of `mcpServers` in any MCP client."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["command"]}, {"required": ["url"]}]},
    )

    command: str = Field(default="", description="Program of a server on this machine, without a shell.")
    args: tuple[str, ...] = Field(default=(), description="Its arguments.", strict=False)
    env: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        description="Its environment, added to a small safe one. `${VAR}` and `${VAR:-else}` are taken from the environment of jittrust.",
    )
    cwd: FilePath | None = Field(default=None, description="Its working directory; none = that of jittrust.")
    url: str = Field(
        default="", description="Address of a streamable HTTP server, https:// or, on this machine, http://."
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        description="Its own credential and other headers; `${VAR}` as in `env`. The caller's credential is never passed on.",
    )
    auth: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        description="Where its token comes from: `token_endpoint`, `client_id`, `client_secret` (`${VAR}`), and where wanted `scope`, `audience`,"
        " `resource`, `grant` (`client_credentials` or `token_exchange`). The agent never sees it.",
    )
    type: Literal["", "stdio", "http", "streamable-http", "streamableHttp"] = Field(
        default="", description="As clients write it; it must fit `command` or `url`."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> ServerSettings:
        if bool(self.command) == bool(self.url):
            raise ValueError("needs either `command` or `url`")
        if self.url and not re.match(r"https?://[^\s/]+", self.url):
            raise ValueError("`url` must start with https:// or http://")
        if self.url and (self.args or self.env or self.cwd):
            raise ValueError("`args`, `env` and `cwd` go with `command`, not with `url`")
        if self.command and (self.headers or self.auth):
            raise ValueError("`headers` and `auth` go with `url`, not with `command`")
        if self.type and (self.type == "stdio") != bool(self.command):
            raise ValueError(f"`type: {self.type}` does not fit the rest of this server")
        return self

    def credentials(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`auth` with every `${VAR}` filled in; secret likewise. Raises BadInputError: as `secrets`."""
        return {name: filled(value, environ) for name, value in self.auth.items()}

    def secrets(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`env` or `headers` with every `${VAR}` filled in. The result is secret: use it and forget it.

        Raises:
            BadInputError: code `config_bad_value`: a variable is not set and has no `:-else`.
        """
        return {name: filled(value, environ) for name, value in (self.env or self.headers).items()}


class ListenSettings(_Section):
    """Where `jittrust serve` listens, and what it takes."""

    host: HostName = Field(
        default="127.0.0.1", description="Address to listen on. Anything but this machine needs TLS in front."
    )
    port: int = Field(default=8750, ge=0, le=65535, description="TCP port; 0 picks a free one.")
    allowed_origins: tuple[WebOrigin, ...] = Field(
        default=(), strict=False, description="Web origins that may call from a browser; others get 403. Empty: none."
    )
    allowed_hosts: tuple[HostName, ...] = Field(
        default=(),
        strict=False,
        description="`Host` names that are taken besides the address listened on; others get 403 (DNS rebinding).",
    )
    max_message_bytes: int = Field(
        default=4 << 20, ge=1 << 10, le=64 << 20, description="Largest JSON-RPC message, either way, in bytes."
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[a-z0-9.\-]+(:[0-9]{1,5})?)?$",
        description="Origin under which people and clients reach this server, such as https://trust.example.org; passkeys are bound to it."
        " Empty: localhost.",
    )
    tls_certificate: FilePath | None = Field(
        default=None, description="Certificate chain, PEM; with `tls_key` this server speaks HTTPS."
    )
    tls_key: FilePath | None = Field(
        default=None, description="Private key of `tls_certificate`, PEM, readable by its owner only."
    )
    max_sessions: int = Field(default=1000, ge=1, le=100_000, description="Most MCP sessions open at once.")


class UpstreamSettings(_Section):
    """How patient the enforcement point is with the servers behind it."""

    start_seconds: int = Field(
        default=30, ge=1, le=600, description="How long a server may take to start and answer first."
    )
    call_seconds: int = Field(default=300, ge=1, le=86_400, description="How long one call may take, progress or not.")


class IdentitySettings(_Section):
    """The trust domain: one cryptographic identity for people, agents, workloads and workflows."""

    trust_domain: str = Field(
        default="",
        pattern=r"^[a-z0-9._\-]{0,255}$",
        description="Name of the SPIFFE trust domain. Empty: a name of its own for each state. Changing it makes every identity another one.",
    )
    keys: str = Field(
        default="files",
        pattern=r"^(files|pkcs11:.+)$",
        description="Where signing keys live: `files` (mode 0600 in the state), or a PKCS#11 URI (RFC 7512) with `module-path` and `pin-source`.",
    )
    bundle_listen: str = Field(
        default="",
        pattern=r"^([A-Za-z0-9.\-\[\]:]+:[0-9]{1,5})?$",
        description="Address, `host:port`, of the SPIFFE bundle endpoint with profile https_spiffe. Empty: none; https_web is on the main address.",
    )


class PeopleSettings(_Section):
    """Login of people at an OpenID provider, besides passkeys."""

    oidc_issuer: str = Field(
        default="", pattern=r"^(https?://\S+)?$", description="Issuer of the OpenID provider. Empty: passkeys only."
    )
    oidc_client: str = Field(default="", description="Client id at that provider.")
    oidc_secret: str = Field(
        default="",
        repr=False,
        description="Client secret, as `${VAR}`. Empty: a public client; PKCE is used either way.",
    )


class OAuthSettings(_Section):
    """The authorization server."""

    registration: bool = Field(
        default=False,
        description="Let any client register itself (RFC 7591). Off: clients are SPIFFE identities, or named by the URL of their metadata.",
    )


class AuthzenSettings(_Section):
    """The decision API for enforcement points of others."""

    folder: FilePath | None = Field(
        default=None,
        description="Folder with `policy.cedar`, `schema.cedarschema` and `entities.json` that answers for everything but tools behind this server."
        " Empty: such questions are answered with no.",
    )


class PolicySettings(_Section):
    """The rules people write, in Cedar."""

    file: FilePath | None = Field(
        default=None,
        description="Cedar file, added to the rules that ship. Missing, broken or empty: jittrust does not start.",
    )
    observe: bool = Field(
        default=False,
        description="Record verdicts and stop nothing. Loud on purpose: every start and every record says so.",
    )


class MissionSettings(_Section):
    """What a mission gets when its goal does not say otherwise."""

    minutes: int = Field(
        default=60,
        ge=1,
        le=480,
        description="Longest mission, in minutes; one that begins with a prompt or `--goal` lasts so long.",
    )


class GrantSettings(_Section):
    """What an ephemeral access grant gets when it does not say otherwise."""

    ttl_seconds: int = Field(default=300, ge=60, le=3600, description="Life of a grant, in seconds.")
    gas: int = Field(default=600, ge=60, le=1_000_000, description="Spending limit of a grant, in gas.")
    lanes: int = Field(default=1, ge=1, le=16, description="Most chains of passes (parallel calls) of a grant.")


class ApprovalSettings(_Section):
    """Questions to a person."""

    wait_seconds: int = Field(
        default=60,
        ge=0,
        le=3600,
        description="How long a call is held for the answer before it is refused with a code.",
    )
    valid_seconds: int = Field(
        default=600, ge=10, le=86_400, description="How long a question may be answered and its answer used."
    )


class IntentSettings(_Section):
    """The judgement of a call."""

    judge: str = Field(
        default="",
        pattern=r"^([^\s]{1,200}@https?://[^\s@?#]{1,500})?$",
        description="A language model that is asked about calls which stay grey, `MODEL@BASE_URL` of any endpoint that speaks OpenAI's chat"
        " completions, such as `llama3.1@http://127.0.0.1:11434/v1`; its key is JITTRUST_JUDGE_KEY. It can only have a person asked."
        " Empty: nobody is asked.",
    )


class StoreSettings(_Section):
    """The store and the broker that owns it."""

    commit_deadline_milliseconds: int = Field(
        default=2000, ge=50, le=60_000, description="How long a commit may take before the call is refused."
    )
    idle_exit_seconds: int = Field(
        default=600,
        ge=5,
        le=86_400,
        description="When a broker that `jittrust run` started ends, after the last one left.",
    )


class Settings(_Section):
    """Everything in `jittrust.yaml`."""

    model_config = ConfigDict(title="jittrust.yaml", validate_by_name=True, validate_by_alias=True)

    state_dir: FilePath = Field(
        default_factory=default_state_dir,
        description="Where all state lies. `--state` wins. Not given: the platform's data directory.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much is logged, to stderr."
    )
    listen: ListenSettings = Field(
        default_factory=ListenSettings, description="Address and limits of `jittrust serve`."
    )
    upstream: UpstreamSettings = Field(
        default_factory=UpstreamSettings, description="Patience with the servers behind."
    )
    identity: IdentitySettings = Field(default_factory=IdentitySettings, description="The trust domain and its keys.")
    people: PeopleSettings = Field(default_factory=PeopleSettings, description="How people log in.")
    oauth: OAuthSettings = Field(default_factory=OAuthSettings, description="How clients get grants.")
    authzen: AuthzenSettings = Field(
        default_factory=AuthzenSettings, description="Decisions for enforcement points of others."
    )
    policy: PolicySettings = Field(default_factory=PolicySettings, description="Rules that people write.")
    mission: MissionSettings = Field(default_factory=MissionSettings, description="What a mission gets.")
    grant: GrantSettings = Field(default_factory=GrantSettings, description="What a grant gets.")
    approval: ApprovalSettings = Field(default_factory=ApprovalSettings, description="Questions to a person.")
    intent: IntentSettings = Field(default_factory=IntentSettings, description="The judgement of a call.")
    store: StoreSettings = Field(default_factory=StoreSettings, description="Durability and the broker's life.")
    servers: dict[Annotated[str, Field(pattern=_SERVER_NAME)], ServerSettings] = Field(
        default_factory=dict,
        alias="mcpServers",
        description="Servers by name; `mcpServers` is the same, so a client's JSON can be pasted or used as it is.",
    )

    @model_validator(mode="before")
    @classmethod
    def _servers_once(cls, data: object) -> object:
        if isinstance(data, dict) and "servers" in data and "mcpServers" in data:
            raise ValueError("`servers` and `mcpServers` are the same setting: keep one")
        return data


def filled(value: str, environ: Mapping[str, str]) -> str:
    """`value` with `${VAR}` and `${VAR:-else}` replaced.

    Raises:
        BadInputError: code `config_bad_value`: a variable is not set.
    """

    def one(match: re.Match[str]) -> str:
        name, otherwise = match[1], match[2]
        found = environ.get(name, otherwise)
        if found is None:
            raise BadInputError("config_bad_value", f"The environment has no {name}", f"Set it: export {name}=…")
        return found

    return _VARIABLE.sub(one, value)


def load_settings(
    file: Path | None, environ: Mapping[str, str] | None = None, state_dir: Path | None = None
) -> Settings:
    """Read the file (none: defaults), put overrides of the environment on top, then `state_dir`.

    Raises:
        BadInputError: `config_missing`, `config_syntax`, `config_unknown_key`, `config_bad_value`; the message names file, line and column.
    """
    variables = dict(os.environ if environ is None else environ)
    document = read_marked(file, "config") if file else MarkedDocument("defaults", {})
    if not isinstance(document.data, Mapping):
        raise BadInputError(
            "config_syntax", f"{document.name}:1:1: the file must be a mapping of settings", "See docs/settings.md."
        )
    if file and file.suffix == ".json":
        document = _as_client_file(document)
    document = _with_overrides(document, variables)
    base = file.resolve().parent if file else Path.cwd()
    settings = validated(Settings, document, "config", {"base": base})
    for name, server in settings.servers.items():
        _check_variables(document, name, server, variables)
    if state_dir is not None:
        settings = settings.model_copy(update={"state_dir": state_dir})
    return settings


def _as_client_file(document: MarkedDocument) -> MarkedDocument:
    """A client's own JSON file: only its `mcpServers` count, and of each server only what starts it."""
    data = document.data
    assert isinstance(data, Mapping)  # noqa: S101 - the caller has looked
    servers = data.get("mcpServers")
    if not isinstance(servers, Mapping):
        raise BadInputError(
            "config_bad_value",
            f"{document.name}: a JSON file must have `mcpServers`",
            "Write other settings into a jittrust.yaml.",
        )
    kept: dict[str, Json] = {}
    for name, server in servers.items():
        if not isinstance(server, Mapping):
            kept[name] = server
        elif not server.get("disabled"):
            kept[name] = {key: value for key, value in server.items() if key in ServerSettings.model_fields}
    return MarkedDocument(document.name, {"mcpServers": kept}, document.keys, document.values)


def _check_variables(document: MarkedDocument, name: str, server: ServerSettings, environ: Mapping[str, str]) -> None:
    for table, values in (("env", server.env), ("headers", server.headers), ("auth", server.auth)):
        for key, value in values.items():
            try:
                filled(value, environ)
            except BadInputError as error:
                root = "servers" if ("servers",) in document.keys else "mcpServers"
                where = document.place((root, name, table, key))
                raise BadInputError(error.code, f"{where}: {error.message}", error.next_step) from error


def overrides() -> Mapping[str, DocumentPath]:
    """Every setting that the environment may override: variable name → path. Servers are not among them."""
    return {PREFIX + "_".join(path).upper(): path for path, _ in setting_fields() if path[0] != "servers"}


def setting_fields() -> Iterator[tuple[tuple[str, ...], object]]:
    """Every setting: path and pydantic's description of it. `<name>` stands for the name of a server."""
    sections: dict[str, type[BaseModel]] = {
        "listen": ListenSettings,
        "identity": IdentitySettings,
        "people": PeopleSettings,
        "upstream": UpstreamSettings,
        "oauth": OAuthSettings,
        "authzen": AuthzenSettings,
        "policy": PolicySettings,
        "mission": MissionSettings,
        "grant": GrantSettings,
        "approval": ApprovalSettings,
        "intent": IntentSettings,
        "store": StoreSettings,
    }
    for name, described in Settings.model_fields.items():
        if name in sections:
            yield from (((name, inner), about) for inner, about in sections[name].model_fields.items())
        elif name == "servers":
            yield from (((name, "<name>", inner), about) for inner, about in ServerSettings.model_fields.items())
        else:
            yield (name,), described


def _with_overrides(document: MarkedDocument, environ: Mapping[str, str]) -> MarkedDocument:
    known = overrides()
    data = _copied(document.data)
    assert isinstance(data, dict)  # noqa: S101 - the caller has looked
    for name in sorted(name for name in environ if name.startswith(PREFIX) and name not in RESERVED):
        path = known.get(name)
        if path is None:
            near = f"Known are: {', '.join(sorted(known))}."
            raise BadInputError("config_unknown_key", f"The environment variable {name} names no setting", near)
        here = data
        for part in path[:-1]:
            below = here.setdefault(str(part), {})
            if not isinstance(below, dict):
                break
            here = below
        else:
            here[str(path[-1])] = _typed(name, path, environ[name])
    return MarkedDocument(document.name, data, document.keys, document.values)


def _copied(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return value


def _typed(name: str, path: DocumentPath, text: str) -> Json:
    """An override as the type that its setting has. Lists are separated by commas."""
    annotation = str(dict(setting_fields())[tuple(map(str, path))].annotation)  # type: ignore[attr-defined]
    if annotation == "<class 'int'>":
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise BadInputError("config_bad_value", f"{name}={text!r}: a whole number is wanted", "")
        return int(text)
    if annotation == "<class 'bool'>":
        if text.lower() not in {"true", "false", "1", "0"}:
            raise BadInputError("config_bad_value", f"{name}={text!r}: true or false is wanted", "")
        return text.lower() in {"true", "1"}
    if annotation.startswith("tuple"):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def json_schema() -> dict[str, Json]:
    """The published JSON Schema of `jittrust.yaml`, for editors."""
    schema: dict[str, Json] = Settings.model_json_schema(by_alias=False)
    properties = schema["properties"]
    assert isinstance(properties, dict)  # noqa: S101 - pydantic makes it
    properties["mcpServers"] = properties["servers"]
    schema["not"] = {"required": ["servers", "mcpServers"]}
    return {"$schema": SCHEMA_URL, **schema}
