"""An agent by the protocol's own library, for tests: `a2a_server.py PORT [--03] [--plain]`.

JSON-RPC at /rpc and HTTP+JSON at /rest. With --03 it also answers the older protocol, and its card
says so only; with --plain it does not stream.
"""

import asyncio
import sys

import uvicorn
from a2a.helpers import new_data_part, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import (
    create_agent_card_routes,
    create_jsonrpc_routes,
    create_rest_routes,
)
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Task, TaskState, TaskStatus
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

CANCELLED = []


class Executor(AgentExecutor):
    """Does what the first word of the message says."""

    async def execute(self, context, queue):
        words = context.get_user_input().split()
        skill = dict(context.message.metadata).get("skill", "")
        what = words[0] if words else "data"
        if what == "message":
            await queue.enqueue_event(new_text_message("no task", context_id=context.context_id))
            return
        task = TaskUpdater(queue, context.task_id, context.context_id)
        if context.current_task is None:
            status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
            await queue.enqueue_event(
                Task(id=context.task_id, context_id=context.context_id, status=status, history=[context.message])
            )
        await task.start_work(new_text_message("on it", context_id=context.context_id))
        if what == "echo":
            for place, word in enumerate(words[1:]):
                text = word if place == 0 else " " + word
                await task.add_artifact([new_text_part(text)], artifact_id="echo", append=place > 0)
                await asyncio.sleep(0.01)
        elif what == "skill":
            await task.add_artifact([new_text_part(skill)])
        elif what == "data":
            await task.add_artifact([new_data_part({"parts": len(context.message.parts)})])
        elif what == "slow":
            await asyncio.sleep(float(words[1]))
            await task.add_artifact([new_text_part("at last")])
        elif what == "ask":
            await task.requires_input(new_text_message("which city?", context_id=context.context_id))
            return
        elif what == "fail":
            await task.failed(new_text_message("it broke", context_id=context.context_id))
            return
        elif what == "reject":
            await task.reject(new_text_message("not my job", context_id=context.context_id))
            return
        else:
            await task.add_artifact([new_text_part("you said " + " ".join(words))])
        await task.complete()

    async def cancel(self, context, queue):
        CANCELLED.append(context.task_id)
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()


async def cancelled(_request):
    return JSONResponse(CANCELLED)


def main():
    port, old, plain = sys.argv[1], "--03" in sys.argv, "--plain" in sys.argv
    base, version = f"http://127.0.0.1:{port}", "0.3" if old else "1.0"
    interfaces = [("JSONRPC", "/rpc"), ("HTTP+JSON", "/rest")]
    skills = ["echo", "ask", "look up"]
    card = AgentCard(
        name="Test agent",
        description="does what it is told",
        version="1.2.3",
        supported_interfaces=[
            AgentInterface(url=base + path, protocol_binding=binding, protocol_version=version)
            for binding, path in interfaces
        ],
        capabilities=AgentCapabilities(streaming=not plain),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id=skill, name=skill, description=f"can {skill}", tags=["test"]) for skill in skills],
    )
    handler = DefaultRequestHandler(agent_executor=Executor(), task_store=InMemoryTaskStore(), agent_card=card)
    routes = [
        *create_agent_card_routes(card),
        *create_jsonrpc_routes(handler, "/rpc", enable_v0_3_compat=old),
        *create_rest_routes(handler, path_prefix="/rest", enable_v0_3_compat=old),
        Route("/cancelled", cancelled),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(port), log_level="warning")


main()
