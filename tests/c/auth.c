/* Factors of a login that are written in C. */
#include "check.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_int asked, challenged, drops;

static int secret_is(const sutazai_credential *credential, const char *expected) {
    return credential->secret_len == strlen(expected) &&
           memcmp(credential->secret, expected, credential->secret_len) == 0;
}

static void drop(void *user) {
    CHECK(user == &asked);
    drops++;
}

static sutazai_error *authenticate(void *user, const sutazai_credential *credential,
                                   sutazai_auth_answer *answer) {
    CHECK(user == &asked);
    asked++;
    CHECK(says(credential->scheme, "badge") && credential->now_ms >= 0);
    if (secret_is(credential, "broken")) {
        return sutazai_error_new(SUTAZAI_AGENT_FAILED, SUTAZAI_CLASS_OF_CODE, S("the reader is unplugged"));
    }
    if (secret_is(credential, "silent")) {
        return NULL;
    }
    if (secret_is(credential, "garbage")) {
        FAILS(sutazai_auth_accept(answer, S("ann"), S("[3]")), SUTAZAI_BASE_INVALID);
        FAILS(sutazai_auth_accept(answer, S("\xff"), NULL, 0), SUTAZAI_BASE_INVALID);
        FAILS(sutazai_auth_accept(NULL, S("ann"), NULL, 0), SUTAZAI_BASE_INVALID);
        FAILS(sutazai_auth_refuse(NULL, S("")), SUTAZAI_BASE_INVALID);
        FAILS(sutazai_auth_offer_give(NULL, S("")), SUTAZAI_BASE_INVALID);
        return NULL;
    }
    if (secret_is(credential, "twice")) {
        OK(sutazai_auth_refuse(answer, S("on second thoughts")));
        FAILS(sutazai_auth_accept(answer, S("ann"), NULL, 0), SUTAZAI_BASE_TOO_LATE);
        return NULL;
    }
    if (secret_is(credential, "badge of ann")) {
        return sutazai_auth_accept(answer, S("ann"), S("{\"floor\": \"3\"}"));
    }
    if (secret_is(credential, "badge of eve")) {
        return sutazai_auth_accept(answer, S("eve"), NULL, 0);
    }
    return sutazai_auth_refuse(answer, S("not a badge of ours"));
}

/* Bob has none. */
static sutazai_error *challenge(void *user, sutazai_str principal, sutazai_str login, int64_t now_ms,
                                sutazai_auth_offer *offer) {
    CHECK(user == &asked && login.len > 0 && now_ms >= 0);
    challenged++;
    if (says(principal, "bob")) {
        return NULL;
    }
    FAILS(sutazai_auth_offer_give(offer, S("{\"hint\": 3}")), SUTAZAI_BASE_INVALID);
    return sutazai_auth_offer_give(offer, S("{\"hint\": \"the blue one\"}"));
}

static sutazai_auth_provider_table badges(void) {
    sutazai_auth_provider_table table = {0};
    table.size = sizeof table;
    table.user = &asked;
    table.drop = drop;
    table.authenticate = authenticate;
    return table;
}

