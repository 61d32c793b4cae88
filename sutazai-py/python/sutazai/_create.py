"""Agents that are made when they are wanted: templates, the choice among them, and pools."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, NotRequired, TypedDict, cast

from sutazai import _sutazai
from sutazai._heal import mapping, now
from sutazai._probe import ProbeReport, SkillCard

__all__ = [
    "Considered",
    "Created",
    "FailedTemplate",
    "Pool",
    "PoolPolicy",
    "Pools",
    "Surroundings",
    "Template",
    "TemplateChoice",
    "TemplateFigures",
    "TemplateNeeds",
    "TemplateParameter",
    "TemplateReason",
    "TemplateRequirements",
    "TemplateView",
    "Templates",
    "Want",
    "WantWeights",
]


class TemplateParameter(TypedDict, total=False):
    """What can be said of an agent that is made from a template."""

    description: str
    schema: Mapping[str, Any] | bool
    """The JSON Schema of its value; anything without it."""
    default: Any
    """Its value where none is given; without it one must be."""


class TemplateNeeds(TypedDict, total=False):
    """What an agent takes of the machine."""

    memory: int
    """Bytes."""
    cpus: float
    """Processors; a half is one for half of the time."""


class TemplateRequirements(TypedDict, total=False):
    """What must be there for an agent to be made."""

    executables: Sequence[str]
    """Programs, by their names in `PATH` or by their paths."""
    env: Sequence[str]
    """Environment variables that are set and not empty."""
    files: Sequence[str]
    """Files or directories."""
    features: Sequence[str]
    """Features of the library's build: `mcp`, `openai`, `a2a`, …."""


class MadeProcess(TypedDict):
    """A process that speaks JSON lines."""

    process: Mapping[str, Any]
    """As `ProcessSpec`."""


class MadeMcp(TypedDict):
    """An MCP server."""

    mcp: Mapping[str, Any]
    """As `McpSpec`, whose `name` is filled in."""


class MadeOpenai(TypedDict):
    """A model behind an OpenAI-compatible endpoint."""

    openai: Mapping[str, Any]
    """As `OpenAiSpec`, whose `name` and `skills` are filled in."""


class MadeA2a(TypedDict):
    """An agent of the A2A protocol."""

    a2a: Mapping[str, Any]
    """As `A2aSpec`."""


class MadeByFactory(TypedDict):
    """What a factory makes."""

    factory: str
    """The name that it was registered by."""


class Template(TypedDict):
    """How agents of one kind are made. Texts in `make` may have parameters in them, as `{model}`; a text that is
    one parameter and nothing else becomes its value. Beside the template's own there are `{agent}` and
    `{template}`."""

    name: str
    description: NotRequired[str]
    skills: Sequence[str]
    make: MadeProcess | MadeMcp | MadeOpenai | MadeA2a | MadeByFactory
    parameters: NotRequired[Mapping[str, TemplateParameter]]
    needs: NotRequired[TemplateNeeds]
    requires: NotRequired[TemplateRequirements]
    cost: NotRequired[float]
    """What a call is expected to cost, in your unit of account, as long as calls have not shown it."""
    latency_ms: NotRequired[float]
    """How long a call is expected to take, as long as calls have not shown it."""
    labels: NotRequired[Mapping[str, str]]
    about: NotRequired[Mapping[str, SkillCard]]
    """More of the skills: the probes in there an agent must pass before it is registered."""
    concurrency: NotRequired[int]
    """Tasks at once of an agent, at most."""
    most: NotRequired[int]
    """Its agents that there may be at once."""
    agent_name: NotRequired[str]
    """How its agents are called. Default `{template}-{n}`."""


class TemplateFigures(TypedDict):
    """How what was made from a template did of late; what happened counts half as much after an hour."""

    made: float
    not_made: float
    calls: float
    failed: float
    cost: NotRequired[float]
    latency_ms: NotRequired[float]
    living: int
    """Its agents that there are."""


class TemplateView(TypedDict):
    """A template, and how what was made from it did."""

    template: Template
    figures: TemplateFigures


class WantWeights(TypedDict, total=False):
    """How much success, cost and latency count against one another."""

    success: float
    """Default 1."""
    cost: float
    """What it takes away when a call costs as much as it may, or as much as the most expensive. Default 0.25."""
    latency: float
    """What it takes away when a call takes as long as it may, or as the slowest. Default 0.25."""


