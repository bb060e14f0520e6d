"""Outside sources that an admin trusts: token issuers, certificate authorities, directories."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Sequence
from dataclasses import replace

from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, JitError, NotFoundError
from jittrust.core.identity.attest import EvidenceKind, TrustedIssuer
from jittrust.core.identity.directory import DirectoryToken
from jittrust.core.identity.paths import read_roots
from jittrust.core.strict_json import parse_object
from jittrust.core.units import Instant
from jittrust.ports.commit import Drop, Keep, RecordBody, Write

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_URL = re.compile(r"https://[A-Za-z0-9.\-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%/-]*)?\Z")
_AUDIENCE_MOST = 512
_DOCUMENT_MOST = 256 * 1024
_TOKEN_BYTES = 32


class SourceBook:
    """Says whose word counts."""

    def __init__(self, state: State, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._parts = parts

    def by_issuer(self, kind: EvidenceKind, issuer: str) -> TrustedIssuer | None:
        """The trusted issuer of this kind whose tokens say exactly this `iss`."""
        known = self._state.of_kind(TrustedIssuer).values()
        return next((one for one in known if one.kind is kind and one.issuer == issuer), None)

    def of_kind(self, kind: EvidenceKind) -> Sequence[TrustedIssuer]:
        """All trusted sources of one kind, by name."""
        return sorted((o for o in self._state.of_kind(TrustedIssuer).values() if o.kind is kind), key=lambda o: o.id)

    async def list(self) -> Sequence[TrustedIssuer]:
        """See `TrustedSources.list`."""
        return sorted(self._state.of_kind(TrustedIssuer).values(), key=lambda one: one.id)

    async def trust(self, issuer: TrustedIssuer, by: str) -> TrustedIssuer:
        """See `TrustedSources.trust`."""
        await self._state.refresh()
        _check(issuer)
        now = self._parts.clock()
        known = self._state.of_kind(TrustedIssuer).get(issuer.id)
        if issuer.issuer:
            same = self.by_issuer(issuer.kind, issuer.issuer)
            if same is not None and same.id != issuer.id:
                raise _bad(f"{same.id} is this issuer already")
        made = replace(
            issuer,
            revision=known.revision + 1 if known else 1,
            created=known.created if known else now,
            by=by,
        )
        await self._state.change([Keep(made)], [self._record(made, "source_trusted", now, by)])
        return made

    async def distrust(self, name: str, by: str) -> None:
        """See `TrustedSources.distrust`."""
        await self._state.refresh()
        known = self._state.of_kind(TrustedIssuer).get(name)
        if known is None:
            raise NotFoundError("issuer_unknown", f"There is no source {name[:80]}.", "jittrust identity trust")
        await self._state.change([Drop(known)], [self._record(known, "source_ended", self._parts.clock(), by)])

    async def directory_token(self, name: str, by: str) -> str:
        """See `TrustedSources.directory_token`."""
        if not _NAME.match(name):
            raise _bad("a name has a-z 0-9 . _ -, at most 64")
        await self._state.refresh()
        now = self._parts.clock()
        token = base64.urlsafe_b64encode(self._parts.random(_TOKEN_BYTES)).rstrip(b"=").decode("ascii")
        digest = hmac.digest(self._parts.hash_key, b"scim:" + token.encode("ascii"), "sha256").hex()
        made = DirectoryToken(digest, name, token[-4:], now, by)
        before = [one for one in self._state.of_kind(DirectoryToken).values() if one.name == name]
        writes: list[Write] = [*(Drop(one) for one in before), Keep(made)]
        record: RecordBody = {
            "kind": "identity",
            "at": milliseconds(now),
            "what": "directory_token_made",
            "name": name,
            "token": digest[:16],
            "last_four": made.last_four,
            "by": by,
        }
        await self._state.change(writes, [record])
        return token

    def _record(self, issuer: TrustedIssuer, what: str, now: Instant, by: str) -> RecordBody:
        return {
            "kind": "identity",
            "at": milliseconds(now),
            "what": what,
            "source": issuer.id,
            "evidence": issuer.kind,
            "issuer": issuer.issuer,
            "audience": issuer.audience,
            "document": bool(issuer.document),
            "by": by,
        }


def _check(issuer: TrustedIssuer) -> None:
    if not _NAME.match(issuer.id):
        raise _bad("a name has a-z 0-9 . _ -, at most 64")
    if len(issuer.document) > _DOCUMENT_MOST:
        raise _bad("the document is too large")
    if issuer.kind is EvidenceKind.X509:
        if issuer.issuer or issuer.audience or not issuer.document:
            raise _bad("a certificate authority needs its roots as PEM, and nothing else")
        try:
            read_roots(issuer.document)
        except JitError as error:
            raise _bad(error.message) from None
        return
    if issuer.kind not in (EvidenceKind.OIDC, EvidenceKind.KUBERNETES):
        raise _bad("only oidc, kubernetes and x509 are outside sources")
    if not _URL.match(issuer.issuer) or len(issuer.issuer) > _AUDIENCE_MOST:
        raise _bad("the issuer is an https:// address without query, as its tokens spell it")
    if not issuer.audience or len(issuer.audience) > _AUDIENCE_MOST or not issuer.audience.isprintable():
        raise _bad("say the audience its tokens must name: without it any token of that issuer would do")
    if issuer.document:
        try:
            keys = parse_object(issuer.document.encode("utf-8")).get("keys")
        except JitError as error:
            raise _bad(f"the document is no JSON: {error.message}") from None
        if not isinstance(keys, list) or not keys:
            raise _bad("the document is no JWK set with keys")


def _bad(why: str) -> BadInputError:
    return BadInputError(
        "issuer_bad", f"This source cannot be trusted so: {why}.", "See: jittrust identity trust --help"
    )
