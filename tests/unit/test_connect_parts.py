"""The parts of `jittrust connect`: keys that are kept, lanes and their discipline, waiting, what is believed of a server, the command line."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from keyring.backend import KeyringBackend

from jittrust.adapters.files.agent_key import AgentKeyFile, read_private
from jittrust.adapters.keyring.agent_key import SERVICE, AgentKeyring
from jittrust.apps.cli.connect import agent_key, parse, read_key
from jittrust.core.errors import BadInputError, JitError, UnavailableError
from jittrust.core.grant.proof import Ed25519Signer, Es256Signer
from jittrust.core.model import Json
from jittrust.core.secret import Secret
from jittrust.pep.connect.backoff import MOST_SECONDS, delay
from jittrust.pep.connect.discovery import (
    UntrustedServerError,
    base_of,
    check_address,
    facts_in,
    issuer_in,
    metadata_url,
    well_known,
)
from jittrust.pep.connect.lanes import IDLE_SECONDS, RESENDS, WINDOW_SECONDS, HeldLane, HeldLanes, SentCall
from jittrust.pep.connect.request_headers import ToolSchemas, request_headers
from jittrust.pep.connect.tokens import GrantRefusedError, challenge_of, read_grant, read_token_file
from jittrust.pep.mcp.http_wire import check_modern, check_params, decode_value, encode_value
from jittrust.pep.mcp.jsonrpc import dump, read_message

URL = "https://trust.example/mcp/notes"
ISSUER = "https://trust.example"


class MemoryRing(KeyringBackend):
    """A keyring that keeps what it is given."""

    priority = 5

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password


# --- the key -------------------------------------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_readable_by_its_owner_alone_and_found_again(tmp_path: Path) -> None:
    store = AgentKeyFile(tmp_path / "agent.jwk")
    made = agent_key(store, make=True)
    assert stat.S_IMODE((tmp_path / "agent.jwk").stat().st_mode) == 0o600
    assert agent_key(store, make=True).jkt == made.jkt
    assert [one.name for one in tmp_path.iterdir()] == ["agent.jwk"]


def test_whoever_makes_a_key_second_gets_the_first_ones(tmp_path: Path) -> None:
    store = AgentKeyFile(tmp_path / "agent.jwk")
    assert store.make(Secret(b"first")) == Secret(b"first")
    assert store.make(Secret(b"second")) == Secret(b"first")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused_at_every_start(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "agent.jwk"
    agent_key(AgentKeyFile(file), make=True)
    file.chmod(mode)
    with pytest.raises(UnavailableError) as caught:
        agent_key(AgentKeyFile(file), make=True)
    assert caught.value.code == "state_exposed"
    assert "chmod 600" in caught.value.next_step


def test_a_link_a_pipe_and_a_folder_are_no_key_file(tmp_path: Path) -> None:
    real = tmp_path / "real.jwk"
    agent_key(AgentKeyFile(real), make=True)
    link, pipe, folder = tmp_path / "link", tmp_path / "pipe", tmp_path / "folder"
    link.symlink_to(real)
    os.mkfifo(pipe, 0o600)
    folder.mkdir(0o700)
    for path in (link, pipe, folder):
        with pytest.raises(UnavailableError) as caught:
            read_private(path)
        assert caught.value.code == "agent_key_unusable"


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b'{"kty":"EC","crv":"P-256","d":"AA"}', b'{"kty":"oct","k":"AAAA","d":"AAAA"}', b"\xff\xfe"],
)
def test_a_broken_key_is_bad_input_and_none_of_it_is_printed(content: bytes) -> None:
    with pytest.raises(BadInputError) as caught:
        read_key(Secret(content))
    assert caught.value.code == "key_broken"


def test_a_key_whose_halves_do_not_belong_together_is_refused(tmp_path: Path) -> None:
    one, two = (json.loads(_private(AgentKeyFile(tmp_path / name))) for name in ("1", "2"))
    with pytest.raises(BadInputError):
        read_key(Secret(json.dumps({**one, "d": two["d"]}).encode()))


def _private(store: AgentKeyFile) -> bytes:
    agent_key(store, make=True)
    kept = store.read()
    assert kept is not None
    return kept.reveal()


def test_keys_of_both_kinds_are_read() -> None:
    for made, kind in ((Es256Signer, "ES256"), (Ed25519Signer, "Ed25519")):
        secret = bytes(range(1, 33))
        signer = made.from_secret(secret)
        d = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        found = read_key(Secret(json.dumps({**signer.jwk, "d": d}).encode()))
        assert (found.jkt, found.algorithm) == (signer.jkt, kind)


def test_the_keyring_keeps_one_key_for_each_agent() -> None:
    ring = MemoryRing()
    one = agent_key(AgentKeyring("one", ring), make=True)
    assert agent_key(AgentKeyring("one", ring), make=True).jkt == one.jkt
    assert agent_key(AgentKeyring("two", ring), make=True).jkt != one.jkt
    assert set(ring.kept) == {(SERVICE, "one"), (SERVICE, "two")}


def test_a_machine_without_a_keyring_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backends import fail

    monkeypatch.setattr(keyring, "get_keyring", fail.Keyring)
    with pytest.raises(UnavailableError) as caught:
        AgentKeyring("one")
    assert caught.value.code == "keyring_missing"


# --- lanes ---------------------------------------------------------------------------------------------------------------------------------


class LaneUse(RuleBasedStateMachine):
    """Requests that take lanes, show passes, get answers or lose them, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lanes = HeldLanes("p0", 4, self.now)
        self.numbers = iter(range(1, 10_000))
        self.shown: list[str] = []
        self.held: dict[object, HeldLane] = {}
        self.opened = 0

    @rule()
    def take_and_show(self) -> None:
        owner = object()
        lane = self.lanes.take(owner, self.now)
        if lane is None:
            # A lane that a stream shared, and that was given up since, may still be in somebody's hand: it counts no more.
            assert all(lane.owner is not None for lane in self.lanes._lanes.values())
            return
        shown = HeldLanes.show(lane)
        assert shown is not None or lane.number == 0
        assert shown not in self.shown
        if shown is not None:
            self.shown.append(shown)
        self.held[owner] = lane

    @precondition(lambda self: self.held)
    @rule(data=st.data(), streams=st.booleans())
    def answered(self, data: st.DataObject, streams: bool) -> None:  # noqa: FBT001 - drawn
        owner = data.draw(st.sampled_from(list(self.held)))
        lane = self.held[owner]
        if lane.owner is not owner or lane.newest is not None:
            return
        HeldLanes.put(lane, f"n{next(self.numbers)}", self.now)
        if streams:
            HeldLanes.streams(lane, owner)
        else:
            self.lanes.leave(lane, owner)
            del self.held[owner]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def lost(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(list(self.held)))
        self.lanes.leave(self.held.pop(owner), owner)

    @precondition(lambda self: self.lanes.may_grow)
    @rule()
    def grow(self) -> None:
        self.opened += 1
        self.lanes.opened(self.opened, f"n{next(self.numbers)}", self.now)

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def no_pass_is_in_two_places(self) -> None:
        passes = [lane.newest for lane in self.lanes.free(self.now) if lane.newest is not None]
        assert len(passes) == len(set(passes))
        assert not set(passes) & set(self.shown)

    @invariant()
    def only_lane_zero_is_without_a_pass(self) -> None:
        assert all(lane.number == 0 for lane in self.lanes.free(self.now) if lane.newest is None)


