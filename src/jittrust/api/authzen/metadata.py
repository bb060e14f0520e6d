"""`/.well-known/authzen-configuration`: what this decision point offers and where (AuthZEN 1.0 §9). Public: it holds no secret."""

from __future__ import annotations

from typing import Final

from jittrust.api.authzen import access_request, obligations
from jittrust.core.model import Json

PATH: Final = "/.well-known/authzen-configuration"
EVALUATION: Final = "/access/v1/evaluation"
EVALUATIONS: Final = "/access/v1/evaluations"
SEARCH: Final = "/access/v1/search"
OUTCOME: Final = "/access/v1/outcome"
MCP: Final = "/access/v1/mcp"


def configuration(issuer: str) -> dict[str, Json]:
    """The metadata document of the decision point with this base URL."""
    return {
        "policy_decision_point": issuer,
        "access_evaluation_endpoint": issuer + EVALUATION,
        "access_evaluations_endpoint": issuer + EVALUATIONS,
        "search_subject_endpoint": f"{issuer}{SEARCH}/subject",
        "search_resource_endpoint": f"{issuer}{SEARCH}/resource",
        "search_action_endpoint": f"{issuer}{SEARCH}/action",
        "access_request_endpoint": issuer + access_request.PATH,
        "capabilities": [access_request.CAPABILITY],
        # The draft's member has had both names.
        "supported_obligations": list(obligations.SUPPORTED),
        "obligations_supported": list(obligations.SUPPORTED),
        "jittrust_outcome_endpoint": issuer + OUTCOME,
        "jittrust_mcp_endpoint": issuer + MCP,
    }
