#include "check.h"

#include <pthread.h>
#include <stdatomic.h>

/* What happened, in order: "+x" x was built, "-x" it was destroyed, "~x" its factory was dropped. */
static char story[256];

static void tell(char what, const char *name) {
    size_t used = strlen(story);
    snprintf(story + used, sizeof story - used, "%c%s ", what, name);
}

/* Whether the story begins so and goes on for `more` bytes; begins a new one. */
static int began(const char *expected, size_t more) {
    int same = strncmp(story, expected, strlen(expected)) == 0 &&
               strlen(story) == strlen(expected) + more;
    if (!same) fprintf(stderr, "the story is \"%s\", not \"%s\"\n", story, expected);
    story[0] = '\0';
    return same;
}

static int told(const char *expected) { return began(expected, 0); }

/* A value that uses what it was built from to the end. */
typedef struct thing {
    const char *name;
    struct thing *needs[4];
    size_t needs_len;
} thing;

static sutazai_error *build(void *user, void *const *needs, size_t needs_len, void **out) {
    thing *built = calloc(1, sizeof *built);
    if (built == NULL || needs_len > 4) abort();
    built->name = user;
    built->needs_len = needs_len;
    for (size_t i = 0; i < needs_len; i++) built->needs[i] = needs[i];
    tell('+', user);
    *out = built;
    return NULL;
}

static void destroy(void *user, void *value) {
    thing *built = value;
    CHECK(built->name == user);
    for (size_t i = 0; i < built->needs_len; i++) CHECK(built->needs[i]->name[0] != '\0');
    tell('-', user);
    free(built);
}

static void drop(void *user) { tell('~', user); }

static sutazai_factory_table factory(const char *name) {
    sutazai_factory_table table = {0};
    table.size = sizeof table;
    table.user = (void *)name;
    table.drop = drop;
    table.build = build;
    table.destroy = destroy;
    return table;
}

/* Provides a thing; `needs` is NULL or one or two names with a space between. */
static sutazai_error *provide(sutazai_kernel *kernel, const char *name, const char *needs,
                              uint32_t lifetime) {
    sutazai_factory_table table = factory(name);
    sutazai_str names[2];
    size_t count = 0;
    while (needs != NULL) {
        const char *end = strchr(needs, ' ');
        names[count].data = needs;
        names[count++].len = end == NULL ? strlen(needs) : (size_t)(end - needs);
        needs = end == NULL ? NULL : end + 1;
    }
    return sutazai_kernel_provide(kernel, S(name), names, count, lifetime, &table);
}

static sutazai_value *get(sutazai_kernel *kernel, const char *name) {
    sutazai_value *value = NULL;
    OK(sutazai_kernel_get(kernel, S(name), &value));
    return value;
}

static sutazai_value *scope_get(sutazai_scope *scope, const char *name) {
    sutazai_value *value = NULL;
    OK(sutazai_scope_get(scope, S(name), &value));
    return value;
}

static thing *in(const sutazai_value *value) { return sutazai_value_get(value); }

/* An error of this code whose message has this text. */
static int says_error(sutazai_error *error, uint32_t code, const char *text) {
    int so = sutazai_error_code(error) == code &&
             strstr(sutazai_error_message(error), text) != NULL;
    if (!so) {
        fprintf(stderr, "%s, not %s\n", sutazai_error_message(error), text);
    }
    sutazai_error_free(error);
    return so;
}

