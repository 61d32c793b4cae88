#include "check.h"

#include <pthread.h>

static sutazai_ticket *call_keep(sutazai_kernel *kernel) {
    sutazai_ticket *ticket = NULL;
    OK(sutazai_call(kernel, S("keep"), NULL, 0, 0, &ticket));
    return ticket;
}

static void a_wait_times_out_and_the_call_goes_on(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = call_keep(kernel);
    sutazai_buffer answer = {0};
    FAILS(sutazai_ticket_wait(ticket, 1, &answer), SUTAZAI_BASE_TIMEOUT);
    FAILS(sutazai_ticket_try(ticket, &answer), SUTAZAI_BASE_TIMEOUT);
    CHECK(!sutazai_ticket_is_done(ticket));
    OK(sutazai_reply_send(kept, S("true")));
    sutazai_reply_free(kept);
    CHECK(sutazai_ticket_is_done(ticket));
    OK(sutazai_ticket_wait(ticket, SUTAZAI_FOREVER, &answer));
    CHECK(equals(&answer, "true"));
    sutazai_buffer_free(&answer);
    FAILS(sutazai_ticket_wait(ticket, SUTAZAI_FOREVER, &answer), SUTAZAI_BASE_TAKEN);
    FAILS(sutazai_ticket_try(ticket, NULL), SUTAZAI_BASE_INVALID);
    sutazai_ticket_free(ticket);
    sutazai_kernel_free(kernel);
}

static void cancelling_tells_the_agent(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = call_keep(kernel);
    CHECK(!sutazai_reply_cancelled(kept));
    OK(sutazai_ticket_cancel(ticket));
    OK(sutazai_ticket_cancel(ticket));
    CHECK(sutazai_reply_cancelled(kept));
    FAILS(sutazai_reply_send(kept, S("1")), SUTAZAI_BASE_TOO_LATE);
    sutazai_reply_free(kept);
    sutazai_buffer answer = {0};
    FAILS(sutazai_ticket_wait(ticket, SUTAZAI_FOREVER, &answer), SUTAZAI_BASE_CANCELLED);
    sutazai_ticket_free(ticket);

    /* A cancelled call leaves the table of calls in flight. */
    OK(sutazai_invoke_wait(kernel, S("agent.calls"), NULL, 0, &answer));
    CHECK(equals(&answer, "{\"calls\":[]}"));
    sutazai_buffer_free(&answer);
    sutazai_kernel_free(kernel);
}

static void freeing_a_ticket_cancels_and_detaching_does_not(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket_free(call_keep(kernel));
    CHECK(sutazai_reply_cancelled(kept));
    sutazai_reply_free(kept);
    sutazai_ticket_detach(call_keep(kernel));
    CHECK(!sutazai_reply_cancelled(kept));
    OK(sutazai_reply_send(kept, S("1")));
    sutazai_reply_free(kept);
    sutazai_kernel_free(kernel);
}

struct answer {
    sutazai_error *error;
    sutazai_buffer buffer;
    int calls;
    int drops;
};

static void on_answer(void *user, sutazai_error *error, sutazai_buffer buffer) {
    struct answer *answer = user;
    answer->error = error;
    answer->buffer = buffer;
    answer->calls++;
}

static void on_drop(void *user) { ((struct answer *)user)->drops++; }

static sutazai_done_table done_table(struct answer *answer) {
    sutazai_done_table table = {0};
    table.size = sizeof table;
    table.user = answer;
    table.drop = on_drop;
    table.done = on_answer;
    return table;
}

static void a_callback_gets_the_answer(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    struct answer answer = {0};
    sutazai_done_table table = done_table(&answer);
    sutazai_ticket *ticket = call_keep(kernel);
    OK(sutazai_ticket_on_done(ticket, &table));
    sutazai_buffer buffer = {0};
    FAILS(sutazai_ticket_try(ticket, &buffer), SUTAZAI_BASE_TAKEN);
    CHECK(answer.calls == 0);
    OK(sutazai_reply_send(kept, S("[1]")));
    sutazai_reply_free(kept);
    CHECK(answer.calls == 1 && answer.drops == 1 && answer.error == NULL);
    CHECK(equals(&answer.buffer, "[1]"));
    sutazai_buffer_free(&answer.buffer);
    sutazai_ticket_free(ticket);

    /* The ticket can still cancel. */
    struct answer cancelled = {0};
    table = done_table(&cancelled);
    ticket = call_keep(kernel);
    OK(sutazai_ticket_on_done(ticket, &table));
    OK(sutazai_ticket_cancel(ticket));
    CHECK(cancelled.calls == 1 && cancelled.drops == 1 && cancelled.buffer.data == NULL);
    CHECK(sutazai_error_code(cancelled.error) == SUTAZAI_BASE_CANCELLED);
    sutazai_error_free(cancelled.error);
    sutazai_ticket_free(ticket);
    sutazai_reply_free(kept);

    /* A second callback is refused, and its user is dropped all the same. */
    struct answer first = {0}, second = {0};
    ticket = call_keep(kernel);
    table = done_table(&first);
    OK(sutazai_ticket_on_done(ticket, &table));
    table = done_table(&second);
    FAILS(sutazai_ticket_on_done(ticket, &table), SUTAZAI_BASE_TAKEN);
    CHECK(second.calls == 0 && second.drops == 1);
    sutazai_ticket_free(ticket);
    CHECK(first.calls == 0);
    sutazai_reply_free(kept);
    CHECK(sutazai_error_code(first.error) == SUTAZAI_BASE_ABANDONED);
    sutazai_error_free(first.error);
    sutazai_kernel_free(kernel);
}

