"""Who is calling: access token, key proof, pass (RFC 9449 §7), or a bearer token of a grant whose passes the gateway keeps (RFC 6750)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import ssl
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from jittrust.core.errors import JitError, RefusedError
from jittrust.core.grant import wire
from jittrust.core.grant.claims import InvalidTokenError, TokenRules
from jittrust.core.grant.grant import Shown
from jittrust.core.grant.present import (
    InvalidProofError,
    PresentationRules,
    PresentedRequest,
    VerifiedBefore,
    check_bearer,
    check_bound,
    check_presentation,
    token_of,
    www_authenticate,
)
from jittrust.core.units import Instant, Seconds
from jittrust.pep.asgi import Scope
from jittrust.ports.attenuation import Attenuation

_REMEMBERED = 4096
# A name as servers have it: nothing of a path comes back in a header but this.
_RESOURCE = re.compile(r"/mcp/[A-Za-z0-9._-]{1,64}")
# The longest grant, an hour; `iat` and `exp` are whole seconds, rounded outwards.
_LONGEST = Seconds(3602)
K = TypeVar("K")
V = TypeVar("V")


class _Bounded(dict[K, V]):
    """A dict that drops its oldest entry when it grows past its bound."""

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > _REMEMBERED:
            del self[next(iter(self))]


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where tokens come from: the issuer's name, its public Ed25519 keys by `kid`, and the time.

    `attenuation` reads tokens that their holders narrowed; None = none are taken.
    """

    issuer: str
    keys: Mapping[str, bytes]
    clock: Callable[[], Instant]
    attenuation: Attenuation | None = None

    def audiences(self, servers: Iterable[str]) -> tuple[str, ...]:
        """What `aud` may say for these servers: each one's own name, and the broker's for a grant that goes with every server."""
        return (*(f"{self.issuer}/mcp/{server}" for server in servers), self.issuer)


class PresentationCheck:
    """Checks what a caller shows. It decides nothing about the pass: that needs the lane, which the broker has."""

    def __init__(self, source: TokenSource, base_url: str) -> None:
        """`base_url`: the address under which this server is known, without a path. It comes from the configuration, never from `Host`."""
        self._source = source
        self._base = base_url.rstrip("/")
        tokens: MutableMapping[bytes, object] = _Bounded()
        self._before = VerifiedBefore(tokens, _Bounded())  # type: ignore[arg-type]

    def check(self, scope: Scope, servers: Iterable[str], body: bytes | None) -> Shown:
        """What the caller of this request shows.

        Args:
            scope: the request.
            servers: which servers a token must be for, one of them.
            body: the raw body; None while it has not been read.

        Raises:
            InvalidTokenError, InvalidProofError: see `core.grant.present`.
        """
        headers = scope["headers"]
        path = scope.get("raw_path") or scope["path"].encode("utf-8")
        request = PresentedRequest(
            method=scope["method"],
            url=self._base + path.partition(b"?")[0].decode("latin-1"),
            authorization=[
                value.strip(b" \t").decode("latin-1") for name, value in headers if name == b"authorization"
            ],
            proofs=[value.strip(b" \t").decode("latin-1") for name, value in headers if name == b"dpop"],
            body=body,
        )
        now = self._source.clock()
        if self._source.attenuation is not None and _narrowable(request.authorization):
            return self._narrowed(self._source.attenuation, request, servers, now)
        scheme = request.authorization[0].partition(" ")[0].lower() if len(request.authorization) == 1 else ""
        checked = check_bearer if scheme == "bearer" else check_presentation
        refused: InvalidTokenError | None = None
        for audience in self._source.audiences(servers):
            rules = PresentationRules(TokenRules(self._source.issuer, audience, longest=_LONGEST))
            try:
                found = checked(request, self._source.keys, rules, now, self._before)
                return self._with_certificate(found, request, scope) if checked is check_bearer else found
            except InvalidTokenError as error:
                refused = error
                if error.detail != "wrong_audience":
                    break
        raise refused or InvalidTokenError("wrong_audience", "the token is for another resource")

    def _with_certificate(self, shown: Shown, request: PresentedRequest, scope: Scope) -> Shown:
        """A bearer token that is bound to a certificate is good on that certificate's connections only (RFC 8705 §3)."""
        claims = self._before.tokens.get(token_of(request.authorization, "bearer"))
        if claims is None:
            raise InvalidTokenError("bad_claims", "the token was not read")
        if not claims.x5t:
            return shown
        if not hmac.compare_digest(_certificate(scope).encode(), claims.x5t.encode()):
            raise InvalidTokenError("wrong_certificate", "the token is bound to another client certificate")
        return replace(shown, x5t=claims.x5t)

    def _narrowed(
        self, attenuation: Attenuation, request: PresentedRequest, servers: Iterable[str], now: Instant
    ) -> Shown:
        """A token of the other spelling: its holder may have added conditions, which the broker looks at with every call."""
        token = token_of(request.authorization)
        try:
            said = attenuation.read(token.decode("ascii"))
        except RefusedError as error:
            raise InvalidTokenError("bad_narrowed", error.message) from None
        if now >= said.expires:
            raise InvalidTokenError("expired", "the token has expired")
        if said.audience not in self._source.audiences(servers):
            raise InvalidTokenError("wrong_audience", "the token is for another resource")
        rules = PresentationRules(TokenRules(self._source.issuer, said.audience))
        shown = check_bound(request, token, said.grant, said.jkt, rules, now, self._before)
        return replace(shown, narrowing=token.decode("ascii"))

    def check_early(self, scope: Scope, servers: Iterable[str]) -> Shown | None:
        """`check` before the body is read, so that strangers cannot make us read one; None when the proof speaks of the body.

        Raises:
            InvalidTokenError, InvalidProofError: as `check`.
        """
        try:
            return self.check(scope, servers, None)
        except InvalidProofError as error:
            if error.detail == "wrong_body":
                return None
            raise


