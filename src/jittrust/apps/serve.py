"""`jittrust serve` and `jittrust dev`: broker, MCP gateway, hooks and health in one process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.routing import Route

from jittrust.api.health import Health
from jittrust.api.local.face import LocalFace
from jittrust.apps.cli.reach import person
from jittrust.apps.client_certificates import client_certificates
from jittrust.apps.guard import LOOPBACK_NAMES, HostGuard
from jittrust.apps.http_protocol import BoundedHttp
from jittrust.apps.identity_faces import first_page, identity_faces, identity_routes
from jittrust.apps.oauth_faces import oauth_faces, token_file
from jittrust.apps.serving import StoppableServer, listen
from jittrust.apps.settings import ServerSettings, Settings
from jittrust.apps.state_dir import make_private
from jittrust.apps.tls import server_context
from jittrust.apps.wiring import Wired, open_broker
from jittrust.core.errors import BadInputError, JitError
from jittrust.core.grant.grant import PassBinding
from jittrust.core.mission.mission import GoalSource
from jittrust.core.units import Seconds
from jittrust.pep.asgi import AsgiApp, Receive, Scope, Send, answer_problem
from jittrust.pep.hooks.claude_code import ClaudeCodeHook
from jittrust.pep.mcp.gate import GateSettings
from jittrust.pep.mcp.http import HttpLimits, McpEndpoint, answer_lane
from jittrust.pep.mcp.http_auth import PresentationCheck, TokenSource
from jittrust.pep.mcp.http_process import ProcessServer
from jittrust.pep.mcp.http_upstream import HttpServer
from jittrust.pep.mcp.upstream_auth import UpstreamAuth
from jittrust.ports import wire
from jittrust.ports.grants import NewGrant
from jittrust.ports.missions import NewMission

HOOK_TOKEN = "hook.token"
HOOK_PATH = "/hooks/claude-code"
DEV_GOAL = "Read the quarterly report in the files and summarise it."
DEV_SECONDS = 3600
SAMPLES = ("mail", "files", "hr", "payments")
# What a server needs of our environment to start at all; everything else is what its settings name.
_PASSED_ENV = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER")
_STOP_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Serving:
    """What is told when the process is ready."""

    url: str
    mcp: Mapping[str, str]
    token: str | None
    console: str
    workload: str

    def line(self) -> str:
        """The one line that scripts read."""
        told = {"url": self.url, "console": self.console, "mcp": dict(self.mcp), "token": self.token}
        return json.dumps({**told, "workload": self.workload})


class Paths:
    """Which application answers which path; the MCP endpoint comes first and touches no framework."""

    def __init__(
        self,
        mcp: McpEndpoint,
        check: PresentationCheck,
        servers: tuple[str, ...],
        wired: Wired,
        hook: AsgiApp,
        rest: AsgiApp,
    ) -> None:
        self._mcp = mcp
        self._check = check
        self._servers = servers
        self._wired = wired
        self._hook = hook
        self._rest = rest
        self._log = structlog.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. A fault of ours is logged and told with a code, never with its words."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        started = False

        async def noting(message: Any) -> None:  # noqa: ANN401 - ASGI's own type
            nonlocal started
            started = True
            await send(message)

        path: str = scope["path"]
        try:
            if path.startswith("/mcp/"):
                await self._mcp(scope, receive, noting)
            elif path == HOOK_PATH:
                await self._hook(scope, receive, noting)
            elif path.startswith("/grants/"):
                await answer_lane(self._wired.driving, self._check, self._servers, scope, noting)
            else:
                await self._rest(scope, receive, noting)
        except Exception:
            self._log.exception("request_failed", path=path)
            if started:
                raise
            await answer_problem(noting, 500, "internal", "this server made a mistake; its log says which")


def serve(settings: Settings, *, as_json: bool) -> int:
    """Serve the configured servers until SIGINT or SIGTERM.

    Returns:
        0.

    Raises:
        BadInputError: no servers are configured, the policy is broken.
        UnavailableError: code `port_taken`, or what `open_broker` raises.
    """
    if not settings.servers:
        raise BadInputError(
            "no_servers",
            "No MCP servers are configured",
            "Name them under `servers:` in jittrust.yaml, or try: jittrust dev",
        )
    configure_log(settings.log_level)
    return uvloop.run(_serve(settings, as_json=as_json, development=False))


def dev(*, state: Path | None, port: int | None, as_json: bool) -> int:
    """Serve sample servers with temporary keys and state, and a bearer token for a sample agent. For trying out, never for real work."""
    configure_log("info")
    folder = Path(tempfile.mkdtemp(prefix="jittrust-dev-"))
    try:
        settings = dev_settings(state or folder / "state", folder / "data", port)
        sys.stderr.write(
            "\n  !! DEVELOPMENT: sample servers, temporary keys, a token printed in the open. Not for real work. !!\n"
        )
        sys.stderr.flush()
        return uvloop.run(_serve(settings, as_json=as_json, development=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def dev_settings(state: Path, data: Path, port: int | None) -> Settings:
    """Settings for `dev`: the sample servers, each with a folder of its own under `data`.

    Raises:
        BadInputError: code `samples_missing`.
    """
    samples = sample_folder()
    servers = {}
    for name in SAMPLES:
        (data / name).mkdir(parents=True, exist_ok=True)
        command = ServerSettings(command=sys.executable, args=(str(samples / f"{name}.py"), "--data", str(data / name)))
        servers[name] = command
    found = Settings.model_validate(
        {"state_dir": str(state), "servers": servers, "grant": {"ttl_seconds": DEV_SECONDS, "gas": 5000}}
    )
    listen = found.listen.model_copy(update={} if port is None else {"port": port})
    return found.model_copy(update={"listen": listen})


def sample_folder() -> Path:
    """Where the sample servers lie: in the installed package, else in the source tree.

    Raises:
        BadInputError: code `samples_missing`.
    """
    here = Path(__file__).resolve()
    for folder in (here.parents[1] / "examples" / "servers", here.parents[3] / "examples" / "servers"):
        if all((folder / f"{name}.py").is_file() for name in SAMPLES):
            return folder
    raise BadInputError("samples_missing", "The sample servers are not installed", "Run it from the source tree.")


def configure_log(level: str) -> None:
    """Logs go to stderr, one line an event."""
    numbers = {"debug": 10, "info": 20, "warning": 30, "error": 40}
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(numbers[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


async def _serve(settings: Settings, *, as_json: bool, development: bool) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with opened(settings, development=development) as (server, mcp, listener, serving):
        running = asyncio.create_task(server.serve(sockets=[listener]))
        stopping = asyncio.create_task(stop.wait())
        # The socket listens already: a caller that comes before the first turn of the server waits in its queue.
        await asyncio.sleep(0)
        if not running.done():
            _tell(serving, as_json=as_json)
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        server.should_exit = True
        await mcp.stop()
        await running
    structlog.get_logger().info("stopped")
    return 0


def _tell(serving: Serving, *, as_json: bool) -> None:
    if as_json:
        _say(serving.line())
        return
    lines = [f"jittrust serves at {serving.url}", *(f"  {name:<12} {url}" for name, url in serving.mcp.items())]
    lines += ["", f"  Workload API  unix://{serving.workload}"]
    if "#" in serving.console:
        lines += [
            "",
            "Nobody can sign in yet. The first admin opens this once, within a day (a secret):",
            f"  {serving.console}",
        ]
    else:
        lines += [f"  People        {serving.console}"]
    if serving.token:
        lines += ["", "A bearer token for the sample agent, good for an hour:", f"  {serving.token}"]
    else:
        lines += ["", "A client needs a grant: jittrust grant new --agent NAME --server SERVER --new-key FILE"]
    _say("\n".join(lines))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextlib.asynccontextmanager
async def opened(
    settings: Settings, *, development: bool
) -> AsyncIterator[tuple[StoppableServer, McpEndpoint, socket.socket, Serving]]:
    """Everything in one process, ready to accept: the server, its endpoint and socket, and what to tell."""
    log = structlog.get_logger()
    servers = upstreams(settings)
    state = make_private(settings.state_dir)
    listener = listen(settings.listen.host, settings.listen.port)
    with listener:
        host, port = listener.getsockname()[:2]
        async with contextlib.AsyncExitStack() as stack:
            tls = server_tls(settings)
            scheme = "http" if tls is None else "https"
            url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
            origin = settings.listen.public_url or f"{scheme}://localhost:{port}"
            known = settings.listen.public_url or url
            wired = await stack.enter_async_context(open_broker(state, settings, origin, known))
            if tls is not None:
                await stack.enter_async_context(
                    client_certificates(tls, wired.driving.bundles, wired.trust_domain.name)
                )
            local = LocalFace(wired.driving)
            await local.open(wire.socket_path(state))
            stack.push_async_callback(local.close)
            workload = await stack.enter_async_context(identity_faces(wired, settings))
            tokens = TokenSource(wired.issuer, wired.token_keys, wired.clock, wired.attenuation)
            mcp = McpEndpoint(
                wired.driving,
                tokens,
                person(),
                servers,
                known,
                origins=settings.listen.allowed_origins,
                gateway=wired.inner.gateway,
                limits=HttpLimits(body_bytes=settings.listen.max_message_bytes, sessions=settings.listen.max_sessions),
                gate=GateSettings(
                    "",
                    "",
                    wait_s=float(settings.approval.wait_seconds),
                    upstream_s=float(settings.upstream.start_seconds),
                    pids=(os.getpid(),),
                ),
            )
            await stack.enter_async_context(mcp)
            app = HostGuard(
                Paths(
                    mcp,
                    PresentationCheck(tokens, known),
                    tuple(servers),
                    wired,
                    ClaudeCodeHook(wired.driving.missions, person(), token_file(state / HOOK_TOKEN)),
                    rest(wired, settings, development=development),
                ),
                hosts=(*settings.listen.allowed_hosts, origin.partition("://")[2]),
                origins=settings.listen.allowed_origins,
            )
            if wired.observe:
                log.warning("observe_mode", meaning="verdicts are recorded and NOTHING is stopped")
            if settings.listen.host not in LOOPBACK_NAMES:
                log.warning(
                    "not_loopback", host=settings.listen.host, meaning="tokens travel in the clear without TLS in front"
                )
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: _reload(wired))
            stack.callback(asyncio.get_running_loop().remove_signal_handler, signal.SIGHUP)
            token = await sample_token(wired) if development else None
            config = uvicorn.Config(
                app,
                http=BoundedHttp,
                loop="none",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # nobody in front is trusted to say who is calling
                timeout_keep_alive=30,
                timeout_graceful_shutdown=_STOP_SECONDS,
                ssl_context_factory=None if tls is None else lambda _config, _default: tls,
            )
            log.info("ready", url=url, servers=sorted(servers), state=str(state))
            console = await first_page(wired)
            told = Serving(url, {name: f"{known}/mcp/{name}" for name in servers}, token, console, str(workload))
            yield StoppableServer(config), mcp, listener, told


def _reload(wired: Wired) -> None:
    """SIGHUP: read the policy file again. A broken one changes nothing."""
    log = structlog.get_logger()
    try:
        change = wired.reload_policy()
    except JitError as error:
        log.error("policy_kept", code=error.code, why=str(error))  # noqa: TRY400 - its code and place say it all
    else:
        log.info("policy_loaded", added=change.added, removed=change.removed, changed=change.changed)


def server_tls(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context of the main address; None where no certificate is configured.

    Raises:
        BadInputError: code `tls_half`: a certificate without a key, or a key without a certificate; or what `server_context` raises.
    """
    certificate, key = settings.listen.tls_certificate, settings.listen.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise BadInputError(
            "tls_half", "A certificate and its key go together.", "Set listen.tls_certificate and listen.tls_key."
        )
    return server_context(certificate, key)


