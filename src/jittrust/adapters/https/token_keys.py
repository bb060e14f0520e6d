"""`ports.token_keys`: fetches and caches JWK sets (OpenID Connect Discovery §4; RFC 7517)."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from jittrust.core.errors import BadInputError, UnavailableError
from jittrust.core.identity.attest import TrustedIssuer
from jittrust.core.model import Json
from jittrust.core.strict_json import parse_object
from jittrust.core.units import Instant

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from aiohttp.abc import AbstractResolver

MAX_ANSWER: Final = 256 * 1024
"""Largest answer of an issuer that is read, in bytes."""
TIMEOUT_S: Final = 10.0
"""How long an issuer may take for its two answers together."""
FRESH_SECONDS: Final = 300.0
"""How long fetched keys are good: a key that an issuer takes back is believed no longer than that."""
UNKNOWN_KID_SECONDS: Final = 60.0
"""How often an unknown key id has them fetched again, at most."""
FAILED_SECONDS: Final = 5.0
"""How long nobody asks again after a failure."""
KEPT_MOST: Final = 200
_LONGEST_URL: Final = 2048
_OK: Final = 200

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds answer anybody on the machine with credentials, besides link-local addresses.
_METADATA: Final = frozenset(
    ipaddress.ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def is_refused(address: str) -> bool:
    """Whether nothing is ever fetched from an address: link-local, metadata, multicast, unspecified, reserved, or one of them inside an IPv6 form."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    return any(map(_is_refused, address_forms(found)))


def address_forms(address: Address) -> list[Address]:
    """The address and the IPv4 address that it stands for."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            found = [address.ipv4_mapped]
        if address.sixtofour is not None:
            found.append(address.sixtofour)
        if address.teredo is not None:
            found.extend(address.teredo)
        if address in _NAT64:
            found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return found


def _is_refused(address: Address) -> bool:
    # Python counts the NAT64 prefix and ::1 as reserved; what they stand for is judged by itself.
    reserved = address.is_reserved and not address.is_loopback and not (address.version == 6 and address in _NAT64)  # noqa: PLR2004
    return address.is_link_local or address.is_multicast or address.is_unspecified or reserved or address in _METADATA


@dataclass(slots=True)
class _Kept:
    """What is known of one issuer's keys."""

    jwks: Mapping[str, Json] | None = None
    fetched: float = 0.0
    asked: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class HttpsTokenKeys:
    """Fetches and caches JWK sets."""

    def __init__(self, clock: Callable[[], Instant], tls: ssl.SSLContext | None = None) -> None:
        """`tls`: whom to believe about who answers; None = the system's certificate authorities."""
        self._clock = clock
        self._tls = tls
        self._kept: dict[tuple[str, int, str], _Kept] = {}

    async def keys(self, issuer: TrustedIssuer, kid: str) -> Mapping[str, Json]:
        if issuer.document:
            return _read(issuer.document.encode("utf-8", "surrogatepass"))
        name = (issuer.id, issuer.revision, issuer.issuer)
        kept = self._kept.get(name)
        if kept is None:
            while len(self._kept) >= KEPT_MOST:
                del self._kept[next(iter(self._kept))]
            kept = self._kept[name] = _Kept()
        # One at a time: those who come meanwhile find what the first one fetched.
        async with kept.lock:
            now = self._clock()
            fresh = kept.jwks is not None and now < kept.fetched + FRESH_SECONDS
            if fresh and kept.jwks is not None and (_has(kept.jwks, kid) or now < kept.asked + UNKNOWN_KID_SECONDS):
                return kept.jwks
            if not fresh and now < kept.asked + FAILED_SECONDS:
                raise _unreachable("it did not answer a moment ago")
            kept.asked = now
            try:
                jwks = await self._fetched(issuer.issuer)
            except UnavailableError:
                if fresh and kept.jwks is not None:
                    return kept.jwks
                raise
            kept.jwks, kept.fetched = jwks, now
            return jwks

    async def _fetched(self, issuer: str) -> Mapping[str, Json]:
        try:
            async with asyncio.timeout(TIMEOUT_S), self._session() as session:
                place = f"{issuer.removesuffix('/')}/.well-known/openid-configuration"
                told = _object(await _got(session, _safe(place)))
                if told.get("issuer") != issuer:
                    raise _unreachable("it names itself otherwise (Discovery §4.3)")
                jwks_uri = told.get("jwks_uri")
                if not isinstance(jwks_uri, str):
                    raise _unreachable("it does not say where its keys are")
                return _read(await _got(session, _safe(jwks_uri)))
        except TimeoutError:
            raise _unreachable("it does not answer in time") from None

    def _session(self) -> ClientSession:
        from aiohttp import ClientSession, DummyCookieJar, TCPConnector

        connector = TCPConnector(
            resolver=guarded_resolver(),
            ssl=self._tls if self._tls is not None else True,
            force_close=True,
            use_dns_cache=False,
        )
        return ClientSession(
            connector=connector, cookie_jar=DummyCookieJar(), trust_env=False, auto_decompress=False, read_bufsize=65536
        )


