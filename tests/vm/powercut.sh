#!/usr/bin/env bash
# Cuts the power of a virtual machine in which batchd works, again and again, and looks for everything that it had told to be done.
#
#   tests/vm/powercut.sh [BATCHD [CUTS]]     BATCHD: the binary [target/release/batchd]; CUTS: how often [10]
#
# The state is on a disk of its own with a write cache; what the machine has not synced is gone when it is killed. Told is what its
# serial console shows: the log's lines of partials and runs that succeeded, and the answers to `trigger --wait`. Each boot checks the
# records and compares them with all that was told before. Needs what tests/vm/run.sh needs; a cut takes about half a minute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readonly BATCHD=${1:-target/release/batchd}
readonly CUTS=${2:-10}
# Lines of success before a cut, and seconds to wait for them.
readonly TOLD=200
readonly PATIENCE=900
source tests/vm/root.sh

need_vm
make_root
readonly ROOT=$PLACE/powercut-root
if [[ ! -e $ROOT ]]; then
  install -m 755 tests/vm/guest/stage.sh "$PLACE/root/opt/stage"
  mke2fs -q -t ext4 -d "$PLACE/root" "$ROOT" 2000M >/dev/null
fi
readonly DATA=$PLACE/powercut-data
rm -f "$DATA" "$PLACE"/powercut-console-*
mke2fs -q -t ext4 "$DATA" 256M >/dev/null

input=$(mktemp -d)
vm=
finish() {
  [[ -z $vm ]] || kill -KILL "$vm" 2>/dev/null || true
  rm -rf "$input" "$input.tar"
}
trap finish EXIT

cp tests/vm/guest/powercut.sh tests/vm/guest/told.py "$input"
cp "$BATCHD" "$input/batchd"

# What all consoles so far have told.
told() {
  cat "$PLACE"/powercut-console-* 2>/dev/null | tr -d '\r' | grep --text -aoE \
    -e 'run=[^] ]+\] run succeeded in ' -e 'run=[^] ]+ partial=[^] ]+\] succeeded in ' -e '^quick@[^ ]+ succeeded in ' || true
}

for cut in $(seq 0 "$CUTS"); do
  told >"$input/told"
  before=$(wc -l <"$input/told")
  # The last boot looks, and leaves.
  ((cut < CUTS)) && echo go >"$input/then" || echo leave >"$input/then"
  tar cf "$input.tar" -C "$input" .
  console=$PLACE/powercut-console-$(printf %02d "$cut")
  # An emulated machine on a busy host may not come up at all, before anything of this has begun.
  for _ in 1 2 3; do
    "${machine[@]}" -append "$KERNEL no_timer_check init=/opt/stage" -drive "file=$ROOT,format=raw,if=virtio,snapshot=on" \
      -drive "file=$input.tar,format=raw,if=virtio,readonly=on" -drive "file=$DATA,format=raw,if=virtio,cache=writeback" \
      </dev/null >"$console" 2>&1 &
    vm=$!
    for ((second = 0; second < PATIENCE; second++)); do
      if (($(told | wc -l) >= before + TOLD)); then break; fi
      kill -0 "$vm" 2>/dev/null || break
      sleep 1
    done
    # At any moment of what goes on.
    ((cut == CUTS)) || sleep "0.$((RANDOM % 1000))"
    kill -KILL "$vm" 2>/dev/null || true
    wait "$vm" 2>/dev/null || true
    ! grep --text -qaE '^(ok|FAILED) ' "$console" || break
  done
  tr -d '\r' <"$console" | grep --text -aE '^(ok|FAILED) ' || { echo "FAILED boot $cut tells nothing: see $console" | tee -a "$console"; }
done

if grep --text -qaE '^FAILED ' "$PLACE"/powercut-console-*; then
  echo "something failed: $PLACE/powercut-console-* have what the machine said" >&2
  exit 1
fi
echo "$CUTS cuts, $(told | wc -l) lines of success, none lost"
