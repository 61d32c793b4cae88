#include "check.h"

static void errors_can_be_made_and_read(void) {
    sutazai_error *error = sutazai_error_new(SUTAZAI_AGENT_FAILED, SUTAZAI_CLASS_OF_CODE, S("no paper"));
    CHECK(sutazai_error_code(error) == SUTAZAI_AGENT_FAILED);
    CHECK(sutazai_error_class(error) == SUTAZAI_TRANSIENT);
    CHECK(strcmp(sutazai_error_name(error), "agent.failed") == 0);
    CHECK(strcmp(sutazai_error_message(error), "no paper") == 0);
    sutazai_buffer json = {0};
    OK(sutazai_error_to_json(error, &json));
    CHECK(json.len > 0 && strstr(json.data, "\"name\":\"agent.failed\"") != NULL);
    sutazai_buffer_free(&json);
    sutazai_error *again = sutazai_error_clone(error);
    sutazai_error_free(error);
    CHECK(strcmp(sutazai_error_message(again), "no paper") == 0);
    sutazai_error_free(again);
}

static void the_class_can_be_overridden(void) {
    sutazai_error *error = sutazai_error_new(SUTAZAI_AGENT_FAILED, SUTAZAI_CRITICAL, S("x"));
    CHECK(sutazai_error_class(error) == SUTAZAI_CRITICAL);
    sutazai_error_free(error);
}

static void hosts_have_codes_of_their_own(void) {
    sutazai_error *error = sutazai_error_new(0x80000007u, SUTAZAI_PERSISTENT, S("ours"));
    CHECK(sutazai_error_code(error) == 0x80000007u);
    CHECK(strcmp(sutazai_error_name(error), "host") == 0);
    sutazai_error_free(error);
}

static void bad_arguments_make_an_error_that_says_so(void) {
    FAILS(sutazai_error_new(999999, SUTAZAI_CLASS_OF_CODE, S("x")), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_error_new(SUTAZAI_AGENT_FAILED, 17, S("x")), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_error_new(SUTAZAI_AGENT_FAILED, 0, NULL, 5), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_error_new(SUTAZAI_AGENT_FAILED, 0, "\xff\xfe", 2), SUTAZAI_BASE_INVALID);
}

/* A manifest with two mistakes: the required key that is misspelt is one of them. */
static void every_mistake_of_a_manifest_is_shown(void) {
    sutazai_kernel *kernel = NULL;
    sutazai_error *error = sutazai_kernel_new(
        S("{\"manifest_text\": \"[[agent]]\\nname = 'a'\\ncommand = ['x']\\nskils = ['s']\\n"
          "concurrency = 0\\n\"}"),
        &kernel);
    CHECK(sutazai_error_code(error) == SUTAZAI_CONFIG_MANIFEST_INVALID);
    const char *wanted =
        "config.manifest: 2 problems\n"
        "manifest_text:4:1: unknown key \"skils\"; did you mean \"skills\"?\n"
        "4 | skils = ['s']\n"
        "  | ^\n"
        "manifest_text:5:15: \"concurrency\" is out of range; it must be from 1 to 1000000\n"
        "5 | concurrency = 0\n"
        "  |               ^";
    CHECK(strcmp(sutazai_error_message(error), wanted) == 0);
    CHECK(sutazai_error_problem_count(error) == 2);
    sutazai_error *second = sutazai_error_problem(error, 1);
    CHECK(sutazai_error_code(second) == SUTAZAI_CONFIG_MANIFEST_INVALID);
    CHECK(strstr(sutazai_error_message(second), "manifest_text:5:15:") != NULL);
    CHECK(sutazai_error_problem(error, 2) == NULL);
    sutazai_buffer json = {0};
    OK(sutazai_error_to_json(error, &json));
    CHECK(strstr(json.data, "\"problems\":[{") != NULL && strstr(json.data, "\"line\":5") != NULL);
    sutazai_buffer_free(&json);
    sutazai_error_free(error);
    /* It lives on by itself, and stands for itself. */
    CHECK(sutazai_error_problem_count(second) == 1);
    sutazai_error *itself = sutazai_error_problem(second, 0);
    CHECK(strcmp(sutazai_error_message(itself), sutazai_error_message(second)) == 0);
    sutazai_error_free(itself);
    sutazai_error_free(second);
}

static void null_is_no_error(void) {
    CHECK(sutazai_error_code(NULL) == 0);
    CHECK(sutazai_error_class(NULL) == 0);
    CHECK(strcmp(sutazai_error_name(NULL), "") == 0);
    CHECK(strcmp(sutazai_error_message(NULL), "") == 0);
    CHECK(sutazai_error_clone(NULL) == NULL);
    CHECK(sutazai_error_problem_count(NULL) == 0);
    CHECK(sutazai_error_problem(NULL, 0) == NULL);
    sutazai_error_free(NULL);
    sutazai_buffer json = {0};
    FAILS(sutazai_error_to_json(NULL, &json), SUTAZAI_BASE_INVALID);
    CHECK(json.data == NULL);
}

static void a_nul_in_a_message_does_not_hide_the_rest(void) {
    sutazai_error *error = sutazai_error_new(SUTAZAI_AGENT_FAILED, 0, "a\0b", 3);
    CHECK(strstr(sutazai_error_message(error), "b") != NULL);
    sutazai_error_free(error);
}

int main(void) {
    RUN(errors_can_be_made_and_read);
    RUN(the_class_can_be_overridden);
    RUN(hosts_have_codes_of_their_own);
    RUN(bad_arguments_make_an_error_that_says_so);
    RUN(every_mistake_of_a_manifest_is_shown);
    RUN(null_is_no_error);
    RUN(a_nul_in_a_message_does_not_hide_the_rest);
    return check_failed;
}
