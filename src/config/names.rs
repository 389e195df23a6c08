//! Names of jobs, channels and files.

use super::field::Field;
use super::problem::{Problem, Report, is_unprintable, shown};

/// The longest name of a job, in characters.
const MAX_NAME: usize = 64;

/// Names are letters, digits, `_ - .` of any script, and begin with a letter or digit.
pub(super) fn bad_name(noun: &str, name: &str, span: std::ops::Range<usize>) -> Option<Problem> {
    let length = name.chars().count();
    let allowed = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.');
    let reason = if name.is_empty() {
        "is empty".to_owned()
    } else if length > MAX_NAME {
        format!("is too long: {length} characters, at most {MAX_NAME} are allowed")
    } else if name.contains(is_unprintable) {
        "contains a control or invisible character".to_owned()
    } else if let Some(character) = name.chars().find(|character| !allowed(*character)) {
        format!("contains `{character}`")
    } else if !name.starts_with(char::is_alphanumeric) {
        format!("begins with `{}`", name.chars().next().unwrap_or_default())
    } else {
        return None;
    };
    let problem = Problem::error(span, format!("the {noun} name \"{}\" {reason}", shown(name)));
    Some(problem.help("names are letters, digits, `_`, `-` and `.`, begin with a letter or digit, and have at most 64 characters"))
}

pub(super) fn file_name(field: Field<'_>, report: &mut Report) -> Option<String> {
    let name = field.filled("name a file such as \"batch.log\"", report)?;
    if name.contains('/') || name.contains(is_unprintable) || matches!(name, "." | "..") {
        let problem =
            Problem::error(field.span(), format!("`{}` must be a file name without a directory, found \"{}\"", field.name, shown(name)));
        report.push(problem.help("the directory goes to `dir`"));
        return None;
    }
    Some(name.to_owned())
}
