"""Outside sources that an admin trusts: token issuers, certificate authorities, directories."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import replace

from jittrust.broker.identity.parts import IdentityParts
from jittrust.broker.record import milliseconds
from jittrust.broker.state import State
from jittrust.core.errors import BadInputError, JitError, NotFoundError
from jittrust.core.grant import jws
from jittrust.core.identity.attest import EvidenceKind, TrustedIssuer
from jittrust.core.identity.certificates import read_roots
from jittrust.core.identity.directory import DirectoryToken
from jittrust.core.strict_json import parse_object
from jittrust.core.units import Instant
from jittrust.ports.commit import Drop, Keep, RecordBody, Write

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_URL = re.compile(r"https://[A-Za-z0-9.\-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~%/-]*)?\Z")
ISSUERS_MOST = 100
"""Most trusted sources: a certificate is tried against each certificate authority among them."""
_AUDIENCE_MOST = 512
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_KEYS_MOST = 100
_DOCUMENT_MOST = 256 * 1024
_TOKEN_BYTES = 32


class SourceBook:
    """Says whose word counts."""

    def __init__(self, state: State, parts: IdentityParts) -> None:
        """Wire it up."""
        self._state = state
        self._parts = parts

    def of(self, kind: EvidenceKind, issuer: str) -> TrustedIssuer | None:
        """The trusted issuer of this kind whose tokens say exactly this `iss`."""
        known = self._state.of_kind(TrustedIssuer).values()
        return next((one for one in known if one.kind is kind and one.issuer == issuer), None)

    def all_of(self, kind: EvidenceKind) -> Sequence[TrustedIssuer]:
        """All trusted sources of one kind, by name."""
        return sorted((o for o in self._state.of_kind(TrustedIssuer).values() if o.kind is kind), key=lambda o: o.id)

    async def list(self) -> Sequence[TrustedIssuer]:
        """See `TrustedSources.list`."""
        await self._state.refresh()
        return sorted(self._state.of_kind(TrustedIssuer).values(), key=lambda one: one.id)

    async def trust(self, issuer: TrustedIssuer, by: str) -> TrustedIssuer:
        """See `TrustedSources.trust`."""
        await self._state.refresh()
        _check(issuer)
        now = self._parts.clock()
        known = self._state.of_kind(TrustedIssuer).get(issuer.id)
        if known is not None and known.kind is not issuer.kind:
            # The name is part of every selector: under another kind it would mean something else.
            raise _bad(f"{known.id} is the name of a source of another kind; end that first")
        if known is None and len(self._state.of_kind(TrustedIssuer)) >= ISSUERS_MOST:
            raise _bad(f"{ISSUERS_MOST} are trusted already")
        if issuer.issuer:
            same = self.of(issuer.kind, issuer.issuer)
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
        token = jws.encode(self._parts.random(_TOKEN_BYTES)).decode("ascii")
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
            roots = read_roots(issuer.document)
        except JitError as error:
            raise _bad(error.message) from None
        if not roots or not all(one.ca for one in roots):
            raise _bad("the document is certificates of certificate authorities, one at least")
        return
    if issuer.kind not in (EvidenceKind.OIDC, EvidenceKind.KUBERNETES):
        raise _bad("only oidc, kubernetes and x509 are outside sources")
    # Keys that are given as a document need no connection, so a cluster's issuer may be any name.
    free = issuer.kind is EvidenceKind.KUBERNETES and issuer.document and issuer.issuer.isprintable()
    if not issuer.issuer or not (free or _URL.match(issuer.issuer)) or len(issuer.issuer) > _AUDIENCE_MOST:
        raise _bad("the issuer is an https:// address without query, as its tokens spell it")
    if not issuer.audience or len(issuer.audience) > _AUDIENCE_MOST or not issuer.audience.isprintable():
        raise _bad("say the audience its tokens must name: without it any token of that issuer would do")
    if issuer.document:
        _check_keys(issuer.document)


def _check_keys(document: str) -> None:
    try:
        keys = parse_object(document.encode("utf-8", "surrogatepass")).get("keys")
    except JitError as error:
        raise _bad(f"the document is no JSON: {error.message}") from None
    if not isinstance(keys, list) or not 0 < len(keys) <= _KEYS_MOST:
        raise _bad(f"the document is no JWK set with 1 to {_KEYS_MOST} keys")
    for key in keys:
        if not isinstance(key, dict) or not isinstance(key.get("kid"), str) or not isinstance(key.get("kty"), str):
            raise _bad("each key of the JWK set has a kid and a kty")
        if not _PRIVATE.isdisjoint(key):
            raise _bad("the JWK set holds a private or shared key, which is now known here: replace it")


def _bad(why: str) -> BadInputError:
    return BadInputError(
        "issuer_bad", f"This source cannot be trusted so: {why}.", "See: jittrust identity trust --help"
    )
