"""Discovery: sources that agents are found in, the entry points of installed packages among them."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import EntryPoint, MetadataPathFinder, entry_points
from typing import Any, Literal, NotRequired, Protocol, TypedDict, cast

from sutazai import _sutazai
from sutazai._agents import AgentSpec
from sutazai._heal import mapping, now
from sutazai._loop import LoopThread
from sutazai._security_calls import millis
from sutazai._specs import A2aSpec

__all__ = [
    "Discovery",
    "DiscoveryPolicy",
    "DiscoverySource",
    "EntryPoints",
    "FoundAgent",
    "FoundItem",
    "Look",
    "SourceStatus",
]

GROUP = "sutazai.agents"


class DiscoveryPolicy(TypedDict, total=False):
    """How often a source is looked at, and how patient one is with what it says."""

    interval_ms: int
    """Between two looks; what suits the kind of source without it."""
    jitter: float
    """By how much each interval is longer or shorter, as a share of it. Default 0.1."""
    settle_ms: int
    """How long something has to stay as it is, or to be missing, before it counts. Default 250."""
    away_ms: int
    """How long an agent may be unreachable before it is removed. Default 600,000."""
    away_looks: int
    """In how many looks an agent may be unreachable before it is removed."""
    probe_ms: int
    """How long probing an agent may take before it is registered; 0 for not at all. Default 10,000."""
    grace_ms: int
    """How long an agent that is removed has for the tasks it has. Default 5,000."""
    items: int
    """Items that are taken of the source, at most. Default 1,024."""


class FoundItem(TypedDict):
    """Something that a source has."""

    item: str
    origin: str
    """Where it is declared."""
    agent: NotRequired[str]
    """The agent that was made of it."""
    state: Literal["registered", "unreachable", "failed", "released", "settling"]
    error: NotRequired[dict[str, Any]]
    """What is wrong with it."""


class SourceStatus(TypedDict):
    """A source, and what it has."""

    source: str
    interval_ms: int
    looks: int
    looked_at: NotRequired[str]
    """When it was looked at last: RFC 3339."""
    error: NotRequired[dict[str, Any]]
    """Why it could not be looked at."""
    items: list[FoundItem]
    beyond: NotRequired[int]
    """Items that there was no room for."""


class Look(TypedDict):
    """What a look at a source gave: the names of the agents that were touched."""

    source: str
    added: list[str]
    changed: list[str]
    removed: list[str]
    unreachable: list[str]
    back: list[str]
    failed: list[FoundItem]
    """What is wrong with items, new or not."""
    settling: NotRequired[list[str]]
    """Items that were still being written."""
    error: NotRequired[dict[str, Any]]
    """Why the source could not be looked at."""


@dataclass(frozen=True)
class FoundAgent:
    """Something that a source of your own has found."""

    item: str
    """What it is called within its source, the same at each look."""
    make: Callable[[], AgentSpec | Callable[..., Any]] | None = None
    """Makes the agent: a function, or one with an `AgentSpec` around it. Called only where the agent is wanted,
    on a thread of the kernel's."""
    fingerprint: str = ""
    """Stands for what was declared: another one means another agent."""
    origin: str = ""
    """Where it is declared, for people."""
    agent: str | None = None
    """The name that the agent will have, where that is known before it is made."""
    state: Literal["here", "away", "refused", "gone", "unsettled"] = "here"
    """Whether it is there; cannot be reached at present; is declared in a way that makes no agent; is listed,
    and no more; is just being written."""
    problem: BaseException | None = None
    """Why it is away, refused or gone."""


class DiscoverySource(Protocol):
    """A source of your own. Errors that `find` raises say nothing about its agents: they stay."""

    def find(self) -> Iterable[FoundAgent]:
        """What is there at present; what is not given is gone. On a thread of the kernel's; may block."""
        ...


