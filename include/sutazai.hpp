// SutazAI for C++17: RAII over sutazai.h, header only.
//
// Every class owns one C handle, is move-only, and frees it; a moved-from object may only be
// destroyed or assigned to. What fails throws sutazai::Error. JSON crosses as text: bring the JSON
// library of your choice. A lambda that is given to the kernel may throw: an agent's exception is
// the answer of its call, a component's fails its start or stop, a subscriber's is counted. Ownership,
// threads and blocking are as sutazai.h says.
#ifndef SUTAZAI_HPP
#define SUTAZAI_HPP

#include "sutazai.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace sutazai {

using milliseconds = std::chrono::milliseconds;

/// How bad a failure is, and whether trying again may help.
enum class Class : uint32_t {
    OfCode = SUTAZAI_CLASS_OF_CODE,
    Transient = SUTAZAI_TRANSIENT,
    Persistent = SUTAZAI_PERSISTENT,
    Critical = SUTAZAI_CRITICAL,
};

enum class Level : uint32_t {
    Trace = SUTAZAI_TRACE,
    Debug = SUTAZAI_DEBUG,
    Info = SUTAZAI_INFO,
    Warn = SUTAZAI_WARN,
    Error = SUTAZAI_ERROR,
};

namespace detail {

template <typename Handle, void (*Free)(Handle *)>
struct Deleter {
    void operator()(Handle *handle) const noexcept { Free(handle); }
};

template <typename Handle, void (*Free)(Handle *)>
using Owned = std::unique_ptr<Handle, Deleter<Handle, Free>>;

inline std::string_view view(sutazai_str text) noexcept { return {text.data, text.len}; }

/// Takes the text out of a buffer and frees it.
inline std::string take(sutazai_buffer buffer) {
    struct Freed {
        sutazai_buffer buffer;
        ~Freed() { sutazai_buffer_free(&buffer); }
    } freed{buffer};
    return buffer.data == nullptr ? std::string() : std::string(buffer.data, buffer.len);
}

/// SUTAZAI_FOREVER for nothing; what is below zero is zero.
inline uint64_t millis(std::optional<milliseconds> timeout) noexcept {
    if (!timeout) return SUTAZAI_FOREVER;
    return timeout->count() < 0 ? 0 : static_cast<uint64_t>(timeout->count());
}

template <typename State>
void drop(void *user) noexcept {
    delete static_cast<State *>(user);
}

}  // namespace detail

/// What went wrong. Copies share the C error.
class Error : public std::runtime_error {
  public:
    /// An error of the program's own; `code` is a SUTAZAI_… code or one with the top bit set.
    Error(uint32_t code, std::string_view message, Class cls = Class::OfCode)
        : Error(sutazai_error_new(code, static_cast<uint32_t>(cls), message.data(),
                                  message.size())) {}

    /// Takes over an error of the C interface.
    explicit Error(sutazai_error *error)
        : Error(std::shared_ptr<sutazai_error>(error, sutazai_error_free)) {}

    uint32_t code() const noexcept { return sutazai_error_code(error_.get()); }
    Class cls() const noexcept { return static_cast<Class>(sutazai_error_class(error_.get())); }
    /// Such as "base.not_found".
    const char *name() const noexcept { return sutazai_error_name(error_.get()); }
    std::string json() const;
    /// All the problems that it stands for, in order: itself, when it is but one.
    std::vector<Error> problems() const {
        std::vector<Error> problems;
        for (size_t index = 0; index < sutazai_error_problem_count(raw()); index++) {
            problems.emplace_back(sutazai_error_problem(raw(), index));
        }
        return problems;
    }
    const sutazai_error *raw() const noexcept { return error_.get(); }

  private:
    explicit Error(std::shared_ptr<sutazai_error> error)
        : std::runtime_error(sutazai_error_message(error.get())), error_(std::move(error)) {}

    std::shared_ptr<sutazai_error> error_;
};

/// Throws what a function of the C interface answered, unless it is NULL.
inline void check(sutazai_error *error) {
    if (error != nullptr) throw Error(error);
}

inline std::string Error::json() const {
    sutazai_buffer buffer{};
    check(sutazai_error_to_json(error_.get(), &buffer));
    return detail::take(buffer);
}

