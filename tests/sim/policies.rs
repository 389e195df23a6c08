//! Policies that the invariants do not name: what becomes of each run of a short story is compared as a whole.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::faults::Choices;
use crate::story::parse;
use crate::world::{Temper, World};

/// A job every ten seconds, whose children are of that temper, until `seconds` have passed.
fn told(policies: &str, temper: Temper, seconds: i64) -> World {
    let text = format!("[jobs.a]\nschedule = \"@every 10s\"\nshell = \"true\"\nstop = {{ grace = \"25s\" }}\n{policies}\n");
    let start: Timestamp = "2026-03-08T06:00:01Z".parse().expect("valid");
    let mut world = World::new(parse(&text), start, Choices::new(1), &[]);
    world.temper = temper;
    world.run_for(SignedDuration::from_secs(seconds));
    world
}

/// Each run: the second of its nominal time, how often it was started, how it ended.
#[track_caller]
fn check(world: &World, expected: &str) {
    let run = |(key, row): (&_, &crate::disk::RunRow)| {
        let starts: u32 = world.starts.iter().filter(|((run, ..), _)| run == key).map(|(_, count)| count).sum();
        let outcome = row.outcome.map_or("live", batchd::engine::RunOutcome::name);
        format!("{} x{starts} {outcome}", row.nominal.as_second() % 3_600)
    };
    let runs: Vec<_> = world.disk.runs.iter().map(run).collect();
    assert_eq!(runs.join(", "), expected);
}

#[test]
fn a_run_that_waits_is_replaced_as_well() {
    // The first is signalled at 20 and killed at 45; the one of 20 waits for that, and is replaced by the one of 30.
    let world = told("overlap = \"replace\"", Temper::Stubborn, 36);
    check(&world, "10 x1 live, 20 x0 cancelled, 30 x0 live");
}

#[test]
fn a_full_queue_skips() {
    let world = told("overlap = { policy = \"queue\", max = 1 }", Temper::Stubborn, 36);
    check(&world, "10 x1 live, 20 x0 live");
}

#[test]
fn what_is_lost_is_tried_again_or_fails_as_the_policy_says() {
    for (policy, expected) in [("resume", "10 x2 live"), ("rerun", "10 x2 live"), ("fail", "10 x1 interrupted")] {
        let mut world = told(&format!("on_interrupted = \"{policy}\""), Temper::Stubborn, 15);
        world.crash(Duration::from_secs(1));
        world.run_for(SignedDuration::from_secs(1));
        check(&world, expected);
    }
}

#[test]
fn a_run_that_is_cancelled_while_a_partial_waits_after_a_drain_counts_it_as_its_row_does() {
    let mut world = told("", Temper::Stubborn, 15);
    world.handle(batchd::engine::Event::Drain);
    world.handle(batchd::engine::Event::StopNow);
    world.run_for(SignedDuration::from_secs(40));
    assert!(world.finished);
    // The disk is slow: the partial waits for its record.
    world.restart(Duration::from_secs(1));
    let run = world.engine.runs().next().expect("it goes on").info.key;
    let ticket = world.ticket();
    world.handle(batchd::engine::Event::Cancelled { run, ticket });
    world.run_for(SignedDuration::from_secs(1));
    let row = &world.disk.runs[&run];
    assert_eq!((row.counts, row.partials[&0].0), ((0, 0, 1), batchd::engine::Outcome::Cancelled));
}

#[test]
fn a_live_run_does_not_wait_for_a_clock_that_is_set_back() {
    for hours in [1, 24] {
        let mut world = told("targets = { range = \"0..5\" }\nconcurrency = 1", Temper::Good, 15);
        world.step_clock(SignedDuration::from_hours(-hours));
        world.run_for(SignedDuration::from_mins(4));
        let run = world.disk.runs.values().next().expect("it was fired");
        assert_eq!(run.counts, (5, 0, 0), "set back by {hours} hours");
    }
}

#[test]
fn a_drain_waits_for_what_is_live_and_not_for_what_waits() {
    let mut world = told("overlap = \"queue\"\n[daemon]\ndrain_timeout = \"10m\"", Temper::Good, 25);
    let waits = |world: &World| world.engine.runs().filter(|run| run.phase == batchd::engine::Phase::Waiting).count();
    assert!(waits(&world) > 0 && !world.children.is_empty(), "one is live and others wait");
    world.handle(batchd::engine::Event::Drain);
    let end = world.children.values().map(|child| child.ends).max().expect("it lives");
    world.run_for(SignedDuration::try_from(end.saturating_sub(world.now.monotonic)).expect("short") + SignedDuration::from_secs(1));
    assert!(world.finished, "the daemon waits for a run that it will not begin");
}

#[test]
fn what_has_fallen_due_is_decided_before_an_edit() {
    let mut world = told("", Temper::Good, 8);
    // The loop is late: 06:00:10 has passed when it takes the new configuration.
    world.now.wall += SignedDuration::from_secs(2);
    world.latest_wall = world.now.wall;
    let edited = parse("[jobs.a]\nschedule = \"@every 1h\"\nshell = \"true\"\n");
    world.handle(batchd::engine::Event::ConfigLoaded(edited));
    world.run_for(SignedDuration::from_mins(1));
    check(&world, "10 x1 succeeded");
}
