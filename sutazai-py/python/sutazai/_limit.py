"""Limits that follow what calls take."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

__all__ = ["AdaptiveLimit", "LimitChange", "LimitPolicy"]


class LimitPolicy(TypedDict, total=False):
    """Bounds of an adaptive limit, and how it explores."""

    initial: int
    """The limit that it begins with. Default 20."""
    min: int
    max: int
    headroom: float
    """The limit is this multiple of the concurrency that is useful. Default 1.25."""
    explore: float
    """The share of the throughput that may be spent on finding out. Default 0.01."""
    memory: float
    """How long something is remembered, as a multiple of what a call takes. Default 512."""


LimitChange = TypedDict("LimitChange", {"from": int, "to": int, "cause": str, "at_nanos": int})
"""A change of a limit, from so many to so many."""


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
    changes: int
    last: LimitChange
    forgotten: int
    policy: LimitPolicy
