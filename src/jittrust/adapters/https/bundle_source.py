"""`ports.bundle_source`: fetches bundles of federated trust domains (SPIFFE Federation §5.2)."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Final

from jittrust.adapters.https.token_keys import guarded_resolver, is_written_refused
from jittrust.core.errors import JitError, RefusedError, UnavailableError
from jittrust.core.identity.bundle import read_bundle
from jittrust.core.identity.federate import EndpointProfile, FederatedDomain
from jittrust.core.identity.svid import check_x509
from jittrust.core.units import Instant

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import ClientResponse
    from aiohttp.connector import Connection

MAX_BUNDLE: Final = 1 << 20
"""Largest bundle that is read, in bytes."""
TIMEOUT_S: Final = 10.0
_OK: Final = 200


class HttpsBundleSource:
    """Fetches bundles with aiohttp: one connection a fetch, no redirects, no cookies, no proxy, to addresses that were checked.

    With https_web the endpoint proves itself by the web's certificate authorities (those of the system, or `SSL_CERT_FILE`); with https_spiffe by
    an X.509-SVID of exactly the configured SPIFFE ID, under the bundle that is known of its trust domain, and by nothing else.
    """

    def __init__(self, clock: Callable[[], Instant]) -> None:
        self._clock = clock

    async def fetch(self, domain: FederatedDomain) -> bytes:
        from aiohttp import (
            ClientConnectorCertificateError,
            ClientConnectorSSLError,
            ClientError,
            ClientResponse,
            ClientSession,
            DummyCookieJar,
            TCPConnector,
        )

        if is_written_refused(domain.url):
            raise _untrusted(domain, "its address is one that is never asked")
        connector = TCPConnector(
            resolver=guarded_resolver(), ssl=_context(domain), force_close=True, use_dns_cache=False
        )
        shown: list[tuple[bytes, ...]] = []

        class WitnessedResponse(ClientResponse):
            """Looks at who answers while the connection is certainly there: a short answer lets go of it as soon as it has come."""

            async def start(self, connection: Connection) -> ClientResponse:
                tls = None if connection.transport is None else connection.transport.get_extra_info("ssl_object")
                shown.append(() if tls is None else _chain(tls))
                return await super().start(connection)

        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                ClientSession(
                    connector=connector,
                    cookie_jar=DummyCookieJar(),
                    trust_env=False,
                    auto_decompress=False,
                    response_class=WitnessedResponse,
                ) as session,
                session.get(domain.url, headers=headers, allow_redirects=False) as answer,
            ):
                if domain.profile is EndpointProfile.HTTPS_SPIFFE:
                    self._check_peer(domain, shown[-1])
                return await _body(domain, answer)
        except TimeoutError:
            raise _unreachable(domain, f"no answer within {TIMEOUT_S:.0f} s") from None
        except (ClientConnectorCertificateError, ClientConnectorSSLError, ssl.SSLError) as error:
            raise _untrusted(domain, f"its certificate is not taken ({type(error).__name__})") from None
        except (ClientError, OSError, ValueError) as error:
            raise _unreachable(domain, f"it cannot be asked ({type(error).__name__})") from None

    def _check_peer(self, domain: FederatedDomain, chain: tuple[bytes, ...]) -> None:
        """Who answered, before a byte of the bundle is read."""
        if not chain:
            raise _untrusted(domain, "the connection is gone before it could be looked at")
        roots = {domain.id: read_bundle(domain.bundle, domain.id).x509}
        try:
            checked = check_x509(chain, roots, self._clock())
        except JitError as refused:
            raise _untrusted(domain, refused.message) from None
        if str(checked.spiffe_id) != domain.endpoint_id:
            raise _untrusted(domain, f"it is {checked.spiffe_id}")


def _context(domain: FederatedDomain) -> ssl.SSLContext:
    if domain.profile is EndpointProfile.HTTPS_WEB:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Who it is says the SPIFFE ID in its certificate, which is checked once the connection stands; host names say nothing here.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    roots = read_bundle(domain.bundle, domain.id).x509 if domain.bundle else ()
    if not roots:
        raise _untrusted(domain, "no bundle of it is known to check it with")
    context.load_verify_locations(cadata=b"".join(roots))
    return context


def _chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The certificates that the other side sent, DER, leaf first."""
    if hasattr(tls, "get_unverified_chain"):  # Python 3.13
        return tuple(tls.get_unverified_chain())
    # Before that it is there, but not under a public name.
    sent = tls._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]  # noqa: SLF001
    return tuple(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in sent)


async def _body(domain: FederatedDomain, answer: ClientResponse) -> bytes:
    if answer.status != _OK or answer.headers.get("Content-Encoding", "identity") != "identity":
        raise _unreachable(domain, f"it answered {answer.status}, or in another coding")
    body = bytearray()
    async for chunk in answer.content.iter_chunked(16384):
        body += chunk
        if len(body) > MAX_BUNDLE:
            raise _unreachable(domain, f"its bundle has more than {MAX_BUNDLE} bytes")
    return bytes(body)


def _unreachable(domain: FederatedDomain, why: str) -> UnavailableError:
    return UnavailableError(
        "bundle_unreachable", f"The bundle endpoint of {domain.id}: {why}.", "Its last bundle stays in force."
    )


def _untrusted(domain: FederatedDomain, why: str) -> RefusedError:
    return RefusedError(
        "bundle_endpoint_untrusted",
        f"The bundle endpoint of {domain.id}: {why}.",
        "Compare its identity with its admin.",
    )
