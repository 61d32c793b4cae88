"""Isolation: what harms the rest is set apart, probed, and let in again."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, NotRequired, TypedDict, cast

from sutazai import _sutazai
from sutazai._heal import mapping, now

__all__ = ["CrashLoop", "ErrorStorm", "Isolation", "IsolatePolicy", "MemoryRule", "TargetStatus"]


class CrashLoop(TypedDict, total=False):
    """So many crashes in so much time."""

    crashes: int
    """0 turns the rule off. Default 3."""
    window_ms: int
    """Default 60,000."""


class ErrorStorm(TypedDict, total=False):
    """So large a share of the calls in so much time."""

    failure_rate: float
    """0 turns the rule off. Default 0.8."""
    slow_rate: float
    """Default 0: off."""
    minimum: int
    """Calls that the window must hold before a share counts. Default 20."""
    window_ms: int
    """Default 10,000."""


class MemoryRule(TypedDict, total=False):
    """So much memory, or so much more each minute."""

    bytes: int
    """Default 0: off."""
    growth_per_minute: int
    """Bytes. Default 0: off."""
    minimum: int
    """Samples that a slope needs. Default 8."""
    window_ms: int
    """What the slope is taken over. Default 300,000."""


class IsolatePolicy(TypedDict, total=False):
    """When a target is set apart, for how long, and how it comes back."""

    crash_loop: CrashLoop
    error_storm: ErrorStorm
    memory: MemoryRule
    suspect_share: float
    """A target is suspect from this share of any bound. Default 0.5."""
    suspect_ms: int
    """How long a suspect must look well before it is healthy again. Default 10,000."""
    quarantine_ms: int
    """How long a target is set apart at first, twice as long with each relapse. Default 30,000."""
    quarantine_max_ms: int
    """And at most. Default 900,000."""
    forgive_ms: int
    """For each time that it was well for so long, one relapse is forgiven. Default 600,000."""
    probes: int
    """Calls that may probe a target at once. Default 1."""
    readmit_after: int
    """Probes that must succeed before it is let in. Default 3."""
    probe_timeout_ms: int
    """A probe of which nothing was heard for so long gives its place back. Default 60,000."""
    most_targets: int
    """Targets that something is known of, at most. Default 1,024."""


class TargetStatus(TypedDict):
    """Where a target stands, and the evidence that led there."""

    target: str
    state: Literal["healthy", "suspect", "quarantined", "probing"]
    relapses: int
    """Times that it was quarantined and that are not forgiven yet."""
    probe_in_ms: NotRequired[int]
    """How long until it may be probed; while it is quarantined, and not until released."""
    why: NotRequired[
        Literal[
            "crash_loop",
            "error_storm",
            "slow_storm",
            "memory",
            "growth",
            "calm",
            "waited",
            "probe_failed",
            "probes_succeeded",
            "manual",
        ]
    ]
    by: NotRequired[str]
    """Who did it, by hand."""
    crashes: NotRequired[int]
    window_ms: NotRequired[int]
    failed: NotRequired[int]
    slow: NotRequired[int]
    calls: NotRequired[int]
    bytes: NotRequired[int]
    bytes_per_minute: NotRequired[float]
    bound: NotRequired[int]


class MemoryUsed(TypedDict):
    """Evidence: so many bytes of memory."""

    memory: int


_Targets = list[TargetStatus]


class Isolation:
    """The targets (agents, or anything with a name) that are known to harm the rest:
    `kernel.isolation`. An agent that is quarantined gets no calls.

    >>> import sutazai
    >>> with sutazai.Kernel(clock="virtual") as kernel:
    ...     for _ in range(3):
    ...         target = kernel.isolation.observe("indexer", "crash")
    ...     kernel.isolation.release("indexer", by="ops")["state"], target["state"], target["why"]
    ('healthy', 'quarantined', 'crash_loop')
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def list(self) -> _Targets:
        """The targets that something is known of, sorted by name."""
        answer = now(self._kernel, "recovery.isolate_list")
        return cast(_Targets, answer["targets"])

    def observe(
        self,
        target: str,
        evidence: Literal["crash", "failure", "slow", "success"] | MemoryUsed,
    ) -> TargetStatus:
        """Feeds evidence about a target in, beside that of the agents' calls."""
        answer = now(self._kernel, "recovery.isolate_observe", target=target, evidence=evidence)
        return cast(TargetStatus, answer)

    def quarantine(
        self, target: str, duration: float | timedelta | None = None, *, by: str = "host"
    ) -> TargetStatus:
        """Sets a target apart for so many seconds, or until it is released; `by` says who."""
        request: dict[str, object] = {"target": target, "by": by}
        if duration is not None:
            ms = round(_sutazai._seconds("duration", duration) * 1e3)
            # What takes longer than the kernel's clock goes is until it is released.
            request["for_ms"] = ms if ms < 2**63 else None
        return cast(TargetStatus, now(self._kernel, "recovery.isolate_quarantine", **request))

    def release(self, target: str, *, by: str = "host") -> TargetStatus:
        """Lets a target in again, and forgives it."""
        answer = now(self._kernel, "recovery.isolate_release", target=target, by=by)
        return cast(TargetStatus, answer)

    @property
    def policy(self) -> IsolatePolicy | None:
        """The rules in force; None while nobody has given any, and calls are no evidence."""
        return cast(IsolatePolicy | None, now(self._kernel, "recovery.policies")["isolation"])

    def set_policy(self, policy: IsolatePolicy) -> None:
        """Takes other rules; what is left out is as by default. From here on how the agents' calls go
        is evidence."""
        now(self._kernel, "recovery.isolate_set_policy", policy=mapping("policy", policy))
