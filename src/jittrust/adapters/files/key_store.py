"""`ports.key_store`: P-256 keys as PKCS#8 PEM files of mode 0600."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from jittrust.adapters.files.durable import check_private, private_folder, sync_folder, write_whole
from jittrust.core.errors import BadInputError, ConflictError, UnavailableError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}\Z")
_SUFFIX = ".pem"
_MOST_BYTES = 4096


class FileKeyStore:
    """P-256 keys as PKCS#8 PEM files of mode 0600, in a folder that nobody else may enter. The folder is made with the first key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, EllipticCurvePrivateKey] = {}

    def make(self, name: str) -> EllipticCurvePrivateKey:
        file = self._file(name)
        try:
            private_folder(self._folder)
            if file.exists():
                raise ConflictError("key_exists", f"there is a key {name} already")
            key = generate_private_key(SECP256R1())
            write_whole(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        except OSError as bad:
            raise _unusable(self._folder, bad) from None
        self._known[name] = key
        return key

    def key(self, name: str) -> EllipticCurvePrivateKey:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._read(self._file(name))
        return known

    def destroy(self, name: str) -> None:
        self._known.pop(name, None)
        file = self._file(name)
        try:
            # Overwritten first: on some file systems that helps, and it costs nothing. Never through a link.
            if not file.is_symlink():
                handle = os.open(file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    os.write(handle, bytes(os.fstat(handle).st_size))
                    os.fsync(handle)
                finally:
                    os.close(handle)
            file.unlink()
            sync_folder(self._folder)
        except FileNotFoundError:
            return
        except OSError as bad:
            raise _unusable(self._folder, bad) from None

    def names(self) -> Sequence[str]:
        try:
            return sorted(file.stem for file in self._folder.glob(f"*{_SUFFIX}") if _NAME.match(file.stem))
        except OSError as bad:
            raise _unusable(self._folder, bad) from None

    def _file(self, name: str) -> Path:
        if not _NAME.match(name):
            raise BadInputError("key_name_bad", f"{name[:40]!r} is no name of a key")
        return self._folder / f"{name}{_SUFFIX}"

    def _read(self, file: Path) -> EllipticCurvePrivateKey:
        try:
            private_folder(self._folder)
            handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                check_private(file, os.fstat(handle))
                content = os.read(handle, _MOST_BYTES)
            finally:
                os.close(handle)
            key = load_pem_private_key(content, None)
        except FileNotFoundError:
            raise UnavailableError(
                "key_missing", f"the signing key {file} is gone", "Put it back from a backup, or rotate to a new one."
            ) from None
        except OSError as bad:
            raise _unusable(self._folder, bad) from None
        except (ValueError, TypeError):
            raise UnavailableError("key_broken", f"{file} does not hold a private key") from None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise UnavailableError("key_broken", f"{file} does not hold a P-256 key")
        return key


def _unusable(folder: Path, bad: OSError) -> UnavailableError:
    return UnavailableError("key_store_unavailable", f"the keys in {folder} cannot be used: {bad.strerror}")
