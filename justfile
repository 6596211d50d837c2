# Recipes; run them through ./dev, which installs what they need.

export CARGO_TERM_COLOR := env("CARGO_TERM_COLOR", "auto")
host := "x86_64-unknown-linux-gnu"
appliance := env("APPLIANCE", "bare")
fuzz_driver := "target/fuzz" / host / "fuzz/fuzz-one"
linked := "--color never --locked --target " + host + " -e normal,no-proc-macro --prefix none --format '{p}|{l}'"
image := "out" / appliance + "-vp2430" / "latest"

# List the recipes.
default:
    @just --list

# Build the development image and sign it: out/<appliance>-vp2430/latest. Arguments replace --relock.
image *ARGS="--relock": tools agent
    target/release/roamcore-image build {{appliance}} {{ARGS}}

# Boot the image in QEMU with its serial console on this terminal; ctrl-a x leaves.
run *ARGS: harness
    [ -e {{image}}/release.json ] || just appliance={{appliance}} image
    target/release/qemu-tests run --image {{image}} {{ARGS}}

# Unit and integration tests; those that build images need a few minutes. Ends with what could not run here.
test *ARGS: tools agent
    #!/bin/sh
    # cargo counts a test as passed that found no tool or no root and said so; the list tells.
    skipped="${CARGO_TARGET_DIR:-target}/tmp/skipped.txt"
    rm -f "$skipped"
    cargo test --workspace --locked {{ARGS}}
    status=$?
    if [ -s "$skipped" ]; then
      echo "skipped, although counted as passed: $(wc -l < "$skipped")"
      sort "$skipped" | uniq -c
    else
      echo "skipped: none"
    fi
    exit $status

# Boot tests in QEMU: names, or `ci`, or `all`, which takes both appliances (the chosen one first): some tests need one.
qemu-test *NAMES: tools agent harness
    #!/bin/sh
    set -eu
    case " {{NAMES}} " in *" all "*) others="bare roamcore" ;; *) others="" ;; esac
    images=""
    for one in {{appliance}} $others; do
      release="out/$one-vp2430/latest"
      case "$images " in *" $release "*) continue ;; esac
      [ -e "$release/release.json" ] || just appliance="$one" image
      images="$images --image $release"
    done
    exec target/release/qemu-tests {{NAMES}} $images

# The device API's conformance suite: `embedded`, `hawkbit` or `both`; more words are parts of names of cases.
conformance SERVER="both" *CASES:
    cargo test --locked -p roamcore-fleet --test conformance -- --server={{SERVER}} {{CASES}}

# Real hawkBit on the loopback, configured for our releases; ctrl-c ends it. Arguments: port, directory of its state.
hawkbit *ARGS:
    fleet/hawkbit/run {{ARGS}}

# Measure against the tools of Debian.
bench *ARGS: tools agent
    cargo run --release --locked -p roamcore-bench -- {{ARGS}}

# Fuzz every parser of outside bytes, or one: `fuzz TARGET SECONDS`; `fuzz all 5 --seed N` makes the same choices again.
fuzz TARGET="all" SECONDS="5" *ARGS="": fuzzer
    cargo run --quiet --locked -p roamcore-fuzz --bin roamcore-fuzz -- run --driver {{fuzz_driver}} {{TARGET}} {{SECONDS}} {{ARGS}}

# Take what fuzzing found into the committed corpus.
fuzz-keep: fuzzer
    cargo run --quiet --locked -p roamcore-fuzz --bin roamcore-fuzz -- keep --driver {{fuzz_driver}}

# The coverage-guided driver. Counters and compares are rustc's own LLVM passes, so that a stable compiler will do; with
# --target they are kept out of build scripts.
fuzzer:
    RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing" \
      cargo build --profile fuzz --locked --target {{host}} --target-dir target/fuzz -p roamcore-fuzz --features libfuzzer --bin fuzz-one

# Formatting, lints, specifications, and licences where cargo-deny is installed.
lint: tools
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    target/release/roamcore-image check
    @if command -v cargo-deny >/dev/null; then cargo deny --offline check licenses bans sources; \
      else echo "SKIP licences: cargo-deny is not installed, and compiling it takes minutes (cargo install --locked cargo-deny)"; fi

# What CI runs, on a fresh clone too.
ci: tools agent lint
    just test
    just fuzz
    just image
    target/release/roamcore-image verify {{image}}
    # The harness as the tests have it, which are built already; it works as well beside their builder.
    cargo build --locked --workspace --bins --tests
    target/debug/qemu-tests ci --image {{image}}

# The builder.
tools:
    cargo build --release --locked -p roamcore-image

# The test harness and the fleet server it runs.
harness:
    cargo build --release --locked -p roamcore-qemu-tests -p roamcore-fleet

# The agent and the update service, static, with paths of this machine kept out of them, and for the SBOM what is linked
# into them.
agent:
    RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/roamcore --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
      cargo build --release --locked --target {{host}} --target-dir target/static -p roamcore-agent -p roamcore-daemon
    mkdir -p target/agent
    cp --remove-destination target/static/{{host}}/release/roamcore-agent target/static/{{host}}/release/roamcore target/agent/
    cp Cargo.lock target/agent/
    cargo tree {{linked}} -p roamcore-agent > target/agent/crates.new && mv target/agent/crates.new target/agent/roamcore-agent.crates
    cargo tree {{linked}} -p roamcore-daemon > target/agent/crates.new && mv target/agent/crates.new target/agent/roamcore.crates