class EntryPoints:
    """The entry points of installed packages, of the group `sutazai.agents`. Each gives an agent: a function, an
    `AgentSpec`, or a function without parameters or a class that makes one of these.

    ```toml
    [project.entry-points."sutazai.agents"]
    reviewer = "acme_review:review"
    ```

    An agent that does not say otherwise has the entry point's name and its package's version. Of a package that
    is upgraded while the program runs, the code that was imported stays; so the agent stays, and the look says
    that the program has to be started again.
    """

    def __init__(self, group: str = GROUP) -> None:
        self.group = group
        self._lock = threading.Lock()
        self._loaded: dict[str, str] = {}

    def find(self) -> list[FoundAgent]:
        """The entry points that are installed; nothing is imported yet."""
        importlib.invalidate_caches()
        # Before Python 3.12 that left these out: what was installed within a tick of the file system's clock
        # after the last look stayed unseen. There it takes an instance, too.
        MetadataPathFinder().invalidate_caches()
        return [self._found(point) for point in entry_points(group=self.group)]

    def _found(self, point: EntryPoint) -> FoundAgent:
        package = point.dist
        name, version = (package.name, package.version) if package else ("?", "")
        return FoundAgent(
            item=f"{name}:{point.name}",
            make=lambda: self._make(point, name, version),
            fingerprint=f"{name} {version} {point.name} {point.value}",
            origin=f"{name} {version}, entry point {point.name} = {point.value}".strip(),
        )

    def _make(self, point: EntryPoint, package: str, version: str) -> AgentSpec:
        imported = f"{package} {point.module}"
        with self._lock:
            before = self._loaded.get(imported)
        if before not in (None, version) and point.module in sys.modules:
            raise ImportError(
                f"{package} was upgraded from {before} to {version}, but its code was imported before; "
                "start the program again"
            )
        made = _agent_of(point.load())
        with self._lock:
            self._loaded[imported] = version
        if made.name is None:
            made = replace(made, name=point.name)
        return made if made.version else replace(made, version=version)


