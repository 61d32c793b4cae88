#include "check.h"

#include <pthread.h>

static void events_are_pulled_in_order(void) {
    sutazai_kernel *kernel = started("");
    sutazai_subscription *subscription = NULL;
    OK(sutazai_subscribe(kernel, S("job.*"), NULL, 0, NULL, &subscription));
    size_t queued = 0;
    OK(sutazai_publish(kernel, S("job.one"), S("{\"n\":1}"), &queued));
    CHECK(queued == 1);
    OK(sutazai_publish(kernel, S("job.two"), NULL, 0, NULL));
    OK(sutazai_publish(kernel, S("other"), NULL, 0, &queued));
    CHECK(queued == 0);
    sutazai_event *event = NULL;
    OK(sutazai_subscription_next(subscription, SUTAZAI_FOREVER, &event));
    CHECK(says(sutazai_event_subject(event), "job.one"));
    CHECK(says(sutazai_event_payload(event), "{\"n\":1}"));
    CHECK(sutazai_event_missed_before(event) == 0);
    sutazai_event_free(event);
    OK(sutazai_subscription_next(subscription, 0, &event));
    CHECK(says(sutazai_event_payload(event), "null"));
    sutazai_event_free(event);
    FAILS(sutazai_subscription_next(subscription, 0, &event), SUTAZAI_BASE_TIMEOUT);
    FAILS(sutazai_subscription_next(subscription, 1, &event), SUTAZAI_BASE_TIMEOUT);
    sutazai_subscription_free(subscription);
    sutazai_kernel_free(kernel);
}

static void overflow_is_counted(void) {
    sutazai_kernel *kernel = started("");
    sutazai_subscription *subscription = NULL;
    OK(sutazai_subscribe(kernel, S(">"), S("{\"capacity\": 2}"), NULL, &subscription));
    sutazai_event *event = NULL;
    for (int i = 0; i < 5; i++) OK(sutazai_publish(kernel, S("a"), NULL, 0, NULL));
    CHECK(sutazai_subscription_missed(subscription) == 3);
    OK(sutazai_subscription_next(subscription, 0, &event));
    CHECK(sutazai_event_missed_before(event) == 3);
    sutazai_event_free(event);
    sutazai_subscription_free(subscription);
    sutazai_kernel_free(kernel);
}

static void arguments_are_checked(void) {
    sutazai_kernel *kernel = started("");
    sutazai_subscription *subscription = NULL;
    FAILS(sutazai_publish(kernel, S("a.*"), NULL, 0, NULL), SUTAZAI_EVENT_SUBJECT_INVALID);
    FAILS(sutazai_publish(kernel, S("a"), S("{"), NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_subscribe(kernel, S("a..b"), NULL, 0, NULL, &subscription),
          SUTAZAI_EVENT_SUBJECT_INVALID);
    FAILS(sutazai_subscribe(kernel, S("a"), S("{\"capacity\": 0}"), NULL, &subscription),
          SUTAZAI_BASE_INVALID);
    FAILS(sutazai_subscribe(kernel, S("a"), S("{\"overflow\": \"spill\"}"), NULL, &subscription),
          SUTAZAI_BASE_INVALID);
    FAILS(sutazai_subscribe(kernel, S("a"), NULL, 0, NULL, NULL), SUTAZAI_BASE_INVALID);
    sutazai_kernel_free(kernel);
}

struct heard {
    pthread_mutex_t lock;
    pthread_cond_t more;
    int events;
    int drops;
};

static void hear(void *user, const sutazai_event *event) {
    struct heard *heard = user;
    CHECK(says(sutazai_event_subject(event), "bell"));
    pthread_mutex_lock(&heard->lock);
    heard->events++;
    pthread_cond_broadcast(&heard->more);
    pthread_mutex_unlock(&heard->lock);
}

static void hear_drop(void *user) {
    struct heard *heard = user;
    pthread_mutex_lock(&heard->lock);
    heard->drops++;
    pthread_cond_broadcast(&heard->more);
    pthread_mutex_unlock(&heard->lock);
}

static void a_callback_gets_the_events(void) {
    struct heard heard = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};
    sutazai_kernel *kernel = started("");
    sutazai_event_table table = {0};
    table.size = sizeof table;
    table.user = &heard;
    table.drop = hear_drop;
    table.event = hear;
    sutazai_subscription *subscription = NULL;
    OK(sutazai_subscribe(kernel, S("bell"), NULL, 0, &table, &subscription));
    for (int i = 0; i < 10; i++) OK(sutazai_publish(kernel, S("bell"), NULL, 0, NULL));
    sutazai_event *event = NULL;
    FAILS(sutazai_subscription_next(subscription, 0, &event), SUTAZAI_BASE_INVALID);
    pthread_mutex_lock(&heard.lock);
    while (heard.events < 10) pthread_cond_wait(&heard.more, &heard.lock);
    pthread_mutex_unlock(&heard.lock);
    sutazai_subscription_free(subscription);
    pthread_mutex_lock(&heard.lock);
    while (heard.drops < 1) pthread_cond_wait(&heard.more, &heard.lock);
    pthread_mutex_unlock(&heard.lock);
    CHECK(heard.events == 10 && heard.drops == 1);

    table.event = NULL;
    FAILS(sutazai_subscribe(kernel, S("bell"), NULL, 0, &table, &subscription),
          SUTAZAI_BASE_INVALID);
    CHECK(heard.drops == 2);
    sutazai_kernel_free(kernel);
}

static void a_subscription_ends_with_its_kernel(void) {
    sutazai_kernel *kernel = started("");
    sutazai_subscription *subscription = NULL;
    OK(sutazai_subscribe(kernel, S("a"), NULL, 0, NULL, &subscription));
    sutazai_kernel_free(kernel);
    sutazai_event *event = NULL;
    FAILS(sutazai_subscription_next(subscription, 10000, &event),
          SUTAZAI_EVENT_SUBSCRIPTION_CLOSED);
    sutazai_subscription_free(subscription);
}

int main(void) {
    RUN(events_are_pulled_in_order);
    RUN(overflow_is_counted);
    RUN(arguments_are_checked);
    RUN(a_callback_gets_the_events);
    RUN(a_subscription_ends_with_its_kernel);
    return check_failed;
}
