"""A process agent that does whatever a test wants, well or badly. Protocol: see
sutazai_core::agent::connect::process. The skill says what to do; argv[1] how to start."""

import json
import os
import signal
import subprocess
import sys
import time

start = sys.argv[1] if len(sys.argv) > 1 else "ready"
out = sys.stdout.buffer


def raw(data):
    out.write(data)
    out.flush()


def say(**message):
    raw(json.dumps({"v": 1, **message}).encode() + b"\n")


def result(task, output):
    say(type="result", id=task["id"], output=output)


if start == "never-ready":
    sys.stdin.read()
    sys.exit(0)
elif start == "exit":
    print("no licence found", file=sys.stderr)
    sys.exit(7)
elif start == "gate":
    # Slow to start: ready when the file appears.
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.005)
elif start == "deaf":
    say(type="ready")
    while True:
        time.sleep(60)
elif start == "once":
    # Starts well once, and never again.
    if os.path.exists(sys.argv[2]):
        print("second start refused", file=sys.stderr)
        sys.exit(9)
    open(sys.argv[2], "w").close()
elif start == "term-proof":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

say(type="ready")
held = []
cancelled = []

for line in sys.stdin.buffer:
    task = json.loads(line)
    kind = task["type"]
    if kind == "describe" and start == "mute":
        break
    if kind == "describe":
        say(type="card", card={"name": "self", "skills": ["echo", "hold"], "version": "3"})
        continue
    if kind == "stop":
        if start == "term-proof":
            while True:
                time.sleep(60)
        break
    if kind == "cancel":
        cancelled.append(task["id"])
        for one in [t for t in held if t["id"] == task["id"] and t["skill"] == "hold"]:
            held.remove(one)
            say(type="error", id=one["id"], message="cancelled", **{"class": "transient"})
        continue
    skill, given = task["skill"], task["input"]
    if skill == "echo":
        result(task, given)
    elif skill == "whole":
        result(task, {k: task.get(k) for k in ("skill", "timeout_ms", "trace", "span")})
    elif skill == "reverse":
        # Answers in pairs, the later one first.
        held.append(task)
        if len(held) == given:
            for one in reversed(held):
                result(one, one["id"])
            held = []
    elif skill == "progress":
        for n in range(given):
            say(type="progress", id=task["id"], part=n)
        result(task, "done")
    elif skill in ("hold", "ignore"):
        held.append(task)
    elif skill == "cancelled":
        result(task, cancelled)
    elif skill == "fail":
        say(type="error", id=task["id"], **given)
    elif skill == "die":
        for n in range(20):
            print(f"line {n}", file=sys.stderr)
        print("x" * 10_000, file=sys.stderr)
        print("the last words", file=sys.stderr, flush=True)
        os._exit(given)
    elif skill == "killed":
        os.kill(os.getpid(), given)
    elif skill == "answer-and-die":
        result(task, "made it")
        os._exit(0)
    elif skill == "pid":
        result(task, os.getpid())
    elif skill == "env":
        result(task, {k: os.environ.get(k) for k in given} | {"cwd": os.getcwd()})
    elif skill == "garbage":
        raw(given.encode("latin-1") + b"\n")
        result(task, "after garbage")
    elif skill == "garbage-only":
        for _ in range(given):
            raw(b"what is this\n")
    elif skill == "twice":
        result(task, 1)
        result(task, 2)
    elif skill == "unknown":
        say(type="result", id=10**9, output=0)
        result(task, "own")
    elif skill == "big":
        raw(b'{"v":1,"type":"result","id":%d,"output":"' % task["id"])
        for _ in range(given):
            raw(b"x" * (1 << 20))
        raw(b'"}\n')
    elif skill == "flood":
        # Megabytes of log and stderr before the answer.
        for n in range(given):
            say(type="log", level="debug", message="flood %d %s" % (n, "x" * 1000))
            print("stderr %d" % n, file=sys.stderr)
        result(task, "after the flood")
    elif skill == "log":
        say(type="log", level="warn", message="careful")
        print("plain words", file=sys.stderr, flush=True)
        result(task, None)
    elif skill == "grandchild":
        # Holds the pipes open after we are gone; in our group, or in a session of its own.
        child = subprocess.Popen(
            ["sleep", "1000"], start_new_session=given == "session", stderr=sys.stderr
        )
        result(task, child.pid)
    elif skill == "close-output":
        out.close()
        os.close(1)
        while True:
            time.sleep(60)
