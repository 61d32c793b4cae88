// Monitors in C++.
#include "sutazai.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#define REQUIRE(condition)                                                          \
    do {                                                                            \
        if (!(condition)) {                                                         \
            std::printf("not ok line %d: %s\n", __LINE__, #condition);              \
            std::exit(1);                                                           \
        }                                                                           \
    } while (false)

static bool has(const std::string &text, const char *part) {
    return text.find(part) != std::string::npos;
}

int main() {
    const auto length = std::make_shared<double>(3);
    sutazai::Kernel kernel;
    kernel.monitor("queue", [length](const sutazai::Samples &samples) {
        if (*length < 0) throw std::runtime_error("the queue is gone");
        samples.add("queue_length", *length);
    });
    try {
        kernel.monitor("queue", [](const sutazai::Samples &) {});
        REQUIRE(false);
    } catch (const sutazai::Error &error) {
        REQUIRE(error.code() == SUTAZAI_BASE_ALREADY_EXISTS);
    }
    kernel.start();
    REQUIRE(has(kernel.invoke_wait("monitor.sample"), R"("queue_length":3)"));
    *length = -1;
    REQUIRE(has(kernel.invoke_wait("monitor.sample"), "the queue is gone"));
    REQUIRE(length.use_count() == 2);
    REQUIRE(has(kernel.invoke_wait("monitor.remove", R"({"monitor": "queue"})"), "true"));
    REQUIRE(length.use_count() == 1);
    std::printf("ok monitors in C++\n");
    return 0;
}
