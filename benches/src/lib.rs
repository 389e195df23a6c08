//! What the measurements share: the instant to aim at, the stamps, the row that is printed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch.
pub fn now() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    u64::try_from(elapsed.as_nanos()).expect("before the year 2554")
}

/// The first whole second at least `lead` from now.
pub fn instant_after(lead: Duration) -> u64 {
    (now() + u64::try_from(lead.as_nanos()).expect("short")) / 1_000_000_000 + 1
}

/// One place a job: how often it was started, and when last.
pub struct Stamps(Vec<(AtomicU64, AtomicU64)>);

impl Stamps {
    pub fn new(jobs: usize) -> Self {
        Self((0..jobs).map(|_| Default::default()).collect())
    }

    pub fn stamp(&self, job: usize) {
        self.0[job].0.fetch_add(1, Ordering::Relaxed);
        self.0[job].1.store(now(), Ordering::Relaxed);
    }

    /// `lost`, `doubled`, and the lateness of the median and of the last in milliseconds after `second`.
    pub fn row(&self, system: &str, second: u64) -> String {
        let starts: Vec<u64> = self.0.iter().map(|(count, _)| count.load(Ordering::Relaxed)).collect();
        let mut late: Vec<u64> = self.0.iter().map(|(_, at)| at.load(Ordering::Relaxed)).filter(|at| *at > 0).collect();
        late.sort_unstable();
        let lost = starts.iter().filter(|count| **count == 0).count();
        let doubled = starts.iter().filter(|count| **count > 1).count();
        let ms = |at: Option<&u64>| at.map_or(f64::NAN, |at| (*at as f64 - second as f64 * 1e9) / 1e6);
        let (median, last) = (ms(late.get(late.len() / 2)), ms(late.last()));
        format!("{system:<24} {:>7} {lost:>7} {doubled:>8} {median:>12.1} {last:>10.1}", self.0.len())
    }
}

pub const HEADER: &str = "system                      jobs    lost  doubled  median late  last late (ms)";
