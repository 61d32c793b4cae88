/* Factories: templates make agents of what C fills in. */
#include "check.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_int made, living, factory_drops;

static int same(sutazai_str text, const char *expected) {
    return text.len == strlen(expected) && memcmp(text.data, expected, text.len) == 0;
}

static void drop_agent(void *user) {
    free(user);
    living--;
}

static void drop_factory(void *user) {
    CHECK(user == &made);
    factory_drops++;
}

/* Answers with the word that it was made with. */
static void say(void *user, const sutazai_task *task, sutazai_reply *reply) {
    (void)task;
    sutazai_error_free(sutazai_reply_send(reply, user, strlen(user)));
    sutazai_reply_free(reply);
}

static sutazai_error *make(void *user, const sutazai_agent_order *order, sutazai_agent_table *agent) {
    CHECK(user == &made);
    made++;
    CHECK(same(order->agent_template, "parrot"));
    CHECK(same(order->skills, "[\"say\"]"));
    CHECK(agent->size == sizeof *agent && agent->user == NULL && agent->handle == NULL);
    if (same(order->parameters, "{\"word\":\"nothing\"}")) {
        return sutazai_error_new(SUTAZAI_AGENT_START, SUTAZAI_CLASS_OF_CODE, S("it has nothing to say"));
    }
    if (same(order->parameters, "{\"word\":\"empty\"}")) {
        return NULL;
    }
    CHECK(same(order->parameters, "{\"word\":\"hello\"}"));
    char *word = malloc(16);
    strcpy(word, "\"hello\"");
    agent->user = word;
    agent->drop = drop_agent;
    agent->handle = say;
    living++;
    return NULL;
}

static sutazai_kernel *kernel_with_parrots(void) {
    sutazai_kernel *kernel = started("");
    sutazai_agent_factory_table table = {0};
    table.size = sizeof table;
    table.user = &made;
    table.drop = drop_factory;
    table.make = make;
    OK(sutazai_agent_factory_add(kernel, S("parrots"), &table));
    FAILS(sutazai_agent_factory_add(kernel, S("parrots"), &table), SUTAZAI_BASE_ALREADY_EXISTS);
    CHECK(factory_drops == 1);
    table.make = NULL;
    FAILS(sutazai_agent_factory_add(kernel, S("others"), &table), SUTAZAI_BASE_INVALID);
    CHECK(factory_drops == 2);
    sutazai_buffer answer = {0};
    OK(sutazai_invoke_wait(
        kernel, S("agent.template_add"),
        S("{\"template\": {\"name\": \"parrot\", \"skills\": [\"say\"], \"make\": {\"factory\": \"parrots\"},"
          "\"parameters\": {\"word\": {\"default\": \"hello\"}},"
          "\"about\": {\"say\": {\"probe\": {\"equals\": \"hello\"}}}}}"),
        &answer));
    sutazai_buffer_free(&answer);
    return kernel;
}

static void an_agent_is_made_probed_and_called(void) {
    made = living = factory_drops = 0;
    sutazai_kernel *kernel = kernel_with_parrots();
    sutazai_buffer answer = {0};
    OK(sutazai_invoke_wait(kernel, S("agent.create"), S("{\"want\": {\"skill\": \"say\"}}"), &answer));
    CHECK(strstr(answer.data, "\"agent\":\"parrot-1\"") != NULL);
    CHECK(strstr(answer.data, "\"verdict\":\"right\"") != NULL);
    sutazai_buffer_free(&answer);
    CHECK(made == 1 && living == 1);
    OK(sutazai_invoke_wait(kernel, S("agent.call"), S("{\"skill\": \"say\"}"), &answer));
    CHECK(strstr(answer.data, "\"output\":\"hello\"") != NULL);
    sutazai_buffer_free(&answer);
    OK(sutazai_kernel_stop(kernel, 5000));
    sutazai_kernel_free(kernel);
    CHECK(living == 0 && factory_drops == 3);
}

static void what_a_factory_cannot_make_is_an_error_that_says_why(void) {
    made = living = factory_drops = 0;
    sutazai_kernel *kernel = kernel_with_parrots();
    sutazai_buffer answer = {0};
    sutazai_error *error = sutazai_invoke_wait(
        kernel, S("agent.create"),
        S("{\"want\": {\"skill\": \"say\", \"parameters\": {\"word\": \"nothing\"}}}"), &answer);
    CHECK(sutazai_error_code(error) == SUTAZAI_AGENT_NOT_MADE);
    sutazai_buffer shown = {0};
    OK(sutazai_error_to_json(error, &shown));
    CHECK(strstr(shown.data, "it has nothing to say") != NULL);
    sutazai_buffer_free(&shown);
    sutazai_error_free(error);
    /* Without a handle it is no agent. */
    FAILS(sutazai_invoke_wait(kernel, S("agent.create"),
                              S("{\"want\": {\"skill\": \"say\", \"parameters\": {\"word\": \"empty\"}}}"),
                              &answer),
          SUTAZAI_AGENT_NOT_MADE);
    CHECK(made == 2 && living == 0);
    sutazai_kernel_free(kernel);
    CHECK(factory_drops == 3);
}

int main(void) {
    RUN(an_agent_is_made_probed_and_called);
    RUN(what_a_factory_cannot_make_is_an_error_that_says_why);
    return check_failed;
}
