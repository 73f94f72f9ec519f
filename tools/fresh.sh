#!/bin/sh
# Does what README.md promises hold on a machine that has nothing? Makes a minimal Debian 12 with `make` alone, clones HEAD
# into it, runs `make run` there, pastes the lines that the server prints, then runs `make test-fast` or the suites named.
#
#   tools/fresh.sh                       make run, make test-fast
#   tools/fresh.sh all                   make run, make test
#   tools/fresh.sh "unit release" wire\ epoll clients
#   FRESH_DIR=/var/tmp/x tools/fresh.sh  elsewhere than below /var/tmp; KEEP=1 leaves it there
#
# Needs root, debootstrap, and port 9000 free. Where Debian comes from is read from this machine's apt; its certificates
# and its name servers are lent to the new one. Everything that was started dies with this script.
set -eu
suite_of_debian=bookworm
repo=$(cd "$(dirname "$0")/.." && pwd)

if [ "${FRESH_STAGE:-}" = "" ]; then
    [ "$(id -u)" = 0 ] || { echo "fresh.sh: only root may make a new root directory" >&2; exit 2; }
    command -v debootstrap >/dev/null || { echo "fresh.sh: install debootstrap first" >&2; exit 2; }
    dir=${FRESH_DIR:-$(mktemp -d /var/tmp/ingot-fresh.XXXXXX)}
    chmod 755 "$dir" # it is somebody's root directory
    # Namespaces of its own: mounts and processes end with the script, whatever happens.
    FRESH_STAGE=outside FRESH_ROOT=$dir unshare --mount --pid --fork --kill-child "$0" "$@" && code=0 || code=$?
    [ -n "${KEEP:-}" ] && echo "fresh.sh: left at $dir" || rm -rf --one-file-system "$dir"
    exit $code
fi

make_root() {
    site=$(apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' |
           awk -v want=$suite_of_debian '$2 == want { print $1; exit }')
    [ -n "$site" ] || { echo "fresh.sh: this machine's apt knows no $suite_of_debian" >&2; exit 2; }
    debootstrap --variant=minbase --include=make,ca-certificates $suite_of_debian "$root" "$site" >"$root.log" 2>&1 ||
        { tail -5 "$root.log" >&2; exit 1; }
    rm -f "$root.log"
    apt-config dump | grep '^Acquire::http' >"$root/etc/apt/apt.conf.d/99host" || true
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$root/usr/local/share/ca-certificates/" \; 2>/dev/null || true
    chroot "$root" update-ca-certificates >/dev/null 2>&1
}

# A machine has these; a directory has to be lent them.
mount_kernel() {
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys" 2>/dev/null || true
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/dev/shm"
    mount -t tmpfs tmpfs "$root/run"
}

if [ "$FRESH_STAGE" = outside ]; then
    root=$FRESH_ROOT
    mount --make-rprivate /
    [ -x "$root/usr/bin/make" ] || make_root
    rm -rf "$root/root/ingot"
    git clone -q --no-local "$repo" "$root/root/ingot"
    mount_kernel
    exec env -i FRESH_STAGE=inside HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        chroot "$root" /root/ingot/tools/fresh.sh "$@"
fi

# ---- inside the new machine ----

serve() {
    make run >"$1" 2>&1 &
    pid=$!
    while ! grep -q '^Ingot .* serves ' "$1"; do
        kill -0 $pid 2>/dev/null || { cat "$1"; echo "fresh.sh: make run ended" >&2; exit 1; }
        sleep 1
    done
}

end() { # of all processes here one is the server
    kill -TERM "$(grep -lx ingot /proc/[0-9]*/comm | sed 's/[^0-9]//g')"
    wait $pid || { cat "$1"; echo "fresh.sh: the server did not end well" >&2; exit 1; }
}

ask() {
    bash -c 'exec 3<>/dev/tcp/127.0.0.1/9000; printf "GET $0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" >&3; cat <&3' "$1"
}

cd "$repo"
began=$(date +%s)
serve /tmp/first
ask /-/ready | grep -q '^HTTP/1.1 200 '
grep -q '^  access key  INGOT' /tmp/first
grep '^  secret key  ' /tmp/first | grep -qE '[A-Za-z0-9]{40}$'
[ "$(stat -c %a data/credentials)" = 600 ]
echo "fresh.sh: make run serves, from nothing, after $(($(date +%s) - began)) s"
end /tmp/first
serve /tmp/second
! grep -q 'secret' /tmp/second
end /tmp/second
echo "fresh.sh: the second start says less and keeps its credentials"
if [ $# = 0 ]; then make test-fast
elif [ "$*" = all ]; then make test
else make --no-print-directory deps-test .venv/.done && python3 tools/run-tests.py "$@"
fi
