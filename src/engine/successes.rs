//! Successes of neighbours, in as little memory as a million of them should take: their results are one text.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{AttemptEnd, Outcome};

/// A success of which there is nothing to tell but a result.
#[derive(Clone, Copy, Debug)]
pub struct Success<R = Option<Box<RawValue>>> {
    pub started: Timestamp,
    pub ended: Timestamp,
    /// Measured on the monotonic clock.
    pub duration: Duration,
    pub result: R,
}

impl From<Success> for AttemptEnd {
    fn from(Success { started, ended, duration, result }: Success) -> Self {
        Self { result, ..Self::bare(Outcome::Succeeded, started, ended, duration) }
    }
}

/// Those of neighbours, in order.
#[derive(Clone, Debug, Default)]
pub struct Successes {
    /// Each with the place in `results` behind its own.
    each: Vec<Success<usize>>,
    /// JSON, one behind the other; nothing for null.
    results: Vec<u8>,
}

impl Successes {
    pub fn len(&self) -> usize {
        self.each.len()
    }

    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// One more, unless its result takes more than `most` bytes as JSON: then nothing is added, and false returned.
    pub fn push(&mut self, success: Success<&impl Serialize>, most: usize) -> bool {
        let Success { started, ended, duration, result } = success;
        let before = self.results.len();
        let is_written = serde_json::to_writer(&mut self.results, result).is_ok();
        if !is_written || self.results.len() - before > most {
            self.results.truncate(before);
            return false;
        }
        if self.results[before..] == *b"null" {
            self.results.truncate(before);
        }
        self.each.push(Success { started, ended, duration, result: self.results.len() });
        true
    }

    /// The one at this place, from 0, with its result as JSON.
    pub fn get(&self, place: usize) -> Option<Success<Option<&str>>> {
        let Success { started, ended, duration, result } = self.each.get(place)?;
        let begin = place.checked_sub(1).and_then(|before| self.each.get(before)).map_or(0, |before| before.result);
        let result =
            self.results.get(begin..*result).and_then(|result| std::str::from_utf8(result).ok()).filter(|result| !result.is_empty());
        Some(Success { started: *started, ended: *ended, duration: *duration, result })
    }

    /// Each by itself.
    pub fn iter(&self) -> impl Iterator<Item = Success> + '_ {
        (0..self.len()).filter_map(|place| self.get(place)).map(|success| {
            let result = success.result.and_then(|json| RawValue::from_string(json.to_owned()).ok());
            Success { started: success.started, ended: success.ended, duration: success.duration, result }
        })
    }
}

impl FromIterator<Success> for Successes {
    fn from_iter<T: IntoIterator<Item = Success>>(successes: T) -> Self {
        let mut all = Self::default();
        for Success { started, ended, duration, result } in successes {
            all.push(Success { started, ended, duration, result: &result }, usize::MAX);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn success<R>(result: R) -> Success<R> {
        Success { started: Timestamp::UNIX_EPOCH, ended: Timestamp::UNIX_EPOCH, duration: Duration::ZERO, result }
    }

    #[test]
    fn each_comes_back_as_it_was() {
        let values = [json!(null), json!("null"), json!({ "ü": [1, null] }), json!(null), json!(0.5)];
        let mut successes = Successes::default();
        for value in &values {
            assert!(successes.push(success(value), 100));
        }
        let results = |successes: &Successes| -> Vec<Value> {
            successes
                .iter()
                .map(|success| success.result.map_or(Value::Null, |json| serde_json::from_str(json.get()).expect("is JSON")))
                .collect()
        };
        assert_eq!(results(&successes), values);
        assert_eq!(results(&successes.iter().collect()), values);
        assert!(successes.get(0).expect("is there").result.is_none() && successes.get(5).is_none());
    }

    #[test]
    fn what_is_too_large_is_not_taken() {
        let mut successes = Successes::default();
        assert!(!successes.push(success(&"12345"), 6));
        assert!(successes.push(success(&"1234"), 6));
        assert_eq!((successes.len(), successes.get(0).expect("is there").result), (1, Some("\"1234\"")));
    }
}
