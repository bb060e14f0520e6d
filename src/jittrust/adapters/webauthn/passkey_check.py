"""`ports.passkey_check`: checks passkeys for one web origin."""

from __future__ import annotations

from jittrust.core.identity.person import Passkey


class WebauthnCheck:
    """Checks passkeys for one web origin."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def options(self, challenge: bytes, person: str, display: str, known: tuple[str, ...]) -> str:
        raise NotImplementedError

    def registered(self, response: str, challenge: bytes, person: str) -> Passkey:
        raise NotImplementedError

    def request(self, challenge: bytes, allowed: tuple[str, ...]) -> str:
        raise NotImplementedError

    def asserted(self, response: str, challenge: bytes, passkey: Passkey) -> int:
        raise NotImplementedError
