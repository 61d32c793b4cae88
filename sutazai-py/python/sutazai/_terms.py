"""What else a caller wants of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

__all__ = ["Terms"]


class Terms(TypedDict, total=False):
    """What else a caller wants of a call: `kernel.call(…, terms={"max_cost": 0.02})`."""

    caller: str
    """Whose work it is: where calls wait for a place, callers have their turns. Default: whoever's work
    makes the call, or else the session that calls."""
    affinity: str
    """Calls of one key go to the same agent for as long as that takes calls, and a router that learns does
    not think much more of another; a policy that gives each its turn or its share takes no notice."""
    idempotency_key: str
    """A call with the key of one that is under way, or that succeeded within the last ten minutes, is not
    made: it gets the answer of that one."""
    max_cost: float
    """Agents that cost more a call get none; one of which nothing is known costs nothing."""
    labels: Mapping[str, str]
    """Labels that an agent must have."""
    exclude: Sequence[str]
    """Agents that do not get it."""
    sources: Mapping[str, str]
    """Where parts of the input come from, by JSON pointer (empty for all of it): `user`, `agent`, `tool`, `web`,
    or another word that policies know. What is not told of comes from the user, within a call from the agent
    that makes it."""
    features: Sequence[float]
    """What is known of the task, for routers that learn by it; always as many, in one order."""
