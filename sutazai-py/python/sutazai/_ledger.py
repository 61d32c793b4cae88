"""How agents' calls went."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from sutazai import _sutazai

__all__ = [
    "AgentLedger",
    "AgentStats",
    "FailureStats",
    "LatencyStats",
    "QualityStats",
    "RecentStats",
    "SkillStats",
    "Usage",
]


class FailureStats(TypedDict):
    """Calls that failed, by class."""

    transient: int
    persistent: int
    critical: int


class LatencyStats(TypedDict):
    """How long callers waited, in nanoseconds; quantiles within 1/64."""

    p50_ns: int
    """The median."""
    p99_ns: int
    max_ns: int
    mean_ns: int


class Usage(TypedDict):
    """What calls took, as far as the agent says."""

    input_tokens: int
    """Tokens that a model read."""
    output_tokens: int
    """Tokens that a model wrote."""
    cost: float
    """In your unit of account."""


class QualityStats(TypedDict):
    """How good answers were, as far as anybody said (`kernel.score`)."""

    scores: int
    """Answers that somebody scored."""
    mean: float
    """From 0 to 1."""


class RecentStats(TypedDict):
    """How calls went of late; a call counts half as much after ten minutes."""

    calls: float
    failed: float
    """The share of them that failed, from 0 to 1."""
    mean_ns: float
    """How long callers waited, in nanoseconds."""
    cost: NotRequired[float]
    """What a call cost; absent where the agent never said."""
    quality: NotRequired[float]
    """How good answers were, from 0 to 1; absent where nobody said."""


class AgentStats(TypedDict):
    """How calls went, since the agent was first known under its name and version."""

    calls: int
    """Calls that have their answer."""
    failures: FailureStats
    latency: LatencyStats | None
    """None before the first call."""
    usage: NotRequired[Usage]
    """Absent where the agent never said."""
    quality: NotRequired[QualityStats]
    """Absent where nobody said."""
    recent: NotRequired[RecentStats]
    """Absent before the first call."""


class SkillStats(TypedDict):
    """How the calls for a skill went."""

    skill: str
    stats: AgentStats


class AgentLedger(TypedDict):
    """An agent's books."""

    name: str
    stats: AgentStats
    """All its calls."""
    skills: list[SkillStats]
    """Those for each of its skills, in the order of its card."""


def scoring(
    score: float, call: int | _sutazai.Ticket | None, agent: str | None, skill: str | None
) -> dict[str, object]:
    """A request of `agent.score`."""
    if (call is None) == (agent is None):
        raise TypeError("a score is for a call or for an agent: give one of them")
    if skill is not None and agent is None:
        raise TypeError("skill goes with agent; a call has its own")
    about = {"call": None if call is None else call_number(call), "name": agent, "skill": skill}
    return {"score": score} | {key: value for key, value in about.items() if value is not None}


def call_number(call: int | _sutazai.Ticket) -> int:
    """The number of a call that is said by its ticket or its number."""
    number = call.id if isinstance(call, _sutazai.Ticket) else call
    if number is None:
        raise TypeError("the ticket is no call's: it is that of an operation")
    return number
