"""FastMCP's own proxy with its default settings.

python bench/peers/fastmcp_proxy.py UPSTREAM_URL PORT
"""

import sys

from fastmcp.server import create_proxy

if __name__ == "__main__":
    create_proxy(sys.argv[1]).run(
        transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False, log_level="ERROR"
    )
