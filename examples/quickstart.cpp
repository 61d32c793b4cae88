// The quick start in C++17: one agent, one call, one event.
//
//   c++ -std=c++17 quickstart.cpp $(pkg-config --cflags --libs sutazai)
//       -Wl,-rpath,$(pkg-config --variable=libdir sutazai) -o quickstart && ./quickstart
#include <sutazai.hpp>

#include <cctype>
#include <chrono>
#include <iostream>
#include <string>

using namespace std::chrono_literals;

int main() try {
    sutazai::Kernel kernel;

    // Input and output are JSON, here a string. An exception would be the call's answer.
    kernel.agent(R"({"name": "shouter", "skills": ["shout"]})", [](const sutazai::Task &task) {
        std::string output(task.input());
        for (char &c : output) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        return output;
    });

    auto events = kernel.subscribe("greeting.*");
    kernel.start();

    auto answer = kernel.call("shout", R"("hello")", 1s).future();
    const std::string text = answer.get();
    std::cout << "answer: " << text << '\n';

    kernel.publish("greeting.sent", text);
    if (auto event = events.next(1s)) {
        std::cout << "event: " << event->subject() << ' ' << event->payload() << '\n';
    }
    kernel.stop(5s);
} catch (const sutazai::Error &error) {
    std::cerr << error.name() << ": " << error.what() << '\n';
    return 1;
}