namespace detail {

/// The current exception as an error of the C interface; never throws.
inline sutazai_error *caught() noexcept {
    auto make = [](uint32_t code, std::string_view text) {
        return sutazai_error_new(code, SUTAZAI_CLASS_OF_CODE, text.data(), text.size());
    };
    try {
        throw;
    } catch (const sutazai::Error &error) {
        return sutazai_error_clone(error.raw());
    } catch (const std::exception &error) {
        return make(SUTAZAI_AGENT_FAILED, error.what());
    } catch (...) {
        return make(SUTAZAI_BASE_PANIC, "an exception that is no std::exception was thrown");
    }
}

}  // namespace detail

/// What an agent is asked to do; lives as long as the Reply that came with it.
class Task {
  public:
    explicit Task(const sutazai_task *task) noexcept : task_(task) {}

    std::string_view skill() const noexcept { return detail::view(sutazai_task_skill(task_)); }
    /// JSON.
    std::string_view input() const noexcept { return detail::view(sutazai_task_input(task_)); }
    uint64_t id() const noexcept { return sutazai_task_id(task_); }
    /// The time left until the caller stops waiting; nothing when there is no deadline.
    std::optional<milliseconds> left() const noexcept {
        const uint64_t ms = sutazai_task_left_ms(task_);
        if (ms == SUTAZAI_FOREVER) return std::nullopt;
        return milliseconds(static_cast<milliseconds::rep>(ms));
    }
    const sutazai_task *raw() const noexcept { return task_; }

  private:
    const sutazai_task *task_;
};

/// The right to answer a call, once. Destroyed unanswered, it answers base.abandoned, or base.panic
/// while an exception flies.
class Reply {
  public:
    Reply(sutazai_reply *reply, const sutazai_task *task) noexcept
        : reply_(reply), task_(task), flying_(std::uncaught_exceptions()) {}
    Reply(Reply &&) noexcept = default;
    Reply &operator=(Reply &&) noexcept = default;
    ~Reply() {
        if (reply_ && std::uncaught_exceptions() > flying_) {
            const std::string_view text = "the agent threw an exception";
            sutazai_error_free(sutazai_reply_fail(reply_.get(), SUTAZAI_BASE_PANIC,
                                                  SUTAZAI_CLASS_OF_CODE, text.data(),
                                                  text.size()));
        }
    }

    Task task() const noexcept { return Task(task_); }

    void send(std::string_view json) {
        check(sutazai_reply_send(reply_.get(), json.data(), json.size()));
    }
    void fail(uint32_t code, std::string_view message, Class cls = Class::OfCode) {
        check(sutazai_reply_fail(reply_.get(), code, static_cast<uint32_t>(cls), message.data(),
                                 message.size()));
    }
    void fail(const Error &error) { check(sutazai_reply_fail_with(reply_.get(), error.raw())); }
    void progress(std::string_view json) {
        check(sutazai_reply_progress(reply_.get(), json.data(), json.size()));
    }
    bool cancelled() const noexcept { return sutazai_reply_cancelled(reply_.get()); }
    /// Runs `f()` when nobody wants the answer any more. What it throws is lost.
    template <typename F>
    void on_cancel(F f) {
        auto state = std::make_unique<F>(std::move(f));
        sutazai_cancel_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<F>;
        table.cancelled = [](void *user) {
            try {
                (*static_cast<F *>(user))();
            } catch (...) {
            }
        };
        check(sutazai_reply_on_cancel(reply_.get(), &table));
    }
    sutazai_reply *raw() const noexcept { return reply_.get(); }
    /// Gives the handle away, to be freed with sutazai_reply_free.
    sutazai_reply *release() noexcept { return reply_.release(); }

  private:
    detail::Owned<sutazai_reply, sutazai_reply_free> reply_;
    const sutazai_task *task_;
    int flying_;
};

/// A call under way. Destroying it cancels the call.
class Ticket {
  public:
    explicit Ticket(sutazai_ticket *ticket) noexcept : ticket_(ticket) {}

    /// Blocks until the answer is there.
    std::string wait() { return *wait_for(std::nullopt); }

    /// Blocks for at most `timeout`; nothing when there is no answer by then.
    std::optional<std::string> wait_for(std::optional<milliseconds> timeout) {
        sutazai_buffer buffer{};
        return given(sutazai_ticket_wait(ticket_.get(), detail::millis(timeout), &buffer), buffer);
    }

    /// The answer if it is there; never blocks.
    std::optional<std::string> try_take() {
        sutazai_buffer buffer{};
        return given(sutazai_ticket_try(ticket_.get(), &buffer), buffer);
    }

    bool is_done() const noexcept { return sutazai_ticket_is_done(ticket_.get()); }

