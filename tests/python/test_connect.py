"""Agents outside of this process: processes, MCP servers, A2A peers and models."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sutazai
from sutazai import Kernel

MCP = Path(__file__).parents[2] / "sutazai-core" / "tests" / "mcp" / "server.py"
PROGRAM = """
import json, sys
def say(**message): print(json.dumps({"v": 1, **message}), flush=True)
say(type="ready")
for line in sys.stdin:
    heard = json.loads(line)
    if heard["type"] == "describe": say(type="card", card={"name": "told", "skills": ["shout"]})
    elif heard["type"] == "task": say(type="result", id=heard["id"], output=heard["input"].upper())
    elif heard["type"] == "stop": break
"""
SHOUTER: sutazai.ProcessSpec = {"command": [sys.executable, "-c", PROGRAM]}
WRITER: sutazai.OpenAiSpec = {
    "name": "writer",
    "base_url": "http://127.0.0.1:9/v1",
    "model": "m",
    "skills": ["write"],
}
NO_MAPPINGS: list[Any] = [None, 7, "text", ["list"]]


def mcp(name: str = "tools", mode: str = "both") -> sutazai.McpSpec:
    return {
        "name": name,
        "transport": {"stdio": {"command": [sys.executable, str(MCP), mode]}},
    }


def mcp_servers(**more: Any) -> str:
    command = {"command": sys.executable, "args": [str(MCP), "both"], "env": {"MCP_TEST": "secret"}}
    return json.dumps({"mcpServers": {"my tools": command, **more}})


class Peer(BaseHTTPRequestHandler):
    """A model and an A2A agent at once. Keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str | None, Any]]

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self.asked.append((self.headers["authorization"], None))
        url = f"http://{self.headers['host']}/a2a"
        self.answer({"name": "peer", "url": url, "skills": [{"id": "greet"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.headers["authorization"], asked))
        if "messages" in asked:
            text = "hello " + asked["messages"][-1]["content"]
            choice = {"message": {"content": text}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1_000_000, "completion_tokens": 2}
            self.answer({"choices": [choice], "usage": usage})
        else:
            text = "hello " + asked["params"]["message"]["parts"][0]["text"]
            parts = [{"kind": "text", "text": text}]
            result = {"kind": "message", "role": "agent", "messageId": "m", "parts": parts}
            self.answer({"jsonrpc": "2.0", "id": asked["id"], "result": result})


class Peers:
    def __init__(self, url: str, asked: list[tuple[str | None, Any]]) -> None:
        self.url = url
        self.asked = asked


@pytest.fixture
def peer() -> Iterator[Peers]:
    asked: list[tuple[str | None, Any]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Its", (Peer,), {"asked": asked}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Peers(f"http://127.0.0.1:{server.server_address[1]}", asked)
    server.shutdown()
    server.server_close()
    thread.join()


# ---- processes ----


def test_a_process_becomes_an_agent(kernel: Kernel) -> None:
    card: sutazai.AgentCard = {"name": "shouter", "skills": ["shout"], "version": "1"}
    assert kernel.connectors.add_process(SHOUTER, card=card) == "shouter"
    assert kernel.call("shout", "hello") == "HELLO"
    view = kernel.agent_view("shouter")
    assert view["card"] == {**card, "run": view["card"]["run"]}
    assert (view["state"], view["stats"]["calls"]) == ("ready", 1)
    assert view == kernel.agents()[0]


def test_without_a_card_a_process_is_asked_who_it_is(kernel: Kernel) -> None:
    assert kernel.connectors.add_process(SHOUTER) == "told"
    assert kernel.call("shout", "hello") == "HELLO"


def test_another_version_takes_over_where_that_is_said(kernel: Kernel) -> None:
    add = kernel.connectors.add_process
    add(SHOUTER, card={"name": "a", "skills": ["shout"], "version": "1"})
    second: sutazai.AgentCard = {"name": "a", "skills": ["shout"], "version": "2"}
    with pytest.raises(sutazai.AlreadyExists):
        add(SHOUTER, card=second)
    assert add(SHOUTER, card=second, replace=True) == "a"
    view = kernel.agent_view("a")
    assert (view["card"]["version"], view["standby"]) == ("2", ["1"])


def test_a_process_that_does_not_start_says_why(kernel: Kernel) -> None:
    card: sutazai.AgentCard = {"name": "a", "skills": ["s"]}
    with pytest.raises(sutazai.AgentError) as raised:
        kernel.connectors.add_process({"command": ["/nowhere/to/be/found"]}, card=card)
    assert raised.value.name == "agent.start"
    broken: sutazai.ProcessSpec = {"command": ["sh", "-c", "echo broken >&2; exit 3"]}
    with pytest.raises(sutazai.AgentError) as raised:
        kernel.connectors.add_process(broken, card=card)
    assert raised.value.context["stderr"] == "broken"
    with pytest.raises(sutazai.Invalid, match="needs a program"):
        kernel.connectors.add_process({"command": []}, card=card)
    misspelt: Any = {"comand": ["sh"]}
    with pytest.raises(sutazai.RequestInvalid, match="comand"):
        kernel.connectors.add_process(misspelt)
    assert kernel.agents() == []


def test_a_kernel_that_does_not_run_takes_none() -> None:
    kernel = Kernel()
    with pytest.raises(sutazai.NotRunning):
        kernel.connectors.add_process(SHOUTER, card={"name": "a", "skills": ["shout"]})
    with pytest.raises(sutazai.NotRunning):
        kernel.connectors.add_openai(WRITER)
    assert kernel.agents() == []


# ---- MCP servers ----


def test_the_tools_of_an_mcp_server_are_skills(kernel: Kernel) -> None:
    added = kernel.connectors.add_mcp(mcp())
    assert added["agent"] == "tools"
    assert {"echo", "structured"} <= set(added["skills"])
    assert kernel.call("structured", {"a": 1}) == {"got": {"a": 1}}
    about = kernel.agent_view("tools")["card"]["about"]
    assert about["echo"]["description"] == "echo!"


def test_with_a_card_an_mcp_server_is_not_asked(kernel: Kernel) -> None:
    card: sutazai.AgentCard = {"name": "tools", "skills": ["structured"]}
    assert kernel.connectors.add_mcp(mcp(), card=card) == {
        "agent": "tools",
        "skills": ["structured"],
    }
    assert kernel.call("structured", {"a": 1}) == {"got": {"a": 1}}


def test_an_mcp_server_that_cannot_be_used_says_why(kernel: Kernel) -> None:
    add = kernel.connectors.add_mcp
    with pytest.raises(sutazai.AgentError) as raised:
        add({"name": "p", "transport": {"stdio": {"command": ["sh", "-c", "exit 3"]}}})
    assert (raised.value.name, raised.value.context["exit_status"]) == ("agent.start", "3")
    with pytest.raises(sutazai.Invalid):
        add({"name": "p", "transport": {"http": {"url": "mcp"}}})
    with pytest.raises(sutazai.AgentError, match="could not be reached") as raised:
        add({"name": "p", "transport": {"http": {"url": "http://127.0.0.1:9/mcp"}}})
    assert raised.value.class_ == "transient"
    add(mcp("taken"))
    with pytest.raises(sutazai.AlreadyExists):
        add(mcp("taken"))


def test_a_server_of_a_configuration(kernel: Kernel, tmp_path: Path) -> None:
    text = mcp_servers(odd={"command": "${SUTAZAI_NO_SUCH}"})
    file = tmp_path / "mcp.json"
    file.write_text(text)
    connectors = kernel.connectors
    config = connectors.mcp_config(file)
    assert config == connectors.mcp_config(str(file)) == connectors.mcp_config(text=text)
    [server] = config["servers"]
    assert (server["name"], server["disabled"]) == ("my_tools", False)
    assert server["env"] == ["MCP_TEST"]
    assert "secret" not in json.dumps(config)
    [refused] = config["refused"]
    assert refused["context"]["server"] == "odd"
    assert kernel.agents() == [], "it starts nothing"

    assert connectors.add_mcp_from("my tools", file)["agent"] == "my_tools"
    assert kernel.call("environment", {})[0] == "secret"
    with pytest.raises(sutazai.AlreadyExists):
        connectors.add_mcp_from("my tools", text=text)
    with pytest.raises(sutazai.NotFound):
        connectors.add_mcp_from("none", text=text)
    with pytest.raises(sutazai.Invalid, match="SUTAZAI_NO_SUCH is not set"):
        connectors.add_mcp_from("odd", text=text)


def test_a_configuration_that_cannot_be_read_says_where(kernel: Kernel, tmp_path: Path) -> None:
    with pytest.raises(sutazai.NotFound):
        kernel.connectors.mcp_config(tmp_path / "nowhere.json")
    with pytest.raises(sutazai.Invalid) as raised:
        kernel.connectors.mcp_config(text='{"mcpServers": {"a": {"command": 7}}}')
    assert raised.value.context["field"] == "mcpServers.a.command"
    both: list[Any] = [{}, {"path": "a", "text": "b"}]
    for give in both:
        with pytest.raises(TypeError, match="a path or a text"):
            kernel.connectors.mcp_config(**give)
        with pytest.raises(TypeError, match="a path or a text"):
            kernel.connectors.add_mcp_from("a", **give)


# ---- over HTTP ----


def test_a_model_becomes_an_agent(
    kernel: Kernel, peer: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUTAZAI_TEST_KEY", "sk-1")
    spec: sutazai.OpenAiSpec = {
        **WRITER,
        "base_url": peer.url,
        "api_key": {"env": "SUTAZAI_TEST_KEY"},
        "system": "Be short.",
        "stream": False,
        "input_price": 0.5,
    }
    assert kernel.connectors.add_openai(spec) == "writer"
    assert peer.asked == [], "it connects with its first task"
    assert kernel.call("write", "you") == "hello you"
    [(key, asked)] = peer.asked
    assert key == "Bearer sk-1"
    assert asked["messages"][0] == {"role": "system", "content": "Be short."}
    usage = kernel.ledger("writer")["stats"]["usage"]
    assert usage == {"input_tokens": 1_000_000, "output_tokens": 2, "cost": 0.5}


def test_a_model_that_cannot_be_is_refused(kernel: Kernel) -> None:
    add = kernel.connectors.add_openai
    with pytest.raises(sutazai.Invalid):
        add({**WRITER, "base_url": "nowhere"})
    with pytest.raises(sutazai.Invalid, match="temperature"):
        add({**WRITER, "temperature": 3})
    add(WRITER)
    with pytest.raises(sutazai.AlreadyExists):
        add(WRITER)
    with pytest.raises(sutazai.SutazaiError, match="nothing accepts connections") as raised:
        kernel.call("write", "you")
    assert raised.value.class_ == "transient"


def test_a_peer_becomes_an_agent(kernel: Kernel, peer: Peers) -> None:
    connectors = kernel.connectors
    assert connectors.add_a2a(peer.url) == "peer"
    assert kernel.call("greet", "you") == "hello you"
    with pytest.raises(sutazai.AlreadyExists):
        connectors.add_a2a({"url": peer.url, "name": "peer"})
    del peer.asked[:]
    assert connectors.add_a2a({"url": peer.url, "name": "again", "bearer": "t"}) == "again"
    assert kernel.call("greet", "you", agent="again") == "hello you"
    assert {key for key, _ in peer.asked} == {"Bearer t"}


def test_a_peer_whose_card_is_known_is_not_asked(kernel: Kernel) -> None:
    interface = {"url": "http://127.0.0.1:9/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    card = {"name": "Travel agent", "skills": [{"id": "book"}], "supportedInterfaces": [interface]}
    spec: sutazai.A2aSpec = {"url": "http://127.0.0.1:9", "card": card}
    assert kernel.connectors.add_a2a(spec) == "Travel-agent"
    interface["protocolBinding"] = "GRPC"
    with pytest.raises(sutazai.Unsupported):
        kernel.connectors.add_a2a({**spec, "name": "other"})


def test_a_peer_that_is_not_there(kernel: Kernel) -> None:
    with pytest.raises(sutazai.SutazaiError, match="nothing accepts connections") as raised:
        kernel.connectors.add_a2a("http://127.0.0.1:9")
    assert raised.value.class_ == "transient"
    assert kernel.agents() == []


# ---- all of them ----


def test_all_of_it_can_be_awaited(peer: Peers) -> None:
    async def main() -> None:
        async with Kernel() as kernel:
            it = kernel.connectors
            assert await it.aadd_process(SHOUTER) == "told"
            assert (await it.aadd_mcp(mcp()))["agent"] == "tools"
            assert (await it.aadd_mcp_from("my tools", text=mcp_servers()))["agent"] == "my_tools"
            assert (await it.amcp_config(text=mcp_servers()))["refused"] == []
            assert await it.aadd_a2a(peer.url) == "peer"
            assert await it.aadd_openai({**WRITER, "base_url": peer.url, "stream": False}) == "writer"
            assert await kernel.acall("shout", "hello") == "HELLO"
            assert await kernel.acall("greet", "you") == "hello you"
            assert await kernel.acall("write", "you") == "hello you"
            assert kernel.agent_view("tools")["state"] == "ready"
            with pytest.raises(sutazai.AlreadyExists):
                await it.aadd_process(SHOUTER)
            with pytest.raises(sutazai.AlreadyExists):
                await it.aadd_mcp(mcp())
            with pytest.raises(sutazai.NotFound):
                await it.aadd_mcp_from("none", text=mcp_servers())
            with pytest.raises(sutazai.Invalid):
                await it.amcp_config(text="{")
            with pytest.raises(sutazai.AlreadyExists):
                await it.aadd_a2a(peer.url)
            with pytest.raises(sutazai.AlreadyExists):
                await it.aadd_openai(WRITER)
            with pytest.raises(sutazai.WouldDeadlock):
                it.add_mcp(mcp("other"))

    asyncio.run(main())


@pytest.mark.parametrize("given", NO_MAPPINGS)
def test_what_is_no_mapping_is_refused(kernel: Kernel, given: Any) -> None:
    it = kernel.connectors
    with pytest.raises(TypeError, match="process must be a mapping"):
        it.add_process(given)
    with pytest.raises(TypeError, match="spec must be a mapping"):
        it.add_mcp(given)
    with pytest.raises(TypeError, match="openai must be a mapping"):
        it.add_openai(given)
    if given is not None:
        with pytest.raises(TypeError, match="card must be a mapping"):
            it.add_process(SHOUTER, card=given)
    if not isinstance(given, str):
        with pytest.raises(TypeError, match="a2a must be a mapping"):
            it.add_a2a(given)


def test_an_agent_that_is_not_there_has_no_view(kernel: Kernel) -> None:
    with pytest.raises(sutazai.NotFound, match="no agent of this name"):
        kernel.agent_view("bob")
