// sutazai.hpp: ownership, exceptions, futures.
#include "sutazai.hpp"

#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

static bool failed, failed_here;

#define CHECK(condition)                                                     \
    do {                                                                     \
        if (!(condition)) {                                                  \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            failed_here = true;                                              \
        }                                                                    \
    } while (0)

template <typename F>
static void throws(uint32_t code, int line, F f) {
    try {
        f();
        std::fprintf(stderr, "%s:%d: nothing was thrown\n", __FILE__, line);
        failed_here = true;
    } catch (const sutazai::Error &error) {
        if (error.code() != code) {
            std::fprintf(stderr, "%s:%d: %s %s\n", __FILE__, line, error.name(), error.what());
            failed_here = true;
        }
    }
}
#define THROWS(code, ...) throws(code, __LINE__, [&] { __VA_ARGS__; })

static void run(const char *name, void (*test)()) {
    failed_here = false;
    try {
        test();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s: %s\n", name, error.what());
        failed_here = true;
    }
    std::printf("%s %s\n", failed_here ? "not ok" : "ok", name);
    failed |= failed_here;
}

static void handles_are_move_only() {
    static_assert(!std::is_copy_constructible_v<sutazai::Kernel>);
    static_assert(!std::is_copy_constructible_v<sutazai::Ticket>);
    static_assert(!std::is_copy_constructible_v<sutazai::Reply>);
    static_assert(!std::is_copy_constructible_v<sutazai::Subscription>);
    static_assert(!std::is_copy_constructible_v<sutazai::Event>);
    static_assert(std::is_nothrow_move_constructible_v<sutazai::Kernel>);
    static_assert(std::is_nothrow_move_constructible_v<sutazai::Ticket>);
    static_assert(std::is_nothrow_copy_constructible_v<sutazai::Error>);
    sutazai::Kernel kernel(R"({"seed": 1})");
    sutazai::Kernel moved = std::move(kernel);
    moved.start();
    THROWS(SUTAZAI_BASE_INVALID, kernel.start());
    CHECK(!sutazai::version().empty());
}

static void errors_are_exceptions() {
    sutazai::Kernel kernel;
    kernel.start();
    try {
        kernel.call_wait("nothing", "1");
        CHECK(false);
    } catch (const sutazai::Error &error) {
        const sutazai::Error copy = error;
        CHECK(copy.code() == SUTAZAI_AGENT_NO_SKILL);
        CHECK(copy.cls() == sutazai::Class::Persistent);
        CHECK(std::string(copy.name()) == "agent.no_skill");
        CHECK(copy.json().find("\"advice\"") != std::string::npos);
        CHECK(std::string(copy.what()).find("nothing") != std::string::npos);
        CHECK(copy.problems().size() == 1);
    }
    try {
        sutazai::Kernel bad(R"({"manifest_text": "limit = 1\nlogs = 2\n"})");
        CHECK(false);
    } catch (const sutazai::Error &error) {
        const auto problems = error.problems();
        CHECK(problems.size() == 2);
        CHECK(std::string(problems.at(1).what()).find("\"log\"?\n2 | logs = 2\n  | ^") !=
              std::string::npos);
    }
    THROWS(SUTAZAI_BASE_INVALID, sutazai::Kernel(R"({"sed": 1})"));
}

static void versions_take_over() {
    sutazai::Kernel kernel;
    kernel.start();
    const auto answers = [](const char *text) {
        return [text](const sutazai::Task &) -> std::string { return text; };
    };
    kernel.agent(R"({"name": "v", "skills": ["v"], "version": "1"})", answers("1"));
    kernel.replace_agent(R"({"name": "v", "skills": ["v"], "version": "2"})", answers("2"));
    CHECK(kernel.call_wait("v", "") == "2");
    sutazai::CallOptions options;
    options.terms = R"({"exclude": ["v"]})";
    THROWS(SUTAZAI_AGENT_NONE_FITS, kernel.call("v", "", options).wait());
    options.terms = R"({"sed": 1})";
    THROWS(SUTAZAI_BASE_INVALID, kernel.call("v", "", options).wait());
    kernel.invoke_wait("agent.switch", R"({"name": "v", "version": "1"})");
    CHECK(kernel.call_wait("v", "") == "1");
    THROWS(SUTAZAI_BASE_NOT_FOUND,
           kernel.invoke_wait("agent.switch", R"({"name": "v", "version": "3"})"));
}

