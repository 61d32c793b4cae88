#include "check.h"

/* What the steps were called for, a line each. */
static char calls[2048];
static int dropped, broken;

static void add(const char *format, sutazai_str one, sutazai_str two) {
    char line[256];
    snprintf(line, sizeof line, format, (int)one.len, one.data, (int)two.len, two.data);
    strcat(calls, line);
}

static int is(sutazai_str text, const char *expected) {
    return text.len == strlen(expected) && memcmp(text.data, expected, text.len) == 0;
}

static void drop_user(void *user) {
    CHECK(user == &dropped);
    dropped++;
}

static sutazai_error *act(void *user, const sutazai_saga_call *call, sutazai_saga_answer *answer) {
    CHECK(user == &dropped);
    CHECK(call->result.len == 0 && call->saga.len == 32 && call->attempt == 1);
    CHECK(call->key.len == 32 + strlen("/") + call->step.len + strlen("/do"));
    add("do %.*s %.*s\n", call->step, call->gave);
    if (is(call->step, "hotel")) {
        CHECK(call->index == 1 && is(call->input, "{\"to\":\"Ghent\"}"));
        if (is(call->name, "full")) {
            return sutazai_error_new(SUTAZAI_AGENT_FAILED, SUTAZAI_PERSISTENT, S("no room"));
        }
    }
    FAILS(sutazai_saga_give(answer, S("{")), SUTAZAI_BASE_INVALID);
    return sutazai_saga_give(answer, S("[1]"));
}

static sutazai_error *undo(void *user, const sutazai_saga_call *call) {
    CHECK(user == &dropped);
    add("undo %.*s %.*s\n", call->step, call->result);
    if (broken) {
        return sutazai_error_new(SUTAZAI_BASE_IO, SUTAZAI_PERSISTENT, S("closed"));
    }
    return NULL;
}

static sutazai_saga_table table_of(void) {
    sutazai_saga_table table = {0};
    table.size = sizeof table;
    table.user = &dropped;
    table.drop = drop_user;
    table.act = act;
    table.undo = undo;
    return table;
}

static const char *const TRIP =
    "{\"name\": \"trip\", \"steps\": [{\"name\": \"flight\"}, {\"name\": \"hotel\"}]}";
static const char *const FULL =
    "{\"name\": \"full\", \"steps\": [{\"name\": \"flight\", \"policy\": {\"idempotent\": true}},"
    " {\"name\": \"hotel\", \"policy\": {\"atomic\": true}}]}";

static sutazai_error *run(sutazai_kernel *kernel, const char *request, sutazai_buffer *out) {
    return sutazai_invoke_wait(kernel, S("recovery.saga_run"), request, strlen(request), out);
}

static void steps_are_done_in_order_and_undone_in_reverse(void) {
    calls[0] = '\0';
    dropped = broken = 0;
    sutazai_kernel *kernel = new_kernel("");
    sutazai_saga_table table = table_of();
    OK(sutazai_saga_define(kernel, TRIP, strlen(TRIP), &table));
    OK(sutazai_kernel_start(kernel));
    OK(sutazai_saga_define(kernel, FULL, strlen(FULL), &table));
    sutazai_buffer out = {0};
    OK(run(kernel, "{\"name\": \"trip\", \"input\": {\"to\": \"Ghent\"}}", &out));
    CHECK(strstr(out.data, "\"output\":[1]") != NULL);
    sutazai_buffer_free(&out);
    FAILS(run(kernel, "{\"name\": \"full\", \"input\": {\"to\": \"Ghent\"}}", &out),
          SUTAZAI_RECOVERY_SAGA_UNDONE);
    broken = 1;
    FAILS(run(kernel, "{\"name\": \"full\", \"input\": {\"to\": \"Ghent\"}}", &out),
          SUTAZAI_RECOVERY_SAGA_STUCK);
    CHECK(strcmp(calls, "do flight {}\ndo hotel {\"flight\":[1]}\n"
                        "do flight {}\ndo hotel {\"flight\":[1]}\nundo flight [1]\n"
                        "do flight {}\ndo hotel {\"flight\":[1]}\nundo flight [1]\n") == 0);
    OK(sutazai_kernel_stop(kernel, 1000));
    sutazai_kernel_free(kernel);
    CHECK(dropped == 2);
}

static void definitions_are_checked(void) {
    dropped = 0;
    sutazai_kernel *kernel = new_kernel("");
    sutazai_saga_table table = table_of();
    FAILS(sutazai_saga_define(kernel, S("{\"name\": \"x\"}"), &table), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_saga_define(kernel, S("{\"name\": \"x\", \"steps\": []}"), &table),
          SUTAZAI_BASE_INVALID);
    CHECK(dropped == 2);
    OK(sutazai_saga_define(kernel, TRIP, strlen(TRIP), &table));
    FAILS(sutazai_saga_define(kernel, TRIP, strlen(TRIP), &table), SUTAZAI_BASE_ALREADY_EXISTS);
    table.undo = NULL;
    FAILS(sutazai_saga_define(kernel, FULL, strlen(FULL), &table), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_saga_define(NULL, FULL, strlen(FULL), &table), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_saga_give(NULL, S("1")), SUTAZAI_BASE_INVALID);
    sutazai_kernel_free(kernel);
    CHECK(dropped == 6);
}

int main(void) {
    RUN(steps_are_done_in_order_and_undone_in_reverse);
    RUN(definitions_are_checked);
    return check_failed;
}
