"""Exceptions: one class for each family of error codes, and for the codes that a program handles.

A class that Python has a word for is that as well: `DeadlineExceeded` is a `TimeoutError`,
`NotFound` a `LookupError`. A cancelled *call* is `CallCancelled`, never `asyncio.CancelledError`:
that one says that the awaiting task itself was cancelled, and asyncio relies on it.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from sutazai._facts import leaves, qualified, seen, utf8
from sutazai._sutazai import _codes

__all__ = [
    "AgentError",
    "AlreadyExists",
    "BadAnswer",
    "BreakerOpen",
    "BulkheadFull",
    "CallCancelled",
    "ConfigError",
    "CoreError",
    "DeadlineExceeded",
    "Degraded",
    "EventError",
    "Forked",
    "HostError",
    "Invalid",
    "KernelError",
    "Location",
    "NoSkill",
    "NotApproved",
    "NotFound",
    "NotMade",
    "NotRunning",
    "ObserveError",
    "OperationUnknown",
    "Overloaded",
    "PermissionDenied",
    "Poison",
    "Quarantined",
    "RateLimited",
    "RecoveryError",
    "RequestInvalid",
    "SafeState",
    "SagaStuck",
    "SagaUndone",
    "SecurityError",
    "StepUpRequired",
    "StoreError",
    "SubscriptionClosed",
    "SurfaceError",
    "SutazaiError",
    "TooLate",
    "Unsupported",
    "WaitTimeout",
    "WouldDeadlock",
]

_CODES = {name: (number, class_) for number, name, class_, _ in _codes()}
_CLASSES = ("transient", "persistent", "critical")


class Location(NamedTuple):
    """Where, in something that was parsed. Lines and columns count from 1, columns in characters."""

    file: str
    line: int
    column: int
    excerpt: str


class SutazaiError(Exception):
    """What went wrong. `str()` is one line with everything; the attributes hold the pieces.

    Of something that was parsed, `str()` shows the offending line and a caret below as well. A check
    that found several mistakes raises one error, whose attributes are those of the first: `str()`
    shows them all, and `problems` has them apart.
    """

    _default: ClassVar[str] = "base.internal"

    code: int
    """The stable number of the kind of error."""
    name: str
    """The code's name, `family.what`."""
    class_: str
    """`transient` (trying again may help), `persistent` or `critical`."""
    message: str
    """What was wrong."""
    operation: str | None
    """Which operation failed."""
    context: dict[str, str]
    """What belongs to it."""
    advice: str | None
    """What to do about it."""
    location: Location | None
    """Where, in something that was parsed."""
    causes: list[str]
    """The errors that led to it, the nearest first."""

    def __init__(
        self,
        message: str = "",
        *,
        class_: str | None = None,
        operation: str | None = None,
        context: Mapping[str, object] | None = None,
        advice: str | None = None,
    ) -> None:
        super().__init__(message)
        if class_ is not None and class_ not in _CLASSES:
            raise ValueError(f"class_ must be one of {', '.join(_CLASSES)}, not {class_!r}")
        self.name = self._default
        self.code, default = _CODES[self._default]
        self.class_ = default if class_ is None else class_
        self.message = message
        self.operation = operation
        self.context = {str(key): str(value) for key, value in (context or {}).items()}
        self.advice = advice
        self.location = None
        self.causes = []
        self._problems: list[SutazaiError] = []
        self._text: str | None = None

    @property
    def problems(self) -> list[SutazaiError]:
        """All the mistakes that this error stands for, in order: itself, when it is but one."""
        return list(self._problems) or [self]

    def to_dict(self) -> dict[str, Any]:
        """The error as JSON, the same in every host: `code`, `name`, `class`, `message`, and what
        there is of `operation`, `context`, `advice`, `location` and `causes`; `problems` when it
        stands for several."""
        shown: dict[str, Any] = {
            "code": self.code,
            "name": self.name,
            "class": self.class_,
            "message": self.message,
            "operation": self.operation,
            "context": dict(self.context),
            "advice": self.advice,
            "location": self.location and self.location._asdict(),
            "causes": list(self.causes),
            "problems": [problem.to_dict() for problem in self._problems],
        }
        return {key: value for key, value in shown.items() if value not in (None, {}, [])}

    def __str__(self) -> str:
        if self._text is not None:
            return self._text
        text = f"{self.operation}: {self.message}" if self.operation else self.message
        # The traceback has lines of its own; it is in the exception's notes.
        shown = [f"{key}={value}" for key, value in self.context.items() if key != "traceback"]
        if shown:
            text += f" ({', '.join(shown)})"
        return f"{text}; {self.advice}" if self.advice else text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, dict(self.__dict__))


class CoreError(SutazaiError):
    """Family `base`: calls, tickets, input, the operating system."""


class CallCancelled(CoreError):
    """The call was cancelled: by its ticket, by its number, or because the kernel stopped."""

    _default = "base.cancelled"


