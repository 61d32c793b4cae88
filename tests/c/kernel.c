#include "check.h"

#include <stdlib.h>
#include <unistd.h>

static void there_is_no_thread_before_start(void) {
    int before = threads();
    sutazai_kernel *kernel = new_kernel("");
    add_agent(kernel, ECHO_CARD, echo_handle, NULL);
    CHECK(threads() == before);
    OK(sutazai_kernel_start(kernel));
    CHECK(threads() > before);
    OK(sutazai_kernel_start(kernel));
    OK(sutazai_kernel_stop(kernel, 1000));
    OK(sutazai_kernel_stop(kernel, 1000));
    sutazai_kernel_free(kernel);
}

static void a_stopped_kernel_answers_errors(void) {
    sutazai_kernel *kernel = started("");
    add_agent(kernel, ECHO_CARD, echo_handle, NULL);
    OK(sutazai_kernel_stop(kernel, 1000));
    sutazai_buffer answer = {0};
    FAILS(sutazai_call_wait(kernel, S("echo"), S("1"), 0, &answer), SUTAZAI_BASE_NOT_RUNNING);
    FAILS(sutazai_kernel_start(kernel), SUTAZAI_BASE_NOT_RUNNING);
    sutazai_agent_table table = {0};
    table.size = sizeof table;
    table.handle = echo_handle;
    FAILS(sutazai_agent_add(kernel, S("{\"name\": \"late\", \"skills\": [\"x\"]}"), &table),
          SUTAZAI_KERNEL_DRAINING);
    sutazai_kernel_free(kernel);
}

static void two_kernels_live_side_by_side(void) {
    sutazai_kernel *one = started("{\"seed\": 1}");
    sutazai_kernel *two = started("{\"seed\": 2}");
    add_agent(two, ECHO_CARD, echo_handle, NULL);
    sutazai_buffer answer = {0};
    FAILS(sutazai_call_wait(one, S("echo"), S("1"), 0, &answer), SUTAZAI_AGENT_NO_SKILL);
    sutazai_kernel_free(one);
    OK(sutazai_call_wait(two, S("echo"), S("1"), 0, &answer));
    CHECK(equals(&answer, "1"));
    sutazai_buffer_free(&answer);
    sutazai_kernel_free(two);
}

static void a_data_directory_has_one_owner(void) {
    char dir[] = "/tmp/sutazai-c-XXXXXX";
    CHECK(mkdtemp(dir) != NULL);
    char config[128];
    snprintf(config, sizeof config, "{\"data_dir\": \"%s/state\"}", dir);
    sutazai_kernel *kernel = new_kernel(config);
    sutazai_kernel *second = NULL;
    FAILS(sutazai_kernel_new(S(config), &second), SUTAZAI_STORE_LOCKED);
    CHECK(second == NULL);
    sutazai_kernel_free(kernel);
    kernel = new_kernel(config);
    sutazai_kernel_free(kernel);
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    CHECK(system(command) == 0);
}

