"""The broker's own credential for an MCP server, got from that server's authorization server. The agent never sees it.

Two ways: client credentials (RFC 6749 §4.4), one token for the server; or token exchange (RFC 8693), one token for each grant, for which the
broker shows a transaction token of the mission, so that the other side knows on whose behalf. A token is kept in memory until shortly before it
ends, renewed once when the server answers 401, written nowhere, and taken out of whatever the server sends back.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote, urlencode

import aiohttp

from jittrust.core.errors import BadInputError, JitError, UnavailableError
from jittrust.core.model import Json
from jittrust.core.oauth.server_metadata import ACCESS_TOKEN_TYPE, TOKEN_EXCHANGE
from jittrust.core.oauth.transaction import TRANSACTION_TYPE
from jittrust.core.secret import Secret
from jittrust.core.strict_json import parse_object
from jittrust.pep.connect.discovery import check_address
from jittrust.ports.gateway_tokens import GatewayTokens

_MOST_ANSWER = 64 * 1024
_ASK_SECONDS = 15.0
_MARGIN_SECONDS = 30.0
_UNSAID_SECONDS = 300.0
_LONGEST_SECONDS = 86_400.0
_FAILED_SECONDS = 2.0
_KEPT = 1000
_SHORTEST = 8
_MOST_OLD = 4
_OK = 200
REDACTED = b"[redacted]"
_MEMBERS = ("token_endpoint", "client_id", "client_secret", "scope", "audience", "resource", "grant")
_NEEDED = ("token_endpoint", "client_id", "client_secret")


class UpstreamGrant(StrEnum):
    """How the token is got."""

    CLIENT_CREDENTIALS = "client_credentials"
    TOKEN_EXCHANGE = "token_exchange"


class UpstreamCredentialError(UnavailableError):
    """The broker has no credential for a server behind it; nothing was sent there."""

    http_status = 502


@dataclass(frozen=True, slots=True)
class UpstreamAuth:
    """Where the token for a server comes from. `client_secret` is sent by HTTP Basic to `token_endpoint` alone (RFC 6749 §2.3.1).

    Attributes:
        token_endpoint: https, or http on this machine.
        client_id, client_secret: the broker's own, at that authorization server.
        scope, audience, resource: sent where they are not empty (RFC 6749 §3.3, RFC 8693 §2.1, RFC 8707).
        grant: see there.
    """

    token_endpoint: str
    client_id: str
    client_secret: Secret
    scope: str = ""
    audience: str = ""
    resource: str = ""
    grant: UpstreamGrant = UpstreamGrant.CLIENT_CREDENTIALS

    @classmethod
    def read(cls, server: str, said: Mapping[str, str]) -> UpstreamAuth:
        """From a setting whose variables are filled in.

        Raises:
            BadInputError: code `config_bad_value`.
        """
        unknown = sorted(set(said) - set(_MEMBERS))
        missing = [name for name in _NEEDED if not said.get(name)]
        if unknown or missing:
            what = f"has no member {unknown[0][:60]!r}" if unknown else f"needs {missing[0]}"
            raise BadInputError("config_bad_value", f"servers.{server}.auth {what}", f"Members: {', '.join(_MEMBERS)}.")
        try:
            grant = UpstreamGrant(said.get("grant", UpstreamGrant.CLIENT_CREDENTIALS))
        except ValueError:
            raise BadInputError(
                "config_bad_value", f"servers.{server}.auth.grant takes {' or '.join(UpstreamGrant)}"
            ) from None
        try:
            check_address(said["token_endpoint"])
        except JitError as error:
            raise BadInputError("config_bad_value", f"servers.{server}.auth.token_endpoint: {error.message}") from None
        return cls(
            said["token_endpoint"],
            said["client_id"],
            Secret(said["client_secret"].encode("utf-8")),
            said.get("scope", ""),
            said.get("audience", ""),
            said.get("resource", ""),
            grant,
        )


@dataclass(slots=True)
class _KeptToken:
    """One token, and those before it: an answer may still carry one of them."""

    token: str = field(default="", repr=False)
    ends: float = 0.0
    failed: float = float("-inf")
    old: list[str] = field(default_factory=list, repr=False)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class UpstreamTokens:
    """Gets and keeps the tokens for all servers that have an `UpstreamAuth`."""

    def __init__(self, gateway: GatewayTokens | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`gateway`: gives the transaction tokens for token exchange; `clock`: seconds that never go back."""
        self._gateway = gateway
        self._clock = clock
        self._kept: dict[tuple[str, str], _KeptToken] = {}

    async def token(
        self, http: aiohttp.ClientSession, server: str, auth: UpstreamAuth, grant: str, refused: str = ""
    ) -> str:
        """The token for a call.

        Args:
            http: to ask with; it follows nothing and keeps nothing.
            server: name of the server behind.
            auth: where the token comes from.
            grant: id of the grant that the call goes under.
            refused: a token that the server has just refused; another is got.

        Raises:
            UpstreamCredentialError: code `upstream_credential_missing`.
        """
        key = (server, grant if auth.grant is UpstreamGrant.TOKEN_EXCHANGE else "")
        kept = self._kept.get(key)
        if kept is None:
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            kept = self._kept[key] = _KeptToken()
        # One at a time: those who come meanwhile find what the first one got.
        async with kept.lock:
            now = self._clock()
            if kept.token and now < kept.ends and kept.token != refused:
                return kept.token
            if now < kept.failed + _FAILED_SECONDS:
                raise _missing(server, "it was not given a moment ago")
            try:
                token, seconds = await self._ask(http, server, auth, grant)
            except JitError:
                kept.failed = self._clock()
                raise
            if kept.token:
                kept.old = [kept.token, *kept.old][:_MOST_OLD]
            kept.token, kept.ends = token, self._clock() + max(1.0, seconds - min(_MARGIN_SECONDS, seconds / 4))
            return token

    def secrets(self, server: str, auth: UpstreamAuth) -> list[str]:
        """What must not come back from a server: its tokens, and the client's secret."""
        found = [auth.client_secret.reveal().decode("utf-8", "replace")]
        for (name, _), kept in self._kept.items():
            if name == server:
                found += [kept.token, *kept.old]
        return found

    async def _ask(self, http: aiohttp.ClientSession, server: str, auth: UpstreamAuth, grant: str) -> tuple[str, float]:
        form = {"scope": auth.scope, "audience": auth.audience, "resource": auth.resource}
        if auth.grant is UpstreamGrant.CLIENT_CREDENTIALS:
            form["grant_type"] = "client_credentials"
        else:
            if self._gateway is None:
                raise _missing(server, "this broker gives no transaction tokens")
            form |= {
                "grant_type": TOKEN_EXCHANGE,
                "subject_token": await self._gateway.transaction(grant, server),
                "subject_token_type": TRANSACTION_TYPE,
                "requested_token_type": ACCESS_TOKEN_TYPE,
            }
        secret = auth.client_secret.reveal().decode("utf-8")
        basic = base64.b64encode(f"{quote(auth.client_id, safe='')}:{quote(secret, safe='')}".encode()).decode("ascii")
        headers = {
            "authorization": f"Basic {basic}",
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "jittrust",
        }
        body = urlencode({name: value for name, value in form.items() if value}).encode("ascii")
        try:
            async with (
                asyncio.timeout(_ASK_SECONDS),
                http.post(auth.token_endpoint, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                raw = bytearray()
                async for part in answer.content.iter_any():
                    raw += part
                    if len(raw) > _MOST_ANSWER:
                        raise _missing(server, "the answer of its token endpoint is too large")
                return _read(server, answer.status, bytes(raw))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _missing(server, f"its token endpoint gave no answer ({type(error).__name__})") from None


def _read(server: str, status: int, raw: bytes) -> tuple[str, float]:
    """Token and life out of the answer of a token endpoint (RFC 6749 §5.1)."""
    if status != _OK:
        raise _missing(server, f"its token endpoint answered with HTTP {status}")
    try:
        said: Mapping[str, Json] = parse_object(raw, max_bytes=_MOST_ANSWER)
    except BadInputError:
        raise _missing(server, "the answer of its token endpoint cannot be read") from None
    token, kind, seconds = said.get("access_token"), said.get("token_type"), said.get("expires_in")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _missing(server, "its token endpoint gave no bearer token")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token or not token:
        raise _missing(server, "its token endpoint gave no token")
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds <= _LONGEST_SECONDS
    return token, float(seconds) if known and isinstance(seconds, int | float) else _UNSAID_SECONDS


def redacted(data: bytes, secrets: list[str]) -> bytes:
    """`data` without these secrets, each exactly as it is or as JSON writes it; texts of under eight characters are left alone."""
    for secret in secrets:
        for form in {secret, secret.replace("/", "\\/")} if len(secret) >= _SHORTEST else ():
            raw = form.encode("utf-8")
            if raw in data:
                data = data.replace(raw, REDACTED)
    return data


def _missing(server: str, why: str) -> UpstreamCredentialError:
    return UpstreamCredentialError(
        "upstream_credential_missing",
        f"the broker has no credential for the server {server}: {why}; nothing was sent there",
        "Tell the user: servers.NAME.auth in jittrust.yaml.",
    )
