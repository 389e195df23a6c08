#!/usr/bin/env bash
# The service under a real systemd: a Debian of its own boots in a container, batchd is installed as the README says, and what
# operators do to it, and what happens to them, is done to it.
#
#   tests/systemd/run.sh [SUITE [BATCHD]]     SUITE: bookworm (systemd 252, the default) or trixie (257)
#                                             BATCHD: the binary [target/debug/batchd]
#
# Needs root (or sudo), and: apt-get install mmdebstrap systemd-container. The root is made once, in target/systemd; a story takes a
# minute. Each line `ok …` or `FAILED …` is one thing seen; the exit code is 1 when one failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

[[ $(id -u) == 0 ]] || exec sudo --preserve-env=CARGO_TARGET_DIR "${BASH_SOURCE[0]}" "$@"

readonly SUITE=${1:-bookworm}
readonly BATCHD=$(realpath "${2:-${CARGO_TARGET_DIR:-target}/debug/batchd}")
readonly PLACE=$PWD/target/systemd
readonly MACHINE=batchd-$SUITE-$$

for program in mmdebstrap systemd-nspawn; do
  command -v "$program" >/dev/null || { echo "$program is missing: apt-get install mmdebstrap systemd-container" >&2; exit 1; }
done
[[ -x $BATCHD ]] || { echo "$BATCHD is missing: cargo build" >&2; exit 1; }

mkdir -p "$PLACE"
if [[ ! -e $PLACE/$SUITE.tar ]]; then
  mmdebstrap --mode=root --variant=minbase --quiet --format=tar --include=systemd,systemd-sysv,dbus,procps "$SUITE" "$PLACE/$SUITE.new"
  mv "$PLACE/$SUITE.new" "$PLACE/$SUITE.tar"
fi
readonly ROOT=$(mktemp --directory "$PLACE/root.XXXXXX")
tar --extract --file "$PLACE/$SUITE.tar" --directory "$ROOT"
: >"$ROOT/etc/machine-id"

nspawn= leader=
finish() {
  if [[ -n $nspawn ]]; then
    kill -s KILL $leader "$nspawn" 2>/dev/null || true
    wait 2>/dev/null || true
  fi
  rm -rf --one-file-system "$ROOT"
}
trap finish EXIT

# Waits until a command succeeds: `until_ok SECONDS COMMAND…`.
until_ok() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.1
  done
}

boot() {
  setsid systemd-nspawn --quiet --register=no --keep-unit --machine="$MACHINE" --console=pipe --kill-signal=SIGRTMIN+3 \
    --directory="$ROOT" --boot >"$PLACE/$SUITE.console" 2>&1 </dev/null &
  nspawn=$!
  until_ok 60 is_born && until_ok 120 is_up || { echo "the container does not boot:" >&2; tail "$PLACE/$SUITE.console" >&2; exit 1; }
}

inside() { nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup -- env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
# systemd-nspawn has other children before the one that becomes the first process of the machine.
is_born() { leader=$(pgrep --parent "$nspawn" --exact systemd); }
is_up() { [[ $(inside systemctl is-system-running 2>/dev/null) =~ running|degraded ]]; }

shopt -s expand_aliases
failures=0
# `see NAME COMMAND…`: one thing that must hold.
see() {
  local name=$1
  shift
  if "$@" >"$PLACE/said" 2>&1; then
    echo "ok $name"
  else
    echo "FAILED $name"
    sed 's/^/    /' "$PLACE/said"
    failures=$((failures + 1))
  fi
}

has() { inside systemctl show --value --property "$1" batchd | grep --quiet --extended-regexp -- "$2" || { inside systemctl show --property "$1" batchd; false; }; }
is_active() { has ActiveState '^active$'; }
main_pid() { inside systemctl show --value --property MainPID batchd; }
batchd() { inside batchd --config /etc/batchd/jobs.toml "$@"; }
jobs() { cat tests/systemd/jobs.toml - >"$ROOT/etc/batchd/jobs.toml"; }
# A drop-in for the rest of the story, or none.
drop_in() {
  mkdir -p "$ROOT/etc/systemd/system/batchd.service.d"
  printf '[Service]\n%s\n' "$@" >"$ROOT/etc/systemd/system/batchd.service.d/story.conf"
  inside systemctl daemon-reload
}
fresh() {
  inside systemctl stop batchd
  inside systemctl reset-failed batchd 2>/dev/null || true
  rm -rf "$ROOT"/etc/systemd/system/batchd.service.d "$ROOT"/var/lib/batchd/* "$ROOT"/var/log/batchd/*
  jobs </dev/null
  inside systemctl daemon-reload
}
fails() { ! "$@"; }
took_at_least() { local least=$1 from=$SECONDS; shift; "$@" && ((SECONDS - from >= least)); }

for story in tests/systemd/stories/*.sh; do
  [[ -n $leader ]] || { install -m 755 "$BATCHD" "$ROOT/usr/bin/batchd"; boot; }
  # shellcheck disable=SC1090
  source "$story"
done

echo "$SUITE: systemd $(inside systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p'), $failures failed"
((failures == 0))
