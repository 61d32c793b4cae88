// Factors of a login in C++: a class that derives from AuthProvider.
#include "sutazai.hpp"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#define REQUIRE(condition)                                                          \
    do {                                                                            \
        if (!(condition)) {                                                         \
            std::printf("not ok line %d: %s\n", __LINE__, #condition);              \
            std::exit(1);                                                           \
        }                                                                           \
    } while (false)

static int alive = 0;

class Badges : public sutazai::AuthProvider {
  public:
    Badges() { alive++; }
    ~Badges() override { alive--; }

    Answer authenticate(const sutazai::Credential &credential) override {
        REQUIRE(credential.scheme == "badge" && credential.now.count() > 0);
        if (credential.secret == "broken") throw std::runtime_error("the reader is unplugged");
        if (credential.secret == "garbage") return Accepted{"ann", "[3]"};
        if (credential.secret == "badge of ann") return Accepted{"ann", R"({"floor": "3"})"};
        return Refused{"not a badge of ours"};
    }
};

class Enrolled : public Badges {
  public:
    std::optional<std::string> challenge(std::string_view principal,
                                         std::string_view login) override {
        REQUIRE(!login.empty());
        if (principal == "bob") return std::nullopt;
        return R"({"hint": "the blue one"})";
    }
};

static std::string login(sutazai::Kernel &kernel, const std::string &secret) {
    return kernel.invoke_wait("security.login", R"({"scheme": "badge", "secret": ")" + secret + R"("})");
}

static std::string with_password(sutazai::Kernel &kernel, const std::string &who) {
    const std::string given = R"({"principal": ")" + who + R"(", )";
    kernel.invoke_wait("security.password_set", given + R"("password": "correct horse battery"})");
    return kernel.invoke_wait("security.login",
                              given + R"("scheme": "password", "secret": "correct horse battery"})");
}

static bool has(const std::string &text, const char *part) {
    return text.find(part) != std::string::npos;
}

int main() {
    {
        sutazai::Kernel kernel;
        kernel.auth_provider("badge", std::make_unique<Badges>());
        try {
            kernel.auth_provider("badge", std::make_unique<Badges>());
            REQUIRE(false);
        } catch (const sutazai::Error &error) {
            REQUIRE(error.code() == SUTAZAI_BASE_ALREADY_EXISTS);
        }
        try {
            kernel.auth_provider("none", nullptr);
            REQUIRE(false);
        } catch (const sutazai::Error &error) {
            REQUIRE(error.code() == SUTAZAI_BASE_INVALID);
        }
        REQUIRE(alive == 1);
        kernel.start();
        REQUIRE(has(login(kernel, "badge of ann"), R"("floor":"3")"));
        REQUIRE(has(login(kernel, "library card"), "refused"));
        for (const char *untold : {"broken", "garbage"}) {
            try {
                login(kernel, untold);
                REQUIRE(false);
            } catch (const sutazai::Error &error) {
                REQUIRE(error.code() == SUTAZAI_SECURITY_PROVIDER_FAILED);
                REQUIRE(untold != std::string("broken") ||
                        has(error.json(), "the reader is unplugged"));
            }
        }
    }
    REQUIRE(alive == 0);
    sutazai::Kernel kernel(R"({"security": {"logins": {"second": ["badge"]},
        "passwords": {"memory_kib": 7168, "passes": 5}}})");
    kernel.auth_provider("badge", std::make_unique<Enrolled>());
    kernel.start();
    REQUIRE(has(with_password(kernel, "ann"), R"({"hint":"the blue one"})"));
    REQUIRE(has(with_password(kernel, "bob"), R"("step":"done")"));
    std::printf("ok factors of a login in C++\n");
    return 0;
}
