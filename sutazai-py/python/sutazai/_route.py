"""How agents are chosen for calls, why, and making the decisions again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict, cast

from sutazai import _sutazai
from sutazai._heal import mapping, now
from sutazai._ledger import call_number

__all__ = [
    "RouteArm",
    "RouteDecide",
    "RouteDecision",
    "RouteExplanation",
    "RouteLog",
    "RoutePolicy",
    "RouteReward",
    "RouteScore",
    "RouteSettled",
    "Routing",
]


class RoutePolicy(TypedDict, total=False):
    """How agents are chosen for calls, and how much is remembered. Prices are what one gives up of an answer's
    expected quality, which is from 0 to 1."""

    strategy: Literal[
        "adaptive", "round_robin", "least_loaded", "peak_ewma", "sticky", "weighted"
    ]
    """`adaptive` (the default) learns from scores, failures and durations who is best for what; `round_robin`
    gives each its turn; `least_loaded` goes by the calls under way; `peak_ewma` takes of two at random the one
    with less to wait for; `sticky` has the calls of one affinity key go to one agent; `weighted` goes by the
    agents' labels `weight`, whole numbers, 1 without it."""
    waiting_price: float
    """For waiting half as long. Default 0.02; 0 ignores waiting."""
    cost_price: float
    """For saving one unit of cost. Default 0: cost is a bound only."""
    affinity_price: float
    """For staying with the agent of one's affinity key. Default 0.3."""
    max_pending: int
    """Decisions that are remembered until their scores and ends come, 1 to 1,048,576. Default 4,096."""
    max_scopes: int
    """Skills that are remembered, 1 to 65,536; the one not asked for longest is forgotten. Default 1,024."""


class RouteArm(TypedDict):
    """Somebody who could be chosen."""

    key: str
    """The agent's name."""
    in_flight: NotRequired[int]
    """Calls that it has under way. Default 0."""
    available: NotRequired[bool]
    """Whether it takes one more now. Default true."""
    cost: NotRequired[float | None]
    """What a call costs; None where it is not known. Default 0."""
    weight: NotRequired[int]
    """Its share under the strategy `weighted`. Default 1."""
    labels: NotRequired[Mapping[str, str]]
    """Names and values that a call can require."""


class RouteDecide(TypedDict):
    """The router was asked for a decision."""

    call: Literal["decide"]
    now_ns: int
    """When, in nanoseconds of the kernel's clock."""
    scope: str
    """What is learned together: the skill."""
    arms: Sequence[RouteArm]
    """Who could do it."""
    features: NotRequired[Sequence[float | None]]
    """What is known of the call; None for what is no finite number."""
    max_cost: NotRequired[float]
    """Nobody who costs more."""
    require: NotRequired[Mapping[str, str]]
    """Only who has all of these labels."""
    exclude: NotRequired[Sequence[str]]
    """None of these."""
    affinity: NotRequired[str]
    """Calls of the same key should go to the same agent."""


class RouteSettled(TypedDict):
    """The router was told how a call ended."""

    call: Literal["settled"]
    now_ns: int
    """When."""
    number: int
    """The decision's."""
    ended: Literal["succeeded", "failed", "cancelled"]
    """Cancelled tells nothing of the agent."""


class RouteReward(TypedDict):
    """The router was told how good an answer was."""

    call: Literal["reward"]
    number: int
    """The decision's."""
    reward: NotRequired[float | None]
    """The score; None where it was no finite number."""


_Input = RouteDecide | RouteSettled | RouteReward


class RouteLog(TypedDict):
    """What it takes to make all decisions again. It is plain data, and may be kept as JSON."""

    policy: RoutePolicy
    seed: int
    log: Sequence[_Input]
    """What the router was told, one thing after the other, if that is recorded."""
    whole: NotRequired[bool]
    """Whether that is all that it was told since it began with this policy."""


class RouteDecision(TypedDict):
    """A choice."""

    number: int
    """Counts from 0."""
    index: int
    """The place of the chosen one in `arms`."""
    explored: bool
    """Whether another one was thought better: this one was chosen to learn about it."""


