"""The routes of the decision API under `/access/v1`, and its metadata.

Every answer is JSON and is not to be stored. A refusal is HTTP 200 with `{"decision": false}`; 4xx says that the request could not be read, or that
whoever asks may not. Whoever asks is found out before anything of the body is read.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jittrust.api.authzen import access_request, coaz, metadata
from jittrust.api.authzen.access_request import AccessRequestTokens, DenialBindingError
from jittrust.api.authzen.callers import Callers, CallerUnknownError, EnforcementPoint
from jittrust.api.authzen.evaluation import BEHIND_BROKER, QuestionAnswerer, TokenCheck, agent_question
from jittrust.api.authzen.read import (
    BatchSemantics,
    QuestionBatch,
    body_of,
    name_in,
    object_in,
    read_batch,
    read_question,
    read_search,
)
from jittrust.api.authzen.search import SearchAnswerer
from jittrust.core.errors import BadInputError, JitError, RefusedError
from jittrust.core.model import Json
from jittrust.core.problem import PROBLEM_TYPE, problem, problem_of
from jittrust.ports.attribute_policy import AttributePolicy
from jittrust.ports.driving import Driving, InProcess

Handler = Callable[[Request, EnforcementPoint], Awaitable[Response]]
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_LONGEST_REQUEST_ID: Final = 256
_TRUSTED_ONLY: Final = 'Bearer realm="authzen"'


class AuthzenFace:
    """Answers the requests of the decision API."""

    def __init__(
        self,
        driving: Driving,
        inner: InProcess,
        issuer: str,
        callers: Callers,
        attributes: AttributePolicy | None,
        tokens: TokenCheck,
    ) -> None:
        """See `authzen_routes`."""
        self._inner = inner
        self._issuer = issuer
        self._callers = callers
        self._requests = AccessRequestTokens(callers.token, issuer, tokens.clock)
        self._questions = QuestionAnswerer(driving, tokens, self._requests, attributes, _new_name)
        self._searches = SearchAnswerer(driving.searches, attributes)

    def routes(self) -> list[Route]:
        """One route for each path; a method that it does not take is told so."""
        path = access_request.PATH
        return [
            Route(metadata.PATH, self._public(self._metadata), methods=METHODS),
            self._route(metadata.EVALUATION, self._evaluation),
            self._route(metadata.EVALUATIONS, self._evaluations),
            self._route(f"{metadata.SEARCH}/{{kind}}", self._search),
            self._route(metadata.OUTCOME, self._outcome),
            self._route(metadata.MCP, self._mcp),
            self._route(path, self._ask),
            self._route(f"{path}/{{task}}", self._task, "GET"),
            self._route(f"{path}/{{task}}/cancel", self._cancel),
        ]

    # ---- what is answered ---------------------------------------------------------------------------------------------------------------

    async def _metadata(self, _: Request) -> Response:
        return _json(metadata.configuration(self._issuer))

    async def _evaluation(self, request: Request, caller: EnforcementPoint) -> Response:
        question = read_question(await body_of(request))
        return _json(await self._questions.answer(question, caller, use=True))

    async def _evaluations(self, request: Request, caller: EnforcementPoint) -> Response:
        told = await body_of(request)
        batch = read_batch(told)
        if batch is None:
            return _json(await self._questions.answer(read_question(told), caller, use=True))
        return _json({"evaluations": await self._answered(batch, caller)})

    async def _answered(self, batch: QuestionBatch, caller: EnforcementPoint) -> list[Json]:
        answers: list[Json] = []
        for item in batch.items:
            try:
                if isinstance(item, BadInputError):
                    raise item
                answer = await self._questions.answer(item, caller, use=False)
            except BadInputError as error:
                fault: Json = {"status": error.http_status, "code": error.code, "message": error.message}
                answer = {"decision": False, "context": {"error": fault}}
            answers.append(answer)
            if batch.semantics is BatchSemantics.DENY_ON_FIRST_DENY and not answer["decision"]:
                break
            if batch.semantics is BatchSemantics.PERMIT_ON_FIRST_PERMIT and answer["decision"]:
                break
        return answers

    async def _search(self, request: Request, caller: EnforcementPoint) -> Response:
        del caller
        kind = request.path_params["kind"]
        known = {
            "subject": self._searches.subjects,
            "resource": self._searches.resources,
            "action": self._searches.actions,
        }
        if kind not in known:
            return _problem(problem(404, "not_found", "There is nothing at this path."), 404)
        question, page = read_search(await body_of(request), kind)
        return _json(await known[kind](question, page))

    async def _outcome(self, request: Request, caller: EnforcementPoint) -> Response:
        return _json(await self._questions.settle(await body_of(request), caller))

    async def _mcp(self, request: Request, caller: EnforcementPoint) -> Response:
        told = await body_of(request)
        message, claims = object_in(told, "body", "message"), object_in(told, "body", "token")
        method = name_in(message, "message", "method", 256)
        if coaz.passes(method):
            return _json({"decision": True, "context": {"reason": "passes_without_decision"}})
        server = name_in(told, "body", "server", 128) if "server" in told else ""
        params = object_in(message, "message", "params")
        try:
            made = coaz.request_of(method, params, claims, server, told.get("mapping"))
        except (coaz.MappingFaultError, RefusedError) as error:
            return _json({"decision": False, "context": {"reason": error.code, "error": error.message}})
        made = _at_server(made, server)
        batch = read_batch(made)
        if batch is None:
            return _json(await self._questions.answer(read_question(made), caller, use=False))
        answers = await self._answered(batch, caller)
        allowed = len(answers) == len(batch.items) and all(
            isinstance(one, Mapping) and one.get("decision") is True for one in answers
        )
        return _json({"decision": allowed, "context": {"evaluations": answers}})

    # ---- access requests ------------------------------------------------------------------------------------------------------------------

    async def _ask(self, request: Request, caller: EnforcementPoint) -> Response:
        del caller
        told = await body_of(request)
        question = read_question(told)
        mission = self._requests.bound(question, object_in(told, "body", "denial"))
        asked = agent_question(question, _new_name("e"))
        if asked is None:  # pragma: no cover - no binding token was ever made for such a question
            raise DenialBindingError("invalid_denial_binding", "Nobody can be asked about this.")
        approval = await self._inner.access_requests.open(asked.ask, mission)
        answer = self._requests.told(approval)
        where = f"{self._issuer}{access_request.PATH}/{self._requests.handle(approval.id)}"
        return _json(answer, 202, {"location": where})

    async def _task(self, request: Request, caller: EnforcementPoint) -> Response:
        del caller
        approval = await self._inner.access_requests.find(self._requests.approval_of(request.path_params["task"]))
        pending = access_request.task_state(approval) == "pending"
        return _json(self._requests.told(approval), 200, {"retry-after": "5"} if pending else {})

    async def _cancel(self, request: Request, caller: EnforcementPoint) -> Response:
        name = self._requests.approval_of(request.path_params["task"])
        taken = await self._inner.access_requests.cancel(name, f"{access_request.TAKEN_BACK}{caller.name}")
        return _json(self._requests.told(taken))

    # ---- around every answer ----------------------------------------------------------------------------------------------------------

    def _route(self, path: str, handler: Handler, method: str = "POST") -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                request_id = _request_id(request)
            except BadInputError as error:
                return _problem(problem_of(error), error.http_status)
            try:
                caller = await self._callers.authenticate(request)
                if request.method != method:
                    response = _problem(problem(405, "method_not_allowed", f"This path takes {method}."), 405)
                    response.headers["allow"] = method
                else:
                    response = await handler(request, caller)
            except JitError as error:
                response = _fault(error)
            return _echoed(response, request_id)

        return Route(path, endpoint, methods=METHODS)

    def _public(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                request_id = _request_id(request)
            except BadInputError as error:
                return _problem(problem_of(error), error.http_status)
            if request.method not in {"GET", "HEAD"}:
                response = _problem(problem(405, "method_not_allowed", "This path takes GET."), 405)
                response.headers["allow"] = "GET, HEAD"
                return _echoed(response, request_id)
            return _echoed(await handler(request), request_id)

        return endpoint


def authzen_routes(
    driving: Driving,
    inner: InProcess,
    issuer: str,
    callers: Callers,
    attributes: AttributePolicy | None,
    tokens: TokenCheck,
) -> list[Route]:
    """The routes of the decision API.

    Args:
        driving: the broker.
        inner: its parts that only faces of its own process may ask.
        issuer: URL under which this server is known.
        callers: who may ask.
        attributes: answers for everything but tools, resources and prompts that agents ask for; None = no.
        tokens: what presented access tokens are checked against.
    """
    return AuthzenFace(driving, inner, issuer, callers, attributes, tokens).routes()


def _at_server(made: Mapping[str, Json], server: str) -> dict[str, Json]:
    """The request with the server's name where what is asked for is behind the broker."""
    resource = made.get("resource")
    kind = resource.get("type") if isinstance(resource, Mapping) else None
    if not server or not isinstance(resource, Mapping) or not isinstance(kind, str) or kind not in BEHIND_BROKER:
        return dict(made)
    return {**made, "resource": {**resource, "properties": {"server": server}}}


