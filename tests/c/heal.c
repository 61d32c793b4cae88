#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* What the callbacks were called for, a line each. */
static char calls[2048];
static atomic_int dropped;

static void drop_user(void *user) {
    CHECK(user == &dropped);
    dropped++;
}

static void add(const char *what, sutazai_str one, sutazai_str two) {
    char line[256];
    snprintf(line, sizeof line, "%s %.*s %.*s\n", what, (int)one.len, one.data, (int)two.len,
             two.data);
    strcat(calls, line);
}

static sutazai_error *run_action(void *user, const sutazai_action_call *call,
                                 sutazai_action_answer *answer) {
    CHECK(user == &dropped);
    CHECK(call->entry > 0 && call->at.len > 0);
    CHECK(strstr(call->trigger.data, "\"subject\":\"trouble\"") != NULL);
    add("run", call->playbook, call->params);
    if (says(call->action, "break")) {
        return sutazai_error_new(SUTAZAI_BASE_IO, SUTAZAI_PERSISTENT, S("no way in"));
    }
    FAILS(sutazai_action_give(answer, S("{")), SUTAZAI_BASE_INVALID);
    return sutazai_action_give(answer, S("{\"freed\":3}"));
}

static sutazai_error *dry_run(void *user, const sutazai_action_call *call,
                              sutazai_action_answer *answer) {
    CHECK(user == &dropped);
    add("dry", call->playbook, call->params);
    return sutazai_action_give(answer, S("\"would free 3\""));
}

static sutazai_action_table action_of(void) {
    sutazai_action_table table = {0};
    table.size = sizeof table;
    table.user = &dropped;
    table.drop = drop_user;
    table.run = run_action;
    return table;
}

static void invoke(sutazai_kernel *kernel, const char *operation, const char *request,
                   sutazai_buffer *out) {
    OK(sutazai_invoke_wait(kernel, S(operation), S(request), out));
}

static int has(const sutazai_buffer *buffer, const char *text) {
    return buffer->data != NULL && strstr(buffer->data, text) != NULL;
}

static const char *const PLAYBOOKS =
    "{\"policy\": {\"playbooks\": ["
    "{\"name\": \"free\", \"when\": {\"event\": {\"subject\": \"trouble\"}}, \"action\": \"free\","
    " \"params\": {\"of\": \"$/who\"}},"
    "{\"name\": \"dry\", \"when\": {\"event\": {\"subject\": \"trouble\"}}, \"action\": \"free\","
    " \"dry_run\": true},"
    "{\"name\": \"plain\", \"when\": {\"event\": {\"subject\": \"trouble\"}}, \"action\": \"break\","
    " \"dry_run\": true},"
    "{\"name\": \"break\", \"when\": {\"event\": {\"subject\": \"trouble\"}}, \"action\": \"break\"}"
    "]}}";

static void a_playbook_takes_an_action_of_the_hosts(void) {
    calls[0] = '\0';
    dropped = 0;
    sutazai_kernel *kernel = new_kernel("{\"clock\": \"virtual\"}");
    sutazai_action_table table = action_of();
    OK(sutazai_playbook_action_add(kernel, S("{\"name\": \"break\"}"), &table));
    OK(sutazai_kernel_start(kernel));
    table.dry_run = dry_run;
    OK(sutazai_playbook_action_add(
        kernel, S("{\"name\": \"free\", \"schema\": {\"type\": \"object\"}}"), &table));
    sutazai_buffer out = {0};
    invoke(kernel, "recovery.playbook_set_policy", PLAYBOOKS, &out);
    CHECK(has(&out, "\"known\":true") && !has(&out, "\"known\":false"));
    CHECK(has(&out, "{\"name\":\"break\",\"schema\":{}}"));
    sutazai_buffer_free(&out);
    OK(sutazai_publish(kernel, S("trouble"), S("{\"who\": \"cache\"}"), NULL));
    OK(sutazai_kernel_advance(kernel, 1, NULL));
    CHECK(strcmp(calls, "run free {\"of\":\"cache\"}\ndry dry null\nrun break null\n") == 0);
    invoke(kernel, "recovery.playbook_record", "", &out);
    CHECK(has(&out, "\"answer\":{\"freed\":3}"));
    CHECK(has(&out, "\"answer\":\"would free 3\""));
    CHECK(has(&out, "\"answer\":{\"would\":\"break\",\"params\":null}"));
    CHECK(has(&out, "\"message\":\"no way in\""));
    sutazai_buffer_free(&out);
    OK(sutazai_kernel_stop(kernel, 1000));
    sutazai_kernel_free(kernel);
    CHECK(dropped == 2);
}

static sutazai_error *run_stage(void *user, const sutazai_safe_call *call) {
    CHECK(user == &dropped);
    CHECK(call->within_ms > 0 && call->within_ms <= 30000);
    add("stage", call->trigger, call->reason);
    if (says(call->stage, "fails")) {
        return sutazai_error_new(SUTAZAI_BASE_IO, SUTAZAI_PERSISTENT, S("it is stuck"));
    }
    return NULL;
}

static sutazai_stage_table stage_of(void) {
    sutazai_stage_table table = {0};
    table.size = sizeof table;
    table.user = &dropped;
    table.drop = drop_user;
    table.run = run_stage;
    return table;
}

