/*
 * Agents that are found: a directory in which a file declares one. Sources that are built in are reached
 * through the table of operations; a C program that has a way of its own to find agents registers them
 * itself (sutazai_agent_add), or writes such files.
 *
 *   cc discovery.c $(pkg-config --cflags --libs sutazai) \
 *       -Wl,-rpath,$(pkg-config --variable=libdir sutazai) -o discovery && ./discovery
 */
#define _POSIX_C_SOURCE 200809L
#include <sutazai.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT(text) (text), strlen(text)

static const char DECLARED[] =
    "[card]\n"
    "name = 'counter'\n"
    "skills = ['count']\n"
    "[process]\n"
    "command = ['python3', '-c', \"\"\"\n"
    "import json, sys\n"
    "def say(**message): print(json.dumps({'v': 1, **message}), flush=True)\n"
    "say(type='ready')\n"
    "for line in sys.stdin:\n"
    "    task = json.loads(line)\n"
    "    if task['type'] == 'task': say(type='result', id=task['id'], output=len(task['input']))\n"
    "    elif task['type'] == 'stop': break\n"
    "\"\"\"]\n";

/* Ends the program with what went wrong. */
static void check(sutazai_error *error) {
    if (error == NULL) return;
    fprintf(stderr, "%s: %s\n", sutazai_error_name(error), sutazai_error_message(error));
    sutazai_error_free(error);
    exit(1);
}

/* Calls an operation and shows what it answers. */
static void show(sutazai_kernel *kernel, const char *operation, const char *request) {
    sutazai_buffer answer = {0};
    check(sutazai_invoke_wait(kernel, TEXT(operation), TEXT(request), &answer));
    printf("%s: %s\n", operation, answer.data);
    sutazai_buffer_free(&answer);
}

int main(void) {
    char directory[] = "/tmp/sutazai-found-XXXXXX", file[64], request[256];
    if (mkdtemp(directory) == NULL) return 1;
    snprintf(file, sizeof file, "%s/counter.toml", directory);
    FILE *declared = fopen(file, "w");
    if (declared == NULL || fputs(DECLARED, declared) == EOF || fclose(declared) != 0) return 1;

    sutazai_kernel *kernel = NULL;
    check(sutazai_kernel_new(NULL, 0, &kernel));
    check(sutazai_kernel_start(kernel));
    snprintf(request, sizeof request,
             "{\"name\": \"local\", \"source\": {\"directory\": {\"path\": \"%s\"}}}", directory);
    show(kernel, "agent.source_add", request);
    show(kernel, "agent.discover", "");
    show(kernel, "agent.call", "{\"skill\": \"count\", \"input\": \"hello\"}");
    show(kernel, "agent.sources", "");
    show(kernel, "agent.source_remove", "{\"name\": \"local\"}");

    unlink(file);
    rmdir(directory);
    check(sutazai_kernel_stop(kernel, 5000));
    sutazai_kernel_free(kernel);
    return 0;
}
