"""An agent with several lives: it is made anew when it is silent for too long, or its process dies."""

import sutazai

COUNTER = """
import json, sys
def say(**message): print(json.dumps({"v": 1, **message}), flush=True)
say(type="ready")
calls = 0
for line in sys.stdin:
    task = json.loads(line)
    if task["type"] == "stop": break
    if task["type"] == "task":
        if task["input"] == "riddle": sys.exit("I do not understand")
        calls += 1
        say(type="result", id=task["id"], output=calls)
"""

with sutazai.Kernel() as kernel:
    states = kernel.subscribe("agent.state")
    kernel.supervise_agent(
        process={"command": ["python3", "-c", COUNTER]},
        card={"name": "counter", "skills": ["count"]},
        supervision={"intensity": 3, "period_ms": 60_000},
    )
    print("first life:", kernel.call("count", "a"), kernel.call("count", "b"))
    try:
        kernel.call("count", "riddle")
    except sutazai.AgentError as error:
        print("it died:", error.name)
    # Between two lives a call waits for the next.
    print("second life:", kernel.call("count", "c"))
    print("restarts:", kernel.agent_view("counter")["restarts"])
    while (event := states.next(timeout=0)) is not None:
        change = event.payload
        print(change["from"], "→", change["to"], "for", change["why"])

    # A template makes each life of what it is given, here a function of Python's.
    @kernel.template(skills=["next"], parameters={"from": {"schema": {"type": "integer"}, "default": 0}})
    def numbers(**given: int):
        count = iter(range(given["from"], 1_000_000))
        return lambda _: next(count)

    kernel.supervise_agent("numbers", parameters={"from": 7}, name="seven")
    print("made of a template:", kernel.call("next"), kernel.call("next"))
