#!/usr/bin/env bash
# Virtual machines of their own for batchd, for what a container cannot have.
#
#   tests/vm/run.sh [BATCHD [STORY…]]     BATCHD: the binary [target/release/batchd]; STORY: clock, service, sleep [all]
#
# clock: the clock is set, the machine sleeps, a leap second comes. service: the unit under systemd, with control groups of version 2,
# and limits of memory, processor and processes. sleep: the service in a machine that is suspended for ten minutes, which really takes
# them (SUSPEND=120 makes them two).
#
# Needs: apt-get install mmdebstrap qemu-system-x86 e2fsprogs. The root is made once, in target/vm; a story takes some minutes, because
# the machine is emulated. What fails is printed, and the exit code is 1. It is no part of ./test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readonly BATCHD=${1:-target/release/batchd}
(($# > 1)) && readonly STORIES=("${@:2}") || readonly STORIES=(clock service sleep)
readonly PATIENCE=2400
source tests/vm/root.sh

need_vm
make_root
[[ -e $PLACE/disk ]] || mke2fs -q -t ext4 -d "$PLACE/root" "$PLACE/disk" 2000M

input=$(mktemp -d)
trap 'rm -rf "$input" "$input.tar"' EXIT
cp tests/vm/guest/{leap.py,service.toml,unit.sh} "$input"
cp "$BATCHD" "$input/batchd"

failed=0
for story in "${STORIES[@]}"; do
  console=$PLACE/console-$story
  { echo "SUSPEND=${SUSPEND:-600}"; cat "tests/vm/guest/$story.sh"; } >"$input/story.sh"
  tar cf "$input.tar" -C "$input" .
  timeout --kill-after=5 "$PATIENCE" "${machine[@]}" -append "$KERNEL systemd.mask=serial-getty@ttyS0.service systemd.show_status=0" \
    -drive "file=$PLACE/disk,format=raw,if=virtio,snapshot=on" -drive "file=$input.tar,format=raw,if=virtio,readonly=on" \
    </dev/null >"$console" 2>&1 || true
  tr -d '\r' <"$console" | grep --text -aE '^(ok|FAILED|told) ' || true
  if ! grep --text -q '^the story is told' "$console" || grep --text -q '^FAILED ' "$console"; then
    echo "something failed: $console has what the machine said" >&2
    failed=1
  fi
done
((failed == 0)) && echo "all is well"
