#!/bin/sh
# run.sh SECONDS ARTIFACTS PROGRAM...: run each fuzz target for some seconds on a copy of its seed corpus.
# A crash, leak, time-out or too much memory fails; the input that did it is kept below ARTIFACTS.
set -u
seconds=$1
artifacts=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
mkdir -p "$artifacts"
failed=0
for program in "$@"; do
    name=$(basename "$program")
    name=${name#fuzz_}
    corpus=$work/$name
    mkdir "$corpus"
    if [ -d "$here/corpus/$name" ]; then cp -r "$here/corpus/$name/." "$corpus/"; fi
    if "$program" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="$artifacts/$name-" "$corpus" >"$work/log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log")
        covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$work/log" | tail -1)
        printf 'fuzz %-10s %9s executions, %5s edges, %5s inputs kept\n' "$name" "${runs:-0}" "${covered:-0}" \
            "$(find "$corpus" -type f | wc -l)"
    else
        printf 'fuzz %-10s FAILED\n' "$name"
        tail -40 "$work/log"
        failed=1
    fi
done
exit $failed
