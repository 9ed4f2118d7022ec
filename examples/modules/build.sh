#!/bin/sh
# Builds the example modules for wasm32-unknown-unknown and compares them with the shipped ones, byte
# for byte. Shipped files change only when asked: `build.sh --write` copies the new modules here and
# rewrites digests.json and names the compiler in compiler.txt.
# Needs either the rustup target, or Debian's packages rustc-web, cargo-web, rust-web-src and a linker
# (rustup's rust-lld, or lld-19). CLOISTER_MODULES_WITH=rustup or =debian chooses; otherwise rustup
# where it has the target. The module in C needs clang and lld, once its source has changed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
target=wasm32-unknown-unknown
out=${CARGO_TARGET_DIR:-$here/../../target/modules}
export CARGO_TARGET_DIR="$out"
write=
case "${1:-}" in
    "") ;;
    --write) write=yes ;;
    *) echo "build.sh: \`$1\` is unknown: the only option is --write" >&2; exit 2 ;;
esac

has_rustup() {
    command -v rustup >/dev/null 2>&1 && rustup target list --installed | grep -qx "$target"
}

has_debian() {
    [ -x /usr/bin/cargo ] && [ -x /usr/bin/rustc ] \
        && [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ]
}

# A linker that can fix the memory's size (LLVM 17 or newer): rustup's own, or a system's newest.
linker() {
    for rustc in rustc "${HOME:-/}/.cargo/bin/rustc"; do
        sysroot=$("$rustc" --print sysroot 2>/dev/null) || continue
        find "$sysroot/lib/rustlib" -path '*/bin/rust-lld' -type f 2>/dev/null | head -n 1
    done | grep . && return
    for lld in wasm-ld $(ls /usr/bin 2>/dev/null | grep -x 'wasm-ld-[0-9]*' | sort -t- -k3 -rn); do
        if "$lld" --help 2>/dev/null | grep -q -- --no-growable-memory; then
            echo "$lld"
            return
        fi
    done
}

with=${CLOISTER_MODULES_WITH:-}
if [ -z "$with" ]; then
    if has_rustup; then with=rustup; else with=debian; fi
fi
if [ "$with" = rustup ] && has_rustup; then
    compiler=$(rustc --version)
    cargo build --locked --release --target "$target"
elif [ "$with" = debian ] && has_debian; then
    compiler=$(/usr/bin/rustc --version)
    lld=$(linker | head -n 1)
    if [ -z "$lld" ]; then
        echo "build.sh: no linker for $target that knows --no-growable-memory. Do one of these:" >&2
        echo "  apt-get install lld-19" >&2
        echo "  rustup toolchain install stable    (brings rust-lld)" >&2
        exit 1
    fi
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$lld" RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc \
        /usr/bin/cargo build --locked --release --ignore-rust-version \
        -Zbuild-std=core,alloc,panic_abort --target "$target"
else
    echo "build.sh: no compiler for $target is installed (looked for: $with). Do one of these:" >&2
    echo "  rustup target add $target" >&2
    echo "  apt-get install rustc-web cargo-web rust-web-src lld-19    (Debian)" >&2
    exit 1
fi

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

# The same over one file's bytes.
digest() {
    sha256sum "$1" | cut -d' ' -f1
}

# What digests.json says of a module.
shipped() {
    sed -n "/\"$1\": {/,/}/s/.*\"$2\": \"\([^\"]*\)\".*/\1/p" digests.json
}

# The module in C, by the flags that lie beside it, with clang's own linker or rustup's. Without clang
# the shipped one stays, as long as its source is what it was built from.
in_c="$out/c-distance.wasm"
if command -v clang >/dev/null 2>&1; then
    lld=
    if ! command -v wasm-ld >/dev/null 2>&1; then
        lld=$(find "$(rustc --print sysroot)" -path '*gcc-ld/wasm-ld' 2>/dev/null | head -n 1)
        if [ -z "$lld" ]; then
            echo "build.sh: no linker for wasm: apt-get install lld, or install a rustup toolchain" >&2
            exit 1
        fi
    fi
    clang ${lld:+"-fuse-ld=$lld"} @c-distance/flags -o "$in_c" c-distance/distance.c
elif [ "$(sources c-distance)" = "$(shipped c-distance source_sha256)" ]; then
    echo "c-distance: clang is not installed and its source is unchanged: the shipped bytes stay"
    cp c-distance.wasm "$in_c"
else
    echo "build.sh: c-distance is in C and clang is not installed: apt-get install clang lld" >&2
    exit 1
fi

# Where a module was built just now.
built() {
    if [ "$1" = c-distance ]; then echo "$in_c"; else echo "$out/$target/release/$(echo "$1" | tr - _).wasm"; fi
}

differs=
for module in c-distance speed-gradient town-flows usual-region; do
    built=$(built "$module")
    if [ "$(digest "$built")" = "$(shipped "$module" wasm_sha256)" ] && cmp -s "$built" "$module.wasm"; then
        echo "$module: the shipped bytes, built again ($compiler)"
    else
        differs=yes
        if [ "$(sources "$module")" = "$(shipped "$module" source_sha256)" ]; then why="from the same sources"; else why="from changed sources"; fi
        echo "$module: other bytes than shipped, $why; built by $compiler, the shipped ones by $(cat compiler.txt)" >&2
    fi
done
if [ -z "$write" ]; then
    if [ -n "$differs" ]; then
        echo "build.sh: nothing was changed here: pass --write to ship the new modules (analyses that name the old ones keep theirs), or build with the compiler that is named" >&2
        exit 1
    fi
    exit 0
fi

{
    echo "{"
    comma=
    for module in c-distance speed-gradient town-flows usual-region; do
        install -m 644 "$(built "$module")" "$module.wasm"
        printf '%s  "%s": {\n    "wasm_sha256": "%s",\n    "source_sha256": "%s"\n  }' \
            "$comma" "$module" "$(digest "$module.wasm")" "$(sources "$module")"
        comma=",
"
    done
    printf '\n}\n'
} > digests.json.new
mv digests.json.new digests.json
echo "$compiler" > compiler.txt
