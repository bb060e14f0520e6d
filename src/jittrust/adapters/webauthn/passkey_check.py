"""`ports.passkey_check`: checks passkeys for one web origin, with the `webauthn` package."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from jittrust.core.errors import BadInputError, RefusedError
from jittrust.core.identity.person import Passkey
from jittrust.core.model import Json
from jittrust.core.strict_json import parse_object

if TYPE_CHECKING:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

MAX_RESPONSE: Final = 32 * 1024
"""Largest response that is read, in bytes: without attestation a few kilobytes are plenty."""
MAX_CREDENTIAL: Final = 1023
"""Longest credential id, in bytes (WebAuthn Level 3 §4)."""
TIMEOUT_MS: Final = 300_000
_RP_NAME: Final = "jittrust"


class WebauthnCheck:
    """Checks passkeys for one web origin, as browsers send it in client data. The relying party id is its host."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._rp_id = urlsplit(origin).hostname or ""

    def options(self, challenge: bytes, person: str, display: str, known: tuple[str, ...]) -> str:
        from webauthn import generate_registration_options, options_to_json
        from webauthn.helpers import structs

        made = generate_registration_options(
            rp_id=self._rp_id,
            rp_name=_RP_NAME,
            user_id=_handle(person),
            user_name=display,
            user_display_name=display,
            challenge=challenge,
            timeout=TIMEOUT_MS,
            attestation=structs.AttestationConveyancePreference.NONE,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                resident_key=structs.ResidentKeyRequirement.REQUIRED,
                require_resident_key=True,
                user_verification=structs.UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=_descriptors(known),
        )
        return options_to_json(made)

    def said(self, response: str) -> tuple[bytes, str]:
        read = _read(response)
        return _bytes(_client(read).get("challenge")), _text(_bytes(read.get("id")))

    def registered(self, response: str, challenge: bytes, person: str) -> Passkey:
        from webauthn import verify_registration_response

        read = _read(response)
        _check_client(read)
        try:
            proven = verify_registration_response(
                credential=cast("dict[str, object]", read),
                expected_challenge=challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origin,
                require_user_verification=True,
            )
        except Exception as error:
            raise _refused() from error
        if not 1 <= len(proven.credential_id) <= MAX_CREDENTIAL:
            raise _refused()
        return Passkey(
            id=_text(proven.credential_id),
            person=person,
            public_key=_text(proven.credential_public_key),
            signs=proven.sign_count,
            backed_up=proven.credential_backed_up,
        )

    def request(self, challenge: bytes, allowed: tuple[str, ...]) -> str:
        from webauthn import generate_authentication_options, options_to_json
        from webauthn.helpers import structs

        made = generate_authentication_options(
            rp_id=self._rp_id,
            challenge=challenge,
            timeout=TIMEOUT_MS,
            allow_credentials=_descriptors(allowed),
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        )
        return options_to_json(made)

    def asserted(self, response: str, challenge: bytes, passkey: Passkey) -> int:
        from webauthn import verify_authentication_response

        read = _read(response)
        _check_client(read)
        handle = _inner(read).get("userHandle")
        if handle and not (isinstance(handle, str) and hmac.compare_digest(_bytes(handle), _handle(passkey.person))):
            raise _refused()
        if read.get("id") != passkey.id:
            raise _refused()
        try:
            proven = verify_authentication_response(
                credential=cast("dict[str, object]", read),
                expected_challenge=challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origin,
                credential_public_key=_bytes(passkey.public_key),
                # The counter is compared by whoever keeps it: there it is told apart from a signature that does not hold.
                credential_current_sign_count=0,
                require_user_verification=True,
            )
        except Exception as error:
            raise _refused() from error
        return proven.new_sign_count


def _check_client(read: Mapping[str, Json]) -> None:
    """Refuse what was asked for in a frame of another origin's page."""
    client = _client(read)
    if client.get("crossOrigin", False) is not False or "topOrigin" in client:
        raise _refused()


def _client(read: Mapping[str, Json]) -> Mapping[str, Json]:
    """The client data; what two readers would read differently is read by none."""
    try:
        return parse_object(_bytes(_inner(read).get("clientDataJSON")), max_bytes=MAX_RESPONSE)
    except BadInputError as error:
        raise BadInputError("passkey_bad", f"The browser's answer cannot be read: {error.message}.") from None


def _read(response: str) -> Mapping[str, Json]:
    try:
        return parse_object(response.encode("utf-8", "replace"), max_bytes=MAX_RESPONSE)
    except BadInputError as error:
        raise BadInputError("passkey_bad", f"The browser's answer cannot be read: {error.message}.") from None


def _inner(read: Mapping[str, Json]) -> Mapping[str, Json]:
    inner = read.get("response")
    if not isinstance(inner, dict):
        raise BadInputError("passkey_bad", "The browser's answer has no response in it.")
    return inner


def _descriptors(ids: tuple[str, ...]) -> list[PublicKeyCredentialDescriptor]:
    from webauthn.helpers import structs

    return [structs.PublicKeyCredentialDescriptor(id=_bytes(one)) for one in ids]


def _handle(person: str) -> bytes:
    """The user handle: says nothing about the person to whoever reads the authenticator (WebAuthn Level 3 §14.6.1)."""
    return hashlib.sha256(b"jittrust user handle\x00" + person.encode()).digest()


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(value: Json) -> bytes:
    text = value if isinstance(value, str) else "not a text"
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise BadInputError("passkey_bad", "The browser's answer is not base64url where it should be.") from None


def _refused() -> RefusedError:
    return RefusedError(
        "passkey_refused", "This passkey is not taken.", "Try again with a passkey that was enrolled here."
    )
