//! `batchd next --batch`: one process answers many questions, so that a corpus can be checked in one go.

use std::io::BufRead;

use anyhow::Context;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Exit, MAX_COUNT};
use crate::cli::expression::{Refusal, explain_refusal, read};
use crate::cli::{Failure, Screen};
use crate::schedule::Dst;

#[derive(Deserialize)]
struct Question {
    id: serde_json::Value,
    expr: String,
    tz: String,
    after: Timestamp,
    count: usize,
}

/// Answers each line of `input` with one line.
pub(super) fn batch(input: impl BufRead, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    for line in input.lines() {
        let question: Question = serde_json::from_str(&line?).context("a question is one JSON object a line")?;
        let answer = match read(&question.expr, Some(&question.tz)) {
            Ok((schedule, zone)) => {
                let next = |after: &Timestamp| schedule.next(&zone, Dst::default(), *after);
                let fires: Vec<Timestamp> =
                    std::iter::successors(next(&question.after), next).take(question.count.min(MAX_COUNT)).collect();
                serde_json::json!({ "id": question.id, "next": fires })
            }
            Err(Refusal::Expression { error, .. }) => {
                let message = format!("column {}: {}", error.range.start + 1, error.message);
                serde_json::json!({ "id": question.id, "error": message })
            }
            Err(refusal) => serde_json::json!({ "id": question.id, "error": explain_refusal(&refusal) }),
        };
        screen.json_compact(&answer)?;
        // Whoever asks in lockstep waits for this line.
        screen.flush()?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Look;
    use crate::cli::tests::seen_of;

    #[test]
    fn a_batch_answers_line_by_line() {
        let questions = concat!(
            r#"{"id":"a","expr":"0 0 L * *","tz":"UTC","after":"2026-02-01T00:00:00Z","count":1}"#,
            "\n",
            r#"{"id":"b","expr":"0 24 * * *","tz":"UTC","after":"2026-02-01T00:00:00Z","count":1}"#,
        );
        let answers = seen_of(Look::default(), |screen| batch(questions.as_bytes(), screen));
        insta::assert_snapshot!(answers, @r#"
        Done
        {"id":"a","next":["2026-02-28T00:00:00Z"]}
        {"id":"b","error":"column 3: hour `24` is out of range 0-23"}
        ---
        "#);
    }
}
