"""Tokens that somebody hands an agent, less than their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NotRequired, TypedDict, cast

from sutazai._security_calls import Part, millis

__all__ = ["ArgumentRange", "Delegated", "DelegatedToken", "Delegations", "LessToken"]


class ArgumentRange(TypedDict):
    """A whole number in a range, both ends included."""

    least: int
    most: int


class LessToken(TypedDict):
    """What an agent may still do with a token. Everything takes away."""

    agent: str
    """Whom it is handed to: one word."""
    skills: NotRequired[Sequence[str] | None]
    """Only these skills."""
    arguments: NotRequired[Mapping[str, Mapping[str, str | Sequence[str] | ArgumentRange]]]
    """Only while these arguments are so: `{"prefix": …}`, `{"one_of": […]}` or `{"range": {"least": 1, "most": 9}}`, by
    their keys, or inside others by JSON pointer: `/to/0`."""
    lasts_ms: NotRequired[int | None]
    """Only for so many milliseconds."""
    depth: NotRequired[int | None]
    """Only if it is handed on at most so many times more; 0 is not at all."""


class DelegatedToken(TypedDict):
    """A token for an agent."""

    token: str
    """What the agent calls with."""
    expires: str
    """When its root ends; it may say an earlier time itself."""


class Delegated(TypedDict):
    """What a delegated token says."""

    principal: str
    """Whom it acts for."""
    actors: list[str]
    """The agents that it was handed to, the first one first."""
    expires: str
    attributes: dict[str, str]
    """What is known of the session."""


class Delegations(Part):
    """Delegated tokens: `kernel.security.delegations`. An agent that was handed one acts for somebody, and may do less
    than they may; it can take away more and hand it on, and give nothing back.

    >>> import sutazai
    >>> with sutazai.Kernel() as kernel:
    ...     delegations = kernel.security.delegations
    ...     handed = delegations.vouch(
    ...         "ann", by="ops", lasts=600, to={"agent": "mailer", "skills": ["mail.send"]}
    ...     )
    ...     held = delegations.verify(handed["token"], skill="mail.send", arguments={})
    >>> held["principal"], held["actors"]
    ('ann', ['mailer'])
    """

    def mint(
        self, token: str, *, lasts: float | timedelta, to: LessToken | None = None
    ) -> DelegatedToken:
        """A token of somebody's access token: for what they may do, less what `to` takes away."""
        answer = self._do("delegate", token=token, lasts_ms=millis("lasts", lasts), to=to)
        return cast(DelegatedToken, answer)

    def vouch(
        self,
        principal: str,
        *,
        scopes: Sequence[str] = (),
        lasts: float | timedelta,
        to: LessToken | None = None,
        by: str,
    ) -> DelegatedToken:
        """A token for somebody whom the program vouches for; on the record as an override of the logins."""
        answer = self._do(
            "delegate",
            principal=principal,
            scopes=list(scopes),
            lasts_ms=millis("lasts", lasts),
            to=to,
            by=by,
        )
        return cast(DelegatedToken, answer)

    def attenuate(self, token: str, to: LessToken) -> str:
        """Takes away from a token before it is handed on."""
        return str(self._do("delegate_attenuate", token=token, to=to)["token"])

    def verify(
        self,
        token: str,
        *,
        skill: str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> Delegated:
        """Whose a token is and who acts with it, if it is good; with a skill, whether it allows that call, or raises
        `SecurityError`."""
        answer = self._do(
            "delegate_verify",
            token=token,
            skill=skill,
            arguments=None if arguments is None else dict(arguments),
        )
        return cast(Delegated, answer)

    def revoke(self, token: str, *, root: bool = False, by: str) -> None:
        """Revokes a token and all that were made of it; with `root` its root as well. At once, and after a restart."""
        self._do("delegate_revoke", token=token, root=root, by=by)