def _narrowable(authorization: Sequence[str]) -> bool:
    """Whether this is a token of the kind that may be narrowed: it has no dots, as every JWT has."""
    if len(authorization) != 1:
        return False
    scheme, _, token = authorization[0].partition(" ")
    return scheme.lower() == "dpop" and token.isascii() and "." not in token and token != ""


def _certificate(scope: Scope) -> str:
    """Thumbprint of the client certificate of the connection (`x5t#S256`); empty without one that can be read."""
    tls = (scope.get("extensions") or {}).get("tls") or {}
    chain = tuple(tls.get("client_cert_chain") or ())
    try:
        der = ssl.PEM_cert_to_DER_cert(chain[0])
    except (ValueError, TypeError, IndexError):
        return ""
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode("ascii")


def challenges(error: JitError | None = None, metadata: str = "") -> list[tuple[bytes, bytes]]:
    """The WWW-Authenticate headers of a 401; `error` None or a missing token: which schemes are taken (RFC 9110 §11.6.1).

    `metadata` is the address at which the resource says who gives grants for it (RFC 9728 §5.1); empty where it says that nowhere. No `scope` is
    named: what may be done is asked for in `authorization_details` (RFC 9396).
    """
    name = b"www-authenticate"
    if isinstance(error, InvalidProofError):
        return [(name, www_authenticate(wire.INVALID_PROOF, metadata).encode("ascii"))]
    missing = error is None or (isinstance(error, InvalidTokenError) and error.detail == "no_token")
    code = "" if missing else wire.INVALID_TOKEN
    fields = [f'error="{code}"'] if code else []
    fields += [f'resource_metadata="{metadata}"'] if metadata else []
    bearer = " ".join(("Bearer", ", ".join(fields))).rstrip()
    return [(name, www_authenticate(code, metadata).encode("ascii")), (name, bearer.encode("ascii"))]


def challenge_for_pass(metadata: str = "") -> tuple[bytes, bytes]:
    """The WWW-Authenticate header that asks for the newest pass (RFC 9449 §9)."""
    return (b"www-authenticate", www_authenticate(wire.USE_NONCE, metadata).encode("ascii"))


def metadata_address(base_url: str, path: str) -> str:
    """Where the resource at `path` says who gives grants for it (RFC 9728 §3.1): for an MCP server its own document, else the broker's."""
    own = path if _RESOURCE.fullmatch(path) else ""
    return f"{base_url.rstrip('/')}/.well-known/oauth-protected-resource{own}"
