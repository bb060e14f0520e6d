"""T11, T45: a token that its holder narrowed: what was added cannot be taken off, nothing can be added that widens, and the pass is still wanted."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from biscuit_auth import Algorithm, Biscuit, BiscuitBuilder, BlockBuilder, KeyPair, PrivateKey, PublicKey
from nacl.signing import SigningKey
from tests.model.world import SEED, World, allowing, world

from jittrust.adapters.biscuit.attenuation import MOST_BLOCKS, BiscuitAttenuation, attenuation_of
from jittrust.core.errors import JitError, RefusedError
from jittrust.core.grant.claims import InvalidTokenError
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.grant.present import InvalidProofError
from jittrust.core.grant.proof import Ed25519Signer, make_proof
from jittrust.core.units import Instant
from jittrust.pep.mcp.http_auth import PresentationCheck, TokenSource
from jittrust.ports.attenuation import Attenuated
from jittrust.ports.decision_point import Decision, Passage
from jittrust.ports.grants import IssuedGrant, NewGrant

NOW = Instant(1_790_000_000.0)
BISCUITS = BiscuitAttenuation(b"\1" * 32)
ED25519: Any = cast("Any", Algorithm).Ed25519
ROOT = cast("Any", PublicKey).from_bytes(BISCUITS.public_key, ED25519)
SIGNER = Ed25519Signer.from_secret(b"\2" * 32)
FIRST = Attenuated("g-1", SIGNER.jkt, "urn:test/mcp/srv", Instant(NOW + 300))
CALL = {"action": "tools/call", "tool": "read_file", "server": "srv", "arg:path": "/tmp/plan.txt"}
BASE = "http://localhost"


def narrowed(*blocks: str, first: Attenuated = FIRST) -> str:
    """What a holder does, with any Biscuit library and without asking anybody."""
    token: Any = Biscuit.from_base64(padded(BISCUITS.mint(first)), ROOT)
    for block in blocks:
        token = token.append(BlockBuilder(block))
    return bare(token)


def padded(token: str) -> str:
    return token + "=" * (-len(token) % 4)


def bare(token: Any) -> str:  # noqa: ANN401
    return str(token.to_base64()).rstrip("=")


def test_a_first_block_says_what_was_minted_and_forbids_nothing_before_it_ends() -> None:
    token = BISCUITS.mint(FIRST)

    assert BISCUITS.read(token) == FIRST
    assert "." not in token
    assert BISCUITS.forbids(token, CALL, NOW) == ""
    assert BISCUITS.forbids(token, CALL, FIRST.expires) != ""


@pytest.mark.parametrize(
    ("block", "passes", "fails"),
    [
        ('check if tool("read_file")', {}, {"tool": "send_mail"}),
        ('check if server("srv")', {}, {"server": "other"}),
        ('check if action("tools/call")', {}, {"action": "resources/read"}),
        ('check if arg("path", $p), $p.starts_with("/tmp/")', {}, {"arg:path": "/etc/passwd"}),
        ('check if arg("path", "/tmp/plan.txt")', {}, {"arg:path": "/tmp/plan.txt "}),
        ('check all arg("path", $p), $p.ends_with(".txt") && !$p.contains("..")', {}, {"arg:path": "/tmp/../x.txt"}),
        ('check if arg("path", $p), $p.length() < 20', {}, {"arg:path": "/tmp/" + "x" * 20}),
        ('check if arg("path", $p), $p != "/etc/passwd"', {}, {"arg:path": "x" * 5000}),
        ('check if tool("a") or tool("read_file")', {}, {"tool": "b"}),
        ("check if time($t), $t < 2026-09-21T14:14:00Z", {}, {}),
    ],
)
def test_a_block_forbids_what_its_check_does_not_find(
    block: str, passes: Mapping[str, str], fails: Mapping[str, str]
) -> None:
    token = narrowed(block)

    assert BISCUITS.forbids(token, {**CALL, **passes}, NOW) == ""
    if fails:
        assert "check" in BISCUITS.forbids(token, {**CALL, **fails}, NOW)
    else:
        assert BISCUITS.forbids(token, CALL, Instant(NOW + 60)) != ""


def test_a_check_on_an_argument_that_is_not_there_or_is_no_text_fails() -> None:
    token = narrowed('check if arg("path", $p), !$p.starts_with("/etc")')

    without = {name: value for name, value in CALL.items() if name != "arg:path"}
    assert BISCUITS.forbids(token, without, NOW) != ""


def test_each_further_block_only_takes_away() -> None:
    blocks = ['check if server("srv")', 'check if tool("read_file")', 'check if arg("path", "/tmp/x")']
    told = [BISCUITS.forbids(narrowed(*blocks[:count]), CALL, NOW) != "" for count in range(4)]

    assert told == [False, False, False, True]


@pytest.mark.parametrize(
    "widening",
    [
        'tool("read_file"); action("tools/call"); server("srv"); arg("path", "/tmp/x");',
        'grant("g-2"); jkt("other"); audience("urn:other"); expires(99999999999);',
        'tool($t) <- server($s), action($t); tool("read_file") <- action($a);',
        "time(2020-01-01T00:00:00Z);",
        "check if true; check if 1 == 1;",
    ],
)
def test_t45_facts_and_rules_of_a_later_block_are_refused_and_checks_that_hold_help_nobody_elses(widening: str) -> None:
    narrow = 'check if tool("other_tool"); check if time($t), $t < 2026-09-21T00:00:00Z'
    for order in ((narrow, widening), (widening, narrow)):
        token = narrowed(*order)
        assert BISCUITS.forbids(token, CALL, NOW) != ""
        if "check" not in widening:
            with pytest.raises(RefusedError, match="invalid_token"):
                BISCUITS.read(token)


def test_t45_a_block_cannot_be_taken_off_or_moved_and_no_bit_can_be_changed() -> None:
    one, two = 'check if tool("other")', 'check if server("srv")'
    whole = base64.urlsafe_b64decode(padded(narrowed(one, two)))
    for at in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[at] ^= 1
        token = base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()
        try:
            said = BISCUITS.read(token)
        except RefusedError:
            continue
        assert said == FIRST
        assert BISCUITS.forbids(token, CALL, NOW) != "", f"byte {at}"


def hostile() -> dict[str, str]:
    """Tokens that are refused before any condition of theirs is looked at."""
    stranger = KeyPair()
    source = 'grant("g-1"); jkt("{}"); audience("urn:test/mcp/srv"); expires(1790000300);'.format(SIGNER.jkt)  # noqa: UP032
    ours: Any = Biscuit.from_base64(padded(BISCUITS.mint(FIRST)), ROOT)
    third = ours.third_party_request().create_block(stranger.private_key, BlockBuilder('check if tool("read_file")'))
    signed = cast("Any", PrivateKey).from_bytes(b"\1" * 32, ED25519)
    return {
        "another root key": bare(BiscuitBuilder(source).build(stranger.private_key)),
        "a third party's block": bare(ours.append_third_party(stranger.public_key, third)),
        "more in the first block": bare(BiscuitBuilder(source + 'tool("x");').build(signed)),
        "less in the first block": bare(BiscuitBuilder('grant("g-1");').build(signed)),
        "a rule in the first block": bare(BiscuitBuilder(source + "grant($t) <- jkt($t);").build(signed)),
        "an escape in the first block": bare(
            BiscuitBuilder(source.replace("g-1", 'g-1\\"); grant(\\"g-2')).build(signed)
        ),
        "expires beyond all time": bare(
            BiscuitBuilder(source.replace("1790000300", "9223372036854775807")).build(signed)
        ),
        "many blocks": narrowed(*(["check if true"] * MOST_BLOCKS)),
        "too long": narrowed('check if tool("' + "x" * 8000 + '")'),
        "reject": narrowed('reject if tool("send_mail")'),
        "reject with blanks": narrowed('check if true; reject if arg("path", "x") or tool("send_mail")'),
        "a pattern": narrowed('check if arg("path", $p), $p.matches("^/tmp/")'),
        "any argument": narrowed('check if arg($a, $b), arg($c, $d), $b == "/tmp/x"'),
        "a closure": narrowed("check if [1, 2].all($x -> $x > 0)"),
        "joined texts": narrowed('check if arg("a", $p), $p + $p == "x"'),
        "a scope": narrowed('check if tool("read_file") trusting authority, previous'),
        "a line end in a text": narrowed('check if tool("a\\ncheck if true;\\n")'),
        "long conditions": narrowed(*(f'check if tool("{"x" * 900}{n}")' for n in range(5))),
        "nothing": "",
        "no base64": "!!!!",
        "a JWT": "e30.e30.e30",
        "zeros": "A" * 400,
        "ended in the middle": BISCUITS.mint(FIRST)[:-20],
        "more behind it": BISCUITS.mint(FIRST) + "AAAA",
        "with a line end": BISCUITS.mint(FIRST) + "\n",
    }


@pytest.mark.parametrize("name", sorted(hostile()))
def test_t45_a_hostile_token_is_refused_with_a_code_and_forbids_everything(name: str) -> None:
    token = hostile()[name]
    with pytest.raises(RefusedError) as caught:
        BISCUITS.read(token)
    assert caught.value.code == "invalid_token"
    assert BISCUITS.forbids(token, CALL, NOW) != ""


@pytest.mark.parametrize(
    "bomb",
    [
        " ".join(f"f({n});" for n in range(300)) + "g($a, $b, $c) <- f($a), f($b), f($c); check if g(1, 2, 3)",
        "n(0); n($m) <- n($k), $m == $k; "
        + " ".join(f"n({n}) <- n({n - 1});" for n in range(1, 120))
        + "check if n(119)",
        'check if arg("path", $p), $p.matches("' + "(a*)*" * 200 + '$")',
        " ".join(f"f({n});" for n in range(520)) + "check if f(1)",
    ],
)
def test_t45_a_condition_that_costs_too_much_fails_in_time(bomb: str) -> None:
    try:
        token = narrowed(bomb)
    except Exception:  # noqa: BLE001  the holder's own library refuses it
        return
    begin = time.perf_counter()
    try:
        BISCUITS.read(token)
        said = BISCUITS.forbids(token, {**CALL, "arg:path": "a" * 5000}, NOW)
    except RefusedError as error:
        said = error.code
    assert said != ""
    assert time.perf_counter() - begin < 2.0


def test_what_cannot_stand_in_a_first_block_is_not_minted() -> None:
    for text in ('g"); tool("x', "g\\", "g\n", "", "ü", "x" * 600):
        with pytest.raises(JitError, match="bad_value"):
            BISCUITS.mint(replace(FIRST, grant=text))


def test_the_root_key_follows_from_the_brokers_secret_and_differs_from_it() -> None:
    one, same, other = attenuation_of(b"k" * 32), attenuation_of(b"k" * 32), attenuation_of(b"l" * 32)
    assert one is not None
    assert same is not None
    assert other is not None
    assert same.read(one.mint(FIRST)) == FIRST
    with pytest.raises(RefusedError):
        other.read(one.mint(FIRST))


# ---- over HTTP, under a pass ------------------------------------------------------------------------------------------------------------


def check(clock: Any = lambda: NOW) -> PresentationCheck:  # noqa: ANN401
    keys = {"kid": bytes(SigningKey(SEED).verify_key)}
    return PresentationCheck(TokenSource("urn:test", keys, clock, BISCUITS), BASE)


def scope(authorization: str, proof: str = "", certificate: bytes | None = None) -> dict[str, Any]:
    headers = [(b"authorization", authorization.encode())]
    if proof:
        headers.append((b"dpop", proof.encode()))
    made: dict[str, Any] = {"method": "POST", "path": "/mcp/srv", "raw_path": b"/mcp/srv", "headers": headers}
    if certificate is not None:
        text = base64.encodebytes(certificate).decode()
        pem = f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"
        made["extensions"] = {"tls": {"client_cert_chain": (pem,)}}
    return made


def proof(token: str, nonce: str | None, *, signer: Any = SIGNER, now: float = NOW) -> str:  # noqa: ANN401
    return make_proof(
        signer,
        method="POST",
        url=f"{BASE}/mcp/srv",
        iat=Instant(now),
        jti="j" * 16 + str(now),
        token=token,
        nonce=nonce,
    )


def show(token: str, nonce: str | None, *, servers: tuple[str, ...] = ("srv",), **more: Any) -> Shown:  # noqa: ANN401
    return check().check(scope(f"DPoP {token}", proof(token, nonce, **more)), servers, b"")


def test_t11_a_narrowed_token_is_good_only_with_a_proof_by_the_key_of_its_first_block() -> None:
    token = narrowed('check if tool("read_file")')

    said = show(token, "a-pass")

    assert (said.grant, said.jkt, said.presented, said.narrowing) == ("g-1", SIGNER.jkt, "a-pass", token)
    with pytest.raises(InvalidProofError, match="another key"):
        show(token, "a-pass", signer=Ed25519Signer.from_secret(b"\3" * 32))
    with pytest.raises(InvalidProofError, match="exactly one"):
        check().check(scope(f"DPoP {token}"), ("srv",), b"")
    with pytest.raises(InvalidProofError, match="another token"):
        check().check(scope(f"DPoP {token}", proof(BISCUITS.mint(FIRST), "p")), ("srv",), b"")


def test_t11_a_narrowed_token_for_another_server_or_past_its_end_or_as_a_bearer_token_is_refused() -> None:
    token = narrowed('check if tool("read_file")')

    for refused in (
        lambda: show(token, "p", servers=("other",)),
        lambda: show(narrowed(first=replace(FIRST, expires=NOW)), "p"),
        lambda: check().check(scope(f"Bearer {token}"), ("srv",), b""),
        lambda: show(hostile()["another root key"], "p"),
    ):
        with pytest.raises(InvalidTokenError):
            refused()  # type: ignore[no-untyped-call]


async def granted() -> tuple[World, IssuedGrant]:
    w = await world(attenuation=BISCUITS)
    await w.join()
    await w.start(allowing("read_file"), allowing("send_mail"))
    return w, await w.broker.driving.grants.open(NewGrant("ada", "agent", "srv", PassBinding.DPOP, SIGNER.jkt))


async def call(w: World, issued: IssuedGrant, token: str, presented: str | None, path: str = "plan.txt") -> Decision:
    said = Shown(PassBinding.DPOP, issued.grant.id, presented, w.clock(), w.names("j"), SIGNER.jkt, narrowing=token)
    return await w.broker.driving.decisions.evaluate(w.ask("read_file", {"path": path}), said)


async def test_t45_the_broker_refuses_what_any_condition_forbids_and_the_pass_goes_on() -> None:
    w, issued = await granted()
    first = Attenuated(issued.grant.id, SIGNER.jkt, "urn:test/mcp/srv", issued.grant.expires)
    token = narrowed('check if tool("read_file"), arg("path", $p), $p.ends_with(".txt")', first=first)

    inside = await call(w, issued, token, issued.first_pass)
    outside = await call(w, issued, token, inside.next_pass, "key.pem")
    again = await call(w, issued, token, outside.next_pass)
    spent = await call(w, issued, token, inside.next_pass)

    assert (inside.passage, again.passage) == (Passage.FORWARD, Passage.FORWARD)
    assert (outside.passage, outside.verdict.codes) == (Passage.REFUSE, ("narrowing_forbids",))
    assert spent.passage is not Passage.FORWARD, "the pass of the refused call is spent, for both spellings"


async def test_t45_a_narrowed_token_of_an_ended_grant_is_as_dead_as_the_grant() -> None:
    w, issued = await granted()
    first = Attenuated(issued.grant.id, SIGNER.jkt, "urn:test/mcp/srv", issued.grant.expires)
    await w.broker.driving.grants.revoke(issued.grant.id, "enough", "ada")

    decision = await call(w, issued, narrowed(first=first), issued.first_pass)

    assert decision.verdict.codes == ("grant_not_active",)


async def test_t11_a_token_bound_to_a_certificate_is_refused_on_every_other_connection() -> None:
    w, _ = await granted()
    mine, other = b"0my certificate", b"0another certificate"
    x5t = base64.urlsafe_b64encode(hashlib.sha256(mine).digest()).rstrip(b"=").decode()
    issued = await w.broker.driving.grants.open(NewGrant("ada", "agent", "srv", PassBinding.GATEWAY, x5t=x5t))
    checked = check(w.clock)

    said = checked.check(scope(f"Bearer {issued.token}", certificate=mine), ("srv",), b"")

    assert (said.binding, said.grant, said.x5t) == (PassBinding.GATEWAY, issued.grant.id, x5t)
    ask = w.ask("read_file", {"path": "plan.txt"})
    assert (await w.broker.driving.decisions.evaluate(ask, said)).passage is Passage.FORWARD
    for certificate in (None, other, b""):
        with pytest.raises(InvalidTokenError) as caught:
            checked.check(scope(f"Bearer {issued.token}", certificate=certificate), ("srv",), b"")
        assert caught.value.detail == "wrong_certificate"


def test_times_are_told_in_utc() -> None:
    moment = datetime.fromtimestamp(NOW, UTC)
    token = narrowed(f"check if time({moment:%Y-%m-%dT%H:%M:%SZ})")

    assert BISCUITS.forbids(token, CALL, NOW) == ""
