"""Cost of the pieces of a proof-bound call, in microseconds of one core.

U, the unit of the other figures, is one check of an EdDSA JWT by hand with libsodium, measured in the same run: on a busy machine the ratios
hold where the microseconds do not. Run: `python bench/grant.py --json`.
"""

import argparse
import json
import statistics
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable

from nacl.signing import SigningKey, VerifyKey

from jittrust.core.grant import claims, passes
from jittrust.core.grant.grant import Lane, PassBinding, Shown
from jittrust.core.grant.lanes import RotationRules, judge
from jittrust.core.grant.present import PresentationRules, PresentedRequest, VerifiedBefore, check_presentation
from jittrust.core.grant.proof import Ed25519Signer, Es256Signer, ProofSigner, make_proof
from jittrust.core.strict_json import parse, raw_member
from jittrust.core.units import Instant

URL = "https://broker.example/mcp/files"
RULES = PresentationRules(claims.TokenRules("https://broker.example", URL))
NOW = Instant(1_700_000_100)
BROKER = Ed25519Signer.from_secret(b"b" * 32)
KEYS = {"k1": bytes(SigningKey(b"b" * 32).verify_key)}
PASS_KEY = b"p" * 32


def token_for(signer: ProofSigner) -> str:
    return claims.mint(
        claims.AccessClaims(
            issuer="https://broker.example",
            subject="spiffe://example.org/agent/1",
            audience=URL,
            client="agent-1",
            grant="g-7f3a9c21",
            mission="m-1b2c3d4e",
            jkt=signer.jkt,
            issued=1_700_000_000,
            expires=1_700_000_300,
            id="t-0123456789",
        ),
        "k1",
        BROKER.sign,
    )


def asked(signer: ProofSigner, nonce: str) -> PresentedRequest:
    token = token_for(signer)
    proof = make_proof(signer, method="POST", url=URL, iat=NOW, jti="0123456789abcdef0123", token=token, nonce=nonce)
    return PresentedRequest("POST", URL, [f"DPoP {token}"], [proof])


def unit(token: str) -> Callable[[], object]:
    """U: split, decode, check the signature with libsodium, read the claims; nothing strict about it."""
    key = VerifyKey(KEYS["k1"])

    def verify() -> object:
        signed, _, signature = token.rpartition(".")
        key.verify(signed.encode(), urlsafe_b64decode(signature + "=="))
        head, body = signed.split(".")
        json.loads(urlsafe_b64decode(head + "=="))
        return json.loads(urlsafe_b64decode(body + "=="))["exp"] > NOW

    return verify


def message() -> bytes:
    text = "The quarterly report is in the shared folder, please summarise it. " * 7
    call = {
        "jsonrpc": "2.0",
        "id": 17,
        "method": "tools/call",
        "params": {
            "name": "read_file",
            "arguments": {
                "path": "/srv/data/reports/q3.txt",
                "note": text,
                "lines": [1, 40],
                "deep": {"a": {"b": True}},
            },
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "progressToken": "abc",
                "sizes": [1, 2, 3],
            },
        },
    }
    made = json.dumps(call)
    return (made + " " * (1024 - len(made))).encode()


def operations() -> dict[str, Callable[[], object]]:
    live = passes.mint(PASS_KEY, 1, "g-7f3a9c21", 0, 41)
    ed25519, es256 = Ed25519Signer.from_secret(b"a" * 32), Es256Signer.from_secret(b"a" * 32)
    by_ed25519, by_es256, before = asked(ed25519, live), asked(es256, live), VerifiedBefore()
    token = token_for(ed25519)
    data = message()
    lane = Lane("g-7f3a9c21", 0, 41, NOW, NOW, "d", "e", NOW)
    shown = Shown(PassBinding.DPOP, "g-7f3a9c21", live, NOW, "j", ed25519.jkt)
    read = passes.read(PASS_KEY, 1, live)
    rules = RotationRules()
    return {
        "U": unit(token),
        "presentation_ed25519": lambda: check_presentation(by_ed25519, KEYS, RULES, NOW, before),
        "presentation_es256": lambda: check_presentation(by_es256, KEYS, RULES, NOW, before),
        "presentation_ed25519_nothing_known": lambda: check_presentation(by_ed25519, KEYS, RULES, NOW),
        "presentation_es256_nothing_known": lambda: check_presentation(by_es256, KEYS, RULES, NOW),
        "token_verify": lambda: claims.verify(token.encode(), KEYS, RULES.token, NOW),
        "token_mint": lambda: token_for(ed25519),
        "proof_make_ed25519": lambda: asked_proof(ed25519, token, live),
        "proof_make_es256": lambda: asked_proof(es256, token, live),
        "pass_mint": lambda: passes.mint(PASS_KEY, 1, "g-7f3a9c21", 0, 42),
        "pass_read": lambda: passes.read(PASS_KEY, 1, live),
        "pass_judge": lambda: judge(lane, read, shown, "d", NOW, None, rules),
        "json_parse_1kb": lambda: parse(data),
        "json_raw_member_1kb": lambda: raw_member(data, ("params", "arguments")),
        "json_stdlib_loads_1kb": lambda: json.loads(data),
    }


def asked_proof(signer: ProofSigner, token: str, nonce: str) -> str:
    return make_proof(signer, method="POST", url=URL, iat=NOW, jti="0123456789abcdef0123", token=token, nonce=nonce)


def microseconds(operation: Callable[[], object], seconds: float) -> float:
    """Median of rounds of CPU time, so that other load on the machine counts for little."""
    rounds: list[float] = []
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends or len(rounds) < 5:
        began = time.process_time()
        for _ in range(50):
            operation()
        rounds.append((time.process_time() - began) / 50 * 1e6)
    return statistics.median(rounds)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options.add_argument("--seconds", type=float, default=0.5, help="time spent on each operation")
    chosen = options.parse_args()
    found = {name: microseconds(operation, chosen.seconds) for name, operation in operations().items()}
    rows = {name: {"us": round(value, 2), "U": round(value / found["U"], 3)} for name, value in found.items()}
    if chosen.json:
        print(json.dumps({"bench": "grant", "unit": "microseconds of CPU, median", "results": rows}))
        return
    for name, row in rows.items():
        print(f"{name:38} {row['us']:9.2f} us {row['U']:7.3f} U")


if __name__ == "__main__":
    main()
