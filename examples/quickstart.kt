// The quick start in Kotlin: one agent, one call, one event.
//
//   sutazai-c/bindings kotlin FOLDER
//
// Compile with FOLDER/sutazai, JNA and kotlinx-coroutines; run with -Djna.library.path=FOLDER.
import kotlin.system.exitProcess
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.runBlocking
import sutazai.Agent
import sutazai.AgentTask
import sutazai.Event
import sutazai.Kernel
import sutazai.KernelException
import sutazai.Listener

/** Input and output are JSON, here a string. What it throws is the call's error. */
class Shouter : Agent {
    override fun handle(task: AgentTask) = task.input.uppercase()
}

class FirstEvent : Listener {
    val first = CompletableDeferred<Event>()

    override fun event(event: Event) {
        first.complete(event)
    }
}

fun main() = runBlocking {
    val kernel = Kernel()
    kernel.addAgent("""{"name": "shouter", "skills": ["shout"]}""", Shouter())
    val listener = FirstEvent()
    kernel.subscribe("greeting.*", listener)
    kernel.start()

    try {
        // Any operation by name, JSON in and out; calling an agent is one of them.
        val answer = kernel.invoke("agent.call", """{"skill": "shout", "input": "hello", "timeout_ms": 1000}""")
        val output = answer.substringAfter("\"output\":").removeSuffix("}")
        println("answer: $output")
        kernel.invoke("event.publish", """{"subject": "greeting.sent", "payload": $output}""")
    } catch (e: KernelException.Failed) {
        System.err.println("${e.name}: ${e.reason}")
        exitProcess(1)
    }

    val event = listener.first.await()
    println("event: ${event.subject} ${event.payload}")
    kernel.stop(5000uL)
}