static void what_an_agent_throws_is_the_answer() {
    sutazai::Kernel kernel;
    kernel.agent(R"({"name": "ours", "skills": ["ours"]})",
                 [](const sutazai::Task &) -> std::string {
                     throw sutazai::Error(0x80000009u, "ours", sutazai::Class::Critical);
                 });
    kernel.agent(R"({"name": "std", "skills": ["std"], "run": "inline"})",
                 [](const sutazai::Task &) -> std::string { throw std::runtime_error("oh"); });
    kernel.agent(R"({"name": "int", "skills": ["int"]})",
                 [](const sutazai::Task &) -> std::string { throw 5; });
    kernel.agent(R"({"name": "taken", "skills": ["taken"]})",
                 [](const sutazai::Task &, sutazai::Reply reply) {
                     (void)reply;
                     throw std::runtime_error("lost");
                 });
    kernel.agent(R"({"name": "lent", "skills": ["lent"]})",
                 [](const sutazai::Task &, sutazai::Reply &&) { throw std::runtime_error("kept"); });
    kernel.agent(R"({"name": "garbage", "skills": ["garbage"]})",
                 [](const sutazai::Task &) -> std::string { return "{\xff"; });
    kernel.start();
    THROWS(0x80000009u, kernel.call_wait("ours", ""));
    THROWS(SUTAZAI_AGENT_FAILED, kernel.call_wait("std", ""));
    THROWS(SUTAZAI_BASE_PANIC, kernel.call_wait("int", ""));
    THROWS(SUTAZAI_BASE_PANIC, kernel.call_wait("taken", ""));
    THROWS(SUTAZAI_AGENT_FAILED, kernel.call_wait("lent", ""));
    THROWS(SUTAZAI_AGENT_BAD_ANSWER, kernel.call_wait("garbage", ""));
    try {
        kernel.call_wait("ours", "");
    } catch (const sutazai::Error &error) {
        CHECK(error.cls() == sutazai::Class::Critical);
        CHECK(std::string(error.what()) == "ours");
    }
}

struct Mortal {
    std::shared_ptr<std::atomic<int>> moods;
    std::string operator()(const sutazai::Task &) { return "1"; }
    sutazai::Beat beat() {
        switch (moods->load()) {
        case 0: return sutazai::Beat::Alive;
        case 1: return sutazai::Beat::Unreachable;
        default: throw std::runtime_error("no pulse");
        }
    }
};