static void a_login_begins_with_it(void) {
    asked = drops = 0;
    sutazai_kernel *kernel = NULL;
    OK(sutazai_kernel_new(S("{}"), &kernel));
    sutazai_auth_provider_table table = badges();
    OK(sutazai_auth_provider_add(kernel, S("badge"), &table));
    FAILS(sutazai_auth_provider_add(kernel, S("badge"), &table), SUTAZAI_BASE_ALREADY_EXISTS);
    FAILS(sutazai_auth_provider_add(kernel, S("password"), &table), SUTAZAI_BASE_ALREADY_EXISTS);
    FAILS(sutazai_auth_provider_add(kernel, S("two words"), &table), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_auth_provider_add(NULL, S("other"), &table), SUTAZAI_BASE_INVALID);
    table.authenticate = NULL;
    FAILS(sutazai_auth_provider_add(kernel, S("other"), &table), SUTAZAI_BASE_INVALID);
    CHECK(drops == 5);
    OK(sutazai_kernel_start(kernel));
    const char *right = "{\"scheme\": \"badge\", \"secret\": \"badge of ann\"}";
    CHECK(answers(kernel, "security.login", right, "\"step\":\"done\",\"principal\":\"ann\""));
    CHECK(answers(kernel, "security.login", right, "\"floor\":\"3\""));
    const char *refused[] = {
        "{\"scheme\": \"badge\", \"secret\": \"library card\"}",
        "{\"scheme\": \"badge\", \"secret\": \"twice\"}",
        "{\"scheme\": \"badge\", \"principal\": \"ann\", \"secret\": \"badge of eve\"}",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        CHECK(answers(kernel, "security.login", refused[i], "{\"step\":\"refused\"}"));
    }
    const char *untold[] = {"broken", "silent", "garbage"};
    for (size_t i = 0; i < sizeof untold / sizeof *untold; i++) {
        char request[128];
        snprintf(request, sizeof request, "{\"scheme\": \"badge\", \"secret\": \"%s\"}", untold[i]);
        sutazai_buffer answer = {0};
        FAILS(sutazai_invoke_wait(kernel, S("security.login"), request, strlen(request), &answer),
              SUTAZAI_SECURITY_PROVIDER_FAILED);
    }
    CHECK(asked == 8);
    OK(sutazai_kernel_stop(kernel, 5000));
    sutazai_kernel_free(kernel);
    CHECK(drops == 6);
}

static void it_is_a_second_factor_that_comes_while_the_kernel_runs(void) {
    asked = challenged = drops = 0;
    sutazai_kernel *kernel = started("{\"security\": {\"logins\": {\"second\": [\"badge\"]},"
                                     "\"passwords\": {\"memory_kib\": 7168, \"passes\": 5}}}");
    sutazai_auth_provider_table table = badges();
    table.challenge = challenge;
    OK(sutazai_auth_provider_add(kernel, S("badge"), &table));
    CHECK(answers(kernel, "security.password_set",
               "{\"principal\": \"ann\", \"password\": \"correct horse battery\"}", "true"));
    CHECK(answers(kernel, "security.password_set",
               "{\"principal\": \"bob\", \"password\": \"correct horse battery\"}", "true"));
    CHECK(answers(kernel, "security.login",
               "{\"scheme\": \"password\", \"principal\": \"bob\", \"secret\": \"correct horse battery\"}",
               "\"step\":\"done\""));
    sutazai_buffer answer = {0};
    OK(sutazai_invoke_wait(
        kernel, S("security.login"),
        S("{\"scheme\": \"password\", \"principal\": \"ann\", \"secret\": \"correct horse battery\"}"),
        &answer));
    CHECK(strstr(answer.data, "\"offers\":[{\"scheme\":\"badge\",\"parameters\":{\"hint\":\"the blue one\"}}]"));
    const char *login = strstr(answer.data, "\"login\":\"");
    CHECK(login != NULL);
    char request[256];
    snprintf(request, sizeof request, "{\"login\": \"%.32s\", \"scheme\": \"badge\", \"secret\": \"badge of eve\"}",
             login + strlen("\"login\":\""));
    CHECK(answers(kernel, "security.login_answer", request, "{\"step\":\"refused\"}"));
    snprintf(request, sizeof request, "{\"login\": \"%.32s\", \"scheme\": \"badge\", \"secret\": \"badge of ann\"}",
             login + strlen("\"login\":\""));
    CHECK(answers(kernel, "security.login_answer", request, "\"amr\":\"password badge\""));
    sutazai_buffer_free(&answer);
    CHECK(asked == 2 && challenged > 2);
    sutazai_kernel_free(kernel);
    CHECK(drops == 1);
}

int main(void) {
    RUN(a_login_begins_with_it);
    RUN(it_is_a_second_factor_that_comes_while_the_kernel_runs);
    return check_failed;
}
