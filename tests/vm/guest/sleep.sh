# The service in a machine that is suspended to memory for long, across a nominal time.
source ./unit.sh

see "fires each second" until_ok 20 eval 'batchd history second --json | grep "\"outcome\": \"succeeded\""'
at=$(date -u -d '+90 seconds' '+%-M %-H')
printf '[jobs.fixed]\nschedule = "%s * * *"\nhandler = "echo"\n' "$at" >> /etc/batchd/jobs.toml
see "takes a job that is due soon" systemctl reload batchd
echo "told asleep for $SUSPEND s at $(date -u +%T), with a job at minute and hour $at"
rtcwake -m mem -s "$SUSPEND" > /dev/null && echo "told awake at $(date -u +%T)"
ended() { batchd history fixed --json | grep -c '"outcome": "succeeded"'; }
see "what fell due in a long suspend runs right after it" until_ok 20 ended
see "once" eval '[[ $(ended) == 1 ]]'
nominal() { date +%s -d "$(batchd history second -n 1 --json | grep -m 1 '"nominal"' | cut -d '"' -f 4)"; }
see "and the seconds go on" until_ok 20 eval '(($(date +%s) - $(nominal) < 5))'
see "and all adds up" batchd audit --since 1d
see "the watchdog has left it in peace" is_the_same
see "stops" eval 'systemctl stop batchd; [[ $(unit Result) == success ]]'
echo "the story is told"
