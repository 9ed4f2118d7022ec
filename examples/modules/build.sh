#!/bin/sh
# Builds the example modules for wasm32-unknown-unknown, copies them here, rewrites digests.json.
# Needs either the rustup target, or Debian's packages rustc-web, cargo-web and rust-web-src.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
target=wasm32-unknown-unknown
out=${CARGO_TARGET_DIR:-$here/../../target/modules}
export CARGO_TARGET_DIR="$out"

if command -v rustup >/dev/null 2>&1 && rustup target list --installed | grep -qx "$target"; then
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

# One digest over every source: "sha256  path" lines in byte order of the path, hashed again.
sources() {
    {
        echo .cargo/config.toml
        echo Cargo.toml
        echo Cargo.lock
        echo "$1/Cargo.toml"
        find "$1/src" -type f
        echo ../../sdk/guest/Cargo.toml
        find ../../sdk/guest/src -type f
    } | LC_ALL=C sort | while IFS= read -r path; do sha256sum "$path"; done | sha256sum | cut -d' ' -f1
}

{
    echo "{"
    comma=
    for module in town-flows usual-region; do
        install -m 644 "$out/$target/release/$(echo "$module" | tr - _).wasm" "$module.wasm"
        printf '%s  "%s": {\n    "wasm_sha256": "%s",\n    "source_sha256": "%s"\n  }' \
            "$comma" "$module" "$(sha256sum "$module.wasm" | cut -d' ' -f1)" "$(sources "$module")"
        comma=",
"
    done
    printf '\n}\n'
} > digests.json.new
mv digests.json.new digests.json
