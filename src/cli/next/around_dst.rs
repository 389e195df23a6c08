//! `batchd next --around-dst`: what the coming changes of the clocks do to the fires.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::{Exit, Named, Window};
use crate::cli::escape::escape;
use crate::cli::expression::{changes, jump, local, local_for_people};
use crate::cli::{Failure, Screen};
use crate::schedule::Timetable;

/// How far around a change its fires are shown.
const AROUND_CHANGE: SignedDuration = SignedDuration::from_hours(36);

/// Prints the fires around the coming changes of each timetable.
pub(super) fn around_dst(named: &[Named<'_>], window: &Window, json: bool, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let mut answers = Vec::new();
    for job in named {
        let zone = &job.timetable.zone;
        let changes = changes(job.timetable, window.after);
        if changes.is_empty() && !json {
            screen.line(format!("{}: the clocks of {} do not change", escape(job.name), zone.name))?;
        }
        for (change, effects) in changes.iter().filter(|(change, _)| change.at <= window.until) {
            let fires = fires_around(job.timetable, change.at, window.count);
            if json {
                let fires: Vec<_> = fires.iter().map(|fire| serde_json::json!({ "nominal": fire, "local": local(*fire, zone) })).collect();
                let change = serde_json::json!({ "at": change.at, "before": change.wall_before(), "after": change.wall_after() });
                answers
                    .push(serde_json::json!({ "job": job.name, "zone": *zone.name, "change": change, "effects": effects, "fires": fires }));
                continue;
            }
            screen.line(format!("{}: {} in {}: {}", escape(job.name), jump(change), zone.name, effects.join("; ")))?;
            for fire in fires {
                screen.line(format!("  {}", local_for_people(fire, zone)))?;
            }
        }
    }
    if json {
        screen.json_compact(&serde_json::json!({ "changes": answers }))?;
    }
    Ok(Exit::Done)
}

/// The last fires before a change and the first ones from it on, `count` of each.
fn fires_around(timetable: &Timetable, change: Timestamp, count: usize) -> Vec<Timestamp> {
    let next = |after: &Timestamp| timetable.next(*after);
    let (start, end) = (change.saturating_sub(AROUND_CHANGE).unwrap_or(change), change.saturating_add(AROUND_CHANGE).unwrap_or(change));
    let mut before = VecDeque::new();
    let mut from = Vec::new();
    for fire in std::iter::successors(next(&start), next).take_while(|fire| *fire <= end) {
        if fire < change {
            before.push_back(fire);
            if before.len() > count {
                before.pop_front();
            }
        } else if from.len() < count {
            from.push(fire);
        } else {
            break;
        }
    }
    before.into_iter().chain(from).collect()
}
