"""Factors of a login that you write yourself: providers, and what they are asked and answer."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from sutazai._loop import LoopThread

__all__ = ["Accepted", "AuthProvider", "Challenging", "Credential", "Refused"]


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody offers to prove who they are."""

    scheme: str
    """The scheme that it is for."""
    principal: str | None
    """Who they say they are, if they do; in a login that is under way, who it is for."""
    secret: bytes = field(repr=False)
    """The secret part. Not shown."""
    login: str | None
    """The login that it belongs to, where it answers a challenge."""
    now: float
    """When it is asked, by the kernel's clock: seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """It is them."""

    principal: str
    """Who. Somebody else than the credential says is refused."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """What else is known of them, for policies: `context.attributes`. `type` is the type of the principal in policies
    (`User` without it), `scopes` what the session may be used for: give them only what you vouch for."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not them."""

    why: str = "refused by the provider"
    """For the audit trail; whoever tries is told less."""


class AuthProvider(Protocol):
    """A factor of a login: `kernel.add_auth_provider`.

    `authenticate` may be a coroutine function, which runs on the kernel's loop; a plain one runs on a thread that
    it may block, for several logins at once. What it raises, and an answer that is none, is an error of the login
    (`security.provider_failed`) and never an accept.
    """

    @property
    def scheme(self) -> str:
        """What it checks, as a short name: 1 to 64 letters, digits, dashes, dots and underscores."""

    def authenticate(
        self, credential: Credential, /
    ) -> Accepted | Refused | Awaitable[Accepted | Refused]:
        """Whether it is them."""


class Challenging(AuthProvider, Protocol):
    """A provider that has something to say before it is answered, as a second factor."""

    def challenge(
        self, principal: str, login: str, /
    ) -> Mapping[str, str] | None | Awaitable[Mapping[str, str] | None]:
        """What the principal needs to answer with this factor: a challenge to sign, a hint. None where they
        cannot: they have not enrolled it. `login` names the login, and comes back in the credential."""


_Step = tuple[str | None, dict[str, str], str]


def native(
    provider: AuthProvider, loop: LoopThread
) -> tuple[str, Callable[..., _Step], Callable[..., dict[str, str] | None] | None]:
    """The scheme and the functions of a provider, as the native module takes them."""
    scheme = provider.scheme
    ask = _plain(provider.authenticate, loop)
    given = getattr(provider, "challenge", None)

    def authenticate(
        scheme: str, principal: str | None, secret: bytes, login: str | None, now: float
    ) -> _Step:
        answer = ask(Credential(scheme, principal, secret, login, now))
        if isinstance(answer, Accepted):
            if not isinstance(answer.principal, str):
                raise TypeError("an accepted principal must be a str")
            return answer.principal, _texts("attributes", answer.attributes), ""
        if isinstance(answer, Refused):
            return None, {}, str(answer.why)
        raise TypeError(
            f"authenticate must return Accepted or Refused, not {type(answer).__name__}"
        )

    if given is None:
        return scheme, authenticate, None
    offer = _plain(given, loop)

    def challenge(principal: str, login: str, now: float) -> dict[str, str] | None:
        answer = offer(principal, login)
        return None if answer is None else _texts("a challenge", answer)

    return scheme, authenticate, challenge


def _texts(what: str, given: object) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} must be a mapping of str to str, not {type(given).__name__}")
    texts = dict(given)
    if not all(isinstance(text, str) for pair in texts.items() for text in pair):
        raise TypeError(f"{what} must be a mapping of str to str")
    return cast(dict[str, str], texts)


def _plain(function: Any, loop: LoopThread) -> Callable[..., object]:
    """The function, or what runs a coroutine function on the kernel's loop and waits for it."""
    if not callable(function):
        raise TypeError(f"a provider's functions are callable, not {type(function).__name__}")
    if not inspect.iscoroutinefunction(function):
        return cast(Callable[..., object], function)
    return lambda *args: loop.run(function(*args))
