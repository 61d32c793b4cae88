/*
 * Who somebody is, what they may do, and proof of what was done, in C: all of it is reached through the
 * table of operations. The second factor here is a recovery code, so that the program needs no
 * authenticator; security.py and security.rs show one-time codes.
 *
 *   cc security.c $(pkg-config --cflags --libs sutazai) \
 *       -Wl,-rpath,$(pkg-config --variable=libdir sutazai) -o security && ./security
 */
#define _POSIX_C_SOURCE 200809L
#include <sutazai.h>

#include <stdarg.h>
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

/* Calls an operation with a request that is written as printf does. The answer is the caller's to free. */
static sutazai_error *ask(sutazai_kernel *kernel, sutazai_buffer *answer, const char *operation, const char *form,
                          va_list values) {
    static char request[65536];
    int len = vsnprintf(request, sizeof request, form, values);
    if (len < 0 || (size_t)len >= sizeof request)
        return sutazai_error_new(SUTAZAI_BASE_INVALID, SUTAZAI_CLASS_OF_CODE, TEXT("the request is too long"));
    return sutazai_invoke_wait(kernel, TEXT(operation), request, (size_t)len, answer);
}

/* The same, for what has to succeed. */
static sutazai_buffer invoke(sutazai_kernel *kernel, const char *operation, const char *form, ...) {
    sutazai_buffer answer = {0};
    va_list values;
    va_start(values, form);
    sutazai_error *error = ask(kernel, &answer, operation, form, values);
    va_end(values);
    check(error);
    return answer;
}

static void invoke_only(sutazai_kernel *kernel, const char *operation, const char *request) {
    sutazai_buffer answer = invoke(kernel, operation, "%s", request);
    sutazai_buffer_free(&answer);
}

/* The text (or number) behind a key of an answer; whole programs read JSON with a library. */
static char *field(sutazai_buffer answer, const char *key) {
    char name[64];
    snprintf(name, sizeof name, "\"%s\":", key);
    const char *from = strstr((const char *)answer.data, name);
    if (from == NULL) {
        fprintf(stderr, "no %s in %s\n", key, (const char *)answer.data);
        exit(1);
    }
    from += strlen(name);
    while (*from == '"' || *from == '[') from++;
    char *text = strndup(from, strcspn(from, "\",}]"));
    sutazai_buffer_free(&answer);
    return text;
}

/* An agent that does what it is asked for. */
static void office(void *user, const sutazai_task *task, sutazai_reply *reply) {
    (void)user;
    (void)task;
    sutazai_error_free(sutazai_reply_send(reply, TEXT("\"done\"")));
    sutazai_reply_free(reply);
}

/* A call in somebody's name, or what was said against it. */
static void call(const char *who, sutazai_kernel *kernel, const char *token, const char *skill) {
    char request[65536];
    snprintf(request, sizeof request, "{\"skill\": \"%s\", \"token\": \"%s\"}", skill, token);
    sutazai_buffer answer = {0};
    sutazai_error *error = sutazai_invoke_wait(kernel, TEXT("agent.call"), TEXT(request), &answer);
    printf("%s: %s\n", who, error == NULL ? "done" : sutazai_error_name(error));
    sutazai_error_free(error);
    sutazai_buffer_free(&answer);
}

int main(void) {
    sutazai_kernel *kernel = NULL;
    check(sutazai_kernel_new(NULL, 0, &kernel));
    check(sutazai_kernel_start(kernel));
    sutazai_agent_table agent = {0};
    agent.size = sizeof agent;
    agent.handle = office;
    check(sutazai_agent_add(kernel, TEXT("{\"name\": \"office\", \"skills\": [\"read\", \"mail\", \"delete\"]}"),
                            &agent));

    /* Ann may do anything but delete. */
    invoke_only(kernel, "security.policy_set",
                "{\"authorise\": true, \"by\": \"ops\", \"cedar\":"
                " \"permit (principal == User::\\\"ann\\\", action == Action::\\\"call\\\", resource);"
                " forbid (principal, action, resource == Skill::\\\"delete\\\");\"}");
    invoke_only(kernel, "security.password_set",
                "{\"principal\": \"ann\", \"password\": \"correct horse battery\"}");
    char *code = field(invoke(kernel, "security.recovery_make", "{\"principal\": \"ann\"}"), "codes");
    char *login = field(invoke(kernel, "security.login",
                               "{\"scheme\": \"password\", \"principal\": \"ann\","
                               " \"secret\": \"correct horse battery\"}"),
                        "login");
    char *access = field(invoke(kernel, "security.login_answer",
                                "{\"login\": \"%s\", \"scheme\": \"recovery\", \"secret\": \"%s\"}", login, code),
                         "access");
    printf("ann is in\n");
    call("ann reads", kernel, access, "read");
    call("ann deletes", kernel, access, "delete");

    /* The agent that acts for her gets less than she has, and can give nothing back. */
    char *handed = field(invoke(kernel, "security.delegate",
                                "{\"token\": \"%s\", \"lasts_ms\": 60000,"
                                " \"to\": {\"agent\": \"clerk\", \"skills\": [\"read\"]}}",
                                access),
                         "token");
    call("the clerk reads", kernel, handed, "read");
    call("the clerk mails", kernel, handed, "mail");

    /* A fresh key takes over, and what the one before has made can still be opened. */
    invoke_only(kernel, "security.keyset_create",
                "{\"keyset\": \"notes\", \"purpose\": \"encrypt\", \"by\": \"ops\"}");
    char *sealed = field(invoke(kernel, "security.key_encrypt",
                                "{\"keyset\": \"notes\", \"context\": \"note 7\", \"plain\": \"YnV5IG1pbGs=\"}"),
                         "sealed");
    invoke_only(kernel, "security.key_rotate", "{\"keyset\": \"notes\", \"by\": \"ops\"}");
    char *plain = field(invoke(kernel, "security.key_decrypt",
                               "{\"keyset\": \"notes\", \"context\": \"note 7\", \"sealed\": \"%s\"}", sealed),
                        "plain");
    printf("rotated: decrypted %s\n", plain);

    /* That she was denied is in the log, which whoever has its public key can check. */
    char *index = field(invoke(kernel, "security.audit_query",
                               "{\"principal\": \"ann\", \"object\": \"delete\", \"outcome\": \"denied\"}"),
                        "index");
    sutazai_buffer evidence = invoke(kernel, "security.audit_prove", "{\"index\": %s}", index);
    sutazai_buffer proved = invoke(kernel, "security.audit_check", "{\"evidence\": %s}", (const char *)evidence.data);
    char *outcome = field(proved, "outcome");
    printf("proved: ann's deletion was %s\n", outcome);
    sutazai_buffer_free(&evidence);

    int right = strcmp(outcome, "denied") == 0 && strcmp(plain, "YnV5IG1pbGs=") == 0;
    char *texts[] = {code, login, access, handed, sealed, plain, index, outcome};
    for (size_t n = 0; n < sizeof texts / sizeof *texts; n++) free(texts[n]);
    check(sutazai_kernel_stop(kernel, 5000));
    sutazai_kernel_free(kernel);
    return right ? 0 : 1;
}
