#include "check.h"

static void freeing_twice_is_harmless(void) {
    sutazai_kernel *kernel = new_kernel("");
    sutazai_buffer buffer = {0};
    OK(sutazai_invoke_wait(kernel, S("event.matches"),
                           S("{\"pattern\": \"a.*\", \"subject\": \"a.b\"}"), &buffer));
    CHECK(equals(&buffer, "{\"matches\":true}"));
    CHECK(buffer.data[buffer.len] == '\0');
    sutazai_buffer_free(&buffer);
    CHECK(buffer.data == NULL && buffer.len == 0);
    sutazai_buffer_free(&buffer);
    sutazai_buffer_free(NULL);
    sutazai_kernel_free(kernel);
}

static void outputs_are_written_on_success_only(void) {
    sutazai_kernel *kernel = new_kernel("");
    sutazai_buffer buffer = {(char *)&buffer, 42};
    FAILS(sutazai_invoke_wait(kernel, S("no.such"), NULL, 0, &buffer), SUTAZAI_SURFACE_OPERATION_UNKNOWN);
    CHECK(buffer.data == (char *)&buffer && buffer.len == 42);
    sutazai_kernel_free(kernel);
}

int main(void) {
    RUN(freeing_twice_is_harmless);
    RUN(outputs_are_written_on_success_only);
    return check_failed;
}
