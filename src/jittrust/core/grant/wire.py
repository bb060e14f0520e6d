"""Names on the wire of a grant's access token and of its proofs. A new draft of one of them is a change of this file only.

Registered names: RFC 7519 §4.1, RFC 8693 §4, RFC 8705 §3.1, RFC 9068 §2.2, RFC 9396 §2, RFC 9449 §4.2 and §6.1. Drafts: `content_digest` of
the MCP DPoP profile, `sub_profile` of the actor profile, `status` of Token Status List. Ours, collision free within our own tokens:
`grant_id`, `mission`, `intent`, `intent_code`, `role`, `uses`, `authorization_details_at`.
"""

from __future__ import annotations

from jittrust.core.authority.map import AuthorityMap
from jittrust.core.model import Json

ACCESS_TOKEN_TYP = "at+jwt"
PROOF_TYP = "dpop+jwt"

# RFC 9864 gives Ed25519 this fully specified name and deprecates `EdDSA`, which does not say on which curve.
ED25519 = "Ed25519"
EDDSA = "EdDSA"
ES256 = "ES256"
PROOF_ALGORITHMS = (ES256, ED25519, EDDSA)
"""For `dpop_signing_alg_values_supported`. `EdDSA` is taken because stock clients still send it, on curve Ed25519 only."""

GRANT = "grant_id"
MISSION = "mission"
CONFIRMATION = "cnf"
THUMBPRINT = "jkt"
CERTIFICATE = "x5t#S256"
ACTOR = "act"
MAY_ACT = "may_act"
SUB_PROFILE = "sub_profile"
AI_AGENT = "ai_agent"
INTENT = "intent"
INTENT_CODE = "intent_code"
ROLE = "role"
USES = "uses"
STATUS = "status"
STATUS_LIST = "status_list"
DETAILS_AT = "authorization_details_at"
AUTHORIZATION_DETAILS = "authorization_details"
AUTHORIZATION_TYPE = "urn:jittrust:mcp-call"
"""RFC 9396 type of one entry of an authority map."""
CONTENT_DIGEST = "content_digest"

INVALID_TOKEN = "invalid_token"
INVALID_PROOF = "invalid_dpop_proof"
USE_NONCE = "use_dpop_nonce"


def authorization_details(authority: AuthorityMap) -> tuple[dict[str, Json], ...]:
    """What the approved entries of a map allow, as RFC 9396 objects for token responses, introspection and tokens."""
    return tuple(
        {
            "type": AUTHORIZATION_TYPE,
            "identifier": entry.tool,
            "actions": [entry.action],
            **({"resource": entry.resource} if entry.resource else {}),
            **({"constraints": entry.constraints} if entry.constraints else {}),
            **({} if entry.uses_left is None else {"uses": entry.uses_left}),
        }
        for entry in authority.approved
    )
