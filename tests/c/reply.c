#include "check.h"

#include <pthread.h>

static int cancels;
static int drops;
static void count_cancel(void *user) { (void)user; cancels++; }
static void count_drop(void *user) { (void)user; drops++; }

static sutazai_cancel_table cancel_table(void) {
    sutazai_cancel_table table = {0};
    table.size = sizeof table;
    table.cancelled = count_cancel;
    table.drop = count_drop;
    return table;
}

static void a_reply_learns_that_it_is_cancelled(void) {
    cancels = drops = 0;
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = NULL;
    OK(sutazai_call(kernel, S("keep"), NULL, 0, 0, &ticket));
    sutazai_cancel_table table = cancel_table();
    OK(sutazai_reply_on_cancel(kept, &table));
    CHECK(cancels == 0);
    sutazai_ticket_free(ticket);
    CHECK(cancels == 1 && drops == 1);
    /* Too late to be told later: right here. */
    OK(sutazai_reply_on_cancel(kept, &table));
    CHECK(cancels == 2 && drops == 2);
    sutazai_reply_free(kept);

    /* Answered: never called, but dropped. */
    OK(sutazai_call(kernel, S("keep"), NULL, 0, 0, &ticket));
    OK(sutazai_reply_on_cancel(kept, &table));
    OK(sutazai_reply_send(kept, S("1")));
    FAILS(sutazai_reply_on_cancel(kept, &table), SUTAZAI_BASE_TOO_LATE);
    sutazai_reply_free(kept);
    sutazai_ticket_free(ticket);
    CHECK(cancels == 2 && drops == 4);
    sutazai_kernel_free(kernel);
}

static void an_error_is_passed_on(void) {
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    sutazai_ticket *ticket = NULL;
    OK(sutazai_call(kernel, S("keep"), NULL, 0, 0, &ticket));
    sutazai_error *error = sutazai_error_new(0x80000001u, SUTAZAI_CRITICAL, S("the reactor"));
    OK(sutazai_reply_fail_with(kept, error));
    sutazai_error_free(error);
    sutazai_reply_free(kept);
    sutazai_buffer answer = {0};
    error = sutazai_ticket_wait(ticket, SUTAZAI_FOREVER, &answer);
    CHECK(sutazai_error_code(error) == 0x80000001u);
    CHECK(sutazai_error_class(error) == SUTAZAI_CRITICAL);
    CHECK(strcmp(sutazai_error_message(error), "the reactor") == 0);
    sutazai_error_free(error);
    sutazai_ticket_free(ticket);
    sutazai_kernel_free(kernel);
}

static void *report(void *user) {
    for (int i = 0; i < 1000; i++) sutazai_error_free(sutazai_reply_progress(user, S("1")));
    return NULL;
}

/* An answer that comes while other threads report is the agent's own: nobody is told of a
   cancellation. */
static void threads_report_and_answer_at_once(void) {
    cancels = drops = 0;
    sutazai_kernel *kernel = started("");
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    for (int round = 0; round < 50; round++) {
        sutazai_ticket *ticket = NULL;
        OK(sutazai_call(kernel, S("keep"), NULL, 0, 0, &ticket));
        sutazai_cancel_table table = cancel_table();
        OK(sutazai_reply_on_cancel(kept, &table));
        pthread_t threads[2];
        for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, report, kept) == 0);
        /* They are at it. */
        sutazai_buffer part = {0};
        OK(sutazai_ticket_next_part(ticket, SUTAZAI_FOREVER, &part));
        sutazai_buffer_free(&part);
        OK(sutazai_reply_send(kept, S("2")));
        CHECK(sutazai_reply_cancelled(kept));
        FAILS(sutazai_reply_send(kept, S("3")), SUTAZAI_BASE_TOO_LATE);
        for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
        sutazai_reply_free(kept);
        sutazai_buffer answer = {0};
        OK(sutazai_ticket_wait(ticket, SUTAZAI_FOREVER, &answer));
        CHECK(equals(&answer, "2"));
        sutazai_buffer_free(&answer);
        sutazai_ticket_free(ticket);
        CHECK(cancels == 0 && drops == round + 1);
    }
    sutazai_kernel_free(kernel);
}

int main(void) {
    RUN(a_reply_learns_that_it_is_cancelled);
    RUN(an_error_is_passed_on);
    RUN(threads_report_and_answer_at_once);
    return check_failed;
}
