/* Guards around functions. Time is virtual where it passes. */
#include "check.h"

#include <pthread.h>

typedef struct {
    int calls;
    int fail_first;
    uint32_t code;
    uint64_t left_ms;
    uint32_t number;
} job;

static sutazai_error *work(void *user, const sutazai_attempt *attempt) {
    job *j = user;
    j->calls++;
    j->left_ms = attempt->left_ms;
    j->number = attempt->number;
    if (j->calls <= j->fail_first)
        return sutazai_error_new(j->code, SUTAZAI_CLASS_OF_CODE, S("not now"));
    return NULL;
}

static sutazai_guard *guard_of(sutazai_kernel *kernel, const char *policy) {
    sutazai_guard *guard = NULL;
    OK(sutazai_guard_new(kernel, S("test"), policy, strlen(policy), &guard));
    return guard;
}

static int shows(sutazai_guard *guard, const char *part) {
    sutazai_buffer status = {0};
    OK(sutazai_guard_status(guard, &status));
    int found = status.data != NULL && strstr(status.data, part) != NULL;
    if (!found) fprintf(stderr, "%s not in %s\n", part, status.data);
    sutazai_buffer_free(&status);
    return found;
}

static void what_is_transient_is_tried_again(void) {
    sutazai_guard *guard = guard_of(NULL, "{\"retry\": {\"base_ms\": 0, \"max_ms\": 0}}");
    job j = {0, 2, SUTAZAI_BASE_OVERLOADED, 0, 0};
    OK(sutazai_guard_run(guard, work, &j));
    CHECK(j.calls == 3 && j.number == 3 && j.left_ms == SUTAZAI_FOREVER);
    CHECK(shows(guard, "\"retries\":2"));
    job persistent = {0, 9, SUTAZAI_BASE_INVALID, 0, 0};
    FAILS(sutazai_guard_run(guard, work, &persistent), SUTAZAI_BASE_INVALID);
    CHECK(persistent.calls == 1);
    sutazai_guard_free(guard);
}

static void the_error_says_why_nothing_more_was_tried(void) {
    sutazai_guard *guard =
        guard_of(NULL, "{\"retry\": {\"attempts\": 2, \"base_ms\": 0, \"max_ms\": 0}}");
    job j = {0, 9, SUTAZAI_BASE_OVERLOADED, 0, 0};
    sutazai_error *error = sutazai_guard_run(guard, work, &j);
    CHECK(sutazai_error_code(error) == SUTAZAI_BASE_OVERLOADED);
    CHECK(strstr(sutazai_error_message(error), "gave_up=attempts") != NULL);
    sutazai_error_free(error);
    sutazai_guard_free(guard);
}

static void waits_and_deadlines_are_the_kernels(void) {
    sutazai_kernel *kernel = NULL;
    OK(sutazai_kernel_new(S("{\"clock\": \"virtual\"}"), &kernel));
    sutazai_guard *guard = guard_of(
        kernel,
        "{\"timeout_ms\": 250, \"retry\": {\"base_ms\": 100, \"jitter\": \"none\"}}");
    job j = {0, 9, SUTAZAI_BASE_OVERLOADED, 0, 0};
    FAILS(sutazai_guard_run(guard, work, &j), SUTAZAI_BASE_OVERLOADED);
    CHECK(j.calls == 2 && j.left_ms == 150);
    sutazai_kernel_free(kernel);
    job after = {0, 0, 0, 0, 0};
    OK(sutazai_guard_run(guard, work, &after));
    sutazai_guard_free(guard);
}

static void a_breaker_rejects_and_is_forced(void) {
    sutazai_guard *guard = guard_of(NULL, "{\"breaker\": {\"consecutive\": 1}}");
    job j = {0, 1, SUTAZAI_BASE_OVERLOADED, 0, 0};
    FAILS(sutazai_guard_run(guard, work, &j), SUTAZAI_BASE_OVERLOADED);
    FAILS(sutazai_guard_run(guard, work, &j), SUTAZAI_RECOVERY_BREAKER_OPEN);
    OK(sutazai_guard_force(guard, SUTAZAI_FORCE_CLOSED));
    OK(sutazai_guard_run(guard, work, &j));
    OK(sutazai_guard_force(guard, SUTAZAI_FORCE_OPEN));
    FAILS(sutazai_guard_run(guard, work, &j), SUTAZAI_RECOVERY_BREAKER_OPEN);
    FAILS(sutazai_guard_force(guard, 3), SUTAZAI_BASE_INVALID);
    OK(sutazai_guard_set_policy(guard, S("{}")));
    OK(sutazai_guard_run(guard, work, &j));
    FAILS(sutazai_guard_force(guard, SUTAZAI_FORCE_OPEN), SUTAZAI_BASE_NOT_FOUND);
    sutazai_guard_free(guard);
}

