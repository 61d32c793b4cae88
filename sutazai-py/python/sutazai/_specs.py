"""How agents outside of this process are reached: processes, MCP servers, A2A peers and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

__all__ = [
    "A2aSpec",
    "McpHttp",
    "McpOverHttp",
    "McpOverStdio",
    "McpSpec",
    "OpenAiSpec",
    "ProcessRestart",
    "ProcessSpec",
    "SecretFromEnv",
]


class SecretFromEnv(TypedDict):
    """A key that an environment variable holds. It is read each time that it is needed."""

    env: str
    """The variable's name."""


_Secret = str | SecretFromEnv


class ProcessRestart(TypedDict, total=False):
    """When a process that died is started again: after a pause that doubles with each death in the period."""

    most: int
    """Restarts within the period, at most; 0 for never. Default 5."""
    within_ms: int
    """The period. Default 60,000."""
    first_pause_ms: int
    """Default 100."""
    longest_pause_ms: int
    """Default 10,000."""


class ProcessSpec(TypedDict):
    """A program, and the bounds of talking to it."""

    command: Sequence[str]
    """The program and its arguments. No shell reads it. A name without `/` is looked for in `PATH`."""
    cwd: NotRequired[str]
    """The directory that it runs in; this process's without it."""
    env: NotRequired[Mapping[str, str]]
    """Environment variables that are set for it, beside this process's own."""
    env_remove: NotRequired[Sequence[str]]
    """Environment variables that it does not get."""
    env_clear: NotRequired[bool]
    """Whether it gets `env` alone. Default false."""
    start_timeout_ms: NotRequired[int]
    """How long it may take until it is ready. Default 10,000."""
    max_line: NotRequired[int]
    """Bytes in a line, at most, in both directions; 1,024 at least. Default 8 MiB."""
    in_flight: NotRequired[int]
    """Tasks that it holds at once, at most; further ones wait. The card's `concurrency` holds where it is less.
    Default 64."""
    queue: NotRequired[int]
    """Tasks that may wait for it. Default 1,024."""
    queue_bytes: NotRequired[int]
    """Bytes of input in the tasks that wait, at most. Default 64 MiB."""
    cancel_grace_ms: NotRequired[int]
    """How long it may hold on to a task that was cancelled; then it is restarted, and its other tasks fail. For
    ever without it, and the task occupies its place."""
    stop_grace_ms: NotRequired[int]
    """How long one that has been asked to stop, and has no task, has before SIGTERM. Default 2,000."""
    kill_grace_ms: NotRequired[int]
    """Between SIGTERM and SIGKILL. Default 1,000."""
    breaches: NotRequired[int]
    """Breaches of the protocol in a row after which it is restarted. Default 8."""
    restart: NotRequired[ProcessRestart]


class McpHttp(TypedDict):
    """An MCP server behind a URL."""

    url: str
    """Its endpoint."""
    headers: NotRequired[Mapping[str, _Secret]]
    """Headers of every request, such as `Authorization`. Their values are not shown."""
    start_timeout_ms: NotRequired[int]
    """How long it may take to be reached and to say what it offers. Default 30,000."""
    call_timeout_ms: NotRequired[int]
    """How long a call may take that has no deadline of its own, or a later one. Default 600,000."""
    max_message: NotRequired[int]
    """Bytes of an answer, or of an event of a stream, at most. Default 8 MiB."""
    in_flight: NotRequired[int]
    """Calls at once, at most; each has a thread while it waits. Default 16."""


class McpOverStdio(TypedDict):
    """A program that is started, and spoken to through its stdin and stdout."""

    stdio: ProcessSpec


class McpOverHttp(TypedDict):
    """A URL that is posted to ("streamable HTTP")."""

    http: McpHttp


class McpSpec(TypedDict):
    """An MCP server, and how it is talked to."""

    name: str
    """The agent's name: 1 to 128 letters, digits, `_`, `-`, `/`, `:` and `.`."""
    transport: McpOverStdio | McpOverHttp
    """Where the server is."""
    era: NotRequired[Literal["legacy", "modern"]]
    """Which protocol it speaks: the revisions up to 2025-11-25, or that of 2026-07-28. It is found out without
    it."""
    probe_timeout_ms: NotRequired[int]
    """How long it may take to answer `server/discover` before it counts as one of the older era. Default
    3,000."""
    cancel_hold_ms: NotRequired[int]
    """How long a cancelled call keeps its place when nothing more is heard of it. Where the process has a
    `cancel_grace_ms`, that holds, and the server is started again after it. Default 1,000."""


class A2aSpec(TypedDict):
    """An agent of the A2A protocol."""

    url: str
    """Below which URL its card is found, at `/.well-known/agent-card.json`, or the card's own URL, which ends
    in `.json`."""
    name: NotRequired[str]
    """The agent's name; the card's, made fit, without it."""
    skills: NotRequired[Sequence[str]]
    """What the agent says it can do; the ids of the card's skills without it."""
    bearer: NotRequired[_Secret]
    """A token, sent as `Authorization: Bearer …`."""
    headers: NotRequired[Mapping[str, _Secret]]
    """Headers that are sent besides; their values are not shown."""
    origins: NotRequired[Sequence[str]]
    """Origins besides the URL's own (`https://api.example.com`) that may be given `bearer` and `headers`: the
    card says where the agent is, and could say anything."""
    binding: NotRequired[Literal["auto", "jsonrpc", "http_json"]]
    """Which binding of the protocol is spoken. Default `auto`: the first of the card's that is known here."""
    card: NotRequired[Mapping[str, Any]]
    """The protocol's card, where it is known already: it is not fetched then."""
    timeout_ms: NotRequired[int]
    """How long a task may take; the deadline of the task's caller holds where it is sooner. Default 300,000."""
    card_timeout_ms: NotRequired[int]
    """How long fetching the card may take. Default 10,000."""
    concurrency: NotRequired[int]
    """Tasks at once, at most; no bound without it."""


class OpenAiSpec(TypedDict):
    """A model behind an OpenAI-compatible endpoint."""

    name: str
    """The agent's name."""
    base_url: str
    """The endpoint up to the version, as `https://api.openai.com/v1`; `/chat/completions` is added."""
    model: str
    """The model, as the endpoint names it."""
    skills: NotRequired[Sequence[str]]
    """What the agent says it can do. Default `["chat"]`."""
    description: NotRequired[str]
    """What it is for, one line."""
    api_key: NotRequired[_Secret]
    """The key, sent as `Authorization: Bearer …`. Without it no such header is sent."""
    headers: NotRequired[Mapping[str, _Secret]]
    """Headers that are sent besides; their values are not shown."""
    system: NotRequired[str]
    """What the model is told first, where a task's messages do not begin with it themselves."""
    temperature: NotRequired[float]
    """How much chance there is in answers, 0 to 2; the endpoint's default without it."""
    max_tokens: NotRequired[int]
    """Tokens of an answer, at most; the endpoint's default without it."""
    input_price: NotRequired[float]
    """What a million tokens cost that the model reads, in your unit of account. Default 0."""
    output_price: NotRequired[float]
    """What a million tokens cost that the model writes. Default 0."""
    timeout_ms: NotRequired[int]
    """How long a task may take; the deadline of the task's caller holds where it is sooner. Default 120,000."""
    stream: NotRequired[bool]
    """Whether the answer comes in pieces. Default true."""
    concurrency: NotRequired[int]
    """Tasks at once, at most; no bound without it."""
