# Stopping: a drain longer than systemd's patience, and a daemon that does not move any more.
fresh
drop_in 'TimeoutStopSec=3'
printf '[jobs.slow]\nschedule = "manual"\ncommand = ["/bin/sleep", "9"]\n' | jobs
inside systemctl start batchd
batchd trigger slow >/dev/null
see "tells what runs" until_ok 5 has StatusText '^1 running, next'
see "a drain may be longer than TimeoutStopSec" took_at_least 6 inside systemctl stop batchd
see "and is a clean end" has Result '^success$'
see "whose run has succeeded" eval 'batchd history slow --json | grep --quiet "\"succeeded\""'

frozen() {
  local before
  before=$(main_pid)
  inside kill -STOP "$before"
  until_ok 30 eval "has NRestarts '^1\$' && is_active && [[ \$(main_pid) != $before ]]"
}
fresh
drop_in 'WatchdogSec=2' 'RestartSec=100ms' 'TimeoutAbortSec=1' 'LimitCORE=0'
inside systemctl start batchd
see "a daemon that works is left in peace" eval 'read -rt 5 <> <(:) || has NRestarts "^0$"'
see "a frozen one is killed by the watchdog and started again" frozen
