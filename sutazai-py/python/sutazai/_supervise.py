"""Supervision: trees whose children are started again, and messages that outlive them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal, NotRequired, TypedDict, TypeVar, cast, overload

from sutazai import _sutazai
from sutazai._heal import check_plain, name_of, now

__all__ = [
    "Backoff",
    "ChildSpec",
    "ChildStatus",
    "Counts",
    "Kill",
    "MailboxPolicy",
    "MailboxStatus",
    "PoisonedMessage",
    "Supervision",
    "SupervisorSpec",
    "SupervisorStatus",
    "TreeEnd",
    "TreeView",
]

_F = TypeVar("_F", bound=Callable[..., object])


class Backoff(TypedDict, total=False):
    """Pauses before restarts, each twice as long as the one before."""

    first_ms: int
    """Default 100."""
    longest_ms: int
    """Default 30,000."""
    jitter: float
    """The part of each pause that is left to chance, 0 to 1. Default 0.5."""
    calm_ms: int
    """A child that has lived for so long is taken for healthy. Default 60,000."""


class SupervisorSpec(TypedDict, total=False):
    """A supervisor: how it restarts, how often at most, and its children."""

    strategy: Literal["one_for_one", "one_for_all", "rest_for_one"]
    """Whom a restart concerns. Default one_for_one."""
    intensity: int
    """Restarts within the period, at most; one more ends the supervisor. Default 1."""
    period_ms: int
    """Default 5,000."""
    auto_shutdown: Literal["never", "any_significant", "all_significant"]
    """Whether it ends with its significant children. Default never."""
    backoff: Backoff
    """Default: a restart follows at once."""
    children: Sequence[ChildSpec]


class ChildSpec(TypedDict):
    """A child: a worker, or another supervisor."""

    id: str
    """Its name among its siblings."""
    does: NotRequired[str]
    """The name of the worker. Default: the id."""
    restart: NotRequired[Literal["permanent", "transient", "temporary"]]
    """After which ends it is started again. Default permanent: all."""
    significant: NotRequired[bool]
    shutdown: NotRequired[Literal["brutal_kill", "infinity"] | dict[Literal["timeout_ms"], int]]
    """How it is stopped. Default 5,000 ms for a worker. A function of Python's cannot be interrupted: of
    one that is killed, by `brutal_kill` or because its time is up, nothing counts any more, but it runs
    on beside the next life until it returns."""
    start_timeout_ms: NotRequired[int]
    """Default 30,000."""
    supervisor: NotRequired[SupervisorSpec]


class MailboxPolicy(TypedDict, total=False):
    """The bounds of a mailbox."""

    capacity: int
    """Messages that wait or are in hand, at most. Default 1,024."""
    overflow: Literal["refuse", "drop_oldest"]
    """What happens to a message for which there is no room. Default refuse."""
    kills: int
    """How often a message may bring its child down before it is set aside. Default 2."""
    poison_capacity: int
    """Messages that are set aside, at most. Default 1,024."""


class Counts(TypedDict):
    """The children of one supervisor, counted."""

    specs: int
    active: int
    supervisors: int
    workers: int


class TreeEnd(TypedDict):
    """Why a tree does not live any more."""

    cause: str
    """As in the event `recovery.tree.changed`: asked, intensity, auto_shutdown, start_failed or killed."""
    child: NotRequired[str]
    """The path of the child whose end led to it."""
    error: NotRequired[dict[str, Any]]
    """What that child had said, or why the start failed."""
    at: str
    """When, as RFC 3339 has it."""


class TreeView(TypedDict):
    """A tree."""

    name: str
    state: str
    counts: NotRequired[Counts]
    """The children of its root; not there while it does not live."""
    why: NotRequired[TreeEnd]
    """Why it ended; not there before its first end, and while it lives."""


class ChildStatus(TypedDict):
    """A child."""

    id: str
    path: str
    kind: Literal["worker", "supervisor"]
    state: str
    restart: str
    significant: bool
    generation: NotRequired[int]
    restarts: int
    last_failure: NotRequired[dict[str, Any]]
    pause_ms: NotRequired[int]
    supervisor: NotRequired[SupervisorStatus]


class SupervisorStatus(TypedDict):
    """A supervisor, and everything below it."""

    strategy: str
    intensity: int
    period_ms: int
    recent_restarts: int
    auto_shutdown: str
    counts: Counts
    children: list[ChildStatus]


class Kill(TypedDict):
    """A child came down with a message in hand."""

    child: str
    generation: int
    error: dict[str, Any]
    at: str
    in_hand: int


class PoisonedMessage(TypedDict):
    """A message that was set aside, and the evidence against it."""

    id: int
    kills: list[Kill]


class MailboxStatus(TypedDict):
    """How many messages are where, and those that were set aside."""

    status: dict[str, int]
    poison: list[PoisonedMessage]


class Supervision:
    """The trees of a kernel: `kernel.supervision`.

    ```python
    with sutazai.Kernel() as kernel:
        @kernel.supervision.worker
        def poll(life: sutazai.WorkerLife) -> None:
            while not life.wait(1.0):
                ...  # a round

        @kernel.supervision.message_worker
        def note(message: str) -> None:
            print(message)

        kernel.supervision.add("main", [{"id": "poll"}, {"id": "first", "does": "note"}])
        kernel.supervision.push("main>first", "hello")
    ```

    What waits has a form that is awaited: `aadd` is `add`, `astart` is `start`, and so on. A worker that
    would wait for the end of its own child (its restart, the removal of its tree, the stop of its kernel)
    is refused with `WouldDeadlock`: it returns, or raises to be started again.
    """

    __slots__ = ("_kernel",)

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    # ---- what children do ----

    @overload
    def worker(self, function: _F, /) -> _F: ...
    @overload
    def worker(
        self, function: None = None, /, *, name: str | None = None
    ) -> Callable[[_F], _F]: ...
    def worker(
        self, function: Callable[..., object] | None = None, /, *, name: str | None = None
    ) -> object:
        """Registers a loop: `function(life)` runs on a thread of its child's own until it returns, or
        `life.wait(…)` says that it is told to stop. What it raises is a failure of the child. It is a
        plain function, no coroutine function."""

        def register(function: _F) -> _F:
            check_plain("a worker", function)
            self._kernel._add_worker(name_of(name, function), function, None)
            return function

        return register if function is None else register(function)

    @overload
    def message_worker(self, function: _F, /, *, mailbox: MailboxPolicy | None = None) -> _F: ...
    @overload
    def message_worker(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        mailbox: MailboxPolicy | None = None,
    ) -> Callable[[_F], _F]: ...
    def message_worker(
        self,
        function: Callable[..., object] | None = None,
        /,
        *,
        name: str | None = None,
        mailbox: MailboxPolicy | None = None,
    ) -> object:
        """Registers what is done with messages: `function(message)`, one after the other. What it
        raises brings the child down; the message goes back to its place for the next life, and is set
        aside when it brings that one down too. It is a plain function, no coroutine function."""

        def register(function: _F) -> _F:
            check_plain("a worker", function)
            policy = dict(mailbox or {})
            self._kernel._add_worker(name_of(name, function), function, policy)
            return function

        return register if function is None else register(function)

    # ---- trees ----

    def add(
        self,
        name: str,
        children: Sequence[ChildSpec],
        *,
        strategy: Literal["one_for_one", "one_for_all", "rest_for_one"] = "one_for_one",
        intensity: int = 1,
        period: float | timedelta = 5.0,
        auto_shutdown: Literal["never", "any_significant", "all_significant"] = "never",
        backoff: Backoff | None = None,
    ) -> None:
        """Adds a tree of supervisors, which starts and stops with the kernel; on a running one it is
        started here. `period` is seconds."""
        spec = _spec(children, strategy, intensity, period, auto_shutdown, backoff)
        self._kernel._supervise(name, spec)

    async def aadd(
        self,
        name: str,
        children: Sequence[ChildSpec],
        *,
        strategy: Literal["one_for_one", "one_for_all", "rest_for_one"] = "one_for_one",
        intensity: int = 1,
        period: float | timedelta = 5.0,
        auto_shutdown: Literal["never", "any_significant", "all_significant"] = "never",
        backoff: Backoff | None = None,
    ) -> None:
        """As `add`, awaited; cancelling the task leaves the tree to start."""
        spec = _spec(children, strategy, intensity, period, auto_shutdown, backoff)
        await asyncio.to_thread(self._kernel._supervise, name, spec)

    def start(self, name: str) -> None:
        """Starts a tree again that has ended (`trees` says why it did); what its children had in their
        mailboxes is still there."""
        self._kernel.invoke("recovery.tree_start", name=name)

    async def astart(self, name: str) -> None:
        """As `start`, awaited."""
        await self._kernel.begin("recovery.tree_start", name=name)

    def remove(self, name: str) -> None:
        """Stops a tree and forgets it, with the messages of its children."""
        self._kernel.invoke("recovery.tree_remove", name=name)

    async def aremove(self, name: str) -> None:
        """As `remove`, awaited."""
        await self._kernel.begin("recovery.tree_remove", name=name)

    def trees(self) -> list[TreeView]:
        """The trees, sorted by name."""
        return cast("list[TreeView]", now(self._kernel, "recovery.tree_list")["trees"])

    def status(self, path: str) -> SupervisorStatus:
        """A supervisor by its path, and everything below it."""
        return cast(SupervisorStatus, now(self._kernel, "recovery.tree_get", path=path))

    # ---- children ----

    def start_child(self, supervisor: str, child: ChildSpec) -> None:
        """Adds a child behind the others of a supervisor, and starts it."""
        self._kernel.invoke("recovery.child_start", supervisor=supervisor, child=child)

    async def astart_child(self, supervisor: str, child: ChildSpec) -> None:
        """As `start_child`, awaited."""
        await self._kernel.begin("recovery.child_start", supervisor=supervisor, child=child)

    def terminate_child(self, path: str) -> None:
        """Stops a child; it stays known, and can be restarted."""
        self._kernel.invoke("recovery.child_terminate", path=path)

    async def aterminate_child(self, path: str) -> None:
        """As `terminate_child`, awaited."""
        await self._kernel.begin("recovery.child_terminate", path=path)

    def restart_child(self, path: str) -> None:
        """Stops a child, if it lives, and starts it again."""
        self._kernel.invoke("recovery.child_restart", path=path)

    async def arestart_child(self, path: str) -> None:
        """As `restart_child`, awaited."""
        await self._kernel.begin("recovery.child_restart", path=path)

    def delete_child(self, path: str) -> None:
        """Forgets a child that does not live, and its messages."""
        self._kernel.invoke("recovery.child_delete", path=path)

    async def adelete_child(self, path: str) -> None:
        """As `delete_child`, awaited."""
        await self._kernel.begin("recovery.child_delete", path=path)

    # ---- messages ----

    def push(self, child: str, message: object) -> int:
        """Puts a message behind the others of a child, and gives its number."""
        pushed = now(self._kernel, "recovery.mailbox_push", child=child, message=message)
        return int(pushed["message"])

    def mailbox(self, child: str) -> MailboxStatus:
        """How many messages of a child are where, and those that were set aside."""
        return cast(MailboxStatus, now(self._kernel, "recovery.mailbox_get", child=child))

    def retry(self, child: str, message: int) -> None:
        """Puts a message that was set aside behind the others, as if nothing had been."""
        now(self._kernel, "recovery.mailbox_retry", child=child, message=message)

    def discard(self, child: str, message: int) -> Any:
        """Forgets a message that was set aside, and gives it out."""
        return now(self._kernel, "recovery.mailbox_discard", child=child, message=message)["message"]


def _spec(
    children: Sequence[ChildSpec],
    strategy: str,
    intensity: int,
    period: float | timedelta,
    auto_shutdown: str,
    backoff: Backoff | None,
) -> dict[str, object]:
    return {
        "strategy": strategy,
        "intensity": intensity,
        "period_ms": round(min(_sutazai._seconds("period", period), 1e12) * 1e3),
        "auto_shutdown": auto_shutdown,
        "backoff": backoff,
        "children": list(children),
    }
