// SutazAI for C++17 with exceptions and RTTI: RAII over sutazai.h, header only.
//
// Every class owns one C handle, is move-only, and frees it; a moved-from object may only be
// destroyed or assigned to. What fails throws sutazai::Error. JSON crosses as text: bring the JSON
// library of your choice. A lambda that is given to the kernel may throw: an agent's exception is
// the answer of its call, a component's fails its start or stop, a factory's fails whoever asked for
// the value, an action's and a stage's stand in their record, a provider's fails its login, a subscriber's is counted. Ownership, threads and blocking are as sutazai.h says.
#ifndef SUTAZAI_HPP
#define SUTAZAI_HPP

#include "sutazai.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeindex>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#if __has_include(<cxxabi.h>)
#include <cxxabi.h>
#endif

namespace sutazai {

using milliseconds = std::chrono::milliseconds;

/// How bad a failure is, and whether trying again may help.
enum class Class : uint32_t {
    OfCode = SUTAZAI_CLASS_OF_CODE,
    Transient = SUTAZAI_TRANSIENT,
    Persistent = SUTAZAI_PERSISTENT,
    Critical = SUTAZAI_CRITICAL,
};

/// What an agent says of its life; see sutazai_agent_table.
enum class Beat : uint32_t {
    Alive = SUTAZAI_BEAT_ALIVE,
    Unreachable = SUTAZAI_BEAT_UNREACHABLE,
    Dead = SUTAZAI_BEAT_DEAD,
    None = SUTAZAI_BEAT_NONE,
};

enum class Level : uint32_t {
    Trace = SUTAZAI_TRACE,
    Debug = SUTAZAI_DEBUG,
    Info = SUTAZAI_INFO,
    Warn = SUTAZAI_WARN,
    Error = SUTAZAI_ERROR,
};

/// How long a provided value lives: until the kernel stops; as long as the scope that asks for it; as
/// long as whoever asks for it.
enum class Lifetime : uint32_t {
    Singleton = SUTAZAI_LIFETIME_SINGLETON,
    Scoped = SUTAZAI_LIFETIME_SCOPED,
    Transient = SUTAZAI_LIFETIME_TRANSIENT,
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

/// A call of a saga's step; what it views lives until the step returns.
struct SagaCall {
    std::string_view saga;
    std::string_view name;
    std::string_view step;
    /// The same for every call of this step, in this direction, of this saga.
    std::string_view key;
    /// What the saga was begun with, as JSON.
    std::string_view input;
    /// What the steps before this one gave, as a JSON object by name.
    std::string_view gave;
    /// To undo: what the step gave, as JSON, unless it is not known whether it took effect.
    std::optional<std::string_view> result;
    /// The step's place, from 0.
    size_t index;
    /// Which try this is, from 1.
    uint64_t attempt;

    explicit SagaCall(const sutazai_saga_call &call)
        : saga(call.saga.data, call.saga.len),
          name(call.name.data, call.name.len),
          step(call.step.data, call.step.len),
          key(call.key.data, call.key.len),
          input(call.input.data, call.input.len),
          gave(call.gave.data, call.gave.len),
          index(call.index),
          attempt(call.attempt) {
        if (call.result.len > 0) result.emplace(call.result.data, call.result.len);
    }
};

/// A call of a playbook's action; what it views lives until the action returns.
struct ActionCall {
    std::string_view action;
    /// The playbook that asks for it.
    std::string_view playbook;
    /// Its parameters, filled in, as JSON.
    std::string_view params;
    /// What set the playbook off, as JSON.
    std::string_view trigger;
    /// When, by the kernel's clock: RFC 3339.
    std::string_view at;
    /// The number of its entry in the record.
    uint64_t entry;

    explicit ActionCall(const sutazai_action_call &call) noexcept
        : action(detail::view(call.action)),
          playbook(detail::view(call.playbook)),
          params(detail::view(call.params)),
          trigger(detail::view(call.trigger)),
          at(detail::view(call.at)),
          entry(call.entry) {}
};

/// Why the safe state is taken; what it views lives until the stage returns.
struct SafeCall {
    std::string_view stage;
    /// "critical", "panic", "signal" or "host".
    std::string_view trigger;
    /// In words.
    std::string_view reason;
    /// The time that the stage has.
    milliseconds within;

