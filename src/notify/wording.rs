//! Notices in words. Nothing from outside is passed on raw.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;

use crate::engine::{Kind, Notice, RunOutcome};
use crate::log::escape;
use crate::schedule::Zone;

/// One line: `daily-report failed: 3 of 10 partials`.
pub(super) fn subject(notice: &Notice) -> String {
    let job = escape(&notice.job);
    match notice.event {
        Kind::Failure | Kind::Fail => format!("{job} {}", how_it_ended(notice)),
        Kind::Failing => format!("{job} has failed {} times in a row", notice.failures),
        Kind::Recovery if notice.failures > 0 => format!("{job} has recovered after {}", count(u64::from(notice.failures), "failure")),
        Kind::Recovery => format!("{job} has recovered: its success was overdue"),
        Kind::Missed => format!("{job} missed {}", count(notice.missed, "nominal time")),
        Kind::Late => format!("{job} is late: {}", escape(notice.reason.as_deref().unwrap_or("it is expected earlier"))),
        Kind::Start => format!("{job} starts"),
        Kind::Success => format!("{job} succeeded"),
        Kind::Log => format!("{job} was cancelled"),
        Kind::Test => format!("a test of the channel {job}"),
    }
}

fn how_it_ended(notice: &Notice) -> String {
    let partials = if notice.partials > 1 { format!(": {} of {} partials", notice.failed, notice.partials) } else { String::new() };
    match notice.outcome {
        Some(RunOutcome::TimedOut) => "timed out".to_owned(),
        Some(RunOutcome::Interrupted) => "was interrupted".to_owned(),
        _ => format!("failed{partials}"),
    }
}

/// Several lines.
pub(super) fn text(notice: &Notice) -> String {
    let mut text = format!("{}\n", subject(notice));
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<9}{value}");
    };
    if let Some(description) = &notice.description {
        line("job", &escape(description));
    }
    if let Some(run) = &notice.run {
        line("run", &escape(run));
    }
    match (notice.event, notice.since) {
        (Kind::Missed, Some(first)) if first != notice.nominal => {
            line("nominal", &format!("{} to {}", local(first, &notice.zone), local(notice.nominal, &notice.zone)));
        }
        (Kind::Late, Some(since)) => line("since", &local(since, &notice.zone)),
        (Kind::Test, _) => line("at", &local(notice.at, &notice.zone)),
        _ => line("nominal", &local(notice.nominal, &notice.zone)),
    }
    if let Some(reason) = notice.reason.as_deref().filter(|_| notice.event != Kind::Late) {
        line("reason", &escape(reason));
    }
    for (number, failed) in notice.failed_targets.iter().enumerate() {
        let target = failed.target.as_deref().map(|target| format!("{}: ", escape(target))).unwrap_or_default();
        let error = failed.error.as_deref().unwrap_or_else(|| failed.outcome.name());
        line(if number == 0 { "failed" } else { "" }, &format!("{target}{}", escape(error)));
    }
    let named = u32::try_from(notice.failed_targets.len()).unwrap_or(u32::MAX);
    if !notice.failed_targets.is_empty() && notice.failed > named {
        line("", &format!("… and {} more", notice.failed - named));
    }
    if let Some(retry) = &notice.retry {
        line("again", &escape(retry));
    }
    text
}

pub(super) fn subject_of_several(notices: &[Notice]) -> String {
    let jobs: BTreeSet<&str> = notices.iter().map(|notice| notice.job.as_str()).collect();
    format!("{} messages about {}", notices.len(), count(jobs.len() as u64, "job"))
}

pub(super) fn text_of_several(notices: &[Notice], most: usize) -> String {
    let mut text = format!("{}, which came too fast to be sent one by one:\n", subject_of_several(notices));
    for notice in notices.iter().take(most) {
        let _ = writeln!(text, "{}  {}", local(notice.at, &notice.zone), subject(notice));
    }
    if notices.len() > most {
        let _ = writeln!(text, "… and {} more; `batchd history --failed` lists the runs", notices.len() - most);
    }
    text
}

fn local(at: Timestamp, zone: &str) -> String {
    let rules = Zone::lookup(zone).map_or(jiff::tz::TimeZone::UTC, |zone| zone.rules);
    at.to_zoned_datetime(rules).strftime("%F %T %Z").to_string()
}

fn count(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::failure;
    use super::*;

    #[test]
    fn a_failure_says_what_and_how_to_go_on() {
        insta::assert_snapshot!(text(&failure()), @r"
        daily-report failed: 3 of 10 partials
        job      Mail every shop its report
        run      daily-report@20260311T170000Z
        nominal  2026-03-12 02:00:00 KST
        failed   jeju: exit code 2: no <file>
                 busan: timed out\n\x1b[31m
                 … and 1 more
        again    batchd retry daily-report@20260311T170000Z
        ");
    }

    #[test]
    fn each_kind_has_its_words() {
        let notice = |event| Notice { event, failures: 3, missed: 2, reason: Some("it takes longer than 10m".into()), ..failure() };
        let subjects: Vec<String> =
            [Kind::Failing, Kind::Recovery, Kind::Missed, Kind::Late].into_iter().map(|kind| subject(&notice(kind))).collect();
        insta::assert_snapshot!(subjects.join("\n"), @r"
        daily-report has failed 3 times in a row
        daily-report has recovered after 3 failures
        daily-report missed 2 nominal times
        daily-report is late: it takes longer than 10m
        ");
        let timed_out = Notice { outcome: Some(RunOutcome::TimedOut), ..failure() };
        assert_eq!(subject(&timed_out), "daily-report timed out");
    }

    #[test]
    fn several_are_counted_and_the_first_are_named() {
        insta::assert_snapshot!(text_of_several(&vec![failure(); 5], 2), @r"
        5 messages about 1 job, which came too fast to be sent one by one:
        2026-03-12 02:05:00 KST  daily-report failed: 3 of 10 partials
        2026-03-12 02:05:00 KST  daily-report failed: 3 of 10 partials
        … and 3 more; `batchd history --failed` lists the runs
        ");
    }
}
