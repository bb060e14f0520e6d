"""Claude Code's HTTP hooks: the strongest source of a goal is what the person typed, before the model read anything else.

`UserPromptSubmit` adds the prompt to the person's mission; every other event is answered with `{}`, no opinion. Wire format: docs/hooks.md.
"""

from __future__ import annotations

import hmac

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

_JSON = (b"content-type", b"application/json")


class ClaudeCodeHook:
    """ASGI application for `POST /hooks/claude-code`.

    The bearer token is a secret of the person's own hook configuration and opens nothing else: no agent holds it, and an agent that reads it
    could only add words to a goal, so the file that holds it is readable by its owner alone (`jittrust doctor` says what that cannot stop).
    """

    def __init__(self, missions: Missions, person: str, token: str) -> None:
        """`person`: for whom this broker works. `token`: the hook's secret, ASCII, not empty."""
        if not token or not token.isascii():
            raise BadInputError("bad_hook_token", "the hook's token must be ASCII and not empty")
        self._missions = missions
        self._person = person
        self._wanted = b"Bearer " + token.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one hook call; every refusal is problem details with a code, which `onFailure: block` turns into a stopped prompt."""
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
            await self._take(body)
        except ClientGoneError:
            return
        except JitError as error:
            await answer_error(send, error)
            return
        await answer(send, 200, b"{}", [_JSON, NO_STORE])

    async def _take(self, body: bytes) -> None:
        event = parse_object(body, max_bytes=MAX_HOOK_BODY, allow_nul=True)
        name = event.get("hook_event_name")
        if not isinstance(name, str):
            raise BadInputError("hook_event_missing", "the body names no hook_event_name")
        if name != "UserPromptSubmit":
            return
        session, prompt = event.get("session_id"), event.get("prompt")
        if not isinstance(session, str) or not 0 < len(session) <= MAX_SESSION_NAME:
            raise BadInputError("hook_session_missing", f"session_id must be 1..{MAX_SESSION_NAME} characters")
        if not isinstance(prompt, str):
            raise BadInputError("hook_prompt_missing", "UserPromptSubmit carries a prompt")
        # An empty prompt (an image alone, a bare return) says nothing, and a NUL is no word.
        words = prompt.replace("\x00", " ").strip()[:MAX_PROMPT]
        if words:
            await self._missions.say(self._person, words, GoalSource.PROMPT_HOOK, session)
