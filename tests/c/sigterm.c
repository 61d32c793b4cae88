/* A program of its own: the thread that waits for SIGTERM stays until the process ends, and valgrind is
 * told of it by the place where its stack was made, which must not be one that another thread left. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int dropped;

static void drop_user(void *user) {
    CHECK(user == &dropped);
    dropped++;
}

/* SIGTERM is the parent's; a forked child has nobody who would hear it, and ends. */
static void sigterm_ends_a_forked_child(void) {
    sutazai_kernel *kernel = started("");
    sutazai_stage_table stage = {0};
    sutazai_action_table action = {0};
    stage.size = sizeof stage;
    action.size = sizeof action;
    stage.user = action.user = &dropped;
    stage.drop = action.drop = drop_user;
    sutazai_buffer out = {0};
    int status = 0;
    OK(sutazai_invoke_wait(kernel, S("recovery.failsafe_set_policy"),
                           S("{\"policy\": {\"on_sigterm\": true}}"), &out));
    sutazai_buffer_free(&out);
    pid_t child = fork();
    if (child == 0) {
        check_failed_here = 0;
        alarm(60); /* a hang is a failure */
        FAILS(sutazai_failsafe_stage_add(kernel, S("{\"name\": \"a\"}"), &stage),
              SUTAZAI_BASE_FORKED);
        FAILS(sutazai_playbook_action_add(kernel, S("{\"name\": \"a\"}"), &action),
              SUTAZAI_BASE_FORKED);
        CHECK(dropped == 2);
        if (check_failed_here) _exit(1);
        raise(SIGTERM);
        for (;;) pause();
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    OK(sutazai_invoke_wait(kernel, S("recovery.failsafe_status"), S(""), &out));
    CHECK(strstr(out.data, "\"state\":\"armed\"") != NULL);
    sutazai_buffer_free(&out);
    sutazai_kernel_free(kernel);
}

int main(void) {
    RUN(sigterm_ends_a_forked_child);
    return check_failed;
}
