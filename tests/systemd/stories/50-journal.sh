# A journal that does not read: stderr is full, and no start waits for it.
fresh
cat <<'TOML' | jobs
[jobs.tick]
schedule = "* * * * * *"
shell = "date +%s >> /var/lib/batchd/ticks; seq 2000"
TOML
ticks_go_on() {
  inside pkill -STOP systemd-journal
  local before after
  before=$(wc -l <"$ROOT/var/lib/batchd/ticks")
  read -rt 6 <> <(:) || true
  after=$(wc -l <"$ROOT/var/lib/batchd/ticks")
  inside pkill -CONT systemd-journal
  echo "$before ticks before, $after after"
  ((after - before >= 5))
}
inside systemctl start batchd
until_ok 10 test -s "$ROOT/var/lib/batchd/ticks"
see "a frozen journal delays no start" ticks_go_on
see "and the daemon is still well" is_active
