#!/bin/sh
# Install the Debian packages that a step needs and that are missing. Usage: deps.sh build|test
set -eu
build="gcc g++ libc6-dev pkg-config libssl-dev libexpat1-dev librocksdb-dev libisal-dev libxxhash-dev
 libmimalloc-dev liburing-dev node-llhttp libjansson-dev"
test="$build ccache clang clang-format clang-tidy libclang-rt-14-dev llvm-14 libcmocka-dev python3 python3-venv gdb
 awscli rclone restic s3cmd wrk curl openssl ca-certificates libfuse3-dev fuse3 e2fsprogs xfsprogs mount patch"
case ${1:-build} in
build) want=$build ;;
test) want=$test ;;
*) echo "deps.sh: '$1' is unknown; use build or test" >&2; exit 2 ;;
esac
missing=
for p in $want; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
# The toolchains of the client SDKs may have come from elsewhere: the command counts.
[ "${1:-build}" = build ] || {
    command -v npm >/dev/null || missing="$missing nodejs npm"
    command -v java >/dev/null || missing="$missing default-jdk-headless"
    command -v mvn >/dev/null || missing="$missing maven"
}
promtool=
[ "${1:-build}" = build ] || command -v promtool >/dev/null || [ -x build/tools/promtool ] || promtool=wanted
[ -n "$missing$promtool" ] || exit 0
if [ "$(id -u)" = 0 ]; then sudo=
elif command -v sudo >/dev/null; then sudo=sudo
else
    echo "ingot: these packages are missing:$missing" >&2
    echo "ingot: run as root:  apt-get install$missing" >&2
    exit 1
fi
echo "ingot: installing$missing${promtool:+ promtool}"
$sudo apt-get update -qq
[ -z "$missing" ] || $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
# Debian's package of promtool would start a Prometheus on this machine: take the one program out of it.
[ -z "$promtool" ] || {
    mkdir -p build/tools
    cd build/tools
    apt-get download -qq -o APT::Sandbox::User=root prometheus
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xf - --strip-components=3 ./usr/bin/promtool
    rm prometheus_*.deb
}
