"""Where the agent's own key lies on its own machine: a file, or the keyring of the operating system."""

from __future__ import annotations

from typing import Protocol

from jittrust.core.secret import Secret


class AgentKeyStore(Protocol):
    """Keeps one private key, as the text of a JWK."""

    def read(self) -> Secret | None:
        """The key; None when there is none yet.

        Raises:
            UnavailableError: code `state_exposed` (others may read it), `agent_key_unusable`.
        """
        ...

    def make(self, key: Secret) -> Secret:
        """Keep `key` unless there is one by now; whichever is kept. It is never overwritten.

        Raises:
            UnavailableError: code `agent_key_unusable`.
        """
        ...
