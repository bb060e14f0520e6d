"""`demo`, `dev` and `serve`: what runs until it is stopped."""

from __future__ import annotations

from typing import Annotated

import typer

from jittrust.apps.cli.options import AsJson, Config, State
from jittrust.apps.cli.reach import state_of

Port = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="TCP port; 0 picks a free one.")]


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the demo's folder: its ledger, its worlds, its logs.")
    ] = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Tell three short stories on an embedded broker: honest work, a hijacked agent, a stolen pass.

    No network, no language model, no key, and nothing of yours is touched.

    [bold]For example[/bold]

      jittrust demo

      jittrust demo --json | tail -1
    """
    from jittrust.apps.cli.demo import demo as tell

    return int(tell(state=state, as_json=as_json, keep=keep))


def dev(state: State = None, as_json: AsJson = False, port: Port = None) -> int:
    """Run broker, gateway and sample servers in one process, with temporary keys and nothing to configure.

    Everything is gone when it ends. Not for production.

    [bold]For example[/bold]

      jittrust dev

      jittrust dev --port 0 --json     # one line when ready: url, mcp, token
    """
    from jittrust.apps.serve import dev as run_dev

    return int(run_dev(state=state, port=port, as_json=as_json))


def serve(config: Config = None, state: State = None, as_json: AsJson = False, port: Port = None) -> int:
    """Serve the configured MCP servers over streamable HTTP, each at /mcp/NAME, behind the broker.

    [bold]For example[/bold]

      jittrust serve --config jittrust.yaml

      jittrust serve --config ~/.cursor/mcp.json     # a client's own file, as it is
    """
    from jittrust.apps.serve import serve as run_serve
    from jittrust.apps.settings import load_settings
    from jittrust.apps.state_dir import find_config

    settings = load_settings(find_config(config, state_of(state)), state_dir=state_of(state) if state else None)
    if port is not None:
        settings = settings.model_copy(update={"listen": settings.listen.model_copy(update={"port": port})})
    return int(run_serve(settings, as_json=as_json))
