"""`PasskeyCheck`: takes exactly what `fido2`, written by other people, takes too."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    UserVerificationRequirement,
)
from tests.authenticator import ORIGIN, USER_PRESENT, Authenticator, b64, unb64

from jittrust.adapters.webauthn.passkey_check import WebauthnCheck
from jittrust.core.errors import BadInputError, JitError, RefusedError
from jittrust.core.identity.passkey_response import said
from jittrust.core.identity.person import Passkey

PERSON = "spiffe://jittrust.test/person/ada"
CHALLENGE = bytes(range(32))


def fido2_server() -> Fido2Server:
    return Fido2Server(
        PublicKeyCredentialRpEntity(id="localhost", name="jittrust"), verify_origin=lambda origin: origin == ORIGIN
    )


def enrolled(check: WebauthnCheck, device: Authenticator) -> Passkey:
    return check.registered(device.create(check.options(CHALLENGE, PERSON, "Ada", ())), CHALLENGE, PERSON)


def test_what_the_authenticator_makes_is_taken_and_signs_afterwards() -> None:
    check, device = WebauthnCheck(ORIGIN), Authenticator()
    passkey = enrolled(check, device)
    assert passkey.person == PERSON
    assert unb64(passkey.id) == device.credential
    assert check.asserted(device.get(check.request(CHALLENGE, (passkey.id,))), CHALLENGE, passkey) == device.count


def test_the_options_ask_for_a_resident_key_user_verification_and_no_attestation() -> None:
    check = WebauthnCheck(ORIGIN)
    options = json.loads(check.options(CHALLENGE, PERSON, "Ada", (b64(b"known"),)))
    assert options["rp"]["id"] == "localhost"
    assert options["attestation"] == "none"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert [one["id"] for one in options["excludeCredentials"]] == [b64(b"known")]
    assert "ada" not in unb64(options["user"]["id"]).decode("latin-1")
    assert json.loads(check.request(CHALLENGE, ()))["userVerification"] == "required"


def test_fido2_takes_the_same_registration_and_the_same_assertion() -> None:
    check, device, server = WebauthnCheck(ORIGIN), Authenticator(), fido2_server()
    user = PublicKeyCredentialUserEntity(id=b"ada", name="ada")
    _, state = server.register_begin(user, user_verification=UserVerificationRequirement.REQUIRED, challenge=CHALLENGE)
    response = device.create(check.options(CHALLENGE, PERSON, "Ada", ()))
    theirs = server.register_complete(state, RegistrationResponse.from_dict(json.loads(response)))
    ours = check.registered(response, CHALLENGE, PERSON)
    assert theirs.credential_data is not None
    assert theirs.credential_data.credential_id == unb64(ours.id)
    signed = device.get(check.request(CHALLENGE, ()))
    _, state = server.authenticate_begin(
        [theirs.credential_data], user_verification=UserVerificationRequirement.REQUIRED, challenge=CHALLENGE
    )
    server.authenticate_complete(state, [theirs.credential_data], AuthenticationResponse.from_dict(json.loads(signed)))
    assert check.asserted(signed, CHALLENGE, ours) == device.count


def _changed(**more: object) -> Callable[[Authenticator], None]:
    def change(device: Authenticator) -> None:
        for name, value in more.items():
            setattr(device, name, value)

    return change


HOSTILE: dict[str, Callable[[Authenticator], None]] = {
    "another origin": _changed(origin="https://evil.example"),
    "another port of the same host": _changed(origin="http://localhost:8751"),
    "another relying party": _changed(rp_id="evil.example"),
    "user verification missing": _changed(flags=USER_PRESENT),
    "nobody there": _changed(flags=0),
    "another key": lambda device: setattr(device, "key", Authenticator().key),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_what_we_refuse_of_an_assertion_fido2_refuses_too(attack: str) -> None:
    check, device, server = WebauthnCheck(ORIGIN), Authenticator(), fido2_server()
    response = device.create(check.options(CHALLENGE, PERSON, "Ada", ()))
    passkey = check.registered(response, CHALLENGE, PERSON)
    HOSTILE[attack](device)
    signed = device.get(check.request(CHALLENGE, ()))
    with pytest.raises(RefusedError) as refused:
        check.asserted(signed, CHALLENGE, passkey)
    assert refused.value.code == "passkey_refused"
    data = RegistrationResponse.from_dict(json.loads(response)).response.attestation_object.auth_data.credential_data
    assert isinstance(data, AttestedCredentialData)
    _, state = server.authenticate_begin(
        [data], user_verification=UserVerificationRequirement.REQUIRED, challenge=CHALLENGE
    )
    with pytest.raises(Exception):  # noqa: B017, PT011 - fido2 has an error of its own for each
        server.authenticate_complete(state, [data], AuthenticationResponse.from_dict(json.loads(signed)))


@pytest.mark.parametrize("attack", [one for one in HOSTILE if one != "another key"])
def test_the_same_is_refused_of_a_registration(attack: str) -> None:
    check, device = WebauthnCheck(ORIGIN), Authenticator()
    HOSTILE[attack](device)
    with pytest.raises(RefusedError):
        enrolled(check, device)


def test_an_answer_from_a_frame_of_another_origin_is_refused() -> None:
    check, device = WebauthnCheck(ORIGIN), Authenticator()
    passkey = enrolled(check, device)
    device.cross_origin = True
    with pytest.raises(RefusedError):
        check.asserted(device.get(check.request(CHALLENGE, ())), CHALLENGE, passkey)


def test_an_assertion_over_another_challenge_by_another_credential_or_for_another_person_is_refused() -> None:
    check, device = WebauthnCheck(ORIGIN), Authenticator()
    passkey = enrolled(check, device)
    signed = device.get(check.request(CHALLENGE, ()))
    with pytest.raises(RefusedError):
        check.asserted(signed, bytes(32), passkey)
    with pytest.raises(RefusedError):
        check.asserted(signed, CHALLENGE, replace(passkey, id=b64(b"another")))
    with pytest.raises(RefusedError):
        check.asserted(signed, CHALLENGE, replace(passkey, person="spiffe://jittrust.test/person/eve"))


def test_a_registration_is_no_assertion_and_an_assertion_is_no_registration() -> None:
    check, device = WebauthnCheck(ORIGIN), Authenticator()
    passkey = enrolled(check, device)
    with pytest.raises(RefusedError):
        check.asserted(device.get(check.request(CHALLENGE, ()), kind="webauthn.create"), CHALLENGE, passkey)
    with pytest.raises(JitError):
        check.registered(device.get(check.request(CHALLENGE, ())), CHALLENGE, PERSON)


@pytest.mark.parametrize(
    "response",
    [
        *("", "{", "[]", "null", "{}", '{"id":1}', '{"id":"AA","response":7}', '{"response":{}}'),
        '{"id":"AA","id":"BB","response":{}}',
        '{"id":"AA","response":{"clientDataJSON":"!!"}}',
        '{"id":"AA","response":{"clientDataJSON":"e30"}}',
        '{"id":"AA","response":{"clientDataJSON":"' + b64(b'{"challenge":"AA","challenge":"BB"}') + '"}}',
        "x" * 40_000,
        '{"a":' * 2_000,
        "\ud800",
    ],
)
def test_what_cannot_be_read_is_bad_input_and_no_traceback(response: str) -> None:
    check = WebauthnCheck(ORIGIN)
    with pytest.raises(BadInputError) as refused:
        said(response)
    assert refused.value.code == "passkey_bad"
    with pytest.raises(JitError):
        check.registered(response, CHALLENGE, PERSON)
    with pytest.raises(JitError):
        check.asserted(response, CHALLENGE, Passkey("AA", PERSON, "AA"))
