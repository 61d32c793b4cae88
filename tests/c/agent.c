/* Agents, and what they do wrong: each is an error of the right code, never a crash. */
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

static int drops;
static int starts;
static int stops;
static void count_drop(void *user) { (void)user; drops++; }
static void count_stop(void *user, uint64_t left_ms) { (void)user; (void)left_ms; stops++; }
static sutazai_error *count_start(void *user) { (void)user; starts++; return NULL; }
static sutazai_error *refuse_start(void *user) {
    (void)user;
    return sutazai_error_new(SUTAZAI_AGENT_START, SUTAZAI_CLASS_OF_CODE, S("no licence"));
}

static sutazai_agent_table table_of(void (*handle)(void *, const sutazai_task *, sutazai_reply *)) {
    sutazai_agent_table table = {0};
    table.size = sizeof table;
    table.handle = handle;
    return table;
}

static void an_agent_starts_and_stops_once(void) {
    drops = starts = stops = 0;
    sutazai_kernel *kernel = new_kernel("");
    sutazai_agent_table table = table_of(echo_handle);
    table.drop = count_drop;
    table.start = count_start;
    table.stop = count_stop;
    OK(sutazai_agent_add(kernel, S("{\"name\": \"a\", \"skills\": [\"a\"]}"), &table));
    CHECK(starts == 0);
    OK(sutazai_kernel_start(kernel));
    CHECK(starts == 1 && stops == 0 && drops == 0);
    OK(sutazai_kernel_stop(kernel, 1000));
    CHECK(stops == 1);
    sutazai_kernel_free(kernel);
    CHECK(starts == 1 && stops == 1 && drops == 1);
}

static void what_a_start_answers_is_an_error(void) {
    drops = 0;
    sutazai_kernel *kernel = started("");
    sutazai_agent_table table = table_of(echo_handle);
    table.drop = count_drop;
    table.start = refuse_start;
    FAILS(sutazai_agent_add(kernel, S("{\"name\": \"a\", \"skills\": [\"a\"]}"), &table),
          SUTAZAI_AGENT_START);
    CHECK(drops == 1);
    sutazai_kernel_free(kernel);
}

static void bad_cards_and_tables_are_refused_and_dropped(void) {
    drops = 0;
    sutazai_kernel *kernel = started("");
    sutazai_agent_table table = table_of(echo_handle);
    table.drop = count_drop;
    FAILS(sutazai_agent_add(kernel, S("{"), &table), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_agent_add(kernel, S("{\"name\": \"a\"}"), &table), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_agent_add(kernel, S("{\"name\": \"\", \"skills\": [\"a\"]}"), &table),
          SUTAZAI_BASE_INVALID);
    FAILS(sutazai_agent_add(NULL, S("{\"name\": \"a\", \"skills\": [\"a\"]}"), &table),
          SUTAZAI_BASE_INVALID);
    CHECK(drops == 4);
    table.handle = NULL;
    FAILS(sutazai_agent_add(kernel, S("{\"name\": \"a\", \"skills\": [\"a\"]}"), &table),
          SUTAZAI_BASE_INVALID);
    CHECK(drops == 5);
    FAILS(sutazai_agent_add(kernel, S("{\"name\": \"a\", \"skills\": [\"a\"]}"), NULL),
          SUTAZAI_BASE_INVALID);
    table = table_of(echo_handle);
    table.drop = count_drop;
    OK(sutazai_agent_add(kernel, S("{\"name\": \"a\", \"skills\": [\"a\"]}"), &table));
    FAILS(sutazai_agent_add(kernel, S("{\"name\": \"a\", \"skills\": [\"a\"]}"), &table),
          SUTAZAI_BASE_ALREADY_EXISTS);
    CHECK(drops == 6);
    sutazai_kernel_free(kernel);
    CHECK(drops == 7);
}

