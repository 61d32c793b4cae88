"""The guards of a kernel's calls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, NotRequired, TypedDict, cast

from sutazai import _sutazai
from sutazai._guard import (
    BreakerPolicy,
    BudgetPolicy,
    BulkheadPolicy,
    HedgePolicy,
    RatePolicy,
    RetryPolicy,
    Share,
    policy_of,
)
from sutazai._heal import now
from sutazai._limit import AdaptiveLimit

__all__ = [
    "BreakerStatus",
    "BudgetStatus",
    "BulkheadStatus",
    "GuardStatus",
    "GuardView",
    "Guards",
]


class BreakerStatus(TypedDict):
    """A breaker's figures."""

    name: str
    state: Literal["closed", "open", "half_open", "forced_open", "forced_closed"]
    calls: int
    """Calls in the window."""
    failed: int
    slow: int
    consecutive: int
    """Failures in a row."""
    rejected: int
    """Since it was made."""
    opened: int
    """Times since it was made."""
    probe_in_ms: NotRequired[int]


class BudgetStatus(TypedDict):
    """What retries are paid from."""

    name: str
    tokens: float
    capacity: float
    granted: int
    refused: int


class BulkheadStatus(TypedDict):
    """A bulkhead's figures."""

    name: str
    running: int
    concurrency: int
    waiting: int
    rejected: int
    adaptive: NotRequired[AdaptiveLimit]
    """How it has found out how many may run, where it does so."""


class GuardStatus(TypedDict):
    """A guard's figures, and those of the parts that are on."""

    name: str
    retries: int
    """Tries after the first ones."""
    hedges: int
    """Second tries beside slow ones."""
    breaker: NotRequired[BreakerStatus]
    budget: NotRequired[BudgetStatus]
    bulkhead: NotRequired[BulkheadStatus]
    rate_limited: NotRequired[int]


class GuardView(TypedDict):
    """A guard, and which calls it is for."""

    calls: str
    """`all`, `skill:…`, or `agent:…`."""
    status: GuardStatus


_Views = list[GuardView]


class Guards:
    """What stands between a kernel's calls and trouble: `kernel.guards`. One policy is for all calls,
    others are for those of a skill or to an agent.

    Timeout, retry, budget and hedge belong to the call: another try goes to another agent with the skill,
    if there is one, and so does a second try beside one that is slow. Breaker, bulkhead, rate limit and
    the timeout of a try are each agent's own: one that its breaker leaves alone, or that has no free
    place, is passed over, and where all are full, calls wait, the more urgent first.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     tries = []
    ...     @kernel.agent
    ...     def flaky(_):
    ...         tries.append(1)
    ...         if len(tries) < 3:
    ...             raise ConnectionResetError("try again")
    ...         return "done"
    ...     kernel.guards.set(skill="flaky", retry={"base_ms": 1}, breaker=True, timeout=5)
    ...     kernel.call("flaky"), kernel.guards.list()[1]["status"]["retries"]
    ('done', 2)
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def set(
        self,
        *,
        skill: str | None = None,
        agent: str | None = None,
        timeout: float | timedelta | None = None,
        attempt_timeout: float | timedelta | None = None,
        retry: bool | RetryPolicy | None = None,
        budget: bool | BudgetPolicy | None = None,
        breaker: bool | BreakerPolicy | None = None,
        bulkhead: bool | BulkheadPolicy | None = None,
        rate: bool | RatePolicy | None = None,
        hedge: bool | HedgePolicy | None = None,
        share: Share | None = None,
    ) -> None:
        """Puts a guard around the calls of a skill, those to an agent, or, with neither, all that have no
        policy of their own; in the place of the one that they had. A part is True for its defaults, or a
        mapping with what differs from them; what is not given is off."""
        policy = policy_of(
            timeout=timeout,
            attempt_timeout=attempt_timeout,
            retry=retry,
            budget=budget,
            breaker=breaker,
            bulkhead=bulkhead,
            rate=rate,
            hedge=hedge,
            share=share,
        )
        now(self._kernel, "recovery.guard_set", calls=_calls(skill, agent), policy=policy)

    def remove(self, *, skill: str | None = None, agent: str | None = None) -> None:
        """Takes a guard away."""
        now(self._kernel, "recovery.guard_set", calls=_calls(skill, agent), policy=None)

    def list(self) -> _Views:
        """The guards of calls and of the agents that were called, with their figures."""
        return cast(_Views, now(self._kernel, "recovery.guard_list")["guards"])

    def policies(self) -> dict[str, dict[str, Any]]:
        """The policies in force, by what they are for: `all`, `skill:…`, `agent:…`."""
        given = now(self._kernel, "recovery.guard_list")["policies"]
        return {_name(each["calls"]): each["policy"] for each in given}

    def force(self, agent: str, state: Literal["open", "closed"] | None) -> None:
        """Puts an agent's breaker into a state that it does not leave by itself, or gives it back
        (None)."""
        now(self._kernel, "recovery.guard_force", agent=agent, state=state)


def _calls(skill: str | None, agent: str | None) -> str | dict[str, str]:
    if skill is not None and agent is not None:
        raise TypeError("a guard is for a skill or for an agent: give one of them")
    if skill is not None:
        return {"skill": skill}
    return {"agent": agent} if agent is not None else "all"


def _name(calls: str | dict[str, str]) -> str:
    return calls if isinstance(calls, str) else ":".join(*calls.items())
