# What befalls the clock of the machine, and what batchd has to make of it.
exec 2>&1
cd "$(mktemp -d)" || exit
PATH=/opt/in:$PATH

cat > jobs.toml <<'TOML'
[log]
console = true
[daemon]
timezone = "UTC"
[jobs.second]
schedule = "* * * * * *"
handler = "echo"
catch_up = "latest"
[jobs.fixed]
schedule = "30 2 * * *"
handler = "echo"
TOML

expect() { # NAME GREP: waits up to a minute of the machine's time for a line of the log
  for _ in $(seq 240); do
    if tail -n +"$seen" log | grep -qE "$2"; then echo "ok $1"; return; fi
    read -rt 0.25 <> <(:) || true
  done
  echo "FAILED $1: no line like $2"; tail -n 15 log
}
mark() { seen=$(($(wc -l < log) + 1)); }
fixed() { batchd history fixed -n 100 --json | grep -c '"id"'; }
counts() { # NAME NUMBER: runs of the fixed job so far
  local found; found=$(fixed)
  if [[ $found == "$2" ]]; then echo "ok $1"; else echo "FAILED $1: $found runs of the fixed job, expected $2"; fi
}
adds_up() { # NAME
  if batchd audit --since 1990-01-01T00:00:00Z > audit.txt; then echo "ok $1 adds up"; else echo "FAILED $1"; cat audit.txt; fi
}

date -s '2026-06-01 02:10:00' > /dev/null
batchd daemon > log 2>&1 &
daemon=$!
seen=1
expect "starts" "ready: "
expect "fires each second" "second.* run succeeded"

mark; date -s '+1 hour' > /dev/null
expect "an hour forward is told" "the clock was set forward by 1h"
expect "what was skipped runs once" "fixed@20260601T023000Z. run succeeded"
counts "an hour forward" 1; adds_up "an hour forward"

mark; date -s '-1 hour' > /dev/null
expect "an hour back is told" "the clock was set back by 1h"
mark; date -s '+30 minutes' > /dev/null
expect "half an hour forward is told" "the clock was set forward by 30m"
counts "02:30 has come again" 1; adds_up "an hour back"

mark; date -s '+31 minutes' > /dev/null
expect "the clock has caught up" "second.* run succeeded"

mark; date -s '2026-06-02 02:29:57' > /dev/null
expect "a day forward fires" "fixed@20260602T023000Z. run succeeded"
counts "a day forward" 2
mark; date -s '2026-06-01 02:29:55' > /dev/null
expect "a day back is told" "the clock was set back by 1day"
expect "what comes again has a name of its own" "fixed@20260601T023000Z~2. run succeeded"
counts "a day back" 3; adds_up "a day back"

date -s '2026-06-03 02:29:50' > /dev/null
mark; rtcwake -m mem -s 20 > /dev/null && echo "told suspended for 20 s"
expect "fires right after a suspend" "fixed@20260603T023000Z. run succeeded"
# What the two days between had decided before came again, too.
counts "suspend" 5; adds_up "suspend"

date -s '2026-12-31 23:59:50' > /dev/null
mark; python3 /opt/in/leap.py
expect "the second before midnight" "second@20261231T235959Z. run succeeded"
expect "midnight after a leap second" "second@20270101T000000Z. run succeeded"
adds_up "a leap second"

before=$(awk '{print $14 + $15}' "/proc/$daemon/stat")
echo "told ticks of the CPU so far: $before"
mark; kill "$daemon"
expect "leaves" "batchd leaves"
adds_up "the whole story"
echo "the story is told"