class RouteScore(TypedDict):
    """What was thought of an agent at a decision."""

    arm: str
    """The agent's name."""
    excluded: Literal["unavailable", "excluded", "too_expensive", "lacks_label"] | None
    """Why it was not considered, if so; the figures are 0 then."""
    quality: float
    """The score that was expected of it."""
    exploration: float
    """What was added because little is known, drawn at random in part."""
    waiting: float
    """What was taken away for waiting, against the one with least to wait for."""
    cost: float
    """What was taken away for its cost."""
    affinity: float
    """What was added for affinity."""
    value: float
    """All of this together: the greatest was chosen, unless `why` says otherwise."""


class RouteExplanation(TypedDict):
    """Why a call went to the agent that answered it."""

    number: int
    """The decision's."""
    scope: str
    """The skill."""
    chosen: str
    """The agent's name."""
    why: Literal["best", "uncertain", "may_have_changed", "probed_for_pace", "strategy"]
    """It was thought best; it may be best, and too little is known of it to say; it was thought worse, and may
    have become better since it was last tried; it was slow, and is called from time to time to see whether it
    still is; or the strategy is not one that values agents."""
    arms: list[RouteScore]
    """Those who could have been chosen."""
    left_off: int
    """How many more there were."""


class Routing:
    """How agents are chosen for calls: `kernel.routing`.

    >>> import sutazai
    >>> with sutazai.Kernel(seed=7) as kernel:
    ...     kernel.routing.set_policy({"strategy": "adaptive"}, record=1_000)
    ...     for name in "ada", "bob":
    ...         _ = kernel.agent(name=name, skills=["greet"])(lambda who: f"Hello, {who}")
    ...     ticket = kernel.submit("greet", "you")
    ...     _ = ticket.wait()
    ...     kernel.score(0.9, call=ticket)
    ...     explained = kernel.routing.explain(ticket)
    ...     log = kernel.routing.log()
    ...     [decision] = kernel.routing.replay(log)
    >>> [it["call"] for it in log["log"]]
    ['decide', 'settled', 'reward']
    >>> log["log"][0]["arms"][decision["index"]]["key"] == explained["chosen"]
    True
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def set_policy(
        self, policy: RoutePolicy | None = None, *, seed: int | None = None, record: int = 0
    ) -> None:
        """Has the router begin anew with another policy; what is left out is as by default. What it has learned
        is forgotten. Without a `seed` it is the one before. The first `record` things that it is told are kept
        for `log`, at most 1,000,000."""
        request: dict[str, object] = {"policy": mapping("policy", policy or {}), "record": record}
        if seed is not None:
            request["seed"] = seed
        now(self._kernel, "agent.route_set_policy", **request)

    def explain(self, call: int | _sutazai.Ticket) -> RouteExplanation | None:
        """Why a call went to the agent that answered it; None where there was nothing to choose. The call is
        said by its ticket or its number, and is one of the last 4,096 or so; `NotFound` is raised for others."""
        answer = now(self._kernel, "agent.explain", call=call_number(call))
        return cast("RouteExplanation | None", answer["explanation"])

    def log(self) -> RouteLog:
        """The policy, the seed, and what the router was told, if that is recorded (`set_policy`)."""
        return cast(RouteLog, now(self._kernel, "agent.route_log"))

    def replay(
        self, log: RouteLog, *, policy: RoutePolicy | None = None, seed: int | None = None
    ) -> list[RouteDecision | None]:
        """The decisions that follow from a log, of each `decide` in it; None where nobody could be chosen. They
        are the same in every kernel and on every machine. With another `policy` or `seed` they are those that
        would have been. The kernel's own router takes no notice."""
        given = mapping("log", log)
        answer = now(
            self._kernel,
            "agent.route_replay",
            policy=mapping("policy", given.get("policy", {}) if policy is None else policy),
            seed=given.get("seed") if seed is None else seed,
            log=given.get("log"),
        )
        return cast("list[RouteDecision | None]", answer["decisions"])
