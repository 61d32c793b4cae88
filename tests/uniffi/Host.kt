// What the UniFFI host promises, in Kotlin: one line "ok" or "not ok" for each check, as tests/c has
// them. The table of operations itself is Ruby's part (conformance.rb).

import java.util.concurrent.CountDownLatch
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import kotlin.system.exitProcess
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import sutazai.Agent
import sutazai.AgentTask
import sutazai.AsyncAgent
import sutazai.ErrorClass
import sutazai.Event
import sutazai.Kernel
import sutazai.KernelException
import sutazai.Listener
import sutazai.agentFailed

// Longest wait for something that does happen.
const val PATIENCE_MS = 60_000L

var failures = 0

fun check(what: String, good: Boolean) {
    println("${if (good) "ok" else "not ok"} $what")
    if (!good) failures++
}

fun equal(what: String, want: Any?, got: Any?) {
    check(what, want == got)
    if (want != got) println("     expected $want\n     got $got")
}

/** The name and class of the error that `block` ends with. */
inline fun failure(block: () -> Unit): Pair<String, ErrorClass>? =
    try {
        block()
        null
    } catch (e: KernelException.Failed) {
        e.name to e.errorClass
    }

class Does(val block: (AgentTask) -> String) : Agent {
    override fun handle(task: AgentTask) = block(task)
}

class Awaits(val block: suspend (AgentTask) -> String) : AsyncAgent {
    override suspend fun handle(task: AgentTask) = block(task)
}

class Hears(val block: (Event) -> Unit) : Listener {
    override fun event(event: Event) = block(event)
}

fun card(name: String, run: String = "pool") =
    """{"name": "$name", "skills": ["$name"], "run": "$run"}"""

fun ask(skill: String, input: String = "null") = """{"skill": "$skill", "input": $input}"""

fun <T> LinkedBlockingQueue<T>.next(): T? = poll(PATIENCE_MS, TimeUnit.MILLISECONDS)

suspend fun agents(kernel: Kernel) {
    kernel.addAgent(card("echo"), Does { it.input })
    kernel.addAgent(card("inline", run = "inline"), Does { it.input })
    kernel.addAsyncAgent(card("later"), Awaits { it.input })
    // The first call was refused, and counted.
    for ((n, skill) in listOf("echo", "inline", "later").withIndex()) {
        val answer = kernel.invoke("agent.call", ask(skill, """["ü", $n]"""))
        equal("an agent answers: $skill", """{"call":${n + 2},"output":["ü",$n]}""", answer)
    }
    equal("blocking", """{"call":5,"output":1}""", kernel.invokeWait("agent.call", ask("echo", "1")))

    val tasks = LinkedBlockingQueue<AgentTask>()
    kernel.addAgent(card("look"), Does { tasks.add(it); "null" })
    kernel.invoke("agent.call", ask("look"))
    val task = tasks.next()
    equal("a task says what is asked", listOf("look", "null", 6uL), listOf(task?.skill, task?.input, task?.call))
    check("and how long there is", (task?.leftMs ?: 0uL) in 1uL..30_000uL)

    // Each of the two waits for the other.
    val here = List(2) { CountDownLatch(1) }
    kernel.addAgent(card("meet"), Does {
        val me = it.input.toInt()
        here[1 - me].countDown()
        if (here[me].await(PATIENCE_MS, TimeUnit.MILLISECONDS)) it.input else "alone"
    })
    val met = runBlocking(Dispatchers.IO) {
        List(2) { async { kernel.invoke("agent.call", ask("meet", "$it")) } }.map { it.await() }
    }
    check("calls run side by side", met[0].endsWith("\"output\":0}") && met[1].endsWith("\"output\":1}"))
}

