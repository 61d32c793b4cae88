"""What the parts of healing share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from sutazai import _sutazai


def now(kernel: _sutazai.Kernel, operation: str, /, **request: object) -> Any:
    """An operation that answers at once, also where an asyncio loop runs."""
    return kernel.begin(operation, **request).result()


def mapping(what: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as the native module takes it; refuses what is none."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} must be a mapping, not {type(given).__name__}")
    return dict(given)


def check_plain(what: str, function: Any) -> None:
    """Refuses what cannot be called on a thread of the kernel's."""
    if not callable(function):
        raise TypeError(f"{what} must be callable, not {type(function).__name__}")
    if kind := kind_of(function):
        raise TypeError(
            f"{what} is a plain function, not {kind}: it runs on a thread of the kernel's"
        )


_KINDS: dict[str, Callable[[Any], bool]] = {
    "a coroutine function": inspect.iscoroutinefunction,
    "an async generator function": inspect.isasyncgenfunction,
    "a generator function": inspect.isgeneratorfunction,
}


def kind_of(function: Any) -> str | None:
    """What a function is whose call alone does none of its work; None for a plain one."""
    call = getattr(type(function), "__call__", None)
    for kind, is_kind in _KINDS.items():
        if is_kind(function) or is_kind(call):
            return kind
    return None


def name_of(name: str | None, function: object) -> str:
    """The name that is given, or the function's own."""
    if name is None:
        name = getattr(function, "__name__", "<lambda>")
        if name == "<lambda>":
            raise TypeError("the function has no name of its own; give one")
    return name
