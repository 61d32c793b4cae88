"""`Kernel`: the handle on a kernel."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import logging
import math
import os
import sys
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeVar

from sutazai import _sutazai
from sutazai._auth import AuthProvider
from sutazai._auth import native as native_provider
from sutazai._checkpoint import Checkpoints
from sutazai._classify import Classification
from sutazai._degrade import Degradation
from sutazai._errors import Overloaded
from sutazai._failsafe import Failsafe, watch_uncaught
from sutazai._guard import RetryPolicy
from sutazai._guards import Guards
from sutazai._heal import kind_of, now
from sutazai._isolate import Isolation
from sutazai._kernel_agents import KernelOfAgents
from sutazai._logging import relay
from sutazai._monitor_function import MonitorFunction
from sutazai._monitor_function import native as native_monitor
from sutazai._monitor import Monitoring
from sutazai._loop import LoopThread
from sutazai._playbook import Playbooks
from sutazai._plugins import plugins as _installed
from sutazai._process import closed, opened
from sutazai._saga import SagaStep
from sutazai._saga import native as native_step
from sutazai._security import Security
from sutazai._security_options import SecurityOptions
from sutazai._supervise import Supervision
from sutazai._sutazai import Event, Subscription, Ticket
from sutazai._terms import Terms
from sutazai._tune import Tuning

_logger = logging.getLogger("sutazai")
# Agents that are named when a stop waits for them.
_SHOWN = 5
# Seconds within which a Ctrl-C during the drain of an `async with` is seen.
_SIGNALS_SEEN = 0.2

_C = TypeVar("_C", bound="Callable[[], _HasStartStop | Iterator[object]]")


class _HasStartStop(Protocol):
    def start(self) -> object: ...
    def stop(self) -> object: ...


class Delivered(NamedTuple):
    """What a publish did."""

    queued: int
    """Subscriptions (a queue group counts once) in whose queue the event now is."""
    overflowed: int
    """Subscriptions that lost an event by this."""


class Kernel(KernelOfAgents):
    """A kernel: agents, calls, events, a store, under one lifecycle.

    `with Kernel() as kernel:` starts it and stops it. Without a data directory everything is in
    memory. `timeout` is how long a call may take whose caller and agent do not say, `calls` how many may be
    under way, `call_depth` how many may be within one another. With a manifest,
    limits and log are said there. `security` says how logins, tokens, policies, keys and the audit log are set
    up, as `[security]` of a manifest does. `plugins=True` calls every installed plugin with the kernel.

    Durations, here and everywhere, are numbers of seconds or `datetime.timedelta`; `math.inf` is as
    long as it takes.
    """

    def __new__(
        cls,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        manifest: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        clock: Literal["real", "virtual"] = "real",
        timeout: float | timedelta | None = None,
        calls: int | None = None,
        call_depth: int | None = None,
        pool: int | None = None,
        queue: int | None = None,
        log: str | None = None,
        log_terminal: bool | None = None,
        log_file: str | os.PathLike[str] | None = None,
        security: SecurityOptions | None = None,
        plugins: bool = False,
    ) -> Self:
        bounds: dict[str, object] = {
            "timeout": timeout,
            "calls": calls,
            "call_depth": call_depth,
            "pool": pool,
            "queue": queue,
            "log": log,
            "log_terminal": log_terminal,
            "log_file": log_file,
        }
        kernel = super().__new__(cls, data_dir, manifest, seed, clock, bounds, security)
        kernel._loop = LoopThread()
        if plugins:
            for point in _installed().values():
                point.load()(kernel)
        return kernel

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        pass

    # ---- life ----

    def start(self) -> Self:
        """Starts components and agents; blocks until all are ready."""
        opened(self)
        try:
            self._start()
        except BaseException:
            # Interrupted by Ctrl-C it goes on starting, and is stopped at exit.
            if self.phase == "built":
                self._loop.stop(1.0)
                closed(self)
            raise
        watch_uncaught(self)
        return self

    def stop(self, grace: float | timedelta | None = None) -> None:
        """Takes no more calls, lets those under way finish within `grace` (the kernel's own drain
        time without it), answers the rest with `CallCancelled`, stops everything.

        In a worker it is refused with `WouldDeadlock`: have another thread stop it, and return.
        While another thread is in it, it only leaves the calls no longer than its own `grace`.
        Ctrl-C does so with none, and is raised when the kernel has stopped. A stop that Ctrl-C led
        to, as the end of a `with` block or in a `finally`, says on the logger `sutazai` what it
        waits for.

        It blocks the asyncio loop that it is called on, and with it whatever calls wait for there:
        await `astop` instead."""
        seconds = self._drain if grace is None else _sutazai._seconds("grace", grace)
        try:
            if isinstance(sys.exception(), KeyboardInterrupt):
                self._say_what_is_left(seconds)
        except KeyboardInterrupt:
            grace = 0.0
            raise
        finally:
            try:
                self._stop(grace)
            finally:
                # A stop that was refused leaves everything as it was.
                if self.phase != "running":
                    self._loop.stop(min(seconds, 1.0))
                # Otherwise it is stopped at the interpreter's exit.
                if self.phase == "stopped":
                    closed(self)

    async def astop(self, grace: float | timedelta | None = None) -> None:
        """As `stop`, in a thread of its own, awaited. Cancelling the task leaves the kernel to stop."""
        await asyncio.to_thread(self.stop, grace)

    def _say_what_is_left(self, seconds: float) -> None:
        left = len(self.calls())
        if left and seconds > 0:
            names = [agent["card"]["name"] for agent in self.agents() if agent["in_flight"]]
            shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
            _logger.warning(
                "interrupted: waiting up to %g s for %d call%s under way (%s); Ctrl-C ends it now",
                seconds,
                left,
                "" if left == 1 else "s",
                shown,
            )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # asyncio makes a cancellation of the first Ctrl-C, and raises the second.
        stopping: asyncio.Future[None] | None = None
        try:
            if isinstance(error, asyncio.CancelledError):
                self._say_what_is_left(self._drain)
            # No task: one that is left pending would be complained of after the second Ctrl-C.
            stopping = asyncio.get_running_loop().run_in_executor(None, self.stop)
            # A signal that comes just before the loop goes to sleep is seen only when it wakes up.
            while not stopping.done():
                await asyncio.wait((stopping,), timeout=_SIGNALS_SEEN)
            stopping.result()
        except (asyncio.CancelledError, KeyboardInterrupt):
            self.stop(0.0)
            if stopping is not None:
                stopping.cancel()
            raise

    def __del__(self) -> None:
        try:
            running = self.phase == "running"
        except Exception:
            return
        if running:
            warnings.warn(f"unstopped {self!r}", ResourceWarning, stacklevel=2, source=self)
            with contextlib.suppress(Exception):
                self.stop(0.0)

    # ---- calls ----

    async def acall(
        self,
        skill: str,
        input: object = None,
        *,
        agent: str | None = None,
        timeout: float | timedelta | None = None,
        priority: int | None = None,
        token: str | None = None,
        terms: Terms | None = None,
    ) -> Any:
        """As `call`, awaited; cancelling the task cancels the call."""
        return await self.submit(
            skill,
            input,
            agent=agent,
            timeout=timeout,
            priority=priority,
            token=token,
            terms=terms,
        )

    def map(
        self, skill: str, inputs: Iterable[object], *, side_by_side: int = 16, **call: Any
    ) -> Iterator[Any]:
        """Calls the skill with each of the inputs, at most `side_by_side` at once, and gives the answers
        in their order, as they come. `call` is what else `call` takes. What one of them raises is raised
        here when its turn comes; one that no agent is free for waits until one is, for its `timeout` or half a
        minute; leaving the iterator cancels those that are under way.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     @kernel.agent
        ...     def double(number):
        ...         return 2 * number
        ...     list(kernel.map("double", range(4)))
        [0, 2, 4, 6]
        """
        ahead = _checked(side_by_side)
        waiting: deque[tuple[Ticket, object]] = deque()
        coming = iter(inputs)
        try:
            while True:
                for given in itertools.islice(coming, ahead - len(waiting)):
                    waiting.append((self.submit(skill, given, **call), given))
                if not waiting:
                    return
                ticket, given = waiting.popleft()
                pauses = _pauses(call)
                while True:
                    try:
                        answer = ticket.wait()
                        break
                    except Overloaded:
                        pause = next(pauses, None)
                        if pause is None:
                            raise
                        time.sleep(pause)
                        ticket = self.submit(skill, given, **call)
                yield answer
        finally:
            for ticket, _ in waiting:
                ticket.cancel()

    async def amap(
        self, skill: str, inputs: Iterable[object], *, side_by_side: int = 16, **call: Any
    ) -> AsyncIterator[Any]:
        """As `map`, awaited: `async for answer in kernel.amap(…)`."""
        ahead = _checked(side_by_side)
        waiting: deque[tuple[Ticket, object]] = deque()
        coming = iter(inputs)
        try:
            while True:
                for given in itertools.islice(coming, ahead - len(waiting)):
                    waiting.append((self.submit(skill, given, **call), given))
                if not waiting:
                    return
                ticket, given = waiting.popleft()
                pauses = _pauses(call)
                while True:
                    try:
                        answer = await ticket
                        break
                    except Overloaded:
                        pause = next(pauses, None)
                        if pause is None:
                            raise
                        await asyncio.sleep(pause)
                        ticket = self.submit(skill, given, **call)
                yield answer
        finally:
            for ticket, _ in waiting:
                ticket.cancel()

    async def ainvoke(self, operation: str, /, **request: object) -> Any:
        """As `invoke`, awaited."""
        return await self.begin(operation, **request)

    # ---- events ----

    def publish(
        self, subject: str, payload: object = None, *, wait: float | timedelta | None = None
    ) -> Delivered:
        """Gives an event to every subscription that wants its subject. Never waits, unless `wait`
        says how long to wait for room."""
        return Delivered(*self._publish(subject, payload, wait))

    def subscribe(
        self,
        pattern: str,
        function: Callable[[Event], object] | None = None,
        *,
        queue_group: str | None = None,
        capacity: int | None = None,
        overflow: Literal["drop_oldest", "drop_newest", "close"] = "drop_oldest",
    ) -> Subscription:
        """Subscribes: `*` is one token of a subject, `>` the rest.

        With a function, it gets the events in order, one at a time, on the kernel's pool, until
        the subscription is closed or the kernel stops. Without one, iterate over the subscription
        (`for`, `async for`), or ask it with `next`.
        """
        if function is not None and (kind := kind_of(function)):
            raise TypeError(f"{kind} cannot be a callback; use `async for`")
        return self._subscribe(pattern, function, queue_group, capacity, overflow)

    # ---- components ----

    def component(
        self,
        name: str,
        *,
        needs: Sequence[str] = (),
        start_within: float | timedelta = 30.0,
        stop_within: float | timedelta = 10.0,
    ) -> Callable[[_C], _C]:
        """Makes a component of a class with `start` and `stop` (it is instantiated here), or of a
        generator function: it starts by running to its `yield`, and stops by running to its end."""

        def register(made: _C) -> _C:
            if inspect.isgeneratorfunction(made):
                running = contextlib.contextmanager(made)
                stack = contextlib.ExitStack()
                start: Callable[[], object] = lambda: stack.enter_context(running())  # noqa: E731
                stop: Callable[[], object] = stack.close
            else:
                part = made()
                try:
                    start, stop = part.start, part.stop  # type: ignore[union-attr]
                except AttributeError:
                    raise TypeError(
                        "a component is a class with start and stop, or a generator function"
                    ) from None
            self._add_component(name, needs, (start, stop), (start_within, stop_within))
            return made

        return register

    # ---- who somebody is ----

    def add_auth_provider(self, provider: AuthProvider) -> None:
        """Adds a factor of your own to logins: before the start, or while the kernel runs, for the attempts that
        come from then on. Raises `AlreadyExists` where there is one of its scheme. A login may begin with it,
        unless `logins` of the security options has its scheme among the second factors.

        >>> import sutazai
        >>> class Badges:
        ...     scheme = "badge"
        ...     def authenticate(self, credential):
        ...         if credential.secret == b"0815":
        ...             return sutazai.Accepted("ann", {"floor": "3"})
        ...         return sutazai.Refused("not a badge of ours")
        >>> kernel = sutazai.Kernel()
        >>> kernel.add_auth_provider(Badges())
        >>> with kernel:
        ...     login = kernel.invoke("security.login", scheme="badge", secret="0815")
        ...     login["step"], login["principal"], login["attributes"]["floor"]
        ('done', 'ann', '3')
        """
        self._add_auth_provider(*native_provider(provider, self._loop))

    # ---- sagas ----

    def saga(
        self,
        name: str,
        steps: Sequence[SagaStep | tuple[Any, Any]],
        *,
        on_resume: Literal["forward", "compensate"] = "forward",
        deadline: float | timedelta | None = None,
        undo_retry: RetryPolicy | None = None,
    ) -> None:
        """Defines a saga: steps with what undoes each, as `SagaStep` or as pairs `(do, undo)`.

        One that a crash left unfinished goes on when the kernel starts, or as soon as it is defined:
        forward, where `on_resume` says so and the step that was interrupted is idempotent, back
        otherwise. After `deadline` seconds no further step is begun, and what was done is undone.
        """
        policy: dict[str, object] = {"on_resume": on_resume}
        seconds = math.inf if deadline is None else _sutazai._seconds("deadline", deadline)
        if seconds < 1e12:  # `math.inf` is no deadline at all
            policy["deadline_ms"] = round(seconds * 1e3)
        if undo_retry is not None:
            policy["undo_retry"] = dict(undo_retry)
        self._define_saga(name, policy, [native_step(step) for step in steps])

    def run_saga(self, name: str, input: object = None) -> Any:
        """Begins a saga and waits for what its last step gives. Raises `SagaUndone` when it failed
        and was undone, `SagaStuck` when a compensation failed."""
        return self.invoke("recovery.saga_run", name=name, input=input)["output"]

    async def arun_saga(self, name: str, input: object = None) -> Any:
        """As `run_saga`, awaited; cancelling the task gives the saga up."""
        return (await self.ainvoke("recovery.saga_run", name=name, input=input))["output"]

    @property
    def checkpoints(self) -> Checkpoints:
        """State that is saved under a number, and put back."""
        return Checkpoints(self)

    # ---- healing ----

    @property
    def guards(self) -> Guards:
        """What stands between calls and trouble."""
        return Guards(self)

    @property
    def classification(self) -> Classification:
        """Which failures may go away by themselves."""
        return Classification(self)

    @property
    def degradation(self) -> Degradation:
        """Levels, and what features do at each."""
        return Degradation(self)

    @property
    def isolation(self) -> Isolation:
        """What harms the rest, set apart."""
        return Isolation(self)

    @property
    def playbooks(self) -> Playbooks:
        """On this condition, do that."""
        return Playbooks(self)

    @property
    def failsafe(self) -> Failsafe:
        """The way to the safe state."""
        return Failsafe(self)

    @property
    def supervision(self) -> Supervision:
        """Trees whose children are started again, and messages that outlive them."""
        return Supervision(self)

    def signal(self, name: str, value: float) -> bool:
        """Feeds a signal (load, health, a share of errors) to the rules of degradation and the playbooks;
        says whether any listens."""
        return bool(now(self, "recovery.signal", name=name, value=value)["heard"])

    # ---- monitoring ----

    @property
    def monitor(self) -> Monitoring:
        """What is used, since when, and what is odd in it."""
        return Monitoring(self)

    def add_monitor(self, name: str, sample: MonitorFunction) -> None:
        """Adds something that measures: before the start, or while the kernel runs. `sample()` answers with a
        mapping of series to numbers, and these are part of each sample from then on. A coroutine function runs
        on the kernel's loop; a plain one on a thread that it may block briefly. One that hangs is left, in the log once, and asked
        again when it has returned; the others go on.
        What it raises is among the `failures` of the sample, and in the log.

        Units stand in the names, as Prometheus has them; a name in `_total` is a counter. `kernel.monitor.remove`
        takes it away. Raises `AlreadyExists` where there is a monitor of the name.

        >>> import sutazai
        >>> waiting = ["a", "b"]
        >>> kernel = sutazai.Kernel()
        >>> kernel.add_monitor("queue", lambda: {"queue_length": len(waiting)})
        >>> with kernel:
        ...     kernel.monitor.sample()["values"]["queue_length"]
        2.0
        """
        self._add_monitor(name, native_monitor(sample, self._loop))

    @property
    def tune(self) -> Tuning:
        """What the kernel sets by itself, within bounds, from what it sees."""
        return Tuning(self)

    # ---- security ----

    @property
    def security(self) -> Security:
        """Who somebody is, what they may do, and proof of what was done."""
        return Security(self)

    # ---- log ----

    def log(self, message: str, /, *, level: int = 20, target: str = "python", **fields: object) -> None:
        """Records something in the kernel's log; levels are those of `logging`."""
        self._log(level, target, message, fields)

    def log_to_logging(self, prefix: str = "sutazai") -> None:
        """Gives the kernel's log records to Python's `logging`, to loggers below `prefix`."""
        self._relay_log(relay(prefix))


def _pauses(call: Mapping[str, Any]) -> Iterator[float]:
    """Between two tries to find an agent that is free, for as long as a call may wait for one."""
    timeout = call.get("timeout")
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    until = time.monotonic() + (30.0 if seconds is None else seconds)
    pause = 0.001
    while time.monotonic() < until:
        yield pause
        pause = min(2 * pause, 0.05)


def _checked(side_by_side: object) -> int:
    if not isinstance(side_by_side, int) or isinstance(side_by_side, bool):
        raise TypeError(f"side_by_side must be an int, not {type(side_by_side).__name__}")
    if side_by_side < 1:
        raise ValueError(f"side_by_side must be at least 1, not {side_by_side}")
    return side_by_side
