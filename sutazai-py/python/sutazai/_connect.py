"""Agents outside of this process: registering processes, MCP servers, A2A peers and models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict, cast

from sutazai import _sutazai
from sutazai._heal import mapping
from sutazai._specs import A2aSpec, McpSpec, OpenAiSpec, ProcessSpec
from sutazai._views import AgentCard

__all__ = ["AddedMcp", "Connectors", "McpConfig", "McpConfigServer"]


class AddedMcp(TypedDict):
    """An MCP server that has become an agent."""

    agent: str
    """The agent's name."""
    skills: list[str]
    """The names of its tools."""


class McpConfigServer(TypedDict):
    """A server of a configuration. The values of variables and headers are not shown."""

    name: str
    """Its name as an agent."""
    command: NotRequired[list[str]]
    """The program and its arguments, if it is one."""
    cwd: NotRequired[str]
    """The directory that it runs in."""
    env: NotRequired[list[str]]
    """The names of the environment variables that are set for it."""
    url: NotRequired[str]
    """Where it is, if it is no program."""
    headers: NotRequired[list[str]]
    """The names of the headers that it is sent."""
    disabled: bool
    """Whether the configuration says not to use it."""
    ignored: NotRequired[list[str]]
    """Keys of the entry that mean nothing here."""


class McpConfig(TypedDict):
    """What an MCP configuration says."""

    servers: list[McpConfigServer]
    """The servers that can be used, by name."""
    refused: list[dict[str, Any]]
    """What is wrong with those that cannot."""


_Path = str | os.PathLike[str]


