/*
 * c.call: the guarded call from C, of an in-process agent that does nothing (registered inline, its
 * callback in C), waiting for the answer. Everything is on: authenticate, authorise, route, guard,
 * span, metrics, ledger. The median of the rounds; benches/c_call.sh builds and runs it.
 */
#include "sutazai.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT(text) (text), sizeof(text) - 1
#define ROUNDS 15
#define CALLS 100000
#define GOAL 1000.0

static void check(sutazai_error *error) {
    if (error == NULL) return;
    fprintf(stderr, "%s\n", sutazai_error_message(error));
    exit(1);
}

static void noop(void *user, const sutazai_task *task, sutazai_reply *reply) {
    (void)user;
    (void)task;
    check(sutazai_reply_send(reply, NULL, 0));
    sutazai_reply_free(reply);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The time of one call. */
static double round_of(sutazai_kernel *kernel, const char *input, size_t len) {
    const double begin = now();
    for (int i = 0; i < CALLS; i++) {
        sutazai_buffer answer = {0};
        check(sutazai_call_wait(kernel, TEXT("noop"), input, len, 0, &answer));
        sutazai_buffer_free(&answer);
    }
    return (now() - begin) / CALLS;
}

int main(void) {
    sutazai_kernel *kernel = NULL;
    check(sutazai_kernel_new(NULL, 0, &kernel));
    sutazai_agent_table table = {0};
    table.size = sizeof table;
    table.handle = noop;
    check(sutazai_agent_add(
        kernel, TEXT("{\"name\": \"noop\", \"skills\": [\"noop\"], \"run\": \"inline\"}"), &table));
    check(sutazai_kernel_start(kernel));

    /* The two take turns, so that a machine that is busy for a second is busy for both. */
    static const char json[] = "{\"path\": \"src/lib.rs\", \"line\": 7}";
    double null[ROUNDS], object[ROUNDS];
    round_of(kernel, NULL, 0);
    for (int round = 0; round < ROUNDS; round++) {
        null[round] = round_of(kernel, NULL, 0);
        object[round] = round_of(kernel, TEXT(json));
    }
    qsort(null, ROUNDS, sizeof *null, ascending);
    qsort(object, ROUNDS, sizeof *object, ascending);
    const double ours = null[ROUNDS / 2];
    printf("    c.call: with a JSON object as input %.0fns\n", object[ROUNDS / 2]);
    printf("bar c.call ours=%.0fns peer=- ratio=- goal=<=%.0fns %s\n", ours, GOAL,
           ours <= GOAL ? "met" : "missed");
    check(sutazai_kernel_stop(kernel, 1000));
    sutazai_kernel_free(kernel);
    return 0;
}