TestLaneUse = LaneUse.TestCase


def test_a_lane_that_was_not_used_for_a_while_is_forgotten_before_the_broker_closes_it() -> None:
    lanes = HeldLanes("p", 4, 0.0)
    lanes.opened(1, "q", 0.0)
    assert {lane.number for lane in lanes.free(IDLE_SECONDS)} == {0, 1}
    assert {lane.number for lane in lanes.free(IDLE_SECONDS + 0.1)} == {0}


def test_the_same_call_is_sent_again_three_times_at_most_and_never_after_the_window() -> None:
    call = SentCall("p")
    assert call.may_resend(1e9)  # it has never gone out
    call.lost(100.0)
    assert call.in_doubt
    assert call.may_resend(100.0 + WINDOW_SECONDS)
    assert not call.may_resend(100.1 + WINDOW_SECONDS)
    for _ in range(RESENDS):
        assert call.may_resend(101.0)
        call.lost(101.0)
    assert not call.may_resend(101.0)


def test_a_request_without_a_pass_is_never_in_doubt() -> None:
    call = SentCall(None)
    call.lost(1.0)
    assert not call.in_doubt


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waiting_grows_is_bounded_and_never_nothing(failures: int, draw: float) -> None:
    found = delay(failures, draw)
    assert 0.05 <= found <= MOST_SECONDS
    assert delay(failures + 1, draw) >= found


