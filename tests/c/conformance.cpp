// The conformance corpus in the C++ host; tests/conformance/README.md describes the format. Run from
// the root of the repository.
#include "sutazai.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>
#include <vector>

using nlohmann::json;
using namespace std::chrono_literals;

/// The test agents, as one writes them in C++.
static void add_agent(sutazai::Kernel &kernel, const std::string &name) {
    const std::string card = json{{"name", name}, {"skills", {name}}}.dump();
    if (name == "echo") {
        kernel.agent(card, [](const sutazai::Task &task) { return std::string(task.input()); });
    } else if (name == "fail") {
        kernel.agent(card, [](const sutazai::Task &) -> std::string {
            throw std::runtime_error("failed on purpose");
        });
    } else if (name == "hang") {
        auto lock = std::make_shared<std::mutex>();
        auto held = std::make_shared<std::vector<sutazai::Reply>>();
        kernel.agent(card, [lock, held](const sutazai::Task &, sutazai::Reply reply) {
            const std::lock_guard<std::mutex> guard(*lock);
            held->push_back(std::move(reply));
        });
    } else {
        throw std::runtime_error("no test agent is called " + name);
    }
}

/// The test workers.
static void add_worker(sutazai::Kernel &kernel, const std::string &name) {
    const std::string description = json{{"name", name}}.dump();
    if (name == "note") {
        kernel.message_worker(description, [](const sutazai::WorkerMessage &) {});
    } else if (name == "crash") {
        kernel.message_worker(description, [](const sutazai::WorkerMessage &) {
            throw std::runtime_error("failed on purpose");
        });
    } else {
        throw std::runtime_error("no test worker is called " + name);
    }
}

/// A directory that is removed again.
struct TempDir {
    std::filesystem::path path;
    TempDir() {
        std::string name = (std::filesystem::temp_directory_path() / "sutazai-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
        path = name;
    }
    TempDir(const TempDir &) = delete;
    TempDir &operator=(const TempDir &) = delete;
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
};

class Bench {
  public:
    explicit Bench(const json &given)
        : virtual_time_(given.value("clock", "virtual") == "virtual"), kernel_(config(given)) {
        const json agents = given.value("agents", json::array());
        for (const json &name : agents) {
            add_agent(kernel_, name.get<std::string>());
        }
        const json workers = given.value("workers", json::array());
        for (const json &name : workers) {
            add_worker(kernel_, name.get<std::string>());
        }
        if (given.value("start", true)) kernel_.start();
    }

    /// The outcome: {"answer": …}, {"error": …} or {"pending": true}.
    json run(const json &step) {
        sutazai::Ticket ticket = submit(step);
        try {
            const auto text = virtual_time_ ? ticket.try_take() : ticket.wait_for(30s);
            if (!text) return {{"pending", true}};
            return {{"answer", json::parse(*text)}};
        } catch (const sutazai::Error &error) {
            return {{"error", json::parse(error.json())}};
        }
    }

    /// A step of `before`; says what went wrong.
    std::string prepare(const json &step) {
        if (step.value("pending", false)) {
            pending_.push_back(submit(step));
            return {};
        }
        const json outcome = run(step);
        if (!outcome.contains("answer")) return "before: " + outcome.dump();
        const json saves = step.value("save", json::object());
        for (const auto &[name, pointer] : saves.items()) {
            saved_[name] = outcome["answer"].at(json::json_pointer(pointer.get<std::string>()));
        }
        return {};
    }

    /// Saved values stand in requests as "$name".
    json fill(const json &value) const {
        if (value.is_string()) {
            const auto &text = value.get_ref<const std::string &>();
            const auto found = text.empty() || text[0] != '$' ? saved_.end()
                                                              : saved_.find(text.substr(1));
            return found == saved_.end() ? value : found->second;
        }
        json filled = value;
        if (filled.is_structured()) {
            for (auto &item : filled) item = fill(item);
        }
        return filled;
    }

