//! `include`: more files, which hold jobs only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use super::draft::{Draft, Reader};
use super::field::{Field, fields};
use super::problem::{Problem, Problems, Report, place_of, shown};
use super::{Context, DaemonConfig, Job, JobName, after, syntax, telling};

const HELP: &str = "write patterns of files, `include = [\"jobs.d/*.toml\"]`";

/// The most files that are included.
const MAX_FILES: usize = 10_000;

/// An included file.
pub(super) struct Included {
    /// As messages name it.
    path: PathBuf,
    bytes: Vec<u8>,
}

/// An included file that is TOML, or what keeps it from being so.
pub(super) type Document<'i> = (&'i Path, Result<(&'i str, Spanned<DeTable<'i>>), Problems>);

/// Where each job is defined: the file, its text and the byte in it. A line is counted only for a message, since to count one
/// for each of ten thousand jobs would read the text as often.
type Defined<'d> = BTreeMap<&'d str, (&'d Path, &'d str, usize)>;

/// Reads the files that `include` names, sorted, each once.
pub(super) fn read(root: &DeTable<'_>, source: &str, context: &Context, report: &mut Report) -> Vec<Included> {
    let Some(value) = root.get("include") else { return Vec::new() };
    let field = Field { name: "include", value, source };
    let Some(array) = field.as_array() else {
        field.wrong_type("an array of patterns", HELP, report);
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for value in array {
        let item = field.with(value);
        let Some(pattern) = item.filled(HELP, report) else { continue };
        match (context.matches)(&context.base, pattern) {
            Ok(found) if found.is_empty() && !pattern.contains(['*', '?', '[']) => {
                report.push(Problem::error(item.span(), format!("`include`: there is no file `{}`", shown(pattern))).help(HELP));
            }
            Ok(found) => paths.extend(found),
            Err(reason) => report.push(Problem::error(item.span(), format!("`include`: {reason}")).help(HELP)),
        }
    }
    paths.sort();
    paths.dedup();
    if paths.len() > MAX_FILES {
        report.error(field.span(), format!("`include` names {} files; at most {MAX_FILES} are allowed", paths.len()));
        return Vec::new();
    }
    let mut files = Vec::new();
    for path in paths {
        match (context.files)(&path) {
            Ok(bytes) => files.push(Included { path: named(&path, context), bytes }),
            Err(reason) => report.error(field.span(), format!("`include`: {reason}")),
        }
    }
    files
}

/// The path as the user would write it: beside the main file, as that was written.
fn named(path: &Path, context: &Context) -> PathBuf {
    match (path.strip_prefix(&context.base), context.path.parent()) {
        (Ok(inside), Some(directory)) => directory.join(inside),
        _ => path.to_owned(),
    }
}

pub(super) fn document(file: &Included) -> Document<'_> {
    let Included { path, bytes } = file;
    let text = match syntax::text(bytes) {
        Ok(text) => text,
        Err(refused) => return (path, Err(Problems::new(path, refused.0, vec![refused.1]))),
    };
    let (root, problems) = syntax::parse(text);
    if problems.is_empty() { (path, Ok((text, root))) } else { (path, Err(Problems::new(path, text.as_bytes(), problems))) }
}

/// Notes where the jobs of a table are defined; a name that is taken is a problem.
fn define<'d>(path: &'d Path, source: &'d str, root: &'d DeTable<'_>, defined: &mut Defined<'d>, report: &mut Report) {
    let Some(jobs) = root.get("jobs").and_then(|jobs| jobs.get_ref().as_table()) else { return };
    for (name, span, _) in fields(jobs) {
        match defined.get(name) {
            Some((path, source, start)) => {
                let first = place_of(path, source, *start);
                let problem = Problem::error(span, format!("the job `{}` is defined twice", shown(name)));
                report.push(problem.help(format!("it is defined at {first} already: keep one")));
            }
            None => drop(defined.insert(name, (path, source, span.start))),
        }
    }
}

impl<'a> Reader<'a> {
    /// Adds the jobs of the included files, and looks at what names other jobs.
    pub(super) fn include(
        &mut self,
        root: &'a DeTable<'a>,
        documents: &[Document<'_>],
        daemon: &DaemonConfig,
        defaults: &Draft<'a>,
        jobs: &mut BTreeMap<JobName, Arc<Job>>,
    ) -> Vec<Problems> {
        let mut defined = Defined::new();
        define(&self.context.path, self.source, root, &mut defined, &mut self.report);
        let mut readers = Vec::new();
        for (path, document) in documents {
            let mut reader = Reader::new(document.as_ref().map_or("", |(source, _)| *source), self.context);
            if let Ok((source, root)) = document {
                define(path, source, root.get_ref(), &mut defined, &mut reader.report);
                jobs.extend(reader.included(root.get_ref(), daemon, defaults));
            }
            readers.push((path, document, reader));
        }
        let known = defined.keys().copied().collect();
        let channels = telling::channels(root);
        after::check(&self.after, jobs, &known, &mut self.report);
        telling::check(&self.told, &channels, &mut self.report);
        let told = readers.into_iter().map(|(path, document, mut reader)| {
            after::check(&reader.after, jobs, &known, &mut reader.report);
            telling::check(&reader.told, &channels, &mut reader.report);
            document.as_ref().map_or_else(Clone::clone, |(source, _)| reader.report.into_problems(path, source.as_bytes()))
        });
        told.collect()
    }

    /// The jobs of an included file.
    fn included(&mut self, root: &'a DeTable<'a>, daemon: &DaemonConfig, defaults: &Draft<'_>) -> BTreeMap<JobName, Arc<Job>> {
        let source = self.source;
        for (key, span, _) in fields(root).into_iter().filter(|(key, ..)| *key != "jobs") {
            let problem = Problem::error(span, format!("`{}` cannot stand in an included file, which has jobs only", shown(key)));
            self.report.push(problem.help("move it to the file that includes this one, or write `[jobs.NAME]`"));
        }
        match root.get("jobs") {
            Some(value) => self.jobs(Field { name: "jobs", value, source }, daemon, defaults),
            None => BTreeMap::new(),
        }
    }
}
