#!/usr/bin/env python3
"""Breaks the program in one place at a time, and sees that a test notices.

    tests/mutations/run.py [NAME…]

Each mutation is tried on a copy of the sources; the project's own stay as they are. A mutation that no test notices, or whose place is
not found any more, is a failure. It takes some minutes, so it is no part of `./test`.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
COPY = ROOT / "target" / "mutations"

LIB = ["--lib"]
SIM = ["--test", "sim", "--", "--skip", "year"]
YEAR = ["--test", "sim", "year"]
IT = ["--test", "it"]

# Name, file, what stands there, what is put in its place, and the tests that are to notice.
MUTATIONS = [
    ("dst-fold", "src/schedule/dst.rs", "fixed && dst.fold == Fold::First", "fixed && dst.fold == Fold::Second", LIB + ["schedule"]),
    ("dst-gap", "src/schedule/dst.rs", "return Some(change.at);", "return Some(change.at + SignedDuration::from_secs(60));", LIB + ["schedule"]),
    ("dst-gap-of-three-hours", "src/schedule/dst.rs", "(-MAX_JUMP_SECONDS..MAX_JUMP_SECONDS)", "(-MAX_JUMP_SECONDS..=MAX_JUMP_SECONDS)", LIB + ["schedule"]),
    ("catch-up-latest-runs-the-oldest", "src/engine/catch_up.rs", "if let Some(decision) = decided.next() {", "if number > runs && let Some(decision) = decided.next() {", LIB + ["catch_up"]),
    ("catch-up-window", "src/engine/catch_up.rs", "<= signed(policy.window);", "<= signed(policy.window * 2);", LIB + ["catch_up"]),
    ("watermark-stays-on-edit", "src/engine/accounting.rs", "Accounted { watermark: before.watermark.max(now), ..before }", "before", LIB + ["accounting"]),
    ("clock-set-back-is-forgotten", "src/engine/mod.rs", "if now.wall < before.wall {", "if false {", YEAR),
    ("jitter-differs-after-a-restart", "src/engine/fire.rs", "schedule::jitter(&job.name, nominal, job.jitter)", "schedule::jitter(&job.name, nominal + std::time::Duration::from_secs(job.jitter.as_secs()), job.jitter)", YEAR),
    ("starts-at-the-decision", "src/engine/dispatch.rs", "if not_before > now.wall {", "if false {", SIM),
    ("starts-before-the-claim-is-on-disk", "src/engine/dispatch.rs", "effects.push(Effect::WhenDurable(Then::Claimed { run: key, upto }));", "run.claimed = upto;", SIM),
    ("retry-is-not-recorded", "src/engine/dispatch.rs", "effects.extend(due.into_iter().map(|(index, attempt)| Effect::Record(Record::Retried { run: key, index, attempt })));", "drop(due);", SIM),
    ("decision-apart-from-its-run", "src/engine/fire.rs", "decides: Decides::Nominal }));", "decides: Decides::Nothing }));", SIM),
    ("success-without-its-followers", "src/engine/ending.rs", "follows: follows.clone(),", "follows: Vec::new(),", SIM),
    ("paused-job-fires", "src/engine/fire.rs", "let suppressed = |nominal| paused || ", "let suppressed = |nominal| ", SIM),
    ("a-success-runs-again", "src/engine/recovery.rs", "(job.policies.on_interrupted == Interrupted::Resume || unlisted.contains(index))", "unlisted.contains(index)", SIM),
    ("claims-are-not-released", "src/engine/ending.rs", "if let Some(upto) = run.first_unstarted().filter(|upto| *upto < run.claiming) {", "if let Some(upto) = run.first_unstarted().filter(|_| false) {", SIM),
    ("retries-are-not-released", "src/engine/ending.rs", "run.unstarted_retries().map", "run.unstarted_retries().take(0).map", SIM),
    ("gather-before-the-results-are-on-disk", "src/engine/ending.rs", "effects.push(Effect::WhenDurable(Then::Gathered { run: key }));", "effects.push(Effect::Gather { run: Arc::clone(&run.info), until: run.until });\n            run.gathering = true;", SIM),
    ("kill-comes-without-grace", "src/engine/stopping.rs", "Some(self.timers.set(now.monotonic + grace, Timer::Kill { run: key, index }))", "None", SIM),
    ("backfill-starts-beside-a-run", "src/engine/ending.rs", "            && state.live.is_empty()\n", "", SIM),
    ("partial-timeout-is-forgotten", "src/engine/dispatch.rs", "let timer = timeout.map(", "let timer = timeout.filter(|_| false).map(", SIM),
    ("run-timeout-is-forgotten", "src/engine/dispatch.rs", "run.timer = timeout.map(", "run.timer = timeout.filter(|_| false).map(", SIM),
    ("catch-up-drops-the-latest", "src/engine/catch_up.rs", "CatchUpPolicy::Latest => 1,", "CatchUpPolicy::Latest => 0,", SIM),
    ("replaced-run-stays-in-the-queue", "src/engine/fire.rs", "live.into_iter().chain(state.waiting.iter().copied())", "live.into_iter().chain(state.waiting.iter().take(0).copied())", SIM),
    ("what-is-lost-is-not-tried-again", "src/engine/recovery.rs", "unlisted.iter().filter(|index| !succeeded.contains(*index)).collect();", "unlisted.iter().filter(|index| !succeeded.contains(*index)).chain(attempts.iter().filter(|(_, tried)| tried.outcome == Outcome::Lost).map(|(index, _)| *index)).collect();", SIM),
    ("what-is-lost-starts-as-if-new", "src/engine/recovery.rs", "            attempts.insert(index, Tried { number: attempt, outcome: Outcome::Lost });\n", "", SIM),
    ("lost-attempt-is-not-recorded", "src/engine/recovery.rs", "            effects.push(lost_attempt(&recovered, &targets, (index, attempt), true, now));\n", "", SIM),
    ("a-partial-counts-twice", "src/engine/ending.rs", "                run.wait_for_retry(", "                let _ = run.count(index, outcome);\n                run.wait_for_retry(", SIM),
    ("edited-list-loses-a-target", "src/engine/recovery.rs", "&job.targets, recovered.cause.grows())", "&job.targets, false)", SIM),
    ("nobody-is-told-of-an-interrupted-run", "src/engine/recovery.rs", "        if let Some(job) = job {\n", "        if let Some(job) = job.filter(|_| false) {\n", SIM),
    ("drain-leaves-what-waits", "src/engine/stopping.rs", "filter(|run| run.phase == Phase::Waiting || run.not_before > now.wall)", "filter(|run| run.not_before > now.wall)", SIM),
    ("drain-decides-fires", "src/engine/mod.rs", "self.mode == Mode::Serving && !self.held", "!self.held", SIM),
    ("held-store-fires", "src/engine/mod.rs", "self.mode == Mode::Serving && !self.held", "self.mode == Mode::Serving", SIM),
    ("drained-before-its-gather-is-over", "src/engine/stopping.rs", "Phase::Gathering if reason == StopReason::Drained => self", "Phase::Gathering if false => self", SIM + ["--nocapture", "pair"]),
    ("waits-for-a-clock-set-back-twice", "src/engine/accounting.rs", "now.wall + at.duration_since(before.wall).min(most)", "now.wall + at.duration_since(before.wall).max(most)", LIB + ["accounting"]),
    ("live-run-waits-for-a-clock-set-back", "src/engine/accounting.rs", "    if at <= before.wall {\n        Timestamp::MIN", "    if at <= before.wall {\n        at", SIM),
    ("cancelled-before-counts-as-failed", "src/engine/run.rs", "            self.count_outcome(tried.outcome);", "            let _ = tried;\n            self.count_outcome(Outcome::Failed);", SIM),
    ("max-partials-is-ignored", "src/engine/dispatch.rs", "while self.in_flight < self.config.daemon.max_partials {", "while self.in_flight < usize::MAX {", SIM),
    ("concurrency-is-ignored", "src/engine/run.rs", "self.flights.len() < self.info.job.policies.concurrency", "self.flights.len() < usize::MAX", SIM),
    ("pause-is-forgotten-by-a-restart", "src/engine/recovery.rs", "paused: known.paused, standing", "standing", SIM),
    ("joins-are-forgotten-by-a-restart", "src/engine/recovery.rs", "for (name, nominal, succeeded) in joined {", "for (name, nominal, succeeded) in joined.into_iter().take(0) {", SIM),
    ("watermark-is-forgotten-by-a-restart", "src/engine/recovery.rs", "accounted: known.into(), paused", "paused", SIM),
    ("retries-once-more", "src/engine/retry.rs", "tries.attempts < retry.attempts", "tries.attempts <= retry.attempts", LIB + ["retry"]),
    ("max-failures-one-more", "src/engine/run.rs", "failed > allowed", "failed > allowed + 1", LIB + ["failures_allowed"]),
    ("rotation-drops-a-file-after-a-crash", "src/log/rotate.rs", ".find(|number| !self.backup(*number).exists())", ".find(|_| false)", LIB + ["rotate"]),
    ("edit-forgets-what-is-due", "src/engine/fire.rs", "effects: &mut Vec<Effect>) {\n        // What has fallen due belongs to the old one: the accounting of an edited schedule begins at the present.\n        self.decide_fires(now, effects);\n", "effects: &mut Vec<Effect>) {\n", SIM),
    ("leftovers-are-left", "src/daemon/open.rs", "handler::leftovers::kill(state_dir, boot_id, runs)", "Vec::<handler::Killed>::new()", IT + ["kill::a_leftover"]),
    ("leader-is-not-on-file", "src/handler/process/mod.rs", "    let _on_file = leaders::enter(leader.pid());\n", "", IT + ["kill::a_leftover"]),
    ("another-with-the-pid-is-killed", "src/handler/process/leftovers.rs", "process.started > leader.seen", "false", LIB + ["leftovers"]),
    ("third-signal-is-ignored", "src/engine/stopping.rs", "        if !first {\n            self.kill_all(effects);", "        if false {\n            self.kill_all(effects);", IT + ["stop"]),
    ("removed-job-goes-on", "src/engine/fire.rs", "            self.remove_job(&name, now, effects);\n", "            drop(name);\n", IT + ["reload"]),
    ("end-of-a-run-is-not-synced", "src/log/writer.rs", "next.has_kept", "false", IT + ["log"]),
    ("count-of-a-long-stretch", "src/schedule/count.rs", "days &= (1 << end.day()) - 1;", "days &= (1 << (end.day() + 1)) - 1;", LIB + ["count"]),
    ("scan-of-the-last-weekday", "src/schedule/scan.rs", "date.day() + 7 > date.days_in_month()", "date.day() + 8 > date.days_in_month()", LIB + ["schedule"]),
    ("audit-overlooks-a-hole", "src/audit/mod.rs", "        for nominal in named {\n            self.expected += 1;\n", "        for nominal in named.take(0) {\n            self.expected += 1;\n", LIB + ["audit"]),
]


def copy_sources():
    """A copy beside the target directory, so that what is compiled already is used again."""
    COPY.mkdir(parents=True, exist_ok=True)
    for name in ["src", "tests", "benches", "docs", "systemd"]:
        shutil.rmtree(COPY / name, ignore_errors=True)
        shutil.copytree(ROOT / name, COPY / name, ignore=shutil.ignore_patterns("target"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy2(path, COPY / path.name)


def notices(tests):
    """Whether the tests fail, and the names of those that do."""
    # A bug that a test notices does so early: fewer seeds than the suite has are enough.
    environment = {"SIM_SEEDS": "100", **os.environ, "CARGO_TARGET_DIR": str(COPY / "target"), "INSTA_UPDATE": "no", "RUST_BACKTRACE": "0"}
    command = ["cargo", "test", "--quiet", *tests]
    done = subprocess.run(command, cwd=COPY, env=environment, capture_output=True, text=True, timeout=900)
    said = done.stdout + done.stderr
    if "could not compile" in said:
        return None, said
    return done.returncode != 0, ", ".join(sorted(set(re.findall(r"^    ([a-z_0-9:]+)$", said, re.M))))


def attempt(name, file, old, new, tests):
    path = COPY / file
    original = path.read_text()
    if original.count(old) == 0:
        return False, f"its place is gone from {file}"
    path.write_text(original.replace(old, new, 1))
    try:
        noticed, by = notices(tests)
    except subprocess.TimeoutExpired:
        return True, "the tests do not end"
    finally:
        path.write_text(original)
    if noticed is None:
        return False, "it does not compile:\n" + by
    return noticed, by or "a test that panicked"


def main():
    wanted = sys.argv[1:]
    unknown = set(wanted) - {mutation[0] for mutation in MUTATIONS}
    if unknown:
        sys.exit(f"no such mutation: {', '.join(sorted(unknown))}")
    copy_sources()
    survived = 0
    for name, *mutation in MUTATIONS:
        if wanted and name not in wanted:
            continue
        noticed, by = attempt(name, *mutation)
        survived += not noticed
        print(f"{'noticed ' if noticed else 'SURVIVED'}  {name}: {by}", flush=True)
    sys.exit(1 if survived else 0)


if __name__ == "__main__":
    main()
