// Supervised children in C++.
#include "sutazai.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#define REQUIRE(condition)                                                          \
    do {                                                                            \
        if (!(condition)) {                                                         \
            std::printf("not ok line %d: %s\n", __LINE__, #condition);              \
            std::exit(1);                                                           \
        }                                                                           \
    } while (false)

int main() {
    auto lives = std::make_shared<std::atomic<int>>(0);
    auto bodies = std::make_shared<std::string>();
    {
        sutazai::Kernel kernel;
        kernel.worker(R"({"name": "fragile"})", [lives](const sutazai::WorkerLife &life) {
            REQUIRE(life.child() == "main>loop");
            if (++*lives == 1) throw std::runtime_error("the first life");
            while (!life.wait(sutazai::milliseconds(60000))) {
            }
        });
        kernel.message_worker(R"({"name": "note", "mailbox": {"kills": 1}})",
                              [bodies](const sutazai::WorkerMessage &message) {
                                  REQUIRE(message.child == "main>one" && message.id > 0);
                                  if (message.body == "0") throw std::runtime_error("zero");
                                  *bodies += message.body;
                              });
        kernel.start();
        kernel.invoke_wait("recovery.tree_add", R"({"name": "main", "spec": {"intensity": 9, "children": [
            {"id": "loop", "does": "fragile"}, {"id": "one", "does": "note"}]}})");
        for (const char *message : {"1", "0", "2"}) {
            kernel.invoke_wait("recovery.mailbox_push",
                               std::string(R"({"child": "main>one", "message": )") + message + "}");
        }
        const auto done = [&kernel] {
            const std::string mailbox =
                kernel.invoke_wait("recovery.mailbox_get", R"({"child": "main>one"})");
            return mailbox.find(R"("done":2)") != std::string::npos &&
                   mailbox.find(R"("set_aside":1)") != std::string::npos;
        };
        for (int tries = 0; tries < 2000 && !(done() && *lives == 2); tries++) {
            std::this_thread::sleep_for(sutazai::milliseconds(5));
        }
        REQUIRE(done() && *lives == 2);
    }
    REQUIRE(*bodies == "12");
    REQUIRE(lives.use_count() == 1 && bodies.use_count() == 1);
    std::puts("ok worker_hpp");
    return 0;
}