static void a_version_takes_over_and_the_one_before_stands_by(void) {
    drops = starts = stops = 0;
    sutazai_kernel *kernel = started("");
    sutazai_agent_table table = table_of(echo_handle);
    table.drop = count_drop;
    table.start = count_start;
    table.stop = count_stop;
    OK(sutazai_agent_replace(kernel, S("{\"name\": \"a\", \"skills\": [\"a\"], \"version\": \"1\"}"),
                             &table));
    OK(sutazai_agent_replace(kernel, S("{\"name\": \"a\", \"skills\": [\"a\"], \"version\": \"2\"}"),
                             &table));
    FAILS(sutazai_agent_replace(
              kernel, S("{\"name\": \"a\", \"skills\": [\"a\"], \"version\": \"1\"}"), &table),
          SUTAZAI_BASE_ALREADY_EXISTS);
    CHECK(starts == 2 && stops == 0 && drops == 1);
    sutazai_buffer answer = {0};
    OK(sutazai_invoke_wait(kernel, S("agent.switch"), S("{\"name\": \"a\", \"version\": \"1\"}"),
                           &answer));
    CHECK(strstr(answer.data, "\"standby\":[\"2\"]") != NULL);
    sutazai_buffer_free(&answer);
    OK(sutazai_kernel_stop(kernel, 1000));
    sutazai_kernel_free(kernel);
    CHECK(starts == 2 && stops == 2 && drops == 3);
}

static void a_table_of_an_older_header_is_taken(void) {
    sutazai_kernel *kernel = started("");
    sutazai_agent_table table = table_of(echo_handle);
    table.size = offsetof(sutazai_agent_table, start);
    table.start = refuse_start; /* beyond what `size` says: not read */
    OK(sutazai_agent_add(kernel, S("{\"name\": \"a\", \"skills\": [\"echo\"]}"), &table));
    sutazai_buffer answer = {0};
    OK(sutazai_call_wait(kernel, S("echo"), S("1"), 0, &answer));
    sutazai_buffer_free(&answer);
    sutazai_kernel_free(kernel);
}

static atomic_uint said;
static atomic_int asked;
static uint32_t beat(void *user) { (void)user; asked++; return said; }

/* Advances the clock of a kernel in virtual time. */
static void advance(sutazai_kernel *kernel, const char *request) {
    sutazai_buffer answer = {0};
    OK(sutazai_invoke_wait(kernel, S("kernel.advance"), S(request), &answer));
    sutazai_buffer_free(&answer);
}

static int agent_is(sutazai_kernel *kernel, const char *state) {
    sutazai_buffer answer = {0};
    OK(sutazai_invoke_wait(kernel, S("agent.get"), S("{\"name\": \"a\"}"), &answer));
    const int is = answer.data != NULL && strstr(answer.data, state) != NULL;
    sutazai_buffer_free(&answer);
    return is;
}

static void an_agent_says_whether_it_lives(void) {
    asked = 0;
    said = SUTAZAI_BEAT_ALIVE;
    sutazai_kernel *kernel = started("{\"clock\": \"virtual\"}");
    sutazai_agent_table table = table_of(echo_handle);
    table.beat = beat;
    OK(sutazai_agent_add(kernel, S("{\"name\": \"a\", \"skills\": [\"a\"]}"), &table));
    advance(kernel, "{\"ms\": 10000}");
    CHECK(asked >= 1 && agent_is(kernel, "\"state\":\"ready\""));
    said = SUTAZAI_BEAT_UNREACHABLE;
    advance(kernel, "{\"ms\": 10000}");
    CHECK(agent_is(kernel, "\"state\":\"unreachable\""));
    said = SUTAZAI_BEAT_ALIVE;
    advance(kernel, "{\"ms\": 10000}");
    CHECK(agent_is(kernel, "\"state\":\"ready\""));
    said = 77;
    advance(kernel, "{\"ms\": 60000}");
    CHECK(agent_is(kernel, "\"state\":\"dead\""));
    said = SUTAZAI_BEAT_DEAD;
    advance(kernel, "{\"ms\": 10000}");
    CHECK(agent_is(kernel, "\"state\":\"failed\""));
    sutazai_kernel_free(kernel);
}

static int makes;
static sutazai_error *make(void *user, const sutazai_agent_order *order, sutazai_agent_table *agent) {
    (void)user;
    CHECK(says(order->name, "a") && says(order->agent_template, "t"));
    CHECK(agent->size == sizeof *agent);
    if (++makes == 3) {
        return sutazai_error_new(SUTAZAI_AGENT_START, SUTAZAI_CLASS_OF_CODE, S("no licence"));
    }
    agent->handle = echo_handle;
    agent->drop = count_drop;
    agent->stop = count_stop;
    agent->beat = beat;
    return NULL;
}

