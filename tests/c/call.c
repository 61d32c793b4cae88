#include "check.h"

static void a_call_takes_json_and_answers_json(void) {
    sutazai_kernel *kernel = started("");
    add_agent(kernel, ECHO_CARD, echo_handle, NULL);
    sutazai_buffer answer = {0};
    OK(sutazai_call_wait(kernel, S("echo"), S("{\"a\": [1, \"\xc3\xbc\"]}"), 1000, &answer));
    CHECK(equals(&answer, "{\"a\": [1, \"\xc3\xbc\"]}"));
    sutazai_buffer_free(&answer);
    OK(sutazai_call_wait(kernel, S("echo"), NULL, 0, 0, &answer));
    CHECK(equals(&answer, "null"));
    sutazai_buffer_free(&answer);
    sutazai_kernel_free(kernel);
}

static void bad_arguments_make_no_ticket(void) {
    sutazai_kernel *kernel = started("");
    sutazai_ticket *ticket = NULL;
    FAILS(sutazai_call(kernel, S("echo"), S("{\"a\":"), 0, &ticket), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_call(kernel, "\xc3", 1, NULL, 0, 0, &ticket), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_call(kernel, S("echo"), NULL, 0, 0, NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_invoke(kernel, "\xc3", 1, NULL, 0, &ticket), SUTAZAI_BASE_INVALID);
    CHECK(ticket == NULL);
    OK(sutazai_call(kernel, S("nobody"), NULL, 0, 0, &ticket));
    sutazai_buffer answer = {0};
    FAILS(sutazai_ticket_wait(ticket, SUTAZAI_FOREVER, &answer), SUTAZAI_AGENT_NO_SKILL);
    sutazai_ticket_free(ticket);
    sutazai_kernel_free(kernel);
}

static void options_name_the_agent(void) {
    sutazai_kernel *kernel = started("");
    add_agent(kernel, ECHO_CARD, echo_handle, NULL);
    sutazai_call_options options = {0};
    options.size = sizeof options;
    options.agent = "echo";
    options.agent_len = 4;
    options.timeout_ms = 1000;
    sutazai_ticket *ticket = NULL;
    OK(sutazai_call_with(kernel, S("echo"), S("1"), &options, &ticket));
    sutazai_buffer answer = {0};
    OK(sutazai_ticket_wait(ticket, 1000, &answer));
    CHECK(equals(&answer, "1"));
    sutazai_buffer_free(&answer);
    sutazai_ticket_free(ticket);

    options.agent = "ecko";
    OK(sutazai_call_with(kernel, S("echo"), S("1"), &options, &ticket));
    FAILS(sutazai_ticket_wait(ticket, 1000, &answer), SUTAZAI_BASE_NOT_FOUND);
    sutazai_ticket_free(ticket);

    options.agent = NULL;
    options.token = "secret";
    options.token_len = 6;
    OK(sutazai_call_with(kernel, S("echo"), S("1"), &options, &ticket));
    FAILS(sutazai_ticket_wait(ticket, 1000, &answer), SUTAZAI_SECURITY_UNAUTHENTICATED);
    sutazai_ticket_free(ticket);

    options.size = 3;
    FAILS(sutazai_call_with(kernel, S("echo"), S("1"), &options, &ticket), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_call_with(kernel, S("echo"), S("1"), NULL, &ticket), SUTAZAI_BASE_INVALID);
    options.size = sizeof options;
    options.priority = 256;
    FAILS(sutazai_call_with(kernel, S("echo"), S("1"), &options, &ticket), SUTAZAI_BASE_INVALID);
    sutazai_kernel_free(kernel);
}

struct nested {
    sutazai_kernel *kernel;
};

static void nested_handle(void *user, const sutazai_task *task, sutazai_reply *reply) {
    struct nested *nested = user;
    sutazai_str input = sutazai_task_input(task);
    sutazai_call_options options = {0};
    options.size = sizeof options;
    options.within = task;
    sutazai_ticket *ticket = NULL;
    sutazai_buffer answer = {0};
    OK(sutazai_call_with(nested->kernel, S("echo"), input.data, input.len, &options, &ticket));
    OK(sutazai_ticket_wait(ticket, 10000, &answer));
    OK(sutazai_reply_send(reply, answer.data, answer.len));
    sutazai_buffer_free(&answer);
    sutazai_ticket_free(ticket);
    sutazai_reply_free(reply);
}

static void agents_call_agents(void) {
    struct nested nested = {started("")};
    add_agent(nested.kernel, ECHO_CARD, echo_handle, NULL);
    add_agent(nested.kernel, "{\"name\": \"nested\", \"skills\": [\"nested\"]}", nested_handle, &nested);
    sutazai_buffer answer = {0};
    OK(sutazai_call_wait(nested.kernel, S("nested"), S("7"), 0, &answer));
    CHECK(equals(&answer, "7"));
    sutazai_buffer_free(&answer);
    sutazai_kernel_free(nested.kernel);
}

static void every_operation_is_reached_by_name(void) {
    sutazai_kernel *kernel = started("{\"clock\": \"virtual\"}");
    sutazai_ticket *ticket = NULL;
    OK(sutazai_invoke(kernel, S("kernel.status"), NULL, 0, &ticket));
    sutazai_buffer answer = {0};
    OK(sutazai_ticket_try(ticket, &answer));
    CHECK(answer.data != NULL && strstr(answer.data, "\"phase\":\"running\"") != NULL);
    sutazai_buffer_free(&answer);
    FAILS(sutazai_ticket_try(ticket, &answer), SUTAZAI_BASE_TAKEN);
    sutazai_ticket_free(ticket);
    FAILS(sutazai_invoke_wait(kernel, S("kernel.statu"), NULL, 0, &answer),
          SUTAZAI_SURFACE_OPERATION_UNKNOWN);
    FAILS(sutazai_invoke_wait(kernel, S("kernel.status"), S("{\"x\": 1}"), &answer),
          SUTAZAI_SURFACE_REQUEST_INVALID);
    sutazai_kernel_free(kernel);
}

int main(void) {
    RUN(a_call_takes_json_and_answers_json);
    RUN(bad_arguments_make_no_ticket);
    RUN(options_name_the_agent);
    RUN(agents_call_agents);
    RUN(every_operation_is_reached_by_name);
    return check_failed;
}
