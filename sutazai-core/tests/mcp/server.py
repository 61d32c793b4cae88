"""An MCP server that behaves as it is told: the first argument says how it lives, the tool how it answers."""

import json
import os
import subprocess
import sys
import time

mode = sys.argv[1] if len(sys.argv) > 1 else "both"
seen = []
META = "io.modelcontextprotocol/"
TOOLS = """echo structured mixed nothing failing refused broken_arguments hang hang_loudly block progress listen
twice unknown_id string_id huge huge_late wrong_version half orphan die notes_first asks input_required
seen pid garbage grow batch environment""".split()


def write(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def say(**message):
    write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")


def text(value):
    return {"content": [{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}]}


def tell(method, **params):
    say(method="notifications/" + method, params=params)


def hear():
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    message = json.loads(line)
    seen.append(message)
    return message


def tools():
    return [{"name": name, "description": name + "!", "inputSchema": {"type": "object"}} for name in TOOLS]


def listed(message):
    if mode == "empty":
        return {"tools": []}
    if mode == "pages":
        at = int(message["params"].get("cursor", "0"))
        page = {"tools": tools()[at : at + 10]}
        if at + 10 < len(TOOLS):
            page["nextCursor"] = str(at + 10)
        return page
    if mode == "odd_names":
        return {"tools": [{"name": "with space"}, {"name": "echo"}]}
    return {"tools": tools()}


def call(message):
    identifier = message["id"]
    name = message["params"]["name"]
    arguments = message["params"]["arguments"]
    token = message["params"]["_meta"]["progressToken"]
    answer = lambda result: say(id=identifier, result=result)
    if name == "echo":
        answer(text(arguments))
    elif name == "with space":
        answer(text("spaced"))
    elif name == "structured":
        answer({**text("for people"), "structuredContent": {"got": arguments}})
    elif name == "mixed":
        answer({"content": [{"type": "text", "text": "a"}, {"type": "image", "data": "AA==", "mimeType": "image/png"}]})
    elif name == "nothing":
        answer({"content": []})
    elif name == "failing":
        answer({**text("429 Too Many Requests"), "isError": True})
    elif name == "refused":
        say(id=identifier, error={"code": -32603, "message": "the disk is full", "data": {"free": 0}})
    elif name == "broken_arguments":
        say(id=identifier, error={"code": -32602, "message": "no"})
    elif name == "hang":
        pass
    elif name == "hang_loudly":
        for step in range(5):
            tell("progress", progressToken=token, progress=step, message="still at it")
    elif name == "block":
        time.sleep(1000)
    elif name == "progress":
        for step in range(3):
            tell("progress", progressToken=token, progress=step, total=3, message=f"step {step}")
        answer(text("done"))
    elif name == "listen":
        tell("progress", progressToken=token, progress=0)
        while hear().get("method") != "notifications/cancelled":
            pass
        say(id=identifier, error={"code": 0, "message": "Request cancelled"})
        for step in range(20):
            tell("progress", progressToken=token, progress=1 + step, message="cannot stop")
    elif name == "twice":
        answer(text("first"))
        answer(text("second"))
    elif name == "unknown_id":
        say(id=987654, result=text("whose?"))
        say(id="nobody", result=text("whose?"))
        answer(text("mine"))
    elif name == "string_id":
        say(id=str(identifier), result=text("named"))
    elif name == "huge":
        write('{"jsonrpc":"2.0","id":%d,"result":{"content":[{"type":"text","text":"' % identifier)
        write("x" * arguments["bytes"] + '"}]}}\n')
    elif name == "huge_late":
        write('{"result":{"content":[{"type":"text","text":"' + "x" * arguments["bytes"])
        write('"}]},"jsonrpc":"2.0","id":%d}\n' % identifier)
    elif name == "wrong_version":
        write(json.dumps({"jsonrpc": "1.0", "id": identifier, "result": text("old")}) + "\n")
    elif name == "half":
        write('{"jsonrpc":"2.0","id":%d,"result":{"con' % identifier)
        print("out of ink", file=sys.stderr, flush=True)
        os._exit(7)
    elif name in ("orphan", "die"):
        child = ["-c", "import time; time.sleep(1000)"]
        if name == "orphan":
            pid = subprocess.Popen([sys.executable, *child]).pid
            tell("progress", progressToken=token, progress=pid)
        print("goodbye", file=sys.stderr, flush=True)
        os._exit(3)
    elif name == "notes_first":
        tell("message", level="warning", data="watch out")
        tell("something/of/the/future", x=1)
        tell("tools/list_changed")
        tell("progress", progressToken=token, progress=1)
        answer(text("after the notes"))
    elif name == "asks":
        for number, method in enumerate(["ping", "sampling/createMessage", "elicitation/create", "roots/list"]):
            say(id=f"q{number}", method=method, params={})
        answers = []
        while len(answers) < 4:
            heard = hear()
            if "method" not in heard:
                answers.append(heard.get("error", {}).get("code", heard.get("result")))
        answer({"content": [], "structuredContent": answers})
    elif name == "input_required":
        requests = {"who": {"method": "elicitation/create", "params": {}}}
        answer({"resultType": "input_required", "inputRequests": requests, "requestState": "x"})
    elif name == "seen":
        answer({"content": [], "structuredContent": seen})
    elif name == "pid":
        answer({"content": [], "structuredContent": os.getpid()})
    elif name == "garbage":
        write("Traceback (most recent call last):\n\n  \x00\xff\n{not json}\n[1]\n" + "noise\n" * 100)
        answer(text("and yet"))
    elif name == "grow":
        TOOLS.append("grown")
        tell("tools/list_changed")
        answer(text("grew"))
    elif name == "batch":
        progress = {"jsonrpc": "2.0", "method": "notifications/progress"}
        progress["params"] = {"progressToken": token, "progress": 1}
        write(json.dumps([progress, {"jsonrpc": "2.0", "id": identifier, "result": text("batched")}]) + "\n")
    elif name == "environment":
        answer({"content": [], "structuredContent": [os.environ.get("MCP_TEST"), os.getcwd()]})
    else:
        say(id=identifier, error={"code": -32602, "message": "Unknown tool: " + name})


def modern(message):
    revision = message.get("params", {}).get("_meta", {}).get(META + "protocolVersion")
    if mode == "future":
        data = {"supported": ["2030-01-01"], "requested": revision}
        say(id=message["id"], error={"code": -32022, "message": "Unsupported protocol version", "data": data})
    elif revision != "2026-07-28":
        error = {"code": -32022, "message": "no handshake here", "data": {"supported": ["2026-07-28"]}}
        say(id=message["id"], error=error)
    elif message["method"] == "server/discover":
        info = {META + "serverInfo": {"name": "test", "version": "2"}}
        say(id=message["id"], result={"resultType": "complete", "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}}, "_meta": info, "instructions": "Try it."})
    elif message["method"] == "tools/list":
        say(id=message["id"], result={"resultType": "complete", **listed(message)})
    elif message["method"] == "tools/call":
        call(message)


initialized = False


def legacy(message):
    global initialized
    if message["method"] == "initialize":
        initialized = True
        revision = "2025-06-18" if mode != "ancient" else "1999-12-31"
        say(id=message["id"], result={"protocolVersion": revision, "capabilities": {"tools": {}},
            "serverInfo": {"name": "test", "version": "1"}, "instructions": "Try it."})
    elif not initialized:
        if mode != "silent":
            say(id=message["id"], error={"code": -32601, "message": "Method not found"})
    elif message["method"] == "ping":
        say(id=message["id"], result={})
    elif message["method"] == "tools/list":
        say(id=message["id"], result=listed(message))
    elif message["method"] == "tools/call":
        call(message)


if mode == "crash":
    print("ImportError: no module named 'fastness'", file=sys.stderr, flush=True)
    sys.exit(3)
if mode == "slow":
    time.sleep(1.5)
if mode == "noisy":
    write("Starting up...\n" + "=" * 70 + "\n" + "banner\n" * 20 + "{ \"level\": \"info\" }\n\n")
if mode == "flood":
    while True:
        write("{}\n")
while True:
    request = hear()
    if mode == "never":
        continue
    if mode == "dies_at_discover" and request["method"] == "server/discover":
        print("unknown method server/discover", file=sys.stderr, flush=True)
        sys.exit(1)
    if "id" not in request:
        continue
    if mode in ("modern", "future", "empty", "pages", "odd_names"):
        modern(request)
    elif mode == "both":
        has_meta = META + "protocolVersion" in request.get("params", {}).get("_meta", {})
        modern(request) if has_meta else legacy(request)
    else:
        legacy(request)
