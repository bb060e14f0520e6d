"""`ports.agent_key` in the keyring of the operating system (Secret Service, macOS Keychain, KWallet)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jittrust.core.errors import UnavailableError
from jittrust.core.secret import Secret

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "jittrust connect"


class AgentKeyring:
    """One key under the agent's name."""

    def __init__(self, agent: str, backend: KeyringBackend | None = None) -> None:
        """`backend`: None = the one this machine has.

        Raises:
            UnavailableError: code `keyring_missing`: the package is not installed, or there is no keyring that keeps secrets.
        """
        self._agent = agent
        self._backend = backend or _backend()

    def read(self) -> Secret | None:
        from keyring.errors import KeyringError  # noqa: PLC0415 - an optional package

        try:
            found = self._backend.get_password(SERVICE, self._agent)
        except KeyringError as bad:
            raise _unusable(bad) from None
        return None if found is None else Secret(found.encode("utf-8"))

    def make(self, key: Secret) -> Secret:
        from keyring.errors import KeyringError  # noqa: PLC0415 - an optional package

        kept = self.read()
        if kept is not None:
            return kept
        try:
            self._backend.set_password(SERVICE, self._agent, key.reveal().decode("utf-8"))
        except KeyringError as bad:
            raise _unusable(bad) from None
        # A keyring has no "unless it is there": what it gives back is the one in force.
        return self.read() or key


def _backend() -> KeyringBackend:
    try:
        import keyring  # noqa: PLC0415 - an optional package
        from keyring.backends import chainer, fail, null  # noqa: PLC0415 - an optional package
    except ImportError:
        raise UnavailableError(
            "keyring_missing",
            "The package keyring is not installed.",
            "pip install 'jittrust[keyring]', or --key FILE.",
        ) from None
    found = keyring.get_keyring()
    useless = isinstance(found, fail.Keyring | null.Keyring)
    if isinstance(found, chainer.ChainerBackend):
        useless = not found.backends
    if useless or "plaintext" in type(found).__name__.lower():
        raise UnavailableError(
            "keyring_missing", "This machine has no keyring that keeps secrets.", "Keep the key in a file: --key FILE."
        )
    return found


def _unusable(bad: Exception) -> UnavailableError:
    return UnavailableError(
        "agent_key_unusable",
        f"The keyring does not give the key out ({type(bad).__name__}).",
        "Unlock it, or: --key FILE.",
    )
