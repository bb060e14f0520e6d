"""The upstream of the conformance comparison: tools, resources and prompts that the MCP conformance suite asks for.

Built on the official SDK's low-level server, streamable HTTP, both revisions. Names, texts and shapes are those that
the suite's scenarios describe. Run: `python everything_server.py --port 0`; prints its URL as one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import socket
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError

# Sampling, logging and roots are deprecated and still part of what a gateway must carry.
warnings.simplefilter("ignore", MCPDeprecationWarning)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
SILENCE = base64.b64encode(
    b"RIFF" + (36).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    + bytes((1, 0, 1, 0)) + (8000).to_bytes(4, "little") + (8000).to_bytes(4, "little")
    + bytes((1, 0, 8, 0)) + b"data" + bytes(4)
).decode()  # fmt: skip

Context = Any  # ServerRequestContext[dict[str, Any], Request]: its parameters say nothing here
Params = types.CallToolRequestParams
Answer = types.CallToolResult | types.InputRequiredResult
Run = Callable[[Context, Params], Awaitable[Answer]]

EMPTY: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


def text(*lines: str, is_error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=line) for line in lines], is_error=is_error)


def one_field(name: str, kind: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}


def ask(message: str, schema: dict[str, Any]) -> types.ElicitRequest:
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, most: int) -> types.CreateMessageRequest:
    said = types.SamplingMessage(role="user", content=types.TextContent(text=prompt))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[said], max_tokens=most))


def need(requests: types.InputRequests, state: str | None = None) -> types.InputRequiredResult:
    return types.InputRequiredResult(input_requests=requests, request_state=state)


def answered(params: Params | types.GetPromptRequestParams, key: str, *fields: str) -> types.ElicitResult | None:
    """The accepted form under `key`, if it is there and has the fields."""
    found = (params.input_responses or {}).get(key)
    if not isinstance(found, types.ElicitResult) or found.action != "accept":
        return None
    return found if all(field in (found.content or {}) for field in fields) else None


@dataclass(frozen=True, slots=True)
class FixtureTool:
    """What is listed and what is run."""

    description: str
    schema: dict[str, Any]
    run: Run
    reads_only: bool = True

    def listed(self, name: str) -> types.Tool:
        hints = types.ToolAnnotations(
            read_only_hint=self.reads_only, destructive_hint=False, idempotent_hint=True, open_world_hint=False
        )
        return types.Tool(name=name, description=self.description, input_schema=self.schema, annotations=hints)


def constant(result: types.CallToolResult) -> Run:
    async def run(_: Context, __: Params) -> Answer:
        return result

    return run


def image() -> types.ImageContent:
    return types.ImageContent(data=PIXEL, mime_type="image/png")


def embedded(uri: str, mime_type: str, content: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=content))


async def fails(_: Context, __: Params) -> Answer:
    return text("This tool intentionally returns an error for testing", is_error=True)


async def logs(ctx: Context, _: Params) -> Answer:
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.session.send_log_message("info", line, related_request_id=ctx.request_id)
        await asyncio.sleep(0.05)
    return text("Tool with logging executed successfully")


async def progresses(ctx: Context, _: Params) -> Answer:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(0.05)
    return text("Tool with progress executed successfully")


async def samples(ctx: Context, params: Params) -> Answer:
    said = types.SamplingMessage(role="user", content=types.TextContent(text=str((params.arguments or {})["prompt"])))
    reply = await ctx.session.create_message([said], max_tokens=100, related_request_id=ctx.request_id)
    return text(f"LLM response: {getattr(reply.content, 'text', '')}")


def elicits(prefix: str, schema: dict[str, Any], message: str | None = None) -> Run:
    async def run(ctx: Context, params: Params) -> Answer:
        said = message or str((params.arguments or {})["message"])
        reply = await ctx.session.elicit_form(said, schema, related_request_id=ctx.request_id)
        return text(f"{prefix}: action={reply.action}, content={json.dumps(reply.content)}")

    return run


async def reconnects(ctx: Context, _: Params) -> Answer:
    """Closes the stream of its own answer: the client comes back for it with Last-Event-ID."""
    if ctx.close_sse_stream is not None:
        await ctx.close_sse_stream()
    await asyncio.sleep(0.1)
    return text("Reconnection test completed")


async def greets(_: Context, params: Params) -> Answer:
    reply = answered(params, "user_name", "name")
    if reply is None:
        return need({"user_name": ask("What is your name?", one_field("name", "string"))})
    return text(f"Hello, {(reply.content or {})['name']}!")


async def asks_the_model(_: Context, params: Params) -> Answer:
    reply = (params.input_responses or {}).get("capital_question")
    if not isinstance(reply, types.CreateMessageResult):
        return need({"capital_question": sample("What is the capital of France?", 100)})
    return text(str(getattr(reply.content, "text", "")))


async def asks_for_roots(_: Context, params: Params) -> Answer:
    reply = (params.input_responses or {}).get("client_roots")
    if not isinstance(reply, types.ListRootsResult):
        return need({"client_roots": types.ListRootsRequest()})
    return text("Roots: " + ", ".join(str(root.uri) for root in reply.roots))


async def keeps_state(_: Context, params: Params) -> Answer:
    if answered(params, "confirm", "ok") is None or params.request_state != "confirming":
        return need({"confirm": ask("Please confirm", one_field("ok", "boolean"))}, "confirming")
    return text("state-ok")


async def asks_three_things(_: Context, params: Params) -> Answer:
    given = params.input_responses or {}
    if params.request_state != "three" or not {"user_name", "greeting", "client_roots"} <= given.keys():
        requests: types.InputRequests = {
            "user_name": ask("What is your name?", one_field("name", "string")),
            "greeting": sample("Generate a greeting", 50),
            "client_roots": types.ListRootsRequest(),
        }
        return need(requests, "three")
    return text("All three answers arrived")


async def asks_twice(_: Context, params: Params) -> Answer:
    if params.request_state == "step2" and answered(params, "step2", "color"):
        return text("Both steps are done")
    if params.request_state == "step1" and answered(params, "step1", "name"):
        return need({"step2": ask("Step 2: What is your favorite color?", one_field("color", "string"))}, "step2")
    return need({"step1": ask("Step 1: What is your name?", one_field("name", "string"))}, "step1")


async def asks_what_the_client_can(ctx: Context, params: Params) -> Answer:
    able = ctx.session.client_capabilities or types.ClientCapabilities()
    wanted: types.InputRequests = {}
    if able.sampling is not None:
        wanted["greeting"] = sample("Generate a greeting", 50)
    if able.elicitation is not None:
        wanted["user_name"] = ask("What is your name?", one_field("name", "string"))
    if params.input_responses or not wanted:
        return text("Nothing more is needed")
    return need(wanted)


async def needs_sampling(ctx: Context, _: Params) -> Answer:
    able = ctx.session.client_capabilities
    if able is None or able.sampling is None:
        data: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool needs the client's sampling", data)
    return text("The client can sample")


def changes(bus: InMemorySubscriptionBus, *, tools: bool) -> Run:
    async def run(_: Context, __: Params) -> Answer:
        await bus.publish(ToolsListChanged() if tools else PromptsListChanged())
        return text("A change was announced")

    return run


DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "required": [],
}

TITLED = [{"const": f"value{n}", "title": f"{word} Option"} for n, word in enumerate(("First", "Second", "Third"), 1)]
ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
        "titledSingle": {"type": "string", "oneOf": TITLED},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
        "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
    },
    "required": [],
}

ACCOUNT = {
    "type": "object",
    "properties": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    },
    "required": ["username", "email"],
}

ADDRESSES = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}

REGION = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    "required": ["region"],
}


def tool_table(bus: InMemorySubscriptionBus) -> dict[str, FixtureTool]:
    mixed = types.CallToolResult(
        content=[
            types.TextContent(text="Multiple content types test:"),
            image(),
            embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
        ]
    )
    audio = types.CallToolResult(content=[types.AudioContent(data=SILENCE, mime_type="audio/wav")])
    resource = embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    said = "Elicitation completed"
    return {
        "test_simple_text": FixtureTool(
            "Returns a simple text", EMPTY, constant(text("This is a simple text response for testing."))
        ),
        "test_image_content": FixtureTool("Returns an image", EMPTY, constant(types.CallToolResult(content=[image()]))),
        "test_audio_content": FixtureTool("Returns a sound", EMPTY, constant(audio)),
        "test_embedded_resource": FixtureTool(
            "Returns an embedded resource", EMPTY, constant(types.CallToolResult(content=[resource]))
        ),
        "test_multiple_content_types": FixtureTool(
            "Returns a text, an image and an embedded resource", EMPTY, constant(mixed)
        ),
        "test_error_handling": FixtureTool("Always returns an error", EMPTY, fails),
        "test_tool_with_logging": FixtureTool("Returns a text, sends log messages on the way", EMPTY, logs),
        "test_logging_tool": FixtureTool(
            "Returns a text, sends log messages where the request wants them", EMPTY, logs
        ),
        "test_tool_with_progress": FixtureTool("Returns a text, reports progress on the way", EMPTY, progresses),
        "test_sampling": FixtureTool("Returns what the client's model says", one_field("prompt", "string"), samples),
        "test_elicitation": FixtureTool(
            "Returns what the user answers", one_field("message", "string"), elicits("User response", ACCOUNT)
        ),
        "test_elicitation_sep1034_defaults": FixtureTool(
            "Returns what the user answers to a form with defaults",
            EMPTY,
            elicits(said, DEFAULTS, "Please check these"),
        ),
        "test_elicitation_sep1330_enums": FixtureTool(
            "Returns what the user chooses in a form", EMPTY, elicits(said, ENUMS, "Please choose")
        ),
        "test_reconnection": FixtureTool("Returns a text after closing the stream once", EMPTY, reconnects),
        "test_missing_capability": FixtureTool("Returns a text to clients that can sample", EMPTY, needs_sampling),
        "test_streaming_elicitation": FixtureTool("Returns a greeting once it knows the name", EMPTY, greets),
        "test_input_required_result_elicitation": FixtureTool(
            "Returns a greeting once it knows the name", EMPTY, greets
        ),
        "test_input_required_result_sampling": FixtureTool("Returns what the model says", EMPTY, asks_the_model),
        "test_input_required_result_list_roots": FixtureTool("Returns the client's roots", EMPTY, asks_for_roots),
        "test_input_required_result_request_state": FixtureTool(
            "Returns a text once it is confirmed", EMPTY, keeps_state
        ),
        "test_input_required_result_tampered_state": FixtureTool(
            "Returns a text once it is confirmed", EMPTY, keeps_state
        ),
        "test_input_required_result_multiple_inputs": FixtureTool(
            "Returns a text once three questions are answered", EMPTY, asks_three_things
        ),
        "test_input_required_result_multi_round": FixtureTool(
            "Returns a text after two rounds of questions", EMPTY, asks_twice
        ),
        "test_input_required_result_capabilities": FixtureTool(
            "Returns a text; asks only what the client can answer", EMPTY, asks_what_the_client_can
        ),
        "test_trigger_tool_change": FixtureTool(
            "Announces a change of the tool list", EMPTY, changes(bus, tools=True), reads_only=False
        ),
        "test_trigger_prompt_change": FixtureTool(
            "Announces a change of the prompt list", EMPTY, changes(bus, tools=False), reads_only=False
        ),
        "json_schema_2020_12_tool": FixtureTool(
            "Tool with JSON Schema 2020-12 features", ADDRESSES, constant(text("Address taken"))
        ),
        "test_x_mcp_header": FixtureTool("Returns a text for one region", REGION, constant(text("Region read"))),
    }


RESOURCES: dict[str, tuple[str, str, str | bytes]] = {
    "test://static-text": ("static-text", "text/plain", "This is the content of the static text resource."),
    "test://static-binary": ("static-binary", "image/png", base64.b64decode(PIXEL)),
    "test://watched-resource": ("watched-resource", "text/plain", "Watched resource content"),
}


def read(uri: str) -> types.TextResourceContents | types.BlobResourceContents:
    if uri in RESOURCES:
        _, mime_type, content = RESOURCES[uri]
        if isinstance(content, bytes):
            blob = base64.b64encode(content).decode()
            return types.BlobResourceContents(uri=uri, mime_type=mime_type, blob=blob)
        return types.TextResourceContents(uri=uri, mime_type=mime_type, text=content)
    number = uri.removeprefix("test://template/").removesuffix("/data")
    if uri != f"test://template/{number}/data" or "/" in number or not number:
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
    data = json.dumps({"id": number, "templateTest": True, "data": f"Data for ID: {number}"}, separators=(",", ":"))
    return types.TextResourceContents(uri=uri, mime_type="application/json", text=data)


PROMPTS = {
    "test_simple_prompt": ("A simple prompt without arguments", ()),
    "test_prompt_with_arguments": ("A prompt with two arguments", ("arg1", "arg2")),
    "test_prompt_with_embedded_resource": ("A prompt that embeds a resource", ("resourceUri",)),
    "test_prompt_with_image": ("A prompt with an image", ()),
    "test_input_required_result_prompt": ("A prompt that asks for its context first", ()),
}


def prompt(params: types.GetPromptRequestParams) -> types.GetPromptResult | types.InputRequiredResult:
    if params.name not in PROMPTS:
        raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
    description, wanted = PROMPTS[params.name]
    given = params.arguments or {}
    missing = [name for name in wanted if name not in given]
    if missing:
        raise MCPError(types.INVALID_PARAMS, f"Missing arguments: {', '.join(missing)}")
    said: list[Any]
    if params.name == "test_simple_prompt":
        said = [types.TextContent(text="This is a simple prompt for testing.")]
    elif params.name == "test_prompt_with_arguments":
        said = [types.TextContent(text=f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
    elif params.name == "test_prompt_with_embedded_resource":
        said = [
            embedded(given["resourceUri"], "text/plain", "Embedded resource content for testing."),
            types.TextContent(text="Please process the embedded resource above."),
        ]
    elif params.name == "test_prompt_with_image":
        said = [image(), types.TextContent(text="Please analyze the image above.")]
    else:
        reply = answered(params, "user_context", "context")
        if reply is None:
            return need({"user_context": ask("What context should the prompt use?", one_field("context", "string"))})
        said = [types.TextContent(text=f"Context: {(reply.content or {})['context']}")]
    return types.GetPromptResult(
        description=description, messages=[types.PromptMessage(role="user", content=content) for content in said]
    )


class RememberedEvents(EventStore):
    """Events of the streams of one process, so that a client can come back with Last-Event-ID."""

    def __init__(self) -> None:
        self.events: list[tuple[str, types.JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        if not last_event_id.isdecimal() or not 0 < int(last_event_id) <= len(self.events):
            return None
        stream_id = self.events[int(last_event_id) - 1][0]
        for number, (stream, message) in enumerate(self.events, 1):
            if stream == stream_id and number > int(last_event_id) and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream_id


def build() -> Server[dict[str, Any]]:
    bus = InMemorySubscriptionBus()
    tools = tool_table(bus)
    listed = types.ListToolsResult(tools=[tool.listed(name) for name, tool in tools.items()])

    async def call_tool(ctx: Context, params: Params) -> Answer:
        if params.name not in tools:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        return await tools[params.name].run(ctx, params)

    async def list_tools(_: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return listed

    async def list_resources(_: Context, __: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        found = [types.Resource(uri=uri, name=name, mime_type=mime) for uri, (name, mime, _) in RESOURCES.items()]
        return types.ListResourcesResult(resources=found)

    async def list_templates(_: Context, __: types.PaginatedRequestParams | None) -> types.ListResourceTemplatesResult:
        template = types.ResourceTemplate(
            name="template", uri_template="test://template/{id}/data", mime_type="application/json"
        )
        return types.ListResourceTemplatesResult(resource_templates=[template])

    async def read_resource(_: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        return types.ReadResourceResult(contents=[read(str(params.uri))])

    async def list_prompts(_: Context, __: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        found = [
            types.Prompt(
                name=name,
                description=description,
                arguments=[types.PromptArgument(name=argument, required=True) for argument in arguments],
            )
            for name, (description, arguments) in PROMPTS.items()
        ]
        return types.ListPromptsResult(prompts=found)

    async def get_prompt(
        _: Context, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult | types.InputRequiredResult:
        return prompt(params)

    async def complete(_: Context, __: types.CompleteRequestParams) -> types.CompleteResult:
        return types.CompleteResult(completion=types.Completion(values=[], total=0, has_more=False))

    async def nothing(_: Context, __: object) -> types.EmptyResult:
        return types.EmptyResult()

    server: Server[dict[str, Any]] = Server(
        "conformance-upstream",
        version="1.0.0",
        get_tool_input_schema=lambda name: tools[name].schema if name in tools else None,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=nothing,
        on_unsubscribe_resource=nothing,
        on_subscriptions_listen=ListenHandler(bus),
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_set_logging_level=nothing,
    )
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=server.name))
    return server


async def serve(port: int) -> None:
    """Serves until it is told to stop; `port` 0 takes a free one."""
    app = build().streamable_http_app(event_store=RememberedEvents(), retry_interval=100)
    with socket.create_server(("127.0.0.1", port)) as listener:
        where = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        print(json.dumps({"url": where}), flush=True)
        # h11 trims the white space around header values, as RFC 9110 asks; httptools leaves what trails.
        config = uvicorn.Config(app, http="h11", log_level="error", timeout_graceful_shutdown=1)
        await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args().port))
