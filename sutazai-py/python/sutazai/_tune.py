"""Knobs, tuners that try values of them, and pools whose size follows their load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, cast

from sutazai import _sutazai
from sutazai._heal import mapping
from sutazai._security_calls import finite, said

if TYPE_CHECKING:
    from sutazai._shares import SharedOut, ShareSpec

__all__ = [
    "Autonomy",
    "BrokenGuard",
    "GuardRail",
    "Knob",
    "KnobKind",
    "KnobValue",
    "KnobView",
    "Measure",
    "MeasurePer",
    "PoolSample",
    "RateForecast",
    "ScaleDecision",
    "ScaledPool",
    "ScalePolicy",
    "Scaling",
    "SizeProposal",
    "TrialRecord",
    "TunedKnob",
    "TunerAction",
    "TunerPolicy",
    "TunerReport",
    "TunerSample",
    "TunerStatus",
    "TunerWait",
    "TuneProposal",
    "TuneSuggestion",
    "TuneSpec",
    "Tuning",
]

KnobValue = bool | int | float | str
"""Of a switch, of a whole number, of a number, or of a choice."""
Autonomy = Literal["observe", "suggest", "approve", "act"]
"""How far something goes by itself: it watches, says what it would do, asks, or does it."""


class KnobKind(TypedDict):
    """The type of a knob, with the values that it may take."""

    type: Literal["float", "integer", "levels", "choice", "switch"]
    low: NotRequired[float]
    """Of a float or an integer: the least."""
    high: NotRequired[float]
    """The most."""
    scale: NotRequired[Literal["linear", "log"]]
    """Whether equal differences (the default) or equal ratios are the same step."""
    levels: NotRequired[list[float]]
    """Of levels: the numbers, which rise."""
    names: NotRequired[list[str]]
    """Of a choice."""


class KnobView(TypedDict):
    """A knob that the kernel can set."""

    name: str
    kind: KnobKind
    value: NotRequired[KnobValue]
    tuner: NotRequired[str]
    """The tuner that has it."""


class Knob(TypedDict):
    """A knob of a tuner."""

    name: str
    kind: KnobKind
    value: KnobValue
    """What it was set to when the tuner began."""
    max_step: NotRequired[float]
    """The largest step of one trial, as a share of its range; 1 where it is not said."""


class TunedKnob(TypedDict):
    """A knob that is to be tuned."""

    name: str
    """One that the kernel knows (`kernel.tune.knobs()`), which sets it; or one of yours, which you set as reports say."""
    kind: NotRequired[KnobKind]
    """The values to try: by default from a quarter of what it is set to up to four times as much. Yours need one."""
    value: NotRequired[KnobValue]
    """What yours is set to now."""
    max_step: NotRequired[float]
    """The largest step of one trial, as a share of its range. Default 0.25."""


class MeasurePer(TypedDict):
    """What a figure is divided by."""

    series: str
    aggregate: NotRequired[str | Mapping[Literal["quantile"], float]]


class Measure(TypedDict):
    """A figure of a series since the last look."""

    series: str
    aggregate: NotRequired[str | Mapping[Literal["quantile"], float]]
    """`mean` (the default), `min`, `max`, `sum`, `count`, `last`, `rate`, or `{"quantile": 0.99}`."""
    per: NotRequired[MeasurePer]
    """The growth of `…_sum` by that of `…_count` is a mean."""


class GuardRail(TypedDict):
    """A metric that must stay on one side of a bound, whatever the objective says."""

    metric: str
    side: Literal["at_most", "at_least"]
    bound: float


class TunerPolicy(TypedDict, total=False):
    """How a tuner tries settings."""

    autonomy: Autonomy
    """Default `suggest`."""
    direction: Literal["minimise", "maximise"]
    """Whether less (the default) or more of the objective is better."""
    guards: list[GuardRail]
    warm_up_ms: int
    """After a change, the time in which the objective is not measured. Default 5,000."""
    window_ms: int
    """Measuring in one go. Default 30,000."""
    max_pairs: int
    """Pairs of windows after which a trial ends undecided. Default 20."""
    error: float
    """The probability that a setting that makes no difference is taken for a better one. Default 0.05."""
    min_gain: float
    """The least gain for which the setting is changed, as a share. Default 0.02."""
    cool_down_ms: int
    """Between a trial and the next. Default 60,000; ten times that after a broken guard-rail. At least the warm-up where the
    knobs went back, and after a broken guard-rail a window more."""
    approval_ms: int
    """In which a trial must be approved. Default an hour."""
    recheck: int
    """After so many trials a setting that was in use before is tried again. Default 10."""
    drift: float
    """The share by which the objective may move by itself before all is learned anew. Default 0.5."""
    history: int
    """Trials that stay on record. Default 256."""
    seed: int


class TuneSpec(TypedDict):
    """What is tuned, by what, and how."""

    knobs: list[TunedKnob]
    objective: NotRequired[Measure]
    """Where the objective is measured; without it you report it."""
    measures: NotRequired[dict[str, Measure]]
    """Where guard-rails' metrics are measured, by name; you report the others."""
    policy: NotRequired[TunerPolicy]
    every_ms: NotRequired[int]
    """Between looks at what is measured. Default 1,000."""


