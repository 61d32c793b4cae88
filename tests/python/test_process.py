"""The process around the kernel: Ctrl-C, fork, exit, threads."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sutazai import Kernel, Reply, Task

Run = Callable[[str], "subprocess.CompletedProcess[str]"]


@contextlib.contextmanager
def running(script: Path) -> "Iterator[subprocess.Popen[str]]":
    """The program, ended when it hangs: a line that never comes is an empty one."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        timer = threading.Timer(60, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


def assert_clean(result: "subprocess.CompletedProcess[str]", out: str) -> None:
    assert (result.returncode, result.stderr, result.stdout) == (0, "", out)


def test_two_hundred_waiting_threads_make_progress_together(kernel: Kernel) -> None:
    replies: list[Reply] = []

    @kernel.agent(reply=True, inline=True)
    def keep(task: Task, reply: Reply) -> None:
        replies.append(reply)

    waiting = threading.Semaphore(0)
    answers: list[object] = []

    def work(number: int) -> None:
        ticket = kernel.submit("keep", number)
        waiting.release()
        answers.append(ticket.wait())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(200)]
    for thread in threads:
        thread.start()
    for _ in threads:
        waiting.acquire()
    # All of them wait, and this thread runs all the same.
    for number, reply in enumerate(replies):
        reply.send(number)
    for thread in threads:
        thread.join(60)
    assert sorted(answers, key=str) == sorted(range(200), key=str)


