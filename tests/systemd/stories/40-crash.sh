# Deaths of the daemon: its children, a loop of them, and a configuration that no start can help.
fresh
drop_in 'RestartSec=100ms'
cat <<'TOML' | jobs
[jobs.family]
schedule = "manual"
shell = "setsid sleep 7654 & setsid sh -c 'setsid sleep 7654 & exec sleep 7654' & exec sleep 7654"
on_interrupted = "fail"
TOML
children() { inside pgrep --full '^sleep 7654$'; }
killed_with_children() {
  until_ok 10 eval '[[ $(children | wc -l) == 4 ]]' || return 1
  inside kill -KILL "$(main_pid)"
  until_ok 10 eval 'has NRestarts "^1$" && is_active' && ! children
}
inside systemctl start batchd
batchd trigger family >/dev/null
see "kill -9 leaves no process of a job behind" killed_with_children
see "whose run is told as interrupted" until_ok 5 eval 'batchd history family --json | grep --quiet "\"interrupted\""'

crash_loop() {
  for number in 2 3 4 5 6 7 8 9 10 11 12 13; do
    inside kill -KILL "$(main_pid)"
    until_ok 15 eval "has NRestarts '^$number\$' && is_active" || return 1
  done
}
see "twelve crashes in a row do not end the service" crash_loop
see "and the records are whole" batchd audit --since 1d

broken() {
  printf '[jobs.broken]\nnonsense = 1\n' | jobs
  fails inside systemctl restart batchd
}
fresh
inside systemctl start batchd
see "a restart with a broken file fails" broken
see "by exit code 78" has ExecMainStatus '^78$'
see "and is not tried again" eval 'read -rt 2 <> <(:) || has ActiveState "^failed$" && has NRestarts "^0$"'
repaired() { jobs </dev/null && inside systemctl start batchd; }
see "until the file is repaired" repaired
