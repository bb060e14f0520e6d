"""What an issuer publishes: its keys and its status lists, fetched when needed and kept while they are good."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from jittrust.core.errors import BadInputError, JitError, UnavailableError
from jittrust.core.grant import jws
from jittrust.core.grant.claims import AccessClaims, InvalidTokenError
from jittrust.core.grant.statement import STATUS_LISTS
from jittrust.core.model import Json
from jittrust.core.oauth.status_list import StatusList, TokenStanding, read_list
from jittrust.core.strict_json import parse_object
from jittrust.core.units import Instant

Fetch = Callable[[str], Awaitable[bytes]]
_MOST_BYTES = 256 * 1024
_SECONDS = 5.0
_LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
_KEYS_FRESH = 300.0
_KEYS_STALE = 3600.0
_NOT_SOONER = 10.0
_MOST_LISTS = 64


def keys_of(jwks: Mapping[str, Json]) -> dict[str, bytes]:
    """The Ed25519 keys of a JWK set by `kid`; keys of other kinds are passed over (RFC 7517 §5).

    Raises:
        BadInputError: code `keys_malformed`: no JWK set, or one with a private or broken Ed25519 key in it.
    """
    listed = jwks.get("keys")
    if not isinstance(listed, list):
        raise BadInputError("keys_malformed", "no JWK set")
    found: dict[str, bytes] = {}
    for jwk in listed:
        if not isinstance(jwk, Mapping) or jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519":
            continue
        kid = jwk.get("kid")
        try:
            key = jws.import_key(jwk)
        except jws.MalformedJwsError as error:
            raise BadInputError("keys_malformed", f"a key of the set: {error.message}") from None
        if isinstance(key, jws.Ed25519PublicKey) and isinstance(kid, str):
            found[kid] = key.point
    return found


class PublishedKeys:
    """Keys of one issuer out of its `jwks_uri`."""

    def __init__(self, url: str, fetch: Fetch) -> None:
        """`fetch` gets `url`, which comes from the configuration and never from a token."""
        self._url = url
        self._fetch = fetch
        self._keys: Mapping[str, bytes] = {}
        self._read: float | None = None
        self._tried: float | None = None
        self._fetching = asyncio.Lock()

    async def get(self, now: Instant, *, unknown: bool = False) -> Mapping[str, bytes]:
        """The keys; read again when they are older than five minutes, or when a token names one that is `unknown`, at most every ten seconds.

        While the issuer cannot be reached, keys are good for an hour.

        Raises:
            UnavailableError: code `keys_unreachable`.
        """
        async with self._fetching:
            due = self._read is None or unknown or now - self._read > _KEYS_FRESH
            if due and (self._tried is None or not 0 <= now - self._tried < _NOT_SOONER):
                self._tried = now
                try:
                    self._keys = keys_of(parse_object(await self._fetch(self._url), max_bytes=_MOST_BYTES))
                    self._read = now
                except JitError:
                    pass
            if self._read is None or now - self._read > _KEYS_STALE:
                raise UnavailableError(
                    "keys_unreachable", f"The keys at {self._url} cannot be read.", "Try again shortly."
                )
            return self._keys


class PublishedStatus:
    """Status lists of one issuer. What it says is as old as the list's `ttl` at most."""

    def __init__(self, issuer: str, fetch: Fetch) -> None:
        """Lists are fetched below this issuer's own address only."""
        self._issuer = issuer
        self._prefix = f"{issuer}{STATUS_LISTS}/"
        self._fetch = fetch
        self._lists: dict[str, tuple[float, StatusList]] = {}
        self._fetching = asyncio.Lock()

    async def check(self, claims: AccessClaims, keys: Mapping[str, bytes], now: Instant) -> None:
        """Refuse a token that its list calls ended or suspended.

        Raises:
            InvalidTokenError: `no_status`, `ended`, `suspended`.
            UnavailableError: code `status_unreachable`: nothing is let through on an old or forged list.
        """
        uri = claims.status_list
        if not uri.startswith(self._prefix) or not uri[len(self._prefix) :].isdigit():
            raise InvalidTokenError("no_status", "the token names no status list of its issuer")
        async with self._fetching:
            read = self._lists.get(uri)
            if read is None or not 0 <= now - read[0] < read[1].ttl or now >= read[1].expires:
                read = self._lists[uri] = (now, await self._read(uri, keys, now))
                while len(self._lists) > _MOST_LISTS:
                    del self._lists[next(iter(self._lists))]
        standing = read[1].at(claims.status_index)
        if standing is not TokenStanding.VALID:
            raise InvalidTokenError(standing.name.lower(), f"the token is {standing.name.lower()}")

    async def _read(self, uri: str, keys: Mapping[str, bytes], now: Instant) -> StatusList:
        try:
            return read_list(await self._fetch(uri), keys, uri, self._issuer, now)
        except JitError:
            raise UnavailableError(
                "status_unreachable", f"The status list {uri} cannot be read.", "Try again shortly."
            ) from None


async def fetch_over_http(url: str) -> bytes:
    """GET a small document, with aiohttp, which is loaded on first use; https, or http to this machine; no redirects.

    Raises:
        UnavailableError: code `fetch_failed`.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise UnavailableError("fetch_failed", f"{url} is neither https nor on this machine.")
    import aiohttp  # noqa: PLC0415 - a service that was given its keys never loads it

    try:
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:  # noqa: PLR2004
                raise UnavailableError("fetch_failed", f"{url} answered {answer.status}.")
            data = await answer.content.read(_MOST_BYTES + 1)
            while len(data) <= _MOST_BYTES and not answer.content.at_eof():
                data += await answer.content.read(_MOST_BYTES + 1 - len(data))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UnavailableError("fetch_failed", f"{url}: {type(error).__name__}.") from None
    if len(data) > _MOST_BYTES:
        raise UnavailableError("fetch_failed", f"{url} is longer than {_MOST_BYTES} bytes.")
    return data
