"""`jittrust identity attest`: prove to a broker on another machine what this is, and get documents for a key that never leaves here."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from jittrust.apps.cli.failure import DONE
from jittrust.apps.cli.identity_fetch import BUNDLE, CHAIN, KEY, put_together
from jittrust.apps.cli.output import emit, say
from jittrust.core.errors import BadInputError, JitError, RefusedError, UnavailableError
from jittrust.core.identity.attest import EvidenceKind, statement
from jittrust.core.identity.bundle import read_bundle
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.identity.svid import check_x509
from jittrust.core.model import Json
from jittrust.core.strict_json import parse_object
from jittrust.core.units import Instant

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

MAX_ANSWER: Final = 1024 * 1024
"""Largest answer of a broker that is read, in bytes."""
TIMEOUT_S: Final = 20.0
_MAX_FILE: Final = 64 * 1024
_OK: Final = 200
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class AttestOrder:
    """What `identity attest` was told.

    Without a join token, token file or certificate the SVID in `write` is renewed.

    Attributes:
        url: of the broker's HTTP face, `https://…` (`http://` on loopback only).
        write: folder for `svid.pem`, `svid_key.pem` (0600) and `svid_bundle.pem`.
        join_token: one-use secret.
        token_file, kind: a token of a trusted issuer, read anew each time; `oidc` or `kubernetes`.
        certificate, key: PEM files of a certificate of a trusted authority.
        model, manifest: digests of what runs here.
        path: which of several identities; empty = the first.
        authorities: PEM file of the certificate authorities to believe about `url`; None = the system's.
    """

    url: str
    write: Path
    join_token: str = ""
    token_file: Path | None = None
    kind: str = "oidc"
    certificate: Path | None = None
    key: Path | None = None
    model: str = ""
    manifest: str = ""
    path: str = ""
    authorities: Path | None = None


@dataclass(frozen=True, slots=True)
class _Proof:
    kind: EvidenceKind
    document: str
    signer: PrivateKeyTypes | None = None


def attest(order: AttestOrder, *, as_json: bool = False) -> int:
    """Do it once, and say which identity was given.

    Raises:
        BadInputError: code `url_bad`, `evidence_bad`, or what the broker says.
        RefusedError: code `attestation_failed`, `identity_not_active`, `svid_refused` (the broker gave what its own bundle does not vouch for).
        UnavailableError: code `broker_unreachable`.
    """
    given, ends = asyncio.run(_attest(order))
    if as_json:
        emit({"spiffe_id": given, "expires": int(ends), "folder": str(order.write)})
    else:
        say(f"{given}: {CHAIN}, {KEY} and {BUNDLE} are in {order.write}.")
    return DONE


async def _attest(order: AttestOrder) -> tuple[str, Instant]:
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

    base, proof = _base(order.url), _proof(order)
    key = _key(order)
    request = _signed_request(key)
    tls = ssl.create_default_context(cafile=str(order.authorities)) if order.authorities else True
    connector = TCPConnector(ssl=tls)
    async with ClientSession(
        connector=connector, timeout=ClientTimeout(total=TIMEOUT_S), cookie_jar=DummyCookieJar(), trust_env=False
    ) as session:
        evidence: dict[str, Json] = {"kind": proof.kind, "document": proof.document}
        if proof.signer is not None:
            challenge = (await _asked(session, f"{base}/identity/v1/challenge")).get("challenge")
            if not isinstance(challenge, str):
                raise _unreachable("it gives no challenge")
            signature = _signature(proof.signer, statement(challenge, request))
            evidence |= {"challenge": challenge, "signature": _base64url(signature)}
        given = await _asked(
            session,
            f"{base}/identity/v1/svid",
            {
                "evidence": evidence,
                "request": base64.b64encode(request).decode("ascii"),
                "path": order.path,
                "model": order.model,
                "manifest": order.manifest,
            },
        )
        bundle = await _fetched(session, f"{base}/.well-known/spiffe-bundle")
    return _written(order.write, given, bundle, key)


def _written(
    folder: Path, given: Mapping[str, Json], bundle: bytes, key: EllipticCurvePrivateKey
) -> tuple[str, Instant]:
    """Put what was given where it belongs, if the bundle vouches for it and it is for our key."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    spiffe_id, chain = given.get("spiffe_id"), given.get("chain")
    if not isinstance(spiffe_id, str) or not isinstance(chain, list):
        raise _unreachable("its answer is no SVID")
    try:
        ders = tuple(base64.b64decode(one, validate=True) for one in chain if isinstance(one, str))
    except ValueError:
        raise _unreachable("its answer is no SVID") from None
    name = SpiffeId.parse(spiffe_id).trust_domain.name
    roots = read_bundle(bundle, name).x509
    from jittrust.adapters.system.clock import SteadyClock

    checked = check_x509(ders, {name: roots}, SteadyClock()())
    ours = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if str(checked.spiffe_id) != spiffe_id or checked.public_key != ours:
        raise RefusedError("svid_refused", "The SVID is of another identity or for another key.", "Attest again.")
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    put_together(folder, {CHAIN: _pem(ders), KEY: private, BUNDLE: _pem(roots)})
    return spiffe_id, checked.expires


