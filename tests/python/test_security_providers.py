"""Factors of a login that are written in Python."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import pytest

import sutazai
from sutazai import Accepted, AuthProvider, Challenging, Credential, Kernel, Refused

PASSWORD = "correct horse battery"
CHEAP: sutazai.PasswordPolicy = {"memory_kib": 7168, "passes": 5}


class Badges:
    """What a badge says is whose it is."""

    scheme = "badge"

    def __init__(self) -> None:
        self.asked: list[Credential] = []

    def authenticate(self, credential: Credential) -> Accepted | Refused:
        self.asked.append(credential)
        kind, _, owner = credential.secret.decode().partition(" of ")
        return Accepted(owner, {"floor": "3"}) if kind == "badge" else Refused("not a badge of ours")


class Enrolled(Badges):
    """As badges, which not everybody has."""

    def challenge(self, principal: str, login: str) -> Mapping[str, str] | None:
        return None if principal == "bob" else {"hint": f"for {login}"}


def log_in(kernel: Kernel, secret: str, principal: str | None = None, scheme: str = "badge") -> Any:
    return kernel.invoke("security.login", scheme=scheme, principal=principal, secret=secret)


def second(provider: AuthProvider) -> Kernel:
    """A kernel with passwords of ann and bob, and the provider as a second factor."""
    kernel = Kernel(security={"passwords": CHEAP, "logins": {"second": [provider.scheme]}})
    kernel.add_auth_provider(provider)
    kernel.start()
    for who in "ann", "bob":
        kernel.invoke("security.password_set", principal=who, password=PASSWORD)
    return kernel


def test_a_login_begins_with_it() -> None:
    badges = Badges()
    kernel = Kernel()
    kernel.add_auth_provider(badges)
    with kernel:
        done = log_in(kernel, "badge of ann")
        assert (done["step"], done["principal"]) == ("done", "ann")
        assert done["attributes"]["floor"] == "3" and done["attributes"]["amr"] == "badge"
        session = kernel.invoke("security.token_verify", token=done["access"])
        assert session["principal"] == "ann"
        assert log_in(kernel, "library card") == {"step": "refused"}
        assert log_in(kernel, "badge of eve", "ann") == {"step": "refused"}
    asked = badges.asked[0]
    assert (asked.scheme, asked.principal, asked.login) == ("badge", None, None)
    assert asked.now > 1e9
    assert "badge of ann" not in repr(asked), "a secret is not shown"


def test_it_is_a_second_factor() -> None:
    badges: Challenging = Enrolled()
    with second(badges) as kernel:
        assert log_in(kernel, "badge of ann") == {"step": "refused"}
        following = log_in(kernel, PASSWORD, "ann", "password")
        login = following["login"]
        assert following["offers"] == [
            {"scheme": "badge", "parameters": {"hint": f"for {login}"}}
        ]
        answer: dict[str, Any] = {"login": login, "scheme": "badge"}
        for wrong in "library card", "badge of eve":
            assert kernel.invoke("security.login_answer", **answer, secret=wrong)["step"] == "refused"
        done = kernel.invoke("security.login_answer", **answer, secret="badge of ann")
        assert (done["principal"], done["attributes"]["amr"]) == ("ann", "password badge")
        assert log_in(kernel, PASSWORD, "bob", "password")["step"] == "done", "bob has none"


def test_a_coroutine_runs_on_the_kernels_loop() -> None:
    class Awaited:
        scheme = "awaited"
        loops: list[str] = []

        async def authenticate(self, credential: Credential) -> Accepted | Refused:
            await asyncio.sleep(0)
            self.loops.append(threading.current_thread().name)
            return Accepted("ann")

        async def challenge(self, principal: str, login: str) -> Mapping[str, str]:
            await asyncio.sleep(0)
            return {}

    with Kernel() as kernel:
        kernel.add_auth_provider(Awaited())
        assert log_in(kernel, "x", scheme="awaited")["principal"] == "ann"
        assert Awaited.loops == ["sutazai-loop"]
    with second(Awaited()) as kernel:
        assert log_in(kernel, PASSWORD, "ann", "password")["step"] == "next"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (True, "not bool"),
        (None, "not NoneType"),
        ("ann", "not str"),
        ({"principal": "ann"}, "not dict"),
        (Accepted(7), "must be a str"),  # type: ignore[arg-type]
        (Accepted("ann", {"floor": 3}), "str to str"),  # type: ignore[dict-item]
        (Accepted("ann", ["floor"]), "not list"),  # type: ignore[arg-type]
        (ValueError("the reader is unplugged"), "ValueError: the reader is unplugged"),
        (SystemExit(3), "SystemExit"),
    ],
)
def test_what_is_no_answer_is_no_accept(answer: Any, said: str) -> None:
    class Broken:
        scheme = "badge"

        def authenticate(self, credential: Credential) -> Accepted | Refused:
            if isinstance(answer, BaseException):
                raise answer
            return answer  # type: ignore[no-any-return]

    with Kernel() as kernel:
        kernel.add_auth_provider(Broken())
        with pytest.raises(sutazai.SecurityError) as caught:
            log_in(kernel, "x")
        assert caught.value.name == "security.provider_failed"
        assert said in str(caught.value)


def test_a_challenge_that_raises_fails_the_login() -> None:
    class Broken(Badges):
        def challenge(self, principal: str, login: str) -> Mapping[str, str] | None:
            raise RuntimeError("no challenge today")

    with second(Broken()) as kernel:
        with pytest.raises(sutazai.SecurityError, match="no challenge today"):
            log_in(kernel, PASSWORD, "ann", "password")


def test_a_session_without_a_name_is_refused(kernel: Kernel) -> None:
    kernel.add_auth_provider(Badges())
    assert log_in(kernel, "badge of ") == {"step": "refused"}


def test_there_is_one_of_a_scheme(kernel: Kernel) -> None:
    kernel.add_auth_provider(Badges())
    with pytest.raises(sutazai.AlreadyExists):
        kernel.add_auth_provider(Badges())

    class Named(Badges):
        def __init__(self, scheme: Any) -> None:
            super().__init__()
            self.scheme = scheme

    with pytest.raises(sutazai.AlreadyExists):
        Kernel().add_auth_provider(Named("password"))
    with pytest.raises(sutazai.Invalid):
        kernel.add_auth_provider(Named("two words"))
    with pytest.raises(TypeError, match="scheme must be a str"):
        kernel.add_auth_provider(Named(7))


def test_one_that_hangs_keeps_nobody_but_its_own_login(kernel: Kernel) -> None:
    asked, told = threading.Event(), threading.Event()

    class Slow:
        scheme = "slow"

        def authenticate(self, credential: Credential) -> Accepted | Refused:
            asked.set()
            told.wait()
            return Accepted("ann")

    kernel.add_auth_provider(Slow())
    kernel.add_auth_provider(Badges())
    hangs = kernel.begin("security.login", scheme="slow", secret="x")
    asked.wait()
    assert log_in(kernel, "badge of bob")["principal"] == "bob"
    assert not hangs.done()
    told.set()
    assert hangs.wait()["principal"] == "ann"


def test_it_is_let_go_of_with_the_kernel() -> None:
    badges = Badges()
    gone = weakref.ref(badges)
    with Kernel() as kernel:
        kernel.add_auth_provider(badges)
        assert log_in(kernel, "badge of ann")["step"] == "done"
    del badges
    gc.collect()
    assert gone() is None