    /// The next partial result; nothing when none came within `timeout`, or none will come.
    std::optional<std::string> next_part(std::optional<milliseconds> timeout = std::nullopt) {
        sutazai_buffer buffer{};
        sutazai_error *error =
            sutazai_ticket_next_part(ticket_.get(), detail::millis(timeout), &buffer);
        if (sutazai_error_code(error) == SUTAZAI_BASE_NOT_FOUND) {
            sutazai_error_free(error);
            return std::nullopt;
        }
        return given(error, buffer);
    }

    void cancel() { check(sutazai_ticket_cancel(ticket_.get())); }

    /// Lets the call go on without anybody to hear the answer.
    void detach() && noexcept { sutazai_ticket_detach(ticket_.release()); }

    /// Runs `f(std::future<std::string>)`, whose future is ready, on the answering thread. What it
    /// throws is lost.
    template <typename F>
    void on_done(F f) && {
        auto state = std::make_unique<F>(std::move(f));
        sutazai_done_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<F>;
        table.done = [](void *user, sutazai_error *error, sutazai_buffer answer) {
            try {
                std::promise<std::string> promise;
                settle(promise, error, answer);
                (*static_cast<F *>(user))(promise.get_future());
            } catch (...) {
            }
        };
        check(sutazai_ticket_on_done(ticket_.get(), &table));
        ticket_.reset();
    }

    /// The answer as a future. The call goes on when the future is dropped.
    std::future<std::string> future() && {
        auto promise = std::make_unique<std::promise<std::string>>();
        std::future<std::string> future = promise->get_future();
        sutazai_done_table table{};
        table.size = sizeof table;
        table.user = promise.release();
        table.drop = detail::drop<std::promise<std::string>>;
        table.done = [](void *user, sutazai_error *error, sutazai_buffer answer) {
            try {
                settle(*static_cast<std::promise<std::string> *>(user), error, answer);
            } catch (...) {
            }
        };
        check(sutazai_ticket_on_done(ticket_.get(), &table));
        ticket_.reset();
        return future;
    }

    sutazai_ticket *raw() const noexcept { return ticket_.get(); }

  private:
    static std::optional<std::string> given(sutazai_error *error, sutazai_buffer buffer) {
        if (sutazai_error_code(error) == SUTAZAI_BASE_TIMEOUT) {
            sutazai_error_free(error);
            return std::nullopt;
        }
        check(error);
        return detail::take(buffer);
    }

    static void settle(std::promise<std::string> &promise, sutazai_error *error,
                       sutazai_buffer answer) {
        if (error != nullptr) {
            promise.set_exception(std::make_exception_ptr(Error(error)));
        } else {
            promise.set_value(detail::take(answer));
        }
    }

    detail::Owned<sutazai_ticket, sutazai_ticket_free> ticket_;
};

/// An event on its arrival, lent to a callback.
class EventView {
  public:
    explicit EventView(const sutazai_event *event) noexcept : event_(event) {}

    std::string_view subject() const noexcept { return detail::view(sutazai_event_subject(event_)); }
    /// JSON.
    std::string_view payload() const noexcept { return detail::view(sutazai_event_payload(event_)); }
    uint64_t missed_before() const noexcept { return sutazai_event_missed_before(event_); }

  private:
    const sutazai_event *event_;
};

/// An event that was pulled.
class Event : public EventView {
  public:
    explicit Event(sutazai_event *event) noexcept : EventView(event), owned_(event) {}

  private:
    detail::Owned<sutazai_event, sutazai_event_free> owned_;
};

/// Events that match a pattern. Destroying it unsubscribes.
class Subscription {
  public:
    explicit Subscription(sutazai_subscription *subscription,
                          std::shared_ptr<std::atomic<uint64_t>> exceptions = nullptr) noexcept
        : subscription_(subscription), exceptions_(std::move(exceptions)) {}

    /// The next event, for a subscription without a callback; nothing when none came in time.
    std::optional<Event> next(std::optional<milliseconds> timeout = std::nullopt) {
        sutazai_event *event = nullptr;
        sutazai_error *error =
            sutazai_subscription_next(subscription_.get(), detail::millis(timeout), &event);
        if (sutazai_error_code(error) == SUTAZAI_BASE_TIMEOUT) {
            sutazai_error_free(error);
            return std::nullopt;
        }
        check(error);
        return Event(event);
    }

    /// How many matching events were lost to overflow.
    uint64_t missed() const noexcept { return sutazai_subscription_missed(subscription_.get()); }

    /// How many times the callback threw.
    uint64_t exceptions() const noexcept { return exceptions_ ? exceptions_->load() : 0; }