def guarded_resolver() -> AbstractResolver:
    """Resolves names and refuses an answer with any address that is never asked: the addresses checked are the ones connected to."""
    from aiohttp.abc import ResolveResult
    from aiohttp.resolver import ThreadedResolver

    class GuardedResolver(ThreadedResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            found = await super().resolve(host, port, family)
            if any(is_refused(one["host"]) for one in found):
                raise OSError("the name leads to an address that is never asked")
            return found

    return GuardedResolver()


def is_written_refused(place: str) -> bool:
    """Whether a URL's host is an address, written out, that is never asked: such a host is not resolved, so the resolver does not see it."""
    try:
        host = urlsplit(place).hostname or ""
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return is_refused(host)


def _safe(place: str) -> str:
    """The URL, if it may be asked. Raises UnavailableError."""
    try:
        url = urlsplit(place)
        host, port = url.hostname, url.port
    except ValueError:
        raise _unreachable("it names no URL") from None
    del port
    plain = place.isascii() and place.isprintable() and " " not in place and "\\" not in place
    if not plain or len(place) > _LONGEST_URL or url.scheme != "https" or not host or "@" in url.netloc or url.fragment:
        raise _unreachable("its address is no plain https URL")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return place
    # Addresses that are written out are never resolved.
    if is_refused(host):
        raise _unreachable("its address is one that is never asked")
    return place


async def _got(session: ClientSession, place: str) -> bytes:
    from aiohttp import ClientError

    headers = {"Accept": "application/json, application/jwk-set+json", "Accept-Encoding": "identity"}
    try:
        async with session.get(place, headers=headers, allow_redirects=False) as answer:
            if answer.status != _OK or answer.headers.get("Content-Encoding", "identity") != "identity":
                raise _unreachable(f"it answered {answer.status} or in another coding")
            body = bytearray()
            async for chunk in answer.content.iter_chunked(16384):
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise _unreachable(f"its answer has more than {MAX_ANSWER} bytes")
            return bytes(body)
    except (ClientError, OSError, ValueError) as error:
        raise _unreachable(f"it cannot be asked ({type(error).__name__})") from None


def _object(body: bytes) -> Mapping[str, Json]:
    try:
        return parse_object(body, max_bytes=MAX_ANSWER)
    except BadInputError as error:
        raise _unreachable(f"its answer is not taken: {error.message}") from None


def _read(body: bytes) -> Mapping[str, Json]:
    jwks = _object(body)
    if not isinstance(jwks.get("keys"), list):
        raise _unreachable("its answer is no JWK set")
    return jwks


def _has(jwks: Mapping[str, Json], kid: str) -> bool:
    listed = jwks.get("keys")
    return isinstance(listed, list) and any(isinstance(one, dict) and one.get("kid") == kid for one in listed)


def _unreachable(why: str) -> UnavailableError:
    return UnavailableError("issuer_unreachable", f"The issuer's keys are not to be had: {why}", "Try again later.")