# --- headers -------------------------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=60))
def test_any_text_comes_back_out_of_a_header(text: str) -> None:
    value = encode_value(text)
    assert value.isascii()
    assert "\n" not in value
    assert decode_value(value) == text


def test_the_headers_of_a_stateless_request_say_what_its_body_says() -> None:
    schema: dict[str, Json] = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    schemas = ToolSchemas()
    schemas.learn({"tools": [{"name": "wörld", "inputSchema": schema}]})
    meta: dict[str, Json] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params: dict[str, Json] = {"_meta": meta, "name": "wörld", "arguments": {"region": "süd"}}
    message = read_message(dump({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}))
    headers = request_headers(message, "", schemas)
    assert check_modern(headers, message) is None
    assert check_params(headers, schema, {"region": "süd"}) is None
    assert headers["mcp-param-region"].startswith("=?base64?")


# --- what is believed of a server --------------------------------------------------------------------------------------------------------------


FACTS: Mapping[str, Json] = {
    "issuer": ISSUER,
    "token_endpoint": f"{ISSUER}/oauth/token",
    "authorization_endpoint": f"{ISSUER}/oauth/authorize",
    "dpop_signing_alg_values_supported": ["ES256"],
}


def test_metadata_that_fits_together_is_believed() -> None:
    found = facts_in({**FACTS, "authorization_response_iss_parameter_supported": True}, ISSUER)
    assert (found.token, found.says_issuer, found.push) == (f"{ISSUER}/oauth/token", True, "")
    assert issuer_in({"resource": URL, "authorization_servers": [ISSUER]}, URL) == ISSUER
    assert metadata_url(URL, []) == "https://trust.example/.well-known/oauth-protected-resource/mcp/notes"
    assert well_known("https://trust.example/tenant") == (
        "https://trust.example/.well-known/oauth-authorization-server/tenant"
    )
    assert base_of(URL) == ISSUER
    assert base_of("https://trust.example/elsewhere") == ""


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"issuer": "https://trust.example/"}, "issuer_mismatch"),
        ({"issuer": "https://TRUST.example"}, "issuer_mismatch"),
        ({"issuer": None}, "issuer_mismatch"),
        ({"token_endpoint": "http://trust.example/oauth/token"}, "address_insecure"),
        ({"token_endpoint": "http://127.0.0.1/oauth/token"}, "address_insecure"),
        ({"token_endpoint": "https://evil.example/token"}, "endpoint_elsewhere"),
        ({"token_endpoint": "https://trust.example:8443/token"}, "endpoint_elsewhere"),
        ({"token_endpoint": "https://trust.example@evil.example/"}, "address_bad"),
        ({"token_endpoint": "ftp://trust.example/"}, "address_insecure"),
        ({"token_endpoint": None}, "metadata_incomplete"),
        ({"revocation_endpoint": "https://evil.example/r"}, "endpoint_elsewhere"),
        ({"pushed_authorization_request_endpoint": "https://evil.example/r"}, "endpoint_elsewhere"),
        ({"backchannel_authentication_endpoint": "https://evil.example/r"}, "endpoint_elsewhere"),
        ({"authorization_endpoint": "http://trust.example/a"}, "address_insecure"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "address_bad"),
        ({"dpop_signing_alg_values_supported": ["none"]}, "dpop_missing"),
        ({"dpop_signing_alg_values_supported": None}, "dpop_missing"),
    ],
)
def test_t9_metadata_that_does_not_fit_together_is_not_believed(change: Mapping[str, Json], code: str) -> None:
    with pytest.raises(UntrustedServerError) as caught:
        facts_in({**FACTS, **change}, ISSUER)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"resource": "https://trust.example/mcp/other", "authorization_servers": [ISSUER]}, "resource_mismatch"),
        ({"resource": URL + "/", "authorization_servers": [ISSUER]}, "resource_mismatch"),
        ({"resource": URL, "authorization_servers": []}, "issuer_missing"),
        ({"resource": URL, "authorization_servers": ["http://trust.example"]}, "address_insecure"),
        ({"resource": URL, "authorization_servers": [f"{ISSUER}?x=1"]}, "issuer_missing"),
        ({"resource": URL}, "issuer_missing"),
    ],
)
def test_t9_metadata_of_another_resource_names_nobody(document: Mapping[str, Json], code: str) -> None:
    with pytest.raises(UntrustedServerError) as caught:
        issuer_in(document, URL)
    assert caught.value.code == code


