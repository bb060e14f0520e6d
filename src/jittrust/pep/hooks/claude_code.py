"""Claude Code's HTTP hooks: the strongest source of a goal is what the person typed, before the model read anything else.

`UserPromptSubmit` adds the prompt to the person's mission; every other event is answered with `{}`, no opinion. Not every prompt is a
person's: Claude Code submits its own notices the same way, with text in them that the agent wrote. Wire format: docs/hooks.md.
"""

from __future__ import annotations

import hmac
import json
import re
from typing import Final

from jittrust.core.errors import BadInputError, JitError
from jittrust.core.mission.mission import GoalSource
from jittrust.core.strict_json import parse_object
from jittrust.pep.asgi import (
    NO_STORE,
    ClientGoneError,
    Receive,
    Scope,
    Send,
    answer,
    answer_error,
    answer_problem,
    check_json_type,
    one_header,
    read_body,
)
from jittrust.ports.missions import Missions

MAX_HOOK_BODY = 1024 * 1024
"""Most bytes of one hook call: a prompt with a long paste fits."""
MAX_PROMPT = 16_000
"""Most characters of a prompt that become part of a goal. The rest is left out: fewer words can only narrow what is authorised."""
MAX_SESSION_NAME = 200

# What Claude Code itself puts into a prompt. A notice that a background task has ended carries the description that the agent gave the task
# and what a sub-agent said; taken as a goal, it would let the agent write its own.
_NOTICES: Final = "|".join(
    """
    agent-message artifact-[a-z-]+ bash-[a-z-]+ channel command-[a-z]+ coordinator-relay cross-session-message fetched-web-content fork-[a-z-]+
    local-command-[a-z]+ mcp-[a-z-]+ remote-review[a-z-]* slack-ping slack-tag-message system[-_]reminder task-notification teammate-message
    tick untrusted-[a-z-]+ wake
    """.split()
)
_NOT_TYPED: Final = re.compile(
    rf"^[ \t]*<(?:{_NOTICES})[\s/>]"
    # A later version may bring other notices: a prompt that opens with such a name is none that people type.
    r"|\A<[a-z][a-z0-9]*[-_][a-z0-9_-]*[\s/>]"
    r"|^\[[A-Z ,-]*NOT USER INPUT\]"
    # The agent's own plan, submitted in a fresh conversation once its person has accepted it.
    r"|\AImplement the following plan:$",
    re.MULTILINE,
)

_JSON = (b"content-type", b"application/json")


class ClaudeCodeHook:
    """ASGI application for `POST /hooks/claude-code`.

    The bearer token is a secret of the person's own hook configuration and opens nothing else. It keeps other users and web pages out, so the
    file that holds it is readable by its owner alone. An agent with a shell of the same user can read it and add words to the goal; `jittrust
    doctor` says so.
    """

    def __init__(self, missions: Missions, person: str, token: str) -> None:
        """`person`: for whom this broker works. `token`: the hook's secret, ASCII, not empty."""
        if not token or not token.isascii():
            raise BadInputError("bad_hook_token", "the hook's token must be ASCII and not empty")
        self._missions = missions
        self._person = person
        self._wanted = b"Bearer " + token.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one hook call.

        What is no hook call of Claude Code's is refused with problem details, which `onFailure: block` turns into a stopped prompt. A prompt that
        the broker could not take is stopped with a reason: of an answer other than 200, Claude Code shows its person the status alone.
        """
        if scope["method"] != "POST":
            await answer_problem(send, 405, "method_not_allowed", "hooks are posted", headers=[(b"allow", b"POST")])
            return
        try:
            if not hmac.compare_digest(one_header(scope, b"authorization") or b"", self._wanted):
                await answer_problem(
                    send, 401, "hook_token_wrong", "the hook's bearer token is missing or wrong",
                    headers=[(b"www-authenticate", b"Bearer")],
                )  # fmt: skip
                return
            check_json_type(scope)
            body = await read_body(scope, receive, limit=MAX_HOOK_BODY, seconds=10.0)
            told = await self._take(body)
        except ClientGoneError:
            return
        except JitError as error:
            await answer_error(send, error)
            return
        await answer(send, 200, json.dumps(told).encode("ascii"), [_JSON, NO_STORE])

    async def _take(self, body: bytes) -> dict[str, str]:
        event = parse_object(body, max_bytes=MAX_HOOK_BODY, allow_nul=True)
        name = event.get("hook_event_name")
        if not isinstance(name, str):
            raise BadInputError("hook_event_missing", "the body names no hook_event_name")
        if name != "UserPromptSubmit":
            return {}
        session, prompt = event.get("session_id"), event.get("prompt")
        if not isinstance(session, str) or not 0 < len(session) <= MAX_SESSION_NAME:
            raise BadInputError("hook_session_missing", f"session_id must be 1..{MAX_SESSION_NAME} characters")
        if not isinstance(prompt, str):
            raise BadInputError("hook_prompt_missing", "UserPromptSubmit carries a prompt")
        if "agent_id" in event:
            return {}  # a sub-agent's prompt is written by the agent above it
        words = typed(prompt)
        if not words:
            return {}
        try:
            await self._missions.say(self._person, words, GoalSource.PROMPT_HOOK, session)
        except JitError as error:
            return {"decision": "block", "reason": f"jittrust: {error}"}
        return {}


def typed(prompt: str) -> str:
    """The part of a prompt that a person typed: up to the first notice of the client's own, at most `MAX_PROMPT` characters; "" = nothing.

    An empty prompt (an image alone, a bare return) says nothing, and a NUL is no word.
    """
    words = prompt.replace("\x00", " ").strip()[:MAX_PROMPT]
    notice = _NOT_TYPED.search(words)
    return words if notice is None else words[: notice.start()].rstrip()
