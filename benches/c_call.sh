#!/usr/bin/env bash
# Builds the release library and benches/c_call.c, and prints the line of c.call.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
library=${CARGO_TARGET_DIR:-$root/target}/release
(cd "$root" && cargo build --quiet --release -p sutazai-c)
out=$library/c_call
mkdir -p "$out"
ln -sf "$library/libsutazai.so" "$out/libsutazai.so.0"
gcc -std=c11 -D_DEFAULT_SOURCE -O2 -Wall -Wextra -Werror "-I$root/include" "$root/benches/c_call.c" \
    -o "$out/c_call" "-L$library" "-Wl,-rpath,$out" -lsutazai
exec "$out/c_call"