static void configurations_are_checked(void) {
    sutazai_kernel *kernel = NULL;
    FAILS(sutazai_kernel_new(S("{\"sed\": 1}"), &kernel), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_new(S("{\"clock\": \"slow\"}"), &kernel), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_new(S("{\"seed\": -1}"), &kernel), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_new(S("{"), &kernel), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_new("\xff", 1, &kernel), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_new(NULL, 3, &kernel), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_new(NULL, (size_t)-1, &kernel), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_new("x", (size_t)-1, &kernel), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_new(NULL, 0, NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_new(S("{\"manifest\": \"/nonexistent.toml\"}"), &kernel),
          SUTAZAI_CONFIG_MANIFEST_UNREADABLE);
    FAILS(sutazai_kernel_new(S("{\"manifest_text\": \"[limit]\"}"), &kernel),
          SUTAZAI_CONFIG_MANIFEST_INVALID);
    CHECK(kernel == NULL);
}

static void every_export_takes_null(void) {
    sutazai_buffer buffer = {0};
    sutazai_ticket *ticket = NULL;
    sutazai_subscription *subscription = NULL;
    sutazai_event *event = NULL;
    FAILS(sutazai_kernel_start(NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_stop(NULL, 0), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_advance(NULL, 0, NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_call(NULL, S("a"), NULL, 0, 0, &ticket), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_call_with(NULL, S("a"), NULL, 0, NULL, &ticket), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_call_wait(NULL, S("a"), NULL, 0, 0, &buffer), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_invoke(NULL, S("a"), NULL, 0, &ticket), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_invoke_wait(NULL, S("a"), NULL, 0, &buffer), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_ticket_wait(NULL, 0, &buffer), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_ticket_try(NULL, &buffer), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_ticket_next_part(NULL, 0, &buffer), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_ticket_on_done(NULL, NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_ticket_cancel(NULL), SUTAZAI_BASE_INVALID);
    CHECK(sutazai_ticket_is_done(NULL));
    sutazai_ticket_detach(NULL);
    sutazai_ticket_free(NULL);
    FAILS(sutazai_agent_add(NULL, S("{}"), NULL), SUTAZAI_BASE_INVALID);
    CHECK(says(sutazai_task_skill(NULL), ""));
    CHECK(says(sutazai_task_input(NULL), ""));
    CHECK(sutazai_task_id(NULL) == 0);
    CHECK(sutazai_task_left_ms(NULL) == 0);
    FAILS(sutazai_reply_send(NULL, S("1")), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_fail(NULL, SUTAZAI_AGENT_FAILED, 0, S("x")), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_fail_with(NULL, NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_progress(NULL, S("1")), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_on_cancel(NULL, NULL), SUTAZAI_BASE_INVALID);
    CHECK(sutazai_reply_cancelled(NULL));
    sutazai_reply_free(NULL);
    FAILS(sutazai_publish(NULL, S("a"), NULL, 0, NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_subscribe(NULL, S("a"), NULL, 0, NULL, &subscription), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_subscription_next(NULL, 0, &event), SUTAZAI_BASE_INVALID);
    CHECK(sutazai_subscription_missed(NULL) == 0);
    sutazai_subscription_free(NULL);
    CHECK(says(sutazai_event_subject(NULL), ""));
    CHECK(says(sutazai_event_payload(NULL), ""));
    CHECK(sutazai_event_missed_before(NULL) == 0);
    sutazai_event_free(NULL);
    FAILS(sutazai_component_add(NULL, S("{}"), NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_log(NULL, SUTAZAI_INFO, S("t"), S("m"), NULL, 0), SUTAZAI_BASE_INVALID);
    CHECK(!sutazai_log_enabled(NULL, SUTAZAI_INFO, S("t")));
    sutazai_kernel_free(NULL);
}

static void virtual_time_moves_when_told(void) {
    sutazai_kernel *kernel = started("{\"clock\": \"virtual\", \"seed\": 1}");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = NULL;
    OK(sutazai_call(kernel, S("keep"), NULL, 0, 100, &ticket));
    sutazai_buffer answer = {0};
    FAILS(sutazai_ticket_wait(ticket, 10, &answer), SUTAZAI_BASE_WOULD_DEADLOCK);
    FAILS(sutazai_ticket_try(ticket, &answer), SUTAZAI_BASE_TIMEOUT);
    size_t ran = 0;
    OK(sutazai_kernel_advance(kernel, 200, &ran));
    CHECK(ran > 0);
    FAILS(sutazai_ticket_try(ticket, &answer), SUTAZAI_BASE_DEADLINE_EXCEEDED);
    sutazai_ticket_free(ticket);
    sutazai_reply_free(kept);
    sutazai_kernel_free(kernel);

    kernel = new_kernel("{\"clock\": \"real\"}");
    FAILS(sutazai_kernel_advance(kernel, 1, NULL), SUTAZAI_BASE_UNSUPPORTED);
    sutazai_kernel_free(kernel);
}

int main(void) {
    RUN(there_is_no_thread_before_start);
    RUN(a_stopped_kernel_answers_errors);
    RUN(two_kernels_live_side_by_side);
    RUN(a_data_directory_has_one_owner);
    RUN(configurations_are_checked);
    RUN(every_export_takes_null);
    RUN(virtual_time_moves_when_told);
    return check_failed;
}
