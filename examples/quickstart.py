"""Three agents, called in every way. Run it with: python examples/quickstart.py"""

import asyncio
import time

import sutazai
from sutazai import Context, Event, Kernel


def main() -> None:
    # Without a data directory everything is in memory; `with` starts the kernel and stops it.
    with Kernel() as kernel:

        @kernel.agent(skills=["count"])
        def count(text: str) -> dict[str, int]:
            """A function is an agent. It runs on the kernel's pool."""
            return {"words": len(text.split()), "characters": len(text)}

        @kernel.agent(skills=["fetch"], concurrency=100)
        async def fetch(name: str, context: Context) -> str:
            """So is a coroutine. It runs on the kernel's loop, and reports how it is doing."""
            context.progress(f"looking for {name}")
            await asyncio.sleep(0.05)
            return f"the text of {name}"

        @kernel.agent(skills=["judge"], timeout=0.2)
        def judge(text: str) -> str:
            """What an agent does wrong is an error with a class; the kernel lives on."""
            if not text:
                raise sutazai.AgentError("there is nothing to judge", class_="persistent")
            time.sleep(0.3)
            return "fine"

        # Events: the kernel's own, and yours.
        failures = kernel.subscribe("call.failed")

        def on_note(event: Event) -> None:
            print("note:", event.payload)

        kernel.subscribe("note.*", on_note)
        kernel.publish("note.hello", "the kernel runs")

        # Blocking, by ticket, and awaited.
        print("count:", kernel.call("count", "to be or not to be"))
        ticket = kernel.submit("fetch", "hamlet.txt")
        for part in ticket:
            print("progress:", part)
        print("fetch:", ticket.wait())

        async def fetch_all() -> int:
            names = (f"{number}.txt" for number in range(50))
            return len(await asyncio.gather(*(kernel.acall("fetch", name) for name in names)))

        print("fetched:", asyncio.run(fetch_all()))

        for text in ("", "some text"):
            try:
                kernel.call("judge", text)
            except TimeoutError as error:
                print("too slow:", error)
            except sutazai.AgentError as error:
                print(f"{error.class_}:", error.message)

        while (event := failures.next(timeout=0)) is not None:
            print("event:", event.subject, event.payload["code"])
        for agent in kernel.agents():
            stats = agent["stats"]
            print("agent:", agent["card"]["name"], stats["calls"], "calls")


if __name__ == "__main__":
    main()
