//! A process that works on several targets: they come on its stdin, and it may tell how each of them ended.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Attempt, Ended, ResultLines};
use crate::config::{Target, TargetValue};
use crate::engine::{Outcome, PartEnd};

/// A line of `BATCHD_RESULT` that tells of one target.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    /// The target, or its key.
    target: Value,
    result: Option<Box<RawValue>>,
    #[serde(default)]
    outcome: Claimed,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Claimed {
    #[default]
    Succeeded,
    Failed,
}

/// The targets of a chunk as JSON, a line each.
pub(super) fn lines(attempt: &Attempt) -> Option<ResultLines> {
    let lines: Vec<Vec<u8>> = attempt.chunk()?.into_iter().map(|(_, target)| value(target).to_string().into_bytes()).collect();
    let mut lines = lines.into_iter();
    Some(Box::new(move || lines.next()))
}

/// Gives each partial its own end, where all that the process wrote as its result are lines that tell of single targets.
pub(super) fn share_result(attempt: &Attempt, ended: &mut Ended) {
    let (Some(chunk), Some(result)) = (attempt.chunk(), &ended.result) else { return };
    let text = serde_json::from_str::<String>(result.get()).unwrap_or_else(|_| result.get().to_owned());
    if let Some(parts) = parts(&text, &chunk) {
        (ended.parts, ended.result) = (parts, None);
    }
}

fn parts(text: &str, chunk: &[(u32, &Target)]) -> Option<Vec<PartEnd>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let told: Vec<Told> = lines.map(|line| serde_json::from_str(line).ok()).collect::<Option<_>>()?;
    let place = |told: &Told| chunk.iter().find(|(_, target)| is_named(target, &told.target)).map(|(index, _)| *index);
    let end = |told: Told| {
        let index = place(&told)?;
        let outcome = match told.outcome {
            Claimed::Succeeded => Outcome::Succeeded,
            Claimed::Failed => Outcome::Failed,
        };
        let error = told.error.or_else(|| (outcome == Outcome::Failed).then(|| "its process said that it failed".to_owned()));
        Some(PartEnd { index, outcome, result: told.result, error: error.map(Arc::from) })
    };
    told.into_iter().map(end).collect()
}

/// Whether `named` is the target, or its key.
fn is_named(target: &Target, named: &Value) -> bool {
    match named {
        Value::String(text) => *text == *target.key,
        Value::Number(number) => number.to_string() == *target.key,
        named => *named == value(target),
    }
}

pub(super) fn value(target: &Target) -> Value {
    match &target.value {
        TargetValue::Text(text) => Value::from(&**text),
        TargetValue::Table(table) => Value::Object((**table).clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let table = serde_json::json!({"id": 7, "x": 1}).as_object().cloned().expect("an object");
        let (a, b) = (Target::text("a"), Target { key: "7".into(), value: TargetValue::Table(Arc::new(table)) });
        let show = |part: &PartEnd| {
            let result = part.result.as_ref().map_or("-", |result| result.get());
            format!("{} {} {result} {}", part.index, part.outcome, part.error.as_deref().unwrap_or("-"))
        };
        let parts = parts(text, &[(3, &a), (4, &b)]);
        let shown = parts.map_or_else(|| "as a whole".to_owned(), |parts| parts.iter().map(show).collect::<Vec<_>>().join("; "));
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn lines_that_tell_of_targets() {
        check(r#"{"target": "a", "result": [1]}"#, "3 succeeded [1] -");
        check(
            "{\"target\": 7}\n\n{\"target\": \"a\", \"outcome\": \"failed\"}\n",
            "4 succeeded - -; 3 failed - its process said that it failed",
        );
        check(r#"{"target": {"id": 7, "x": 1}, "outcome": "failed", "error": "no"}"#, "4 failed - no");
    }

    #[test]
    fn what_tells_of_no_target_is_a_result_as_a_whole() {
        check("[1, 2]", "as a whole");
        check("done", "as a whole");
        check(r#"{"target": "unknown"}"#, "as a whole");
        check(r#"{"target": "a", "outcome": "lost"}"#, "as a whole");
        check("{\"target\": \"a\"}\ndone", "as a whole");
    }
}
