// Factories in C++: a lambda that makes agents.
#include "sutazai.hpp"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>

#define REQUIRE(condition)                                                          \
    do {                                                                            \
        if (!(condition)) {                                                         \
            std::printf("not ok line %d: %s\n", __LINE__, #condition);              \
            std::exit(1);                                                           \
        }                                                                           \
    } while (false)

using Greeter = std::function<std::string(const sutazai::Task &)>;

int main() {
    sutazai::Kernel kernel;
    kernel.agent_factory("greeters", [](const sutazai::AgentOrder &order) -> Greeter {
        REQUIRE(order.agent_template == "polite" && order.skills == R"(["greet"])");
        const std::string parameters(order.parameters);
        return [parameters](const sutazai::Task &) { return parameters; };
    });
    kernel.agent_factory("broken", [](const sutazai::AgentOrder &) -> Greeter {
        throw std::runtime_error("no blueprint");
    });
    kernel.start();
    kernel.invoke_wait("agent.template_add", R"({"template": {"name": "polite", "skills": ["greet"],
        "make": {"factory": "greeters"}, "cost": 1, "parameters": {"word": {"default": "hello"}}}})");
    kernel.invoke_wait("agent.template_add", R"({"template": {"name": "broken", "skills": ["greet"],
        "make": {"factory": "broken"}, "cost": 0}})");
    const std::string created =
        kernel.invoke_wait("agent.create", R"({"want": {"skill": "greet"}})");
    REQUIRE(created.find(R"("agent":"polite-1")") != std::string::npos);
    REQUIRE(created.find("no blueprint") != std::string::npos);
    const std::string answer = kernel.invoke_wait("agent.call", R"({"skill": "greet"})");
    REQUIRE(answer.find(R"("output":{"word":"hello"})") != std::string::npos);
    std::printf("ok factories in C++\n");
    return 0;
}