static void a_factory_makes_an_agent_for_each_life(void) {
    drops = stops = makes = 0;
    said = SUTAZAI_BEAT_ALIVE;
    sutazai_kernel *kernel = started("{\"clock\": \"virtual\"}");
    sutazai_agent_factory_table table = {0};
    table.size = sizeof table;
    table.make = make;
    OK(sutazai_agent_factory_add(kernel, S("f"), &table));
    sutazai_ticket *ticket = NULL;
    sutazai_buffer answer = {0};
    OK(sutazai_invoke_wait(
        kernel, S("agent.template_add"),
        S("{\"template\": {\"name\": \"t\", \"skills\": [\"a\"], \"make\": {\"factory\": \"f\"}}}"), &answer));
    sutazai_buffer_free(&answer);
    OK(sutazai_invoke(kernel, S("agent.supervise"),
                      S("{\"template\": {\"name\": \"t\", \"agent\": \"a\"}}"), &ticket));
    advance(kernel, "{\"ms\": 0}");
    OK(sutazai_ticket_wait(ticket, 0, &answer));
    sutazai_ticket_free(ticket);
    CHECK(equals(&answer, "{\"agent\":\"a\"}"));
    sutazai_buffer_free(&answer);
    CHECK(makes == 1 && stops == 0);
    /* Silent for too long: it is stopped, and another one is made in its place. */
    said = SUTAZAI_BEAT_NONE;
    advance(kernel, "{\"ms\": 20000}");
    CHECK(makes == 2 && stops == 1 && drops == 1);
    said = SUTAZAI_BEAT_ALIVE;
    advance(kernel, "{\"ms\": 30000}");
    CHECK(makes == 2 && agent_is(kernel, "\"state\":\"ready\""));
    CHECK(agent_is(kernel, "\"restarts\":1"));
    sutazai_kernel_free(kernel);
    CHECK(stops == 2 && drops == 2);
}

static void costly_handle(void *user, const sutazai_task *task, sutazai_reply *reply) {
    (void)user;
    (void)task;
    FAILS(sutazai_reply_used(reply, 0, 0, -1.0), SUTAZAI_BASE_INVALID);
    OK(sutazai_reply_used(reply, 1, 1, 9.0));
    OK(sutazai_reply_used(reply, 10, 3, 0.25));
    OK(sutazai_reply_send(reply, NULL, 0));
    sutazai_reply_free(reply);
}

static void what_a_call_took_is_in_the_ledger(void) {
    sutazai_kernel *kernel = started("");
    add_agent(kernel, "{\"name\": \"a\", \"skills\": [\"a\"], \"cost\": 2}", costly_handle, NULL);
    for (int n = 0; n < 2; n++) {
        sutazai_buffer answer = {0};
        OK(sutazai_call_wait(kernel, S("a"), NULL, 0, 0, &answer));
        sutazai_buffer_free(&answer);
    }
    CHECK(agent_is(kernel, "\"usage\":{\"input_tokens\":20,\"output_tokens\":6,\"cost\":0.5}"));
    FAILS(sutazai_reply_used(NULL, 0, 0, 0), SUTAZAI_BASE_INVALID);
    sutazai_kernel_free(kernel);
}

static void inspect_handle(void *user, const sutazai_task *task, sutazai_reply *reply) {
    (void)user;
    CHECK(says(sutazai_task_skill(task), "inspect"));
    CHECK(says(sutazai_task_input(task), "{\"n\":1}"));
    CHECK(sutazai_task_id(task) == 1);
    uint64_t left = sutazai_task_left_ms(task);
    CHECK(left > 0 && left <= 5000);
    OK(sutazai_reply_send(reply, NULL, 0));
    sutazai_reply_free(reply);
}

static void a_task_says_what_is_asked(void) {
    sutazai_kernel *kernel = started("");
    add_agent(kernel, "{\"name\": \"i\", \"skills\": [\"inspect\"]}", inspect_handle, NULL);
    sutazai_buffer answer = {0};
    OK(sutazai_call_wait(kernel, S("inspect"), S("{\"n\":1}"), 5000, &answer));
    CHECK(equals(&answer, "null"));
    sutazai_buffer_free(&answer);
    sutazai_kernel_free(kernel);

    kernel = started("{\"limits\": {\"timeout_ms\": 0}}");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = NULL;
    OK(sutazai_call(kernel, S("keep"), NULL, 0, 0, &ticket));
    sutazai_ticket_free(ticket);
    sutazai_reply_free(kept);
    sutazai_kernel_free(kernel);
}

