/*
 * The quick start in C: one agent, one call, one event.
 *
 *   cc quickstart.c $(pkg-config --cflags --libs sutazai) \
 *       -Wl,-rpath,$(pkg-config --variable=libdir sutazai) -o quickstart && ./quickstart
 */
#include <sutazai.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT(text) (text), strlen(text)

/* Ends the program with what went wrong. */
static void check(sutazai_error *error) {
    if (error == NULL) return;
    fprintf(stderr, "%s: %s\n", sutazai_error_name(error), sutazai_error_message(error));
    sutazai_error_free(error);
    exit(1);
}

/* The agent: its input is JSON, here a string; so is its output. */
static void shout(void *user, const sutazai_task *task, sutazai_reply *reply) {
    sutazai_str input = sutazai_task_input(task);
    char *output = malloc(input.len + 1);
    (void)user;
    if (output == NULL) {
        sutazai_reply_free(reply); /* unanswered: the caller gets base.abandoned */
        return;
    }
    for (size_t i = 0; i < input.len; i++) {
        char c = input.data[i];
        output[i] = (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    sutazai_error *error = sutazai_reply_send(reply, output, input.len);
    sutazai_error_free(error); /* too late: the caller has given up, and nobody minds */
    free(output);
    sutazai_reply_free(reply);
}

int main(void) {
    sutazai_kernel *kernel = NULL;
    check(sutazai_kernel_new(NULL, 0, &kernel));

    sutazai_agent_table table = {0};
    table.size = sizeof table;
    table.handle = shout;
    check(sutazai_agent_add(kernel, TEXT("{\"name\": \"shouter\", \"skills\": [\"shout\"]}"), &table));

    sutazai_subscription *events = NULL;
    check(sutazai_subscribe(kernel, TEXT("greeting.*"), NULL, 0, NULL, &events));
    check(sutazai_kernel_start(kernel));

    sutazai_buffer answer = {0};
    check(sutazai_call_wait(kernel, TEXT("shout"), TEXT("\"hello\""), 1000, &answer));
    printf("answer: %s\n", answer.data);

    check(sutazai_publish(kernel, TEXT("greeting.sent"), answer.data, answer.len, NULL));
    sutazai_buffer_free(&answer);
    sutazai_event *event = NULL;
    check(sutazai_subscription_next(events, 1000, &event));
    sutazai_str subject = sutazai_event_subject(event), payload = sutazai_event_payload(event);
    printf("event: %.*s %.*s\n", (int)subject.len, subject.data, (int)payload.len, payload.data);

    sutazai_event_free(event);
    sutazai_subscription_free(events);
    check(sutazai_kernel_stop(kernel, 5000));
    sutazai_kernel_free(kernel);
    return 0;
}
