#include "check.h"

static void the_header_and_the_library_agree(void) {
    CHECK(sutazai_abi_version() == SUTAZAI_ABI_VERSION);
    CHECK(strchr(sutazai_version(), '.') != NULL);
}

int main(void) {
    RUN(the_header_and_the_library_agree);
    return check_failed;
}
