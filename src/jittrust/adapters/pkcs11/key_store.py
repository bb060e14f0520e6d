"""`ports.key_store`: P-256 keys that never leave a PKCS#11 token, named by a URI (RFC 7512)."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    ECDSA,
    SECP256R1,
    EllipticCurve,
    EllipticCurvePrivateKey,
    EllipticCurvePrivateNumbers,
    EllipticCurvePublicKey,
    EllipticCurveSignatureAlgorithm,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, KeySerializationEncryption, PrivateFormat

from jittrust.core.errors import BadInputError, ConflictError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

LABEL = "jittrust-"
"""Our keys' labels begin so: on a token that others use too, nothing of theirs is touched."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}\Z")
_MOST_PIN = 256
_POINT = 65  # bytes of an uncompressed P-256 point
_HALF = 32
_LIBRARY = (RuntimeError, ValueError, OSError)  # what python-pkcs11 raises; its own errors are RuntimeErrors
_TOKEN_ATTRIBUTES = {"token": "token_label", "serial": "token_serial"}


@dataclass(frozen=True, slots=True)
class TokenUri:
    """What a PKCS#11 URI says (RFC 7512): which token, through which module, with whose PIN.

    Attributes:
        token: its label; empty = `serial` decides.
        serial: its serial number; empty = `token` decides.
        module: the PKCS#11 library.
        pin: the file that holds the user PIN; nobody but its owner and group may read it.
    """

    token: str
    serial: str
    module: Path
    pin: Path

    @classmethod
    def parse(cls, uri: str) -> TokenUri:
        """Read a URI such as `pkcs11:token=ca?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/ca.pin`.

        Raises:
            BadInputError: code `key_store_bad`: no token, no absolute path of a module or PIN file, an attribute that is not known or twice.
        """
        path, _, query = uri.removeprefix("pkcs11:").partition("?")
        if not uri.startswith("pkcs11:"):
            raise _bad_uri("it begins with pkcs11:")
        named = _attributes(path, ";", frozenset(_TOKEN_ATTRIBUTES))
        asked = _attributes(query, "&", frozenset(("module-path", "pin-source")))
        module, pin = asked.get("module-path", ""), asked.get("pin-source", "").removeprefix("file:")
        pin = "/" + pin.lstrip("/") if pin.startswith("//") else pin
        if not named or not module.startswith("/") or not pin.startswith("/"):
            raise _bad_uri("it names a token, the path of a module and the path of a PIN file")
        return cls(named.get("token", ""), named.get("serial", ""), Path(module), Path(pin))


def _attributes(text: str, separator: str, known: frozenset[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, text.split(separator)):
        name, _, value = part.partition("=")
        if name not in known or name in found or not value:
            raise _bad_uri(f"its attribute {name[:40]!r} is not known, is empty or is there twice")
        found[name] = unquote(value)
    return found


class Pkcs11KeyStore:
    """P-256 keys that never leave a PKCS#11 token: sensitive, not extractable. The token is opened with the first call."""

    def __init__(self, uri: str) -> None:
        self._uri = TokenUri.parse(uri)
        # A PKCS#11 session does one thing at a time.
        self._lock = threading.RLock()
        self._session: Any = None
        self._known: dict[str, TokenKey] = {}
        self._handles: dict[str, Any] = {}

    def make(self, name: str) -> EllipticCurvePrivateKey:
        label = _label(name)

        def made(session: Any) -> TokenKey:  # noqa: ANN401 - the library is imported when it is first needed
            from pkcs11 import Attribute, KeyType
            from pkcs11.util.ec import encode_named_curve_parameters

            if next(iter(session.get_objects({Attribute.LABEL: label})), None) is not None:
                raise ConflictError("key_exists", f"there is a key {name} already")
            curve = session.create_domain_parameters(
                KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
            )
            identifier = hashlib.sha256(label.encode()).digest()[:20]
            hidden = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}
            public, self._handles[name] = curve.generate_keypair(
                id=identifier, label=label, store=True, private_template=hidden
            )
            return TokenKey(self, name, _public(public))

        key = self._known[name] = self.ask(made)
        return key

    def key(self, name: str) -> EllipticCurvePrivateKey:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self.ask(lambda session: self._found(session, name))
        return known

    def destroy(self, name: str) -> None:
        label = _label(name)
        self._known.pop(name, None)
        self._handles.pop(name, None)

        def destroyed(session: Any) -> None:  # noqa: ANN401 - as above
            from pkcs11 import Attribute

            for found in list(session.get_objects({Attribute.LABEL: label})):
                found.destroy()

        self.ask(destroyed)

    def names(self) -> Sequence[str]:
        def listed(session: Any) -> Sequence[str]:  # noqa: ANN401 - as above
            from pkcs11 import Attribute, ObjectClass

            labels = [str(one.label) for one in session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})]
            return sorted(one.removeprefix(LABEL) for one in labels if one.startswith(LABEL))

        return self.ask(listed)

    def ask(self, question: Callable[[Any], T]) -> T:
        """Let the token do something.

        Raises:
            UnavailableError: code `key_store_unavailable`. The next call opens the token anew: one that was pulled out may be back.
        """
        with self._lock:
            if self._session is not None:
                try:
                    return question(self._session)
                except _LIBRARY:
                    # It was pulled out, or another session logged us out: once more from the start. A PIN is never tried twice.
                    self._forget()
            try:
                self._session = self._opened()
                return question(self._session)
            except _LIBRARY as bad:
                self._forget()
                raise UnavailableError(
                    "key_store_unavailable",
                    f"The PKCS#11 token cannot be used: {type(bad).__name__}.",
                    "Check that it is there, and the URI, the module and the PIN file.",
                ) from None

    def signed(self, name: str, digest: bytes) -> bytes:
        """The raw ECDSA signature (r and s, 32 bytes each) over a SHA-256 digest. Raises UnavailableError: as `KeyStore.key`."""

        def signing(session: Any) -> bytes:  # noqa: ANN401 - as above
            from pkcs11 import Mechanism, ObjectClass

            handle = self._handles.get(name)
            if handle is None:
                handle = self._handles[name] = _only(session, ObjectClass.PRIVATE_KEY, name)
            return bytes(handle.sign(digest, mechanism=Mechanism.ECDSA))

        return self.ask(signing)

    def _forget(self) -> None:
        self._session = None
        self._handles.clear()
        self._known.clear()

    def _opened(self) -> Any:  # noqa: ANN401 - as above
        try:
            import pkcs11
        except ImportError:
            raise UnavailableError(
                "key_store_unavailable", "python-pkcs11 is not installed.", "pip install 'jittrust[pkcs11]'"
            ) from None
        serial = self._uri.serial.encode() or None
        token = pkcs11.lib(str(self._uri.module)).get_token(token_label=self._uri.token or None, token_serial=serial)
        try:
            return token.open(rw=True, user_pin=self._pin())
        except pkcs11.UserAlreadyLoggedIn:
            # A process logs in once for all its sessions (PKCS#11 §5.6).
            return token.open(rw=True)

    def _pin(self) -> str:
        file = self._uri.pin
        try:
            handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                mode = os.fstat(handle).st_mode
                content = os.read(handle, _MOST_PIN)
            finally:
                os.close(handle)
        except OSError as bad:
            raise UnavailableError("key_store_unavailable", f"{file} cannot be read: {bad.strerror}") from None
        if not stat.S_ISREG(mode) or mode & 0o007:
            raise UnavailableError(
                "key_store_unavailable",
                f"others may read the PIN in {file}",
                f"Run: chmod 600 {file}, and change the PIN.",
            )
        return content.decode("utf-8", "replace").rstrip("\r\n")

    def _found(self, session: Any, name: str) -> TokenKey:  # noqa: ANN401 - as above
        from pkcs11 import ObjectClass

        self._handles[name] = _only(session, ObjectClass.PRIVATE_KEY, name)
        return TokenKey(self, name, _public(_only(session, ObjectClass.PUBLIC_KEY, name)))


