"""Graceful degradation: levels, and what features do at each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict, cast

from sutazai import _sutazai
from sutazai._heal import mapping, now

__all__ = [
    "Degradation",
    "DegradePolicy",
    "DegradeRule",
    "DegradeStatus",
    "FeatureMode",
    "LevelChange",
]


class DegradeRule(TypedDict):
    """Asks for a level by a signal, from `enter` until it is back at `leave`. Where `enter` is above
    `leave`, high values are bad; where it is below, low ones are."""

    level: str
    """Not the best one."""
    signal: str
    enter: float
    leave: float


class ReducedMode(TypedDict):
    """It does less."""

    reduced: Any
    """As this says; it means something to the feature only."""


class FallbackMode(TypedDict):
    """Something else does it. Where the feature is one of the kernel's agents, its calls go to the others with
    the skill, and those that ask for it by name to the agent that is named here."""

    fallback: str


#: What a feature does at a level. One that is off raises `Degraded` when it is asked.
FeatureMode = Literal["on", "off"] | ReducedMode | FallbackMode


class DegradePolicy(TypedDict, total=False):
    """Levels, the rules that lead from one to another, and what each feature does at each."""

    levels: Sequence[str]
    """The best first. Default full, reduced, essential."""
    rules: Sequence[DegradeRule]
    """The lowest level that any of them asks for counts. Default none: by hand only."""
    features: Mapping[str, Mapping[str, FeatureMode]]
    """By feature and level. At a level that is not given it does what it does at the next better."""
    down_dwell_ms: int
    """How long it rests at a level before it falls further. Default 1,000."""
    up_dwell_ms: int
    """How long no rule may have asked for so low a level before it rises by one. Default 30,000."""
    silent_ms: int
    """A signal that was not fed in for so long asks for nothing; 0 for never. Default 60,000."""


class _From(TypedDict("_From", {"from": str})):
    pass


class LevelChange(_From):
    """A change of the level, and why: the fields of a rule, or who did it by hand. The level before is
    `"from"`."""

    to: str
    why: Literal["rule", "recovered", "forced", "policy"]
    signal: NotRequired[str]
    value: NotRequired[float]
    enter: NotRequired[float]
    leave: NotRequired[float]
    by: NotRequired[str]


class DegradeStatus(TypedDict):
    """Where degradation stands."""

    level: str
    levels: list[str]
    forced: bool
    """Whether it stays where it was put by hand."""
    last: NotRequired[LevelChange]
    since_ms: NotRequired[int]
    changes: int
    signals: dict[str, float]
    features: dict[str, FeatureMode]


class Degradation:
    """A kernel's level, and what features do at it: `kernel.degradation`.

    >>> import sutazai
    >>> with sutazai.Kernel(clock="virtual") as kernel:
    ...     kernel.degradation.set_policy({
    ...         "rules": [{"level": "reduced", "signal": "load", "enter": 0.9, "leave": 0.7}],
    ...         "features": {"search": {"reduced": {"reduced": {"results": 10}}}},
    ...     })
    ...     before = kernel.degradation.check("search")
    ...     heard = kernel.signal("load", 0.95)
    ...     before, kernel.degradation.level, kernel.degradation.check("search")
    ('on', 'reduced', {'reduced': {'results': 10}})
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    @property
    def level(self) -> str:
        """The present level."""
        return self.status()["level"]

    def status(self) -> DegradeStatus:
        """The level, what led to it, and what features do at it."""
        return cast(DegradeStatus, now(self._kernel, "recovery.degrade_level"))

    def check(self, feature: str) -> FeatureMode:
        """What a feature, or an agent, does at the present level; cheap. Raises `Degraded` when it
        is off."""
        return cast(FeatureMode, self._kernel._check_feature(feature))

    def force(self, level: str, *, by: str = "host") -> None:
        """Puts the kernel at a level that it does not leave by itself; `by` says who."""
        now(self._kernel, "recovery.degrade_force", level=level, by=by)

    def release(self, *, by: str = "host") -> None:
        """Gives the level back to the rules."""
        now(self._kernel, "recovery.degrade_force", level=None, by=by)

    @property
    def policy(self) -> DegradePolicy:
        """The policy in force."""
        return cast(DegradePolicy, now(self._kernel, "recovery.policies")["degradation"])

    def set_policy(self, policy: DegradePolicy) -> None:
        """Takes another policy; what is left out is as by default. The level stays if there is one of
        its name."""
        now(self._kernel, "recovery.degrade_set_policy", policy=mapping("policy", policy))
