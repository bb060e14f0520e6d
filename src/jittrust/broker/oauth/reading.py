"""Reads what a client sends when it asks a person for something: only what is exactly right goes on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlencode

from jittrust.broker.oauth.questions import check_calls
from jittrust.core.model import Json
from jittrust.core.oauth.authorize import (
    SentBackError,
    checked_challenge,
    checked_state,
    checked_thumbprint,
    own_words,
    plain_words,
    redirect_allowed,
    resource_server,
)
from jittrust.core.oauth.client import OAuthClient
from jittrust.core.oauth.details import mission_of, read_details
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.request import AuthorizationRequest, RequestKind, RequestState
from jittrust.core.oauth.server_metadata import AUTHORIZATION_CODE
from jittrust.core.units import Instant

EXPIRY_LEAST: Final = 30
MESSAGE_MOST: Final = 120
_DIGITS: Final = re.compile(r"[0-9]{1,9}\Z")


def read_browser(
    client: OAuthClient, agent: str, parameters: Mapping[str, str], issuer: str, name: str
) -> AuthorizationRequest:
    """A request on its way through a browser. Raises OAuthError for a page, and SentBackError for everything the client may be told."""
    redirect = parameters.get("redirect_uri", "")
    if not redirect_allowed(client.redirect_uris, redirect):
        raise OAuthError(
            "invalid_request",
            "redirect_uri_unknown",
            "This address is not one that the client has registered.",
            "Nothing was sent there.",
        )
    state = ""
    try:
        state = checked_state(parameters.get("state", ""))
        check_form(client, parameters)
        challenge = checked_challenge(parameters.get("code_challenge", ""), parameters.get("code_challenge_method", ""))
        made = read_asked(client, agent, RequestKind.CODE, parameters, issuer, name)
    except OAuthError as error:
        raise SentBackError(error, sent_to(redirect, state, issuer, error=error.error)) from None
    return replace(
        made,
        redirect_uri=redirect,
        oauth_state=state,
        challenge=challenge,
        nonce=plain_words(parameters.get("nonce", ""), 512)[0],
    )


def read_asked(
    client: OAuthClient, agent: str, kind: RequestKind, parameters: Mapping[str, str], issuer: str, name: str
) -> AuthorizationRequest:
    """What is asked for, however it comes."""
    details: tuple[Mapping[str, Json], ...] = ()
    if parameters.get("authorization_details"):
        details = read_details(parameters["authorization_details"])
        check_calls(details)
    asked = mission_of(details)
    return AuthorizationRequest(
        id=name,
        kind=kind,
        state=RequestState.PUSHED,
        client=client.id,
        agent=agent,
        made=Instant(0),
        expires=Instant(0),
        secret="",
        resource=resource_server(parameters.get("resource", ""), issuer),
        details=details,
        goal=own_words(asked.goal, len(asked.goal)) if asked else "",
        minutes=asked.minutes if asked else 0,
        gas=asked.gas if asked else 0,
        uses=asked.uses if asked else 0,
        lanes=asked.lanes if asked else 1,
        jkt=checked_thumbprint(parameters.get("dpop_jkt", "")),
    )


def sent_to(redirect: str, state: str, issuer: str, **told: str) -> str:
    """A redirect URI with an answer: `state` as it came, and who answers (RFC 9207)."""
    answer = {**told, **({"state": state} if state else {}), "iss": issuer}
    return f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(answer)}"


def read_expiry(said: str, most: int) -> int:
    """For how many seconds a back-channel question waits (CIBA Core §7.1). Raises OAuthError: `invalid_request`."""
    if not said:
        return most
    if _DIGITS.match(said) is None:
        raise OAuthError("invalid_request", "requested_expiry_bad", "requested_expiry is a number of seconds.")
    return max(min(EXPIRY_LEAST, most), min(int(said), most))


def check_form(client: OAuthClient, parameters: Mapping[str, str]) -> None:
    """Refuse what the client may be told of."""
    if client.grant_types and AUTHORIZATION_CODE not in client.grant_types:
        raise OAuthError("unauthorized_client", "code_not_allowed", "This client does not use codes.")
    if parameters.get("response_type", "") != "code":
        raise OAuthError("unsupported_response_type", "response_type_bad", "response_type is code, always.")
    if parameters.get("response_mode", "query") != "query":
        raise OAuthError("invalid_request", "response_mode_bad", "response_mode is query, always.")
    if "request" in parameters:
        raise OAuthError("invalid_request", "request_object", "Signed request objects are not taken here.")


def read_message(said: str) -> str:
    """A binding message as it is shown on both sides. Raises OAuthError: `invalid_binding_message`."""
    if len(said) > MESSAGE_MOST or not said.isprintable() or plain_words(said, MESSAGE_MOST)[1]:
        raise OAuthError(
            "invalid_binding_message",
            "binding_message_bad",
            f"A binding message has {MESSAGE_MOST} plain characters at most, on one line.",
        )
    return said