class DeadlineExceeded(CoreError, TimeoutError):
    """No answer came before the call's deadline."""

    _default = "base.deadline_exceeded"


class WaitTimeout(CoreError, TimeoutError):
    """Waiting ended before there was an answer; the call goes on."""

    _default = "base.timeout"


class Invalid(CoreError, ValueError):
    """The input is not valid."""

    _default = "base.invalid"


class NotFound(CoreError, LookupError):
    """There is nothing of that name."""

    _default = "base.not_found"


class AlreadyExists(CoreError):
    """There is one of that name already."""

    _default = "base.already_exists"


class Overloaded(CoreError):
    """A bounded queue or pool is full, or every agent is busy."""

    _default = "base.overloaded"


class WouldDeadlock(CoreError, RuntimeError):
    """Blocking here would stop the thread that brings the answer."""

    _default = "base.would_deadlock"


class TooLate(CoreError, RuntimeError):
    """The call has its answer already."""

    _default = "base.too_late"


class NotRunning(CoreError, RuntimeError):
    """It has not been started, or has been stopped."""

    _default = "base.not_running"


class Unsupported(CoreError, NotImplementedError):
    """Not available in this build or on this system."""

    _default = "base.unsupported"


class Forked(CoreError, RuntimeError):
    """The handle belongs to the process that this one was forked from."""

    _default = "base.forked"


class EventError(SutazaiError):
    """Family `event`: subjects and subscriptions."""

    _default = "event.subject_invalid"


class SubscriptionClosed(EventError):
    """The subscription was closed because it was too slow."""

    _default = "event.subscription_closed"


class ObserveError(SutazaiError):
    """Family `observe`: metrics, spans, logs."""

    _default = "observe.metric_invalid"


class StoreError(SutazaiError):
    """Family `store`: the data directory and its database."""

    _default = "store.failed"


class ConfigError(SutazaiError):
    """Family `config`: the manifest. `location` says where in it."""

    _default = "config.manifest_invalid"


class AgentError(SutazaiError):
    """Family `agent`. An agent raises it to fail with a class and a context of its own choice."""

    _default = "agent.failed"


class NoSkill(AgentError, LookupError):
    """No registered agent has the skill."""

    _default = "agent.no_skill"


class NotMade(AgentError):
    """No template could make an agent for what is wanted; `problems` has every reason."""

    _default = "agent.not_made"


class BadAnswer(AgentError):
    """The agent answered with something that has no JSON form."""

    _default = "agent.bad_answer"


class KernelError(SutazaiError):
    """Family `kernel`: injection, components, stopping."""

    _default = "kernel.draining"


class SurfaceError(SutazaiError):
    """Family `surface`: the table of operations."""

    _default = "surface.request_invalid"


class OperationUnknown(SurfaceError, LookupError):
    """No operation has that name."""

    _default = "surface.operation_unknown"


class RequestInvalid(SurfaceError, ValueError):
    """The request does not fit the operation's schema."""


class SecurityError(SutazaiError):
    """Family `security`: who calls, and whether they may."""

    _default = "security.unauthenticated"


class PermissionDenied(SecurityError, PermissionError):
    """The caller may not do this."""

    _default = "security.denied"


class StepUpRequired(PermissionDenied):
    """The caller must prove another factor first: one of `context["schemes"]`."""

    _default = "security.step_up"


class NotApproved(PermissionDenied):
    """Somebody refused to approve it, or nobody did in time."""

    _default = "security.not_approved"


class RecoveryError(SutazaiError):
    """Family `recovery`: what was refused to spare something, and what could not be healed."""

    _default = "recovery.action_refused"


class BreakerOpen(RecoveryError):
    """The circuit breaker is open: the target has been failing."""

    _default = "recovery.breaker_open"


class RateLimited(RecoveryError):
    """The rate limit leaves no room for this call."""

    _default = "recovery.rate_limited"


class BulkheadFull(RecoveryError):
    """As many calls as the bulkhead allows run and wait."""

    _default = "recovery.bulkhead_full"


class Quarantined(RecoveryError):
    """The target is set apart because it harms the rest."""

    _default = "recovery.quarantined"


class Degraded(RecoveryError):
    """The feature is off at the present level of degradation."""

    _default = "recovery.degraded"


class Poison(RecoveryError):
    """The task was set aside: it brought its agent down twice."""

    _default = "recovery.poison"


class SagaUndone(RecoveryError):
    """A step failed, and what had been done was undone."""

    _default = "recovery.saga_undone"


class SagaStuck(RecoveryError):
    """A compensation failed: what was done is undone in part."""

    _default = "recovery.saga_stuck"


class SafeState(RecoveryError):
    """The system is in its safe state and takes no calls."""

    _default = "recovery.safe_state"


class HostError(SutazaiError):
    """An error with a number of the host's own."""