WAITS = {
    "call": "kernel.call('keep')",
    "ticket": "kernel.submit('keep').wait()",
    "parts": "list(kernel.submit('keep'))",
    "invoke": "kernel.invoke('agent.call', skill='keep')",
    "event": "next(kernel.subscribe('nothing.>'))",
    "stop": "kernel.submit('keep').detach(); kernel.stop(100)",
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_ctrl_c_interrupts_a_wait(wait: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import signal, sutazai
            signal.signal(signal.SIGINT, signal.default_int_handler)
            kernel = sutazai.Kernel().start()
            replies = []
            @kernel.agent(reply=True, inline=True)
            def keep(task, reply):
                replies.append(reply)
            try:
                print("waiting", flush=True)
                {wait}
            except KeyboardInterrupt:
                print("interrupted")
            del replies[:]
            kernel.stop(0)
            """
        )
    )
    with running(script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        # It may not have come to the wait yet; the answer is the same.
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, err, out) == (0, "", "interrupted\n")


# They sleep in short naps: a signal that comes between the interpreter's last look and the system's call
# is seen when that returns.
BLOCKS = {
    "with": """
        with kernel:
            begin()
            while True:
                time.sleep(0.1)
        """,
    "finally": """
        kernel.start()
        try:
            begin()
            while True:
                time.sleep(0.1)
        finally:
            kernel.stop()
        """,
    "async with": """
        async def main():
            async with kernel:
                begin()
                while True:
                    await asyncio.sleep(0.1)
        asyncio.run(main())
        """,
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())
def test_a_second_ctrl_c_ends_the_drain(block: str, tmp_path: Path) -> None:
    """The first says what is waited for: calls that nobody answers, for a day if need be."""
    manifest = tmp_path / "sutazai.toml"
    manifest.write_text('data_dir = ":memory:"\n[limits]\ndrain = "24h"\ntimeout = "24h"\n')
    program = f"""
import asyncio, signal, sutazai, time
signal.signal(signal.SIGINT, signal.default_int_handler)
kernel = sutazai.Kernel(manifest={str(manifest)!r})
kept, cancelled = [], []
@kernel.agent(reply=True, skills=["keep"])
def miser(task, reply):
    kept.append(reply)
@kernel.component("part")
def part():
    yield
    print("stopped", [reply.cancelled for reply in kept], kernel.phase, flush=True)
def begin():
    for _ in range(2):
        kernel.submit("keep").detach()
    while len(kept) < 2:
        pass
    print("begun", flush=True)
{textwrap.dedent(block)}
"""
    script = tmp_path / "program.py"
    script.write_text(program)
    with running(script) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        # It waits, and says so before: the second Ctrl-C cannot come too early.
        assert process.stderr.readline() == (
            "interrupted: waiting up to 86400 s for 2 calls under way (miser); "
            "Ctrl-C ends it now\n"
        )
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == -signal.SIGINT, err
    assert out == "stopped [True, True] draining\n", "what was begun has come to its end"
    assert err.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_gets_an_error_and_not_a_hang(run_python: Run) -> None:
    result = run_python(
        """
        import asyncio, gc, os, sys, threading, sutazai

        kernel = sutazai.Kernel().start()
        kernel.add_echo_agent()
        replies = []
        @kernel.agent(reply=True)
        def keep(task, reply):
            replies.append(reply)
        @kernel.agent
        async def nap(seconds):
            await asyncio.sleep(seconds)
        kernel.call("nap", 0)
        ticket = kernel.submit("keep")
        while not replies:
            pass
        pulled = kernel.subscribe("a.>")
        called = kernel.subscribe("b.>", lambda event: None)
        child = os.fork()
        if child == 0:
            for use in (
                lambda: kernel.call("echo"),
                lambda: kernel.submit("keep"),
                lambda: kernel.invoke("kernel.status"),
                lambda: kernel.status(),
                lambda: kernel.publish("a.b"),
                lambda: kernel.subscribe("a"),
                lambda: kernel.agent(name="late")(lambda x: x),
                lambda: kernel.stop(),
                lambda: ticket.wait(),
                lambda: ticket.cancel(),
                lambda: ticket.on_done(print),
                lambda: replies[0].send(1),
                lambda: replies[0].progress(1),
                lambda: pulled.next(),
                lambda: called.unsubscribe(),
            ):
                try:
                    use()
                except sutazai.Forked:
                    continue
                print("no error", flush=True)
                os._exit(1)
            print(kernel, ticket, replies[0], flush=True)
            # What the parent's handles hold is left alone.
            del kernel, ticket, pulled, called, use
            replies.clear()
            gc.collect()
            # A kernel of the child's own is a kernel like any other.
            with sutazai.Kernel() as own:
                own.add_echo_agent()
                @own.agent
                async def wait(x):
                    await asyncio.sleep(0)
                    return x
                print(own.call("echo", "child"), own.call("wait", 2), flush=True)
            sys.exit(0)
        _, status = os.waitpid(child, 0)
        print("child", os.waitstatus_to_exitcode(status))
        replies[0].send("parent")
        print(ticket.wait(), kernel.call("echo", 1))
        replies.clear()
        kernel.stop(0)
        """
    )
    assert_clean(
        result,
        "<sutazai.Kernel of another process> <sutazai.Ticket 2 of another process> "
        "<sutazai.Reply of another process>\nchild 2\nchild 0\nparent 1\n",
    )


AGENTS = {
    "sleeping": "def agent(x):\n    import time; time.sleep(x)",
    "busy": "def agent(x):\n    while True: x += 1",
    "busy in and out": "def agent(x):\n    import time\n    while True: time.sleep(0)",
    "coroutine": "async def agent(x):\n    import asyncio; await asyncio.sleep(x)",
    "stubborn coroutine": (
        "async def agent(x):\n    import asyncio\n    while True:\n        try:"
        " await asyncio.sleep(x)\n        except asyncio.CancelledError: pass"
    ),
    "nested": "def agent(x):\n    return kernel.call('hang')",
}


@pytest.mark.parametrize("stop", [False, True], ids=["running", "stopped"])
@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS.keys())
def test_exit_with_calls_in_flight_is_clean(run_python: Run, agent: str, stop: bool) -> None:
    result = run_python(
        f"""
import sutazai, threading
kernel = sutazai.Kernel().start()
kept = []
@kernel.agent(reply=True, skills=["hang"])
def hang(task, reply):
    kept.append(reply)
{agent}
kernel.agent(agent)
tickets = [kernel.submit("agent", 3) for _ in range(4)]
tickets[0].on_done(lambda ticket: None)
def wait():
    try:
        tickets[1].wait()
    except sutazai.SutazaiError:
        pass  # cancelled; or the agent came to its own call only when the kernel stopped
threading.Thread(target=wait, daemon=True).start()
while kernel.status()["calls"] < 4:
    pass
if {stop}:
    kernel.stop(0)
print("exit")
"""
    )
    assert_clean(result, "exit\n")


def test_exit_while_daemon_threads_call_is_clean(run_python: Run) -> None:
    result = run_python(
        """
        import sutazai, threading
        kernel = sutazai.Kernel().start()
        kernel.add_echo_agent()
        @kernel.agent
        def pool(x): return x
        @kernel.agent
        async def loop(x): return x
        begun = threading.Semaphore(0)
        def work(skill):
            begun.release()
            try:
                while True:
                    kernel.call(skill, 1)
                    kernel.publish("a.b", 1)
            except sutazai.SutazaiError:
                pass
        kernel.subscribe("a.>", lambda event: event.payload)
        for skill in ("echo", "pool", "loop") * 3:
            threading.Thread(target=work, args=(skill,), daemon=True).start()
            begun.acquire()
        print("exit")
        """
    )
    assert_clean(result, "exit\n")


def test_exit_inside_asyncio_is_clean(run_python: Run) -> None:
    result = run_python(
        """
        import asyncio, sutazai, sys
        async def main():
            kernel = sutazai.Kernel().start()
            @kernel.agent
            async def nap(x): await asyncio.sleep(x)
            tasks = [asyncio.create_task(kernel.acall("nap", 30)) for _ in range(100)]
            await asyncio.sleep(0.05)
            print("exit")
            sys.exit(0)
        asyncio.run(main())
        """
    )
    assert_clean(result, "exit\n")


def test_a_second_process_is_refused_the_data_directory(run_python: Run, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Kernel(state):
        result = run_python(
            f"""
            import sutazai
            try:
                sutazai.Kernel({str(state)!r})
            except sutazai.StoreError as error:
                print(error.name, error.context["pid"])
            """
        )
    assert_clean(result, f"store.locked {os.getpid()}\n")
