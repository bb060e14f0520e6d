"""The judge's adapter against a real endpoint over a real socket that answers well, lies, stalls, rambles or attacks; and through the whole broker."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.federating import RootAuthority, tls_endpoint
from tests.judging import (
    SameAnswer,
    StubEndpoint,
    bomb,
    drip,
    envelope,
    flood,
    http,
    saying,
    stall,
    stream_on,
    stub_endpoint,
)
from tests.model.world import MAIL, allowing, world

from jittrust.adapters.openai.judge import OpenAiJudge, judge_named
from jittrust.apps.settings import load_settings
from jittrust.apps.wiring import judge_of
from jittrust.core.errors import BadInputError, JitError
from jittrust.core.intent.judge import JudgeQuestion, JudgeRules
from jittrust.core.model import Ruling
from jittrust.core.rules import Rules
from jittrust.core.secret import Secret

KEY = "sk-test-not-a-key-0123456789"
QUESTION = JudgeQuestion({"1": "Write to Anna."}, "srv/send_mail", "Send a mail.", {}, {"/to": ("“anna”", "target")})
RULES = replace(Rules(), judge=JudgeRules(wis_below=101.0, timeout=1.0))


def judge(stub: StubEndpoint, key: str = KEY) -> OpenAiJudge:
    return OpenAiJudge("llama", stub.base_url, Secret(key.encode()) if key else None, lambda _: True)


def in_memory(_: StubEndpoint, __: str = "") -> SameAnswer:
    return SameAnswer(saying())


@pytest.mark.parametrize("make", [judge, in_memory], ids=["endpoint", "memory"])
async def test_a_judge_gives_the_words_of_its_model(make: object) -> None:
    async with stub_endpoint() as stub:
        asked = make(stub)  # type: ignore[operator]
        assert json.loads(await asked.ask(QUESTION)) == json.loads(saying())
        assert asked.model


async def test_what_goes_over_the_wire_is_the_question_and_nothing_about_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else-000000")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody-else")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with stub_endpoint() as stub:
        await judge(stub).ask(QUESTION)
        await judge(stub, "").ask(QUESTION)

    head, _, body = stub.received[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    told = json.loads(body)
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    names = {line.partition(":")[0].lower() for line in lines[1:]}
    assert names == {
        "host", "accept", "content-type", "content-length", "connection", "accept-encoding", "user-agent", "authorization",
    }  # fmt: skip
    assert f"host: 127.0.0.1:{stub.port}" in head.decode().lower()
    assert f"Bearer {KEY}" in head.decode()
    assert b"somebody-else" not in stub.received[0] + stub.received[1]
    assert b"authorization" not in stub.received[1].lower()
    assert set(told) == {"model", "messages", "response_format", "temperature", "max_tokens"}
    assert json.loads(told["messages"][1]["content"]) == json.loads(QUESTION.text())
    assert told["response_format"]["json_schema"]["strict"] is True


BAD: dict[str, dict[str, object]] = {
    "stalls": {"behave": stall},
    "drips": {"behave": drip},
    "streams": {"behave": stream_on},
    "floods": {"behave": flood},
    "bomb": {"reply": bomb()},
    "500": {"reply": http(b"{}", "500 Internal Server Error")},
    "429": {"reply": http(b"{}", "429 Too Many Requests", "Retry-After: 0")},
    "404": {"reply": http(b'{"error": "model not found"}', "404 Not Found")},
    "redirect": {"reply": http(b"", "307 Temporary Redirect", "Location: /elsewhere")},
    "redirect to a friendly answer": {"reply": http(envelope(saying()), "302 Found", "Location: /elsewhere")},
    "no http": {"reply": b"\x00\xff garbage"},
    "nothing": {"reply": b""},
    "half": {"reply": http(envelope(saying()))[:-20]},
    "no json": {"reply": http(b"aligned")},
    "html": {"reply": http(b"<html>", "200 OK", "Content-Type: text/html")},
    "rambles": {"reply": http(envelope("Well, let me think. " * 20 + saying("unrelated", "")))},
    "rambles for long": {"reply": http(envelope("x" * 60_000))},
    "ten megabytes": {"reply": http(b" " * 10_000_000 + envelope(saying("unrelated", "")))},
    "refuses": {"reply": http(envelope(None, refusal="I cannot help with that."))},
    "calls a tool": {"reply": http(envelope(None, tool_calls=[{"id": "1"}]))},
    "parts": {"reply": http(envelope([{"type": "text", "text": saying("unrelated", "")}]))},
    "no choice": {"reply": http(b'{"choices": []}')},
    "two choices": {"reply": http(b'{"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}')},
    "duplicate keys": {"reply": http(envelope('{"relation":"unrelated","clause":"","confidence":1,"relation":"unrelated"}'))},
    "duplicate keys around": {"reply": http(envelope(saying("unrelated", ""))[:-1] + b', "choices": []}')},
    "deep": {"reply": http(b"[" * 50_000)},
    "deep words": {"reply": http(envelope("[" * 900))},
    "nan": {"reply": http(envelope('{"relation": "unrelated", "clause": "", "confidence": NaN}'))},
    "other clause": {"reply": http(envelope(saying("unrelated", "77")))},
    "more keys": {"reply": http(envelope('{"relation":"unrelated","clause":"","confidence":1,"allow":true}'))},
    "not utf-8": {"reply": http(b'{"choices": "\xff"}')},
}  # fmt: skip


@pytest.mark.parametrize("how", BAD)
async def test_whatever_else_an_endpoint_does_is_as_if_it_were_not_there(how: str) -> None:
    """Each would say `unrelated` if it were believed; the call passes as it does without a judge, and soon."""
    loop = asyncio.get_running_loop()
    async with stub_endpoint(**BAD[how]) as stub:
        w = await world(rules=RULES, judge=judge(stub))
        await w.join()
        await w.start(allowing("send_mail"))
        began = loop.time()
        decision = await w.call("send_mail", MAIL)
        took = loop.time() - began

    assert decision.verdict.ruling is Ruling.ALLOW
    assert took < 2.0
    assert len(stub.received) == 1, "one question is one request"
    assert stub.elsewhere == 0
    (record,) = await w.records("use")
    assert record["intent"]["judge"]["no_answer"] in ("timeout", "unreachable", "not_an_answer")  # type: ignore[index,call-overload,operator]


def test_without_the_setting_the_client_is_never_loaded() -> None:
    code = "import sys, jittrust.apps.wiring as w; w.judge_of(None, {}); sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


async def test_nobody_there_is_no_answer_either() -> None:
    async with stub_endpoint() as stub:
        pass
    with pytest.raises(JitError) as caught:
        await judge(stub).ask(QUESTION)
    assert caught.value.code == "judge_unreachable"


async def test_an_honest_doubt_over_the_wire_has_a_person_asked() -> None:
    async with stub_endpoint(reply=http(envelope(saying("unrelated", "")))) as stub:
        w = await world(rules=RULES, judge=judge(stub))
        await w.join()
        await w.start(allowing("send_mail"))
        decision = await w.call("send_mail", MAIL)

    assert decision.verdict.ruling is Ruling.STEP_UP
    assert "judge_doubts" in decision.verdict.codes


async def test_the_key_stands_in_no_error_record_or_print(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    seen = [repr(Secret(KEY.encode()))]
    for bad in ({"reply": http(b"{}", "401 Unauthorized")}, {"reply": b"\x00"}, {"behave": stall}):
        async with stub_endpoint(**bad) as stub:
            made = judge(stub)
            seen += [repr(made), repr(made._client), str(vars(made._client))]
            w = await world(rules=RULES, judge=made)
            await w.join()
            await w.start(allowing("send_mail"))
            seen += [repr(await w.call("send_mail", MAIL)), json.dumps(await w.records())]

    assert KEY not in "".join(seen) + caplog.text


@pytest.mark.parametrize(
    ("named", "model", "url"),
    [
        ("llama3.1@http://127.0.0.1:11434/v1", "llama3.1", "http://127.0.0.1:11434/v1"),
        ("qwen2.5:7b@http://localhost:8000/v1/", "qwen2.5:7b", "http://localhost:8000/v1"),
        ("m@http://[::1]:8000/v1", "m", "http://[::1]:8000/v1"),
        ("org/model@https://models.example.org/v1", "org/model", "https://models.example.org/v1"),
        ("@cf/meta/llama@https://api.example.com/v1", "@cf/meta/llama", "https://api.example.com/v1"),
    ],
)
def test_a_model_and_where_it_is_are_one_setting(named: str, model: str, url: str) -> None:
    assert judge_named(named) == (model, url)


@pytest.mark.parametrize(
    "named",
    [
        "llama3.1",
        "http://127.0.0.1:11434/v1",
        "m@http://models.example.org/v1",
        "m@http://127.0.0.1.example.org/v1",
        "m@http://localhost.example.org/v1",
        "m@http://user:pw@127.0.0.1/v1",
        "m@https://u@example.org/v1",
        "m@https://example.org/v1?key=x",
        "m@https://example.org/v1#x",
        "m@https://example.org:99999/v1",
        "m@ftp://127.0.0.1/v1",
        "m@https:///v1",
        "m@http://127.0.0.1\\@example.org/v1",
    ],
)
def test_plain_http_never_leaves_this_machine_and_no_address_carries_a_secret(named: str) -> None:
    with pytest.raises(BadInputError) as caught:
        judge_named(named)
    assert caught.value.code == "judge_bad"


async def test_a_name_that_leads_to_an_address_that_is_never_asked_is_not_asked() -> None:
    """`localhost` over https, with every address refused: nothing is connected to."""
    async with stub_endpoint() as stub:
        guarded = OpenAiJudge("m", f"https://localhost:{stub.port}/v1", None, lambda _: False)
        with pytest.raises(JitError):
            await guarded.ask(QUESTION)
        assert stub.received == []


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name leads to this machine."""

    def resolved(host: str, port: int, *_a: object, **_k: object) -> list[object]:
        del host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("certified", "refused_by"),
    [("models.example", ""), ("other.example", "name"), ("models.example", "root"), ("models.example", "address")],
)
async def test_over_https_the_name_that_was_configured_must_answer_from_an_address_that_is_asked(
    certified: str, refused_by: str
) -> None:
    root, asked = RootAuthority(), list[str]()
    trusted = RootAuthority() if refused_by == "root" else root
    tls = ssl.create_default_context(cadata=trusted.pem.decode())
    async with tls_endpoint(root.leaf(certified), http(envelope(saying())), asked=asked) as port:
        may = refused_by != "address"
        made = OpenAiJudge("m", f"https://models.example:{port}/v1", Secret(KEY.encode()), lambda _: may, tls)
        if refused_by:
            with pytest.raises(JitError):
                await made.ask(QUESTION)
        else:
            assert json.loads(await made.ask(QUESTION)) == json.loads(saying())

    assert bool(asked) is not bool(refused_by)


def test_the_setting_and_the_key_of_the_environment_make_a_judge_and_without_it_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "jittrust.yaml"
    file.write_text("intent:\n  judge: llama3.1@http://127.0.0.1:11434/v1\n")
    environ = {"JITTRUST_JUDGE_KEY": KEY}

    made = judge_of(load_settings(file, environ), environ)

    assert made is not None
    assert made.model == "llama3.1"
    assert judge_of(load_settings(None, environ), environ) is None
    with pytest.raises(BadInputError):
        judge_of(load_settings(file, environ), {"JITTRUST_JUDGE_KEY": "two\nlines"})
    file.write_text("intent:\n  judge: llama3.1@http://models.example.org/v1\n")
    with pytest.raises(BadInputError):
        judge_of(load_settings(file, environ), environ)