_FAMILIES: dict[str, type[SutazaiError]] = {
    "base": CoreError,
    "event": EventError,
    "observe": ObserveError,
    "store": StoreError,
    "config": ConfigError,
    "agent": AgentError,
    "kernel": KernelError,
    "surface": SurfaceError,
    "security": SecurityError,
    "recovery": RecoveryError,
    "host": HostError,
}

_BY_NAME: dict[str, type[SutazaiError]] = {
    kind._default: kind
    for kind in (
        CallCancelled,
        DeadlineExceeded,
        WaitTimeout,
        Invalid,
        NotFound,
        AlreadyExists,
        Overloaded,
        WouldDeadlock,
        TooLate,
        NotRunning,
        Unsupported,
        Forked,
        SubscriptionClosed,
        NoSkill,
        NotMade,
        BadAnswer,
        OperationUnknown,
        RequestInvalid,
        PermissionDenied,
        StepUpRequired,
        NotApproved,
        BreakerOpen,
        RateLimited,
        BulkheadFull,
        Quarantined,
        Degraded,
        Poison,
        SagaUndone,
        SagaStuck,
        SafeState,
    )
}

# The traceback that travels with an agent's error: its end, where the mistake usually is.
_TRACEBACK = 4_000
_MESSAGE = 2_000
# How such a message begins.
_RAISED = re.compile(r"the (\w+(?: \w+)?) raised ")


def _kind_of(name: str) -> type[SutazaiError]:
    return _BY_NAME.get(name) or _FAMILIES.get(name.partition(".")[0], SutazaiError)


def _rebuild(
    kind: type[SutazaiError], message: str, state: dict[str, object]
) -> SutazaiError:
    error = kind(message)
    error.__dict__.update(state)
    return error


def _from_native(
    kind: tuple[int, str, str],
    message: str,
    operation: str | None,
    context: dict[str, str],
    advice: str | None,
    location: tuple[str, int, int, str] | None,
    causes: Sequence[str],
    problems: Sequence[SutazaiError],
    text: str,
) -> SutazaiError:
    """The exception for an error of the core's; called by the native module."""
    code, name, class_ = kind
    error = _kind_of(name)(
        message, class_=class_, operation=operation, context=context, advice=advice
    )
    error.code, error.name = code, name
    error.location = None if location is None else Location(*location)
    error.causes = list(causes)
    error._problems = list(problems)
    if "traceback" in error.context:
        who = _RAISED.match(message)
        where = who.group(1) if who else "agent"
        error.add_note(f"In the {where}:\n{error.context['traceback'].rstrip()}")
    else:
        error._text = text
    return error


def _gave_up(error: BaseException, since: int) -> str | None:
    """Why a guard has given up on an exception, or on one that led to it or is a part of it: later than
    `since`, in the count that guards keep of their calls and of this. An exception may be raised again."""
    left, seen = [error], set[int]()
    while left and len(seen) < 100:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        mark = getattr(one, "__sutazai_gave_up__", None)
        if isinstance(mark, tuple) and mark[1] > since:
            return str(mark[0])
        if one.__cause__ is not None:
            left.append(one.__cause__)
        elif one.__context__ is not None:
            left.append(one.__context__)
        if isinstance(one, BaseExceptionGroup):
            left.extend(one.exceptions)
    return None


def _to_native(
    error: BaseException,
    who: str,
    group: BaseException | None = None,
) -> tuple[int, str | None, str, str | None, list[tuple[str, str]], str | None]:
    """What an agent, a worker or the like raised, for the core: code, class, message, operation,
    context, advice. Where that is a group, `error` is the worst exception in it."""
    whole = error if group is None else group
    # A guard looks itself, and knows since when it counts.
    gave_up = None if who == "guarded function" else _gave_up(whole, 0)
    given_up = [("gave_up", gave_up)] if gave_up is not None else []
    # What the group itself says is left out: it would be judged as well.
    within = "" if group is None else f"{qualified(type(group))} of {_worst_of(group)}"
    if isinstance(error, SutazaiError):
        context = [pair for pair in error.context.items() if pair[0] != "gave_up" or not given_up]
        raised = f"the {who} raised {within}{type(error).__name__}: {error.message}"
        return (
            error.code,
            error.class_,
            utf8(raised[:_MESSAGE]) if within else error.message,
            error.operation,
            context + given_up,
            error.advice,
        )
    name = qualified(type(error))
    try:
        said = str(error)
    except Exception:
        said = "its message cannot be shown"
    message = f"the {who} raised {within}{name}" + (f": {said}" if said else "")
    try:
        trace = "".join(traceback.format_exception(whole))
    except Exception:
        trace = "the traceback cannot be shown"
    trail = ("traceback", utf8(trace[-_TRACEBACK:]))
    context = [("exception", name), *seen(error), *given_up, trail]
    number, class_ = _CODES["agent.failed"]
    return number, class_, utf8(message[:_MESSAGE]), None, context, None


def _worst_of(group: BaseException) -> str:
    count = len(leaves(group))
    return "" if count == 1 else f"{count}, the worst "