/* Misbehaviour. */

static void twice_handle(void *user, const sutazai_task *task, sutazai_reply *reply) {
    (void)user;
    (void)task;
    OK(sutazai_reply_send(reply, S("1")));
    FAILS(sutazai_reply_send(reply, S("2")), SUTAZAI_BASE_TOO_LATE);
    FAILS(sutazai_reply_fail(reply, SUTAZAI_AGENT_FAILED, 0, S("x")), SUTAZAI_BASE_TOO_LATE);
    FAILS(sutazai_reply_progress(reply, S("3")), SUTAZAI_BASE_TOO_LATE);
    CHECK(sutazai_reply_cancelled(reply));
    sutazai_reply_free(reply);
}

static void answering_twice_is_an_error(void) {
    sutazai_kernel *kernel = started("");
    add_agent(kernel, "{\"name\": \"twice\", \"skills\": [\"twice\"]}", twice_handle, NULL);
    sutazai_buffer answer = {0};
    OK(sutazai_call_wait(kernel, S("twice"), NULL, 0, 0, &answer));
    CHECK(equals(&answer, "1"));
    sutazai_buffer_free(&answer);
    sutazai_kernel_free(kernel);
}

static void forgetful_handle(void *user, const sutazai_task *task, sutazai_reply *reply) {
    (void)user;
    (void)task;
    sutazai_reply_free(reply);
}

static void a_reply_freed_unanswered_is_abandoned(void) {
    sutazai_kernel *kernel = started("");
    add_agent(kernel, "{\"name\": \"f\", \"skills\": [\"forget\"]}", forgetful_handle, NULL);
    sutazai_buffer answer = {0};
    FAILS(sutazai_call_wait(kernel, S("forget"), NULL, 0, 0, &answer), SUTAZAI_BASE_ABANDONED);
    sutazai_kernel_free(kernel);
}

static void garbage_handle(void *user, const sutazai_task *task, sutazai_reply *reply) {
    (void)user;
    (void)task;
    FAILS(sutazai_reply_send(reply, S("{\"a\":")), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_send(reply, "\"\xff\xfe\"", 4), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_send(reply, NULL, 9), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_send(reply, S("1 2")), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_fail(reply, 123456, 0, S("x")), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_fail(reply, SUTAZAI_AGENT_FAILED, 99, S("x")), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_fail(reply, SUTAZAI_AGENT_FAILED, 0, "\xff", 1), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_fail_with(reply, NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_reply_progress(reply, "\xff", 1), SUTAZAI_BASE_INVALID);
    /* Not answered by any of that. */
    OK(sutazai_reply_send(reply, S("\"fine\"")));
    sutazai_reply_free(reply);
}

static void garbage_is_refused_and_the_call_stays_open(void) {
    sutazai_kernel *kernel = started("");
    add_agent(kernel, "{\"name\": \"g\", \"skills\": [\"garbage\"]}", garbage_handle, NULL);
    sutazai_buffer answer = {0};
    OK(sutazai_call_wait(kernel, S("garbage"), NULL, 0, 0, &answer));
    CHECK(equals(&answer, "\"fine\""));
    sutazai_buffer_free(&answer);
    sutazai_kernel_free(kernel);
}

static void *answer_late(void *user) {
    sutazai_error *error = sutazai_reply_send(user, S("1"));
    sutazai_reply_free(user);
    return error;
}

static void answering_from_another_thread_after_shutdown_is_an_error(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = NULL;
    OK(sutazai_call(kernel, S("keep"), NULL, 0, 0, &ticket));
    sutazai_kernel_free(kernel);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, answer_late, kept) == 0);
    void *error = NULL;
    pthread_join(thread, &error);
    FAILS((sutazai_error *)error, SUTAZAI_BASE_TOO_LATE);
    sutazai_buffer answer = {0};
    FAILS(sutazai_ticket_wait(ticket, SUTAZAI_FOREVER, &answer), SUTAZAI_BASE_CANCELLED);
    sutazai_ticket_free(ticket);
}