def test_t9_a_challenge_does_not_lead_to_another_host() -> None:
    with pytest.raises(UntrustedServerError) as caught:
        metadata_url(URL, ['DPoP resource_metadata="https://evil.example/x"'])
    assert caught.value.code == "metadata_elsewhere"
    with pytest.raises(UntrustedServerError):
        metadata_url(URL, ['DPoP resource_metadata="http://trust.example/x"'])


@pytest.mark.parametrize(
    "url",
    ["http://trust.example/mcp/x", "https://u:p@trust.example/", "https:///x", "https://trust.example/#a", "file:///etc/passwd", "https://a b/"],
)  # fmt: skip
def test_addresses_that_a_secret_must_not_go_to_are_refused(url: str) -> None:
    with pytest.raises(UntrustedServerError):
        check_address(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8/mcp/x", "http://localhost/x", "http://[::1]:9/x", URL])
def test_https_and_this_machine_are_taken(url: str) -> None:
    assert check_address(url) == url


# --- tokens --------------------------------------------------------------------------------------------------------------------------------


def _jwt(**claims: Json) -> str:
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b"{}", dump(claims), b"x"))


def _granted(**change: Json) -> bytes:
    said: dict[str, Json] = {"access_token": _jwt(grant_id="g-1"), "token_type": "DPoP", "expires_in": 300}
    return dump({name: value for name, value in {**said, **change}.items() if value is not None})


def test_a_grant_is_read_with_its_first_pass() -> None:
    found = read_grant(200, _granted(refresh_token="r"), "pass-1", "J", 10.0)
    assert (found.id, found.first_pass, found.refresh, found.ends) == ("g-1", "pass-1", "r", 310.0)
    assert "pass-1" not in repr(found)
    assert found.token not in repr(found)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"token_type": "Bearer"}, "token_not_bound"),
        ({"token_type": None}, "token_not_bound"),
        ({"access_token": _jwt(cnf={"jkt": "another"})}, "token_not_bound"),
        ({"access_token": _jwt(cnf={"x5t#S256": "c"})}, "token_not_bound"),
        ({"access_token": "a b"}, "token_malformed"),
        ({"access_token": "a\r\nX: y"}, "token_malformed"),
        ({"access_token": ""}, "token_malformed"),
        ({"access_token": 7}, "token_malformed"),
        ({"expires_in": 0}, "token_malformed"),
        ({"expires_in": True}, "token_malformed"),
        ({"expires_in": 1e300}, "token_malformed"),
        ({"expires_in": None}, "token_malformed"),
    ],
)
def test_t9_a_token_that_is_not_bound_to_our_key_is_refused(change: Mapping[str, Json], code: str) -> None:
    with pytest.raises(GrantRefusedError) as caught:
        read_grant(200, _granted(**change), "", "J", 0.0)
    assert caught.value.code == code


