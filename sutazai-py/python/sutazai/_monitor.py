"""Measurements, their history, and what is odd in them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, NotRequired, TypedDict, cast

from sutazai import _sutazai
from sutazai._security_calls import at as rfc3339
from sutazai._security_calls import millis, said

__all__ = [
    "Anomaly",
    "HistoryStatus",
    "Monitoring",
    "MonitorSample",
    "MonitorStatus",
    "SeriesAnswer",
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


class MonitorSample(TypedDict):
    """What one sample came to."""

    values: dict[str, float]
    """What was measured, by series; units are in the names."""
    anomalies: list[Anomaly]
    failures: dict[str, str]
    """Monitors that failed, and how."""


class HistoryStatus(TypedDict):
    """A history's figures, since it was made."""

    series: int
    bytes: int
    """Memory that they take."""
    budget_bytes: int
    points: int
    late: int
    """Points that were refused: their times were not after the newest."""
    not_finite: int
    no_room: int
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


class MonitorStatus(TypedDict):
    """What is measured how often, and what is kept."""

    every_ms: int | None
    """Between samples; None where none are taken by themselves."""
    monitors: list[str]
    samples: int
    last: NotRequired[str | None]
    seconds: float
    """What the last sample took."""
    failures: int
    anomalies: int
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
        self._do("configure", every_ms=millis("period", period))

    def sample(self) -> MonitorSample:
        """Takes a sample now. What is odd is also an event of the bus, `monitor.anomaly`."""
        return cast(MonitorSample, self._do("sample"))

    def record(
        self, series: str, value: float, at: datetime | str | None = None
    ) -> Anomaly | None:
        """Keeps a measurement of yours, and says whether it is odd, where its series is watched. A name in
        `_total` is a counter; units and labels stand in the name, as Prometheus has them."""
        answer = self._do("record", series=series, value=value, at=rfc3339(at))
        return cast("Anomaly | None", answer["anomaly"])

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
        """Asks for a series in windows of `step` seconds, or as one; with `quantile` (0 to 1) for that of
        its points."""
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

    def watch(self, series: str) -> bool:
        """Also looks for anomalies in a series, or in those whose names begin with what stands before a
        `*`; says whether that is new."""
        return bool(self._do("watch", series=series)["changed"])

    def unwatch(self, series: str) -> bool:
        """Looks for no anomalies there any more; says whether it did."""
        return bool(self._do("unwatch", series=series)["changed"])
