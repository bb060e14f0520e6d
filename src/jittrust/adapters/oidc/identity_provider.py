"""`ports.identity_provider`: login at one OpenID provider (OpenID Connect Core §3.1, Discovery §4; RFC 7636, RFC 9207, RFC 9700)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urlsplit

from jittrust.core.errors import BadInputError, JitError, RefusedError, UnavailableError
from jittrust.core.identity.attest import check_token
from jittrust.core.model import Json
from jittrust.core.secret import Secret
from jittrust.core.strict_json import parse_object
from jittrust.core.units import Instant
from jittrust.ports.identity_provider import LoginStart, PersonClaims

if TYPE_CHECKING:
    from aiohttp import ClientSession

MAX_ANSWER: Final = 256 * 1024
"""Largest answer of a provider that is read, in bytes."""
TIMEOUT_S: Final = 10.0
"""How long a provider may take for one answer."""
TOKEN_SECONDS: Final = 600
"""How old an ID token may be: it was made for this login."""
_SCOPE: Final = "openid email profile"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_TEXT: Final = 512


class OidcProvider:
    """Login at one OpenID provider. It is asked anew at each login: a key that it takes back serves no login after that."""

    def __init__(self, issuer: str, client: str, secret: Secret | None, clock: Callable[[], Instant]) -> None:
        self._issuer = issuer
        self._client = client
        self._secret = secret
        self._clock = clock

    async def begin(self, redirect_uri: str) -> LoginStart:
        async with _session() as session:
            told = await self._discovered(session)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._client,
            "redirect_uri": redirect_uri,
            "scope": _SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        place = self._endpoint(told, "authorization_endpoint")
        url = f"{place}{'&' if urlsplit(place).query else '?'}{urlencode(asked)}"
        return LoginStart(url, state, nonce, verifier, redirect_uri)

    async def finish(self, start: LoginStart, state: str, code: str, issuer: str) -> PersonClaims:
        if not hmac.compare_digest(start.state.encode(), state.encode("utf-8", "replace")):
            raise _failed("it was begun by another browser")
        if issuer and issuer != self._issuer:
            raise _failed("another provider answered")
        if not code or len(code) > _LONGEST_TEXT * 8:
            raise _failed("the provider gave no code")
        async with _session() as session:
            told = await self._discovered(session)
            if not issuer and told.get("authorization_response_iss_parameter_supported") is True:
                raise _failed("the answer does not say which provider gave it")
            token = await self._redeemed(session, self._endpoint(told, "token_endpoint"), start, code)
            jwks = await self._asked(session, "GET", self._endpoint(told, "jwks_uri"))
        now = self._clock()
        try:
            claims = check_token(token, jwks, self._issuer, self._client, now)
        except JitError as error:
            raise _failed(error.message) from None
        return self._person(claims, start.nonce, now)

    def _person(self, claims: Mapping[str, Json], nonce: str, now: Instant) -> PersonClaims:
        told, subject, issued = claims.get("nonce"), claims.get("sub"), claims.get("iat")
        if not isinstance(told, str) or not hmac.compare_digest(told.encode("utf-8", "replace"), nonce.encode()):
            raise _failed("the token was made for another login")
        if claims.get("azp", self._client) != self._client:
            raise _failed("the token was given to another client")
        if not isinstance(issued, int | float) or now - issued > TOKEN_SECONDS:
            raise _failed("the token is too old")
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_TEXT or not subject.isprintable():
            raise _failed("the token names nobody")
        email = _text(claims.get("email")) if claims.get("email_verified") is True else ""
        methods, authenticated = claims.get("amr"), claims.get("auth_time", issued)
        return PersonClaims(
            self._issuer,
            subject,
            email,
            _text(claims.get("name")),
            tuple(_text(one) for one in methods if _text(one))[:16] if isinstance(methods, list) else (),
            Instant(authenticated if isinstance(authenticated, int | float) else issued),
        )

    # ---- the provider's endpoints -------------------------------------------------------------------------------------------------------

    async def _discovered(self, session: ClientSession) -> Mapping[str, Json]:
        place = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        if not self._is_safe(place):
            raise _unreachable("its issuer is no https address")
        told = await self._asked(session, "GET", place)
        if told.get("issuer") != self._issuer:
            raise _unreachable("it names itself otherwise (Discovery §4.3)")
        methods = told.get("code_challenge_methods_supported")
        if isinstance(methods, list) and "S256" not in methods:
            raise _unreachable("it does not do PKCE with S256")
        return told

    def _endpoint(self, told: Mapping[str, Json], name: str) -> str:
        place = told.get(name)
        if not isinstance(place, str) or not self._is_safe(place):
            raise _unreachable(f"its {name} is no https address")
        return place

    def _is_safe(self, place: str) -> bool:
        """Whether nobody on the way can read or change it: https, or loopback for a provider that is on loopback itself."""
        try:
            there, here = urlsplit(place), urlsplit(self._issuer)
            hosts = {there.hostname, here.hostname}
        except ValueError:
            return False
        if there.fragment or there.username or not there.hostname:
            return False
        return there.scheme == "https" or (there.scheme == here.scheme == "http" and hosts <= _LOOPBACK)

    async def _redeemed(self, session: ClientSession, place: str, start: LoginStart, code: str) -> str:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": start.redirect_uri,
            "code_verifier": start.verifier,
        }
        headers: dict[str, str] = {}
        if self._secret is None:
            form["client_id"] = self._client
        else:
            # RFC 6749 §2.3.1: both halves are form-encoded before they are put together.
            pair = f"{quote(self._client, safe='')}:{quote(self._secret.reveal().decode(), safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        told = await self._asked(session, "POST", place, form, headers)
        token = told.get("id_token")
        if not isinstance(token, str):
            raise _failed("the provider gave no ID token")
        return token

    async def _asked(
        self,
        session: ClientSession,
        method: str,
        place: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, Json]:
        from aiohttp import ClientError, StreamReader

        async def bounded(stream: StreamReader) -> bytes:
            body = bytearray()
            async for piece in stream.iter_chunked(16384):
                body += piece
                if len(body) > MAX_ANSWER:
                    raise _unreachable("its answer is too large")
            return bytes(body)

        try:
            async with session.request(
                method,
                place,
                data=None if form is None else dict(form),
                headers={"Accept": "application/json", **(headers or {})},
                allow_redirects=False,
            ) as answer:
                body, status = await bounded(answer.content), answer.status
        except (ClientError, OSError, TimeoutError) as error:
            raise _unreachable(type(error).__name__) from None
        if form is not None and 400 <= status < 500:  # noqa: PLR2004 - the provider says no (RFC 6749 §5.2)
            raise _failed("the provider does not take the code")
        if status != 200:  # noqa: PLR2004 - a redirect is no answer either
            raise _unreachable(f"it answers with status {status}")
        try:
            return parse_object(body, max_bytes=MAX_ANSWER)
        except BadInputError as error:
            raise _unreachable(error.message) from None


def _session() -> ClientSession:
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar

    return ClientSession(timeout=ClientTimeout(total=TIMEOUT_S), cookie_jar=DummyCookieJar(), trust_env=False)


def _text(value: Json) -> str:
    return value if isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable() else ""


def _failed(why: str) -> RefusedError:
    return RefusedError("login_failed", f"The login is not taken: {why}.", "Sign in again.")


def _unreachable(why: str) -> UnavailableError:
    return UnavailableError("provider_unreachable", f"The OpenID provider cannot be used: {why}.", "Try again later.")
