"""Agents that are found: by sources written in Python, among entry points, and by what is built in."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sutazai
from sutazai import AgentSpec, FoundAgent

ASKED: sutazai.DiscoveryPolicy = {"interval_ms": 3_600_000, "settle_ms": 20}


class Shelf:
    """A source whose items the test sets."""

    def __init__(self, *items: FoundAgent) -> None:
        self.items: Iterable[FoundAgent] = items

    def find(self) -> Iterable[FoundAgent]:
        return self.items


def here(name: str, function: Any, fingerprint: str = "1") -> FoundAgent:
    return FoundAgent(name, make=lambda: function, fingerprint=fingerprint, origin="the shelf")


def double(number: int) -> int:
    return 2 * number


def test_a_source_of_ones_own_gives_agents_that_come_change_and_go() -> None:
    async def treble(number: int) -> int:
        await asyncio.sleep(0)
        return 3 * number

    shelf = Shelf(here("double", double))
    with sutazai.Kernel() as kernel:
        kernel.discovery.add("shelf", shelf, ASKED)
        kernel.discovery.look()
        assert kernel.call("double", 4) == 8
        spec = AgentSpec(treble, name="double", skills=["double"], version="2")
        shelf.items = [here("double", spec, "2")]
        # The first look, which it takes by itself, may be the one that sees this.
        kernel.discovery.look()
        assert kernel.call("double", 4) == 12
        away = FoundAgent("double", state="away", problem=OSError("the line is down"))
        shelf.items = [away]
        assert kernel.discovery.look("shelf")[0]["unreachable"] == ["double"]
        with pytest.raises(sutazai.AgentError, match="cannot be reached"):
            kernel.call("double", 4)
        shelf.items = [here("double", spec, "2")]
        assert kernel.discovery.look()[0]["back"] == ["double"]
        shelf.items = []
        assert kernel.discovery.look()[0]["removed"] == ["double"]
        with pytest.raises(sutazai.NoSkill):
            kernel.call("double", 4)


def test_what_goes_wrong_is_told() -> None:
    def fails() -> Any:
        raise ImportError("no module named acme")

    shelf = Shelf(
        FoundAgent("fails", make=fails, fingerprint="1"),
        FoundAgent("odd", make=lambda: 7, fingerprint="1"),  # type: ignore[arg-type, return-value]
        FoundAgent("wrong", state="refused", problem=sutazai.Invalid("it is wrong")),
        here("double", double),
    )
    with sutazai.Kernel() as kernel:
        kernel.discovery.add("shelf", shelf, ASKED)
        [look] = kernel.discovery.look()
        failed = {one["item"]: one["error"]["message"] for one in look["failed"]}
        assert failed.keys() == {"fails", "odd", "wrong"}
        assert "no module named acme" in failed["fails"]
        assert "not int" in failed["odd"]
        assert kernel.call("double", 1) == 2
        [source] = kernel.discovery.sources()
        states = {one["item"]: one["state"] for one in source["items"]}
        assert states == {
            "double": "registered",
            "fails": "failed",
            "odd": "failed",
            "wrong": "failed",
        }

        def broken() -> Iterator[FoundAgent]:
            yield here("double", double)
            raise OSError("the shelf has fallen")

        shelf.find = broken  # type: ignore[method-assign]
        kernel.discovery.remove("shelf", keep_agents=True)
        kernel.discovery.add("broken", shelf, ASKED)
        [look] = kernel.discovery.look()
        assert "the shelf has fallen" in look["error"]["message"]
        assert kernel.call("double", 1) == 2, "what was kept stays"


def test_a_look_from_within_a_look_is_refused() -> None:
    class Within:
        def __init__(self, kernel: sutazai.Kernel) -> None:
            self.kernel = weakref.ref(kernel)

        def find(self) -> Iterable[FoundAgent]:
            kernel = self.kernel()
            assert kernel is not None
            assert [one["source"] for one in kernel.discovery.sources()] == ["within"]
            kernel.discovery.look()
            return []

    with sutazai.Kernel() as kernel:
        kernel.discovery.add("within", Within(kernel), ASKED)
        [look] = kernel.discovery.look()
        assert look["error"]["name"] == "base.would_deadlock"


def test_arguments_are_checked() -> None:
    with sutazai.Kernel() as kernel:
        with pytest.raises(sutazai.Invalid):
            kernel.discovery.add("shelf", Shelf(), {"jitter": 3})
        with pytest.raises(sutazai.Invalid):
            kernel.discovery.add("shelf", Shelf(), {"intervall": 3})  # type: ignore[arg-type]
        kernel.discovery.add("shelf", Shelf())
        with pytest.raises(sutazai.AlreadyExists):
            kernel.discovery.add("shelf", Shelf())
        with pytest.raises(sutazai.NotFound, match="shelf"):
            kernel.discovery.remove("shelv")


def test_a_source_is_let_go_of_with_its_kernel() -> None:
    shelf = Shelf(here("double", double))
    gone = weakref.ref(shelf)
    with sutazai.Kernel() as kernel:
        kernel.discovery.add("shelf", shelf, ASKED)
        kernel.discovery.look()
    del shelf, kernel
    gc.collect()
    assert gone() is None


# ---- entry points ----


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def install(site: Path, package: str, version: str, points: str, code: str | None) -> None:
    """What an installer leaves behind: the module, and its metadata."""
    for old in site.glob(f"{package}-*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    info = site / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[sutazai.agents]\n{points}")
    if code is not None:
        (site / f"{package}_code.py").write_text(code)


CODE = """
import sutazai

