//! `after`: jobs that run when others have succeeded. Names are checked when all jobs of the file are known.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::field::Field;
use super::problem::{Problem, Report, nearest, shown};
use super::{Job, JobName};

const HELP: &str = "name jobs of this file: `after = [\"extract\"]`";

/// A name in an `after` list, and its place.
pub(super) type Named = (JobName, Range<usize>);

/// The names of a list, each once.
pub(super) fn read(field: Field<'_>, report: &mut Report) -> Option<Vec<Named>> {
    let Some(array) = field.as_array() else {
        let help = field.as_str().map_or_else(|| HELP.to_owned(), |name| format!("write `after = [\"{}\"]`", shown(name)));
        field.wrong_type("an array of names of jobs", &help, report);
        return None;
    };
    if array.is_empty() {
        report.push(Problem::error(field.span(), "`after` is an empty list").help(HELP));
        return None;
    }
    let mut names: Vec<Named> = Vec::with_capacity(array.len());
    for value in array {
        let item = field.with(value);
        let Some(name) = item.filled(HELP, report) else { continue };
        match names.iter().find(|(earlier, _)| **earlier == *name) {
            Some((_, earlier)) => {
                let problem = Problem::error(item.span(), format!("`after` names \"{}\" twice", shown(name)));
                report.push(problem.also(earlier.clone(), "the first is here"));
            }
            None => names.push((name.into(), item.span())),
        }
    }
    Some(names)
}

/// Reports names that are no jobs, and jobs that would wait for themselves. `known`: the names of all jobs of the file, usable
/// or not.
pub(super) fn check(lists: &[(JobName, Vec<Named>)], jobs: &BTreeMap<JobName, Arc<Job>>, known: &BTreeSet<&str>, report: &mut Report) {
    for (job, names) in lists {
        for (name, span) in names {
            if !known.contains(&**name) {
                let help = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean \"{}\"?", shown(near)),
                    None => HELP.to_owned(),
                };
                report.push(Problem::error(span.clone(), format!("`after` names no job: \"{}\"", shown(name))).help(help));
            } else if leads_to(jobs, name, job) {
                let circle = if name == job { "itself" } else { "a job that runs after it" };
                let problem = Problem::error(span.clone(), format!("`{}` would wait for {circle}: it could never run", shown(job)));
                report.push(problem.help("leave one of the names out of the circle"));
            }
        }
    }
}

/// Whether `from` runs after `to`, over any number of jobs, or is the same.
fn leads_to(jobs: &BTreeMap<JobName, Arc<Job>>, from: &JobName, to: &JobName) -> bool {
    let mut seen = BTreeSet::new();
    let mut ahead = vec![from];
    while let Some(name) = ahead.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            ahead.extend(jobs.get(name).into_iter().flat_map(|job| job.after.iter()));
        }
    }
    false
}
