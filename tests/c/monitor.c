/* Monitors that are written in C. */
#include "check.h"

#include <math.h>
#include <stdatomic.h>

static atomic_int asked, drops;
static const char *mood = "fine";

static void drop(void *user) {
    CHECK(user == &asked);
    drops++;
}

static sutazai_error *sample(void *user, int64_t now_ms, sutazai_samples *samples) {
    CHECK(user == &asked && now_ms > 0);
    asked++;
    OK(sutazai_samples_add(samples, S("queue_length"), 17.0));
    FAILS(sutazai_samples_add(samples, S("odd"), NAN), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_samples_add(samples, S("\xff"), 1.0), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_samples_add(samples, S(""), 1.0), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_samples_add(samples, S("queue\nlength"), 1.0), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_samples_add(samples, "queue\0length", 12, 1.0), SUTAZAI_BASE_INVALID);
    char longest[201];
    memset(longest, 'q', sizeof longest);
    FAILS(sutazai_samples_add(samples, longest, 201, 1.0), SUTAZAI_BASE_INVALID);
    OK(sutazai_samples_add(samples, longest, 200, 1.0));
    FAILS(sutazai_samples_add(NULL, S("odd"), 1.0), SUTAZAI_BASE_INVALID);
    if (strcmp(mood, "broken") == 0) {
        return sutazai_error_new(SUTAZAI_AGENT_FAILED, SUTAZAI_CLASS_OF_CODE, S("the queue is gone"));
    }
    if (strcmp(mood, "nameless") == 0) {
        // As a monitor does that hands on what it is told.
        return sutazai_samples_add(samples, S(""), 1.0);
    }
    return NULL;
}

static sutazai_monitor_table queue(void) {
    sutazai_monitor_table table = {0};
    table.size = sizeof table;
    table.user = &asked;
    table.drop = drop;
    table.sample = sample;
    return table;
}

static void what_it_measures_is_part_of_a_sample(void) {
    asked = drops = 0;
    sutazai_kernel *kernel = NULL;
    OK(sutazai_kernel_new(S("{}"), &kernel));
    sutazai_monitor_table table = queue();
    OK(sutazai_monitor_add(kernel, S("queue"), &table));
    FAILS(sutazai_monitor_add(kernel, S("queue"), &table), SUTAZAI_BASE_ALREADY_EXISTS);
    FAILS(sutazai_monitor_add(kernel, S(""), &table), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_monitor_add(NULL, S("other"), &table), SUTAZAI_BASE_INVALID);
    table.sample = NULL;
    FAILS(sutazai_monitor_add(kernel, S("other"), &table), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_monitor_add(kernel, S("other"), NULL), SUTAZAI_BASE_INVALID);
    CHECK(drops == 4);
    OK(sutazai_kernel_start(kernel));
    CHECK(answers(kernel, "monitor.sample", "{}", "\"queue_length\":17"));
    CHECK(answers(kernel, "monitor.series", "{\"prefix\": \"queue_\"}", "queue_length"));
    CHECK(answers(kernel, "monitor.status", "{}", "\"queue\""));
    mood = "broken";
    CHECK(answers(kernel, "monitor.sample", "{}", "the queue is gone"));
    mood = "nameless";
    CHECK(answers(kernel, "monitor.sample", "{}", "1 to 200 bytes"));
    mood = "fine";
    CHECK(answers(kernel, "monitor.sample", "{}", "\"failures\":{}"));
    CHECK(asked == 4 && drops == 4);
    table = queue();
    OK(sutazai_monitor_add(kernel, S("second"), &table));
    CHECK(answers(kernel, "monitor.remove", "{\"monitor\": \"queue\"}", "true"));
    CHECK(drops == 5);
    OK(sutazai_kernel_stop(kernel, 5000));
    CHECK(drops == 6);
    FAILS(sutazai_monitor_add(kernel, S("late"), &table), SUTAZAI_BASE_NOT_RUNNING);
    CHECK(drops == 7);
    sutazai_kernel_free(kernel);
}

int main(void) {
    RUN(what_it_measures_is_part_of_a_sample);
    return check_failed;
}
