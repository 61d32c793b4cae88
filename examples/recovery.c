/*
 * What is done about failures, in C: a guard around a function, a guard around an agent's calls, work
 * that is supervised, and state that is rolled back. recovery.cpp has the other parts, which C reaches
 * by the same operations.
 *
 *   cc recovery.c $(pkg-config --cflags --libs sutazai) \
 *       -Wl,-rpath,$(pkg-config --variable=libdir sutazai) -o recovery && ./recovery
 */
#include <sutazai.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT(text) (text), strlen(text)

/* Ends the program with what went wrong. */
static void check(sutazai_error *error) {
    if (error == NULL) return;
    fprintf(stderr, "%s: %s\n", sutazai_error_name(error), sutazai_error_message(error));
    sutazai_error_free(error);
    exit(1);
}

/* Calls an operation and shows its answer, or only does it. */
static void invoke(sutazai_kernel *kernel, const char *operation, const char *request, int show) {
    sutazai_buffer answer = {0};
    check(sutazai_invoke_wait(kernel, TEXT(operation), TEXT(request), &answer));
    if (show) printf("%s: %s\n", operation, answer.data);
    sutazai_buffer_free(&answer);
}

/* Fails twice. What is transient is tried again. */
static sutazai_error *fetch(void *user, const sutazai_attempt *attempt) {
    (void)user;
    if (attempt->number < 3)
        return sutazai_error_new(SUTAZAI_BASE_TIMEOUT, SUTAZAI_CLASS_OF_CODE, TEXT("not yet"));
    printf("a guarded function: try %u, %llu ms left\n", (unsigned)attempt->number,
           (unsigned long long)attempt->left_ms / 1000 * 1000);
    return NULL;
}

static sutazai_error *guarded(void *guard) { return sutazai_guard_run(guard, fetch, NULL); }

/* An agent that fails its first two calls. */
static void flaky(void *user, const sutazai_task *task, sutazai_reply *reply) {
    atomic_int *calls = user;
    (void)task;
    sutazai_error *late = atomic_fetch_add(calls, 1) < 2
                              ? sutazai_reply_fail(reply, SUTAZAI_AGENT_FAILED, SUTAZAI_CLASS_OF_CODE,
                                                   TEXT("the model hung up"))
                              : sutazai_reply_send(reply, TEXT("\"done\""));
    sutazai_error_free(late);
    sutazai_reply_free(reply);
}

/* A message that it fails on brings its child down; the next life has it again, and the one after that
 * goes on without it. */
static sutazai_error *index_one(void *user, const sutazai_worker_message *message) {
    if (message->body.len == strlen("\"poison\"") &&
        memcmp(message->body.data, "\"poison\"", message->body.len) == 0)
        return sutazai_error_new(SUTAZAI_BASE_INVALID, SUTAZAI_CLASS_OF_CODE, TEXT("no way"));
    atomic_fetch_add((atomic_int *)user, 1);
    return NULL;
}

/* State of the program's, as JSON. */
static char prompt[64] = "\"hello\"";

static sutazai_error *save(void *user, sutazai_state *state) {
    (void)user;
    return sutazai_state_give(state, TEXT(prompt));
}

static sutazai_error *restore(void *user, const char *state, size_t len) {
    (void)user;
    if (len >= sizeof prompt)
        return sutazai_error_new(SUTAZAI_BASE_INVALID, SUTAZAI_CLASS_OF_CODE, TEXT("too long"));
    memcpy(prompt, state, len);
    prompt[len] = 0;
    return NULL;
}

int main(void) {
    sutazai_kernel *kernel = NULL;
    check(sutazai_kernel_new(NULL, 0, &kernel));
    check(sutazai_kernel_start(kernel));

    sutazai_guard *guard = NULL;
    check(sutazai_guard_new(kernel, TEXT("fetch"), TEXT("{\"retry\": {\"base_ms\": 1}, \"breaker\": {}}"),
                            &guard));
    /* The time that there is, and how urgent it is, are carried into everything that is called. */
    check(sutazai_within(5500, 200, guarded, guard));
    sutazai_guard_free(guard);

    atomic_int calls = 0;
    sutazai_agent_table agent = {0};
    agent.size = sizeof agent;
    agent.user = &calls;
    agent.handle = flaky;
    check(sutazai_agent_add(kernel, TEXT("{\"name\": \"flaky\", \"skills\": [\"work\"]}"), &agent));
    invoke(kernel, "recovery.guard_set",
           "{\"calls\": \"all\", \"policy\": {\"retry\": {\"base_ms\": 1}, \"timeout_ms\": 5000}}", 0);
    sutazai_buffer answer = {0};
    check(sutazai_call_wait(kernel, TEXT("work"), NULL, 0, 0, &answer));
    printf("a guarded call: %s after %d tries\n", answer.data, atomic_load(&calls));
    sutazai_buffer_free(&answer);

    atomic_int indexed = 0;
    sutazai_worker_table worker = {0};
    worker.size = sizeof worker;
    worker.user = &indexed;
    worker.handle = index_one;
    check(sutazai_worker_add(kernel, TEXT("{\"name\": \"index\", \"mailbox\": {\"kills\": 2}}"), &worker));
    invoke(kernel, "recovery.tree_add",
           "{\"name\": \"background\", \"spec\": {\"intensity\": 10,"
           " \"children\": [{\"id\": \"indexer\", \"does\": \"index\"}]}}",
           0);
    const char *messages[] = {"\"a\"", "\"poison\"", "\"b\""};
    for (int n = 0; n < 3; n++) {
        char request[128];
        snprintf(request, sizeof request, "{\"child\": \"background>indexer\", \"message\": %s}", messages[n]);
        invoke(kernel, "recovery.mailbox_push", request, 0);
    }
    while (atomic_load(&indexed) < 2) nanosleep(&(struct timespec){0, 1000000}, NULL);
    printf("supervision: %d done, the other is set aside\n", atomic_load(&indexed));

    sutazai_checkpointed_table state = {0};
    state.size = sizeof state;
    state.save = save;
    state.restore = restore;
    check(sutazai_checkpointed_add(kernel, TEXT("{\"name\": \"prompt\"}"), &state));
    invoke(kernel, "recovery.checkpoint_create", "{\"only\": [\"prompt\"]}", 0);
    strcpy(prompt, "\"yo\"");
    invoke(kernel, "recovery.checkpoint_restore", "{\"checkpoint\": 1}", 0);
    printf("rollback: %s\n", prompt);

    invoke(kernel, "recovery.classify", "{\"failure\": {\"http_status\": 429, \"retry_after\": \"7\"}}", 1);
    check(sutazai_kernel_stop(kernel, 5000));
    sutazai_kernel_free(kernel);
    return 0;
}
