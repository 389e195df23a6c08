# Sourced by the stories of the service: installs the unit, starts it, and has what they look with.
exec 2>&1
cd "$(mktemp -d)" || exit

see() { # NAME COMMAND…: one thing that must hold
  local name=$1
  shift
  if "$@" > said 2>&1; then echo "ok $name"; else echo "FAILED $name"; tail -n 15 said; fi
}
until_ok() { # SECONDS COMMAND…: waits until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < end)) || return 1
    read -rt 0.25 <> <(:) || true
  done
}
fails() { ! "$@"; }
unit() { systemctl show --value --property "$1" batchd; }
ran() { # JOB: runs it to its end, and prints its rows
  batchd trigger "$1" --wait > ended 2>&1 || true
  batchd results "$1" | tee row || cat ended
}
row() { ran "$1"; grep -qE "$2" row; } # JOB REGEX
group() { echo "/sys/fs/cgroup$(unit ControlGroup)"; }
is_clean() { [[ $(cd "$(group)" && echo */) == daemon/ ]] && ! pgrep -f 'sleep 7654'; }
is_the_same() { [[ $(unit MainPID) == "$pid" && $(unit NRestarts) == 0 && $(unit ActiveState) == active ]] || { journalctl -q -o short-monotonic _PID=1 UNIT=batchd.service; systemctl show batchd -p MainPID,NRestarts,ActiveState; false; }; }
# The part of one processor that the only partial had.
share() { python3 -c 'import json, sys; row = json.load(open("row")); share = row["cpu_ms"] / row["duration_ms"]; print(share); sys.exit(not share < float(sys.argv[1]))' "$1"; }

install -m 755 /opt/in/batchd /usr/bin/batchd
see "init writes the unit" batchd init --systemd
cp /opt/in/service.toml /etc/batchd/jobs.toml
systemctl daemon-reload
see "starts" eval "batchd check && systemctl start batchd || { journalctl -qu batchd; false; }"
pid=$(unit MainPID)
