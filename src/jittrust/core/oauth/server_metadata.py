"""What the authorization server says about itself (RFC 8414), and what each MCP server behind it says about who lets callers in (RFC 9728)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from jittrust.core.grant import wire
from jittrust.core.identity.public_keys import TOKEN_ALGORITHMS
from jittrust.core.model import Json
from jittrust.core.oauth.client import ClientMethod
from jittrust.core.oauth.id_jag import ID_JAG_TYPE

AUTHORIZATION_CODE: Final = "authorization_code"
CLIENT_CREDENTIALS: Final = "client_credentials"
REFRESH_TOKEN: Final = "refresh_token"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
CIBA: Final = "urn:openid:params:grant-type:ciba"
GRANT_TYPES: Final = (AUTHORIZATION_CODE, CLIENT_CREDENTIALS, REFRESH_TOKEN, JWT_BEARER, TOKEN_EXCHANGE, CIBA)

ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"
JWT_TYPE: Final = "urn:ietf:params:oauth:token-type:jwt"
NARROWING_TYPE: Final = "urn:jittrust:token-type:biscuit"

DETAILS_TYPES: Final = (wire.AUTHORIZATION_TYPE, "urn:jittrust:mission")

TOKEN_PATH: Final = "/oauth/token"
PUSH_PATH: Final = "/oauth/par"
BACKCHANNEL_PATH: Final = "/oauth/bc-authorize"
ACTOR_PATH: Final = "/oauth/actor"
"""Below the issuer: audience of a JWT-SVID that an agent gives another one as `actor_token`. It authenticates nobody here, and is no address."""
REGISTER_PATH: Final = "/oauth/register"
AUTHORIZE_PATH: Final = "/oauth/authorize"


def server_metadata(issuer: str, origin: str, *, registration: bool) -> dict[str, Json]:
    """The authorization server's metadata (RFC 8414 §2).

    Args:
        issuer: as it stands in `iss` of tokens, byte for byte; every endpoint for programs is below it.
        origin: where people answer: passkeys are bound to its name.
        registration: whether anybody may register a client (RFC 7591).
    """
    algorithms: list[Json] = [*sorted(TOKEN_ALGORITHMS)]
    methods: list[Json] = [str(method) for method in ClientMethod]
    told: dict[str, Json] = {
        "issuer": issuer,
        "authorization_endpoint": origin + AUTHORIZE_PATH,
        "token_endpoint": issuer + TOKEN_PATH,
        "jwks_uri": f"{issuer}/oauth/jwks",
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "pushed_authorization_request_endpoint": issuer + PUSH_PATH,
        "require_pushed_authorization_requests": False,
        "backchannel_authentication_endpoint": issuer + BACKCHANNEL_PATH,
        "backchannel_token_delivery_modes_supported": ["poll"],
        "backchannel_user_code_parameter_supported": False,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [*GRANT_TYPES],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_signing_alg_values_supported": [wire.ED25519],
        "dpop_signing_alg_values_supported": [*wire.PROOF_ALGORITHMS],
        "tls_client_certificate_bound_access_tokens": True,
        "authorization_details_types_supported": [*DETAILS_TYPES],
        "client_id_metadata_document_supported": True,
        "authorization_grant_profiles_supported": [ID_JAG_TYPE],
    }
    if registration:
        told["registration_endpoint"] = issuer + REGISTER_PATH
    return told


def resource_metadata(issuer: str, server: str) -> dict[str, Json]:
    """The metadata of one MCP server behind the broker, or with an empty name of all of them together (RFC 9728 §2)."""
    return {
        "resource": resource_of(issuer, server),
        "resource_name": f"{server} behind jittrust" if server else "jittrust",
        "authorization_servers": [issuer],
        "jwks_uri": f"{issuer}/oauth/jwks",
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": [*wire.PROOF_ALGORITHMS],
        "dpop_bound_access_tokens_required": False,
        "tls_client_certificate_bound_access_tokens": True,
        "authorization_details_types_supported": [*DETAILS_TYPES],
    }


def resource_of(issuer: str, server: str) -> str:
    """URL of an MCP server behind the broker; of the broker itself for an empty name."""
    return f"{issuer}/mcp/{server}" if server else issuer


def well_known(issuer_path: str, name: str, path: str = "") -> str:
    """Path of a well-known document: the name goes before the issuer's or the resource's own path (RFC 8414 §3.1, RFC 9728 §3.1)."""
    return f"/.well-known/{name}{issuer_path.rstrip('/')}{path}"


def path_of(url: str) -> str:
    """Path of an issuer's URL, empty for none."""
    return "/" + path if (path := url.partition("://")[2].partition("/")[2]) else ""


def servers_known(issuer: str, servers: Sequence[str]) -> frozenset[str]:
    """Every resource there is, as it is written in metadata."""
    return frozenset({issuer, *(resource_of(issuer, server) for server in servers)})
