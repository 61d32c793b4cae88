// sutazai::Guard around lambdas.
#include "sutazai.hpp"

#undef NDEBUG
#include <cassert>

#include <cstdio>
#include <stdexcept>
#include <vector>

namespace {

constexpr const char *FAST = R"({"retry": {"attempts": 3, "base_ms": 0, "max_ms": 0}})";

void gives_what_the_lambda_gives() {
    sutazai::Guard guard("test", FAST);
    int calls = 0;
    const std::string answer = guard.run([&](const sutazai_attempt &attempt) {
        calls++;
        assert(attempt.number == static_cast<uint32_t>(calls));
        if (calls < 3) throw std::runtime_error("not now");
        return std::string("well");
    });
    assert(answer == "well" && calls == 3);
    guard.run([&](const sutazai_attempt &) { calls = 7; });
    assert(calls == 7);
    // What can only be moved, is.
    auto moved = guard.run([](const sutazai_attempt &) { return std::make_unique<int>(5); });
    assert(*moved == 5);
}

void throws_what_the_lambda_threw() {
    sutazai::Guard guard("test", FAST);
    int calls = 0;
    struct Mine : std::runtime_error {
        using std::runtime_error::runtime_error;
    };
    try {
        guard.run([&](const sutazai_attempt &) -> int {
            calls++;
            throw Mine("mine");
        });
        assert(false);
    } catch (const Mine &error) {
        assert(std::string(error.what()) == "mine" && calls == 3);
    }
    calls = 0;
    try {
        guard.run([&](const sutazai_attempt &) {
            calls++;
            throw std::invalid_argument("never");
        });
        assert(false);
    } catch (const std::invalid_argument &) {
        assert(calls == 1);
    }
}

void a_rejection_is_an_error() {
    sutazai::Guard guard("test", R"({"breaker": {}})");
    guard.force(SUTAZAI_FORCE_OPEN);
    try {
        guard.run([](const sutazai_attempt &) { return 1; });
        assert(false);
    } catch (const sutazai::Error &error) {
        assert(error.code() == SUTAZAI_RECOVERY_BREAKER_OPEN);
    }
    guard.force(SUTAZAI_FORCE_NONE);
    assert(guard.run([](const sutazai_attempt &) { return 1; }) == 1);
    assert(guard.status().find("\"state\":\"closed\"") != std::string::npos);
    guard.set_policy("{}");
    assert(guard.status().find("breaker") == std::string::npos);
}

void what_is_called_has_no_more_time_than_its_caller() {
    sutazai::Guard guard("test", R"({"timeout_ms": 600000})");
    auto left = [&] { return guard.run([](const sutazai_attempt &attempt) { return attempt.left_ms; }); };
    assert(sutazai::within(sutazai::milliseconds(30000), 200, left) <= 30000);
    assert(sutazai::within(std::nullopt, 0, left) > 30000);
    int done = 0;
    sutazai::within(std::nullopt, 0, [&] { done++; });
    try {
        sutazai::within(std::nullopt, 0, [] { throw std::runtime_error("mine"); });
        assert(false);
    } catch (const std::runtime_error &error) {
        assert(std::string(error.what()) == "mine" && done == 1);
    }
    try {
        sutazai::within(std::nullopt, 999, left);
        assert(false);
    } catch (const sutazai::Error &error) {
        assert(error.code() == SUTAZAI_BASE_INVALID);
    }
}

}  // namespace

int main() {
    what_is_called_has_no_more_time_than_its_caller();
    gives_what_the_lambda_gives();
    throws_what_the_lambda_threw();
    a_rejection_is_an_error();
    std::puts("ok guard_hpp");
    return 0;
}
