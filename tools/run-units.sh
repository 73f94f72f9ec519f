#!/bin/sh
# Run C test programs one after another; print a line each and, for a failure, all of its output.
set -u
bad=0
for t in "$@"; do
    out=$(mktemp)
    if timeout "${UNIT_TIMEOUT:-300}" "$t" >"$out" 2>&1; then
        echo "ok   $t"
    else
        bad=$((bad + 1))
        echo "FAIL $t"
        cat "$out"
    fi
    rm -f "$out"
done
[ "$bad" = 0 ]