def upstreams(settings: Settings) -> dict[str, HttpServer | ProcessServer]:
    """The servers behind, with their secrets filled in from the environment.

    Raises:
        BadInputError: what a server's settings raise.
    """
    found: dict[str, HttpServer | ProcessServer] = {}
    silence = float(settings.upstream.call_seconds)
    for name, server in settings.servers.items():
        secret = server.secrets(os.environ)
        if server.url:
            said = server.credentials(os.environ)
            auth = UpstreamAuth.read(name, said) if said else None
            found[name] = HttpServer(name, server.url, secret, silence, auth=auth)
            continue
        env = {key: os.environ[key] for key in _PASSED_ENV if key in os.environ} | secret
        cwd = str(server.cwd) if server.cwd else ""
        most = settings.listen.max_message_bytes
        found[name] = ProcessServer(name, (server.command, *server.args), env, cwd, most, silence)
    return found


def rest(wired: Wired, settings: Settings, *, development: bool) -> AsgiApp:
    """What is not on the hot path: health, identities, tokens, consent, decisions, and the answer for unknown paths."""
    health = Health(wired.driving.ledger, version("jittrust"), {"observe": wired.observe, "development": development})

    async def unknown(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
        await answer_problem(send, 404, "not_found", "there is nothing at this path")

    application = Starlette(
        routes=[
            Route("/healthz", health.answer, methods=["GET"]),
            *identity_routes(wired, settings),
            *oauth_faces(wired, settings, tuple(settings.servers)),
        ]
    )
    application.router.default = unknown
    return application


async def sample_token(wired: Wired) -> str:
    """A bearer token for the sample agent, under a mission of its own."""
    mission = await wired.driving.missions.start(NewMission(person(), DEV_GOAL, GoalSource.MISSION_START))
    new = NewGrant(
        person(), "sample-agent", "", PassBinding.GATEWAY, mission=mission.id, ttl=Seconds(DEV_SECONDS), request="dev"
    )
    return (await wired.driving.grants.open(new)).token