class Discovery:
    """Where a kernel finds agents: `kernel.discovery`. Agents that are found are registered, go when they are
    gone, and are *unreachable* while they cannot be reached.

    >>> import sutazai
    >>> class Fixed:
    ...     def find(self):
    ...         yield sutazai.FoundAgent("greeter", make=lambda: greet, fingerprint="1")
    >>> def greet(name):
    ...     return f"Hello, {name}"
    >>> with sutazai.Kernel() as kernel:
    ...     kernel.discovery.add("fixed", Fixed())
    ...     _ = kernel.discovery.look()
    ...     kernel.call("greet", "Ada")
    'Hello, Ada'
    """

    def __init__(self, kernel: _sutazai.Kernel, loop: LoopThread) -> None:
        self._kernel = kernel
        self._loop = loop

    def add(
        self, name: str, source: DiscoverySource, policy: DiscoveryPolicy | None = None
    ) -> None:
        """Adds a source of your own: an object whose `find()` gives a `FoundAgent` for each agent that is there
        at present. Looked at as soon as the kernel runs, and then every 30 seconds unless the policy says."""
        find, loop = source.find, self._loop
        if inspect.iscoroutinefunction(find) or inspect.isasyncgenfunction(find):
            raise TypeError("find is a plain function: it runs on a thread of the kernel's")

        def found() -> list[_Given]:
            return [_given(one, loop) for one in find()]

        self._kernel._add_source(name, found, mapping("policy", policy or {}))

    def add_entry_points(
        self,
        name: str = "entry-points",
        *,
        group: str = GROUP,
        policy: DiscoveryPolicy | None = None,
    ) -> None:
        """Finds agents among the entry points of installed packages; see `EntryPoints`."""
        self.add(name, EntryPoints(group), policy)

    def add_directory(
        self,
        name: str,
        path: str | os.PathLike[str],
        policy: DiscoveryPolicy | None = None,
    ) -> None:
        """Finds agents in the files `*.toml` and `*.json` of a directory, each of which declares one: a `card`
        and one of `process`, `mcp`, `openai` and `a2a`."""
        self._add(name, {"directory": {"path": os.fspath(path)}}, policy)

    def add_mcp_config(
        self,
        name: str,
        path: str | os.PathLike[str],
        policy: DiscoveryPolicy | None = None,
    ) -> None:
        """Finds MCP servers in a file in the form `mcpServers`, as desktop clients have it."""
        self._add(name, {"mcp_config": {"path": os.fspath(path)}}, policy)

    def add_a2a(
        self,
        name: str,
        agents: Sequence[str | A2aSpec] = (),
        *,
        file: str | os.PathLike[str] | None = None,
        policy: DiscoveryPolicy | None = None,
    ) -> None:
        """Finds agents of the A2A protocol by their addresses (or what `kernel.connectors.add_a2a` takes): those that are
        listed, and those of a file with one a line."""
        listed: list[dict[str, Any]] = [{"url": one} if isinstance(one, str) else dict(one) for one in agents]
        source: dict[str, Any] = {"agents": listed}
        if file is not None:
            source["file"] = os.fspath(file)
        self._add(name, {"a2a": source}, policy)

    def add_executables(
        self,
        name: str,
        directory: str | os.PathLike[str] | None = None,
        *,
        files: Sequence[str | os.PathLike[str]] = (),
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        timeout: float | timedelta = 5.0,
        policy: DiscoveryPolicy | None = None,
    ) -> None:
        """Finds programs that speak JSON lines and answer `describe` with their card: those that are listed,
        and the executable ones of a directory. `timeout` is how long one may take until it is ready, and then
        until it has said who it is."""
        source: dict[str, Any] = {
            "files": [os.fspath(one) for one in files],
            "args": list(args),
            "env": dict(env or {}),
            "timeout_ms": millis("timeout", timeout),
        }
        if directory is not None:
            source["directory"] = os.fspath(directory)
        self._add(name, {"executables": source}, policy)

    def remove(self, name: str, *, keep_agents: bool = False) -> None:
        """Takes a source out, and removes the agents that were found there unless they are to be kept."""
        self._kernel.invoke("agent.source_remove", name=name, keep_agents=keep_agents)

    def sources(self) -> list[SourceStatus]:
        """The sources and what they have, sorted by name."""
        return cast("list[SourceStatus]", now(self._kernel, "agent.sources")["sources"])

    def look(self, name: str | None = None) -> list[Look]:
        """Looks at a source now, or at all of them, registers and removes what follows, and says what that was.
        Blocks until it is done; where an asyncio loop runs, await `alook`."""
        return cast("list[Look]", self._kernel.invoke("agent.discover", source=name)["looks"])

    async def alook(self, name: str | None = None) -> list[Look]:
        """As `look`, awaited."""
        answer = await self._kernel.begin("agent.discover", source=name)
        return cast("list[Look]", answer["looks"])

    def _add(self, name: str, source: dict[str, Any], policy: DiscoveryPolicy | None) -> None:
        given = mapping("policy", policy or {})
        now(self._kernel, "agent.source_add", name=name, source=source, policy=given)


_Given = tuple[str, str, str | None, str, str, object]


def _given(found: FoundAgent, loop: LoopThread) -> _Given:
    """As the native module takes it."""
    what: object = found.problem
    if found.state == "here":
        make = found.make
        if make is None:
            raise TypeError(f"{found.item!r} is here, and nothing makes its agent")
        what = lambda: _agent_of(make(), factories=False)._declared(loop)  # noqa: E731
    elif what is None:
        what = RuntimeError(f"{found.state}, without a reason")
    return found.item, found.origin, found.agent, found.state, found.fingerprint, what


def _agent_of(made: Any, factories: bool = True) -> AgentSpec:
    """What somebody gave as an agent, or as what makes one."""
    if isinstance(made, AgentSpec):
        return made
    if not callable(made):
        raise TypeError(
            f"an agent is a function or a sutazai.AgentSpec, not {type(made).__name__}"
        )
    if factories and (inspect.isclass(made) or _takes_nothing(made)):
        return _agent_of(made(), factories=False)
    return AgentSpec(made)


def _takes_nothing(function: Callable[..., object]) -> bool:
    try:
        return not inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False