  private:
    detail::Owned<sutazai_subscription, sutazai_subscription_free> subscription_;
    std::shared_ptr<std::atomic<uint64_t>> exceptions_;
};

/// What else a call may say.
struct CallOptions {
    /// The agent's or the kernel's default without it.
    std::optional<milliseconds> timeout;
    /// The agent that is asked for.
    std::string_view agent;
    /// On behalf of whoever this token belongs to.
    std::string_view token;
    /// The task that the call is a part of.
    std::optional<Task> within;
};

/// An operations kernel. Destroying it stops it.
class Kernel {
  public:
    /// A kernel as the JSON configuration says; see sutazai_kernel_new.
    explicit Kernel(std::string_view config = {}) {
        sutazai_kernel *kernel = nullptr;
        check(sutazai_kernel_new(config.data(), config.size(), &kernel));
        kernel_.reset(kernel);
    }

    void start() { check(sutazai_kernel_start(kernel_.get())); }

    void stop(milliseconds grace = std::chrono::seconds(5)) {
        check(sutazai_kernel_stop(kernel_.get(), detail::millis(grace)));
    }

    /// Moves virtual time on; says how many pieces of work ran.
    size_t advance(milliseconds by) {
        size_t ran = 0;
        check(sutazai_kernel_advance(kernel_.get(), detail::millis(by), &ran));
        return ran;
    }

    /// Registers an agent. `f` is either `std::string(const Task &)`, which returns the output
    /// (JSON), or `void(const Task &, Reply)`, which answers when it likes.
    template <typename F>
    void agent(std::string_view card, F f) {
        static_assert(std::is_invocable_v<F &, const Task &, Reply> ||
                          std::is_invocable_r_v<std::string, F &, const Task &>,
                      "an agent is std::string(const Task &) or void(const Task &, Reply)");
        auto state = std::make_unique<F>(std::move(f));
        sutazai_agent_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<F>;
        table.handle = handle<F>;
        check(sutazai_agent_add(kernel_.get(), card.data(), card.size(), &table));
    }

    /// Adds a component. `start` and `stop` are `void(milliseconds left)`; see
    /// sutazai_component_add for the description.
    template <typename Start, typename Stop>
    void component(std::string_view description, Start start, Stop stop) {
        struct State {
            Start start;
            Stop stop;
        };
        auto state = std::make_unique<State>(State{std::move(start), std::move(stop)});
        sutazai_component_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<State>;
        table.start = [](void *user, uint64_t left) -> sutazai_error * {
            return guarded(static_cast<State *>(user)->start, left);
        };
        table.stop = [](void *user, uint64_t left) -> sutazai_error * {
            return guarded(static_cast<State *>(user)->stop, left);
        };
        check(sutazai_component_add(kernel_.get(), description.data(), description.size(), &table));
    }

    /// Calls an agent that has the skill; `input` is JSON.
    Ticket call(std::string_view skill, std::string_view input,
                std::optional<milliseconds> timeout = std::nullopt) {
        sutazai_ticket *ticket = nullptr;
        check(sutazai_call(kernel_.get(), skill.data(), skill.size(), input.data(), input.size(),
                           timeout ? detail::millis(timeout) : 0, &ticket));
        return Ticket(ticket);
    }

    Ticket call(std::string_view skill, std::string_view input, const CallOptions &options) {
        sutazai_call_options raw{};
        raw.size = sizeof raw;
        raw.timeout_ms = options.timeout ? detail::millis(options.timeout) : 0;
        if (!options.agent.empty()) {
            raw.agent = options.agent.data();
            raw.agent_len = options.agent.size();
        }
        if (!options.token.empty()) {
            raw.token = options.token.data();
            raw.token_len = options.token.size();
        }
        raw.within = options.within ? options.within->raw() : nullptr;
        sutazai_ticket *ticket = nullptr;
        check(sutazai_call_with(kernel_.get(), skill.data(), skill.size(), input.data(),
                                input.size(), &raw, &ticket));
        return Ticket(ticket);
    }

    /// Calls and waits; the quickest way to call.
    std::string call_wait(std::string_view skill, std::string_view input,
                          std::optional<milliseconds> timeout = std::nullopt) {
        sutazai_buffer buffer{};
        check(sutazai_call_wait(kernel_.get(), skill.data(), skill.size(), input.data(),
                                input.size(), timeout ? detail::millis(timeout) : 0, &buffer));
        return detail::take(buffer);
    }

