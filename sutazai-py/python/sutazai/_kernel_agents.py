"""What a kernel has to do with agents: `Kernel` has all of this."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast, overload

from sutazai import _sutazai
from sutazai._agents import AgentSpec, _first_line, _name_of
from sutazai._connect import Connectors
from sutazai._create import (
    Created,
    Pools,
    Surroundings,
    Template,
    TemplateNeeds,
    TemplateParameter,
    TemplateRequirements,
    Templates,
    Want,
    creation,
)
from sutazai._discover import Discovery
from sutazai._heal import check_plain, now
from sutazai._ledger import AgentLedger, scoring
from sutazai._life import AgentSupervision, LivenessPolicy
from sutazai._loop import LoopThread
from sutazai._probe import ProbeReport, SkillCard, SkillProbe, probing
from sutazai._route import Routing
from sutazai._specs import McpSpec, ProcessSpec
from sutazai._views import AgentCard, AgentView

_F = TypeVar("_F", bound=Callable[..., Any])


class KernelOfAgents(_sutazai.Kernel):
    """Registers agents, makes, finds, watches and chooses them."""

    _loop: LoopThread

    @overload
    def agent(self, function: _F, /) -> _F: ...
    @overload
    def agent(
        self,
        function: None = None,
        /,
        *,
        skills: Sequence[str] | None = None,
        name: str | None = None,
        version: str = "",
        description: str | None = None,
        concurrency: int | None = None,
        timeout: float | timedelta | None = None,
        labels: Mapping[str, str] | None = None,
        cost: float | None = None,
        about: Mapping[str, SkillCard] | None = None,
        inline: bool = False,
        reply: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        beat: Callable[[], object] | None = None,
        replace: bool = False,
    ) -> Callable[[_F], _F]: ...
    def agent(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        skills: Sequence[str] | None = None,
        name: str | None = None,
        version: str = "",
        description: str | None = None,
        concurrency: int | None = None,
        timeout: float | timedelta | None = None,
        labels: Mapping[str, str] | None = None,
        cost: float | None = None,
        about: Mapping[str, SkillCard] | None = None,
        inline: bool = False,
        reply: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        beat: Callable[[], object] | None = None,
        replace: bool = False,
    ) -> Any:
        """Makes a function an agent; gives the function back.

        `f(input)` or `f(input, context)` returns the answer, on a thread of the kernel's pool, or,
        with `inline`, on the caller's (it promises never to block). A coroutine function runs on
        the kernel's own loop or on `loop`; cancelling the call cancels its task. With `reply` it
        is `f(task, reply)`, which may answer later, from any thread. The name is the function's,
        and the only skill has the agent's name unless `skills` says more. `timeout` is how long a task
        may take whose caller does not say, `cost` what one is expected to cost until calls have said
        (`context.used(cost=…)`, `reply.used(…)`). `about` says more of skills, by their names: what they are for, the
        schemas of what goes in and out, and a `probe` by which it can be seen whether the agent has them.

        With `beat` the agent is asked now and then whether it lives (`set_liveness`): a plain function without
        arguments, on a thread of the pool. It returns False for what cannot be reached at present, and anything
        else for what lives; what it raises is no sign of life.

        With `replace` another version of it, as `version` says, takes over from the one of this name when it
        is ready. The one before finishes what it has and stands by; `switch_agent` or a checkpoint puts it in
        charge again. Two versions stand by, at most.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     @kernel.agent(version="1")
        ...     def greet(name):
        ...         return f"Hello, {name}"
        ...     @kernel.agent(name="greet", version="2", replace=True)
        ...     def shout(name):
        ...         return f"HELLO, {name}"
        ...     second = kernel.call("greet", "Ada")
        ...     kernel.switch_agent("greet", "1")
        ...     second, kernel.call("greet", "Ada")
        ('HELLO, Ada', 'Hello, Ada')
        """

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            spec = AgentSpec(
                function,
                skills=skills,
                name=name,
                version=version,
                description=description,
                concurrency=concurrency,
                timeout=timeout,
                labels=labels,
                cost=cost,
                about=about,
                inline=inline,
                reply=reply,
                loop=loop,
                beat=beat,
            )
            self._add_agent(spec._declared(self._loop), replace)
            return function

        return register if function is None else register(function)

    def template(
        self,
        *,
        skills: Sequence[str],
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, TemplateParameter] | None = None,
        cost: float | None = None,
        latency_ms: float | None = None,
        labels: Mapping[str, str] | None = None,
        about: Mapping[str, SkillCard] | None = None,
        needs: TemplateNeeds | None = None,
        requires: TemplateRequirements | None = None,
        concurrency: int | None = None,
        most: int | None = None,
        agent_name: str | None = None,
        inline: bool = False,
        reply: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        beat: Callable[[], object] | None = None,
    ) -> Callable[[_F], _F]:
        """Makes a factory a template, from which agents are made when they are wanted (`create`), as their load
        needs (`pools`), or life after life (`supervise_agent`); gives the factory back. It is called with the
        parameters by their names, on a thread that may block, and returns the agent's function, as `agent`
        takes one. What the rest means `Template` says.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     @kernel.template(
        ...         skills=["greet"],
        ...         parameters={"word": {"schema": {"type": "string"}, "default": "Hello"}},
        ...         about={"greet": {"probe": {"input": "you", "contains": "you"}}},
        ...     )
        ...     def polite(word):
        ...         return lambda name: f"{word}, {name}"
        ...     created = kernel.create("greet", {"parameters": {"word": "Welcome"}})
        ...     created["agent"], kernel.call("greet", "Ada")
        ('polite-1', 'Welcome, Ada')
        """

        def register(factory: _F) -> _F:
            called = name if name is not None else _name_of(factory)
            told = description if description is not None else _first_line(factory)
            check_plain("a factory", factory)

            def make(order: dict[str, Any]) -> _sutazai._Described:
                function = factory(**order["parameters"])
                if not callable(function):
                    raise TypeError(
                        f"the factory {called} must return a function, not {type(function).__name__}"
                    )
                spec = AgentSpec(
                    function,
                    name=order["name"],
                    skills=order["skills"],
                    inline=inline,
                    reply=reply,
                    loop=loop,
                    beat=beat,
                )
                return spec._declared(self._loop)

            given: dict[str, object] = {
                "name": called,
                "description": told,
                "skills": list(skills),
                "make": {"factory": called},
                "parameters": parameters,
                "cost": cost,
                "latency_ms": latency_ms,
                "labels": labels,
                "about": about,
                "needs": needs,
                "requires": requires,
                "concurrency": concurrency,
                "most": most,
                "agent_name": agent_name,
            }
            template = {key: value for key, value in given.items() if value is not None}
            self.templates.add(cast(Template, template))
            try:
                self._add_factory(called, make)
            except BaseException:
                self.templates.remove(called)
                raise
            return factory

        return register

    @property
    def templates(self) -> Templates:
        """What agents can be made from."""
        return Templates(self)

    @property
    def pools(self) -> Pools:
        """Pools of agents, which grow with those who wait and shrink when they are idle."""
        return Pools(self)

    def create(
        self,
        skill: str,
        want: Want | None = None,
        *,
        timeout: float | timedelta | None = None,
        tries: int | None = None,
        surroundings: Surroundings | None = None,
    ) -> Created:
        """Makes an agent with the skill: chooses a template, makes and starts an agent of it, asks it whether it
        can do what the template says, and registers it when it can; else the next best template has its turn, at
        most `tries` of them (3 without it). Raises `NotMade` with every reason when none has, and nothing is left
        behind. `timeout` bounds the whole of it (a minute without it)."""
        request = creation(skill, want, timeout, tries, surroundings)
        return cast(Created, self.invoke("agent.create", **request))

    async def acreate(
        self,
        skill: str,
        want: Want | None = None,
        *,
        timeout: float | timedelta | None = None,
        tries: int | None = None,
        surroundings: Surroundings | None = None,
    ) -> Created:
        """As `create`, awaited; cancelling the task stops what is being made."""
        request = creation(skill, want, timeout, tries, surroundings)
        return cast(Created, await self.begin("agent.create", **request))

    def supervise_agent(
        self,
        template: str | None = None,
        /,
        *,
        parameters: Mapping[str, object] | None = None,
        name: str | None = None,
        process: ProcessSpec | None = None,
        mcp: McpSpec | None = None,
        card: AgentCard | None = None,
        supervision: AgentSupervision | None = None,
    ) -> str:
        """Registers an agent under supervision, and gives its name: a `template`, with its `parameters`, makes
        it, or it is a `process` or an `mcp` server. When it has ended, or is found dead, another one like it is
        made. Calls that it had then fail at once; further ones go to others with the skill, or wait for the
        next life within their timeouts. When it ends too often it has failed, and is not started again. What
        a template makes is called `name`, or as the template says.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     @kernel.template(skills=["count"])
        ...     def counter():
        ...         count = iter(range(10))
        ...         return lambda _: next(count)
        ...     agent = kernel.supervise_agent("counter", supervision={"intensity": 3})
        ...     agent, kernel.call("count"), kernel.call("count")
        ('counter-1', 0, 1)
        """
        given: dict[str, object] = {"supervision": dict(supervision or {})}
        ways: dict[str, object] = {"process": process, "mcp": mcp, "card": card}
        if template is not None:
            made = {"name": template, "parameters": dict(parameters or {}), "agent": name}
            given["template"] = {key: value for key, value in made.items() if value is not None}
        elif parameters is not None or name is not None:
            raise TypeError("parameters and name are for what a template makes")
        given |= {way: value for way, value in ways.items() if value is not None}
        answer: dict[str, str] = self.invoke("agent.supervise", **given)
        return answer["agent"]

    def set_liveness(
        self, name: str, policy: LivenessPolicy | None = None, *, watch: bool = True
    ) -> None:
        """Says how it is watched whether an agent lives, or, without `watch`, that it is not. Raises
        `NotFound`."""
        now(self, "agent.liveness_set", name=name, policy=dict(policy or {}), watch=watch)

    def switch_agent(self, name: str, version: str) -> None:
        """Puts a version of an agent in charge that stands by; the one that was stands by then. Raises
        `NotFound` when there is none."""
        now(self, "agent.switch", name=name, version=version)

    def probe(
        self,
        agent: str,
        *,
        version: str | None = None,
        skills: Sequence[str] = (),
        probes: Mapping[str, SkillProbe] | None = None,
        timeout: float | timedelta | None = None,
    ) -> ProbeReport:
        """Asks an agent itself whether it has the skills of its card, or some of them, by the card's probes or
        by `probes`; nothing is counted for or against it. An agent that lies or fails is no exception: the
        report says so. `timeout` bounds the whole of it.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     @kernel.agent(about={"double": {"probe": {"input": 21, "equals": 42}}})
        ...     def double(number):
        ...         return number + number
        ...     kernel.probe("double")["verdict"]
        'right'
        """
        return cast(ProbeReport, self.invoke("agent.probe", **probing(agent, version, skills, probes, timeout)))

    async def aprobe(
        self,
        agent: str,
        *,
        version: str | None = None,
        skills: Sequence[str] = (),
        probes: Mapping[str, SkillProbe] | None = None,
        timeout: float | timedelta | None = None,
    ) -> ProbeReport:
        """As `probe`, awaited."""
        request = probing(agent, version, skills, probes, timeout)
        return cast(ProbeReport, await self.begin("agent.probe", **request))

    @property
    def discovery(self) -> Discovery:
        """Sources that agents are found in."""
        return Discovery(self, self._loop)

    @property
    def connectors(self) -> Connectors:
        """Agents outside of this process."""
        return Connectors(self)

    def agent_view(self, name: str) -> AgentView:
        """An agent as it is at present; raises `NotFound` when there is none. `agents` has all of them."""
        return cast(AgentView, now(self, "agent.get", name=name))

    @property
    def routing(self) -> Routing:
        """How agents are chosen for calls, and why."""
        return Routing(self)

    def ledger(self, agent: str) -> AgentLedger:
        """How an agent's calls went: all of them, and those for each of its skills. Raises `NotFound`.

        >>> import sutazai
        >>> with sutazai.Kernel() as kernel:
        ...     @kernel.agent(skills=["double", "treble"])
        ...     def count(number, context):
        ...         return number * {"double": 2, "treble": 3}[context.skill]
        ...     answers = kernel.call("double", 1), kernel.call("treble", 1)
        ...     kernel.score(0.5, agent="count", skill="treble")
        ...     ledger = kernel.ledger("count")
        >>> ledger["stats"]["calls"], ledger["skills"][1]["stats"]["quality"]
        (2, {'scores': 1, 'mean': 0.5})
        """
        return cast(AgentLedger, now(self, "agent.ledger", name=agent))

    def score(
        self,
        score: float,
        *,
        call: int | _sutazai.Ticket | None = None,
        agent: str | None = None,
        skill: str | None = None,
    ) -> None:
        """Says how good an answer was, from 0 to 1: the router learns by it, and the ledger has it. The answer is
        that of a call, said by its ticket or its number, one of the last 4,096 or so; it is scored once, or
        `AlreadyExists` is raised. Or it is one of an agent, for the `skill` if it is said; of that the router
        learns nothing. Raises `NotFound` for a call or an agent that is not known."""
        now(self, "agent.score", **scoring(score, call, agent, skill))
