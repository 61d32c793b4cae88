// What is done about failures, part by part, in C++17.
//
//   c++ -std=c++17 recovery.cpp $(pkg-config --cflags --libs sutazai)
//       -Wl,-rpath,$(pkg-config --variable=libdir sutazai) -o recovery && ./recovery
//
// Policies are JSON, as in the manifest, where durations are texts instead.
#include <sutazai.hpp>

#include <atomic>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using sutazai::Kernel;

namespace {

bool has(const std::string &text, const char *part) { return text.find(part) != std::string::npos; }

// Waits for work that goes on in the background.
template <typename Condition>
void until(Condition condition) {
    while (!condition()) std::this_thread::sleep_for(1ms);
}

// A call is tried again on another agent; an agent that keeps failing is left alone.
void guarded_calls(Kernel &kernel) {
    // By load alone: a router that learns would hardly ask the first one again.
    kernel.invoke_wait("agent.route_set_policy", R"({"policy": {"strategy": "least_loaded"}})");
    kernel.agent(R"({"name": "first", "skills": ["translate"]})",
                 [](const sutazai::Task &) -> std::string {
                     throw sutazai::Error(SUTAZAI_AGENT_FAILED, "the model hung up");
                 });
    kernel.agent(R"({"name": "second", "skills": ["translate"]})",
                 [](const sutazai::Task &task) {
                     return std::string(task.input().rbegin(), task.input().rend());
                 });
    // Retry, budget, timeout and hedge are the call's, the other parts each agent's own.
    kernel.invoke_wait("recovery.guard_set", R"({"calls": {"skill": "translate"}, "policy": {
        "timeout_ms": 5000, "retry": {"attempts": 3, "base_ms": 1}, "budget": {"capacity": 100},
        "hedge": {"min_ms": 50}, "breaker": {"consecutive": 3},
        "bulkhead": {"concurrency": 8, "queue": 100}}})");
    sutazai::CallOptions urgent;
    urgent.priority = 200;
    std::string answer;
    for (int n = 0; n < 10; n++) answer = kernel.call("translate", R"("olleh")", urgent).wait();
    const std::string guards = kernel.invoke_wait("recovery.guard_list", "");
    std::cout << "guarded calls: " << answer << ", breaker of first "
              << (has(guards, R"("state":"open")") ? "open" : "closed") << '\n';
}

// The same around any function.
void a_guarded_function() {
    const sutazai::Guard guard("fetch",
                               R"({"timeout_ms": 5000, "retry": {"base_ms": 1}, "breaker": {}})");
    auto fetch = [&] {
        return guard.run([](const sutazai_attempt &attempt) {
            if (attempt.number < 3) throw sutazai::Error(SUTAZAI_BASE_TIMEOUT, "not yet");
            return "page after " + std::to_string(attempt.number) + " tries";
        });
    };
    // The time that there is, and how urgent it is, are carried into everything that is called.
    std::cout << "a guarded function: " << sutazai::within(2s, 200, fetch) << '\n';
}

// Every failure is transient, persistent or critical, by built-in rules and your own.
void what_failures_are(Kernel &kernel) {
    kernel.invoke_wait("recovery.classify_set_policy", R"({"policy": {"rules": [
        {"name": "index is building", "class": "transient", "text": "still indexing"}]}})");
    for (const char *failure : {R"({"message": "still indexing"})", R"({"http_status": 403})",
                                R"({"http_status": 429, "retry_after": "7"})"})
        std::cout << "classified: "
                  << kernel.invoke_wait("recovery.classify",
                                        std::string(R"({"failure": )") + failure + "}")
                  << '\n';
}

// Work that is started again when it fails, and messages that outlive it.
void supervision(Kernel &kernel) {
    static std::atomic<int> done{0};
    kernel.message_worker(R"({"name": "index", "mailbox": {"kills": 2}})",
                          [](const sutazai::WorkerMessage &message) {
                              if (message.body == R"("poison")")
                                  throw std::runtime_error("no way to index this");
                              done++;
                          });
    kernel.invoke_wait("recovery.tree_add", R"({"name": "background", "spec": {"intensity": 10,
        "children": [{"id": "indexer", "does": "index"}]}})");
    for (const char *message : {R"("a")", R"("poison")", R"("b")"})
        kernel.invoke_wait("recovery.mailbox_push",
                           std::string(R"({"child": "background>indexer", "message": )") + message +
                               "}");
    until([] { return done == 2; });
    const std::string mailbox =
        kernel.invoke_wait("recovery.mailbox_get", R"({"child": "background>indexer"})");
    std::cout << "supervision: " << done << " done, "
              << (has(mailbox, "no way to index this") ? "one" : "none") << " set aside\n";
}

