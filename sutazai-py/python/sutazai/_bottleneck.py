"""What holds tasks up, and what would change if it were better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NotRequired, TypedDict

__all__ = [
    "Bottleneck",
    "BottleneckKind",
    "BottleneckPart",
    "BottleneckPolicy",
    "Bottlenecks",
    "Improvement",
    "ResourceFigures",
    "Station",
    "WaitFor",
    "WhatIf",
]

BottleneckKind = Literal[
    "service",
    "compute",
    "cpu",
    "queue",
    "imbalance",
    "pool",
    "lock",
    "disk",
    "memory",
    "rate_limit",
    "retry",
    "budget",
    "dependency",
    "errors",
    "resource",
]
WaitFor = Literal["place", "pool", "lock", "rate_limit", "retry", "budget", "disk", "dependency"]
"""What a wait is for."""
Improvement = Mapping[str, float]
"""What is better: `{"faster": 0.2}` takes a fifth less time, `{"more_capacity": 1}` can do one more at once."""


class BottleneckPolicy(TypedDict, total=False):
    """How bottlenecks are looked for."""

    window_s: float
    """Seconds that are looked back. Default 60."""
    spans: int
    """Spans that are gone by, the newest. Default 4,096."""
    ranked: int
    """Components that are named, at most. Default 10."""
    faster: float
    """Share by which a step is made faster in the estimates. Default 0.2."""
    light_load: float
    """Tasks under way on average, below which the load is light where nothing waits. Default 0.5."""
    light_wait: float
    """Below this share nothing waits. Default 0.1."""


class BottleneckPart(TypedDict):
    """A part of what a component costs."""

    kind: BottleneckKind
    share: float


class WhatIf(TypedDict):
    """The recorded tasks, done again with a change."""

    change: Improvement
    throughput: float
    """Tasks a second, by what was: 1.25 for a quarter more."""
    latency: float
    """The tasks' mean time, by what was."""
    tasks_per_s: float
    latency_s: float


class Bottleneck(TypedDict):
    """A component that holds tasks up."""

    component: str
    kind: BottleneckKind
    agent: str | None
    step: str | None
    share: float
    """Share of the tasks' time that it costs."""
    parts: list[BottleneckPart]
    evidence: list[str]
    what_if: list[WhatIf]


class Station(TypedDict):
    """Figures of an agent or step as a queue."""

    step: str
    agent: str | None
    arrivals: int
    arrivals_per_s: float
    in_service: float
    waiting: float
    service_s: float
    wait_s: float
    capacity: float | None
    utilisation: float | None
    little: float
    """Mean number in it that Little's law gives."""
    observed: float
    arrival_scv: float
    service_scv: float
    estimated_wait_s: float | None
    failed: float


class ResourceFigures(TypedDict):
    """Utilisation, saturation and errors of a resource, each from 0 to 1."""

    name: str
    utilisation: NotRequired[float | None]
    saturation: NotRequired[float | None]
    errors: NotRequired[float | None]
    shared: NotRequired[bool]
    """Whether these are the whole machine's figures, to which others add."""


class Bottlenecks(TypedDict):
    """What holds tasks up: the first of those ranked is the answer."""

    verdict: Literal["found", "light_load", "no_tasks"]
    says: str
    """The answer in a sentence."""
    ranked: list[Bottleneck]
    tasks: int
    seconds: float
    tasks_per_s: float
    latency_s: float
    waiting: float
    """Share of the tasks' time that was spent waiting."""
    replayed: float | None
    """The mean time of the tasks done again without a change, by what it was: near 1 where estimates stand on firm ground. None where
    they could not be done again; then there are no estimates."""
    forgotten: int
    stations: list[Station]
    resources: list[ResourceFigures]
