//! What a command does by itself that a key does better here.

use crate::exchange::finding::Topic;
use crate::exchange::sheet::{Entry, Value};

/// How many runs of each job are kept by default, for the arithmetic of a message.
const KEEP_RUNS: u32 = 1_000;

/// The hints for an entry, in a fixed order.
pub(super) fn hints(command: &str, entry: &Entry) -> Vec<(Topic, String)> {
    let has = |part: &str| command.contains(part);
    let mut hints = Vec::new();
    if every_minute(entry) {
        let hours = KEEP_RUNS / 60;
        let message = format!("it runs 1,440 times a day; `[history] keep_runs` (1,000) then keeps the last {hours} hours of its runs");
        hints.push((Topic::Load, message));
    }
    if has("flock ") || has("lockrun ") || has("run-one ") {
        hints.push(hint("a lock keeps two runs apart; `overlap = \"skip\"` in the job does that, and records what was skipped"));
    }
    if has("sleep") && (has("rand") || has("RANDOM")) {
        hints.push(hint("it sleeps for a random time; `jitter` does that, and leaves no process waiting"));
    }
    if has("/run/systemd/system") {
        hints.push(hint("under systemd it does nothing, because the package has a timer: `batchd import systemd NAME.timer`"));
    }
    if has(">/dev/null") || has("> /dev/null") || has("| logger") {
        hints.push(hint("it throws away or redirects what it prints; without that, `batchd show` tells what was said"));
    }
    if has("run-parts") {
        hints.push(hint(
            "run-parts runs the scripts of a directory one after the other as one job; with `targets` each has its own outcome",
        ));
    }
    hints
}

fn hint(message: &str) -> (Topic, String) {
    (Topic::Hint, message.to_owned())
}

fn every_minute(entry: &Entry) -> bool {
    let is_every_minute = |text: &str| text.split(' ').take(2).all(|field| matches!(field, "*" | "*/1"));
    entry.settings.iter().any(|setting| setting.key == "schedule" && matches!(&setting.value, Value::Text(text) if is_every_minute(text)))
}