// State is put back from a checkpoint; steps that were done are undone.
void rollback(Kernel &kernel) {
    static std::string prompt = R"("hello")";
    kernel.checkpointed(
        R"({"name": "prompt"})", [] { return prompt; },
        [](std::string_view saved) { prompt = std::string(saved); });
    kernel.invoke_wait("recovery.checkpoint_create", R"({"label": "before", "only": ["prompt"]})");
    prompt = R"("yo")";
    kernel.invoke_wait("recovery.checkpoint_restore", R"({"checkpoint": 1})");

    kernel.saga(
        R"({"name": "trip", "steps": [{"name": "reserve"}, {"name": "pay"}]})",
        [](const sutazai::SagaCall &call) -> std::string {
            if (call.step == "pay") throw std::runtime_error("the card was declined");
            return R"("seat 7")";
        },
        [](const sutazai::SagaCall &call) {
            if (call.result) std::cout << "rollback: undone: " << *call.result << '\n';
        });
    try {
        kernel.invoke_wait("recovery.saga_run", R"({"name": "trip"})");
    } catch (const sutazai::Error &error) {
        std::cout << "rollback: " << prompt << ", " << error.name() << '\n';
    }
}

// Levels, and what features do at each; entered and left with hysteresis.
void graceful_degradation(Kernel &kernel) {
    kernel.invoke_wait("recovery.degrade_set_policy", R"({"policy": {
        "features": {"search": {"reduced": {"reduced": {"results": 10}}}},
        "rules": [{"level": "reduced", "signal": "load", "enter": 0.9, "leave": 0.6}]}})");
    kernel.invoke_wait("recovery.signal", R"({"name": "load", "value": 0.95})");
    std::cout << "degradation: "
              << kernel.invoke_wait("recovery.degrade_check", R"({"feature": "search"})") << '\n';
    kernel.invoke_wait("recovery.degrade_set_policy", R"({"policy": {}})");
}

// What harms the rest is set apart, probed and let in again.
void isolation(Kernel &kernel) {
    std::string target;
    for (int n = 0; n < 3; n++)
        target = kernel.invoke_wait("recovery.isolate_observe",
                                    R"({"target": "second", "evidence": "crash"})");
    kernel.invoke_wait("recovery.isolate_release", R"({"target": "second", "by": "the example"})");
    std::cout << "isolation: " << target << '\n';
}

// On this condition, do that, within bounds, and with a record.
void playbooks(Kernel &kernel) {
    kernel.playbook_action(R"({"name": "drop_caches"})", [](const sutazai::ActionCall &) {
        return std::string(R"("3 caches dropped")");
    });
    kernel.invoke_wait("recovery.playbook_set_policy", R"({"policy": {"playbooks": [
        {"name": "memory", "when": {"event": {"subject": "memory.low"}}, "action": "drop_caches"}]}})");
    kernel.publish("memory.low", "null");
    auto record = [&] { return kernel.invoke_wait("recovery.playbook_record", R"({"limit": 1})"); };
    until([&] { return has(record(), R"("state":"done")"); });
    std::cout << "playbooks: " << (has(record(), "3 caches dropped") ? "3 caches dropped" : "?") << '\n';
}

// The way to the safe state, within a bounded time.
void failsafe(Kernel &kernel) {
    kernel.failsafe_stage(R"({"name": "close_valve", "within_ms": 5000})",
                          [](const sutazai::SafeCall &) {});
    const std::string status = kernel.invoke_wait(
        "recovery.failsafe_trigger", R"({"reason": "a drill", "wait_ms": 30000})");
    std::cout << "failsafe: " << (has(status, R"("state":"safe")") ? "safe" : status) << '\n';
}

}  // namespace

int main() try {
    Kernel kernel;
    kernel.start();
    guarded_calls(kernel);
    a_guarded_function();
    what_failures_are(kernel);
    supervision(kernel);
    rollback(kernel);
    graceful_degradation(kernel);
    isolation(kernel);
    playbooks(kernel);
    failsafe(kernel);
    kernel.stop(5s);
} catch (const sutazai::Error &error) {
    std::cerr << error.name() << ": " << error.what() << '\n';
    return 1;
}
