"""Evidence of what somebody is, and whose word is taken for it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.x509.oid import NameOID

from jittrust.core.errors import BadInputError, RefusedError
from jittrust.core.grant import jws
from jittrust.core.identity.certificates import (
    ANY_USAGE,
    CLIENT_AUTH,
    MAX_CHAIN,
    UNREADABLE,
    ParsedCertificate,
    find_path,
    read_certificate,
    read_roots,
)
from jittrust.core.identity.entry import MAX_SELECTOR
from jittrust.core.identity.public_keys import (
    ED25519_ALGORITHMS,
    TOKEN_ALGORITHMS,
    PublicKey,
    from_jwk,
    jws_holds,
    read_key,
    signature_holds,
)
from jittrust.core.identity.spiffe_id import SpiffeId
from jittrust.core.identity.svid import audiences_of, check_times, read_jws
from jittrust.core.model import Json
from jittrust.core.units import Instant


class EvidenceKind(StrEnum):
    """How somebody proves what they are."""

    JOIN_TOKEN = "join_token"
    OIDC = "oidc"  # a token of a trusted OpenID issuer, such as a CI job's
    KUBERNETES = "kubernetes"  # a projected service-account token
    X509 = "x509"  # proof of possession of a certificate of a trusted CA
    SVID = (
        "svid"  # an X.509-SVID of this domain (renewal) or of a federated one, with proof of possession, or a JWT-SVID
    )


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An outside source whose word an admin takes as evidence.

    Attributes:
        id: name, `[a-z0-9][a-z0-9._-]{0,63}`.
        kind: OIDC, KUBERNETES or X509.
        issuer: exact `iss` of its tokens (https URL; Kubernetes clusters may use any URL); empty for X509.
        audience: exact audience that its tokens must name; empty for X509.
        document: its JWK set as JSON, or its root certificates as PEM; empty = its keys are fetched by OIDC discovery.
        revision: 1 when first stored, one more with each change.
    """

    id: str
    kind: EvidenceKind
    issuer: str = ""
    audience: str = ""
    document: str = ""
    revision: int = 1
    created: Instant = Instant(0)
    by: str = ""


_STATEMENT = b"jittrust proof of possession 1\x00"
MAX_TOKEN = 32 * 1024
MAX_LIFE_SECONDS = 24 * 3600.0
MAX_TOKEN_AUDIENCES = 8
MAX_SELECTORS = 1000
_MAX_KEYS = 100
_MAX_DEPTH = 4
# `x5t` only names a certificate and is ignored; what carries or fetches a key, or changes how the text is read, is refused (RFC 8725 §3.10).
_REFUSED_HEADERS = frozenset(("b64", "crit", "cty", "enc", "epk", "iv", "jku", "jwk", "tag", "x5c", "x5u", "zip"))
_TOKEN_TYPES = ("jwt", "at+jwt", "application/at+jwt")
_KEY_KINDS = {"RS": "RSA", "PS": "RSA", "ES": "EC"}
# They say when and for whom, and are another with each token: nobody can be recognised by them.
_PASSING = frozenset(("iss", "aud", "exp", "iat", "nbf", "jti", "nonce", "auth_time", "at_hash", "c_hash", "sid"))
_K8S_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")


def statement(challenge: str, request: bytes) -> bytes:
    """What a proof of possession signs: the challenge, and the certificate request that it is for (empty = none), so that neither can be swapped."""
    return _STATEMENT + challenge.encode("utf-8", "surrogatepass") + b"\x00" + hashlib.sha256(request).digest()