static void tables_are_checked(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = call_keep(kernel);
    struct answer answer = {0};
    sutazai_done_table table = done_table(&answer);
    FAILS(sutazai_ticket_on_done(ticket, NULL), SUTAZAI_BASE_INVALID);
    table.size = 8;
    FAILS(sutazai_ticket_on_done(ticket, &table), SUTAZAI_BASE_INVALID);
    table.size = (size_t)-1;
    FAILS(sutazai_ticket_on_done(ticket, &table), SUTAZAI_BASE_INVALID);
    CHECK(answer.drops == 0);
    table = done_table(&answer);
    table.done = NULL;
    FAILS(sutazai_ticket_on_done(ticket, &table), SUTAZAI_BASE_INVALID);
    CHECK(answer.drops == 1);

    /* A table of a newer header is taken as long as it asks for nothing new. */
    struct {
        sutazai_done_table known;
        void (*newer)(void *);
    } newer = {done_table(&answer), on_drop};
    newer.known.size = sizeof newer;
    FAILS(sutazai_ticket_on_done(ticket, &newer.known), SUTAZAI_BASE_UNSUPPORTED);
    CHECK(answer.drops == 2);
    newer.newer = NULL;
    OK(sutazai_ticket_on_done(ticket, &newer.known));
    sutazai_ticket_free(ticket);
    OK(sutazai_reply_send(kept, S("1")));
    sutazai_buffer_free(&answer.buffer);
    sutazai_reply_free(kept);
    sutazai_kernel_free(kernel);
}

static void partial_results_are_read_in_order(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = call_keep(kernel);
    sutazai_buffer part = {0};
    FAILS(sutazai_ticket_next_part(ticket, 0, &part), SUTAZAI_BASE_TIMEOUT);
    FAILS(sutazai_ticket_next_part(ticket, 1, &part), SUTAZAI_BASE_TIMEOUT);
    OK(sutazai_reply_progress(kept, S("1")));
    OK(sutazai_reply_progress(kept, S("2")));
    FAILS(sutazai_reply_progress(kept, S("{")), SUTAZAI_BASE_INVALID);
    OK(sutazai_ticket_next_part(ticket, SUTAZAI_FOREVER, &part));
    CHECK(equals(&part, "1"));
    sutazai_buffer_free(&part);
    OK(sutazai_reply_send(kept, S("3")));
    FAILS(sutazai_reply_progress(kept, S("4")), SUTAZAI_BASE_TOO_LATE);
    sutazai_reply_free(kept);
    OK(sutazai_ticket_next_part(ticket, 0, &part));
    CHECK(equals(&part, "2"));
    sutazai_buffer_free(&part);
    FAILS(sutazai_ticket_next_part(ticket, SUTAZAI_FOREVER, &part), SUTAZAI_BASE_NOT_FOUND);
    OK(sutazai_ticket_try(ticket, &part));
    CHECK(equals(&part, "3"));
    sutazai_buffer_free(&part);
    sutazai_ticket_free(ticket);
    sutazai_kernel_free(kernel);
}

static void *wait_for_it(void *user) {
    sutazai_buffer answer = {0};
    sutazai_error *error = sutazai_ticket_wait(user, SUTAZAI_FOREVER, &answer);
    sutazai_buffer_free(&answer);
    return error;
}

static void another_thread_cancels_a_wait(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = call_keep(kernel);
    pthread_t waiter;
    CHECK(pthread_create(&waiter, NULL, wait_for_it, ticket) == 0);
    sutazai_buffer answer = {0};
    FAILS(sutazai_ticket_try(ticket, &answer), SUTAZAI_BASE_TIMEOUT);
    OK(sutazai_ticket_cancel(ticket));
    void *error = NULL;
    pthread_join(waiter, &error);
    FAILS((sutazai_error *)error, SUTAZAI_BASE_CANCELLED);
    sutazai_ticket_free(ticket);
    sutazai_reply_free(kept);
    sutazai_kernel_free(kernel);
}

static void tickets_outlive_their_kernel(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = call_keep(kernel);
    OK(sutazai_kernel_stop(kernel, 0));
    sutazai_kernel_free(kernel);
    sutazai_buffer answer = {0};
    FAILS(sutazai_ticket_wait(ticket, SUTAZAI_FOREVER, &answer), SUTAZAI_BASE_CANCELLED);
    sutazai_ticket_free(ticket);
    sutazai_reply_free(kept);
}

int main(void) {
    RUN(a_wait_times_out_and_the_call_goes_on);
    RUN(cancelling_tells_the_agent);
    RUN(freeing_a_ticket_cancels_and_detaching_does_not);
    RUN(a_callback_gets_the_answer);
    RUN(tables_are_checked);
    RUN(partial_results_are_read_in_order);
    RUN(another_thread_cancels_a_wait);
    RUN(tickets_outlive_their_kernel);
    return check_failed;
}
