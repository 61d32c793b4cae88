/*
 * What is measured, what is odd in it and what is to come; and a knob of this program's that finds its value
 * within a guard-rail. All but the monitor is in the table of operations: see docs/monitoring.md and docs/tuning.md.
 *
 *   cc monitoring.c $(pkg-config --cflags --libs sutazai) \
 *       -Wl,-rpath,$(pkg-config --variable=libdir sutazai) -o monitoring && ./monitoring
 */
#define _POSIX_C_SOURCE 200809L
#include <sutazai.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT(text) (text), strlen(text)

static sutazai_kernel *kernel;

/* Ends the program with what went wrong. */
static void check(sutazai_error *error) {
    if (error == NULL) return;
    fprintf(stderr, "%s: %s\n", sutazai_error_name(error), sutazai_error_message(error));
    sutazai_error_free(error);
    exit(1);
}

/* Calls an operation; the answer is the caller's to free. */
static sutazai_buffer ask(const char *operation, const char *request) {
    sutazai_buffer answer = {0};
    check(sutazai_invoke_wait(kernel, TEXT(operation), TEXT(request), &answer));
    return answer;
}

/* Calls an operation and shows what stands in its answer from `from` on. Ends the program where that is not there. */
static void show(const char *what, const char *operation, const char *request, const char *from) {
    sutazai_buffer answer = ask(operation, request);
    const char *found = strstr((const char *)answer.data, from);
    if (found == NULL) {
        fprintf(stderr, "%s: no %s in %s\n", operation, from, (const char *)answer.data);
        exit(1);
    }
    printf("%s: %.220s\n", what, found);
    sutazai_buffer_free(&answer);
}

/* A monitor of this program's: it is asked in each sample. */
static sutazai_error *measure(void *user, int64_t now_ms, sutazai_samples *samples) {
    (void)now_ms;
    return sutazai_samples_add(samples, TEXT("queue_length"), *(const int *)user);
}

/* Between -1 and 1; the same each time. */
static double chance(void) {
    static unsigned state = 1;
    state = state * 1103515245u + 12345u;
    return (double)(state >> 16 & 0x7fff) / 16384.0 - 1.0;
}

static void record(const char *series, double value, time_t at) {
    char when[32], request[160];
    struct tm parts;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &parts));
    snprintf(request, sizeof request, "{\"series\": \"%s\", \"value\": %.3f, \"at\": \"%s\"}", series, value, when);
    sutazai_buffer answer = ask("monitor.record", request);
    sutazai_buffer_free(&answer);
}

/* Five hours of the past, a point a minute, as another program would have written them down. In real life the
 * operation monitor.configure has samples taken. */
static void the_past(void) {
    sutazai_buffer answer = ask("monitor.watch", "{\"series\": \"jobs_per_s\"}");
    sutazai_buffer_free(&answer);
    time_t began = time(NULL) - 300 * 60;
    for (int minute = 0; minute < 300; minute++) {
        record("jobs_per_s", minute == 280 ? 90.0 : 20.0 + chance(), began + minute * 60);
        record("disk_used_gigabytes", 400.0 + 0.3 * minute + 0.5 * chance(), began + minute * 60);
    }
}

/* Larger batches cost less a row, until memory is short: beyond 24 they are late. The tuner does not know that.
 * Windows are short, as this is an example: in real life they are seconds and minutes. */
static void a_knob_finds_its_value(void) {
    sutazai_buffer answer = ask("tune.add",
        "{\"tuner\": \"ingest\", \"spec\": {"
        " \"knobs\": [{\"name\": \"batch\", \"value\": 4,"
        "   \"kind\": {\"type\": \"integer\", \"low\": 1, \"high\": 64, \"scale\": \"log\"}}],"
        " \"policy\": {\"autonomy\": \"act\", \"warm_up_ms\": 0, \"window_ms\": 10, \"cool_down_ms\": 0,"
        "   \"guards\": [{\"metric\": \"latency\", \"side\": \"at_most\", \"bound\": 250}]}}}");
    sutazai_buffer_free(&answer);
    int batch = 4, done = 0;
    for (int round = 0; round < 60000 && !done; round++) {
        char request[128];
        snprintf(request, sizeof request,
                 "{\"tuner\": \"ingest\", \"sample\": {\"objective\": %.3f, \"guards\": {\"latency\": %d}}}",
                 100.0 / batch, batch <= 24 ? 80 : 900);
        answer = ask("tune.report", request);
        const char *applied = strstr((const char *)answer.data, "\"applied\":{\"batch\":");
        if (applied == NULL) exit(1);
        batch = atoi(applied + strlen("\"applied\":{\"batch\":"));
        sutazai_buffer_free(&answer);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        answer = ask("tune.get", "{\"tuner\": \"ingest\"}");
        done = strstr((const char *)answer.data, "\"guard_broken\"") != NULL
            && strstr((const char *)answer.data, "\"adopted\"") != NULL;
        sutazai_buffer_free(&answer);
    }
    show("adopted", "tune.get", "{\"tuner\": \"ingest\"}", "\"verdict\":\"adopted\"");
    show("rolled back", "tune.get", "{\"tuner\": \"ingest\"}", "\"verdict\":\"guard_broken\"");
    show("on the audit record", "security.audit_query", "{\"action\": \"tune.trial\"}", "\"tune.trial\"");
    printf("the batch is %d\n", batch);
    if (batch > 24) exit(1);
}

int main(void) {
    static int waiting = 3;
    sutazai_monitor_table table = {.size = sizeof table, .user = &waiting, .sample = measure};
    check(sutazai_kernel_new(NULL, 0, &kernel));
    check(sutazai_monitor_add(kernel, TEXT("queue"), &table));
    check(sutazai_kernel_start(kernel));
    show("a sample", "monitor.sample", "", "\"queue_length\":3");
    the_past();
    show("anomalies", "monitor.anomalies", "", "\"jobs_per_s\"");
    show("a forecast", "monitor.forecast", "{\"series\": \"jobs_per_s\", \"step_ms\": 60000, \"steps\": 3}", "\"point\"");
    show("exhaustion", "monitor.exhaustion", "{\"series\": \"disk_used_gigabytes\", \"policy\": {\"limit\": 500}}",
         "\"outlook\":\"runs_out\"");
    show("health", "monitor.health", "", "\"score\"");
    a_knob_finds_its_value();
    check(sutazai_kernel_stop(kernel, 5000));
    sutazai_kernel_free(kernel);
    return 0;
}
