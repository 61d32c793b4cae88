"""What is scarce, and divided among agents by what they make of it."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from sutazai._tune import Autonomy, Measure

__all__ = [
    "ShareMember",
    "SharePolicy",
    "ShareProposal",
    "SharedOut",
    "ShareSpec",
    "ShareView",
]


class ShareMember(TypedDict, total=False):
    """Who has a share, and how it gets it."""

    knob: str | None
    """Set to its units: a whole number, such as `guard/agent:writer/bulkhead/concurrency`. Without one you give it
    what the event `tune.share` says."""
    floor: int
    """Units that it has in any case. Default 0, and what its knob takes at least."""
    ceiling: int | None
    """Units that it has at most."""
    benefit: Measure | None
    """What it makes of its share, a second. Without it an agent of this name makes the calls that it answers well, and
    of others you report it."""


class SharePolicy(TypedDict, total=False):
    """How shares follow benefits."""

    explore: float
    """How far a share is moved to find out what it is worth, as a part of it. Default 0.1."""
    rate: float
    """How fast shares follow. Default 0.1."""
    memory: float
    """Rounds that are remembered, on average. Default 30."""
    seed: int


class ShareSpec(TypedDict):
    """How something is divided."""

    units: int
    """How many there are."""
    members: dict[str, ShareMember]
    """Who shares them, 2 to 1,000."""
    autonomy: NotRequired[Autonomy]
    """Default `act`."""
    policy: NotRequired[SharePolicy]
    every_ms: NotRequired[int]
    """Of a round. Default 10,000."""
    approval_ms: NotRequired[int]
    """In which a change must be approved. Default 300,000."""


class ShareProposal(TypedDict):
    """Units that wait to be approved."""

    proposal: int
    """Its number, which an answer repeats."""
    units: dict[str, int]
    beyond: int
    """Units that all have now beyond those that there are: what would be taken back."""
    until: str


class ShareView(TypedDict):
    """A share of the whole."""

    share: float
    floor: float
    ceiling: float
    marginal: float
    """What one more whole would be worth, by the slope where it is."""
    error: NotRequired[float | None]
    """The marginal benefit's standard error."""
    differs: bool
    """Whether it is known to be worth more or less than the others make of it: only then its share moves on purpose."""


class SharedOut(TypedDict):
    """Something that is divided."""

    name: str
    spec: ShareSpec
    units: dict[str, int]
    """What each has now."""
    beyond: int
    """Units that all have together beyond those that there are."""
    unplaced: int
    """Units that nobody may have, as the ceilings of all, and what their knobs take at most, are lower."""
    benefits: dict[str, float]
    """What each made of it in the last round, a second."""
    waiting: NotRequired[ShareProposal | None]
    trouble: NotRequired[Any]
    """What went wrong last when knobs were set or read."""
    agents: dict[str, ShareView]
    rounds: int
