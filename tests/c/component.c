#include "check.h"

static char order[64];

static sutazai_error *start(void *user, uint64_t left_ms) {
    CHECK(left_ms > 0 && left_ms <= 30000);
    strcat(order, user);
    strcat(order, "+");
    return NULL;
}

static sutazai_error *stop(void *user, uint64_t left_ms) {
    (void)left_ms;
    strcat(order, user);
    strcat(order, "-");
    return NULL;
}

static sutazai_error *fail(void *user, uint64_t left_ms) {
    (void)user;
    (void)left_ms;
    return sutazai_error_new(SUTAZAI_BASE_IO, SUTAZAI_CLASS_OF_CODE, S("the port is taken"));
}

static sutazai_component_table table_of(const char *name) {
    sutazai_component_table table = {0};
    table.size = sizeof table;
    table.user = (void *)name;
    table.start = start;
    table.stop = stop;
    return table;
}

static void components_start_in_the_order_of_their_needs(void) {
    order[0] = '\0';
    sutazai_kernel *kernel = new_kernel("");
    sutazai_component_table web = table_of("web"), database = table_of("db");
    OK(sutazai_component_add(kernel, S("{\"name\": \"web\", \"needs\": [\"database\"]}"), &web));
    OK(sutazai_component_add(kernel, S("{\"name\": \"database\"}"), &database));
    OK(sutazai_kernel_start(kernel));
    OK(sutazai_kernel_stop(kernel, 1000));
    CHECK(strcmp(order, "db+web+web-db-") == 0);
    sutazai_kernel_free(kernel);
}

static void a_failed_start_unwinds(void) {
    order[0] = '\0';
    sutazai_kernel *kernel = new_kernel("");
    sutazai_component_table good = table_of("good"), bad = table_of("bad");
    bad.start = fail;
    OK(sutazai_component_add(kernel, S("{\"name\": \"good\"}"), &good));
    OK(sutazai_component_add(kernel, S("{\"name\": \"bad\", \"needs\": [\"good\"]}"), &bad));
    sutazai_error *error = sutazai_kernel_start(kernel);
    CHECK(strstr(sutazai_error_message(error), "the port is taken") != NULL);
    CHECK(strstr(sutazai_error_message(error), "bad") != NULL);
    sutazai_error_free(error);
    CHECK(strcmp(order, "good+good-") == 0);
    sutazai_kernel_free(kernel);
}

static void descriptions_are_checked(void) {
    sutazai_kernel *kernel = new_kernel("");
    sutazai_component_table table = table_of("x");
    FAILS(sutazai_component_add(kernel, S("{\"nam\": \"x\"}"), &table), SUTAZAI_BASE_INVALID);
    OK(sutazai_component_add(kernel, S("{\"name\": \"x\"}"), &table));
    FAILS(sutazai_component_add(kernel, S("{\"name\": \"x\"}"), &table),
          SUTAZAI_BASE_ALREADY_EXISTS);
    table.start = NULL;
    FAILS(sutazai_component_add(kernel, S("{\"name\": \"y\"}"), &table), SUTAZAI_BASE_INVALID);
    sutazai_kernel_free(kernel);
}

int main(void) {
    RUN(components_start_in_the_order_of_their_needs);
    RUN(a_failed_start_unwinds);
    RUN(descriptions_are_checked);
    return check_failed;
}
