/* What the C tests share. A test is a function; RUN reports it as a line "ok" or "not ok". */
#ifndef CHECK_H
#define CHECK_H

#include "sutazai.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_failed;
static int check_failed_here;

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
            check_failed_here = 1;                                              \
        }                                                                       \
    } while (0)

/* No error; what it says otherwise is shown. */
#define OK(call)                                                                \
    do {                                                                        \
        sutazai_error *ok_error = (call);                                       \
        if (ok_error != NULL) {                                                 \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call,       \
                    sutazai_error_message(ok_error));                           \
            check_failed_here = 1;                                              \
            sutazai_error_free(ok_error);                                       \
        }                                                                       \
    } while (0)

/* An error of this code. */
#define FAILS(call, wanted)                                                     \
    do {                                                                        \
        sutazai_error *fails_error = (call);                                    \
        if (sutazai_error_code(fails_error) != (wanted)) {                      \
            fprintf(stderr, "%s:%d: %s: wanted %s, got %u %s\n", __FILE__, __LINE__, #call, \
                    #wanted, (unsigned)sutazai_error_code(fails_error),         \
                    sutazai_error_message(fails_error));                        \
            check_failed_here = 1;                                              \
        }                                                                       \
        sutazai_error_free(fails_error);                                        \
    } while (0)

/* ONLY=name runs one test. */
#define RUN(test)                                                               \
    do {                                                                        \
        const char *only = getenv("ONLY");                                      \
        if (only != NULL && strcmp(only, #test) != 0) break;                    \
        check_failed_here = 0;                                                  \
        test();                                                                 \
        printf("%s %s\n", check_failed_here ? "not ok" : "ok", #test);          \
        fflush(stdout);                                                         \
        check_failed |= check_failed_here;                                      \
    } while (0)

/* A string literal, or any NUL-terminated string, as the two arguments that the library takes. */
#define S(text) (text), strlen(text)

static inline int equals(const sutazai_buffer *buffer, const char *text) {
    return buffer->data != NULL && buffer->len == strlen(text) &&
           memcmp(buffer->data, text, buffer->len) == 0;
}

static inline int says(sutazai_str str, const char *text) {
    return str.len == strlen(text) && memcmp(str.data, text, str.len) == 0;
}

/* Whether the answer to an operation has this in it; it is shown where not. */
static inline int answers(sutazai_kernel *kernel, const char *operation, const char *request, const char *text) {
    sutazai_buffer answer = {0};
    OK(sutazai_invoke_wait(kernel, operation, strlen(operation), request, strlen(request), &answer));
    const int found = answer.data != NULL && strstr(answer.data, text) != NULL;
    if (!found) {
        printf("%s: %s\n", operation, answer.data == NULL ? "" : answer.data);
    }
    sutazai_buffer_free(&answer);
    return found;
}

/* The threads of this process. */
static inline int threads(void) {
    DIR *dir = opendir("/proc/self/task");
    int count = 0;
    while (readdir(dir) != NULL) count++;
    closedir(dir);
    return count - 2; /* "." and ".." */
}

static inline sutazai_kernel *new_kernel(const char *config) {
    sutazai_kernel *kernel = NULL;
    sutazai_error *error = sutazai_kernel_new(S(config), &kernel);
    if (error != NULL) {
        fprintf(stderr, "sutazai_kernel_new: %s\n", sutazai_error_message(error));
        exit(2);
    }
    return kernel;
}

static inline sutazai_kernel *started(const char *config) {
    sutazai_kernel *kernel = new_kernel(config);
    sutazai_error *error = sutazai_kernel_start(kernel);
    if (error != NULL) {
        fprintf(stderr, "sutazai_kernel_start: %s\n", sutazai_error_message(error));
        exit(2);
    }
    return kernel;
}

/* Agents that many tests need. */

static inline void echo_handle(void *user, const sutazai_task *task, sutazai_reply *reply) {
    sutazai_str input = sutazai_task_input(task);
    (void)user;
    sutazai_error_free(sutazai_reply_send(reply, input.data, input.len));
    sutazai_reply_free(reply);
}

/* Gives its reply away through `user`, a `sutazai_reply **` that is NULL. */
static inline void keep_handle(void *user, const sutazai_task *task, sutazai_reply *reply) {
    (void)task;
    *(sutazai_reply **)user = reply;
}

static inline void add_agent(sutazai_kernel *kernel, const char *card,
                             void (*handle)(void *, const sutazai_task *, sutazai_reply *),
                             void *user) {
    sutazai_agent_table table = {0};
    table.size = sizeof table;
    table.user = user;
    table.handle = handle;
    OK(sutazai_agent_add(kernel, S(card), &table));
}

#define ECHO_CARD "{\"name\": \"echo\", \"skills\": [\"echo\"], \"run\": \"inline\"}"
#define KEEP_CARD "{\"name\": \"keep\", \"skills\": [\"keep\"], \"run\": \"inline\"}"

#endif
