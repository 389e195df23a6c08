//! `targets` from elsewhere: a file, a glob, a command or a Rust handler, read anew for each run when it begins.

use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::draft::argv;
use super::field::{Field, fields};
use super::keys::unknown_in;
use super::problem::{Problem, Report, shown};
use super::targets::range;
use super::{HttpWork, Targets, http};

/// Where the targets of a run are read, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub origin: Origin,
    /// Of what has one.
    pub format: Format,
    /// Of JSON: the names and numbers that lead to the array; empty where it is the whole.
    pub pointer: Box<[String]>,
    /// The field that identifies a table; `id`, then `name` unless configured.
    pub key: Option<Arc<str>>,
    pub on_empty: OnEmpty,
}

impl Source {
    /// What the job's own handler lists.
    pub(crate) fn of_handler() -> Self {
        Self { origin: Origin::Handler, format: Format::Lines, pointer: Box::default(), key: None, on_empty: OnEmpty::Succeed }
    }
}

/// What is read. The texts are templates, which see the run and its nominal time; paths are relative to the directory of the
/// configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File(String),
    /// A pattern of paths; each that matches is a target.
    Glob(String),
    /// An argv, whose stdout is read.
    Command(Vec<String>),
    /// A request, whose answer is read.
    Http(Arc<HttpWork>),
    /// What the job's own handler lists.
    Handler,
}

/// How targets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A text a line.
    Lines,
    /// A header row, then a row a target; separated by commas, fields in quotes where they need them.
    Csv,
    /// The same, separated by tabs.
    Tsv,
    /// A text or object a line.
    JsonLines,
    /// An array of texts or objects.
    Json,
}