def _request_id(request: Request) -> str:
    """The request's name for itself, echoed as it came. Raises BadInputError: code `request_id_bad`."""
    sent = request.headers.getlist("x-request-id")
    if not sent:
        return ""
    if len(sent) > 1 or len(sent[0]) > _LONGEST_REQUEST_ID or not sent[0].isascii() or not sent[0].isprintable():
        raise BadInputError(
            "request_id_bad", f"X-Request-ID comes once, with at most {_LONGEST_REQUEST_ID} printable characters."
        )
    return sent[0]


def _echoed(response: Response, request_id: str) -> Response:
    if request_id:
        response.headers["x-request-id"] = request_id
    return response


def _fault(error: JitError) -> Response:
    status = error.http_status
    if isinstance(error, DenialBindingError):
        told = json.loads(problem_of(error))
        return _problem(json.dumps({"type": access_request.ERRORS + error.code, **told}).encode(), status)
    response = _problem(problem_of(error), status)
    if isinstance(error, CallerUnknownError):
        response.headers["www-authenticate"] = _TRUSTED_ONLY
    if status == 503:  # noqa: PLR2004
        response.headers["retry-after"] = "1"
    return response


def _json(told: Mapping[str, Json], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    return Response(body, status, {"cache-control": "no-store", **(headers or {})}, "application/json")


def _problem(body: bytes, status: int) -> Response:
    return Response(body, status, {"cache-control": "no-store"}, PROBLEM_TYPE)


def _new_name(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(12)}"