  private:
    std::string config(const json &given) {
        json config{{"seed", given.value("seed", 1)}, {"clock", given.value("clock", "virtual")}};
        if (given.value("data_dir", false)) {
            dir_ = std::make_unique<TempDir>();
            config["data_dir"] = dir_->path.string();
        }
        return config.dump();
    }

    sutazai::Ticket submit(const json &step) {
        const std::string request = fill(step.value("request", json::object())).dump();
        sutazai::Ticket ticket = kernel_.invoke(step.at("op").get<std::string>(), request);
        if (virtual_time_) kernel_.advance(1ms * step.value("advance_ms", 0));
        return ticket;
    }

    bool virtual_time_;
    std::unique_ptr<TempDir> dir_;
    sutazai::Kernel kernel_;
    std::map<std::string, json> saved_;
    std::vector<sutazai::Ticket> pending_;
};

static bool matches(const json &expected, const json &actual) {
    if (expected == "$any") return true;
    if (expected == "$number") return actual.is_number();
    if (expected == "$string") return actual.is_string();
    if (expected == "$array") return actual.is_array();
    if (expected.is_object() && actual.is_object()) {
        const bool partial = expected.contains("$partial");
        if (!partial && expected.size() != actual.size()) return false;
        for (const auto &[key, value] : expected.items()) {
            if (key == "$partial") continue;
            if (!actual.contains(key) || !matches(value, actual[key])) return false;
        }
        return true;
    }
    if (expected.is_array() && actual.is_array()) {
        return std::equal(expected.begin(), expected.end(), actual.begin(), actual.end(), matches);
    }
    return expected == actual;
}

/// Of an error, only what the expectation names is compared.
static bool agrees(const json &expected, const json &actual) {
    if (!expected.contains("error")) return matches(expected, actual);
    if (!actual.contains("error")) return false;
    for (const auto &[key, value] : expected["error"].items()) {
        if (!actual["error"].contains(key) || actual["error"][key] != value) return false;
    }
    return true;
}

static std::string problem(const json &test) {
    Bench bench(test.value("given", json::object()));
    const json before = test.value("/given/before"_json_pointer, json::array());
    for (const json &step : before) {
        const std::string problem = bench.prepare(step);
        if (!problem.empty()) return problem;
    }
    const json actual = bench.run(test);
    const json expected = bench.fill(test.at("expect"));
    if (agrees(expected, actual)) return {};
    return "expected " + expected.dump() + "\n     got " + actual.dump();
}

int main() try {
    std::set<std::string> succeeds, fails;
    bool failed = false;
    const auto report = [&failed](bool good, const std::string &what) {
        std::printf("%s %s\n", good ? "ok" : "not ok", what.c_str());
        failed |= !good;
    };
    // Under memcheck, where a case takes a second, every so manieth is enough.
    const char *every = std::getenv("SUTAZAI_EVERY");
    const unsigned long stride = every ? std::max(1ul, std::strtoul(every, nullptr, 10)) : 1;
    unsigned long number = 0;
    std::set<std::filesystem::path> paths;
    for (const auto &entry : std::filesystem::directory_iterator("tests/conformance")) {
        if (entry.path().extension() == ".json") paths.insert(entry.path());
    }
    for (const auto &path : paths) {
        std::ifstream file(path);
        const json room = json::parse(file);
        for (const json &test : room.at("cases")) {
            const std::string op = test.at("op").get<std::string>();
            if (test["expect"].contains("answer")) succeeds.insert(op);
            if (test["expect"].contains("error")) fails.insert(op);
            if (number++ % stride != 0) continue;
            const std::string text = problem(test);
            report(text.empty(), op + ": " + test.at("name").get<std::string>());
            if (!text.empty()) std::fprintf(stderr, "     %s\n", text.c_str());
        }
    }
    sutazai::Kernel kernel;
    const json table = json::parse(kernel.invoke_wait("kernel.operations")).at("operations");
    for (const std::string op : table) {
        report(succeeds.count(op) == 1 && fails.count(op) == 1,
               op + " has a success and a failure");
    }
    report(!table.empty() && !paths.empty(), "there are operations and cases");
    return failed ? 1 : 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
}
