#include "check.h"

static void records_reach_the_log(void) {
    sutazai_kernel *kernel = started("{\"log\": {\"filter\": \"info,quiet=error\"}}");
    OK(sutazai_log(kernel, SUTAZAI_WARN, S("app"), S("disk is nearly full"), S("{\"free\": 7}")));
    OK(sutazai_log(kernel, SUTAZAI_DEBUG, S("app"), S("not this"), NULL, 0));
    CHECK(sutazai_log_enabled(kernel, SUTAZAI_INFO, S("app")));
    CHECK(!sutazai_log_enabled(kernel, SUTAZAI_DEBUG, S("app")));
    CHECK(!sutazai_log_enabled(kernel, SUTAZAI_WARN, S("quiet")));
    CHECK(!sutazai_log_enabled(kernel, 77, S("app")));
    sutazai_buffer logs = {0};
    OK(sutazai_invoke_wait(kernel, S("observe.logs"), NULL, 0, &logs));
    CHECK(logs.data != NULL && strstr(logs.data, "disk is nearly full") != NULL);
    CHECK(logs.data != NULL && strstr(logs.data, "\"free\":7") != NULL);
    CHECK(logs.data != NULL && strstr(logs.data, "not this") == NULL);
    sutazai_buffer_free(&logs);
    sutazai_kernel_free(kernel);
}

static void arguments_are_checked(void) {
    sutazai_kernel *kernel = new_kernel("");
    FAILS(sutazai_log(kernel, 0, S("t"), S("m"), NULL, 0), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_log(kernel, 6, S("t"), S("m"), NULL, 0), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_log(kernel, SUTAZAI_INFO, S("t"), S("m"), S("[1]")), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_log(kernel, SUTAZAI_INFO, S("t"), "\xff", 1, NULL, 0), SUTAZAI_BASE_INVALID);
    sutazai_kernel_free(kernel);
}

int main(void) {
    RUN(records_reach_the_log);
    RUN(arguments_are_checked);
    return check_failed;
}