static void a_singleton_is_built_once_out_of_its_needs(void) {
    sutazai_kernel *kernel = new_kernel("");
    OK(provide(kernel, "pool", "config log", SUTAZAI_LIFETIME_SINGLETON));
    OK(provide(kernel, "log", NULL, SUTAZAI_LIFETIME_SINGLETON));
    OK(provide(kernel, "config", NULL, SUTAZAI_LIFETIME_SINGLETON));
    OK(provide(kernel, "unused", NULL, SUTAZAI_LIFETIME_SINGLETON));
    OK(sutazai_kernel_start(kernel));
    CHECK(told(""));
    sutazai_value *pool = get(kernel, "pool"), *again = get(kernel, "pool");
    sutazai_value *config = get(kernel, "config");
    CHECK(told("+config +log +pool "));
    CHECK(in(pool) == in(again));
    CHECK(in(pool)->needs_len == 2 && in(pool)->needs[0] == in(config));
    CHECK(strcmp(in(pool)->needs[1]->name, "log") == 0);
    sutazai_value_free(config);
    sutazai_value_free(pool);
    sutazai_value_free(again);
    CHECK(told(""));
    OK(sutazai_kernel_stop(kernel, 1000));
    CHECK(began("-pool -log -config ", strlen("~pool ~log ~config ~unused ")));
    sutazai_kernel_free(kernel);
    CHECK(told(""));
}

static void lifetimes_are_kept(void) {
    sutazai_kernel *kernel = new_kernel("");
    sutazai_scope *one = NULL, *two = NULL;
    sutazai_value *value = NULL;
    OK(provide(kernel, "root", NULL, SUTAZAI_LIFETIME_SINGLETON));
    OK(provide(kernel, "request", "root", SUTAZAI_LIFETIME_SCOPED));
    OK(provide(kernel, "stamp", NULL, SUTAZAI_LIFETIME_TRANSIENT));
    OK(sutazai_kernel_scope(kernel, &one));
    OK(sutazai_kernel_scope(kernel, &two));
    CHECK(told(""));
    sutazai_value *first = scope_get(one, "request"), *same = scope_get(one, "request");
    sutazai_value *other = scope_get(two, "request");
    CHECK(told("+root +request +request "));
    CHECK(in(first) == in(same) && in(first) != in(other));
    CHECK(in(first)->needs[0] == in(other)->needs[0]);
    FAILS(sutazai_kernel_get(kernel, S("request"), &value), SUTAZAI_KERNEL_INJECT_SCOPE);
    CHECK(value == NULL);

    sutazai_value *stamp = get(kernel, "stamp"), *anew = scope_get(one, "stamp");
    CHECK(in(stamp) != in(anew));
    sutazai_value_free(stamp);
    sutazai_value_free(anew);
    CHECK(told("+stamp +stamp -stamp -stamp "));

    /* What is held stays beyond its scope. */
    sutazai_value_free(same);
    sutazai_scope_free(one);
    CHECK(told(""));
    CHECK(strcmp(in(first)->name, "request") == 0);
    sutazai_value_free(first);
    CHECK(told("-request "));
    sutazai_value_free(other);
    CHECK(told(""));
    sutazai_scope_free(two);
    CHECK(told("-request "));
    sutazai_kernel_free(kernel);
    CHECK(began("-root ", strlen("~root ~request ~stamp ")));
}

static void a_value_outlives_its_kernel(void) {
    sutazai_kernel *kernel = new_kernel("");
    OK(provide(kernel, "config", NULL, SUTAZAI_LIFETIME_SINGLETON));
    OK(provide(kernel, "pool", "config", SUTAZAI_LIFETIME_SINGLETON));
    OK(provide(kernel, "other", NULL, SUTAZAI_LIFETIME_SINGLETON));
    OK(sutazai_kernel_start(kernel));
    sutazai_value_free(get(kernel, "other"));
    sutazai_value *pool = get(kernel, "pool");
    CHECK(told("+other +config +pool "));
    sutazai_kernel_free(kernel);
    CHECK(told("-other ~other "));
    CHECK(strcmp(in(pool)->needs[0]->name, "config") == 0);
    sutazai_value_free(pool);
    CHECK(told("-pool -config ~config ~pool "));
}

static void an_open_scope_outlives_its_kernel(void) {
    sutazai_kernel *kernel = new_kernel("");
    sutazai_scope *scope = NULL;
    sutazai_value *value = NULL;
    OK(provide(kernel, "root", NULL, SUTAZAI_LIFETIME_SINGLETON));
    OK(provide(kernel, "request", "root", SUTAZAI_LIFETIME_SCOPED));
    OK(sutazai_kernel_scope(kernel, &scope));
    sutazai_value_free(scope_get(scope, "request"));
    sutazai_kernel_free(kernel);
    CHECK(told("+root +request "));
    FAILS(sutazai_scope_get(scope, S("request"), &value), SUTAZAI_BASE_NOT_RUNNING);
    sutazai_scope_free(scope);
    CHECK(began("-request -root ", strlen("~root ~request ")));
}