    explicit SafeCall(const sutazai_safe_call &call) noexcept
        : stage(detail::view(call.stage)),
          trigger(detail::view(call.trigger)),
          reason(detail::view(call.reason)),
          within(static_cast<milliseconds::rep>(call.within_ms)) {}
};

/// What agent is ordered of a factory; valid until it returns. `skills` and `parameters` are JSON.
struct AgentOrder {
    std::string_view name;
    std::string_view agent_template;
    std::string_view skills;
    std::string_view parameters;
};

/// What somebody offers to prove who they are; what it views lives until the provider returns.
struct Credential {
    std::string_view scheme;
    /// Who they say they are, if they do; in a login that is under way, who it is for.
    std::optional<std::string_view> principal;
    /// The secret part: bytes, which need not be text.
    std::string_view secret;
    /// The login that it belongs to, where it answers a challenge.
    std::optional<std::string_view> login;
    /// When it is asked, by the kernel's clock: since 1970.
    milliseconds now;

    explicit Credential(const sutazai_credential &given)
        : scheme(detail::view(given.scheme)),
          secret(reinterpret_cast<const char *>(given.secret), given.secret_len),
          now(static_cast<milliseconds::rep>(given.now_ms)) {
        if (given.principal.len > 0) principal.emplace(detail::view(given.principal));
        if (given.login.len > 0) login.emplace(detail::view(given.login));
    }
};

/// A factor of a login: derive from it, and hand it to Kernel::auth_provider. What it throws is an error of the
/// login, security.provider_failed, and never an accept. It may block, and is asked by several logins at once.
class AuthProvider {
  public:
    /// It is them. Somebody else than the credential says is refused.
    struct Accepted {
        std::string principal;
        /// What else is known of them, for policies: a JSON object of texts, or nothing.
        std::string attributes = {};
    };
    /// It is not them, and why: for the audit trail.
    struct Refused {
        std::string why;
    };
    using Answer = std::variant<Accepted, Refused>;

    AuthProvider() = default;
    AuthProvider(const AuthProvider &) = delete;
    AuthProvider &operator=(const AuthProvider &) = delete;
    virtual ~AuthProvider() = default;

    virtual Answer authenticate(const Credential &credential) = 0;
    /// What the principal needs to answer with this factor, a JSON object of texts or nothing; std::nullopt where
    /// they have not enrolled it. Unless it is overridden everybody has it.
    virtual std::optional<std::string> challenge(std::string_view principal,
                                                 std::string_view login) {
        (void)principal;
        (void)login;
        return std::string();
    }
};

/// Where a monitor says what it measures, until it returns.
class Samples {
  public:
    explicit Samples(sutazai_samples *samples) noexcept : samples_(samples) {}

    /// A measurement: a name with its unit, as Prometheus has them (queue_length, cache_bytes; one in _total is a
    /// counter), and a finite value.
    void add(std::string_view series, double value) const {
        check(sutazai_samples_add(samples_, series.data(), series.size(), value));
    }

  private:
    sutazai_samples *samples_;
};

/// One life of a supervised loop, until it returns.
class WorkerLife {
  public:
    explicit WorkerLife(const sutazai_worker_life *life) noexcept : life_(life) {}

    /// The path of the child: `main>workers>reviewer`.
    std::string_view child() const noexcept { return detail::view(sutazai_worker_child(life_)); }
    /// Pauses for so long, or until it is told to stop; says whether it was.
    bool wait(milliseconds pause) const noexcept {
        const auto count = pause.count();
        return sutazai_worker_wait(life_, count < 0 ? 0 : static_cast<uint64_t>(count));
    }

