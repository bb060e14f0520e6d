"""`ports.passkey_check`: checks passkeys for one web origin, with the `webauthn` package."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from jittrust.core.errors import RefusedError
from jittrust.core.identity.passkey_response import base64url, client_data, inner, octets, read_response
from jittrust.core.identity.person import Passkey
from jittrust.core.model import Json

if TYPE_CHECKING:
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

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

    def registered(self, response: str, challenge: bytes, person: str) -> Passkey:
        from webauthn import verify_registration_response

        read = read_response(response)
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
            id=base64url(proven.credential_id),
            person=person,
            public_key=base64url(proven.credential_public_key),
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

        read = read_response(response)
        _check_client(read)
        handle = inner(read).get("userHandle")
        if handle and not (isinstance(handle, str) and hmac.compare_digest(octets(handle), _handle(passkey.person))):
            raise _refused()
        if read.get("id") != passkey.id:
            raise _refused()
        try:
            proven = verify_authentication_response(
                credential=cast("dict[str, object]", read),
                expected_challenge=challenge,
                expected_rp_id=self._rp_id,
                expected_origin=self._origin,
                credential_public_key=octets(passkey.public_key),
                # The counter is compared by whoever keeps it: there it is told apart from a signature that does not hold.
                credential_current_sign_count=0,
                require_user_verification=True,
            )
        except Exception as error:
            raise _refused() from error
        return proven.new_sign_count


def _check_client(read: Mapping[str, Json]) -> None:
    """Refuse what was asked for in a frame of another origin's page."""
    client = client_data(read)
    if client.get("crossOrigin", False) is not False or "topOrigin" in client:
        raise _refused()


def _descriptors(ids: tuple[str, ...]) -> list[PublicKeyCredentialDescriptor]:
    from webauthn.helpers import structs

    return [structs.PublicKeyCredentialDescriptor(id=octets(one)) for one in ids]


def _handle(person: str) -> bytes:
    """The user handle: says nothing about the person to whoever reads the authenticator (WebAuthn Level 3 §14.6.1)."""
    return hashlib.sha256(b"jittrust user handle\x00" + person.encode()).digest()


def _refused() -> RefusedError:
    return RefusedError(
        "passkey_refused", "This passkey is not taken.", "Try again with a passkey that was enrolled here."
    )