/* The whole of an error as JSON has this in it. */
static void tells(sutazai_error *error, const char *part) {
    sutazai_buffer json = {0};
    CHECK(sutazai_error_code(error) == SUTAZAI_BASE_INVALID);
    OK(sutazai_error_to_json(error, &json));
    if (json.data == NULL || strstr(json.data, part) == NULL) {
        fprintf(stderr, "%s not in %s\n", part, json.data == NULL ? "" : json.data);
        CHECK(0);
    }
    sutazai_buffer_free(&json);
    sutazai_error_free(error);
}

static void a_mistake_in_a_policy_is_named_by_its_path(void) {
    sutazai_guard *guard = NULL;
    sutazai_error *error = sutazai_guard_new(
        NULL, S("test"), S("{\"retry\": {\"atempts\": 1}, \"breaker\": {\"open_ms\": \"5s\"}}"), &guard);
    CHECK(guard == NULL);
    CHECK(sutazai_error_problem_count(error) == 2);
    tells(error, "\"field\":\"retry.atempts\"");
    guard = guard_of(NULL, "{\"retry\": {}}");
    tells(sutazai_guard_set_policy(guard, S("{\"retry\": {\"attempts\": \"four\"}}")),
          "\\\"retry.attempts\\\" must be an integer, not \\\"four\\\"");
    tells(sutazai_guard_set_policy(guard, S("{\"retri\": {}}")), "did you mean \\\"retry\\\"?");
    tells(sutazai_guard_set_policy(guard, S("[]")), "the policy must be an object, not an array");
    tells(sutazai_guard_set_policy(guard, S("{\"retry\": {}")), "not well-formed JSON");
    CHECK(shows(guard, "retries"));
    sutazai_guard_free(guard);
}

static void guards_of_a_kernel_share_by_name(void) {
    sutazai_kernel *kernel = NULL;
    OK(sutazai_kernel_new(S(""), &kernel));
    sutazai_guard *one = guard_of(
        kernel, "{\"breaker\": {\"consecutive\": 1}, \"share\": {\"breaker\": \"db\"}}");
    sutazai_guard *two = guard_of(kernel, "{\"share\": {\"breaker\": \"db\"}}");
    job j = {0, 1, SUTAZAI_BASE_OVERLOADED, 0, 0};
    FAILS(sutazai_guard_run(one, work, &j), SUTAZAI_BASE_OVERLOADED);
    FAILS(sutazai_guard_run(two, work, &j), SUTAZAI_RECOVERY_BREAKER_OPEN);
    sutazai_guard_free(one);
    sutazai_guard_free(two);
    sutazai_kernel_free(kernel);
}

static sutazai_error *within(void *user, const sutazai_attempt *attempt) {
    (void)attempt;
    sutazai_guard *guard = user;
    job j = {0, 0, 0, 0, 0};
    return sutazai_guard_run(guard, work, &j);
}

static void the_function_may_use_the_guard(void) {
    sutazai_guard *guard =
        guard_of(NULL, "{\"bulkhead\": {\"concurrency\": 1, \"queue\": 0}}");
    FAILS(sutazai_guard_run(guard, within, guard), SUTAZAI_RECOVERY_BULKHEAD_FULL);
    CHECK(shows(guard, "\"running\":0"));
    sutazai_guard_free(guard);
}

static void *many(void *user) {
    for (int n = 0; n < 2000; n++) {
        job j = {0, n % 3 == 0, SUTAZAI_BASE_OVERLOADED, 0, 0};
        sutazai_error_free(sutazai_guard_run(user, work, &j));
    }
    return NULL;
}

static void threads_share_a_guard(void) {
    sutazai_guard *guard = guard_of(
        NULL,
        "{\"retry\": {\"base_ms\": 0, \"max_ms\": 0}, \"breaker\": {\"failure_rate\": 0.9},"
        " \"bulkhead\": {\"concurrency\": 2, \"queue\": 8}, \"timeout_ms\": 60000}");
    pthread_t threads[4];
    for (int n = 0; n < 4; n++) pthread_create(&threads[n], NULL, many, guard);
    for (int n = 0; n < 4; n++) pthread_join(threads[n], NULL);
    CHECK(shows(guard, "\"running\":0"));
    CHECK(shows(guard, "\"waiting\":0"));
    sutazai_guard_free(guard);
}

static sutazai_error *guarded(void *user) {
    return sutazai_guard_run(((void **)user)[0], work, ((void **)user)[1]);
}

