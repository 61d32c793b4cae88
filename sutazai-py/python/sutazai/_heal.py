"""What the parts of healing share."""

from __future__ import annotations

import inspect
from typing import Any

from sutazai import _sutazai


def now(kernel: _sutazai.Kernel, operation: str, /, **request: object) -> Any:
    """An operation that answers at once, also where an asyncio loop runs."""
    return kernel.begin(operation, **request).result()


def check_plain(what: str, function: Any) -> None:
    """Refuses what cannot be called on a thread of the kernel's."""
    if not callable(function):
        raise TypeError(f"{what} must be callable, not {type(function).__name__}")
    call = getattr(function, "__call__", None)  # noqa: B004
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call):
        raise TypeError(f"{what} is a plain function: it runs on a thread of the kernel's")


def name_of(name: str | None, function: object) -> str:
    """The name that is given, or the function's own."""
    if name is None:
        name = getattr(function, "__name__", "<lambda>")
        if name == "<lambda>":
            raise TypeError("the function has no name of its own; give one")
    return name
