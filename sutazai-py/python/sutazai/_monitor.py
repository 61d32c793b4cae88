"""Measurements, their history, and what is odd in them."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NotRequired, TypedDict, cast, overload

from sutazai import _sutazai
from sutazai._bottleneck import BottleneckPolicy, Bottlenecks, Improvement, WaitFor, WhatIf
from sutazai._heal import mapping
from sutazai._security_calls import at as rfc3339
from sutazai._security_calls import finite, millis, said

__all__ = [
    "Anomaly",
    "AwayMonitor",
    "ComponentHealth",
    "Exhaustion",
    "ExhaustionPolicy",
    "ForecastInterval",
    "ForecastShare",
    "Health",
    "HealthCause",
    "HealthPolicy",
    "HealthRamp",
    "HistoryStatus",
    "Monitoring",
    "MonitorSample",
    "MonitorStatus",
    "Outlook",
    "SeriesAnswer",
    "SeriesChange",
    "SeriesFamily",
    "SeriesForecast",
    "SeriesLevel",
    "SeriesReading",
    "SeriesView",
]


class Anomaly(TypedDict):
    """Something unusual in a series."""

    number: int
    """By which what is newer can be asked for."""
    series: str
    at: str
    value: float
    """What was seen: of a counter, by how much it grew in a second."""
    usual: float
    """What is usual there."""
    deviation: float
    """The mean absolute deviation from that."""
    score: float
    """How unusual it is, from 0 up to 1."""
    kind: NotRequired[
        Literal[
            "spike",
            "level_shift",
            "drift",
            "variance_change",
            "seasonal_break",
            "flat_line",
            "missing_data",
            "pattern",
        ]
        | None
    ]


class SeriesChange(TypedDict):
    """The level of a series has changed for good."""

    number: int
    """By which what is newer can be asked for."""
    series: str
    found: str
    """When it was sure: some points after the new level began."""
    at: str
    """The time of the first point of the new level."""
    points: int
    """That the new level has lasted."""
    before: float
    after: float
    strength: float
    """Twice the logarithm of the likelihood ratio."""
    confidence: float


class MonitorSample(TypedDict):
    """What one sample came to."""

    values: dict[str, float]
    """What was measured, by series; units are in the names."""
    anomalies: list[Anomaly]
    failures: dict[str, str]
    """Monitors that failed, and how; one that hangs is among them each time."""
    unasked: list[str]
    """Monitors that were not asked, as those before them used the patience up: in the next sample they come first. From
    the third sample in a row on that is a failure."""
    away: list[str]
    """Monitors that have not returned yet. What they measure is kept when they do."""


class SeriesFamily(TypedDict):
    """Series whose names differ in labels and digits alone."""

    family: str
    """The name without labels, digits as `#`."""
    series: int
    """How many there are."""


class HistoryStatus(TypedDict):
    """A history's figures, since it was made."""

    series: int
    most: int
    """Series that there may be."""
    others_most: int
    """How many there may be before yours are refused: the rest is left to the kernel's own."""
    bytes: int
    """Memory that they take."""
    budget_bytes: int
    points: int
    """That were taken since the start."""
    held: int
    """Points that are in memory now, those from before a restart too."""
    late: int
    """Points that were refused: their times were not after the newest."""
    not_finite: int
    no_room: int
    """Points that were refused: a new series beyond the bound."""
    bad_names: int
    """Points that were refused: the series' name is not one."""
    refused: list[str]
    """Series that were refused for want of room, those of late."""
    families: list[SeriesFamily]
    """What series there are most of."""
    series_dropped: int
    set_back: int
    """How often the clock was taken to have been set back."""
    expired_blocks: int
    evicted_blocks: int
    evicted_rows: int
    damaged: int
    foreign: int
    losses: list[list[str]]
    failed_flushes: int


