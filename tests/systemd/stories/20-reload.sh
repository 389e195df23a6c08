# A reload that is good, one that is not, and one that comes too early.
good() {
  printf '[jobs.added]\nschedule = "0 4 * * *"\ncommand = ["/bin/true"]\n' | jobs
  inside systemctl reload batchd && batchd jobs | grep --quiet added
}
bad() {
  printf '[jobs.broken]\nschedule = "0 25 * * *"\ncommand = ["/bin/true"]\n' | jobs
  fails inside systemctl reload batchd
}
by_signal() {
  printf '[jobs.signalled]\nschedule = "0 5 * * *"\ncommand = ["/bin/true"]\n' | jobs
  inside kill -HUP "$(main_pid)"
  until_ok 10 eval 'batchd jobs | grep --quiet signalled'
}
fresh
inside systemctl start batchd
see "a good reload is in force when systemctl returns" good
see "a bad one fails" bad
see "and the old table stays" eval 'batchd jobs | grep --quiet added && is_active'
see "a plain SIGHUP reloads as well" by_signal
see "and leaves one clear status" until_ok 5 has StatusText '^0 running, next nightly 02:30$'

early() {
  for _ in 1 2 3 4 5; do
    inside systemctl stop batchd
    inside systemctl start --no-block batchd
    until_ok 5 eval '(($(main_pid) > 0))'
    inside kill -HUP "$(main_pid)" || true
    until_ok 20 is_active || return 1
  done
}
see "a SIGHUP before it is ready does no harm" early
