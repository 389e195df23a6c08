# A secret that systemd hands to the daemon, and the daemon to a job, and that nobody else sees.
fresh
readonly SECRET=correct-horse-battery
install -d -m 700 "$ROOT/etc/batchd-secrets"
printf '%s\n' "$SECRET" >"$ROOT/etc/batchd-secrets/database"
chmod 600 "$ROOT/etc/batchd-secrets/database"
drop_in 'LoadCredential=database:/etc/batchd-secrets/database'
cat <<'TOML' | jobs
[jobs.dump]
schedule = "manual"
env = { PGPASSWORD = '{{ credential("database") }}' }
shell = "echo length $(printf %s $PGPASSWORD | wc -c); echo it is $PGPASSWORD; [ -z \"$CREDENTIALS_DIRECTORY\" ]"
[jobs.wrong]
schedule = "manual"
env = { PGPASSWORD = '{{ credential("databank") }}' }
command = ["/bin/true"]
TOML
inside systemctl start batchd
see "a job gets a credential of systemd" batchd trigger dump --wait
see "whole" eval "batchd logs dump | grep --quiet 'length ${#SECRET}\$'"
see "that the log does not show" eval 'batchd logs dump | grep --quiet "it is \*\*\*"'
unseen() { ! { grep --recursive --text "$SECRET" "$ROOT"/var/log/batchd "$ROOT"/var/lib/batchd || inside journalctl --quiet | grep "$SECRET"; }; }
see "nor any record" unseen
see "one that is not there fails, by name" eval 'fails batchd trigger wrong --wait && batchd results wrong | grep --quiet "spawn_failed.*databank"'
