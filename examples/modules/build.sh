#!/bin/sh
# Builds the example modules for wasm32-unknown-unknown, copies them here, rewrites digests.json.
# Rust modules need either the rustup target, or Debian's packages rustc-web, cargo-web and rust-web-src; the
# module in C needs clang, once its source has changed. `build.sh c-distance` builds that one alone.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
only=${1:-}
target=wasm32-unknown-unknown
out=${CARGO_TARGET_DIR:-$here/../../target/modules}
export CARGO_TARGET_DIR="$out"

# One digest over every source: "sha256  path" lines in byte order of the path, hashed again.
sources() {
    {
        if [ "$1" = c-distance ]; then
            find "$1" -type f
        else
            echo .cargo/config.toml
            echo Cargo.toml
            echo Cargo.lock
            echo "$1/Cargo.toml"
            find "$1/src" -type f
            echo ../../sdk/guest/Cargo.toml
            find ../../sdk/guest/src -type f
        fi
    } | LC_ALL=C sort | while IFS= read -r path; do sha256sum "$path"; done | sha256sum | cut -d' ' -f1
}

# The module in C, by the flags that lie beside it. The linker is lld's: clang's own, or rustup's.
if command -v clang >/dev/null 2>&1; then
    lld=
    if ! command -v wasm-ld >/dev/null 2>&1; then
        lld=$(find "$(rustc --print sysroot)" -path '*gcc-ld/wasm-ld' 2>/dev/null | head -n 1)
        if [ -z "$lld" ]; then
            echo "build.sh: no linker for wasm: apt-get install lld, or install a rustup toolchain" >&2
            exit 1
        fi
    fi
    clang ${lld:+"-fuse-ld=$lld"} @c-distance/flags -o c-distance.wasm c-distance/distance.c
    chmod 644 c-distance.wasm
elif [ "$only" = c-distance ] || ! grep -q "$(sources c-distance)" digests.json; then
    echo "build.sh: c-distance is in C and clang is not installed: apt-get install clang lld" >&2
    exit 1
fi

if [ "$only" = c-distance ]; then
    :
elif command -v rustup >/dev/null 2>&1 && rustup target list --installed | grep -qx "$target"; then
    cargo build --locked --release --target "$target"
elif [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] && [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
    lld=$(find "$(rustc --print sysroot)" -name rust-lld -type f 2>/dev/null | head -n 1)
    if [ -z "$lld" ]; then
        echo "build.sh: no rust-lld in $(rustc --print sysroot): install a rustup toolchain (rustup toolchain install stable)" >&2
        exit 1
    fi
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$lld" RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
        /usr/bin/cargo build --locked --release --ignore-rust-version \
        -Zbuild-std=core,alloc,panic_abort --target "$target"
else
    echo "build.sh: no compiler for $target is installed. Do one of these:" >&2
    echo "  rustup target add $target" >&2
    echo "  apt-get install rustc-web cargo-web rust-web-src    (Debian, beside a rustup toolchain for rust-lld)" >&2
    exit 1
fi

{
    echo "{"
    comma=
    for module in c-distance town-flows usual-region; do
        if [ "$module" != c-distance ] && [ -z "$only" ]; then
            install -m 644 "$out/$target/release/$(echo "$module" | tr - _).wasm" "$module.wasm"
        fi
        printf '%s  "%s": {\n    "wasm_sha256": "%s",\n    "source_sha256": "%s"\n  }' \
            "$comma" "$module" "$(sha256sum "$module.wasm" | cut -d' ' -f1)" "$(sources "$module")"
        comma=",
"
    done
    printf '\n}\n'
} > digests.json.new
mv digests.json.new digests.json
