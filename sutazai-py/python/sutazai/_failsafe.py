"""The safe state: when something is broken that others depend on."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NotRequired, TypedDict, TypeVar, cast

from sutazai import _sutazai
from sutazai._heal import check_plain, mapping, name_of, now
from sutazai._process import running

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Failsafe", "FailsafePolicy", "FailsafeStatus", "SafeContext", "StageReport"]

_F = TypeVar("_F", bound="Callable[[SafeContext], object]")

# How long a stage may take unless it says, in seconds.
_WITHIN = 1.0


class SafeContext(NamedTuple):
    """Why the safe state is taken, and how long there is."""

    stage: str
    """The stage's name."""
    trigger: Literal["critical", "panic", "signal", "host"]
    """What set it off."""
    reason: str
    """In words."""
    within: float
    """Seconds that the stage has. It is left behind afterwards."""


class FailsafePolicy(TypedDict, total=False):
    """What takes the safe state, and how long it may take."""

    total_ms: int
    """For all stages together. Default 10,000."""
    on_critical: bool
    """Whether a critical error takes it: what an agent or a part of the kernel fails with, or what
    `report` is told. Default True. What agents raise is judged where their calls are guarded
    (`kernel.guards`); elsewhere no exception of theirs is critical."""
    ignore: Sequence[str]
    """The names of codes that do not, critical or not. Default `base.panic`."""
    on_panic: bool
    """Whether an exception takes it that ends one of the program's threads, or a panic that nobody
    catches. One that leaves the kernel's `with` block stops the kernel instead. Default False."""
    on_sigterm: bool
    """Whether SIGTERM takes it. Default False."""
    terminate: bool
    """Whether the process ends by SIGTERM afterwards, if SIGTERM took it. Default True."""
    admit_ms: int
    """For the kernel's stage `stop_admitting`. Default 500."""
    drain_ms: int
    """For calls under way to finish, before they are answered with `SafeState`. Default 5,000."""
    flush_ms: int
    """To write out logs and store. Default 1,000."""
    dump_ms: int
    """To write the diagnosis bundle. Default 2,000."""
    bundles: int
    """Diagnosis bundles that are kept in the data directory. Default 10."""


class StageReport(TypedDict):
    """What came of a stage."""

    name: str
    outcome: Literal["done", "failed", "timed_out", "left_out"]
    took_ms: int
    error: NotRequired[dict[str, Any]]
    """Of one that failed."""


class FailsafeStatus(TypedDict):
    """Where the failsafe stands, why, and what came of its stages."""

    state: Literal["armed", "taking", "safe"]
    total_ms: int
    stages: list[StageReport]
    """Those that have had their turn, in order; all of them once it is taken."""
    bundle: str | None
    """Where the diagnosis bundle stands; None when none was written."""
    trigger: NotRequired[Literal["critical", "panic", "signal", "host"]]
    reason: NotRequired[str]
    error: NotRequired[dict[str, Any]]
    at: NotRequired[str]
    took_ms: NotRequired[int]


class Failsafe:
    """A kernel's way to its safe state: `kernel.failsafe`. Until a policy is set, here or in the manifest,
    only `trigger` takes it.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     @kernel.failsafe.stage(within=10)
    ...     def close_valve(context):
    ...         assert context.reason == "a drill"
    ...     triggered = kernel.failsafe.trigger("a drill")
    ...     status = kernel.failsafe.wait(60)
    ...     status["state"], [(stage["name"], stage["outcome"]) for stage in status["stages"]][:2]
    ('safe', [('close_valve', 'done'), ('stop_admitting', 'done')])
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def stage(
        self, name: str | None = None, *, within: float | timedelta = _WITHIN
    ) -> Callable[[_F], _F]:
        """Makes a function a stage on the way to the safe state, before the kernel's own; gives the
        function back.

        `f(context)` runs once, on a thread of its own, and may block; when its time (`within`, seconds)
        is up the next stage begins whatever it does. What it raises is reported. It is a plain function,
        no coroutine function; the name is the function's.
        """

        if callable(name):
            raise TypeError("write @kernel.failsafe.stage(), with its parentheses")

        def register(function: _F) -> _F:
            check_plain("a stage", function)
            self._kernel._add_stage(
                name_of(name, function),
                within,
                lambda *fields: function(SafeContext(*fields)),
            )
            return function

        return register

    def trigger(self, reason: str) -> bool:
        """Takes the safe state; returns at once, and says whether it was this call that did it."""
        return self._kernel._take_safe_state(reason, False)

    def report(self, exception: BaseException) -> bool:
        """Reports an exception of the program's: one whose `class_` is critical takes the safe state if
        the policy says so. Says whether it did."""
        return self._kernel._report(exception)

    @property
    def state(self) -> Literal["armed", "taking", "safe"]:
        """Whether the safe state is taken."""
        return self.status()["state"]

    def status(self) -> FailsafeStatus:
        """Whether the safe state is taken, why, and what came of its stages."""
        return cast(FailsafeStatus, now(self._kernel, "recovery.failsafe_status"))

    def wait(self, timeout: float | timedelta | None = None) -> FailsafeStatus:
        """Blocks until the safe state is taken, or `timeout` has passed; where it stands then."""
        self._kernel._wait_safe(timeout)
        return self.status()

    @property
    def policy(self) -> FailsafePolicy:
        """The policy in force."""
        return cast(FailsafePolicy, now(self._kernel, "recovery.policies")["failsafe"])

    def set_policy(self, policy: FailsafePolicy) -> None:
        """Takes another policy; what is left out is as by default. SIGTERM and exceptions that nobody
        catches are watched from here on, or from the kernel's start."""
        now(self._kernel, "recovery.failsafe_set_policy", policy=mapping("policy", policy))
        watch_uncaught(self._kernel)


def watch_uncaught(kernel: _sutazai.Kernel) -> None:
    """Sets the hooks for exceptions that nobody catches, once a policy asks for them."""
    global _hooked
    if _hooked or not kernel._on_panic:
        return
    _hooked = True
    before, before_in_thread = sys.excepthook, threading.excepthook

    def in_main(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        before(kind, error, trace)
        for kernel in _uncaught(kind, error):
            # The process ends after this.
            total = Failsafe(kernel).status()["total_ms"] / 1e3
            kernel._wait_safe(total + _GRACE)

    def in_thread(args: threading.ExceptHookArgs) -> None:
        before_in_thread(args)
        _uncaught(args.exc_type, args.exc_value)

    sys.excepthook, threading.excepthook = in_main, in_thread


# Whether the hooks are set; they stay.
_hooked = False
# What a process that ends has beyond the time of its stages, in seconds.
_GRACE = 1.0


def _uncaught(kind: type[BaseException], error: BaseException | None) -> Sequence[_sutazai.Kernel]:
    """Takes the safe state of every running kernel whose policy says so; gives these."""
    # Ctrl-C and SystemExit end a program as it is meant to end.
    if not issubclass(kind, Exception):
        return []
    asked = [kernel for kernel in running() if kernel._on_panic]
    reason = "".join(traceback.format_exception_only(kind, error)).strip()
    for kernel in asked:
        kernel._take_safe_state(reason, True)
    return asked