class TunerSample(TypedDict, total=False):
    """What was measured since the last report."""

    objective: float
    guards: dict[str, float]
    """Values of guard-rails' metrics, by name."""


class TunerAction(TypedDict):
    """What a tuner wants done."""

    do: Literal["apply", "ask", "suggest"]
    trial: int
    setting: dict[str, KnobValue]
    cause: NotRequired[Literal["trial", "baseline", "adopt", "roll_back", "restore"]]
    """Of what is applied: why."""
    until: NotRequired[str]
    """Of what is asked: until when an answer counts."""


class TunerReport(TypedDict):
    """What comes of a report."""

    actions: list[TunerAction]
    """What was done, asked and suggested since the report before, also by the kernel itself in between; the last 64 at most."""
    applied: dict[str, KnobValue]
    """What the knobs are to be set to now."""


class BrokenGuard(TypedDict):
    """A guard-rail that was broken."""

    metric: str
    value: NotRequired[float]
    bound: float


class TrialRecord(TypedDict):
    """A trial, and what came of it."""

    id: int
    """Numbers rise, and go on after those of tuners of its name before it."""
    setting: dict[str, KnobValue]
    against: dict[str, KnobValue]
    cause: Literal["spread", "improvement", "recheck"]
    began: str
    """When it was proposed, by the wall clock."""
    ended: str
    pairs: int
    baseline: NotRequired[float]
    gain: NotRequired[float]
    gain_error: NotRequired[float]
    evidence: float
    """How much the measurements speak against there being no difference, as a factor."""
    verdict: Literal[
        "adopted",
        "no_gain",
        "undecided",
        "guard_broken",
        "baseline_broken",
        "drifted",
        "unmeasured",
        "timed_out",
        "denied",
        "not_tried",
        "not_applied",
        "cancelled",
    ]
    broken: NotRequired[BrokenGuard]
    missing: NotRequired[list[str]]
    """Of one that was not measured: what was missing, `objective` or a guard-rail's metric."""


# By a call, as `for` is a word of the language.
TunerWait = TypedDict(
    "TunerWait",
    {
        "for": Literal["objective", "guard", "bound"],
        "metric": NotRequired[str],
        "series": NotRequired[list[str]],
        "since": str,
        "broken": NotRequired[BrokenGuard],
    },
)
"""What a tuner waits for: an objective or the `metric` of a guard-rail that nobody has measured `since`, in `series` or by a report; or,
for `bound`, that the setting in use keeps a guard-rail that it breaks."""


class TuneProposal(TypedDict):
    """A trial that waits to be approved."""

    trial: int
    setting: dict[str, KnobValue]
    until: str


class TuneSuggestion(TypedDict):
    """A setting that may be worth a try."""

    trial: int
    setting: dict[str, KnobValue]