static void a_task_that_outlives_its_kernel_has_no_time_left(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = NULL;
    OK(sutazai_call(kernel, S("keep"), S("5"), 0, &ticket));
    sutazai_kernel_free(kernel);
    sutazai_ticket_free(ticket);
    sutazai_reply_free(kept);
}

static void an_agent_that_never_answers_meets_the_deadline(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_buffer answer = {0};
    FAILS(sutazai_call_wait(kernel, S("keep"), NULL, 0, 20, &answer),
          SUTAZAI_BASE_DEADLINE_EXCEEDED);
    CHECK(sutazai_reply_cancelled(kept));
    sutazai_reply_free(kept);
    sutazai_kernel_free(kernel);
}

struct stopping {
    sutazai_kernel *kernel;
    atomic_bool stopped;
};

static void stop_handle(void *user, const sutazai_task *task, sutazai_reply *reply) {
    struct stopping *stopping = user;
    (void)task;
    /* The kernel stops inside one of its own callbacks, on one of its own threads. */
    OK(sutazai_kernel_stop(stopping->kernel, 10));
    FAILS(sutazai_reply_send(reply, S("1")), SUTAZAI_BASE_TOO_LATE);
    sutazai_reply_free(reply);
    atomic_store(&stopping->stopped, true);
}

static void an_agent_may_stop_its_kernel(void) {
    struct stopping stopping = {started(""), false};
    add_agent(stopping.kernel, "{\"name\": \"s\", \"skills\": [\"stop\"]}", stop_handle, &stopping);
    sutazai_buffer answer = {0};
    FAILS(sutazai_call_wait(stopping.kernel, S("stop"), NULL, 0, 0, &answer),
          SUTAZAI_BASE_CANCELLED);
    while (!atomic_load(&stopping.stopped)) sched_yield();
    sutazai_kernel_free(stopping.kernel);
    /* Its thread, which nobody could join, ends nonetheless. */
    alarm(120);
    while (threads() > 1) sched_yield();
    alarm(0);
}

static void free_kept(void *user) {
    sutazai_reply_free(*(sutazai_reply **)user);
    free(user);
}

/* Replies kept in `user` hold the agent; the leak checkers see whether it is let go all the same. */
static void replies_kept_by_an_agent_are_freed_with_it(void) {
    sutazai_kernel *kernel = started("");
    sutazai_agent_table table = table_of(keep_handle);
    table.user = calloc(1, sizeof(sutazai_reply *));
    table.drop = free_kept;
    OK(sutazai_agent_add(kernel, S(KEEP_CARD), &table));
    sutazai_ticket *ticket = NULL;
    OK(sutazai_call(kernel, S("keep"), NULL, 0, 0, &ticket));
    sutazai_kernel_free(kernel);
    sutazai_buffer answer = {0};
    FAILS(sutazai_ticket_wait(ticket, SUTAZAI_FOREVER, &answer), SUTAZAI_BASE_CANCELLED);
    sutazai_ticket_free(ticket);
}

int main(void) {
    RUN(replies_kept_by_an_agent_are_freed_with_it);
    RUN(an_agent_starts_and_stops_once);
    RUN(what_a_start_answers_is_an_error);
    RUN(bad_cards_and_tables_are_refused_and_dropped);
    RUN(a_version_takes_over_and_the_one_before_stands_by);
    RUN(a_table_of_an_older_header_is_taken);
    RUN(an_agent_says_whether_it_lives);
    RUN(a_factory_makes_an_agent_for_each_life);
    RUN(what_a_call_took_is_in_the_ledger);
    RUN(a_task_says_what_is_asked);
    RUN(answering_twice_is_an_error);
    RUN(a_reply_freed_unanswered_is_abandoned);
    RUN(garbage_is_refused_and_the_call_stays_open);
    RUN(answering_from_another_thread_after_shutdown_is_an_error);
    RUN(a_task_that_outlives_its_kernel_has_no_time_left);
    RUN(an_agent_that_never_answers_meets_the_deadline);
    RUN(an_agent_may_stop_its_kernel);
    return check_failed;
}