# ---- what is proven, and with what ------------------------------------------------------------------------------------------------------------


def _proof(order: AttestOrder) -> _Proof:
    ways = [order.join_token, order.token_file, order.certificate]
    if sum(bool(way) for way in ways) > 1 or bool(order.certificate) is not bool(order.key):
        raise _bad("give one of --join-token, --token-file, or --certificate with --key")
    if order.join_token:
        return _Proof(EvidenceKind.JOIN_TOKEN, order.join_token)
    if order.token_file is not None:
        if order.kind not in {EvidenceKind.OIDC, EvidenceKind.KUBERNETES}:
            raise _bad("a token is of the kind oidc or kubernetes")
        return _Proof(EvidenceKind(order.kind), _text(order.token_file).strip())
    if order.certificate is not None and order.key is not None:
        return _Proof(EvidenceKind.X509, _text(order.certificate), _private(order.key))
    held = order.write / CHAIN
    if not held.exists():
        raise _bad(f"there is no SVID in {order.write} to renew; give a join token, a token or a certificate")
    return _Proof(EvidenceKind.SVID, _text(held), _private(order.write / KEY))


def _key(order: AttestOrder) -> EllipticCurvePrivateKey:
    """A fresh key; for a token file the key that is there, since an issuer's token is good for one key only."""
    from cryptography.hazmat.primitives.asymmetric import ec

    if order.token_file is not None and (order.write / KEY).exists():
        held = _private(order.write / KEY)
        if isinstance(held, ec.EllipticCurvePrivateKey):
            return held
    return ec.generate_private_key(ec.SECP256R1())


def _signed_request(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    # Whoever asks says nothing of itself: the entry says what the document names.
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    return made.public_bytes(Encoding.DER)


def _signature(key: PrivateKeyTypes, message: bytes) -> bytes:
    """A proof of possession as `core.identity.attest.holds` wants it."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = key.curve.key_size
        return key.sign(message, ec.ECDSA(SHA256() if size <= 256 else SHA384() if size <= 384 else SHA512()))  # noqa: PLR2004
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    raise _bad("the key is none of ECDSA, RSA and Ed25519")


def _private(file: Path) -> PrivateKeyTypes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(_text(file).encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _bad(f"{file} holds no private key as PEM without a password") from None


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            found = opened.read(_MAX_FILE + 1)
        if len(found) > _MAX_FILE:
            raise _bad(f"{file} has more than {_MAX_FILE} bytes")
        return found.decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(f"{file} cannot be read ({type(error).__name__})") from None


# ---- the broker over HTTP ---------------------------------------------------------------------------------------------------------------------


def _base(text: str) -> str:
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        host, port, url = None, None, urlsplit("")
    del port
    safe = url.scheme == "https" or (url.scheme == "http" and host in _LOOPBACK)
    if not host or not safe or url.query or url.fragment or "@" in url.netloc:
        raise BadInputError("url_bad", f"{text[:80]!r} is no https URL of a broker.", "http is for loopback only.")
    return text.rstrip("/")


async def _asked(session: ClientSession, url: str, body: Mapping[str, Json] | None = None) -> Mapping[str, Json]:
    return parse_object(await _fetched(session, url, body), max_bytes=MAX_ANSWER)


async def _fetched(session: ClientSession, url: str, body: Mapping[str, Json] | None = None) -> bytes:
    from aiohttp import ClientError

    headers = {"Content-Type": "application/json"} if body is not None else {}
    data = None if body is None else json.dumps(body).encode()
    try:
        async with session.request(
            "GET" if body is None else "POST", url, data=data, headers=headers, allow_redirects=False
        ) as answer:
            found = bytearray()
            async for chunk in answer.content.iter_chunked(16384):
                found += chunk
                if len(found) > MAX_ANSWER:
                    raise _unreachable("its answer is too large")
            if answer.status != _OK:
                raise _problem(answer.status, bytes(found))
            return bytes(found)
    except (ClientError, OSError, TimeoutError, ValueError) as error:
        raise _unreachable(f"{urlsplit(url).netloc} does not answer ({type(error).__name__})") from None


def _problem(status: int, body: bytes) -> JitError:
    """What the broker says is wrong, as an error of ours."""
    try:
        told = parse_object(body, max_bytes=_MAX_FILE)
    except BadInputError:
        told = {}
    code, detail, next_step = (told.get(name) for name in ("code", "detail", "next_step"))
    if not isinstance(code, str) or not _CODE.match(code) or not isinstance(detail, str):
        return _unreachable(f"it answered {status}")
    kind = {400: BadInputError, 403: RefusedError}.get(status, UnavailableError)
    return kind(code, detail, next_step if isinstance(next_step, str) else "")


def _pem(ders: Sequence[bytes]) -> bytes:
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in ders).encode("ascii")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _bad(why: str) -> BadInputError:
    return BadInputError("evidence_bad", f"Nothing is proven: {why}.", "jittrust identity attest --help")


def _unreachable(why: str) -> UnavailableError:
    return UnavailableError("broker_unreachable", f"The broker cannot be asked: {why}.", "Is its address right?")
