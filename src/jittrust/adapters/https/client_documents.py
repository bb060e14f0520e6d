"""`ports.client_documents`: fetches Client ID Metadata Documents from public addresses, and keeps them as long as HTTP allows (RFC 9111)."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jittrust.adapters.https.token_keys import address_forms, is_refused
from jittrust.core.errors import BadInputError, JitError, RefusedError, UnavailableError
from jittrust.core.oauth.client_document import MAX_DOCUMENT, check_document_url
from jittrust.core.units import Instant

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from aiohttp.abc import AbstractResolver, ResolveResult

TIMEOUT_S: Final = 5.0
FRESH_LEAST: Final = 300.0
FRESH_MOST: Final = 24 * 3600.0
FAILED_SECONDS: Final = 30.0
"""How long nobody asks again after a failure: a stranger may name any URL, and we ask it at most this often."""
KEPT_MOST: Final = 500
AT_ONCE: Final = 8
"""Most fetches under way: strangers cannot make us hold more connections than that."""
WAITING_MOST: Final = 64
"""Most fetches under way or waiting for their turn; who comes then is told to come again."""
_OK: Final = 200
_MAX_AGE: Final = re.compile(r"(?:^|,)\s*max-age=\"?([0-9]{1,9})\"?\s*(?=,|$)", re.IGNORECASE)
_NO_KEEP: Final = re.compile(r"(?:^|,)\s*(?:no-store|no-cache|private)\s*(?:=[^,]*)?(?=,|$)", re.IGNORECASE)


def is_public(address: str) -> bool:
    """Whether an address, and every address that it stands for, is one of the public internet."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return not is_refused(address) and all(one.is_global for one in address_forms(found))


@dataclass(slots=True)
class _KeptDocument:
    """What came of asking one URL, and until when that stands."""

    until: float = float("-inf")
    body: bytes = b""
    error: JitError | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class HttpsClientDocuments:
    """Fetches with aiohttp: one connection a fetch, no redirects, no cookies, no proxy, to public addresses that were checked."""

    def __init__(
        self,
        clock: Callable[[], Instant],
        tls: ssl.SSLContext | None = None,
        may_ask: Callable[[str], bool] = is_public,
    ) -> None:
        """`tls`: whom to believe about who answers; None = the system's certificate authorities. `may_ask`: which addresses are asked."""
        self._clock = clock
        self._tls = tls
        self._may_ask = may_ask
        self._kept: OrderedDict[str, _KeptDocument] = OrderedDict()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def fetch(self, url: str) -> bytes:
        try:
            check_document_url(url)
        except BadInputError as error:
            raise _refused(error.message) from None
        kept = self._kept.setdefault(url, _KeptDocument())
        self._kept.move_to_end(url)
        self._make_room()
        # One at a time: those who come meanwhile find what the first one fetched.
        async with kept.lock:
            if self._clock() >= kept.until:
                await self._ask(url, kept)
            if kept.error is not None:
                raise kept.error
            return kept.body

    def _make_room(self) -> None:
        """Forget what came to nothing before what is known: strangers who name many URLs push no client out that is in use."""
        while len(self._kept) > KEPT_MOST:
            oldest = next((name for name, one in self._kept.items() if not one.body and not one.lock.locked()), None)
            del self._kept[oldest if oldest is not None else next(iter(self._kept))]

    async def _ask(self, url: str, kept: _KeptDocument) -> None:
        if self._waiting >= WAITING_MOST:
            raise _unreachable("too many documents are being asked for")
        self._waiting += 1
        try:
            async with self._turns:
                kept.body, fresh = await self._fetched(url)
            kept.error, kept.until = None, self._clock() + fresh
        except JitError as error:
            kept.body, kept.error, kept.until = b"", error, self._clock() + FAILED_SECONDS
        finally:
            self._waiting -= 1

    async def _fetched(self, url: str) -> tuple[bytes, float]:
        from aiohttp import ClientError

        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._session() as session,
                session.get(url, headers=headers, allow_redirects=False) as answer,
            ):
                if 300 <= answer.status < 400:  # noqa: PLR2004 - redirects
                    raise _refused("it sends us elsewhere")
                if answer.status != _OK or answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise _unreachable(f"it answered {answer.status}, or in another coding")
                kinds = answer.headers.getall("Content-Type", [])
                kind = kinds[0].partition(";")[0].strip().lower() if len(kinds) == 1 else ""
                if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
                    raise _refused("its answer is no JSON document")
                body = bytearray()
                async for chunk in answer.content.iter_chunked(16384):
                    body += chunk
                    if len(body) > MAX_DOCUMENT:
                        raise _unreachable(f"its document has more than {MAX_DOCUMENT} bytes")
                return bytes(body), fresh_for(",".join(answer.headers.getall("Cache-Control", [])))
        except TimeoutError:
            raise _unreachable(f"no answer within {TIMEOUT_S:g} s") from None
        except (ClientError, OSError, ValueError) as error:
            if _not_public(error):
                raise _refused("its name leads to an address that is not public") from None
            raise _unreachable(f"it cannot be asked ({type(error).__name__})") from None

    def _session(self) -> ClientSession:
        from aiohttp import ClientSession, DummyCookieJar, TCPConnector

        connector = TCPConnector(
            resolver=_public_resolver(self._may_ask),
            ssl=self._tls if self._tls is not None else True,
            force_close=True,
            use_dns_cache=False,
        )
        return ClientSession(
            connector=connector, cookie_jar=DummyCookieJar(), trust_env=False, auto_decompress=False, read_bufsize=65536
        )


def fresh_for(cache_control: str) -> float:
    """How long a document is good, in seconds: what it says, but at least five minutes and at most a day."""
    found = None if _NO_KEEP.search(cache_control) else _MAX_AGE.search(cache_control)
    return min(FRESH_MOST, max(FRESH_LEAST, float(found[1]) if found else 0.0))


class _NotPublicError(OSError):
    """A name leads to an address that is not asked."""


def _public_resolver(may_ask: Callable[[str], bool]) -> AbstractResolver:
    """Resolves names to addresses that are asked: those checked are the ones connected to, so no second answer can swap them."""
    from aiohttp.resolver import ThreadedResolver

    class PublicResolver(ThreadedResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            found = await super().resolve(host, port, family)
            if not found or not all(may_ask(one["host"]) for one in found):
                raise _NotPublicError("the name leads to an address that is not asked")
            return found

    return PublicResolver()


def _not_public(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, _NotPublicError) or isinstance(getattr(seen, "os_error", None), _NotPublicError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _refused(why: str) -> RefusedError:
    return RefusedError("document_url_refused", f"The client's document is not fetched: {why}.")


def _unreachable(why: str) -> UnavailableError:
    return UnavailableError(
        "document_unreachable", f"The client's document is not to be had: {why}.", "Try again later."
    )
