"""Limits that follow what calls take."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

__all__ = ["AdaptiveLimit", "LimitChange", "LimitPolicy"]


class LimitPolicy(TypedDict, total=False):
    """Bounds of an adaptive limit, and how it explores."""

    initial: int
    """The limit that it begins with, from `min` to `max`. Default 20, or the nearest that these and the bulkhead allow."""
    min: int
    """It never goes below. Default 1; the bulkhead's `concurrency` at most, as `initial`."""
    max: int
    """It never goes beyond. Default 1,000."""
    headroom: float
    """The limit is this multiple of the concurrency that is useful. Default 1.25."""
    explore: float
    """The share of the throughput that may be spent on finding out. Default 0.01."""
    memory: float
    """How long something is remembered, as a multiple of what a call takes. Default 512."""


LimitChange = TypedDict("LimitChange", {"from": int, "to": int, "cause": str, "at_nanos": int})
"""A change of a limit, from so many to so many; `at_nanos` is by the monotonic clock of the kernel: since its process asked for
the time first, or since the start of a virtual clock."""


class AdaptiveLimit(TypedDict):
    """How a limit has found out how many calls its target takes at once."""

    limit: int
    target: int
    in_flight: int
    phase: Literal["learning", "following", "probing", "backing"]
    useful: NotRequired[float]
    """The concurrency beyond which calls only wait, as far as is known."""
    doubt: NotRequired[float]
    service_ms: NotRequired[float]
    binding: bool
    kept_out: int
    """How often a call found the limit reached: those that were turned away, and those that waited and had a place later."""
    changes: int
    last: LimitChange
    """The last change other than for a probe: why the limit is what it is."""
    forgotten: int
    policy: LimitPolicy