class TokenKey(EllipticCurvePrivateKey):
    """A private key that stays in the token: it signs there, and cannot be copied out."""

    def __init__(self, store: Pkcs11KeyStore, name: str, public: EllipticCurvePublicKey) -> None:
        self._store = store
        self._name = name
        self._public = public

    def sign(
        self, data: bytes | bytearray | memoryview[int], signature_algorithm: EllipticCurveSignatureAlgorithm
    ) -> bytes:
        if not isinstance(signature_algorithm, ECDSA) or not isinstance(signature_algorithm.algorithm, SHA256):
            raise TypeError("the token signs ECDSA with SHA-256")
        raw = self._store.signed(self._name, hashlib.sha256(data).digest())
        return encode_dss_signature(int.from_bytes(raw[:_HALF]), int.from_bytes(raw[_HALF:]))

    def public_key(self) -> EllipticCurvePublicKey:
        return self._public

    @property
    def curve(self) -> EllipticCurve:
        return SECP256R1()

    @property
    def key_size(self) -> int:
        return self.curve.key_size

    def exchange(self, algorithm: ECDH, peer_public_key: EllipticCurvePublicKey) -> bytes:  # noqa: ARG002 - refused
        raise TypeError("a signing key agrees on nothing")

    def private_numbers(self) -> EllipticCurvePrivateNumbers:
        raise TypeError("the key does not leave its token")

    def private_bytes(
        self,
        encoding: Encoding,  # noqa: ARG002 - refused
        format: PrivateFormat,  # noqa: A002, ARG002 - the library's word
        encryption_algorithm: KeySerializationEncryption,  # noqa: ARG002 - refused
    ) -> bytes:
        raise TypeError("the key does not leave its token")

    def __copy__(self) -> TokenKey:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> TokenKey:
        return self


def _only(session: Any, kind: Any, name: str) -> Any:  # noqa: ANN401 - as above
    from pkcs11 import Attribute

    found = list(session.get_objects({Attribute.CLASS: kind, Attribute.LABEL: _label(name)}))
    if len(found) != 1:
        raise UnavailableError("key_missing", f"The token has no key {name}.", "Rotate to a new one.")
    return found[0]


def _public(found: Any) -> EllipticCurvePublicKey:  # noqa: ANN401 - as above
    from pkcs11 import Attribute

    # CKA_EC_POINT is the point in an OCTET STRING, whose two bytes of head some tokens leave out.
    point = bytes(found[Attribute.EC_POINT])[-_POINT:]
    return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)


def _label(name: str) -> str:
    if not _NAME.match(name):
        raise BadInputError("key_name_bad", f"{name[:40]!r} is no name of a key")
    return LABEL + name


def _bad_uri(why: str) -> BadInputError:
    return BadInputError(
        "key_store_bad",
        f"The PKCS#11 URI is not taken: {why}.",
        "pkcs11:token=LABEL?module-path=/path/of/module.so&pin-source=file:/path/of/pin",
    )