class Connectors:
    """Agents outside of this process: `kernel.connectors`. What is added starts at once, and is stopped with the
    kernel or by `kernel.remove_agent`. The kernel must be running, or `NotRunning` is raised; what is to start with
    it stands in its manifest or is found (`kernel.discovery`). With `replace` an agent may take the place of
    another version of its name, which stands by then; else a name that is taken raises `AlreadyExists`.

    >>> import sys
    >>> import sutazai
    >>> program = '''
    ... import json, sys
    ... def say(**message): print(json.dumps({"v": 1, **message}), flush=True)
    ... say(type="ready")
    ... for line in sys.stdin:
    ...     task = json.loads(line)
    ...     if task["type"] == "task": say(type="result", id=task["id"], output=len(task["input"]))
    ...     elif task["type"] == "stop": break
    ... '''
    >>> with sutazai.Kernel() as kernel:
    ...     kernel.connectors.add_process(
    ...         {"command": [sys.executable, "-c", program]},
    ...         card={"name": "counter", "skills": ["count"]},
    ...     )
    ...     kernel.connectors.add_openai({
    ...         "name": "writer", "skills": ["write"],
    ...         "base_url": "http://localhost:11434/v1", "model": "llama3.2",
    ...     })
    ...     kernel.call("count", "hello")
    'counter'
    'writer'
    5
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    # ---- processes ----

    def add_process(
        self, process: ProcessSpec, *, card: AgentCard | None = None, replace: bool = False
    ) -> str:
        """Registers a program that speaks JSON lines, and gives the agent's name. Without a `card` it is started
        and asked who it is (`describe`). Blocks until it is ready; where an asyncio loop runs, await
        `aadd_process`."""
        request = _process(process, card, replace)
        return cast(str, self._kernel.invoke("agent.add_process", **request)["agent"])

    async def aadd_process(
        self, process: ProcessSpec, *, card: AgentCard | None = None, replace: bool = False
    ) -> str:
        """As `add_process`, awaited."""
        request = _process(process, card, replace)
        return cast(str, (await self._kernel.begin("agent.add_process", **request))["agent"])

    # ---- MCP servers ----

    def add_mcp(
        self, spec: McpSpec, *, card: AgentCard | None = None, replace: bool = False
    ) -> AddedMcp:
        """Registers an MCP server: its tools are the agent's skills. Without a `card` it is reached at once and
        asked what it has. Blocks; where an asyncio loop runs, await `aadd_mcp`."""
        request = _mcp(spec, card, replace)
        return cast(AddedMcp, self._kernel.invoke("agent.add_mcp", **request))

    async def aadd_mcp(
        self, spec: McpSpec, *, card: AgentCard | None = None, replace: bool = False
    ) -> AddedMcp:
        """As `add_mcp`, awaited."""
        request = _mcp(spec, card, replace)
        return cast(AddedMcp, await self._kernel.begin("agent.add_mcp", **request))

    def add_mcp_from(
        self,
        server: str,
        path: _Path | None = None,
        *,
        text: str | None = None,
        card: AgentCard | None = None,
        replace: bool = False,
    ) -> AddedMcp:
        """As `add_mcp`, with a server of a configuration: see `mcp_config`. Blocks; where an asyncio loop runs,
        await `aadd_mcp_from`. To have all servers of a file, and those that come later,
        `kernel.discovery.add_mcp_config`."""
        request = _mcp_from(server, path, text, card, replace)
        return cast(AddedMcp, self._kernel.invoke("agent.add_mcp", **request))

    async def aadd_mcp_from(
        self,
        server: str,
        path: _Path | None = None,
        *,
        text: str | None = None,
        card: AgentCard | None = None,
        replace: bool = False,
    ) -> AddedMcp:
        """As `add_mcp_from`, awaited."""
        request = _mcp_from(server, path, text, card, replace)
        return cast(AddedMcp, await self._kernel.begin("agent.add_mcp", **request))

    def mcp_config(self, path: _Path | None = None, *, text: str | None = None) -> McpConfig:
        """What an MCP configuration says, a file or a text in the form `mcpServers`, as desktop clients have it;
        starts nothing. Where an asyncio loop runs, await `amcp_config`.

        >>> import sutazai
        >>> text = '''{"mcpServers": {
        ...     "time": {"command": "mcp-server-time", "args": ["--utc"], "env": {"TZ": "UTC"}},
        ...     "odd": {}
        ... }}'''
        >>> with sutazai.Kernel() as kernel:
        ...     config = kernel.connectors.mcp_config(text=text)
        >>> config["servers"]
        [{'name': 'time', 'command': ['mcp-server-time', '--utc'], 'env': ['TZ'], 'disabled': False}]
        >>> [(it["context"]["server"], it["message"]) for it in config["refused"]]
        [('odd', 'neither a command nor a URL')]
        """
        request = _config(path, text)
        return cast(McpConfig, self._kernel.invoke("agent.mcp_config", **request))

    async def amcp_config(self, path: _Path | None = None, *, text: str | None = None) -> McpConfig:
        """As `mcp_config`, awaited."""
        request = _config(path, text)
        return cast(McpConfig, await self._kernel.begin("agent.mcp_config", **request))

    # ---- over HTTP ----

    def add_a2a(self, a2a: str | A2aSpec, *, replace: bool = False) -> str:
        """Fetches the card of an agent of the A2A protocol, by its address or by more, registers it, and gives
        its name. Blocks; where an asyncio loop runs, await `aadd_a2a`."""
        request = _a2a(a2a, replace)
        return cast(str, self._kernel.invoke("agent.add_a2a", **request)["agent"])

    async def aadd_a2a(self, a2a: str | A2aSpec, *, replace: bool = False) -> str:
        """As `add_a2a`, awaited."""
        request = _a2a(a2a, replace)
        return cast(str, (await self._kernel.begin("agent.add_a2a", **request))["agent"])

    def add_openai(self, openai: OpenAiSpec, *, replace: bool = False) -> str:
        """Registers a model behind an OpenAI-compatible endpoint, and gives the agent's name. Connects with its
        first task. Where an asyncio loop runs, await `aadd_openai`."""
        request = _openai(openai, replace)
        return cast(str, self._kernel.invoke("agent.add_openai", **request)["agent"])

    async def aadd_openai(self, openai: OpenAiSpec, *, replace: bool = False) -> str:
        """As `add_openai`, awaited."""
        request = _openai(openai, replace)
        return cast(str, (await self._kernel.begin("agent.add_openai", **request))["agent"])


# ---- requests ----


def _with_card(
    request: dict[str, object], card: Mapping[str, Any] | None, replace: bool
) -> dict[str, object]:
    if card is not None:
        request["card"] = mapping("card", card)
    return request | {"replace": replace}


def _process(
    process: ProcessSpec, card: AgentCard | None, replace: bool
) -> dict[str, object]:
    return _with_card({"process": mapping("process", process)}, card, replace)


def _mcp(spec: McpSpec, card: AgentCard | None, replace: bool) -> dict[str, object]:
    return _with_card({"spec": mapping("spec", spec)}, card, replace)


def _mcp_from(
    server: str, path: _Path | None, text: str | None, card: AgentCard | None, replace: bool
) -> dict[str, object]:
    return _with_card({"from": _config(path, text) | {"server": server}}, card, replace)


def _config(path: _Path | None, text: str | None) -> dict[str, object]:
    if (path is None) == (text is None):
        raise TypeError("a configuration is a path or a text: give one of them")
    return {"text": text} if path is None else {"path": os.fspath(path)}


def _a2a(a2a: str | A2aSpec, replace: bool) -> dict[str, object]:
    spec = {"url": a2a} if isinstance(a2a, str) else mapping("a2a", a2a)
    return {"a2a": spec, "replace": replace}


def _openai(openai: OpenAiSpec, replace: bool) -> dict[str, object]:
    return {"openai": mapping("openai", openai), "replace": replace}
