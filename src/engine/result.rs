//! What a gather in this process gets of each partial.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Outcome;

/// How a partial ended: what a gather command reads as a line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartialResult {
    /// The position of its target, from 0.
    pub index: u32,
    /// Its target, a string or an object; null in a run without targets.
    pub target: Value,
    pub outcome: Outcome,
    /// How many attempts there were.
    pub attempts: u32,
    /// When the last attempt started.
    pub started: Timestamp,
    pub ended: Timestamp,
    /// How long the last attempt took.
    pub duration_ms: f64,
    /// What it returned; null for nothing.
    pub result: Value,
    /// Why it failed.
    pub error: Option<String>,
}

impl PartialResult {
    pub fn is_success(&self) -> bool {
        self.outcome == Outcome::Succeeded
    }
}