class Surroundings(TypedDict, total=False):
    """What there is to make an agent with. What is not said is not there; of memory and processors it is not
    known, and holds nothing up."""

    executables: Sequence[str]
    env: Sequence[str]
    files: Sequence[str]
    features: Sequence[str]
    factories: Sequence[str]
    memory: int
    """Bytes that are free."""
    cpus: float
    """Processors that have nothing to do."""


class Want(TypedDict, total=False):
    """What else is wanted of an agent than a skill."""

    max_cost: float
    """What a call of it may cost."""
    max_latency_ms: float
    """How long a call of it may take."""
    labels: Mapping[str, str]
    """Labels that it must have."""
    exclude: Sequence[str]
    """Templates that it must not be made from."""
    parameters: Mapping[str, Any]
    """Values for the template's parameters."""
    weights: WantWeights
    name: str
    """Its name; as the template says without it. Where an agent of this name was made before for the skill, it
    is the answer."""


class TemplateReason(TypedDict):
    """Why a template is refused."""

    code: Literal[
        "excluded",
        "skill",
        "label",
        "parameter",
        "feature",
        "factory",
        "executable",
        "environment",
        "file",
        "memory",
        "cpus",
        "most",
        "cost",
        "latency",
        "failed",
    ]
    why: str
    advice: str


class Considered(TypedDict):
    """A template that was considered."""

    template: str
    verdict: Literal["chosen", "possible", "failed", "refused"]
    score: NotRequired[float]
    """Its expected utility."""
    success: NotRequired[float]
    cost: NotRequired[float]
    latency_ms: NotRequired[float]
    reasons: list[TemplateReason]
    """Why it is refused, or has failed."""


class TemplateChoice(TypedDict):
    """What was chosen, and what is to be said of every template."""

    template: str | None
    why: str
    considered: list[Considered]
    """The one that was chosen first, then those that are possible, then those that are refused."""


class FailedTemplate(TypedDict):
    """A template that was tried and made no agent."""

    template: str
    stage: Literal["make", "start", "probe", "register"]
    error: dict[str, Any]


class Created(TypedDict):
    """An agent that was made for what was wanted."""

    agent: str
    template: str
    existing: NotRequired[bool]
    """True where it was there already."""
    choice: NotRequired[TemplateChoice]
    failed: list[FailedTemplate]
    """Templates that were tried before."""
    probe: NotRequired[ProbeReport]
    took_ms: int


class PoolPolicy(TypedDict, total=False):
    """Between which bounds a pool has its agents, and when it has more or fewer."""

    min: int
    """Default 1."""
    max: int
    """Default 4."""
    places: int
    """Tasks that an agent is meant to have at once. Default: its template's `concurrency`, or 1."""
    grow_at: float
    """It grows when more than this share of all places is taken, and when calls wait. Default 0.8."""
    shrink_at: float
    """It shrinks when of the places that would be left no more than this share were taken. Default 0.5."""
    grow_after_ms: int
    """How long it must be so before it grows. Default 200."""
    idle_ms: int
    """How long it must be so before it shrinks. Default 60,000."""
    cool_down_ms: int
    """How long it waits after it grew until it grows again. Default 1,000."""
    backoff_ms: int
    """How long it waits to replace an agent the first time; twice as long each time after. Default 500."""
    longest_backoff_ms: int
    """Default 60,000."""
    grace_ms: int
    """How long an agent that is retired may take to finish its tasks. Default 5,000."""


class Pool(TypedDict):
    """A pool: its agents, its load, and why it has as many as it has."""

    name: str
    template: str
    parameters: NotRequired[dict[str, Any]]
    policy: PoolPolicy
    agents: list[str]
    starting: int
    target: int
    in_flight: int
    waiting: int
    why: NotRequired[str]
    trouble: NotRequired[dict[str, Any]]
    """What went wrong last when an agent was made."""


_Views = list[TemplateView]
_All = list[Pool]