static void what_is_called_has_no_more_time_than_its_caller(void) {
    sutazai_guard *guard = guard_of(NULL, "{\"timeout_ms\": 600000, \"retry\": {\"base_ms\": 60000,"
                                          " \"max_ms\": 60000, \"jitter\": \"none\"}}");
    job j = {0, 9, SUTAZAI_BASE_OVERLOADED, 0, 0};
    void *both[] = {guard, &j};
    /* The wait before another try would end after the deadline. */
    FAILS(sutazai_within(30000, 0, guarded, both), SUTAZAI_BASE_OVERLOADED);
    CHECK(j.calls == 1 && j.left_ms <= 30000);
    j.fail_first = 0;
    OK(sutazai_within(SUTAZAI_FOREVER, 255, guarded, both));
    CHECK(j.left_ms > 30000);
    FAILS(sutazai_within(1, 256, guarded, both), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_within(1, 1, NULL, both), SUTAZAI_BASE_INVALID);
    sutazai_guard_free(guard);
}

static pthread_mutex_t order_lock = PTHREAD_MUTEX_INITIALIZER;
static int order[4], ordered;

typedef struct {
    sutazai_guard *guard;
    uint32_t priority;
    pthread_mutex_t *holds;
} caller;

static sutazai_error *note(void *user, const sutazai_attempt *attempt) {
    (void)attempt;
    caller *c = user;
    if (c->holds != NULL) {
        pthread_mutex_lock(c->holds);
        pthread_mutex_unlock(c->holds);
    }
    pthread_mutex_lock(&order_lock);
    order[ordered++] = (int)c->priority;
    pthread_mutex_unlock(&order_lock);
    return NULL;
}

static sutazai_error *queue(void *user) {
    return sutazai_guard_run(((caller *)user)->guard, note, user);
}

static void *urgent(void *user) {
    caller *c = user;
    OK(sutazai_within(SUTAZAI_FOREVER, c->priority, queue, c));
    return NULL;
}

static void wait_for(sutazai_guard *guard, const char *part) {
    for (int there = 0; !there;) {
        sutazai_buffer status = {0};
        OK(sutazai_guard_status(guard, &status));
        there = strstr(status.data, part) != NULL;
        sutazai_buffer_free(&status);
    }
}

static void the_urgent_go_first(void) {
    sutazai_guard *guard = guard_of(NULL, "{\"bulkhead\": {\"concurrency\": 1}}");
    pthread_mutex_t holds = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&holds);
    caller callers[] = {{guard, 1, &holds}, {guard, 5, NULL}, {guard, 99, NULL}, {guard, 50, NULL}};
    pthread_t threads[4];
    const char *states[] = {"\"running\":1", "\"waiting\":1", "\"waiting\":2", "\"waiting\":3"};
    for (int n = 0; n < 4; n++) {
        pthread_create(&threads[n], NULL, urgent, &callers[n]);
        wait_for(guard, states[n]);
    }
    pthread_mutex_unlock(&holds);
    for (int n = 0; n < 4; n++) pthread_join(threads[n], NULL);
    CHECK(order[0] == 1 && order[1] == 99 && order[2] == 50 && order[3] == 5);
    sutazai_guard_free(guard);
}

static void mistakes_are_errors(void) {
    sutazai_guard *guard = NULL;
    FAILS(sutazai_guard_new(NULL, S("g"), S("{\"retry\": {\"atempts\": 1}}"), &guard),
          SUTAZAI_BASE_INVALID);
    FAILS(sutazai_guard_new(NULL, S("g"), S("{\"retry\": {\"attempts\": 0}}"), &guard),
          SUTAZAI_BASE_INVALID);
    FAILS(sutazai_guard_new(NULL, S("g"), S("nonsense"), &guard), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_guard_new(NULL, S("g"), S(""), NULL), SUTAZAI_BASE_INVALID);
    CHECK(guard == NULL);
    OK(sutazai_guard_new(NULL, S("g"), S(""), &guard));
    FAILS(sutazai_guard_run(NULL, work, NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_guard_run(guard, NULL, NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_guard_status(guard, NULL), SUTAZAI_BASE_INVALID);
    sutazai_guard_free(guard);
    sutazai_guard_free(NULL);
}

int main(void) {
    RUN(what_is_transient_is_tried_again);
    RUN(the_error_says_why_nothing_more_was_tried);
    RUN(waits_and_deadlines_are_the_kernels);
    RUN(a_breaker_rejects_and_is_forced);
    RUN(a_mistake_in_a_policy_is_named_by_its_path);
    RUN(guards_of_a_kernel_share_by_name);
    RUN(the_function_may_use_the_guard);
    RUN(threads_share_a_guard);
    RUN(what_is_called_has_no_more_time_than_its_caller);
    RUN(the_urgent_go_first);
    RUN(mistakes_are_errors);
    return check_failed;
}
