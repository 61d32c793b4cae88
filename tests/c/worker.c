#include "check.h"

#include <stdatomic.h>
#include <unistd.h>

static atomic_int stopped, handled, dropped;

static int has(const sutazai_buffer *answer, const char *text) {
    return strstr(answer->data, text) != NULL;
}

static void drop_user(void *user) {
    CHECK(user == &dropped);
    dropped++;
}

static sutazai_error *run(void *user, const sutazai_worker_life *life) {
    CHECK(user == &dropped);
    sutazai_str child = sutazai_worker_child(life);
    CHECK(child.len == strlen("main>loop") && memcmp(child.data, "main>loop", child.len) == 0);
    CHECK(!sutazai_worker_wait(life, 0));
    while (!sutazai_worker_wait(life, 60000)) {
    }
    stopped++;
    return NULL;
}

static sutazai_error *handle(void *user, const sutazai_worker_message *message) {
    CHECK(user == &dropped);
    if (message->body.len == strlen("\"crash\"") &&
        memcmp(message->body.data, "\"crash\"", message->body.len) == 0) {
        return sutazai_error_new(SUTAZAI_AGENT_FAILED, SUTAZAI_TRANSIENT, S("on purpose"));
    }
    CHECK(message->id > 0 && message->kills == 0);
    handled++;
    return NULL;
}

static sutazai_worker_table looping(void) {
    sutazai_worker_table table = {0};
    table.size = sizeof table;
    table.user = &dropped;
    table.drop = drop_user;
    table.run = run;
    return table;
}

static sutazai_worker_table handling(void) {
    sutazai_worker_table table = looping();
    table.run = NULL;
    table.handle = handle;
    return table;
}

static void invoke(sutazai_kernel *kernel, const char *operation, const char *request) {
    sutazai_buffer answer = {0};
    OK(sutazai_invoke_wait(kernel, S(operation), S(request), &answer));
    sutazai_buffer_free(&answer);
}

static void loops_run_until_they_are_told_to_stop(void) {
    stopped = dropped = 0;
    sutazai_kernel *kernel = started("");
    sutazai_worker_table table = looping();
    OK(sutazai_worker_add(kernel, S("{\"name\": \"loop\"}"), &table));
    invoke(kernel, "recovery.tree_add",
           "{\"name\": \"main\", \"spec\": {\"children\": [{\"id\": \"loop\"}]}}");
    OK(sutazai_kernel_stop(kernel, 5000));
    CHECK(stopped == 1);
    sutazai_kernel_free(kernel);
    CHECK(dropped == 1);
}

static void messages_are_done_and_poison_is_set_aside(void) {
    handled = dropped = 0;
    sutazai_kernel *kernel = started("{\"clock\": \"virtual\"}");
    sutazai_worker_table table = handling();
    OK(sutazai_worker_add(kernel, S("{\"name\": \"note\", \"mailbox\": {\"capacity\": 8}}"), &table));
    sutazai_ticket *ticket = NULL;
    OK(sutazai_invoke(kernel, S("recovery.tree_add"),
                      S("{\"name\": \"main\", \"spec\": {\"intensity\": 5, \"children\": "
                        "[{\"id\": \"one\", \"does\": \"note\"}]}}"),
                      &ticket));
    OK(sutazai_kernel_advance(kernel, 0, NULL));
    sutazai_ticket_free(ticket);
    invoke(kernel, "recovery.mailbox_push", "{\"child\": \"main>one\", \"message\": \"a\"}");
    invoke(kernel, "recovery.mailbox_push", "{\"child\": \"main>one\", \"message\": \"crash\"}");
    invoke(kernel, "recovery.mailbox_push", "{\"child\": \"main>one\", \"message\": \"b\"}");
    OK(sutazai_kernel_advance(kernel, 1, NULL));
    CHECK(handled == 2);
    sutazai_buffer answer = {0};
    OK(sutazai_invoke_wait(kernel, S("recovery.mailbox_get"), S("{\"child\": \"main>one\"}"), &answer));
    CHECK(has(&answer, "\"set_aside\":1"));
    CHECK(has(&answer, "on purpose"));
    sutazai_buffer_free(&answer);
    sutazai_kernel_free(kernel);
    CHECK(dropped == 1);
}

static sutazai_kernel *own;
static atomic_int refused;

static void refuses(const char *operation, const char *request) {
    sutazai_buffer answer = {0};
    FAILS(sutazai_invoke_wait(own, S(operation), S(request), &answer), SUTAZAI_BASE_WOULD_DEADLOCK);
    refused++;
}

static sutazai_error *asks(void *user, const sutazai_worker_message *message) {
    (void)message;
    CHECK(user == &dropped);
    refuses("recovery.child_restart", "{\"path\": \"main>one\"}");
    refuses("recovery.child_terminate", "{\"path\": \"main>one\"}");
    refuses("recovery.tree_remove", "{\"name\": \"main\"}");
    FAILS(sutazai_kernel_stop(own, 60000), SUTAZAI_BASE_WOULD_DEADLOCK);
    invoke(own, "recovery.child_start", "{\"supervisor\": \"main\", \"child\": {\"id\": \"two\", "
                                        "\"does\": \"asks\"}}");
    return NULL;
}

