"""TLS of the addresses we listen on."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from pathlib import Path

from jittrust.core.errors import BadInputError

_OTHERS = 0o077


def plain_context() -> ssl.SSLContext:
    """A server's context without a certificate: TLS 1.2 and newer, no renegotiation, no compression."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    return context


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's context for a certificate chain and its key, both PEM.

    Raises:
        BadInputError: code `tls_key_exposed` (others may read the key), `tls_unusable` (a file is missing, or they do not fit together).
    """
    context = plain_context()
    try:
        status = key.stat()
        if status.st_mode & _OTHERS or status.st_uid not in (os.getuid(), 0):
            raise BadInputError("tls_key_exposed", f"{key} is open to others.", f"chmod 600 {key}")
        # A key behind a passphrase would ask for it on the terminal: refused instead.
        context.load_cert_chain(certificate, key, password=b"")
    except OSError as error:
        # ssl.SSLError is one too.
        words = f"{certificate} and {key} cannot be used together: {error.strerror or error}"
        raise BadInputError(
            "tls_unusable", words, "Both are PEM; the chain has the server's certificate first."
        ) from None
    return context


def take_client_certificates(context: ssl.SSLContext, roots: Iterable[bytes]) -> None:
    """Take client certificates below these roots (DER), without asking for one from everybody.

    Called again with newer roots it adds them: an older one stays until the process ends, and whoever reads the certificate checks it against what is
    trusted at that moment.
    """
    found = [ssl.DER_cert_to_PEM_cert(root) for root in roots]
    if found:
        context.load_verify_locations(cadata="".join(found))
        context.verify_mode = ssl.CERT_OPTIONAL