static void agents_say_whether_they_live() {
    sutazai::Kernel kernel(R"({"clock": "virtual"})");
    auto moods = std::make_shared<std::atomic<int>>(0);
    kernel.agent(R"({"name": "a", "skills": ["a"]})", Mortal{moods});
    kernel.start();
    auto is = [&](const char *state, std::chrono::milliseconds after) {
        kernel.advance(after);
        const std::string view = kernel.invoke_wait("agent.get", R"({"name": "a"})");
        return view.find(state) != std::string::npos;
    };
    CHECK(is(R"("state":"alive")", std::chrono::milliseconds(10'000)));
    *moods = 1;
    CHECK(is(R"("state":"unreachable")", std::chrono::milliseconds(10'000)));
    *moods = 0;
    CHECK(is(R"("state":"ready")", std::chrono::milliseconds(10'000)));
    *moods = 2;
    CHECK(is(R"("state":"dead")", std::chrono::milliseconds(60'000)));
}

static void tickets_wait_and_become_futures() {
    sutazai::Kernel kernel;
    kernel.agent(R"({"name": "echo", "skills": ["echo"]})",
                 [](const sutazai::Task &task) { return std::string(task.input()); });
    kernel.start();
    CHECK(kernel.call("echo", "1").wait() == "1");
    CHECK(kernel.call_wait("echo", "2", 1s) == "2");
    CHECK(kernel.call("echo", "3").future().get() == "3");
    std::future<std::string> nobody = kernel.call("nobody", "").future();
    THROWS(SUTAZAI_AGENT_NO_SKILL, nobody.get());
    std::promise<std::string> told;
    kernel.call("echo", "4").on_done([&told](std::future<std::string> answer) {
        told.set_value(answer.get());
    });
    CHECK(told.get_future().get() == "4");
    sutazai::CallOptions options;
    options.agent = "echo";
    options.timeout = 5s;
    CHECK(kernel.call("echo", "5", options).wait() == "5");
    kernel.call("echo", "6").detach();
    CHECK(kernel.invoke_wait("event.matches", R"({"pattern": ">", "subject": "a"})") ==
          R"({"matches":true})");
}

static void replies_answer_from_other_threads() {
    sutazai::Kernel kernel;
    std::vector<std::thread> threads;
    std::mutex lock;
    kernel.agent(R"({"name": "slow", "skills": ["slow"], "run": "inline"})",
                 [&](const sutazai::Task &, sutazai::Reply reply) {
                     const std::lock_guard<std::mutex> guard(lock);
                     threads.emplace_back([reply = std::move(reply)]() mutable {
                         reply.progress("\"half\"");
                         reply.send(reply.task().input());
                     });
                 });
    kernel.start();
    auto ticket = kernel.call("slow", "[1]");
    CHECK(ticket.next_part(10s) == "\"half\"");
    CHECK(ticket.wait() == "[1]");
    CHECK(!ticket.next_part(0ms));
    THROWS(SUTAZAI_BASE_TAKEN, ticket.wait());
    for (auto &thread : threads) thread.join();
}

static void cancelling_reaches_the_agent() {
    sutazai::Kernel kernel;
    std::optional<sutazai::Reply> kept;
    int cancels = 0;
    kernel.agent(R"({"name": "keep", "skills": ["keep"], "run": "inline"})",
                 [&](const sutazai::Task &task, sutazai::Reply reply) {
                     CHECK(task.skill() == "keep" && task.id() == 1 && task.left() > 0ms);
                     reply.on_cancel([&] {
                         cancels++;
                         throw 1; // lost
                     });
                     kept.emplace(std::move(reply));
                 });
    kernel.start();
    {
        auto ticket = kernel.call("keep", "");
        CHECK(!ticket.wait_for(1ms) && !ticket.try_take() && !ticket.is_done());
    }
    CHECK(cancels == 1 && kept->cancelled());
    THROWS(SUTAZAI_BASE_TOO_LATE, kept->send("1"));
    THROWS(SUTAZAI_BASE_TOO_LATE, kept->fail(SUTAZAI_AGENT_FAILED, "x"));
}

static void subscribers_may_throw() {
    sutazai::Kernel kernel;
    kernel.start();
    std::promise<std::string> last;
    auto callback = kernel.subscribe("a.*", [&](const sutazai::EventView &event) {
        if (event.subject() == "a.bad") throw std::runtime_error("no");
        last.set_value(std::string(event.payload()));
    });
    CHECK(kernel.publish("a.bad") == 1);
    CHECK(kernel.publish("a.good", "7") == 1);
    CHECK(last.get_future().get() == "7");
    CHECK(callback.exceptions() == 1 && callback.missed() == 0);

    auto pulled = kernel.subscribe("b", R"({"capacity": 4})");
    CHECK(!pulled.next(0ms));
    kernel.publish("b", "8");
    const auto event = pulled.next();
    CHECK(event && event->payload() == "8" && event->missed_before() == 0);
    kernel.log(sutazai::Level::Info, "test", "done", R"({"n": 1})");
}

static void sagas_are_undone_when_a_step_throws() {
    sutazai::Kernel kernel;
    kernel.start();
    std::vector<std::string> calls;
    kernel.saga(
        R"({"name": "trip", "steps": [{"name": "flight"}, {"name": "hotel"}]})",
        [&](const sutazai::SagaCall &call) -> std::string {
            calls.push_back("do " + std::string(call.step));
            if (call.step == "hotel" && call.input == "\"full\"") throw std::runtime_error("no room");
            return std::to_string(call.index);
        },
        [&](const sutazai::SagaCall &call) {
            calls.push_back("undo " + std::string(call.step) + " " +
                            std::string(call.result.value_or("unknown")));
        });
    const std::string run = "recovery.saga_run";
    CHECK(kernel.invoke_wait(run, R"({"name": "trip"})").find("\"output\":1") != std::string::npos);
    THROWS(SUTAZAI_RECOVERY_SAGA_UNDONE,
           kernel.invoke_wait(run, R"({"name": "trip", "input": "full"})"));
    const std::vector<std::string> expected = {"do flight",          "do hotel",     "do flight",
                                               "do hotel",           "undo hotel unknown",
                                               "undo flight 0"};
    CHECK(calls == expected);
    kernel.stop(1s);
}

static void components_may_throw() {
    sutazai::Kernel kernel;
    bool stopped = false;
    kernel.component(
        R"({"name": "good"})", [](sutazai::milliseconds) {},
        [&](sutazai::milliseconds) { stopped = true; });
    kernel.component(
        R"({"name": "bad", "needs": ["good"]})",
        [](sutazai::milliseconds) { throw std::runtime_error("the port is taken"); },
        [](sutazai::milliseconds) {});
    try {
        kernel.start();
        CHECK(false);
    } catch (const sutazai::Error &error) {
        CHECK(std::string(error.what()).find("the port is taken") != std::string::npos);
    }
    CHECK(stopped);
}

namespace parts {

std::string story;

struct Config {
    int size = 3;
};

/// Can be neither copied nor moved.
struct Pool {
    explicit Pool(const Config &config) : config(config) {}
    Pool(const Pool &) = delete;
    ~Pool() { story += "-pool" + std::to_string(config.size); }
    const Config &config;
};

struct Shape {
    virtual ~Shape() = default;
    virtual int sides() const = 0;
};

struct Square : Shape {
    ~Square() override { story += "-square"; }
    int sides() const override { return 4; }
};

}  // namespace parts

static void values_are_built_out_of_what_they_need() {
    using namespace parts;
    story.clear();
    std::shared_ptr<const Pool> pool;
    std::shared_ptr<Shape> shape;
    const auto ours = std::make_shared<std::string>("ours");
    {
        sutazai::Kernel kernel;
        kernel.provide("pool", sutazai::needs<Config, Shape>("config", "shape"),
                       [](Config &config, const Shape &) { return Pool(config); });
        kernel.provide("config", [] { return Config(); });
        kernel.provide("shape", []() -> std::unique_ptr<Shape> { return std::make_unique<Square>(); });
        kernel.provide("ours", [ours] { return ours; }, sutazai::Lifetime::Transient);
        kernel.provide("file", [] {
            auto close = [](int *file) {
                story += "-file";
                delete file;
            };
            return std::unique_ptr<int, decltype(close)>(new int(5), close);
        });
        sutazai::Kernel moved = std::move(kernel);
        moved.start();
        pool = moved.get<const Pool>("pool");
        shape = moved.get<Shape>("shape");
        CHECK(pool->config.size == 3 && shape->sides() == 4);
        CHECK(moved.get<Pool>("pool") == pool);
        CHECK(&pool->config == moved.get<Config>("config").get());
        CHECK(*moved.get<int>("file") == 5);
        {
            const auto one = moved.get<std::string>("ours"), two = moved.get<std::string>("ours");
            CHECK(one == ours && two == ours && ours.use_count() == 4);
        }
        CHECK(ours.use_count() == 2);
        CHECK(story.empty());
    }
    CHECK(ours.use_count() == 1);
    CHECK(story == "-file");
    shape.reset();
    CHECK(story == "-file");
    CHECK(pool->config.size == 3);
    pool.reset();
    CHECK(story == "-file-pool3-square");
}

static void scopes_have_values_of_their_own() {
    static_assert(!std::is_copy_constructible_v<sutazai::Scope>);
    static_assert(std::is_nothrow_move_constructible_v<sutazai::Scope>);
    sutazai::Kernel kernel;
    kernel.provide("request", [] { return parts::Config(); }, sutazai::Lifetime::Scoped);
    auto one = kernel.scope(), two = kernel.scope();
    const auto first = one.get<parts::Config>("request");
    CHECK(first == one.get<parts::Config>("request"));
    CHECK(first != two.get<parts::Config>("request"));
    THROWS(SUTAZAI_KERNEL_INJECT_SCOPE, kernel.get<parts::Config>("request"));
    kernel.stop();
    THROWS(SUTAZAI_BASE_NOT_RUNNING, one.get<parts::Config>("request"));
    THROWS(SUTAZAI_BASE_NOT_RUNNING, kernel.get<parts::Config>("request"));
    THROWS(SUTAZAI_BASE_NOT_RUNNING, kernel.scope());
    CHECK(first->size == 3);
}

static void factories_may_throw() {
    sutazai::Kernel kernel;
    bool fails = true;
    kernel.provide("flaky", [&]() -> int {
        if (fails) throw std::runtime_error("the disk is full");
        return 7;
    });
    kernel.provide("ours", []() -> int {
        throw sutazai::Error(0x80000009u, "ours", sutazai::Class::Critical);
    });
    kernel.provide("odd", []() -> int { throw 5; });
    kernel.provide("null", [] { return std::unique_ptr<int>(); });
    kernel.provide("top", sutazai::needs<int>("flaky"), [](int &flaky) { return flaky + 1; });
    try {
        kernel.get<int>("top");
        CHECK(false);
    } catch (const sutazai::Error &error) {
        const std::string text = error.what();
        CHECK(error.code() == SUTAZAI_KERNEL_INJECT_FAILED);
        CHECK(text.find("the disk is full") != std::string::npos);
        CHECK(text.find("\"top\" → \"flaky\"") != std::string::npos);
    }
    fails = false;
    CHECK(*kernel.get<int>("top") == 8);
    try {
        kernel.get<int>("ours");
        CHECK(false);
    } catch (const sutazai::Error &error) {
        CHECK(error.code() == SUTAZAI_KERNEL_INJECT_FAILED);
        CHECK(error.cls() == sutazai::Class::Critical);
    }
    THROWS(SUTAZAI_KERNEL_INJECT_FAILED, kernel.get<int>("odd"));
    THROWS(SUTAZAI_KERNEL_INJECT_FAILED, kernel.get<int>("null"));
    THROWS(SUTAZAI_KERNEL_INJECT_MISSING, kernel.get<int>("nothing"));
    THROWS(SUTAZAI_BASE_NOT_RUNNING, kernel.provide("late", [] { return 1; }));
}

static void a_value_of_another_type_is_refused() {
    sutazai::Kernel kernel;
    kernel.provide("number", [] { return 7; });
    kernel.provide("text", sutazai::needs<std::string>("number"),
                   [](std::string &number) { return number + "!"; });
    static int foreign = 9;
    sutazai_factory_table table{};
    table.size = sizeof table;
    table.build = [](void *, void *const *, size_t, void **out) -> sutazai_error * {
        *out = &foreign;
        return nullptr;
    };
    sutazai::check(sutazai_kernel_provide(kernel.raw(), "foreign", 7, nullptr, 0,
                                          SUTAZAI_LIFETIME_SINGLETON, &table));
    kernel.provide("ours", sutazai::needs<int>("foreign"), [](int &number) { return number + 1; });
    THROWS(SUTAZAI_BASE_ALREADY_EXISTS, kernel.provide("number", [] { return std::string(); }));
    try {
        kernel.get<long>("number");
        CHECK(false);
    } catch (const sutazai::Error &error) {
        CHECK(error.code() == SUTAZAI_BASE_INVALID);
        CHECK(std::string(error.what()) == "the type of the value \"number\" is int, not long");
    }
    THROWS(SUTAZAI_KERNEL_INJECT_FAILED, kernel.get<std::string>("text"));
    CHECK(*kernel.get<const int>("number") == 7);
    CHECK(kernel.get<int>("foreign").get() == &foreign && *kernel.get<int>("ours") == 10);
}

static void many_threads_get_one_value() {
    sutazai::Kernel kernel;
    std::atomic<int> built{0};
    kernel.provide("shared", [&] {
        built++;
        std::this_thread::yield();
        return parts::Config();
    });
    std::array<std::shared_ptr<parts::Config>, 8> found;
    std::vector<std::thread> threads;
    for (auto &place : found) {
        threads.emplace_back([&] { place = kernel.get<parts::Config>("shared"); });
    }
    for (auto &thread : threads) thread.join();
    for (const auto &value : found) CHECK(value && value == found[0]);
    CHECK(built == 1);
}

#define RUN(test) run(#test, test)

int main() {
    RUN(handles_are_move_only);
    RUN(errors_are_exceptions);
    RUN(versions_take_over);
    RUN(what_an_agent_throws_is_the_answer);
    RUN(agents_say_whether_they_live);
    RUN(tickets_wait_and_become_futures);
    RUN(replies_answer_from_other_threads);
    RUN(cancelling_reaches_the_agent);
    RUN(subscribers_may_throw);
    RUN(components_may_throw);
    RUN(sagas_are_undone_when_a_step_throws);
    RUN(values_are_built_out_of_what_they_need);
    RUN(scopes_have_values_of_their_own);
    RUN(factories_may_throw);
    RUN(a_value_of_another_type_is_refused);
    RUN(many_threads_get_one_value);
    return failed ? 1 : 0;
}
