"""The examples that RFC 9449 prints."""

import pytest

from jittrust.core.grant import jws
from jittrust.core.grant.present import normal_url, token_hash

HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMi"
    "LCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
FIGURE_2 = (
    f"{HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ"
    ".2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
FIGURE_13 = (
    f"{HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlh"
    "dCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9"
    ".2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
ACCESS_TOKEN = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"


@pytest.mark.parametrize(
    ("proof", "method", "url"),
    [
        (FIGURE_2, "POST", "https://server.example.com/token"),
        (FIGURE_13, "GET", "https://resource.example.org/protectedresource"),
    ],
)
def test_the_printed_proofs_hold_and_say_what_the_text_says(proof: str, method: str, url: str) -> None:
    parts = jws.split(proof.encode(), 4096)
    key = jws.import_key(parts.header["jwk"])
    claims = jws.json_object(parts.payload, "bad_claims")

    assert key.jkt == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert parts.header["alg"] in key.algorithms
    assert key.holds(parts.signed, parts.signature)
    assert (claims["htm"], normal_url(str(claims["htu"]))) == (method, url)


def test_the_printed_proof_is_bound_to_the_printed_token() -> None:
    claims = jws.json_object(jws.split(FIGURE_13.encode(), 4096).payload, "bad_claims")

    assert claims["ath"] == token_hash(ACCESS_TOKEN)