  private:
    const sutazai_worker_life *life_;
};

/// A message that a supervised child has in hand; what it views lives until the handler returns.
struct WorkerMessage {
    /// The path of the child.
    std::string_view child;
    /// JSON.
    std::string_view body;
    /// Its number within the child's mailbox.
    uint64_t id;
    /// How often it was in hand when its child came down.
    uint64_t kills;
};

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
    /// Says what the call took, before it is answered; see sutazai_reply_used.
    void used(uint64_t input_tokens, uint64_t output_tokens, double cost) {
        check(sutazai_reply_used(reply_.get(), input_tokens, output_tokens, cost));
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

/// The values that a factory gets, by name: a reference to each, in this order. Made by `needs`.
template <typename... T>
struct Needs {
    std::array<std::string_view, sizeof...(T)> names;
};

/// `needs<Config, Log>("config", "log")`.
template <typename... T, typename... Names>
Needs<T...> needs(Names... names) {
    static_assert(sizeof...(T) == sizeof...(Names), "a type for each name");
    return {{std::string_view(names)...}};
}

namespace detail {

/// A type's name for people, where the compiler has one.
inline std::string readable(std::type_index type) {
#if __has_include(<cxxabi.h>)
    const std::unique_ptr<char, void (*)(void *)> name(
        abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr), std::free);
    if (name) return name.get();
#endif
    return type.name();
}

/// The types of the values that C++ provided, by name: what crosses C is a void *.
class Types {
  public:
    template <typename T>
    void note(const std::string &name) {
        const std::lock_guard<std::mutex> guard(lock_);
        types_.emplace(name, typeid(T));
    }

    /// Where a T is; throws when it is something else. What C provided is what it is said to be.
    template <typename T>
    T *cast(std::string_view name, void *value) const {
        const std::lock_guard<std::mutex> guard(lock_);
        const auto found = types_.find(name);
        if (found != types_.end() && found->second != typeid(T)) {
            throw Error(SUTAZAI_BASE_INVALID,
                        "the type of the value \"" + std::string(name) + "\" is " +
                            readable(found->second) + ", not " + readable(typeid(T)));
        }
        return static_cast<T *>(value);
    }

    /// A share in a value; the hold on it goes with the last.
    template <typename T>
    std::shared_ptr<T> share(std::string_view name, sutazai_value *value) const {
        const std::shared_ptr<sutazai_value> hold(value, sutazai_value_free);
        return {hold, cast<T>(name, sutazai_value_get(value))};
    }

  private:
    mutable std::mutex lock_;
    std::map<std::string, std::type_index, std::less<>> types_;
};

/// What a factory provides that returns a value, or a smart pointer to one.
template <typename Returned>
struct Value {
    using Type = Returned;
};
template <typename T, typename D>
struct Value<std::unique_ptr<T, D>> {
    using Type = T;
};
template <typename T>
struct Value<std::shared_ptr<T>> {
    using Type = T;
};

/// The `user` of a factory's table.
template <typename F, typename... T>
class Factory {
    using Returned = std::invoke_result_t<F &, T &...>;
    using Made = typename Value<Returned>::Type;
    static_assert(std::is_object_v<Made> && !std::is_const_v<Made>,
                  "a factory returns a value, or a std::unique_ptr or std::shared_ptr to one, that "
                  "is not const (ask for it as const instead)");

  public:
    Factory(std::string_view name, const Needs<T...> &needs, F f, std::shared_ptr<Types> types)
        : name_(name), f_(std::move(f)), types_(std::move(types)) {
        for (size_t i = 0; i < sizeof...(T); i++) needs_[i] = needs.names[i];
    }

    static sutazai_error *build(void *user, void *const *needs, size_t, void **out) noexcept {
        try {
            *out = static_cast<Factory *>(user)->made(needs, std::index_sequence_for<T...>());
            return nullptr;
        } catch (...) {
            return caught();
        }
    }

    static void destroy(void *user, void *value) noexcept {
        auto &self = *static_cast<Factory *>(user);
        std::unique_lock<std::mutex> guard(self.lock_);
        const auto gone = self.values_.extract(self.values_.find(value));
        guard.unlock();
    }

  private:
    template <size_t... I>
    void *made([[maybe_unused]] void *const *needs, std::index_sequence<I...>) {
        std::shared_ptr<Made> value;
        if constexpr (std::is_same_v<Made, Returned>) {
            value.reset(new Made(f_(*types_->template cast<T>(needs_[I], needs[I])...)));
        } else {
            value = f_(*types_->template cast<T>(needs_[I], needs[I])...);
        }
        if (!value) return nullptr;
        types_->template note<Made>(name_);
        void *const pointer = value.get();
        const std::lock_guard<std::mutex> guard(lock_);
        values_.emplace(pointer, std::move(value));
        return pointer;
    }

    std::string name_;
    std::array<std::string, sizeof...(T)> needs_;
    F f_;
    std::shared_ptr<Types> types_;
    std::mutex lock_;
    /// One for each that was built and is not destroyed; a factory may share one out again.
    std::unordered_multimap<void *, std::shared_ptr<Made>> values_;
};

}  // namespace detail

/// Something that opens and closes, such as a request: a value of Lifetime::Scoped is built at most
/// once in it. Destroying it lets go of its values.
class Scope {
  public:
    Scope(sutazai_scope *scope, std::shared_ptr<const detail::Types> types) noexcept
        : types_(std::move(types)), scope_(scope) {}

