/* The security of a kernel, as JSON in its configuration. */
#include "check.h"

static void security_is_said_in_the_configuration(void) {
    sutazai_kernel *kernel = NULL;
    const char *wrong[] = {
        "{\"security\": {\"authorize\": true}}",
        "{\"security\": {\"tokens\": {\"access_ms\": 5}}}",
        "{\"security\": {\"policies\": [{\"cedar\": \"permit\"}]}}",
    };
    const char *fields[] = {"authorize", "tokens.access_ms", "policies[0]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sutazai_error *error = sutazai_kernel_new(wrong[i], strlen(wrong[i]), &kernel);
        CHECK(error != NULL && kernel == NULL);
        sutazai_buffer shown = {0};
        OK(sutazai_error_to_json(error, &shown));
        CHECK(strstr(shown.data, fields[i]) != NULL);
        sutazai_buffer_free(&shown);
        sutazai_error_free(error);
    }
    FAILS(sutazai_kernel_new(S("{\"security\": {}, \"manifest_text\": \"[security]\\n\"}"), &kernel),
          SUTAZAI_BASE_INVALID);
    kernel = started("{\"security\": {\"authorise\": true, \"policies\": [{\"cedar\":"
                     "\"permit (principal == User::\\\"ann\\\", action, resource);\"}]}}");
    CHECK(answers(kernel, "security.status", "{}", "\"authorise\":true"));
    CHECK(answers(kernel, "security.decide",
               "{\"principal\": \"User::\\\"ann\\\"\", \"action\": \"Action::\\\"call\\\"\","
               "\"resource\": \"Skill::\\\"x\\\"\"}",
               "\"allowed\":true"));
    sutazai_kernel_free(kernel);
}

int main(void) {
    RUN(security_is_said_in_the_configuration);
    return check_failed;
}
