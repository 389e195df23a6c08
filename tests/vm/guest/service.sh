# batchd as the unit that it brings, on control groups of version 2: what its jobs may use, and what becomes of what they leave.
source ./unit.sh

see "takes over its control group" eval 'journalctl -qu batchd | grep "attempts run in control groups of their own"; [[ $(cat "$(group)/cgroup.subtree_control") == "cpu memory pids" ]]'
ran where > /dev/null
see "each partial has a control group of its own" eval '[[ $(batchd logs where | grep -oE "attempt-[0-9]+-[^ /]+" | sort -u | wc -l) == 2 ]]'

see "the daemon is protected from the search for memory, and its jobs are not" eval '[[ $(cat "/proc/$pid/oom_score_adj") == -500 ]] && row score "\"result\":0" && is_the_same'
see "and stays so" eval '[[ $(cat "/proc/$pid/oom_score_adj") == -500 ]]'

see "what hides from its run has its end with it" row hidden '"failed".*"exit_code":4'
see "and nothing of it is left" until_ok 5 is_clean
see "nor of what ignores its timeout" row stubborn '"timed_out".*"signal":9'
see "which is killed whole" until_ok 5 is_clean

see "a memory limit ends a partial, and it says so" row greedy '"signalled".*"signal":9.*killed at its memory limit of 64 MiB'
see "in its record" eval 'batchd show greedy | grep "killed at its memory limit of 64 MiB"'
see "and in the log" eval 'batchd logs | grep -E "job=greedy .*killed at its memory limit of 64 MiB"'
see "as a whole" until_ok 5 is_clean
see "while the daemon goes on" is_the_same
see "a limit in which nothing starts is said as well" row small '"spawn_failed".*within the memory limit of 1 MiB, which is too low'
see "and leaves nothing" until_ok 5 is_clean
see "within the limit all is well, and the peak is on record" eval 'row modest "\"succeeded\"" && python3 -c "import json; peak = json.load(open(\"row\"))[\"max_rss\"]; assert 40 << 20 < peak < 128 << 20, peak"'
see "files that were read are no reason to be ended" row reader '"succeeded".*200000000'
see "a share of the processor is held" eval 'ran busy; share 0.25'
see "a fork bomb stays in its limit" row bomb '"timed_out".*forks were refused to it: it may have 30 processes and threads'
see "and leaves nothing" until_ok 5 is_clean
see "and the daemon as it was" is_the_same

systemctl set-property --runtime batchd MemoryMax=200M MemorySwapMax=0
see "the limit of the whole unit ends the job, not the daemon" row glutton 'killed by the kernel for want of memory, of the machine or of the daemon.s unit|the kernel killed 1 of its processes for want of memory'
see "which goes on here as well" is_the_same
systemctl set-property --runtime batchd MemoryMax=infinity

see "a reload in the unit is good" systemctl reload batchd
see "check from outside has nothing to say of the limits" eval 'batchd check > checked 2>&1; cat checked; fails grep "limits\." checked'
printf '[jobs.greedy]\nschedule = "manual"\nshell = "python3 -c '"'bytearray(200 << 20)'"'"\nlimits = { memory = "64MiB" }\n' > by-hand.toml
see "a run by hand without a group is refused" eval 'batchd --config by-hand.toml run greedy > refused 2>&1; [[ $? == 78 ]] && grep "is not delegated to batchd" refused || { cat refused; false; }'
see "and is limited in one of its own" eval 'systemd-run --quiet --scope -p Delegate=yes batchd --config by-hand.toml run greedy | grep "killed at its memory limit of 64 MiB"'

install -D -m 644 -o batchd by-hand.toml /var/lib/batchd/nested/jobs.toml && chown batchd: /var/lib/batchd/nested
see "or in that of an attempt, by a job" row nested '"failed".*"exit_code":1'
see "which tells of it" eval 'batchd logs nested | grep "killed at its memory limit of 64 MiB"'
see "and leaves nothing" until_ok 5 is_clean

kill -KILL "$pid"
see "after its death another takes over" until_ok 30 eval '[[ $(unit NRestarts) == 1 && $(unit ActiveState) == active ]]'
see "and holds the limits as well" eval 'row greedy "killed at its memory limit of 64 MiB" && row modest "\"succeeded\""'
see "stops" eval 'systemctl stop batchd; [[ $(unit Result) == success ]]'
echo "the story is told"