    /// Calls any operation of the kernel by name.
    Ticket invoke(std::string_view operation, std::string_view request = {}) {
        sutazai_ticket *ticket = nullptr;
        check(sutazai_invoke(kernel_.get(), operation.data(), operation.size(), request.data(),
                             request.size(), &ticket));
        return Ticket(ticket);
    }

    std::string invoke_wait(std::string_view operation, std::string_view request = {}) {
        sutazai_buffer buffer{};
        check(sutazai_invoke_wait(kernel_.get(), operation.data(), operation.size(),
                                  request.data(), request.size(), &buffer));
        return detail::take(buffer);
    }

    /// Publishes an event; says in how many subscriptions' queues it now is.
    size_t publish(std::string_view subject, std::string_view payload = {}) {
        size_t queued = 0;
        check(sutazai_publish(kernel_.get(), subject.data(), subject.size(), payload.data(),
                              payload.size(), &queued));
        return queued;
    }

    /// Subscribes, to pull; `options` is JSON, see sutazai_subscribe.
    Subscription subscribe(std::string_view pattern, std::string_view options = {}) {
        sutazai_subscription *subscription = nullptr;
        check(sutazai_subscribe(kernel_.get(), pattern.data(), pattern.size(), options.data(),
                                options.size(), nullptr, &subscription));
        return Subscription(subscription);
    }

    /// Subscribes; `f(const EventView &)` gets the events.
    template <typename F, typename = std::enable_if_t<std::is_invocable_v<F &, const EventView &>>>
    Subscription subscribe(std::string_view pattern, F f, std::string_view options = {}) {
        struct State {
            F f;
            std::shared_ptr<std::atomic<uint64_t>> exceptions;
        };
        auto exceptions = std::make_shared<std::atomic<uint64_t>>(0);
        auto state = std::make_unique<State>(State{std::move(f), exceptions});
        sutazai_event_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<State>;
        table.event = [](void *user, const sutazai_event *event) {
            auto &state = *static_cast<State *>(user);
            try {
                state.f(EventView(event));
            } catch (...) {
                state.exceptions->fetch_add(1);
            }
        };
        sutazai_subscription *subscription = nullptr;
        check(sutazai_subscribe(kernel_.get(), pattern.data(), pattern.size(), options.data(),
                                options.size(), &table, &subscription));
        return Subscription(subscription, std::move(exceptions));
    }

    /// Writes to the kernel's log; `fields` is a JSON object.
    void log(Level level, std::string_view target, std::string_view message,
             std::string_view fields = {}) {
        check(sutazai_log(kernel_.get(), static_cast<uint32_t>(level), target.data(),
                          target.size(), message.data(), message.size(), fields.data(),
                          fields.size()));
    }

    sutazai_kernel *raw() const noexcept { return kernel_.get(); }

  private:
    template <typename F>
    static void handle(void *user, const sutazai_task *raw, sutazai_reply *raw_reply) noexcept {
        auto &f = *static_cast<F *>(user);
        const Task task(raw);
        Reply reply(raw_reply, raw);
        try {
            if constexpr (std::is_invocable_v<F &, const Task &, Reply>) {
                f(task, std::move(reply));
            } else {
                const std::string output = f(task);
                send(reply, output);
            }
        } catch (...) {
            // Where `f` took the reply, it is gone, and has answered for itself.
            sutazai_error *error = detail::caught();
            if (reply.raw() != nullptr) {
                sutazai_error_free(sutazai_reply_fail_with(reply.raw(), error));
            }
            sutazai_error_free(error);
        }
    }

    /// Answers; what the caller no longer wants is not the agent's failure.
    static void send(Reply &reply, std::string_view output) {
        sutazai_error *error = sutazai_reply_send(reply.raw(), output.data(), output.size());
        if (sutazai_error_code(error) == SUTAZAI_BASE_TOO_LATE) {
            sutazai_error_free(error);
            return;
        }
        if (error != nullptr) {
            const Error bad(error);
            reply.fail(SUTAZAI_AGENT_BAD_ANSWER, bad.what());
        }
    }

    template <typename F>
    static sutazai_error *guarded(F &f, uint64_t left) noexcept {
        try {
            f(milliseconds(static_cast<milliseconds::rep>(left)));
            return nullptr;
        } catch (...) {
            return detail::caught();
        }
    }

    detail::Owned<sutazai_kernel, sutazai_kernel_free> kernel_;
};

/// The library's version.
inline std::string_view version() noexcept { return sutazai_version(); }

}  // namespace sutazai

#endif  // SUTAZAI_HPP
