"""Refusals of the authorization server: the registered OAuth word for programs, our own code for people."""

from __future__ import annotations

from jittrust.core.errors import JitError

OAUTH_ERRORS: dict[str, int] = {
    "invalid_request": 400,
    "invalid_client": 401,
    "invalid_grant": 400,
    "unauthorized_client": 400,
    "unsupported_grant_type": 400,
    "unsupported_response_type": 400,
    "unsupported_token_type": 400,
    "invalid_scope": 400,
    "invalid_target": 400,
    "invalid_authorization_details": 400,
    "invalid_dpop_proof": 400,
    "use_dpop_nonce": 400,
    "invalid_redirect_uri": 400,
    "invalid_client_metadata": 400,
    "access_denied": 400,
    "authorization_pending": 400,
    "slow_down": 400,
    "expired_token": 400,
    "unknown_user_id": 400,
    "invalid_binding_message": 400,
    "server_error": 500,
    "temporarily_unavailable": 503,
}
"""Registered error words (RFC 6749 §5.2, 7591 §3.2.2, 8693, 8707, 9396 §5, 9449 §5, CIBA §11 and §13) and their HTTP status."""


class OAuthError(JitError):
    """A refusal that an OAuth client reads.

    Attributes:
        error: the registered word, one of `OAUTH_ERRORS`.
    """

    def __init__(self, error: str, code: str, message: str, next_step: str = "") -> None:
        super().__init__(code, message, next_step)
        self.error = error
        self.http_status = OAUTH_ERRORS[error]
