"""A real MCP server over HTTP: the official SDK's, with two tools. Says its port on stdout's first line."""

import asyncio
import socket
import sys

from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("sdk", version="9")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
async def work(steps: int, context: Context) -> str:
    """Works with progress."""
    for step in range(steps):
        await context.report_progress(step, steps, "working")
        await asyncio.sleep(0.05)
    return "worked"


with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
print(port, flush=True)
server.run("streamable-http", host="127.0.0.1", port=port)
sys.exit(0)