impl Format {
    const NAMES: [(&'static str, Self); 5] =
        [("lines", Self::Lines), ("csv", Self::Csv), ("tsv", Self::Tsv), ("jsonl", Self::JsonLines), ("json", Self::Json)];

    /// By the ending of a file's name.
    fn of(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "txt" => Some(Self::Lines),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// What becomes of a run whose source lists nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnEmpty {
    /// It has nothing to do, and has succeeded.
    #[default]
    Succeed,
    Fail,
}

const KEYS: &[&str] = &["range", "file", "glob", "command", "http", "format", "pointer", "on_empty"];

const HELP: &str = "write a list such as [\"a\", \"b\"], or one of { range = \"0..10\" }, { file = \"shops.csv\" }, { glob = \"incoming/*.csv\" }, { command = [\"…\"] } and { http = \"https://…\" }";

/// A table that says where the targets are.
pub(super) fn read(field: Field<'_>, table: &DeTable<'_>, target_key: Option<&str>, report: &mut Report) -> Option<Targets> {
    let mut draft = SourceDraft::default();
    let before = report.list.len();
    for (key, span, value) in fields(table) {
        let name = format!("targets.{key}");
        draft.read(key, span, Field { name: &name, value, source: field.source }, report);
    }
    if let [first, again, ..] = draft.origins.as_slice() {
        let problem = Problem::error(again.clone(), "`targets` names two sources: keep one");
        report.push(problem.also(first.clone(), "the first is here"));
    } else if draft.origins.is_empty() && report.list.len() == before {
        report.push(Problem::error(field.span(), "`targets` names no source of targets").help(HELP));
    }
    draft.build(field, target_key, report)
}

#[derive(Default)]
struct SourceDraft {
    /// Where the keys stand that name a source.
    origins: Vec<Range<usize>>,
    range: Option<Targets>,
    file: Option<String>,
    glob: Option<String>,
    command: Option<Vec<String>>,
    http: Option<HttpWork>,
    pointer: Option<(Range<usize>, Vec<String>)>,
    format: Option<(Range<usize>, Format)>,
    on_empty: Option<(Range<usize>, OnEmpty)>,
}

impl SourceDraft {
    fn read(&mut self, key: &str, span: Range<usize>, field: Field<'_>, report: &mut Report) {
        const ON_EMPTY: &[(&str, OnEmpty)] = &[("succeed", OnEmpty::Succeed), ("fail", OnEmpty::Fail)];
        if matches!(key, "range" | "file" | "glob" | "command" | "http") {
            self.origins.push(span.clone());
        }
        match key {
            "range" => self.range = range(field, report),
            "file" => self.file = field.filled("name a file such as \"shops.csv\"", report).map(str::to_owned),
            "glob" => self.glob = glob(field, report),
            "command" => self.command = argv(field, report),
            "format" => self.format = field.choice(&Format::NAMES, report).map(|format| (span, format)),
            "on_empty" => self.on_empty = field.choice(ON_EMPTY, report).map(|choice| (span, choice)),
            "http" if field.as_str().is_some() => self.http = http::read_url(field, report).map(HttpWork::get),
            "http" => self.http = http::read(field, report),
            "pointer" => self.pointer = pointer(field, report).map(|pointer| (span, pointer)),
            key => unknown_in("targets", KEYS, key, span, report),
        }
    }

    fn build(self, field: Field<'_>, target_key: Option<&str>, report: &mut Report) -> Option<Targets> {
        let Self { range, file, glob, command, http, format, pointer, on_empty, .. } = self;
        if let Some(range) = range {
            for span in [format.map(|(span, _)| span), on_empty.map(|(span, _)| span), pointer.map(|(span, _)| span)].into_iter().flatten()
            {
                report.error(span, "a range is never empty and has no format: leave this out");
            }
            return Some(range);
        }
        if let (Some(_), Some((span, _))) = (&glob, &format) {
            report.error(span.clone(), "a glob lists paths, which have no format: leave this out");
        }
        let format = format.map(|(_, format)| format);
        let (origin, format) = match (file, glob, command, http) {
            (Some(path), ..) => {
                let format = format.or_else(|| Format::of(&path));
                if format.is_none() {
                    let problem =
                        Problem::error(field.span(), format!("the ending of \"{}\" does not say how it is written", shown(&path)));
                    report.push(problem.help("add `format = \"lines\"`, \"csv\", \"tsv\", \"jsonl\" or \"json\""));
                }
                (Origin::File(path), format?)
            }
            (_, Some(pattern), ..) => (Origin::Glob(pattern), Format::Lines),
            (_, _, Some(argv), _) => (Origin::Command(argv), format.unwrap_or(Format::Lines)),
            (.., Some(work)) => {
                let path = work.url.split(['?', '#']).next().and_then(Format::of);
                (Origin::Http(Arc::new(work)), format.or(path).unwrap_or(Format::Json))
            }
            (None, None, None, None) => return None,
        };
        if let Some((span, _)) = pointer.as_ref().filter(|_| format != Format::Json) {
            let problem = Problem::error(span.clone(), "`targets.pointer` is for JSON, which these targets are not");
            report.push(problem.help("leave it out, or add `format = \"json\"`"));
        }
        let pointer = pointer.map(|(_, pointer)| pointer.into()).unwrap_or_default();
        let on_empty = on_empty.map(|(_, choice)| choice).unwrap_or_default();
        Some(Targets::Source(Arc::new(Source { origin, format, pointer, key: target_key.map(Into::into), on_empty })))
    }
}

/// A JSON pointer (RFC 6901) to the array: `/data/items`.
fn pointer(field: Field<'_>, report: &mut Report) -> Option<Vec<String>> {
    const HELP: &str = "write a JSON pointer such as \"/items\", or leave it out where the whole is the array";
    let text = field.filled(HELP, report)?;
    let Some(path) = text.strip_prefix('/') else {
        report.push(Problem::error(field.span(), format!("`{}` does not begin with `/`: \"{}\"", field.name, shown(text))).help(HELP));
        return None;
    };
    Some(path.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect())
}

/// A pattern, which is looked at as it will be when its templates are filled in.
fn glob(field: Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.filled("write a pattern such as \"incoming/*.csv\"", report)?;
    if text.contains('{') {
        return Some(text.to_owned());
    }
    if let Err(error) = ::glob::Pattern::new(text) {
        let problem = Problem::error(field.inside(error.pos..error.pos + 1), format!("`{}` is no pattern: {}", field.name, error.msg));
        report.push(problem.help("`*` and `?` stand for characters of a name, `[ab]` for one of several, `**` for any directories"));
        return None;
    }
    Some(text.to_owned())
}
