"""Sagas: steps with compensations, durable, resumed after a crash."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sutazai._guard import RetryPolicy
from sutazai._heal import check_plain

__all__ = ["SagaContext", "SagaStep"]


class SagaContext(NamedTuple):
    """What a step may know of the saga that it is called by."""

    saga: str
    """The saga's identifier."""
    name: str
    """The name of its definition."""
    step: str
    """The step's name."""
    key: str
    """The idempotency key: the same for every call of this step, in this direction, of this saga."""
    attempt: int
    """Which try this is, from 1."""
    input: Any
    """What the saga was begun with."""
    gave: Mapping[str, Any]
    """What the steps before this one gave, by name."""


@dataclass(frozen=True)
class SagaStep:
    """A step of a saga.

    `do(context)` does it; what it returns is kept. `undo(context, gave)` undoes it; `gave` is None
    when it is not known whether it took effect, because it failed or was interrupted. Both may be
    called again with the same `context.key`. Without `undo` there is nothing to undo. Both are plain
    functions, no coroutine functions: they run on the kernel's pool.
    """

    do: Callable[[SagaContext], object]
    undo: Callable[[SagaContext, Any], object] | None = None
    name: str | None = None
    """The name of `do`'s without it."""
    idempotent: bool = False
    """Whether `do` may be called again when a crash interrupted it; it is undone otherwise."""
    atomic: bool = False
    """Whether an exception of `do`'s means that nothing was done; it is undone otherwise."""
    retry: RetryPolicy | None = None
    """How `do` is tried again after transient failures; not at all without it."""
    undo_retry: RetryPolicy | None = None
    """How `undo` is; as the saga says without it."""


#: Name, policy, `do`, `undo`, as the native module takes them.
Native = tuple[str, dict[str, object], Callable[..., object], Callable[..., object]]


def native(step: SagaStep | Sequence[Any]) -> Native:
    """A step as the native module takes it."""
    if not isinstance(step, SagaStep):
        try:
            do, undo = step
        except (TypeError, ValueError):
            raise TypeError("a step is a SagaStep, or a pair of do and undo") from None
        step = SagaStep(do, undo)
    do, undo = step.do, step.undo
    for function in (do, undo):
        if function is not None:
            check_plain("a step", function)
    name = step.name if step.name is not None else getattr(do, "__name__", "<lambda>")
    if name == "<lambda>":
        raise TypeError("the function has no name of its own; give one: SagaStep(..., name=...)")
    policy: dict[str, object] = {"idempotent": step.idempotent, "atomic": step.atomic}
    if step.retry is not None:
        policy["retry"] = dict(step.retry)
    if step.undo_retry is not None:
        policy["undo_retry"] = dict(step.undo_retry)

    def act(*fields: Any) -> object:
        return do(SagaContext(*fields))

    def back(gave: object, *fields: Any) -> None:
        if undo is not None:
            undo(SagaContext(*fields), gave)

    return name, policy, act, back