def test_errors_of_the_token_endpoint_are_told_apart() -> None:
    with pytest.raises(GrantRefusedError) as caught:
        read_grant(400, b'{"error":"authorization_pending"}', "", "J", 0.0)
    assert caught.value.pending
    with pytest.raises(GrantRefusedError) as caught:
        read_grant(400, b'{"error":"access_denied","error_description":"no \\u001b[31m"}', "", "J", 0.0)
    assert not caught.value.pending
    assert "\x1b" not in caught.value.message
    for status, body in ((503, b""), (500, b"<html>"), (429, b'{"error":"slow"}'), (400, b"no json")):
        with pytest.raises(UnavailableError):
            read_grant(status, body, "", "J", 0.0)


def test_a_token_file_is_what_the_command_printed_or_a_token_alone() -> None:
    token = _jwt(grant_id="g-9", exp=1300)
    whole = read_token_file(dump({"grant": {"lanes": 3}, "token": token, "first_pass": "p"}), 5.0, 1000.0)
    assert (whole.id, whole.lanes, whole.first_pass, whole.ends) == ("g-9", 3, "p", 305.0)
    assert read_token_file(token.encode() + b"\n", 5.0, 1000.0).id == "g-9"
    for content in (b"", b"{}", b"no token", b"\xff", b'{"token": 5}'):
        with pytest.raises(BadInputError) as caught:
            read_token_file(content, 0.0, 0.0)
        assert caught.value.code == "token_file_broken"


def test_the_challenge_is_that_of_the_rfc() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    with pytest.raises(BadInputError):
        challenge_of("short")


# --- the command line ------------------------------------------------------------------------------------------------------------------------


def test_flags_are_read() -> None:
    asked = parse(["--login", "token-file", "t.json", "--key", "k", URL, "--lanes", "2", "--json"])
    assert (asked.url, asked.login, asked.token_file, asked.key) == (URL, "token-file", "t.json", "k")
    assert asked.lanes == 2
    assert parse(["--goal=Read it", URL]).goal == "Read it"
    assert parse(["--help"]).wants_help


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], "url_missing"),
        ([URL, URL], "url_missing"),
        ([URL, "--gaol", "x"], "unknown_option"),
        ([URL, "--goal"], "option_without_value"),
        ([URL, "--goal", "x", "--goal", "y"], "option_twice"),
        ([URL, "--login", "magic"], "option_bad_value"),
        ([URL, "--login", "token-file"], "option_without_value"),
        ([URL, "--login", "token-file", "f"], "bad_usage"),
        ([URL, "--svid", "f"], "bad_usage"),
        ([URL, "--login", "svid", "--goal", "x"], "bad_usage"),
        ([URL, "--lanes", "0"], "option_bad_value"),
        ([URL, "--lanes", "17"], "option_bad_value"),
        ([URL, "--gas", "-1"], "option_bad_value"),
        ([URL, "--gas", "NaN"], "option_bad_value"),
        ([URL, "--agent", "../x"], "option_bad_value"),
        ([URL, "--agent", ".x"], "option_bad_value"),
        ([URL, "--agent", ""], "option_bad_value"),
        ([URL, "--goal", "a\x1b[2J"], "option_bad_value"),
        ([URL, "--goal", "x" * 4001], "option_bad_value"),
    ],
)
def test_bad_flags_are_bad_input_with_a_code(words: list[str], code: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse(words)
    assert caught.value.code == code


def test_no_secret_is_taken_on_the_command_line() -> None:
    for word in ("--token", "--secret", "--key-secret", "--password", "--refresh-token"):
        with pytest.raises(JitError) as caught:
            parse([URL, word, "x"])
        assert caught.value.code == "unknown_option"