class TunerStatus(TypedDict):
    """A tuner: what it does, has tried and changed, and why."""

    name: str
    knobs: list[Knob]
    spec: TuneSpec
    """What it was asked to do, with the policy that it has now."""
    waiting: NotRequired[TuneProposal]
    waits_for: list[TunerWait]
    """Before which nothing is tried: figures that nobody measures, and guard-rails that the setting in use breaks."""
    trouble: NotRequired[Any]
    """What went wrong last when knobs were set or read; of a knob that somebody has set to what it may not try, which and to
    what. It rests until that is mended."""
    phase: Literal["learning", "resting", "waiting", "trying"]
    incumbent: dict[str, KnobValue]
    """The setting in use."""
    applied: dict[str, KnobValue]
    """What the knobs are set to now, by it or by hand."""
    original: dict[str, KnobValue]
    """The setting in use before it changed anything."""
    level: NotRequired[float]
    """The objective of the setting in use, as it was last measured."""
    trials: int
    adopted: int
    broken: int
    drifts: int
    suggested: NotRequired[TuneSuggestion]
    """What was suggested last, which is not suggested again until all was learned anew."""
    history: list[TrialRecord]


class ScalePolicy(TypedDict, total=False):
    """Bounds of a pool, what its workers cost, and how ready it is to be."""

    min: int
    max: int
    start_up_ms: int
    """Until a worker that is started takes its first task. Default 5,000."""
    may_wait: float
    """The share of tasks that may have to wait. Default 0.1."""
    drain_ms: int
    """In which tasks that wait are to be worked off. Default 30,000."""
    hold_ms: int
    """For which a size that was needed is held. Default 300,000."""
    slack: float
    """The pool becomes smaller only by this share or more. Default 0.1."""
    worker_per_hour: float
    cost_per_hour: float
    """What the pool may cost an hour."""


class Scaling(TypedDict, total=False):
    """How a pool is scaled."""

    autonomy: Autonomy
    """Default `act`."""
    policy: ScalePolicy
    forecast: bool
    """Whether it looks ahead. Default true."""
    every_ms: int
    """Between decisions. Default 1,000."""
    approval_ms: int
    """In which a change must be approved. Default 300,000."""


class RateForecast(TypedDict):
    """The rate at some time ahead."""

    ahead_ms: int
    per_s: float


class PoolSample(TypedDict):
    """What was known of a pool."""

    ready: int
    starting: int
    queue: int
    arrivals_per_s: float
    """Tasks a second of late that were taken or wait."""
    refused_per_s: float
    """Calls a second of late that were turned away as no agent was free; they count for at most as many agents as there are, or ten."""
    service_ms: float
    forecast: list[RateForecast]


class ScaleDecision(TypedDict):
    """The size that a pool is to have."""

    target: int
    needed: int
    """Workers that would be needed, whatever the bounds and the past."""
    cause: Literal["fits", "arrivals", "forecast", "queue", "idle", "held", "bound", "unknown"]
    cost_per_hour: float


class SizeProposal(TypedDict):
    """A size that waits to be approved."""

    proposal: int
    """Its number, which an answer repeats."""
    target: int
    cause: str
    until: str


class ScaledPool(TypedDict):
    """A pool that is scaled."""

    pool: str
    scaling: Scaling
    sample: PoolSample
    decision: NotRequired[ScaleDecision]
    told: NotRequired[int]
    waiting: NotRequired[SizeProposal]