class AwayMonitor(TypedDict):
    """A monitor that was asked, and has not returned."""

    monitor: str
    asked: str
    """The time of the sample that asked it."""
    seconds: float
    """Since then."""
    hangs: bool
    """Whether that is so long that it was told of."""


class MonitorStatus(TypedDict):
    """What is measured how often, and what is kept."""

    every_ms: int | None
    """Between samples; None where none are taken by themselves."""
    monitors: list[str]
    away: list[AwayMonitor]
    """Those that a sample has left as they did not return."""
    removed: list[AwayMonitor]
    """Those that were taken away before they had returned, and have not since: each keeps a thread until it does."""
    samples: int
    last: NotRequired[str | None]
    seconds: float
    """What the last sample took."""
    failures: int
    anomalies: int
    changes: int
    """Of level, that were found."""
    watched: list[str]
    """The series in which anomalies are looked for, as names or how these begin."""
    watching: int
    left_out: int
    """Series that are not watched because there is no room."""
    history: HistoryStatus


class SeriesLevel(TypedDict):
    """One resolution of a series."""

    step_s: int
    """Seconds of a bucket; 0 for the points themselves."""
    rows: int
    blocks: int
    bytes: int
    oldest: NotRequired[str | None]


class SeriesView(TypedDict):
    """One series."""

    name: str
    counter: bool
    bytes: int
    newest: NotRequired[str | None]
    levels: list[SeriesLevel]


class SeriesReading(TypedDict):
    """A value at a time; of a window, its beginning."""

    at: str
    value: float


class SeriesAnswer(TypedDict):
    """What a series was like in windows of time."""

    resolution_s: int
    """Seconds of the buckets that it was made of; 0: the points themselves."""
    since: NotRequired[str | None]
    windows: list[SeriesReading]
    damaged: int


class ForecastInterval(TypedDict):
    """Where values are expected to be, step by step."""

    level: float
    """The probability that a value is inside."""
    lower: list[float]
    upper: list[float]


class ForecastShare(TypedDict):
    """A method's part of a forecast."""

    method: str
    weight: float


# `from` is a word of the language.
SeriesForecast = TypedDict(
    "SeriesForecast",
    {
        "from": str,
        "step_ms": int,
        "past": int,
        "point": list[float],
        "intervals": list[ForecastInterval],
        "seasons": list[int],
        "methods": list[ForecastShare],
    },
)
"""How a series is expected to go on: values, from when on, and the seasons and methods that they come of."""


class ExhaustionPolicy(TypedDict, total=False):
    """The limit of a resource, and when something is said about reaching it."""

    limit: float | None
    """Where it is used up, in its own unit. Default: what the kernel knows of its own series (of ratios, memory, disk and
    open files); of others it must be said."""
    direction: Literal["fills", "runs_down"] | None
    """Default: as the kernel knows, else `fills`."""
    warm_up: int
    """Points before it is called stable. Default 200. What is very clear, and has its end near, is told from 60 on."""
    season_s: float
    """The length of the season that use may have, in seconds; 0 for none. Default a day. What is shorter than two of them is told
    when it goes beyond all that was before it."""


class Outlook(TypedDict):
    """What is expected of a resource."""

    outlook: Literal["unknown", "stable", "runs_out", "exhausted"]
    at: NotRequired[str]
    """When values first touch the limit, most likely; of what runs out."""
    trend: NotRequired[str | None]
    """When the trend itself crosses the limit; missing where that is too far ahead."""
    earliest: NotRequired[str]
    """They touch it not before."""
    latest: NotRequired[str | None]
    """They hardly touch it after; missing where that cannot be said."""


class Exhaustion(TypedDict):
    """What is expected of a resource, and what by."""

    outlook: Outlook
    points: int
    missing: int
    disordered: int
    restarts: int
    slope: NotRequired[float]
    """How fast it is being used up, in its unit a second, whichever way, of what runs out; of what is stable nothing is said."""
    certainty: NotRequired[float]
    """How many standard errors that is away from nothing; missing where it is the slope of the peaks between restarts."""
    policy: ExhaustionPolicy


