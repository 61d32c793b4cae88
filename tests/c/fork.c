/* Handles in a forked child answer SUTAZAI_BASE_FORKED and never hang. */
#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

static int destroyed;

static sutazai_error *build(void *user, void *const *needs, size_t needs_len, void **out) {
    (void)needs;
    (void)needs_len;
    *out = user;
    return NULL;
}

static void destroy(void *user, void *value) {
    (void)value;
    ++*(int *)user;
}

static int in_child(sutazai_kernel *kernel, sutazai_ticket *ticket, sutazai_reply *reply,
                    sutazai_subscription *subscription, sutazai_scope *scope,
                    sutazai_value *value) {
    sutazai_buffer answer = {0};
    sutazai_event *event = NULL;
    sutazai_ticket *another = NULL;
    sutazai_scope *no_scope = NULL;
    sutazai_value *no_value = NULL;
    check_failed_here = 0;
    alarm(60); /* a hang is a failure */
    FAILS(sutazai_ticket_wait(ticket, SUTAZAI_FOREVER, &answer), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_ticket_try(ticket, &answer), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_ticket_next_part(ticket, SUTAZAI_FOREVER, &answer), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_ticket_cancel(ticket), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_call_wait(kernel, S("echo"), S("1"), 0, &answer), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_call(kernel, S("echo"), S("1"), 0, &another), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_invoke_wait(kernel, S("kernel.status"), NULL, 0, &answer), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_kernel_stop(kernel, 1000), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_publish(kernel, S("a"), NULL, 0, NULL), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_subscription_next(subscription, SUTAZAI_FOREVER, &event), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_reply_send(reply, S("1")), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_kernel_get(kernel, S("value"), &no_value), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_kernel_scope(kernel, &no_scope), SUTAZAI_BASE_FORKED);
    FAILS(sutazai_scope_get(scope, S("value"), &no_value), SUTAZAI_BASE_FORKED);
    CHECK(sutazai_value_get(value) == NULL);
    CHECK(sutazai_reply_cancelled(reply));
    CHECK(sutazai_ticket_is_done(ticket));
    sutazai_ticket_free(ticket);
    sutazai_reply_free(reply);
    sutazai_subscription_free(subscription);
    sutazai_value_free(value);
    sutazai_scope_free(scope);
    sutazai_kernel_free(kernel);
    CHECK(destroyed == 0);

    /* A kernel of the child's own works. */
    sutazai_kernel *own = started("{\"seed\": 1}");
    add_agent(own, ECHO_CARD, echo_handle, NULL);
    OK(sutazai_call_wait(own, S("echo"), S("1"), 0, &answer));
    CHECK(equals(&answer, "1"));
    sutazai_buffer_free(&answer);
    sutazai_kernel_free(own);
    return check_failed_here;
}

static void a_forked_child_gets_errors(void) {
    sutazai_kernel *kernel = new_kernel("");
    sutazai_factory_table table = {0};
    table.size = sizeof table;
    table.user = &destroyed;
    table.build = build;
    table.destroy = destroy;
    OK(sutazai_kernel_provide(kernel, S("value"), NULL, 0, SUTAZAI_LIFETIME_SCOPED, &table));
    OK(sutazai_kernel_start(kernel));
    sutazai_scope *scope = NULL;
    OK(sutazai_kernel_scope(kernel, &scope));
    sutazai_value *value = NULL;
    OK(sutazai_scope_get(scope, S("value"), &value));
    sutazai_reply *kept = NULL;
    add_agent(kernel, KEEP_CARD, keep_handle, &kept);
    add_agent(kernel, ECHO_CARD, echo_handle, NULL);
    sutazai_ticket *ticket = NULL;
    OK(sutazai_call(kernel, S("keep"), NULL, 0, 0, &ticket));
    sutazai_subscription *subscription = NULL;
    OK(sutazai_subscribe(kernel, S("a"), NULL, 0, NULL, &subscription));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        /* exec, so that no leak checker looks for what the child must leave alone. */
        const char *answer = in_child(kernel, ticket, kept, subscription, scope, value) ? "false" : "true";
        execlp(answer, answer, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    /* The parent goes on as if nothing had been. */
    OK(sutazai_reply_send(kept, S("2")));
    sutazai_reply_free(kept);
    sutazai_buffer answer = {0};
    OK(sutazai_ticket_wait(ticket, SUTAZAI_FOREVER, &answer));
    CHECK(equals(&answer, "2"));
    sutazai_buffer_free(&answer);
    sutazai_ticket_free(ticket);
    sutazai_subscription_free(subscription);
    CHECK(sutazai_value_get(value) == &destroyed);
    sutazai_value_free(value);
    sutazai_scope_free(scope);
    CHECK(destroyed == 1);
    sutazai_kernel_free(kernel);
}

int main(void) {
    RUN(a_forked_child_gets_errors);
    return check_failed;
}