/* Each of these would wait until the child is given up, after a minute. */
static void what_would_wait_for_its_own_end_is_refused(void) {
    dropped = refused = 0;
    own = started("");
    sutazai_worker_table table = handling();
    table.handle = asks;
    OK(sutazai_worker_add(own, S("{\"name\": \"asks\", \"mailbox\": {}}"), &table));
    invoke(own, "recovery.tree_add",
           "{\"name\": \"main\", \"spec\": {\"children\": [{\"id\": \"one\", \"does\": \"asks\", "
           "\"shutdown\": {\"timeout_ms\": 60000}}]}}");
    invoke(own, "recovery.mailbox_push", "{\"child\": \"main>one\", \"message\": 1}");
    sutazai_buffer answer = {0};
    for (int tries = 0; tries < 6000; tries++) {
        OK(sutazai_invoke_wait(own, S("recovery.mailbox_get"), S("{\"child\": \"main>one\"}"), &answer));
        if (has(&answer, "\"done\":1")) break;
        sutazai_buffer_free(&answer);
        usleep(5000);
    }
    CHECK(has(&answer, "\"done\":1") && has(&answer, "\"returned\":0"));
    sutazai_buffer_free(&answer);
    CHECK(refused == 3);
    OK(sutazai_kernel_stop(own, 5000));
    sutazai_kernel_free(own);
    CHECK(dropped == 1);
}

static void a_tree_that_gave_up_is_started_again(void) {
    dropped = handled = 0;
    sutazai_kernel *kernel = started("{\"clock\": \"virtual\"}");
    sutazai_worker_table table = handling();
    OK(sutazai_worker_add(kernel, S("{\"name\": \"note\", \"mailbox\": {\"kills\": 1}}"), &table));
    sutazai_ticket *ticket = NULL;
    OK(sutazai_invoke(kernel, S("recovery.tree_add"),
                      S("{\"name\": \"main\", \"spec\": {\"intensity\": 0, \"children\": "
                        "[{\"id\": \"one\", \"does\": \"note\"}]}}"),
                      &ticket));
    OK(sutazai_kernel_advance(kernel, 0, NULL));
    sutazai_ticket_free(ticket);
    invoke(kernel, "recovery.mailbox_push", "{\"child\": \"main>one\", \"message\": \"crash\"}");
    invoke(kernel, "recovery.mailbox_push", "{\"child\": \"main>one\", \"message\": \"a\"}");
    OK(sutazai_kernel_advance(kernel, 1, NULL));
    sutazai_buffer answer = {0};
    OK(sutazai_invoke_wait(kernel, S("recovery.tree_list"), S(""), &answer));
    CHECK(has(&answer, "\"cause\":\"intensity\"") && has(&answer, "\"child\":\"main>one\""));
    CHECK(has(&answer, "on purpose") && handled == 0);
    sutazai_buffer_free(&answer);
    OK(sutazai_invoke(kernel, S("recovery.tree_start"), S("{\"name\": \"main\"}"), &ticket));
    OK(sutazai_kernel_advance(kernel, 1, NULL));
    sutazai_ticket_free(ticket);
    CHECK(handled == 1);
    sutazai_kernel_free(kernel);
    CHECK(dropped == 1);
}

static void what_is_wrong_is_refused(void) {
    dropped = 0;
    sutazai_kernel *kernel = new_kernel("");
    sutazai_worker_table table = looping();
    FAILS(sutazai_worker_add(kernel, S("{\"name\": \"a\", \"mailbox\": {}}"), &table),
          SUTAZAI_BASE_INVALID);
    table.handle = handle;
    FAILS(sutazai_worker_add(kernel, S("{\"name\": \"a\"}"), &table), SUTAZAI_BASE_INVALID);
    table.run = NULL;
    table.handle = NULL;
    FAILS(sutazai_worker_add(kernel, S("{\"name\": \"a\"}"), &table), SUTAZAI_BASE_INVALID);
    table = looping();
    FAILS(sutazai_worker_add(kernel, S("{\"nme\": \"a\"}"), &table), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_worker_add(NULL, S("{\"name\": \"a\"}"), &table), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_worker_add(kernel, S("{\"name\": \"a\"}"), NULL), SUTAZAI_BASE_INVALID);
    CHECK(dropped == 5);
    sutazai_worker_table does = handling();
    FAILS(sutazai_worker_add(kernel, S("{\"name\": \"b\", \"mailbox\": {\"capacity\": 0}}"), &does),
          SUTAZAI_BASE_INVALID);
    CHECK(dropped == 6);
    OK(sutazai_worker_add(kernel, S("{\"name\": \"a\"}"), &table));
    FAILS(sutazai_worker_add(kernel, S("{\"name\": \"a\"}"), &table), SUTAZAI_BASE_ALREADY_EXISTS);
    CHECK(sutazai_worker_wait(NULL, 1));
    CHECK(sutazai_worker_child(NULL).len == 0);
    sutazai_kernel_free(kernel);
    CHECK(dropped == 8);
}

int main(void) {
    RUN(loops_run_until_they_are_told_to_stop);
    RUN(messages_are_done_and_poison_is_set_aside);
    RUN(what_would_wait_for_its_own_end_is_refused);
    RUN(a_tree_that_gave_up_is_started_again);
    RUN(what_is_wrong_is_refused);
    return check_failed;
}
