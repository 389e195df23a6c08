# The lines of "As a service", and what systemd then knows of the daemon.
install_as_a_service() {
  inside useradd --system --home-dir /var/lib/batchd --shell /usr/sbin/nologin batchd
  inside install -d -m 750 -g batchd /etc/batchd
  jobs </dev/null
  install -m 644 systemd/batchd.service "$ROOT/etc/systemd/system/batchd.service"
  inside systemctl daemon-reload
  inside systemctl enable --now batchd
}
see "installs and starts" install_as_a_service
see "is ready when systemctl start returns" is_active
see "is of the type that it says" has Type '^notify$'
see "tells what comes next" until_ok 5 has StatusText '^0 running, next nightly 02:30$'
see "answers" batchd jobs
see "has a watchdog" has WatchdogUSec '30s'

told_with_priority() { inside journalctl --quiet --unit batchd --priority err..err --output cat | grep --quiet 'reload refused'; }
refused_by_signal() {
  printf '[jobs.broken]\nnonsense = 1\n' | jobs
  inside kill -HUP "$(main_pid)"
  until_ok 10 has StatusText 'the last reload was refused, [0-9]+ problem'
}
see "a SIGHUP with a bad file is seen in the status" refused_by_signal
see "and in the journal, as an error" until_ok 5 told_with_priority
see "and the jobs are the old ones" eval 'batchd jobs | grep --quiet nightly'
