"""Agents that are written in Python: what a function is as an agent."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from typing import Any, Literal

from sutazai import _sutazai
from sutazai._heal import check_plain, kind_of, mapping
from sutazai._loop import LoopThread, bridge_of
from sutazai._probe import SkillCard

__all__ = ["AgentSpec"]

_Open = Callable[[], _sutazai._Bridge]


@dataclass(frozen=True)
class AgentSpec:
    """A function as an agent, for whoever registers it: an entry point of the group `sutazai.agents`, or a
    source of `kernel.discovery`. The fields are what `Kernel.agent` takes.

    >>> import sutazai
    >>> def shout(text):
    ...     "Says it louder."
    ...     return text.upper()
    >>> SHOUT = sutazai.AgentSpec(shout, skills=["shout"], version="2")
    """

    function: Callable[..., Any]
    _: KW_ONLY
    skills: Sequence[str] | None = None
    name: str | None = None
    version: str = ""
    description: str | None = None
    concurrency: int | None = None
    timeout: float | timedelta | None = None
    labels: Mapping[str, str] | None = None
    cost: float | None = None
    about: Mapping[str, SkillCard] | None = None
    inline: bool = False
    reply: bool = False
    loop: asyncio.AbstractEventLoop | None = None
    beat: Callable[[], object] | None = None

    def _declared(self, own: LoopThread) -> _sutazai._Described:
        """The card's fields, how the function is called, the function, for a coroutine function what opens its
        loop (the kernel's `own` unless it has one), and what says whether it lives."""
        function = self.function
        called = self.name if self.name is not None else _name_of(function)
        told = self.description if self.description is not None else _first_line(function)
        kind = kind_of(function)
        asks = kind == "a coroutine function"
        if kind and not asks:
            raise TypeError(f"an agent is a plain function or a coroutine function, not {kind}")
        if asks and self.inline:
            raise TypeError("a coroutine runs on a loop; it cannot be inline")
        if self.loop is not None and not asks:
            raise TypeError("loop is for coroutine functions")
        if self.reply and asks:
            raise TypeError("reply is for plain functions; a coroutine returns its answer")
        if self.beat is not None:
            check_plain("beat", self.beat)
        card: dict[str, object] = {
            "name": called,
            "skills": [called] if self.skills is None else self.skills,
            "version": self.version,
            "description": told,
            # Starting a coroutine is putting it into a queue.
            "inline": self.inline or asks,
            "concurrency": self.concurrency,
            "timeout": self.timeout,
            "labels": self.labels,
            "cost": self.cost,
            "about": None if self.about is None else mapping("about", self.about),
        }
        form: Literal["input", "context", "reply"] = "reply" if self.reply else _form(function)
        open_: _Open | None = None
        if asks:
            open_ = own.bridge if self.loop is None else functools.partial(bridge_of, self.loop)
        return card, form, function, open_, self.beat


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise TypeError("the function has no name of its own; give one: name=...")
    return name


def _first_line(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) if hasattr(function, "__name__") else None
    return text.strip().partition("\n")[0] if text else ""


def _form(function: Callable[..., Any]) -> Literal["input", "context"]:
    """Whether a function wants the context: whether it must or can take a second argument that has
    no default."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        # Many built-in functions do not say.
        return "input"
    positional = [
        p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    required = [p for p in positional if p.default is p.empty]
    variable = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(required) > 2 or (not positional and not variable):
        raise TypeError("an agent is f(input) or f(input, context)")
    if len(required) == 2 or (len(positional) > 1 and positional[1].name in ("ctx", "context")):
        return "context"
    return "input"
