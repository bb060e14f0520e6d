"""Who gives grants for an MCP server: what its 401 names, and what may be believed of it (RFC 9728, RFC 8414). Pure.

Names are compared byte for byte, nothing is normalised, and nothing leads out of TLS: on a server that is reached over https every address is
https; plain http is for this very machine.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from jittrust.core.errors import RefusedError
from jittrust.core.grant import wire
from jittrust.core.model import Json

_METADATA = re.compile(r'(?:^|[\s,])resource_metadata="([^"\\\s]{1,2048})"')
_PRM, _AS = "/.well-known/oauth-protected-resource", "/.well-known/oauth-authorization-server"
_MCP_PATH = re.compile(r"/mcp/[^/]+")


class UntrustedServerError(RefusedError):
    """What a server says of itself does not fit together, or would lead somewhere it must not."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """An authorization server, as its metadata says. Addresses that it does not have are empty."""

    issuer: str
    token: str
    authorize: str = ""
    push: str = ""
    backchannel: str = ""
    revoke: str = ""
    says_issuer: bool = False


def is_loopback(url: str) -> bool:
    """Whether an address is on this very machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(url: str, *, base: str = "") -> str:
    """`url`, if a secret may go there: https, or http on this machine; never less safe than `base`.

    Raises:
        UntrustedServerError: code `address_insecure` or `address_bad`.
    """
    try:
        parts = urlsplit(url)
        odd = parts.username is not None or not parts.hostname or parts.fragment or parts.port == 0
    except ValueError:
        raise UntrustedServerError("address_bad", "an address cannot be read") from None
    if odd or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise UntrustedServerError("address_bad", "an address has no host, or names a user or a fragment")
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url) and (not base or is_loopback(base))):
        return url
    raise UntrustedServerError(
        "address_insecure",
        f"{parts.scheme}://{parts.hostname} is not https",
        "Plain http is taken on this machine only.",
    )


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, as they are written in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def base_of(url: str) -> str:
    """The address under which a broker serves `…/mcp/NAME`; empty where `url` is none of those."""
    parts = urlsplit(url)
    return origin_of(url) if _MCP_PATH.fullmatch(parts.path) and not parts.query else ""


def metadata_url(url: str, challenges: Sequence[str]) -> str:
    """Where the metadata of the resource `url` lies: where its 401 says (RFC 9728 §5.1), else at its well-known place (§3.1).

    Raises:
        UntrustedServerError: code `metadata_elsewhere`: on another origin than the resource itself.
    """
    for challenge in challenges:
        found = _METADATA.search(challenge)
        if found is not None:
            named = check_address(found[1], base=url)
            if origin_of(named) != origin_of(url):
                raise UntrustedServerError(
                    "metadata_elsewhere", f"the server names metadata on another host, {origin_of(named)}"
                )
            return named
    return well_known(url, _PRM)


def well_known(url: str, name: str = _AS) -> str:
    """The well-known address of a resource or an issuer: its path goes behind the name (RFC 8414 §3.1)."""
    path = urlsplit(url).path
    return origin_of(url) + name + ("" if path == "/" else path)


def issuer_in(document: Mapping[str, Json], url: str) -> str:
    """The authorization server that the metadata of the resource `url` names; the first of several.

    Raises:
        UntrustedServerError: code `resource_mismatch` (it speaks of another resource), `issuer_missing`.
    """
    if document.get("resource") != url:
        raise UntrustedServerError(
            "resource_mismatch",
            f"the server's metadata speaks of {str(document.get('resource'))[:200]!r}, not of {url}",
            "Use the very address that it announces.",
        )
    issuers = document.get("authorization_servers")
    issuer = issuers[0] if isinstance(issuers, list) and issuers else None
    if not isinstance(issuer, str):
        raise UntrustedServerError("issuer_missing", "the server names nobody who gives grants for it")
    if urlsplit(issuer).query:
        raise UntrustedServerError("issuer_missing", "the issuer's name has a query")
    return check_address(issuer, base=url)


def facts_in(document: Mapping[str, Json], issuer: str) -> ServerFacts:
    """What the metadata of `issuer` says.

    Raises:
        UntrustedServerError: code `issuer_mismatch`, `endpoint_elsewhere` (where secrets would go is not on the issuer's own origin),
            `address_insecure`, `dpop_missing` or `metadata_incomplete`.
    """
    if document.get("issuer") != issuer:
        raise UntrustedServerError("issuer_mismatch", "the metadata is that of another issuer than the one asked")
    algorithms = document.get("dpop_signing_alg_values_supported")
    if not isinstance(algorithms, list) or wire.ES256 not in algorithms:
        raise UntrustedServerError("dpop_missing", "the server binds no tokens to keys (DPoP, ES256)")
    found: dict[str, str] = {}
    for name in (
        *("token_endpoint", "authorization_endpoint", "pushed_authorization_request_endpoint"),
        *("backchannel_authentication_endpoint", "revocation_endpoint"),
    ):
        value = document.get(name)
        if not isinstance(value, str):
            continue
        found[name] = check_address(value, base=issuer)
        # A person reads the address of the one page that is for people; everything else gets secrets without anybody looking.
        if name != "authorization_endpoint" and origin_of(value) != origin_of(issuer):
            raise UntrustedServerError("endpoint_elsewhere", f"its {name} is on another host, {origin_of(value)}")
    if "token_endpoint" not in found:
        raise UntrustedServerError("metadata_incomplete", "the server's metadata names no token endpoint")
    return ServerFacts(
        issuer,
        found["token_endpoint"],
        found.get("authorization_endpoint", ""),
        found.get("pushed_authorization_request_endpoint", ""),
        found.get("backchannel_authentication_endpoint", ""),
        found.get("revocation_endpoint", ""),
        document.get("authorization_response_iss_parameter_supported") is True,
    )
