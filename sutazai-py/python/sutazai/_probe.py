"""Whether an agent can do what its card says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, NotRequired, TypedDict

from sutazai import _sutazai
from sutazai._heal import mapping

__all__ = ["ProbeReport", "SkillCard", "SkillProbe", "SkillReport"]


class SkillProbe(TypedDict, total=False):
    """A task for a skill whose right answer is known, in part at least. All that it says of the answer must
    hold, and what the card says of the skill's output besides."""

    input: Any
    """What it is asked. Default `None`."""
    schema: Mapping[str, Any] | bool
    """The JSON Schema that the output must fit."""
    equals: Any
    """What the output must be, exactly; 1 and 1.0 are the same."""
    contains: Any
    """What must be in the output: a text stands in one of its texts; what a dict has its dict has too;
    each item of a list is in one of its list's items; anything else is equal."""
    within_ms: int
    """How long the answer may take. Default 10,000."""


class SkillCard(TypedDict, total=False):
    """What an agent says of a skill."""

    description: str
    """What it is for."""
    input: Mapping[str, Any] | bool
    """The JSON Schema of its input."""
    output: Mapping[str, Any] | bool
    """The JSON Schema of its output."""
    probe: SkillProbe
    """A task by which it can be seen whether the agent has the skill."""
    read_only: bool
    """Whether it changes nothing: whoever may only read may ask for it. The agent's word is taken for it."""
    sensitivity: int
    """How sensitive what it reads or changes is, from 0 (the default) to 100: it raises the risk of whoever asks."""


class SkillReport(TypedDict):
    """What came of probing a skill."""

    skill: str
    verdict: Literal["right", "offered", "unproved", "late", "fails", "lies"]
    """From the best to the worst: it answered rightly; it has no probe, but the agent's other side says that it
    has it; nothing speaks for it; it did not answer in time; it answered with an error; its answer is wrong."""
    why: NotRequired[str]
    """Why, unless it answered rightly."""
    field: NotRequired[str]
    """What of its answer is wrong, where it lies: a JSON Pointer; empty for the whole of it."""
    error: NotRequired[dict[str, Any]]
    """The error that it answered with, where it fails."""
    took_ms: NotRequired[int]
    """How long it took to answer, where it was asked."""


class ProbeReport(TypedDict):
    """What came of probing an agent."""

    agent: str
    version: str
    verdict: Literal["right", "offered", "unproved", "late", "fails", "lies"]
    """The worst that is known of one of its skills."""
    skills: list[SkillReport]
    """In the order of its card."""
    took_ms: int


def probing(
    agent: str,
    version: str | None,
    skills: Sequence[str],
    probes: Mapping[str, SkillProbe] | None,
    timeout: float | timedelta | None,
) -> dict[str, object]:
    """A request of `agent.probe`."""
    request: dict[str, object] = {"name": agent, "skills": list(skills)}
    if version is not None:
        request["version"] = version
    if probes is not None:
        request["probes"] = mapping("probes", probes)
    if timeout is not None and (seconds := _sutazai._seconds("timeout", timeout)) < math.inf:
        request["within_ms"] = math.ceil(seconds * 1e3)
    return request
