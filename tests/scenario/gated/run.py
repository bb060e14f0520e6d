"""One stdio server behind the gate, joined to the broker of a state folder: `run.py STATE OPTIONS(JSON) COMMAND…`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

from jittrust.adapters.unixsocket.join import driving_of, join
from jittrust.pep.mcp.gate import GateSettings
from jittrust.pep.mcp.stdio import StdioOptions, run_stdio


async def main() -> int:
    given = json.loads(sys.argv[2])
    settings = replace(GateSettings("notes", "dana"), **given.pop("gate", {}))
    connection = await join(Path(sys.argv[1]))
    try:
        return await run_stdio(sys.argv[3:], os.environ, driving_of(connection), StdioOptions(settings, **given))
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