# `from` is a word of the language.
HealthRamp = TypedDict("HealthRamp", {"from": float, "full": float, "most": float})
"""From which value an aspect costs something, from which it costs all, and how much that is."""


class HealthPolicy(TypedDict, total=False):
    """What each aspect costs of a component's health."""

    utilisation: HealthRamp
    saturation: HealthRamp
    errors: HealthRamp
    anomaly: HealthRamp
    exhaustion: HealthRamp
    """In seconds, falling."""


class HealthCause(TypedDict):
    """What health suffers from."""

    component: str
    aspect: Literal["utilisation", "saturation", "errors", "anomaly", "exhaustion"]
    value: float
    """The figure that says so."""
    costs: float
    """The share of the component's health that it costs."""


class ComponentHealth(TypedDict):
    """The health of one component."""

    component: str
    known: bool
    """Whether anything is known of it."""
    score: float
    """1 where nothing is wrong, 0 where nothing is left."""
    causes: list[HealthCause]


class Health(TypedDict):
    """The health of all."""

    score: float
    """That of the worst component, by weight."""
    components: list[ComponentHealth]
    causes: list[HealthCause]
    """The worst first."""


#: Seconds of a day, and of the longest step of a forecast or a plot.
_A_DAY = 86_400
_LONGEST_STEP = 562_949.953

_Series = list[SeriesView]
_Anomalies = list[Anomaly]


