"""SPIFFE IDs and trust domains, exactly as the SPIFFE-ID document writes them: what is not canonical is refused, never repaired."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jittrust.core.errors import BadInputError

SCHEME = "spiffe://"
MAX_BYTES = 2048
"""SPIFFE-ID §2.3: a SPIFFE ID has at most 2048 bytes, its trust domain at most 255."""
MAX_TRUST_DOMAIN = 255
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}\Z")
_SEGMENT = re.compile(r"[a-zA-Z0-9._-]+\Z")


@dataclass(frozen=True, slots=True, order=True)
class TrustDomain:
    """Name of a trust domain: lower case letters, digits, dots, dashes and underscores (SPIFFE-ID §2.1)."""

    name: str

    def __post_init__(self) -> None:
        """Refuse a name that is not in the grammar.

        Raises:
            BadInputError: code `spiffe_id_bad`.
        """
        if not _TRUST_DOMAIN.match(self.name):
            raise _bad(self.name, "a trust domain has 1 to 255 of a-z 0-9 . _ -")

    @property
    def uri(self) -> str:
        """`spiffe://name`: the SPIFFE ID of the trust domain itself."""
        return SCHEME + self.name

    def __str__(self) -> str:
        """Its name."""
        return self.name


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """`spiffe://trust-domain/path`. `path` is empty or begins with a slash (SPIFFE-ID §2.2)."""

    trust_domain: TrustDomain
    path: str

    def __post_init__(self) -> None:
        """Refuse a path that is not in the grammar.

        Raises:
            BadInputError: code `spiffe_id_bad`.
        """
        if self.path:
            if not self.path.startswith("/"):
                raise _bad(self.path, "a path begins with a slash")
            for segment in self.path[1:].split("/"):
                if not _SEGMENT.match(segment) or segment in {".", ".."}:
                    raise _bad(self.path, "a segment has one or more of a-z A-Z 0-9 . _ - and is not . or ..")
        if len(self.trust_domain.uri) + len(self.path) > MAX_BYTES:
            raise _bad(self.path, f"a SPIFFE ID has at most {MAX_BYTES} bytes")

    @classmethod
    def parse(cls, text: str) -> SpiffeId:
        """Read a SPIFFE ID.

        Raises:
            BadInputError: code `spiffe_id_bad`: not exactly in the grammar; nothing is normalised.
        """
        if len(text) > MAX_BYTES or not text.startswith(SCHEME):
            raise _bad(text, f"it begins with {SCHEME} and has at most {MAX_BYTES} bytes")
        name, slash, rest = text[len(SCHEME) :].partition("/")
        return cls(TrustDomain(name), slash + rest)

    @classmethod
    def of(cls, trust_domain: TrustDomain, *segments: str) -> SpiffeId:
        """The SPIFFE ID with this path in a trust domain. Raises BadInputError: code `spiffe_id_bad`."""
        return cls(trust_domain, "".join(f"/{segment}" for segment in segments))

    def __str__(self) -> str:
        """The URI."""
        return self.trust_domain.uri + self.path


def _bad(text: str, rule: str) -> BadInputError:
    return BadInputError(
        "spiffe_id_bad", f"{text[:80]!r} is no SPIFFE ID: {rule}.", "Example: spiffe://example.org/agent/coder"
    )
