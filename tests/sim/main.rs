//! The simulator: the real engine under virtual clocks, a store that loses what is not synced, and children with lives of
//! their own. Every crash point of a fixed story, then seeds for breadth.
//!
//! `SIM_PAIRS=1 SIM_SEEDS=10000 cargo test --release --test sim` kills it at every pair of points, and runs as many random seeds;
//! a failing seed is printed and runs alone with `SIM_SEED=N`.

#![expect(clippy::print_stdout, reason = "the seed must be seen")]

mod checks;
mod disk;
mod faults;
mod planner;
mod policies;
mod replay;
mod story;
mod world;
mod year;

use story::Story;

/// Kills the daemon before every single effect of a fixed story.
#[test]
fn every_crash_point_of_the_story() {
    let points = Story::fixed().run().effects;
    assert!(points > 200, "the story has become too short to prove anything: {points} effects");
    for point in 0..points {
        Story::fixed().crash_at(&[point]).run();
    }
}

/// Kills it twice: at every pair of points with `SIM_PAIRS=1`, else at a ninth of the first ones and, behind each, while it
/// recovers and at a few later points.
#[test]
fn every_pair_of_crash_points() {
    let points = Story::fixed().run().effects;
    let all = number("SIM_PAIRS").is_some();
    let mut pairs = 0;
    for first in (0..points).step_by(if all { 1 } else { 9 }) {
        // What is done again after the first crash makes the story longer.
        let points = if all { Story::fixed().crash_at(&[first]).run().effects } else { points };
        let (soon, later) = (first + 1..=first + 12, first + 13..points);
        for second in soon.chain(later.step_by(if all { 1 } else { 61 })) {
            Story::fixed().crash_at(&[first, second]).run();
            pairs += 1;
        }
    }
    println!("{pairs} pairs of {points} points");
}

/// Random jobs, children, crashes, reloads, cancels, steps of the clock and drains.
#[test]
fn random_seeds() {
    if let Some(seed) = number("SIM_SEED") {
        Story::random(seed).run();
        return;
    }
    let fresh = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is set").as_nanos();
    let fresh = u64::try_from(fresh & 0xffff_ffff).expect("32 bits");
    println!("fresh seed: SIM_SEED={fresh}");
    for seed in (0..number("SIM_SEEDS").unwrap_or(300)).chain([fresh]) {
        Story::random(seed).run();
    }
}

/// A year of a thousand jobs, by a fixed seed and a fresh one.
#[test]
fn a_year_is_accounted_for() {
    if let Some(seed) = number("SIM_SEED") {
        return year::year(seed, 1_000);
    }
    let fresh = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is set").as_nanos();
    let fresh = u64::try_from(fresh & 0xffff_ffff).expect("32 bits");
    for seed in (0..number("SIM_YEARS").unwrap_or(1)).chain([fresh]) {
        println!("SIM_SEED={seed}");
        year::year(seed, 1_000);
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}
