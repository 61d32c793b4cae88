"""What a guarded call that succeeds costs from Python: of a function and of a coroutine function that do
nothing, beside other libraries' ways to the same.

    maturin build --release -m sutazai-py/Cargo.toml
    python -m venv target/venv-bench
    target/venv-bench/bin/pip install target/wheels/*.whl \
        tenacity stamina pybreaker circuitbreaker hyx
    target/venv-bench/bin/python benches/python_guard.py

Ours has retry, budget, breaker and timeout on. None of the others has all of these: each is measured
alone, with the settings that its documentation recommends for a remote call, and those that together
come nearest (retry, breaker and a bound in time; nobody has a budget) once more as a stack. The ratio is
to the fastest of the stacks. All take turns, round by round, in one process; a figure is the median of
the rounds, and nothing is taken off it: `bare` is what the loop and the function itself are of it.

The clock is the thread's processor time. Nothing here waits, so that on an idle machine it is the time
on the wall; on a busy one it leaves out what other programs took, which falls on long rounds more than
on short ones.
"""

import asyncio
import importlib.metadata
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import circuitbreaker
import hyx.circuitbreaker
import hyx.retry
import hyx.retry.backoffs
import hyx.timeout
import pybreaker
import stamina
import sutazai
import tenacity

ROUNDS = 61
CALLS = 1_000

TRIES = 5
SECONDS = 10
LOST = (ConnectionError, TimeoutError)
OURS = sutazai.guard(
    retry={"attempts": TRIES}, budget=True, breaker={"consecutive": 5}, timeout=SECONDS, on=LOST
)

Call = Callable[[int], int]
AsyncCall = Callable[[int], Awaitable[int]]


def bare(value: int) -> int:
    """The function that is guarded."""
    return value


async def bare_async(value: int) -> int:
    """The coroutine function that is guarded."""
    return value


async def within_async(value: int) -> int:
    """The same with asyncio's own timeout, for those that bring none that ends a try."""
    async with asyncio.timeout(SECONDS):
        return value


async def within_hyx_async(value: int) -> int:
    """The same with hyx's timeout, as a context manager: as a decorator it makes a task a call."""
    async with hyx.timeout.timeout(SECONDS):
        return value


# ---- what each recommends; a decorator that is applied to several functions is made anew ----


def with_tenacity() -> Callable:
    """Exponential backoff with jitter; no further try after a number of them or a time."""
    return tenacity.retry(
        retry=tenacity.retry_if_exception_type(LOST),
        wait=tenacity.wait_exponential_jitter(multiplier=0.1, max=SECONDS),
        stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_after_delay(SECONDS),
        reraise=True,
    )


def with_stamina() -> Callable:
    """As tenacity, by its own defaults for the backoff."""
    return stamina.retry(on=LOST, attempts=TRIES, timeout=timedelta(seconds=SECONDS))


def with_pybreaker() -> Callable:
    """Opens after five failures in a row, as it does by default."""
    return pybreaker.CircuitBreaker(fail_max=5, reset_timeout=5)


def with_circuitbreaker() -> Callable:
    """Opens after five failures in a row, as it does by default."""
    return circuitbreaker.circuit(
        failure_threshold=5, recovery_timeout=5, expected_exception=LOST
    )


def with_hyx() -> Callable:
    """Its retry and its breaker; the timeout comes inside, in one of its two forms."""
    backoff = hyx.retry.backoffs.expo(min_delay_secs=0.1, base=2, max_delay_secs=SECONDS)
    retry = hyx.retry.retry(on=LOST, attempts=TRIES, backoff=backoff)
    breaker = hyx.circuitbreaker.consecutive_breaker(
        exceptions=LOST, failure_threshold=5, recovery_time_secs=5
    )
    return lambda function: retry(breaker(function))


def contestants() -> dict[str, Call]:
    """Ours, the others alone, and (named with a plus) those that have comparable parts."""
    return {
        "ours": OURS(bare),
        "bare": bare,
        "tenacity": with_tenacity()(bare),
        "stamina": with_stamina()(bare),
        "pybreaker": with_pybreaker()(bare),
        "circuitbreaker": with_circuitbreaker()(bare),
        "tenacity+pybreaker": with_tenacity()(with_pybreaker()(bare)),
        "tenacity+circuitbreaker": with_tenacity()(with_circuitbreaker()(bare)),
        "stamina+circuitbreaker": with_stamina()(with_circuitbreaker()(bare)),
    }


def async_contestants() -> dict[str, AsyncCall]:
    """The same of those that know asyncio. pybreaker knows tornado only."""
    return {
        "ours": OURS(bare_async),
        "bare": bare_async,
        "tenacity": with_tenacity()(bare_async),
        "stamina": with_stamina()(bare_async),
        "circuitbreaker": with_circuitbreaker()(bare_async),
        "hyx retry+breaker+timeout": with_hyx()(within_hyx_async),
        "hyx retry+breaker+timeout, all decorators": with_hyx()(
            hyx.timeout.timeout(SECONDS)(bare_async)
        ),
        "tenacity+circuitbreaker+asyncio.timeout": with_tenacity()(
            with_circuitbreaker()(within_async)
        ),
        "stamina+circuitbreaker+asyncio.timeout": with_stamina()(
            with_circuitbreaker()(within_async)
        ),
    }


# ---- the measuring ----


def round_of(call: Call) -> float:
    """Nanoseconds a call, over one round."""
    began = time.thread_time_ns()
    for _ in range(CALLS):
        call(1)
    return (time.thread_time_ns() - began) / CALLS


async def async_round_of(call: AsyncCall) -> float:
    """Nanoseconds an awaited call, over one round."""
    began = time.thread_time_ns()
    for _ in range(CALLS):
        await call(1)
    return (time.thread_time_ns() - began) / CALLS


def turns(names: list[str], number: int) -> list[str]:
    """Begins with another one each round, so that nobody always runs after the same one."""
    at = number % len(names)
    return names[at:] + names[:at]


def sync_rounds() -> dict[str, list[float]]:
    """The figures of each, a round each; the first round only warms up."""
    calls = contestants()
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name in turns(list(calls), number):
            figure = round_of(calls[name])
            if number:
                rounds[name].append(figure)
    return rounds


async def async_rounds() -> dict[str, list[float]]:
    """As `sync_rounds`, in one event loop."""
    calls = async_contestants()
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(ROUNDS + 1):
        for name in turns(list(calls), number):
            figure = await async_round_of(calls[name])
            if number:
                rounds[name].append(figure)
    return rounds


def report(bar: str, rounds: dict[str, list[float]], goal_us: float) -> None:
    """Prints each figure, and the line of the bar."""
    ns = {name: round(statistics.median(figures)) for name, figures in rounds.items()}
    ours = ns.pop("ours")
    for name, figure in ns.items():
        print(f"    {bar}: {name} {figure}ns")
    peer = min((name for name in ns if "+" in name), key=lambda name: ns[name])
    met = "met" if ours <= goal_us * 1_000 else "missed"
    print(
        f"bar {bar} ours={ours}ns peer={peer.replace(' ', '-')}:{ns[peer]}ns "
        f"ratio={ours / ns[peer]:.2f} goal=<={goal_us:g}us {met}"
    )


def main() -> None:
    peers = ["tenacity", "stamina", "pybreaker", "circuitbreaker", "hyx"]
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in peers))
    report("recovery.python_sync", sync_rounds(), 1)
    report("recovery.python_async", asyncio.run(async_rounds()), 2)


if __name__ == "__main__":
    main()
