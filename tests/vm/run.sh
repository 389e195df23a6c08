#!/usr/bin/env bash
# A virtual machine of its own for batchd, because only there the clock may be set: date -s, suspend to memory, a leap second.
#
#   tests/vm/run.sh [BATCHD]     BATCHD: the binary [target/release/batchd]
#
# Needs: apt-get install mmdebstrap qemu-system-x86 e2fsprogs. The root is made once, in target/vm; a run takes some minutes, because
# the machine is emulated. What fails is printed, and the exit code is 1. It is no part of ./test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readonly BATCHD=${1:-target/release/batchd}
readonly PATIENCE=1500
source tests/vm/root.sh

need_vm
make_root
[[ -e $PLACE/disk ]] || mke2fs -q -t ext4 -d "$PLACE/root" "$PLACE/disk" 2000M

input=$(mktemp -d)
trap 'rm -rf "$input"' EXIT
cp tests/vm/guest/story.sh tests/vm/guest/leap.py "$input"
cp "$BATCHD" "$input/batchd"
tar cf "$input.tar" -C "$input" .

timeout --kill-after=5 "$PATIENCE" "${machine[@]}" -append "$KERNEL systemd.mask=serial-getty@ttyS0.service systemd.show_status=0" \
  -drive "file=$PLACE/disk,format=raw,if=virtio,snapshot=on" -drive "file=$input.tar,format=raw,if=virtio,readonly=on" \
  </dev/null >"$PLACE/console" 2>&1 || true
rm -f "$input.tar"

grep --text -aE '^(ok|FAILED|told) ' "$PLACE/console" || true
if grep --text -q '^the story is told' "$PLACE/console" && ! grep --text -q '^FAILED ' "$PLACE/console"; then
  echo "all is well"
else
  echo "something failed: $PLACE/console has what the machine said" >&2
  exit 1
fi