def shout(text):
    return text.upper()

def whisper(text):
    return text.lower()

WHISPER = sutazai.AgentSpec(whisper, name="soft", skills=["whisper"], version="9")

def factory():
    return sutazai.AgentSpec(shout, skills=["factory"])

class Counter:
    def __init__(self):
        self.count = 0
    def __call__(self, step):
        self.count += step
        return self.count

BROKEN = 7
"""


def test_entry_points_are_agents(site: Path) -> None:
    points = (
        "shout = acme_code:shout\nwhisper = acme_code:WHISPER\nmade = acme_code:factory\n"
        "counter = acme_code:Counter\nbroken = acme_code:BROKEN\nmissing = acme_nowhere:x\n"
    )
    install(site, "acme", "1.5", points, CODE)
    with sutazai.Kernel() as kernel:
        kernel.discovery.add_entry_points(policy=ASKED)
        [look] = kernel.discovery.look()
        cards = {one["card"]["name"]: one["card"] for one in kernel.agents()}
        assert cards.keys() == {"shout", "soft", "made", "counter"}
        assert cards["shout"]["version"] == "1.5" and cards["soft"]["version"] == "9"
        assert kernel.call("shout", "hello") == "HELLO"
        assert kernel.call("whisper", "HELLO") == "hello"
        assert kernel.call("factory", "hello") == "HELLO"
        assert [kernel.call("counter", 2), kernel.call("counter", 3)] == [2, 5]
        failed = {one["item"]: one["error"]["message"] for one in look["failed"]}
        assert failed.keys() == {"acme:broken", "acme:missing"}
        assert "acme_nowhere" in failed["acme:missing"]


def test_packages_that_are_installed_upgraded_and_removed_are_noticed(site: Path) -> None:
    with sutazai.Kernel() as kernel:
        kernel.discovery.add_entry_points(policy=ASKED)
        assert kernel.discovery.look()[0]["added"] == []
        install(site, "acme", "1", "shout = acme_code:shout\n", CODE)
        [look] = kernel.discovery.look()
        assert look["added"] == ["shout"], look
        install(site, "acme", "2", "shout = acme_code:shout\n", CODE)
        [look] = kernel.discovery.look()
        assert "start the program again" in look["failed"][0]["error"]["message"]
        assert kernel.call("shout", "still") == "STILL"
        install(site, "acme", "2", "", None)
        assert kernel.discovery.look()[0]["removed"] == ["shout"]


# ---- what is built in ----


def test_a_directory_and_addresses_and_programs(tmp_path: Path) -> None:
    body = (
        "import json, sys\n"
        "def say(**m): print(json.dumps({'v': 1, **m}), flush=True)\n"
        "say(type='ready')\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if m['type'] == 'describe': say(type='card', card={'name': 'bin', 'skills': ['bin']})\n"
        "    elif m['type'] == 'task': say(type='result', id=m['id'], output='done')\n"
        "    elif m['type'] == 'stop': break\n"
    )
    declared = tmp_path / "agents.d"
    declared.mkdir()
    card = {"name": "file", "skills": ["file"]}
    process = {"command": [sys.executable, "-c", body]}
    (declared / "one.json").write_text(json.dumps({"card": card, "process": process}))
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\n{body}")
    program.chmod(0o755)
    clients = tmp_path / "mcp.json"
    clients.write_text('{"mcpServers": {"bad": {}}}')
    with sutazai.Kernel() as kernel:
        kernel.discovery.add_directory("d", declared, ASKED)
        kernel.discovery.add_executables("e", files=[program], timeout=20, policy=ASKED)
        kernel.discovery.add_mcp_config("m", clients, ASKED)
        kernel.discovery.add_a2a("a", ["http://127.0.0.1:9"], policy=ASKED)
        looks = {look["source"]: look for look in kernel.discovery.look()}
        assert {one["card"]["name"] for one in kernel.agents()} == {"bin", "file"}
        assert kernel.call("bin") == kernel.call("file") == "done"
        assert [one["item"] for one in looks["m"]["failed"]] == ["bad"]
        assert "nothing accepts" in looks["a"]["failed"][0]["error"]["message"]


def test_a_look_can_be_awaited() -> None:
    async def main() -> None:
        async with sutazai.Kernel() as kernel:
            kernel.discovery.add("shelf", Shelf(here("double", double)), ASKED)
            await kernel.discovery.alook()
            assert await kernel.acall("double", 4) == 8

    asyncio.run(main())