class Monitoring:
    """What the machine, this process, the kernel and the host's own parts use, and what is odd in it:
    `kernel.monitor`.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     kernel.monitor.record("queue_length", 3)
    ...     sample = kernel.monitor.sample()
    ...     sample["values"]["process_resident_memory_bytes"] > 0, kernel.monitor.anomalies()
    (True, [])
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def _do(self, operation: str, /, **request: object) -> Any:
        return self._kernel.invoke(f"monitor.{operation}", **said(request))

    def status(self) -> MonitorStatus:
        """What is measured how often, what that costs, and how much is kept."""
        return cast(MonitorStatus, self._do("status"))

    def sample_every(self, period: float | timedelta | None) -> None:
        """Takes a sample every so many seconds from here on, 0.01 to 86,400; never again for None."""
        self._do("configure", every_ms=millis("period", period, _A_DAY))

    def sample(self) -> MonitorSample:
        """Takes a sample now. What is odd is also an event of the bus, `monitor.anomaly`."""
        return cast(MonitorSample, self._do("sample"))

    def remove(self, monitor: str) -> bool:
        """Takes a monitor away, yours or one of the kernel's own; its series are kept. Whether there was one."""
        return bool(self._do("remove", monitor=monitor)["removed"])

    def record(
        self, series: str, value: float, at: datetime | str | None = None
    ) -> Anomaly | None:
        """Keeps a measurement of yours, and says whether it is odd, where its series is watched. A name in
        `_total` is a counter; units and labels stand in the name, as Prometheus has them."""
        answer = self._do("record", series=series, value=finite("value", value), at=rfc3339(at))
        return cast("Anomaly | None", answer["anomaly"])

    def forget(self, series: str, *, labels: Mapping[str, str] | None = None) -> int:
        """Lets a series go, or all that begin with what stands before a `*`, with all that is kept of them, on disk
        too; with `labels` only those that have these. Says how many. One that is measured again begins anew. A `*` that is not at
        the end is a part of the name.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     kernel.monitor.record('jobs{user="ann"}', 3)
        ...     kernel.monitor.record('jobs{user="bob"}', 4)
        ...     kernel.monitor.forget("jobs*", labels={"user": "bob"}), kernel.monitor.forget("jobs*")
        (1, 1)
        """
        given = None if labels is None else mapping("labels", labels)
        return int(self._do("forget", series=series, labels=given)["forgotten"])

    def series(self, prefix: str = "", *, limit: int = 100) -> _Series:
        """The series that there are, by name."""
        return cast(_Series, self._do("series", prefix=prefix, limit=limit)["series"])

    def query(
        self,
        series: str,
        start: datetime | str,
        end: datetime | str,
        *,
        step: float | timedelta | None = None,
        aggregate: Literal["mean", "min", "max", "sum", "count", "last", "rate"] = "mean",
        quantile: float | None = None,
    ) -> SeriesAnswer:
        """Asks for a series in windows of `step` seconds, a thousandth at least, or as one without it; with `quantile` (0 to 1)
        for that of its points."""
        answer = self._do(
            "query",
            series=series,
            **{"from": rfc3339(start)},
            to=rfc3339(end),
            step_ms=millis("step", step),
            aggregate=aggregate if quantile is None else {"quantile": quantile},
        )
        return cast(SeriesAnswer, answer)

    def anomalies(self, after: int = 0, *, limit: int = 100) -> _Anomalies:
        """What was found and is remembered, with numbers above `after`, the oldest first."""
        return cast(_Anomalies, self._do("anomalies", after=after, limit=limit)["anomalies"])

    def changes(self, after: int = 0, *, limit: int = 100) -> list[SeriesChange]:
        """Where levels have changed for good and that is remembered, with numbers above `after`, the oldest first."""
        return cast("list[SeriesChange]", self._do("changes", after=after, limit=limit)["changes"])

    def forecast(
        self,
        series: str,
        *,
        step: float | timedelta,
        steps: int,
        levels: Sequence[float] = (0.95,),
        until: datetime | str | None = None,
    ) -> SeriesForecast:
        """How a series goes on: its means over `steps` steps of so many seconds (of counters, of their growth
        in a second), with an interval for each of `levels`. Its seasons are found by themselves, from the past
        before `until`, or now."""
        answer = self._do(
            "forecast",
            series=series,
            step_ms=millis("step", step, _LONGEST_STEP),
            steps=steps,
            levels=list(levels),
            until=rfc3339(until),
        )
        return cast(SeriesForecast, answer)

    def exhaustion(
        self,
        series: str,
        policy: ExhaustionPolicy | None = None,
        *,
        until: datetime | str | None = None,
    ) -> Exhaustion:
        """When what a series tells of is used up, if it goes on as it did before `until`, or now. Of a series of yours the
        policy must say the limit.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     kernel.monitor.record("budget_dollars", 70)
        ...     kernel.monitor.exhaustion("budget_dollars", {"limit": 0, "direction": "runs_down"})["outlook"]
        {'outlook': 'unknown'}
        """
        given = None if policy is None else mapping("policy", policy)
        answer = self._do("exhaustion", series=series, policy=given, until=rfc3339(until))
        return cast(Exhaustion, answer)

    def health(self, policy: HealthPolicy | None = None) -> Health:
        """How healthy the machine, this process and the agents are, from 1 to 0, and why not better. What was
        not measured costs nothing: samples must have been taken.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     kernel.monitor.health()["score"]
        1.0
        """
        given = None if policy is None else mapping("policy", policy)
        return cast(Health, self._do("health", policy=given))

    @overload
    def plot(
        self,
        series: str,
        path: str | os.PathLike[str],
        *,
        window: float | timedelta = ...,
        step: float | timedelta | None = ...,
        ahead: int = ...,
        level: float = ...,
        until: datetime | str | None = ...,
        title: str | None = ...,
        size: tuple[int, int] = ...,
        format: Literal["svg", "png"] | None = ...,
        replace: bool = ...,
    ) -> None: ...

    @overload
    def plot(
        self,
        series: str,
        path: None = None,
        *,
        window: float | timedelta = ...,
        step: float | timedelta | None = ...,
        ahead: int = ...,
        level: float = ...,
        until: datetime | str | None = ...,
        title: str | None = ...,
        size: tuple[int, int] = ...,
        format: Literal["svg", "png"] | None = ...,
        replace: bool = ...,
    ) -> bytes: ...

    def plot(
        self,
        series: str,
        path: str | os.PathLike[str] | None = None,
        *,
        window: float | timedelta = 3600,
        step: float | timedelta | None = None,
        ahead: int = 0,
        level: float = 0.95,
        until: datetime | str | None = None,
        title: str | None = None,
        size: tuple[int, int] = (960, 420),
        format: Literal["svg", "png"] | None = None,
        replace: bool = False,
    ) -> bytes | None:
        """Draws the last `window` seconds of a series, what was odd in it and, over `ahead` steps, how it is
        expected to go on, with the interval of probability `level`: as SVG or PNG, which the end of the path, `.svg` or `.png`, says where `format` does not. Writes it to the
        file, as a whole or not at all and as readable as any other of yours, or answers it without one.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     kernel.monitor.record("queue_length", 3, "2026-01-01T00:00:00Z")
        ...     kernel.monitor.plot("queue_length", until="2026-01-01T00:00:30Z")[:4]
        b'<svg'
        """
        answer = self._do(
            "plot",
            series=series,
            path=None if path is None else os.fspath(path),
            format=format,
            replace=replace,
            window_ms=millis("window", window),
            step_ms=millis("step", step, _LONGEST_STEP),
            ahead=ahead,
            level=level,
            until=rfc3339(until),
            title=title,
            width=size[0],
            height=size[1],
        )
        if path is not None:
            return None
        return base64.b64decode(answer["png"]) if format == "png" else answer["svg"].encode()

    def watch(self, series: str) -> bool:
        """Also looks for anomalies in a series, or in those whose names begin with what stands before a
        `*`; says whether that is new."""
        return bool(self._do("watch", series=series)["changed"])

    def unwatch(self, series: str) -> bool:
        """Looks for no anomalies there any more; says whether it did."""
        return bool(self._do("unwatch", series=series)["changed"])

    def bottlenecks(self, policy: BottleneckPolicy | None = None) -> Bottlenecks:
        """What holds tasks up, with evidence, and what would change if it were better.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     kernel.monitor.bottlenecks()["verdict"]
        'no_tasks'
        """
        given = None if policy is None else mapping("policy", policy)
        return cast(Bottlenecks, self._do("bottlenecks", policy=given))

    def what_if(
        self,
        component: str,
        change: Improvement,
        *,
        step: str | None = None,
        policy: BottleneckPolicy | None = None,
    ) -> WhatIf | None:
        """What the recorded tasks would have done, had an agent or a step been faster (`{"faster": 0.5}`: half the
        time; 0 or more, and below 1), or had it more room (`{"more_capacity": 1}`); None where no task has ended. No task has
        anything to do with an unknown one: `NotFound`."""
        given = None if policy is None else mapping("policy", policy)
        wanted = mapping("change", change)
        answer = self._do("what_if", component=component, step=step, change=wanted, policy=given)
        return cast("WhatIf | None", answer["estimate"])

    def state_resource(
        self,
        name: str,
        *,
        utilisation: float | None = None,
        saturation: float | None = None,
        errors: float | None = None,
        shared: bool = False,
    ) -> None:
        """States how much a resource of yours is used: what it holds up counts among the bottlenecks."""
        figures = {"utilisation": utilisation, "saturation": saturation, "errors": errors}
        self._do("state_resource", name=name, shared=shared, **figures)

    def step(
        self, name: str, took: float | timedelta, *, waited_for: WaitFor | None = None
    ) -> None:
        """Tells of a step of your own work that has just ended, or of a wait in it, that took so many seconds."""
        self._do("step", name=name, took_ms=_sutazai._seconds("took", took) * 1e3, waited_for=waited_for)
