"""Agents' lives: how they are watched, and how they are supervised."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from sutazai._supervise import Backoff

__all__ = ["AgentSupervision", "Liveness", "LivenessPolicy"]


class LivenessPolicy(TypedDict, total=False):
    """When an agent is asked whether it lives, and what its silence means."""

    interval_ms: int
    """Between two questions; what is heard of it otherwise saves the next one. Default 5,000."""
    slow_phi: float
    """From this φ on it is slow: −log₁₀ of how likely it is that its answer still comes. Default 4."""
    dead_phi: float
    """From this φ on, a pause later, it is dead. Default 8."""
    pause_ms: int
    """Silence of this length is nothing unusual. Default 10,000."""
    busy_pause_ms: int | None
    """The same of one that has work; None for one that may be silent for as long as it works. Default
    300,000."""
    first_ms: int
    """How long the first answers are expected to take. Default 500."""
    deviation_ms: int
    """The least deviation of the answers' times. Default 100."""
    stall_ms: int
    """How long an agent may have work that nothing comes of before it is slow; three times what 99 of 100 of
    its calls take where that is more. Default 10,000."""


class Liveness(TypedDict):
    """What is known of an agent's life: `liveness` of what `agents` gives."""

    state: Literal["alive", "slow", "unreachable", "dead"]
    why: NotRequired[str]
    phi: float
    last_beat_ms: NotRequired[int]
    """Since it was heard of last; absent before the first time."""
    answers_in_ms: int
    policy: LivenessPolicy


class AgentSupervision(TypedDict, total=False):
    """How often an agent is started again, and who decides."""

    under: str
    """The path of a supervisor in a tree of yours; that one's strategy, intensity and pauses hold. Without it
    the agent has a supervisor of its own in the tree `agents`."""
    intensity: int
    """Restarts within the period, at most; with one more it has failed. Default 5."""
    period_ms: int
    """Default 60,000."""
    backoff: Backoff | None
    """Pauses before restarts. Default: from 100 ms to 10 s."""
    restart: Literal["permanent", "transient"]
    """After which ends it is started again. Default permanent: all."""
    shutdown_ms: int
    """How long its stop may take. Default 5,000."""
    start_timeout_ms: int
    """How long its start may take. Default 30,000."""
    queue: int
    """Calls that may wait for its next life. Default 1,024."""
