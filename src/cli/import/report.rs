//! What changes its meaning, for people.

use std::io;

use crate::cli::Screen;
use crate::cli::escape::escape;
use crate::cli::human::count;
use crate::cli::print::Tone;
use crate::exchange::{Finding, Imported, Place, Topic};

/// Lines are no longer than this, even on a wide terminal.
const MAX_WIDTH: usize = 100;

/// The topic stands in front of its message.
const TOPIC_WIDTH: usize = 13;

/// The most places that a finding names.
const MAX_PLACES: usize = 6;

/// How much came over, and what is not quite the same.
pub(super) fn import(imported: &Imported, screen: &mut Screen<'_>) -> io::Result<()> {
    let jobs = count(imported.jobs.len() as u64, "job");
    let left_out = match imported.left_out {
        0 => String::new(),
        1 => "; 1 entry could not be said, and is a comment".to_owned(),
        more => format!("; {more} entries could not be said, and are comments"),
    };
    screen.note(format!("{jobs}{left_out}"))?;
    findings(&imported.findings, screen)
}

/// A block a finding: topic, message, places.
pub(in crate::cli) fn findings(findings: &[Finding], screen: &mut Screen<'_>) -> io::Result<()> {
    let width = screen.width().map_or(MAX_WIDTH, usize::from).min(MAX_WIDTH) - TOPIC_WIDTH;
    for finding in findings {
        let mut lines = wrapped(&escape(&finding.message), width);
        lines.extend(wrapped(&escape(&places(&finding.places)), width));
        let topic = screen.paint(tone(finding.topic), finding.topic.name());
        let gap = " ".repeat(TOPIC_WIDTH - finding.topic.name().len());
        for (at, line) in lines.iter().enumerate() {
            let lead = if at == 0 { format!("{topic}{gap}") } else { " ".repeat(TOPIC_WIDTH) };
            screen.note(format!("{lead}{line}"))?;
        }
    }
    Ok(())
}

fn tone(topic: Topic) -> Tone {
    match topic {
        Topic::LeftOut => Tone::Bad,
        Topic::Hint => Tone::Faint,
        _ => Tone::Doubtful,
    }
}

/// `/etc/crontab:5 (backup), :7 (report)`; nothing for what concerns everything.
fn places(places: &[Place]) -> String {
    let mut last = "";
    let mut shown: Vec<String> = Vec::new();
    for place in places.iter().take(MAX_PLACES) {
        let source = if place.source == last { "" } else { &place.source };
        let line = if place.line == 0 { String::new() } else { format!(":{}", place.line) };
        let job = place.job.as_ref().map_or_else(String::new, |job| format!(" ({job})"));
        shown.push(if place.line == 0 && source.is_empty() { job.trim().to_owned() } else { format!("{source}{line}{job}") });
        last = &place.source;
    }
    if places.len() > MAX_PLACES {
        shown.push(format!("and {} more", places.len() - MAX_PLACES));
    }
    if shown.is_empty() { String::new() } else { format!("→ {}", shown.join(", ")) }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