static void the_safe_state_runs_the_hosts_stages_first(void) {
    calls[0] = '\0';
    dropped = 0;
    sutazai_kernel *kernel = new_kernel("");
    sutazai_stage_table table = stage_of();
    OK(sutazai_failsafe_stage_add(kernel, S("{\"name\": \"valve\", \"within_ms\": 30000}"), &table));
    OK(sutazai_kernel_start(kernel));
    OK(sutazai_failsafe_stage_add(kernel, S("{\"name\": \"fails\", \"within_ms\": 30000}"), &table));
    sutazai_buffer out = {0};
    invoke(kernel, "recovery.failsafe_trigger", "{\"reason\": \"a drill\", \"wait_ms\": 60000}", &out);
    CHECK(has(&out, "\"state\":\"safe\""));
    CHECK(has(&out, "{\"name\":\"valve\",\"outcome\":\"done\""));
    CHECK(has(&out, "\"message\":\"it is stuck\""));
    CHECK(has(&out, "valve") && strstr(out.data, "valve") < strstr(out.data, "fails") &&
          strstr(out.data, "fails") < strstr(out.data, "stop_admitting"));
    sutazai_buffer_free(&out);
    CHECK(strcmp(calls, "stage host a drill\nstage host a drill\n") == 0);
    FAILS(sutazai_failsafe_stage_add(kernel, S("{\"name\": \"late\"}"), &table),
          SUTAZAI_RECOVERY_SAFE_STATE);
    CHECK(dropped == 1);
    OK(sutazai_kernel_stop(kernel, 1000));
    sutazai_kernel_free(kernel);
    CHECK(dropped == 3);
}

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static atomic_int left;

static sutazai_error *hang(void *user, const sutazai_safe_call *call) {
    (void)call;
    CHECK(user == &dropped && dropped == 0);
    pthread_mutex_lock(&held);
    CHECK(dropped == 0);
    pthread_mutex_unlock(&held);
    left = 1;
    return NULL;
}

static void one_that_hangs_is_left_behind_and_keeps_what_it_has(void) {
    dropped = left = 0;
    pthread_mutex_lock(&held);
    sutazai_kernel *kernel = started("");
    sutazai_stage_table table = stage_of();
    table.run = hang;
    OK(sutazai_failsafe_stage_add(kernel, S("{\"name\": \"hangs\", \"within_ms\": 20}"), &table));
    sutazai_buffer out = {0};
    invoke(kernel, "recovery.failsafe_trigger", "{\"reason\": \"a drill\", \"wait_ms\": 60000}", &out);
    CHECK(has(&out, "{\"name\":\"hangs\",\"outcome\":\"timed_out\""));
    CHECK(has(&out, "\"state\":\"safe\""));
    sutazai_buffer_free(&out);
    sutazai_kernel_free(kernel);
    CHECK(dropped == 0);
    pthread_mutex_unlock(&held);
    while (dropped == 0) usleep(1000);
    CHECK(left == 1 && dropped == 1);
}

static void what_is_added_is_checked(void) {
    dropped = 0;
    sutazai_kernel *kernel = new_kernel("");
    sutazai_action_table action = action_of();
    sutazai_stage_table stage = stage_of();
    FAILS(sutazai_playbook_action_add(kernel, S("{}"), &action), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_playbook_action_add(kernel, S("{\"name\": \"\"}"), &action), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_playbook_action_add(kernel, S("{\"name\": \"publish\"}"), &action),
          SUTAZAI_BASE_ALREADY_EXISTS);
    FAILS(sutazai_failsafe_stage_add(kernel, S("{\"name\": \"a\", \"within\": 1}"), &stage),
          SUTAZAI_BASE_INVALID);
    FAILS(sutazai_failsafe_stage_add(kernel, S("{\"name\": \"\"}"), &stage), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_failsafe_stage_add(kernel, S("{\"name\": \"drain\"}"), &stage),
          SUTAZAI_BASE_ALREADY_EXISTS);
    FAILS(sutazai_playbook_action_add(NULL, S("{\"name\": \"a\"}"), &action), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_failsafe_stage_add(NULL, S("{\"name\": \"a\"}"), &stage), SUTAZAI_BASE_INVALID);
    action.run = NULL;
    stage.run = NULL;
    FAILS(sutazai_playbook_action_add(kernel, S("{\"name\": \"a\"}"), &action), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_failsafe_stage_add(kernel, S("{\"name\": \"a\"}"), &stage), SUTAZAI_BASE_INVALID);
    CHECK(dropped == 10);
    FAILS(sutazai_playbook_action_add(kernel, S("{\"name\": \"a\"}"), NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_failsafe_stage_add(kernel, S("{\"name\": \"a\"}"), NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_action_give(NULL, S("1")), SUTAZAI_BASE_INVALID);
    sutazai_kernel_free(kernel);
    CHECK(dropped == 10);
}

int main(void) {
    RUN(a_playbook_takes_an_action_of_the_hosts);
    RUN(the_safe_state_runs_the_hosts_stages_first);
    RUN(one_that_hangs_is_left_behind_and_keeps_what_it_has);
    RUN(what_is_added_is_checked);
    return check_failed;
}