static sutazai_error *fail(void *user, void *const *needs, size_t needs_len, void **out) {
    int *tries = user;
    (void)needs;
    (void)needs_len;
    switch ((*tries)++) {
    case 0:
        *out = user; /* whatever it wrote, it failed */
        return sutazai_error_new(SUTAZAI_BASE_IO, SUTAZAI_CLASS_OF_CODE, S("the disk is full"));
    case 1:
        return NULL; /* nothing was built, and nothing said */
    default:
        *out = user;
        return NULL;
    }
}

static void note(void *user, void *value) {
    CHECK(user == value);
    tell('-', "flaky");
}

static void a_factory_that_fails_may_be_asked_again(void) {
    sutazai_kernel *kernel = new_kernel("");
    sutazai_value *value = NULL;
    int tries = 0;
    sutazai_factory_table flaky = {0};
    flaky.size = sizeof flaky;
    flaky.user = &tries;
    flaky.build = fail;
    flaky.destroy = note;
    OK(sutazai_kernel_provide(kernel, S("flaky"), NULL, 0, SUTAZAI_LIFETIME_SINGLETON, &flaky));
    OK(provide(kernel, "top", "flaky", SUTAZAI_LIFETIME_TRANSIENT));
    sutazai_error *error = sutazai_kernel_get(kernel, S("top"), &value);
    CHECK(sutazai_error_class(error) == SUTAZAI_TRANSIENT);
    CHECK(strstr(sutazai_error_message(error), "the disk is full") != NULL);
    CHECK(says_error(error, SUTAZAI_KERNEL_INJECT_FAILED, "\"top\" → \"flaky\""));
    error = sutazai_kernel_get(kernel, S("flaky"), &value);
    CHECK(says_error(error, SUTAZAI_KERNEL_INJECT_FAILED, "built NULL (path=\"flaky\")"));
    CHECK(value == NULL);
    OK(sutazai_kernel_get(kernel, S("flaky"), &value));
    CHECK(sutazai_value_get(value) == &tries && tries == 3);
    sutazai_value_free(value);
    CHECK(told(""));
    sutazai_kernel_free(kernel);
    CHECK(began("-flaky ", strlen("~top ")));
}

static void a_wrong_graph_is_found_before_anything_is_built(void) {
    sutazai_kernel *kernel = new_kernel("");
    sutazai_scope *scope = NULL;
    OK(provide(kernel, "a", "b", SUTAZAI_LIFETIME_SINGLETON));
    OK(provide(kernel, "b", "c", SUTAZAI_LIFETIME_SINGLETON));
    CHECK(says_error(sutazai_kernel_start(kernel), SUTAZAI_KERNEL_INJECT_MISSING,
                     "\"a\" → \"b\" → \"c\""));
    CHECK(says_error(sutazai_kernel_scope(kernel, &scope), SUTAZAI_KERNEL_INJECT_MISSING, "\"c\""));
    CHECK(scope == NULL);
    /* What is missing can still be provided; here it closes a circle. */
    OK(provide(kernel, "c", "a", SUTAZAI_LIFETIME_SINGLETON));
    CHECK(says_error(sutazai_kernel_start(kernel), SUTAZAI_KERNEL_INJECT_CYCLE,
                     "\"a\" → \"b\" → \"c\" → \"a\""));
    sutazai_value *value = NULL;
    CHECK(says_error(sutazai_kernel_get(kernel, S("b"), &value), SUTAZAI_KERNEL_INJECT_CYCLE,
                     "\"a\" → \"b\" → \"c\" → \"a\""));
    CHECK(told(""));
    sutazai_kernel_free(kernel);
    CHECK(began("~", strlen("a ~b ~c ")));

    kernel = new_kernel("");
    OK(provide(kernel, "keeper", "request", SUTAZAI_LIFETIME_SINGLETON));
    OK(provide(kernel, "request", NULL, SUTAZAI_LIFETIME_SCOPED));
    CHECK(says_error(sutazai_kernel_start(kernel), SUTAZAI_KERNEL_INJECT_SCOPE,
                     "\"keeper\" → \"request\""));
    sutazai_kernel_free(kernel);
    CHECK(began("~", strlen("keeper ~request ")));

    kernel = new_kernel("");
    OK(provide(kernel, "a", "b", SUTAZAI_LIFETIME_SINGLETON));
    FAILS(sutazai_kernel_start(kernel), SUTAZAI_KERNEL_INJECT_MISSING);
    OK(provide(kernel, "b", NULL, SUTAZAI_LIFETIME_SINGLETON));
    OK(sutazai_kernel_start(kernel));
    FAILS(sutazai_kernel_get(kernel, S("c"), &value), SUTAZAI_KERNEL_INJECT_MISSING);
    sutazai_value_free(get(kernel, "a"));
    sutazai_kernel_free(kernel);
    CHECK(began("+b +a -a -b ", strlen("~a ~b ")));
}

