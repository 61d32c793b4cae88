"""Agents as a kernel knows them: who they say they are, and how they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

from sutazai._ledger import AgentStats
from sutazai._life import Liveness
from sutazai._probe import SkillCard

__all__ = ["AgentCard", "AgentView"]


class AgentCard(TypedDict):
    """What an agent says of itself."""

    name: str
    """Unique within a kernel: 1 to 128 letters, digits, `_`, `-`, `/`, `:` and `.`."""
    skills: Sequence[str]
    """The skills it has, one at least; a call asks for one of them."""
    version: NotRequired[str]
    """Its own version, free text."""
    description: NotRequired[str]
    """What it is for, one line."""
    run: NotRequired[Literal["pool", "inline"]]
    """Where it works: on the kernel's pool, or on the caller's thread; then it promises never to block.
    Default pool."""
    concurrency: NotRequired[int]
    """Tasks at once, at most; no bound without it."""
    timeout_ms: NotRequired[int]
    """How long a task may take whose caller does not say."""
    labels: NotRequired[Mapping[str, str]]
    """Labels that calls may ask for, and that routers may read."""
    cost: NotRequired[float]
    """What a task is expected to cost, in your unit of account, as long as calls have not shown it."""
    about: NotRequired[Mapping[str, SkillCard]]
    """More of its skills, by their names."""


class AgentView(TypedDict):
    """An agent as it is at present: `kernel.agents()`, `kernel.agent_view(name)`."""

    card: AgentCard
    state: Literal[
        "registered",
        "starting",
        "ready",
        "standby",
        "unreachable",
        "quarantined",
        "failed",
        "draining",
        "stopped",
    ]
    """Whether it takes tasks: only one that is ready does."""
    why: NotRequired[str]
    """Why it is in this state; absent before it was started."""
    liveness: NotRequired[Liveness]
    """Whether it lives; absent where that is not watched."""
    supervised: NotRequired[str]
    """The path of its child in a tree of supervisors; absent where it is not supervised."""
    standby: NotRequired[list[str]]
    """Other versions of it that may take over again; the one that was in charge last comes last."""
    template: NotRequired[str]
    """The template that it was made from."""
    in_flight: int
    """Tasks under way."""
    restarts: int
    """How often it had to be started again."""
    stats: AgentStats
    """How its calls went."""