def _numbers(what: str, of: str, given: Mapping[str, float]) -> dict[str, float]:
    """Numbers by name, as operations take them."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} must be a mapping of {of} to numbers, not {type(given).__name__}")
    return {name: finite(f"{what}[{name!r}]", value) for name, value in given.items()}


class Tuning:
    """The kernel's tuning: `kernel.tune`."""

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def _do(self, operation: str, /, **request: object) -> Any:
        return self._kernel.invoke(f"tune.{operation}", **said(request))

    def knobs(self) -> list[KnobView]:
        """The knobs that can be set now: `guard/…` and `pool/…` of the policies in force, and `monitor/every_ms`
        where samples are taken."""
        return cast("list[KnobView]", self._do("knobs")["knobs"])

    def set(self, knob: str, value: KnobValue) -> None:
        """Sets a knob. A tuner that has it takes this for the setting in use, and learns anew."""
        self._do("set", knob=knob, value=value)

    def add(self, tuner: str, spec: TuneSpec) -> TunerStatus:
        """Has knobs tuned from here on, as far as the policy's autonomy goes. Events tell of it: `tune.suggest`,
        `tune.ask`, `tune.apply`, `tune.trial`; the audit record has each value that was set, and what came of each trial."""
        return cast(TunerStatus, self._do("add", tuner=tuner, spec=mapping("spec", spec)))

    def remove(self, tuner: str) -> None:
        """Ends a tuner: a trial under way is rolled back, and the setting in use stays."""
        self._do("remove", tuner=tuner)

    def tuners(self) -> list[TunerStatus]:
        """The tuners, sorted by name."""
        return cast("list[TunerStatus]", self._do("list")["tuners"])

    def get(self, tuner: str) -> TunerStatus:
        """One tuner, with its trials."""
        return cast(TunerStatus, self._do("get", tuner=tuner))

    def report(
        self, tuner: str, objective: float | None = None, guards: Mapping[str, float] | None = None
    ) -> TunerReport:
        """Tells a tuner what you have measured, and answers with what its knobs are to be set to.

        >>> import sutazai
        >>> batch = {"name": "batch", "kind": {"type": "integer", "low": 1, "high": 64}, "value": 8}
        >>> with sutazai.Kernel() as kernel:
        ...     added = kernel.tune.add("ingest", {"knobs": [batch], "policy": {"autonomy": "act"}})
        ...     kernel.tune.report("ingest", objective=12.5)["applied"]
        {'batch': 8}
        """
        metrics = None if guards is None else _numbers("guards", "metrics", guards)
        sample = said({"objective": None if objective is None else finite("objective", objective), "guards": metrics})
        return cast(TunerReport, self._do("report", tuner=tuner, sample=sample))

    def answer(self, tuner: str, trial: int, approved: bool, *, by: str | None = None) -> TunerStatus:
        """Answers what a tuner has asked: whether a trial may be made."""
        answer = self._do("answer", tuner=tuner, trial=trial, approved=approved, by=by)
        return cast(TunerStatus, answer)

    def autonomy(self, tuner: str, autonomy: Autonomy, *, by: str | None = None) -> TunerStatus:
        """Sets how far a tuner may go by itself; a trial under way is rolled back."""
        return cast(TunerStatus, self._do("autonomy", tuner=tuner, autonomy=autonomy, by=by))

    def scale(self, pool: str, scaling: Scaling | None = None) -> None:
        """Has a pool's size follow what comes in, what was turned away, what waits and what is forecast; said again, it is
        changed. The event `tune.scale` tells of each size."""
        self._do("scale", pool=pool, scaling=None if scaling is None else mapping("scaling", scaling))

    def unscale(self, pool: str) -> None:
        """Leaves a pool to its own rule again."""
        self._do("unscale", pool=pool)

    def scaled(self) -> list[ScaledPool]:
        """The pools that are scaled: their load, the size that would be right, and why."""
        return cast("list[ScaledPool]", self._do("scaled")["pools"])

    def answer_scaling(
        self, pool: str, proposal: int, approved: bool, *, by: str | None = None
    ) -> None:
        """Answers what was asked of a pool: whether it may have the size that waits to be approved."""
        self._do("scale_answer", pool=pool, proposal=proposal, approved=approved, by=by)

    def share(self, name: str, spec: ShareSpec) -> None:
        """Divides something scarce among agents, whose shares follow what one more unit is worth to each; said again, it
        begins anew.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     kernel.tune.share("tokens", {"units": 100, "members": {"writer": {}, "critic": {"floor": 10}}})
        ...     kernel.tune.report_benefits("tokens", {"writer": 3, "critic": 1})
        ...     kernel.tune.shared()[0]["units"]
        {'critic': 50, 'writer': 50}
        """
        self._do("share", name=name, spec=mapping("spec", spec))

    def unshare(self, name: str) -> None:
        """Divides it no more: everybody keeps what they have."""
        self._do("unshare", name=name)

    def shared(self) -> list[SharedOut]:
        """What is divided: who has how much, what they make of it, and what one more would be worth."""
        return cast("list[SharedOut]", self._do("shared")["shares"])

    def report_benefits(self, name: str, benefits: Mapping[str, float]) -> None:
        """Tells what members have made of their shares since this was told last, in one unit for all."""
        self._do("share_report", name=name, benefits=_numbers("benefits", "members", benefits))

    def answer_shares(
        self, name: str, proposal: int, approved: bool, *, by: str | None = None
    ) -> None:
        """Answers what was asked: whether the units that wait to be approved may be given."""
        self._do("share_answer", name=name, proposal=proposal, approved=approved, by=by)
