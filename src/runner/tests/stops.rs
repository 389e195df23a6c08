//! Stopping means stopped, whatever the processes do.

use std::fs;

use super::*;
use crate::engine::Outcome::{Failed, Signalled, Succeeded};
use crate::handler::{become_subreaper, leftovers};

/// Starts a script and waits until it has written to the fifo `ready`; returns what it wrote.
fn started(bench: &mut Bench, script: &str) -> String {
    let ready = bench.fifo("ready");
    let job = bench.job(Work::Shell(script.to_owned()));
    bench.start(job, None);
    fs::read_to_string(ready).expect("the script is ready").trim().to_owned()
}

/// Gone, or a zombie that waits for the init of this machine.
fn is_gone(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
}

#[test]
fn a_polite_stop_reaches_the_whole_group() {
    let mut bench = Bench::new();
    let sleeper = started(&mut bench, "trap 'exit 9' TERM; sleep 1000 & echo $! > ready; wait");
    bench.runner.stop(RUN, 0, Stop::Polite);
    let end = bench.end();
    assert_eq!((end.outcome, end.exit_code), (Failed, Some(9)));
    assert!(is_gone(&sleeper));
}

#[test]
fn the_stop_signal_is_the_jobs() {
    let mut bench = Bench::new();
    let ready = bench.fifo("ready");
    let mut job = bench.job(Work::Shell("trap '' TERM; trap 'exit 5' USR1; sleep 1000 & echo > ready; wait".to_owned()));
    // Not SIGINT: a shell cannot trap it where the tests were started in the background, which ignores it.
    Arc::make_mut(&mut job.policies).stop.signal = 10;
    bench.start(job, None);
    fs::read(ready).expect("the script is ready");
    bench.runner.stop(RUN, 0, Stop::Polite);
    assert_eq!(bench.end().exit_code, Some(5));
}

#[test]
fn a_kill_ends_what_ignores_the_stop() {
    let mut bench = Bench::new();
    started(&mut bench, "trap '' TERM; echo > ready; while :; do sleep 1000; done");
    bench.runner.stop(RUN, 0, Stop::Polite);
    bench.runner.stop(RUN, 0, Stop::Kill);
    let end = bench.end();
    assert_eq!((end.outcome, end.signal, end.error.as_deref()), (Signalled, Some(9), Some("killed by SIGKILL")));
}

#[test]
fn a_stopped_process_is_woken_by_the_stop() {
    let mut bench = Bench::new();
    let pid = started(&mut bench, "echo $$ > ready; kill -STOP $$");
    // Not before it is stopped: an end by the signal alone would prove nothing.
    while !fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives").contains(") T") {
        std::thread::yield_now();
    }
    bench.runner.stop(RUN, 0, Stop::Polite);
    assert_eq!(bench.end().signal, Some(15));
}

#[test]
fn what_left_the_group_is_stopped_too() {
    let mut bench = Bench::new();
    let script = r#"setsid sh -c 'setsid sh -c "trap \"\" TERM; echo \$\$ > ready; while :; do sleep 1000; done" & exit 0' & sleep 1000"#;
    let orphan = started(&mut bench, script);
    bench.runner.stop(RUN, 0, Stop::Polite);
    assert_eq!(bench.end().signal, Some(15));
    assert!(is_gone(&orphan));
}

#[test]
fn what_left_the_group_does_not_outlive_the_attempt() {
    become_subreaper().expect("any process may be one");
    let mut bench = Bench::new();
    // The script waits for it: else it might be killed before it has said who it is.
    let script = "mkfifo up; setsid sh -c 'echo $$ > up; exec sleep 1000' > /dev/null 2>&1 & read -r pid < up; echo $pid > ready";
    let orphan = started(&mut bench, script);
    assert_eq!(bench.end().outcome, Succeeded);
    assert!(is_gone(&orphan));
}

#[test]
fn a_held_pipe_cannot_hold_the_attempt() {
    let mut bench = Bench::new();
    let holder = started(&mut bench, "sleep 1000 & echo $! > ready; echo done");
    let end = bench.end();
    assert_eq!((end.outcome, end.exit_code), (Succeeded, Some(0)));
    assert_eq!(end.error.as_deref(), Some(&*format!("output cut: the pipe was held by process {holder} (`sleep`), killed")));
    assert_eq!(end.output.expect("output").head, b"done\n");
    assert!(is_gone(&holder));
}

#[test]
fn background_processes_end_with_the_attempt() {
    let mut bench = Bench::new();
    let left = started(&mut bench, "sleep 1000 > /dev/null 2>&1 & echo $! > ready");
    assert_eq!(bench.end().outcome, Succeeded);
    assert!(is_gone(&left));
}

#[test]
fn a_process_that_never_stops_printing_is_stopped() {
    let mut bench = Bench::new();
    started(&mut bench, "echo > ready; exec yes");
    bench.runner.stop(RUN, 0, Stop::Polite);
    assert_eq!(bench.end().signal, Some(15));
}

#[test]
fn a_stop_before_the_start_is_not_lost() {
    let mut bench = Bench::new();
    let job = bench.job(command(&["sleep", "1000"]));
    bench.start(job, None);
    bench.runner.stop(RUN, 0, Stop::Kill);
    assert_eq!(bench.end().signal, Some(9));
}

#[test]
fn leftovers_of_a_crash_are_killed_and_nothing_else() {
    let mut bench = Bench::new();
    let pid = started(&mut bench, "echo $$ > ready; exec sleep 1000");
    assert_eq!(leftovers::kill(bench.dir.path(), "boot", &[]), []);
    assert_eq!(leftovers::kill(bench.dir.path(), "boot", &[RunKey(70)]), []);
    assert_eq!(leftovers::kill(Path::new("/elsewhere"), "boot", &[RUN]), []);
    let killed = leftovers::kill(bench.dir.path(), "boot", &[RunKey(70), RUN]);
    assert_eq!(killed.iter().map(|killed| killed.pid.to_string()).collect::<Vec<_>>(), [pid]);
    assert_eq!(bench.end().signal, Some(9));
}

#[test]
fn a_runtime_that_goes_away_takes_its_processes_along() {
    let mut bench = Bench::new();
    let ready = bench.fifo("alive");
    let job = bench.job(Work::Shell("exec 3> alive; exec sleep 1000".to_owned()));
    bench.start(job, None);
    let alive = fs::File::open(ready).expect("the script is ready");
    drop(bench.runtime);
    // Ends only when no process holds the other side any more.
    assert_eq!(std::io::read_to_string(alive).expect("the end"), "");
}