def holds(spki: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over `message` is that of a key (SubjectPublicKeyInfo, DER); False for a key that is not taken.

    ECDSA: DER, with SHA-256 on P-256, SHA-384 on P-384, SHA-512 on P-521. RSA: PSS with SHA-256, MGF1-SHA-256 and 32 bytes of salt. Ed25519: raw.
    """
    try:
        return signature_holds(read_key(spki), message, signature)
    except BadInputError:
        return False


def check_token(token: str, jwks: Mapping[str, Json], issuer: str, audience: str, now: Instant) -> Mapping[str, Json]:
    """The claims of a JWT of an outside issuer, if it holds (RFC 7519, RFC 8725; OpenID Connect Core §3.1.3.7).

    Args:
        token: compact JWS, at most 32 KiB; its `kid` must choose exactly one key of the right kind.
        jwks: the issuer's JWK set.
        issuer: exact `iss`.
        audience: exact text that `aud` (at most 8) must name; with several, an `azp` must be that text too.
        now: `exp` lies after it, without leeway and at most 24 h ahead; `iat` and `nbf` may lie 60 s ahead. `iat` and `exp` are required.

    Raises:
        RefusedError: code `token_refused`.
    """
    try:
        header, payload, signature, signed = read_jws(token, MAX_TOKEN)
        algorithm = _check_header(header)
        key = _chosen(jwks, header.get("kid"), algorithm)
        if not jws_holds(key, algorithm, signed, signature):
            raise _refused("its signature does not hold")
        claims = jws.json_object(payload, "jws_claims")
        if not issuer or claims.get("iss") != issuer:
            raise _refused("it is of another issuer")
        audiences = audiences_of(claims, audience, MAX_TOKEN_AUDIENCES)
        if len(audiences) > 1 and claims.get("azp", audience) != audience:
            raise _refused("it was given to somebody else")
        expires, issued = check_times(claims, now)
        if issued is None or expires - issued > MAX_LIFE_SECONDS or expires - now > MAX_LIFE_SECONDS:
            raise _refused("it lives for more than a day, or does not say since when")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise _refused("it has no subject")
    except BadInputError as error:
        raise _refused(error.message) from None
    return claims


def _check_header(header: Mapping[str, Json]) -> str:
    if not _REFUSED_HEADERS.isdisjoint(header):
        raise _refused("its header carries a key or cannot be read one way")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TOKEN_TYPES:
        raise _refused("it is another kind of token")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in TOKEN_ALGORITHMS:
        raise _refused("its algorithm is not taken")
    return algorithm


def _chosen(jwks: Mapping[str, Json], kid: Json, algorithm: str) -> PublicKey:
    listed = jwks.get("keys")
    if not isinstance(kid, str) or not kid or not isinstance(listed, list) or len(listed) > _MAX_KEYS:
        raise _refused("it does not say which key signed it")
    fitting = [
        one
        for one in listed
        if isinstance(one, dict)
        and one.get("kid") == kid
        and one.get("kty") == _KEY_KINDS.get(algorithm[:2], "OKP")
        and one.get("use", "sig") == "sig"
        and _same_algorithm(one.get("alg"), algorithm)
        and _verifies(one.get("key_ops"))
    ]
    if len(fitting) != 1:
        raise _refused("its issuer has no such key, or more than one")
    return from_jwk(fitting[0])


def _same_algorithm(named: Json, algorithm: str) -> bool:
    return named is None or named == algorithm or (isinstance(named, str) and {named, algorithm} == ED25519_ALGORITHMS)


def _verifies(operations: Json) -> bool:
    return operations is None or (isinstance(operations, list) and "verify" in operations)


def oidc_selectors(issuer_name: str, claims: Mapping[str, Json]) -> tuple[str, ...]:
    """`oidc:NAME:CLAIM:VALUE` for each claim that says something lasting, such as `oidc:github:repository:org/repo`.

    Texts, whole numbers and `true`/`false` count; a list gives one selector per element, an object's members are named `claim.member`. In names
    `%`, `:` and `.` are written as `%25`, `%3A` and `%2E`, so that a name never reads as part of a value. What no selector can hold is left out.

    Raises:
        RefusedError: code `token_refused`: more than 1000 of them.
    """
    found: list[str] = []
    for name, value in claims.items():
        if name not in _PASSING:
            found.extend(_flat(f"oidc:{issuer_name}", _escaped(name), value, _MAX_DEPTH))
    return _kept(found)


def _flat(prefix: str, name: str, value: Json, depth: int) -> Iterator[str]:
    if isinstance(value, bool):
        yield f"{prefix}:{name}:{str(value).lower()}"
    elif isinstance(value, str | int):
        yield f"{prefix}:{name}:{value}"
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, str | int):
                yield from _flat(prefix, name, one, 0)
    elif isinstance(value, dict) and depth > 0:
        for member, inner in value.items():
            yield from _flat(prefix, f"{name}.{_escaped(member)}", inner, depth - 1)


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace(":", "%3A").replace(".", "%2E")


def kubernetes_selectors(issuer_name: str, claims: Mapping[str, Json]) -> tuple[str, ...]:
    """`k8s:NAME:ns:`, `sa:`, `sa-uid:`, `pod-name:`, `pod-uid:`, `node-name:` of a projected service-account token.

    Raises:
        RefusedError: code `token_refused`: no `kubernetes.io` claim, or one that its `sub` contradicts.
    """
    told = claims.get("kubernetes.io")
    if not isinstance(told, dict):
        raise _refused("it is no Kubernetes service account's")
    account, namespace = _member(told, "serviceaccount", "name"), told.get("namespace")
    if not _is_name(account) or not _is_name(namespace):
        raise _refused("it names no Kubernetes service account")
    if claims.get("sub") != f"system:serviceaccount:{namespace}:{account}":
        raise _refused("its subject is another than its service account")
    facts = {
        "ns": namespace,
        "sa": account,
        "sa-uid": _member(told, "serviceaccount", "uid"),
        "pod-name": _member(told, "pod", "name"),
        "pod-uid": _member(told, "pod", "uid"),
        "node-name": _member(told, "node", "name"),
    }
    return _kept([f"k8s:{issuer_name}:{name}:{value}" for name, value in facts.items() if _is_name(value)])


def _member(told: Mapping[str, Json], name: str, inner: str) -> Json:
    value = told.get(name)
    return value.get(inner) if isinstance(value, dict) else None


def _is_name(value: Json) -> bool:
    return isinstance(value, str) and _K8S_NAME.match(value) is not None


def check_certificate(chain: Sequence[bytes], roots_pem: str, now: Instant) -> bytes:
    """The leaf's SubjectPublicKeyInfo (DER), if the chain ends in one of the roots; its holder has still to prove that it has the key.

    The leaf is no CA, may sign (`digitalSignature`, if it has a key usage) and may be a client's (`clientAuth`, if it has an extended one).

    Raises:
        RefusedError: code `certificate_refused`.
    """
    return _certificate_path(chain, roots_pem, now)[0].spki


def _certificate_path(chain: Sequence[bytes], roots_pem: str, now: Instant) -> tuple[ParsedCertificate, ...]:
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise _refused_certificate(f"a chain has 1 to {MAX_CHAIN} certificates")
    try:
        path = find_path([read_certificate(der) for der in chain], read_roots(roots_pem), now, usage_needed=False)
    except BadInputError as error:
        raise _refused_certificate(error.message) from None
    leaf = path[0]
    if leaf.ca or (leaf.usage is not None and (not leaf.usage.digital_signature or leaf.usage.key_cert_sign)):
        raise _refused_certificate("the leaf may not sign, or is a certificate authority's")
    for one in path:
        if one.purposes is not None and not one.purposes & {CLIENT_AUTH, ANY_USAGE}:
            raise _refused_certificate("it is not for clients")
    return path


def x509_selectors(issuer_name: str, chain_der: Sequence[bytes]) -> tuple[str, ...]:
    """Facts of a chain that `check_certificate` took.

    `x509pop:NAME:subject:cn:` (if there is exactly one), `serial:` (lower case hex), `fingerprint:` (SHA-256 of the leaf), `san:dns:`,
    `san:uri:`, and `ca:fingerprint:` (SHA-256) of each certificate sent after the leaf.

    Raises:
        RefusedError: code `certificate_refused`.
    """
    try:
        leaf = read_certificate(chain_der[0])
        names = [one.value for one in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except (IndexError, *UNREADABLE):
        raise _refused_certificate("it cannot be read") from None
    except BadInputError as error:
        raise _refused_certificate(error.message) from None
    facts = [f"subject:cn:{name}" for name in names if len(names) == 1 and isinstance(name, str)]
    facts.append(f"serial:{leaf.serial:x}")
    facts.append(f"fingerprint:{hashlib.sha256(leaf.der).hexdigest()}")
    facts.extend(f"san:dns:{name.value}" for name in leaf.names if isinstance(name, x509.DNSName))
    facts.extend(f"san:uri:{uri}" for uri in leaf.uris)
    facts.extend(f"ca:fingerprint:{hashlib.sha256(der).hexdigest()}" for der in chain_der[1:])
    return _kept([f"x509pop:{issuer_name}:{fact}" for fact in facts])


def svid_selectors(spiffe_id: SpiffeId) -> tuple[str, ...]:
    """`svid:id:` with the SPIFFE ID and `svid:trust-domain:` with the name of its trust domain."""
    return (f"svid:id:{spiffe_id}", f"svid:trust-domain:{spiffe_id.trust_domain}")


def _kept(found: Collection[str]) -> tuple[str, ...]:
    if len(found) > MAX_SELECTORS:
        raise _refused(f"it says more than {MAX_SELECTORS} things")
    return tuple(sorted({one for one in found if len(one) <= MAX_SELECTOR and one.isprintable() and one[-1] != ":"}))


def _refused(why: str) -> RefusedError:
    return RefusedError("token_refused", f"The token is not taken: {why}")


def _refused_certificate(why: str) -> RefusedError:
    return RefusedError("certificate_refused", f"The certificate is not taken: {why}")
