"""A foreign trust domain with TLS endpoints on loopback that do as told: what federation's tests act against."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jittrust.core.identity.bundle import TrustBundle, write_bundle


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass
class RootAuthority:
    """A root: of a trust domain where it names one, else of the web."""

    domain: str = ""
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    root: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        called = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.domain or "a web authority")])
        now = datetime.now(UTC)
        made = x509.CertificateBuilder(called, called, self.key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=2)).not_valid_after(now + timedelta(days=2))
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        made = made.add_extension(_usage(ca=True), critical=True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
        if self.domain:
            uri = x509.UniformResourceIdentifier(f"spiffe://{self.domain}")
            made = made.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        self.root = made.sign(self.key, SHA256())

    @property
    def der(self) -> bytes:
        return self.root.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.root.public_bytes(Encoding.PEM)

    def bundle(self, sequence: int = 5, hint: int = 300) -> str:
        return write_bundle(TrustBundle(self.domain, (self.der,), {}, sequence, hint))

    def leaf(self, *names: str, life: timedelta = timedelta(hours=1)) -> tuple[bytes, bytes]:
        """Certificate and key, PEM, for SPIFFE IDs, addresses or DNS names; a negative life is one that is over."""
        key = ec.generate_private_key(ec.SECP256R1())
        end = datetime.now(UTC) + life
        made = x509.CertificateBuilder(self.root.subject, x509.Name([]), key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(end - timedelta(hours=2)).not_valid_after(end)
        made = made.add_extension(x509.SubjectAlternativeName([_named(one) for one in names]), critical=True)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(_usage(ca=False), critical=True)
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = made.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        made = made.add_extension(identifier, critical=False)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return made.sign(self.key, SHA256()).public_bytes(Encoding.PEM), private


def _named(text: str) -> x509.GeneralName:
    if text.startswith("spiffe:"):
        return x509.UniformResourceIdentifier(text)
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def served(body: bytes | str, *headers: str, status: str = "200 OK") -> bytes:
    """An answer as bytes."""
    content = body if isinstance(body, bytes) else body.encode()
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + content


@contextlib.asynccontextmanager
async def tls_endpoint(
    leaf: tuple[bytes, bytes], answer: bytes, *, seconds: float = 0.0, asked: list[str] | None = None
) -> AsyncIterator[int]:
    """A TLS server on loopback that gives every caller the same answer, so many seconds late; its port. `asked` learns the request lines."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        for name, content in zip(("c", "k"), leaf, strict=True):
            (Path(folder) / name).write_bytes(content)
        context.load_cert_chain(Path(folder) / "c", Path(folder) / "k")

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if asked is not None:
                asked.append(head.split(b"\r\n")[0].decode())
            await asyncio.sleep(seconds)
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