suspend fun wrong(kernel: Kernel) {
    val failed = "agent.failed" to ErrorClass.TRANSIENT
    val bad = "agent.bad_answer" to ErrorClass.PERSISTENT
    val own = KernelException.Failed(0x8000_0005u, "", ErrorClass.CRITICAL, "mine", "")
    val cases = listOf<Triple<String, () -> String, Pair<String, ErrorClass>>>(
        Triple("throws", { throw IllegalStateException("no luck") }, failed),
        Triple("fails", { throw agentFailed("by design", false) }, "agent.failed" to ErrorClass.PERSISTENT),
        Triple("has a code of its own", { throw own }, "host" to ErrorClass.CRITICAL),
        Triple("answers text", { "seven" }, bad),
        Triple("answers nothing", { "" }, bad),
    )
    for ((n, case) in cases.withIndex()) {
        val (what, block, want) = case
        kernel.addAgent(card("wrong-$n"), Does { block() })
        equal("an agent $what", want, failure { kernel.invoke("agent.call", ask("wrong-$n")) })
        kernel.addAsyncAgent(card("later-$n"), Awaits { block() })
        equal("an agent $what, later", want, failure { kernel.invoke("agent.call", ask("later-$n")) })
    }
    // A lone surrogate has no UTF-8.
    kernel.addAgent(card("half"), Does { "\"\uD800\"" })
    equal("an agent answers half a character", failed, failure { kernel.invoke("agent.call", ask("half")) })
    // No exception but an error of the JVM: it does not come back, so that nothing is answered.
    kernel.addAgent(card("unwritten"), Does { TODO() })
    equal("an agent is not written yet", bad, failure { kernel.invoke("agent.call", ask("unwritten")) })
    try {
        kernel.invoke("agent.call", ask("wrong-0"))
        check("an exception's trace is told", false)
    } catch (e: KernelException.Failed) {
        equal("an exception says what happened", "java.lang.IllegalStateException: no luck", e.reason.substringBefore(" (trace="))
        check("an exception's trace is told", "HostKt" in e.details && "by design" !in e.details)
    }
}

suspend fun cancelling(kernel: Kernel) {
    val began = CompletableDeferred<Unit>()
    val ended = CompletableDeferred<Unit>()
    kernel.addAsyncAgent(card("hang"), Awaits {
        began.complete(Unit)
        try {
            awaitCancellation()
        } finally {
            ended.complete(Unit)
        }
    })
    runBlocking(Dispatchers.IO) {
        val call = launch { kernel.invoke("agent.call", ask("hang")) }
        withTimeout(PATIENCE_MS) { began.await() }
        call.cancelAndJoin()
        withTimeout(PATIENCE_MS) { ended.await() }
    }
    equal("a cancelled coroutine cancels its call and the agent", """{"calls":[]}""", kernel.invoke("agent.calls"))
}

suspend fun events(kernel: Kernel) {
    val heard = LinkedBlockingQueue<Event>()
    val subscription = kernel.subscribe("news.*", Hears { heard.add(it) })
    for (n in 0..9) kernel.invoke("event.publish", """{"subject": "news.today", "payload": $n}""")
    val want = List(10) { Event("news.today", "$it", 0uL) }
    equal("events are delivered in order", want, List(10) { heard.next() })
    equal("none is missed", 0uL, subscription.missed())
    subscription.unsubscribe()
    val published = kernel.invoke("event.publish", """{"subject": "news.today"}""")
    check("until it ends", "\"queued\":0" in published)

    val told = LinkedBlockingQueue<Unit>()
    kernel.subscribe("bad", Hears { told.add(Unit); throw IllegalStateException("no more") })
    repeat(2) {
        kernel.invoke("event.publish", """{"subject": "bad"}""")
        told.next()
    }
    val log = kernel.invoke("observe.logs", """{"target": "sutazai.event"}""")
    check("a listener that throws is logged", "a listener failed" in log && "no more" in log)
}

suspend fun time() {
    Kernel("""{"clock": "virtual"}""").use { kernel ->
        kernel.addAgent(card("echo"), Does { it.input })
        kernel.start()
        kernel.submit("agent.call", ask("echo", "1")).use { ticket ->
            equal("in virtual time nothing happens", null, ticket.take())
            kernel.advance(0uL)
            equal("until it is let", """{"call":1,"output":1}""", ticket.take())
            equal("an answer is given once", "base.taken", failure { ticket.take() }?.first)
        }
        equal("waiting would never end", "base.would_deadlock", failure { kernel.invokeWait("agent.call", ask("echo")) }?.first)
        kernel.stop()
    }
}

fun main() {
    runBlocking {
        val kernel = Kernel()
        equal("nothing runs before the start", "base.not_running", failure { kernel.invoke("agent.call", ask("echo")) }?.first)
        kernel.start()
        agents(kernel)
        wrong(kernel)
        cancelling(kernel)
        events(kernel)
        kernel.stop()
        equal("nothing runs after the stop", "base.not_running", failure { kernel.invoke("agent.call", ask("echo")) }?.first)
        kernel.close()
        time()
        equal("a configuration is checked", "base.invalid" to ErrorClass.PERSISTENT, failure { Kernel("""{"sead": 1}""") })
        // The program ends with one that runs.
        Kernel().start()
    }
    exitProcess(if (failures == 0) 0 else 1)
}