    /// The value of this name; see Kernel::get.
    template <typename T>
    std::shared_ptr<T> get(std::string_view name) {
        sutazai_value *value = nullptr;
        check(sutazai_scope_get(scope_.get(), name.data(), name.size(), &value));
        return types_->template share<T>(name, value);
    }

    sutazai_scope *raw() const noexcept { return scope_.get(); }

  private:
    std::shared_ptr<const detail::Types> types_;
    detail::Owned<sutazai_scope, sutazai_scope_free> scope_;
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
    /// 1 to 255, higher ones first where calls wait; 0 for as urgent as the work that calls.
    uint32_t priority = 0;
    /// What else is wanted of the call, JSON; see sutazai_call_options.
    std::string_view terms;
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
    /// (JSON), or `void(const Task &, Reply)`, which answers when it likes. Where it has `Beat beat()` as well,
    /// it is asked now and then whether it lives; to throw is no sign of life.
    template <typename F>
    void agent(std::string_view card, F f) {
        register_agent(card, std::move(f), sutazai_agent_add);
    }

    /// As agent, or puts another version in charge of its name, as `version` on its card says; the one
    /// before stands by, and the operation "agent.switch" puts it in charge again. See
    /// sutazai_agent_replace.
    template <typename F>
    void replace_agent(std::string_view card, F f) {
        register_agent(card, std::move(f), sutazai_agent_replace);
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

    /// Defines a saga: `act(const SagaCall &)` does the step that is named there and returns what it
    /// gives, as JSON text; `undo(const SagaCall &)` undoes it. See sutazai_saga_define for the
    /// description. `invoke_wait("recovery.saga_run", …)` runs one.
    template <typename Act, typename Undo>
    void saga(std::string_view description, Act act, Undo undo) {
        struct State {
            Act act;
            Undo undo;
        };
        auto state = std::make_unique<State>(State{std::move(act), std::move(undo)});
        sutazai_saga_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<State>;
        table.act = [](void *user, const sutazai_saga_call *call,
                       sutazai_saga_answer *answer) -> sutazai_error * {
            try {
                const std::string gave = static_cast<State *>(user)->act(SagaCall(*call));
                return sutazai_saga_give(answer, gave.data(), gave.size());
            } catch (...) {
                return detail::caught();
            }
        };
        table.undo = [](void *user, const sutazai_saga_call *call) -> sutazai_error * {
            try {
                static_cast<State *>(user)->undo(SagaCall(*call));
                return nullptr;
            } catch (...) {
                return detail::caught();
            }
        };
        check(sutazai_saga_define(kernel_.get(), description.data(), description.size(), &table));
    }

    /// Makes an action known to playbooks: `f(const ActionCall &)` does it and returns what the record
    /// has of it, as JSON text. In a dry run the record only says that it would. See
    /// sutazai_playbook_action_add for the description.
    template <typename F>
    void playbook_action(std::string_view description, F f) {
        add_action<F, std::nullptr_t>(description, std::move(f), nullptr);
    }

    /// As above; in a dry run `dry_run(const ActionCall &)` says what `f` would do, and does nothing.
    template <typename F, typename Dry>
    void playbook_action(std::string_view description, F f, Dry dry_run) {
        add_action<F, Dry>(description, std::move(f), std::move(dry_run));
    }

    /// Adds a stage on the way to the safe state: `f(const SafeCall &)`, which fails by throwing. See
    /// sutazai_failsafe_stage_add for the description.
    template <typename F>
    void failsafe_stage(std::string_view description, F f) {
        static_assert(std::is_invocable_v<F &, const SafeCall &>, "a stage is f(const SafeCall &)");
        auto state = std::make_unique<F>(std::move(f));
        sutazai_stage_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<F>;
        table.run = [](void *user, const sutazai_safe_call *call) -> sutazai_error * {
            try {
                (*static_cast<F *>(user))(SafeCall(*call));
                return nullptr;
            } catch (...) {
                return detail::caught();
            }
        };
        check(sutazai_failsafe_stage_add(kernel_.get(), description.data(), description.size(),
                                         &table));
    }

    /// Adds a factor to logins. See sutazai_auth_provider_add for the scheme, and for when.
    void auth_provider(std::string_view scheme, std::unique_ptr<AuthProvider> provider) {
        if (!provider) throw Error(SUTAZAI_BASE_INVALID, "there is no provider");
        sutazai_auth_provider_table table{};
        table.size = sizeof table;
        table.user = provider.release();
        table.drop = detail::drop<AuthProvider>;
        table.authenticate = [](void *user, const sutazai_credential *credential,
                                sutazai_auth_answer *given) -> sutazai_error * {
            try {
                const AuthProvider::Answer answer =
                    static_cast<AuthProvider *>(user)->authenticate(Credential(*credential));
                if (const auto *accepted = std::get_if<AuthProvider::Accepted>(&answer)) {
                    return sutazai_auth_accept(
                        given, accepted->principal.data(), accepted->principal.size(),
                        accepted->attributes.data(), accepted->attributes.size());
                }
                const std::string &why = std::get<AuthProvider::Refused>(answer).why;
                return sutazai_auth_refuse(given, why.data(), why.size());
            } catch (...) {
                return detail::caught();
            }
        };
        table.challenge = [](void *user, sutazai_str principal, sutazai_str login, int64_t,
                             sutazai_auth_offer *offer) -> sutazai_error * {
            try {
                const auto given = static_cast<AuthProvider *>(user)->challenge(
                    detail::view(principal), detail::view(login));
                if (!given) return nullptr;
                return sutazai_auth_offer_give(offer, given->data(), given->size());
            } catch (...) {
                return detail::caught();
            }
        };
        check(sutazai_auth_provider_add(kernel_.get(), scheme.data(), scheme.size(), &table));
    }

    /// Adds a monitor: `sample(const Samples &)` adds what it measures, and throws where something cannot be measured.
    /// See sutazai_monitor_add for the name, and for when.
    template <typename F> void monitor(std::string_view name, F sample) {
        static_assert(std::is_invocable_v<F &, const Samples &>,
                      "a monitor is f(const Samples &)");
        auto state = std::make_unique<F>(std::move(sample));
        sutazai_monitor_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<F>;
        table.sample = [](void *user, int64_t, sutazai_samples *samples) -> sutazai_error * {
            try {
                (*static_cast<F *>(user))(Samples(samples));
                return nullptr;
            } catch (...) {
                return detail::caught();
            }
        };
        check(sutazai_monitor_add(kernel_.get(), name.data(), name.size(), &table));
    }

    /// Has state of the host's saved in checkpoints and restored from them: `save()` gives it as JSON text,
    /// `restore(std::string_view)` takes it on; both fail by throwing. See sutazai_checkpointed_add for the
    /// description.
    template <typename Save, typename Restore>
    void checkpointed(std::string_view description, Save save, Restore restore) {
        static_assert(std::is_invocable_r_v<std::string, Save &>, "save is std::string()");
        static_assert(std::is_invocable_v<Restore &, std::string_view>,
                      "restore is f(std::string_view)");
        struct State {
            Save save;
            Restore restore;
        };
        auto state = std::make_unique<State>(State{std::move(save), std::move(restore)});
        sutazai_checkpointed_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<State>;
        table.save = [](void *user, sutazai_state *kept) -> sutazai_error * {
            try {
                const std::string given = static_cast<State *>(user)->save();
                return sutazai_state_give(kept, given.data(), given.size());
            } catch (...) {
                return detail::caught();
            }
        };
        table.restore = [](void *user, const char *kept, size_t len) -> sutazai_error * {
            try {
                static_cast<State *>(user)->restore(std::string_view(kept, len));
                return nullptr;
            } catch (...) {
                return detail::caught();
            }
        };
        check(sutazai_checkpointed_add(kernel_.get(), description.data(), description.size(),
                                       &table));
    }

    /// Registers what makes agents, by the name that templates have: `make(const AgentOrder &)` returns what
    /// an agent does, as agent() takes it. See sutazai_agent_factory_add.
    template <typename F>
    void agent_factory(std::string_view name, F make) {
        using Made = std::invoke_result_t<F &, const AgentOrder &>;
        auto state = std::make_unique<F>(std::move(make));
        sutazai_agent_factory_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<F>;
        table.make = [](void *user, const sutazai_agent_order *order,
                        sutazai_agent_table *agent) -> sutazai_error * {
            try {
                auto made = std::make_unique<Made>((*static_cast<F *>(user))(
                    AgentOrder{detail::view(order->name), detail::view(order->agent_template),
                               detail::view(order->skills), detail::view(order->parameters)}));
                agent->user = made.release();
                agent->drop = detail::drop<Made>;
                agent->handle = handle<Made>;
                agent->beat = beat_of<Made>();
                return nullptr;
            } catch (...) {
                return detail::caught();
            }
        };
        check(sutazai_agent_factory_add(kernel_.get(), name.data(), name.size(), &table));
    }

    /// Registers a loop for children of trees of supervisors: `run(const WorkerLife &)` works until it
    /// is done or told to stop. See sutazai_worker_add for the description.
    template <typename F>
    void worker(std::string_view description, F run) {
        auto state = std::make_unique<F>(std::move(run));
        sutazai_worker_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<F>;
        table.run = [](void *user, const sutazai_worker_life *life) -> sutazai_error * {
            try {
                (*static_cast<F *>(user))(WorkerLife(life));
                return nullptr;
            } catch (...) {
                return detail::caught();
            }
        };
        check(sutazai_worker_add(kernel_.get(), description.data(), description.size(), &table));
    }

    /// Registers what children of trees do with messages: `handle(const WorkerMessage &)`. See
    /// sutazai_worker_add for the description.
    template <typename F>
    void message_worker(std::string_view description, F handle) {
        auto state = std::make_unique<F>(std::move(handle));
        sutazai_worker_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<F>;
        table.handle = [](void *user, const sutazai_worker_message *message) -> sutazai_error * {
            try {
                (*static_cast<F *>(user))(WorkerMessage{detail::view(message->child),
                                                        detail::view(message->body), message->id,
                                                        message->kills});
                return nullptr;
            } catch (...) {
                return detail::caught();
            }
        };
        check(sutazai_worker_add(kernel_.get(), description.data(), description.size(), &table));
    }

    /// Provides a value by name. `f` builds it when it is first asked for; it returns the value, or
    /// a std::unique_ptr or std::shared_ptr to it. See sutazai_kernel_provide.
    template <typename F, typename = std::enable_if_t<std::is_invocable_v<F &>>>
    void provide(std::string_view name, F f, Lifetime lifetime = Lifetime::Singleton) {
        provide(name, Needs<>(), std::move(f), lifetime);
    }

    /// As above, out of other values: `f(T &...)` gets those of `sutazai::needs<T...>(names...)`,
    /// which live at least as long as the one that it builds.
    template <typename... T, typename F>
    void provide(std::string_view name, const Needs<T...> &needs, F f,
                 Lifetime lifetime = Lifetime::Singleton) {
        static_assert(std::is_invocable_v<F &, T &...>,
                      "a factory gets a reference to each value that it needs");
        using Factory = detail::Factory<F, T...>;
        std::array<sutazai_str, sizeof...(T)> names{};
        for (size_t i = 0; i < sizeof...(T); i++) {
            names[i] = {needs.names[i].data(), needs.names[i].size()};
        }
        auto factory = std::make_unique<Factory>(name, needs, std::move(f), types_);
        sutazai_factory_table table{};
        table.size = sizeof table;
        table.user = factory.release();
        table.drop = detail::drop<Factory>;
        table.build = Factory::build;
        table.destroy = Factory::destroy;
        check(sutazai_kernel_provide(kernel_.get(), name.data(), name.size(), names.data(),
                                     names.size(), static_cast<uint32_t>(lifetime), &table));
    }

    /// The value of this name, which stays as long as whoever shares it, also when the kernel stops.
    /// T is what its factory returns; something else throws base.invalid. For a value that C
    /// provided, T is what the program knows it to be. See sutazai_kernel_get.
    template <typename T>
    std::shared_ptr<T> get(std::string_view name) {
        sutazai_value *value = nullptr;
        check(sutazai_kernel_get(kernel_.get(), name.data(), name.size(), &value));
        return types_->template share<T>(name, value);
    }

    /// Opens a scope for values of Lifetime::Scoped.
    Scope scope() {
        sutazai_scope *scope = nullptr;
        check(sutazai_kernel_scope(kernel_.get(), &scope));
        return Scope(scope, types_);
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
        raw.priority = options.priority;
        if (!options.terms.empty()) {
            raw.terms = options.terms.data();
            raw.terms_len = options.terms.size();
        }
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
    void register_agent(std::string_view card, F f, decltype(sutazai_agent_add) *registers) {
        static_assert(std::is_invocable_v<F &, const Task &, Reply> ||
                          std::is_invocable_r_v<std::string, F &, const Task &>,
                      "an agent is std::string(const Task &) or void(const Task &, Reply)");
        auto state = std::make_unique<F>(std::move(f));
        sutazai_agent_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<F>;
        table.handle = handle<F>;
        table.beat = beat_of<F>();
        check(registers(kernel_.get(), card.data(), card.size(), &table));
    }

    template <typename F, typename = void>
    struct Beats : std::false_type {};
    template <typename F>
    struct Beats<F, std::void_t<decltype(std::declval<F &>().beat())>>
        : std::is_same<decltype(std::declval<F &>().beat()), Beat> {};

    /// What asks an agent whether it lives; nothing for one that cannot say.
    template <typename F>
    static auto beat_of() -> uint32_t (*)(void *) {
        if constexpr (Beats<F>::value) {
            return [](void *user) -> uint32_t {
                try {
                    return static_cast<uint32_t>(static_cast<F *>(user)->beat());
                } catch (...) {
                    return SUTAZAI_BEAT_NONE;
                }
            };
        } else {
            return nullptr;
        }
    }

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

    template <typename F, typename Dry>
    void add_action(std::string_view description, F f, Dry dry_run) {
        static_assert(std::is_invocable_r_v<std::string, F &, const ActionCall &>,
                      "an action is std::string(const ActionCall &)");
        struct State {
            F f;
            Dry dry_run;
        };
        auto state = std::make_unique<State>(State{std::move(f), std::move(dry_run)});
        sutazai_action_table table{};
        table.size = sizeof table;
        table.user = state.release();
        table.drop = detail::drop<State>;
        table.run = [](void *user, const sutazai_action_call *call,
                       sutazai_action_answer *answer) -> sutazai_error * {
            return answered(static_cast<State *>(user)->f, call, answer);
        };
        if constexpr (!std::is_null_pointer_v<Dry>) {
            table.dry_run = [](void *user, const sutazai_action_call *call,
                               sutazai_action_answer *answer) -> sutazai_error * {
                return answered(static_cast<State *>(user)->dry_run, call, answer);
            };
        }
        check(sutazai_playbook_action_add(kernel_.get(), description.data(), description.size(),
                                          &table));
    }

    template <typename F>
    static sutazai_error *answered(F &f, const sutazai_action_call *call,
                                   sutazai_action_answer *answer) noexcept {
        try {
            const std::string given = f(ActionCall(*call));
            return sutazai_action_give(answer, given.data(), given.size());
        } catch (...) {
            return detail::caught();
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

    std::shared_ptr<detail::Types> types_ = std::make_shared<detail::Types>();
    detail::Owned<sutazai_kernel, sutazai_kernel_free> kernel_;
};

/// The library's version.
inline std::string_view version() noexcept { return sutazai_version(); }

/// Calls `f()` on this thread, and gives what it gives. What it calls in turn has no more time than
/// `timeout`, and is as urgent as `priority`: 1 to 255, 0 for as urgent as what is around it.
template <typename F>
auto within(std::optional<milliseconds> timeout, uint32_t priority, F &&f) {
    using Result = std::invoke_result_t<F &>;
    struct Nothing {};
    using Kept = std::conditional_t<std::is_void_v<Result>, Nothing, Result>;
    struct State {
        std::remove_reference_t<F> *f;
        std::optional<Kept> result;
        std::exception_ptr thrown;
    } state{&f, std::nullopt, nullptr};
    auto call = [](void *user) noexcept -> sutazai_error * {
        auto &state = *static_cast<State *>(user);
        try {
            if constexpr (std::is_void_v<Result>) {
                (*state.f)();
                state.result.emplace();
            } else {
                state.result.emplace((*state.f)());
            }
        } catch (...) {
            state.thrown = std::current_exception();
        }
        return nullptr;
    };
    check(sutazai_within(detail::millis(timeout), priority, call, &state));
    if (state.thrown != nullptr) std::rethrow_exception(state.thrown);
    if constexpr (!std::is_void_v<Result>) return std::move(*state.result);
}

/// Stands between a call and trouble: retry, budget, breaker, bulkhead, rate limit and timeout. Any
/// number of threads may use one at once.
class Guard {
  public:
    /// `policy` is JSON as sutazai_guard_new says. With a kernel the time and the shared parts are its.
    explicit Guard(std::string_view name, std::string_view policy = {},
                   const Kernel *kernel = nullptr) {
        sutazai_guard *guard = nullptr;
        check(sutazai_guard_new(kernel == nullptr ? nullptr : kernel->raw(), name.data(), name.size(),
                                policy.data(), policy.size(), &guard));
        guard_.reset(guard);
    }

    /// Calls `f(const sutazai_attempt &)`, as often as it takes, and gives what it gives. What it throws
    /// is thrown again when nothing more is tried. A std::logic_error is not tried again, nor is an Error
    /// that is not transient; what the guard rejects is an Error of its own.
    template <typename F>
    auto run(F &&f) const {
        using Result = std::invoke_result_t<F &, const sutazai_attempt &>;
        static_assert(!std::is_reference_v<Result>,
                      "what is guarded returns a value or nothing, not a reference");
        // A function that gives nothing gives this.
        struct Nothing {};
        using Kept = std::conditional_t<std::is_void_v<Result>, Nothing, Result>;
        struct State {
            std::remove_reference_t<F> *f;
            std::optional<Kept> result;
            std::exception_ptr thrown;
        } state{&f, std::nullopt, nullptr};
        auto call = [](void *user, const sutazai_attempt *attempt) noexcept -> sutazai_error * {
            auto &state = *static_cast<State *>(user);
            try {
                if constexpr (std::is_void_v<Result>) {
                    (*state.f)(*attempt);
                    state.result.emplace();
                } else {
                    state.result.emplace((*state.f)(*attempt));
                }
                return nullptr;
            } catch (const std::logic_error &error) {
                state.thrown = std::current_exception();
                const std::string_view text = error.what();
                return sutazai_error_new(SUTAZAI_AGENT_FAILED, SUTAZAI_PERSISTENT, text.data(),
                                         text.size());
            } catch (...) {
                state.thrown = std::current_exception();
                return detail::caught();
            }
        };
        sutazai_error *error = sutazai_guard_run(guard_.get(), call, &state);
        if (error != nullptr) {
            if (state.thrown == nullptr) throw Error(error);
            sutazai_error_free(error);
            std::rethrow_exception(state.thrown);
        }
        if constexpr (!std::is_void_v<Result>) return std::move(*state.result);
    }

    /// JSON.
    std::string status() const {
        sutazai_buffer buffer{};
        check(sutazai_guard_status(guard_.get(), &buffer));
        return detail::take(buffer);
    }
    void set_policy(std::string_view policy) {
        check(sutazai_guard_set_policy(guard_.get(), policy.data(), policy.size()));
    }
    /// SUTAZAI_FORCE_OPEN, SUTAZAI_FORCE_CLOSED or SUTAZAI_FORCE_NONE.
    void force(uint32_t state) { check(sutazai_guard_force(guard_.get(), state)); }
    sutazai_guard *raw() const noexcept { return guard_.get(); }

  private:
    detail::Owned<sutazai_guard, sutazai_guard_free> guard_;
};

}  // namespace sutazai

#endif  // SUTAZAI_HPP
