//! A target a line; blank lines are none.

use std::io::{BufRead, Read};

use super::{Fault, MAX_ROW, Place, Take, fit_key};
use crate::config::Target;

pub(super) fn read(input: impl BufRead, take: &mut Take) -> Result<(), Fault> {
    each_line(input, |line, number| {
        fit_key(line).map_err(|problem| Place { noun: "line", number }.fault(problem))?;
        take(Target::text(line), Place { noun: "line", number })
    })
}

/// Hands over every line that is not blank, without its end, and its number.
pub(super) fn each_line(mut input: impl BufRead, mut take: impl FnMut(&str, u64) -> Result<(), Fault>) -> Result<(), Fault> {
    const BYTE_ORDER_MARK: &str = "\u{feff}";
    let mut line = Vec::new();
    for number in 1.. {
        let at = |problem: String| Place { noun: "line", number }.fault(problem);
        line.clear();
        if input.by_ref().take(MAX_ROW as u64 + 1).read_until(b'\n', &mut line).map_err(|error| at(error.to_string()))? == 0 {
            break;
        }
        if line.len() > MAX_ROW {
            return Err(at(format!("it is longer than {MAX_ROW} bytes")));
        }
        let text = std::str::from_utf8(&line).map_err(|_| at("it is not UTF-8".to_owned()))?;
        let text = if number == 1 { text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text) } else { text };
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.trim().is_empty() {
            take(text, number)?;
        }
    }
    Ok(())
}
