/* State of the host's in checkpoints. */
#include "check.h"

#include <stdatomic.h>

typedef struct {
    char state[64];
    int fails;
    atomic_int dropped;
} host;

static void drop_user(void *user) { ((host *)user)->dropped++; }

static sutazai_error *save(void *user, sutazai_state *state) {
    host *h = user;
    if (h->fails == 1) return NULL; /* gives nothing */
    if (h->fails == 2) return sutazai_error_new(SUTAZAI_BASE_IO, SUTAZAI_PERSISTENT, S("no way in"));
    FAILS(sutazai_state_give(state, S("{")), SUTAZAI_BASE_INVALID);
    return sutazai_state_give(state, h->state, strlen(h->state));
}

static sutazai_error *restore(void *user, const char *state, size_t len) {
    host *h = user;
    if (h->fails) return sutazai_error_new(SUTAZAI_BASE_IO, SUTAZAI_PERSISTENT, S("no way out"));
    CHECK(len < sizeof h->state);
    memcpy(h->state, state, len);
    h->state[len] = 0;
    return NULL;
}

static sutazai_checkpointed_table table_of(host *h) {
    sutazai_checkpointed_table table = {0};
    table.size = sizeof table;
    table.user = h;
    table.drop = drop_user;
    table.save = save;
    table.restore = restore;
    return table;
}

static void fails(sutazai_kernel *kernel, const char *operation, const char *request,
                  uint32_t code) {
    sutazai_buffer out = {0};
    FAILS(sutazai_invoke_wait(kernel, S(operation), S(request), &out), code);
}

static void the_hosts_state_is_saved_and_restored(void) {
    host h = {"{\"model\":\"a\"}", 0, 0}, other = {"1", 0, 0};
    sutazai_kernel *kernel = started("");
    sutazai_checkpointed_table table = table_of(&h);
    OK(sutazai_checkpointed_add(kernel, S("{\"name\": \"models\", \"needs\": [\"base\"]}"), &table));
    table.user = &other;
    OK(sutazai_checkpointed_add(kernel, S("{\"name\": \"base\"}"), &table));
    const char *only = "{\"only\": [\"models\", \"base\"]}";
    CHECK(answers(kernel, "recovery.checkpoint_create", only, "\"id\":1"));
    strcpy(h.state, "{\"model\":\"b\"}");
    CHECK(answers(kernel, "recovery.checkpoint_diff", "{\"checkpoint\": 1}",
                  "\"changed\":[\"models\"]"));
    CHECK(answers(kernel, "recovery.checkpoint_restore", "{\"checkpoint\": 1}",
                  "\"restored\":[\"base\",\"models\"]"));
    CHECK(strcmp(h.state, "{\"model\":\"a\"}") == 0);
    h.fails = 1;
    fails(kernel, "recovery.checkpoint_create", only, SUTAZAI_BASE_INVALID);
    h.fails = 2;
    fails(kernel, "recovery.checkpoint_create", only, SUTAZAI_BASE_IO);
    h.fails = 0;
    sutazai_kernel_free(kernel);
    CHECK(h.dropped == 1 && other.dropped == 1);
}

static void what_is_added_is_checked(void) {
    host h = {"1", 0, 0};
    sutazai_kernel *kernel = new_kernel("");
    sutazai_checkpointed_table table = table_of(&h);
    FAILS(sutazai_checkpointed_add(kernel, S("{}"), &table), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_checkpointed_add(kernel, S("{\"name\": \"a\", \"need\": []}"), &table),
          SUTAZAI_BASE_INVALID);
    FAILS(sutazai_checkpointed_add(kernel, S("{\"name\": \"kernel.log\"}"), &table),
          SUTAZAI_BASE_ALREADY_EXISTS);
    FAILS(sutazai_checkpointed_add(NULL, S("{\"name\": \"a\"}"), &table), SUTAZAI_BASE_INVALID);
    table.restore = NULL;
    FAILS(sutazai_checkpointed_add(kernel, S("{\"name\": \"a\"}"), &table), SUTAZAI_BASE_INVALID);
    CHECK(h.dropped == 5);
    FAILS(sutazai_checkpointed_add(kernel, S("{\"name\": \"a\"}"), NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_state_give(NULL, S("1")), SUTAZAI_BASE_INVALID);
    sutazai_kernel_free(kernel);
}

int main(void) {
    RUN(the_hosts_state_is_saved_and_restored);
    RUN(what_is_added_is_checked);
    return check_failed;
}
