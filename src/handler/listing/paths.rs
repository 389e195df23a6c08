//! Paths that match a pattern, sorted.

use std::path::Path;

use glob::{MatchOptions, Pattern};

use super::{Fault, Place, Take, fit_key};
use crate::config::Target;

/// As a shell matches: `*` stops at `/` and does not see hidden names.
const AS_A_SHELL: MatchOptions = MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A relative pattern begins at `base`. Its paths stay relative where the processes of the job start there too, `directory`.
pub(super) fn read(pattern: &str, base: &Path, directory: &Path, take: &mut Take) -> Result<(), Fault> {
    let is_relative = !pattern.starts_with('/');
    let whole = if is_relative {
        let base = base.to_str().ok_or_else(|| Fault::whole("the directory of the configuration file is not UTF-8"))?;
        format!("{}/{pattern}", Pattern::escape(base.trim_end_matches('/')))
    } else {
        pattern.to_owned()
    };
    let paths = glob::glob_with(&whole, AS_A_SHELL).map_err(|error| Fault::whole(&format_args!("it is no pattern: {}", error.msg)))?;
    for (number, path) in (1..).zip(paths) {
        let path = path.map_err(|error| Fault::whole(&format_args!("cannot read `{}`: {}", error.path().display(), error.error())))?;
        let path = if is_relative && base == directory { path.strip_prefix(base).unwrap_or(&path) } else { &path };
        let at = |problem: String| Place { noun: "path", number }.fault(problem);
        let text = path.to_str().ok_or_else(|| at(format!("`{}` is not UTF-8", path.display())))?;
        fit_key(text).map_err(at)?;
        take(Target::text(text), Place { noun: "path", number })?;
    }
    Ok(())
}