class Templates:
    """What agents can be made from: `kernel.templates`. A factory in Python is a template of its own:
    `@kernel.template(…)`.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     kernel.templates.add({
    ...         "name": "reviewer", "skills": ["review"], "cost": 0.0,
    ...         "make": {"process": {"command": ["no-such-reviewer", "--depth={depth}"]}},
    ...         "parameters": {"depth": {"schema": {"type": "integer"}, "default": 2}},
    ...     })
    ...     choice = kernel.templates.explain("review", {"parameters": {"depth": "deep"}})
    ...     [(it["code"], it["why"]) for it in choice["considered"][0]["reasons"]]
    [('parameter', 'the parameter "depth": "deep" is not of type "integer"'), ('executable', 'the program "no-such-reviewer" is not there')]
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def list(self) -> _Views:
        """The templates, sorted by name, with how what was made from them did of late."""
        return cast(_Views, now(self._kernel, "agent.templates")["templates"])

    def add(self, template: Template, *, replace: bool = False) -> None:
        """Adds a template, or puts it in the place of the one of its name."""
        now(
            self._kernel,
            "agent.template_add",
            template=mapping("template", template),
            replace=replace,
        )

    def remove(self, name: str) -> None:
        """Takes a template out; agents that were made from it go on."""
        now(self._kernel, "agent.template_remove", name=name)

    def explain(
        self,
        skill: str,
        want: Want | None = None,
        *,
        surroundings: Surroundings | None = None,
    ) -> TemplateChoice:
        """Which template an agent with the skill would be made from, and what speaks against each; makes none.
        Looks at the machine, unless it is told what is there."""
        request: dict[str, object] = {"want": wanted(skill, want)}
        if surroundings is not None:
            request["surroundings"] = mapping("surroundings", surroundings)
        return cast(TemplateChoice, self._kernel.invoke("agent.create_explain", **request))


class Pools:
    """Pools of agents of one template, which grow with those who wait and shrink when they are idle:
    `kernel.pools`.

    >>> import sutazai
    >>> with sutazai.Kernel(clock="virtual") as kernel:
    ...     @kernel.template(skills=["double"])
    ...     def doubler():
    ...         return lambda number: 2 * number
    ...     pool = kernel.pools.add("doublers", "doubler", {"min": 2, "max": 8})
    ...     _ = kernel.invoke("kernel.advance", ms=1_000)
    ...     kernel.pools.list()[0]["agents"], pool["why"]
    (['doubler-1', 'doubler-2'], 'it has 2 at least')
    """

    def __init__(self, kernel: _sutazai.Kernel) -> None:
        self._kernel = kernel

    def list(self) -> _All:
        """The pools, sorted by name."""
        return cast(_All, now(self._kernel, "agent.pools")["pools"])

    def add(
        self,
        name: str,
        template: str,
        policy: PoolPolicy | None = None,
        *,
        parameters: Mapping[str, object] | None = None,
    ) -> Pool:
        """Keeps between so many and so many agents of a template, as their load needs."""
        answer = now(
            self._kernel,
            "agent.pool_add",
            name=name,
            template=template,
            policy=mapping("policy", policy or {}),
            parameters=mapping("parameters", parameters or {}),
        )
        return cast(Pool, answer)

    def set(self, name: str, policy: PoolPolicy) -> Pool:
        """Gives a pool another policy; what is left out is as by default."""
        answer = now(self._kernel, "agent.pool_set", name=name, policy=mapping("policy", policy))
        return cast(Pool, answer)

    def remove(self, name: str) -> None:
        """Removes a pool and its agents, which have time to finish."""
        self._kernel.invoke("agent.pool_remove", name=name)


def wanted(skill: str, want: Want | None) -> dict[str, object]:
    """A want as the operations take it."""
    return {**mapping("want", want or {}), "skill": skill}


def creation(
    skill: str,
    want: Want | None,
    timeout: float | timedelta | None,
    tries: int | None,
    surroundings: Surroundings | None,
) -> dict[str, object]:
    """A request of `agent.create`."""
    request: dict[str, object] = {"want": wanted(skill, want)}
    if timeout is not None and (seconds := _sutazai._seconds("timeout", timeout)) < math.inf:
        request["within_ms"] = math.ceil(seconds * 1e3)
    if tries is not None:
        request["tries"] = tries
    if surroundings is not None:
        request["surroundings"] = mapping("surroundings", surroundings)
    return request