static void arguments_are_checked_and_user_is_dropped(void) {
    sutazai_kernel *kernel = new_kernel("");
    const sutazai_str bad = {"\xff", 1}, none = {NULL, 3};
    sutazai_factory_table table = factory("x");
    sutazai_value *value = NULL;
    FAILS(provide(kernel, "x", NULL, 0), SUTAZAI_BASE_INVALID);
    FAILS(provide(kernel, "x", NULL, 4), SUTAZAI_BASE_INVALID);
    FAILS(provide(kernel, "", NULL, SUTAZAI_LIFETIME_SINGLETON), SUTAZAI_BASE_INVALID);
    FAILS(provide(NULL, "x", NULL, SUTAZAI_LIFETIME_SINGLETON), SUTAZAI_BASE_INVALID);
    CHECK(told("~x ~x ~ ~x "));
    FAILS(sutazai_kernel_provide(kernel, S("x"), NULL, 1, SUTAZAI_LIFETIME_SCOPED, &table),
          SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_provide(kernel, S("x"), &bad, 1, SUTAZAI_LIFETIME_SCOPED, &table),
          SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_provide(kernel, S("x"), &none, 1, SUTAZAI_LIFETIME_SCOPED, &table),
          SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_provide(kernel, S("x"), &bad, SIZE_MAX, SUTAZAI_LIFETIME_SCOPED, &table),
          SUTAZAI_BASE_INVALID);
    table.build = NULL;
    FAILS(sutazai_kernel_provide(kernel, S("x"), NULL, 0, SUTAZAI_LIFETIME_SCOPED, &table),
          SUTAZAI_BASE_INVALID);
    CHECK(told("~x ~x ~x ~x ~x "));
    FAILS(sutazai_kernel_provide(kernel, S("x"), NULL, 0, SUTAZAI_LIFETIME_SCOPED, NULL),
          SUTAZAI_BASE_INVALID);
    OK(provide(kernel, "x", NULL, SUTAZAI_LIFETIME_SINGLETON));
    FAILS(provide(kernel, "x", NULL, SUTAZAI_LIFETIME_SCOPED), SUTAZAI_BASE_ALREADY_EXISTS);
    CHECK(told("~x "));

    FAILS(sutazai_kernel_get(kernel, S("x"), NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_get(NULL, S("x"), &value), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_kernel_scope(kernel, NULL), SUTAZAI_BASE_INVALID);
    FAILS(sutazai_scope_get(NULL, S("x"), &value), SUTAZAI_BASE_INVALID);
    CHECK(sutazai_value_get(NULL) == NULL && value == NULL);
    sutazai_value_free(NULL);
    sutazai_scope_free(NULL);
    CHECK(told(""));
    sutazai_kernel_free(kernel);
    CHECK(told("~x "));
}

static void the_first_get_the_start_and_the_stop_end_the_providing(void) {
    sutazai_kernel *kernel = new_kernel("");
    sutazai_value *value = NULL;
    sutazai_scope *scope = NULL;
    OK(provide(kernel, "x", NULL, SUTAZAI_LIFETIME_SINGLETON));
    sutazai_value_free(get(kernel, "x"));
    FAILS(provide(kernel, "y", NULL, SUTAZAI_LIFETIME_SINGLETON), SUTAZAI_BASE_NOT_RUNNING);
    OK(sutazai_kernel_stop(kernel, 0));
    FAILS(sutazai_kernel_get(kernel, S("x"), &value), SUTAZAI_BASE_NOT_RUNNING);
    FAILS(sutazai_kernel_scope(kernel, &scope), SUTAZAI_BASE_NOT_RUNNING);
    FAILS(provide(kernel, "y", NULL, SUTAZAI_LIFETIME_SINGLETON), SUTAZAI_BASE_NOT_RUNNING);
    sutazai_kernel_free(kernel);
    CHECK(told("+x ~y -x ~x ~y "));
    kernel = started("");
    FAILS(provide(kernel, "x", NULL, SUTAZAI_LIFETIME_SINGLETON), SUTAZAI_BASE_NOT_RUNNING);
    sutazai_kernel_free(kernel);
    CHECK(told("~x "));
}

enum { ASKERS = 8 };

static pthread_barrier_t at_once;
static atomic_int builds, destroys;

static sutazai_error *build_slowly(void *user, void *const *needs, size_t needs_len, void **out) {
    (void)needs;
    (void)needs_len;
    atomic_fetch_add(&builds, 1);
    sched_yield();
    *out = user;
    return NULL;
}

static void count_destroy(void *user, void *value) {
    (void)user;
    (void)value;
    atomic_fetch_add(&destroys, 1);
}

static void *ask(void *kernel) {
    sutazai_value *value = NULL;
    pthread_barrier_wait(&at_once);
    sutazai_error *error = sutazai_kernel_get(kernel, S("shared"), &value);
    if (error != NULL) fprintf(stderr, "%s\n", sutazai_error_message(error));
    sutazai_error_free(error);
    return value;
}

static void many_threads_build_one_singleton(void) {
    sutazai_kernel *kernel = new_kernel("");
    sutazai_factory_table table = {0};
    pthread_t threads[ASKERS];
    table.size = sizeof table;
    table.user = &builds;
    table.build = build_slowly;
    table.destroy = count_destroy;
    OK(sutazai_kernel_provide(kernel, S("shared"), NULL, 0, SUTAZAI_LIFETIME_SINGLETON, &table));
    CHECK(pthread_barrier_init(&at_once, NULL, ASKERS) == 0);
    for (int i = 0; i < ASKERS; i++) CHECK(pthread_create(&threads[i], NULL, ask, kernel) == 0);
    for (int i = 0; i < ASKERS; i++) {
        void *value = NULL;
        CHECK(pthread_join(threads[i], &value) == 0);
        CHECK(sutazai_value_get(value) == &builds);
        sutazai_value_free(value);
    }
    pthread_barrier_destroy(&at_once);
    CHECK(atomic_load(&builds) == 1 && atomic_load(&destroys) == 0);
    sutazai_kernel_free(kernel);
    CHECK(atomic_load(&destroys) == 1);
}

/* Callbacks that use the library themselves: with a lock held they would hang. */

typedef struct asker {
    sutazai_kernel *kernel;
    const char *wants; /* not declared */
    uint32_t heard;    /* the code of the latest answer */
} asker;

static sutazai_value *wish(asker *asker) {
    sutazai_value *value = NULL;
    sutazai_error *error = sutazai_kernel_get(asker->kernel, S(asker->wants), &value);
    asker->heard = sutazai_error_code(error);
    sutazai_error_free(error);
    return value;
}

static sutazai_error *build_asking(void *user, void *const *needs, size_t needs_len, void **out) {
    (void)needs;
    (void)needs_len;
    *out = wish(user);
    return *out != NULL ? NULL
                        : sutazai_error_new(((asker *)user)->heard, SUTAZAI_CLASS_OF_CODE, S("no"));
}

static void destroy_asking(void *user, void *value) {
    sutazai_value_free(value);
    sutazai_value_free(wish(user));
}

static void drop_asking(void *user) { sutazai_value_free(wish(user)); }

static sutazai_error *provide_asking(asker *asker, const char *name) {
    sutazai_factory_table table = {0};
    table.size = sizeof table;
    table.user = asker;
    table.drop = drop_asking;
    table.build = build_asking;
    table.destroy = destroy_asking;
    return sutazai_kernel_provide(asker->kernel, S(name), NULL, 0, SUTAZAI_LIFETIME_SINGLETON,
                                  &table);
}

static void callbacks_may_use_the_kernel(void) {
    sutazai_kernel *kernel = new_kernel("");
    asker good = {kernel, "x", 0}, twice = {kernel, "x", 0};
    asker one = {kernel, "two", 0}, two = {kernel, "one", 0};
    sutazai_value *value = NULL;
    OK(provide(kernel, "x", NULL, SUTAZAI_LIFETIME_SINGLETON));
    OK(provide_asking(&good, "good"));
    OK(provide_asking(&one, "one"));
    OK(provide_asking(&two, "two"));
    FAILS(provide_asking(&twice, "good"), SUTAZAI_BASE_ALREADY_EXISTS);
    CHECK(told("+x ")); /* `drop` was called, and asked */
    sutazai_value *asked = get(kernel, "good"), *x = get(kernel, "x");
    CHECK(in(sutazai_value_get(asked)) == in(x));
    sutazai_value_free(asked);
    sutazai_value_free(x);
    FAILS(sutazai_kernel_get(kernel, S("one"), &value), SUTAZAI_KERNEL_INJECT_CYCLE);
    good.heard = 0;
    OK(sutazai_kernel_stop(kernel, 0));
    CHECK(good.heard == SUTAZAI_BASE_NOT_RUNNING && one.heard == SUTAZAI_BASE_NOT_RUNNING);
    CHECK(told("-x ~x "));
    sutazai_kernel_free(kernel);
}

enum { LINKS = 20000 };

static void *let_go(void *value) {
    sutazai_value_free(value);
    return NULL;
}

/* What a value was built from goes with it, without a stack frame for each. */
static void a_long_chain_goes_on_a_small_stack(void) {
    sutazai_kernel *kernel = new_kernel("");
    sutazai_factory_table table = {0};
    char name[16], need[16];
    table.size = sizeof table;
    table.user = &builds;
    table.build = build_slowly;
    table.destroy = count_destroy;
    atomic_store(&builds, 0);
    atomic_store(&destroys, 0);
    for (int i = 0; i < LINKS; i++) {
        sutazai_str needs = {need, (size_t)snprintf(need, sizeof need, "%d", i - 1)};
        snprintf(name, sizeof name, "%d", i);
        OK(sutazai_kernel_provide(kernel, S(name), &needs, i > 0, SUTAZAI_LIFETIME_SINGLETON,
                                  &table));
    }
    sutazai_value *last = get(kernel, name);
    sutazai_kernel_free(kernel);
    CHECK(atomic_load(&builds) == LINKS && atomic_load(&destroys) == 0);
    pthread_attr_t small;
    pthread_t thread;
    CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 256 << 10) == 0);
    CHECK(pthread_create(&thread, &small, let_go, last) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    pthread_attr_destroy(&small);
    CHECK(atomic_load(&destroys) == LINKS);
}

int main(void) {
    RUN(a_singleton_is_built_once_out_of_its_needs);
    RUN(lifetimes_are_kept);
    RUN(a_value_outlives_its_kernel);
    RUN(an_open_scope_outlives_its_kernel);
    RUN(a_factory_that_fails_may_be_asked_again);
    RUN(a_wrong_graph_is_found_before_anything_is_built);
    RUN(arguments_are_checked_and_user_is_dropped);
    RUN(the_first_get_the_start_and_the_stop_end_the_providing);
    RUN(many_threads_build_one_singleton);
    RUN(callbacks_may_use_the_kernel);
    RUN(a_long_chain_goes_on_a_small_stack);
    return check_failed;
}
