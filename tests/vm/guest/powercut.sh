# What goes on until the power is cut; first, what is left of what went on before.
exec </dev/null 2>&1
export PATH=/tmp/in:$PATH NO_COLOR=1
modprobe -q ext4
mount -t ext4 /dev/vdc /mnt && cd /mnt || { echo "FAILED the disk cannot be mounted"; exit; }
if [[ -e state/batchd.db ]]; then
  if batchd state check > /tmp/found; then echo "ok $(cat /tmp/found)"; else echo "FAILED the records are not sound"; cat /tmp/found; fi
  if batchd audit --since 30d > /tmp/found; then echo "ok the audit adds up"; else echo "FAILED the audit"; cat /tmp/found; fi
  python3 /tmp/in/told.py /tmp/in/told state/batchd.db
else
  echo "ok nothing was there"
fi
[[ $(cat /tmp/in/then) == go ]] || exit

cat > jobs.toml <<'TOML'
[log]
console = true
[daemon]
timezone = "UTC"
[jobs.tick]
schedule = "* * * * * *"
command = ["/bin/true"]
targets = ["a", "b", "c"]
catch_up = "none"
[jobs.quick]
schedule = "manual"
handler = "echo"
TOML
sync
batchd daemon &
while ! [[ -S state/batchd.sock ]]; do read -rt 0.2 <> <(:) || true; done
while :; do batchd trigger quick --wait; done
