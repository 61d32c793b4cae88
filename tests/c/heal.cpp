// Actions of playbooks and stages of the safe state as lambdas.
#include "sutazai.hpp"

#undef NDEBUG
#include <cassert>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

bool has(const std::string &text, const char *part) { return text.find(part) != std::string::npos; }

void playbooks_call_lambdas() {
    auto held = std::make_shared<int>(7);
    std::string seen;
    {
        sutazai::Kernel kernel(R"({"clock": "virtual"})");
        kernel.playbook_action(R"({"name": "free"})", [held, &seen](const sutazai::ActionCall &call) {
            assert(call.action == "free" && call.playbook == "p" && call.entry == 1);
            assert(!call.at.empty() && has(std::string(call.trigger), "trouble"));
            seen = call.params;
            return std::string("\"") + std::to_string(*held) + "\"";
        });
        kernel.playbook_action(
            R"({"name": "count"})",
            [](const sutazai::ActionCall &) -> std::string { throw std::logic_error("not in a dry run"); },
            [](const sutazai::ActionCall &) { return std::string("\"would count\""); });
        kernel.playbook_action(R"({"name": "throws"})", [](const sutazai::ActionCall &) -> std::string {
            throw sutazai::Error(0x80000007u, "no way in");
        });
        kernel.start();
        kernel.invoke_wait("recovery.playbook_set_policy", R"({"policy": {"playbooks": [
            {"name": "p", "when": {"event": {"subject": "trouble"}}, "action": "free", "params": [1]},
            {"name": "q", "when": {"event": {"subject": "trouble"}}, "action": "count", "dry_run": true},
            {"name": "r", "when": {"event": {"subject": "trouble"}}, "action": "throws"}]}})");
        kernel.publish("trouble", "{}");
        kernel.advance(sutazai::milliseconds(1));
        assert(seen == "[1]");
        const std::string record = kernel.invoke_wait("recovery.playbook_record");
        assert(has(record, R"("answer":"7")") && has(record, R"("answer":"would count")"));
        assert(has(record, R"("message":"no way in")"));
        assert(held.use_count() == 2);
    }
    assert(held.use_count() == 1);
}

void the_safe_state_calls_lambdas() {
    auto held = std::make_shared<std::string>();
    {
        sutazai::Kernel kernel;
        kernel.start();
        kernel.failsafe_stage(R"({"name": "valve", "within_ms": 30000})",
                              [held](const sutazai::SafeCall &call) {
                                  assert(call.stage == "valve" && call.trigger == "host");
                                  assert(call.within.count() > 0);
                                  *held = call.reason;
                              });
        kernel.failsafe_stage(R"({"name": "stuck", "within_ms": 30000})", [](const sutazai::SafeCall &) {
            throw std::runtime_error("it is stuck");
        });
        const std::string status = kernel.invoke_wait("recovery.failsafe_trigger",
                                                      R"({"reason": "a drill", "wait_ms": 60000})");
        assert(has(status, R"("state":"safe")") && has(status, "it is stuck"));
        assert(*held == "a drill");
    }
    assert(held.use_count() == 1);
}

void checkpoints_call_lambdas() {
    auto state = std::make_shared<std::string>(R"("a")");
    {
        sutazai::Kernel kernel;
        kernel.checkpointed(
            R"({"name": "model"})", [state] { return *state; },
            [state](std::string_view saved) { *state = std::string(saved); });
        kernel.checkpointed(
            R"({"name": "stuck"})", []() -> std::string { throw std::runtime_error("it is stuck"); },
            [](std::string_view) {});
        kernel.start();
        kernel.invoke_wait("recovery.checkpoint_create", R"({"only": ["model"]})");
        *state = R"("b")";
        kernel.invoke_wait("recovery.checkpoint_restore", R"({"checkpoint": 1})");
        assert(*state == R"("a")");
        try {
            kernel.invoke_wait("recovery.checkpoint_create", "{}");
            assert(false);
        } catch (const sutazai::Error &error) {
            assert(has(error.what(), "it is stuck"));
        }
    }
    assert(state.use_count() == 1);
}

}  // namespace

int main() {
    checkpoints_call_lambdas();
    playbooks_call_lambdas();
    the_safe_state_calls_lambdas();
    std::puts("ok heal_hpp");
    return 0;
}
