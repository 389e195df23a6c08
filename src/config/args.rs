//! `args`: what a run of a job can be told by hand, and what it takes where nothing is said.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;

use super::field::{Field, fields};
use super::keys::unknown_in;
use super::problem::{Problem, Report, nearest, shown};
use super::template::{self, TemplateError, Values};
use super::{DeclaredHandler, Job, template_check};

/// The most arguments of a job.
const MAX_ARGUMENTS: usize = 100;

/// The longest name, in bytes.
const MAX_NAME: usize = 64;

/// The longest value, in bytes.
pub const MAX_VALUE: usize = 64 << 10;

/// What the options of `batchd run` and `batchd trigger` are called, which an argument would hide.
pub const RESERVED: [&str; 9] = ["target", "nominal", "wait", "json", "help", "version", "config", "color", "verbose"];

const KEYS: &[&str] = &["type", "default", "help", "choices"];

/// The values of a run: texts, numbers and truth values, by the names of the arguments.
pub type Args = BTreeMap<String, Value>;

/// An argument of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub kind: ArgumentKind,
    /// A template; `None`: it has to be given by hand.
    pub default: Option<String>,
    pub help: Option<String>,
}

/// What an argument may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    Text,
    Integer,
    Number,
    Flag,
    /// A day such as `2026-01-31`.
    Date,
    Choice(Vec<String>),
}

/// Why a run cannot have the arguments it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgError {
    #[error("job `{job}` has no argument `{}`: {}", shown(name), listed(known))]
    Unknown { job: String, name: String, known: Vec<String> },
    #[error("argument `{name}` cannot be {}: allowed is {allowed}", shown(found))]
    Wrong { name: String, found: String, allowed: String },
    #[error("argument `{name}` is missing and has no default: give {allowed} with `--{name}`")]
    Missing { name: String, allowed: String },
    #[error("argument `{name}` has a default that cannot be used for this run: {reason}")]
    Default { name: String, reason: String },
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { "it has none".to_owned() } else { format!("it has `{}`", known.join("`, `")) }
}

impl ArgumentKind {
    /// As `type` names it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "int",
            Self::Number => "float",
            Self::Flag => "bool",
            Self::Date => "date",
            Self::Choice(_) => "choice",
        }
    }

    /// Its name with what can be chosen: for messages that compare two.
    fn described(&self) -> String {
        match self {
            Self::Choice(choices) => format!("choice of {}", choices.iter().map(|choice| shown(choice)).collect::<Vec<_>>().join(", ")),
            kind => kind.name().to_owned(),
        }
    }

    /// What is allowed, in words.
    pub fn allowed(&self) -> String {
        match self {
            Self::Text => format!("a text of at most {MAX_VALUE} bytes without NUL"),
            Self::Integer => "a whole number, of 64 bits".to_owned(),
            Self::Number => "a finite number".to_owned(),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Date => "a date such as 2026-01-31".to_owned(),
            Self::Choice(choices) => format!("one of `{}`", choices.iter().map(|choice| shown(choice)).collect::<Vec<_>>().join("`, `")),
        }
    }

    /// The value that a text stands for.
    fn read(&self, text: &str) -> Option<Value> {
        match self {
            Self::Text => (text.len() <= MAX_VALUE && !text.contains('\0')).then(|| text.into()),
            Self::Integer => text.parse::<i64>().ok().map(Value::from),
            Self::Number => text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
            Self::Flag => text.parse::<bool>().ok().map(Value::Bool),
            Self::Date => (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten().map(|date| date.to_string().into()),
            Self::Choice(choices) => choices.iter().find(|choice| *choice == text).map(|choice| choice.as_str().into()),
        }
    }

    /// A value that is never wrong, to try templates out with.
    fn sample(&self) -> Value {
        match self {
            Self::Text => "text".into(),
            Self::Integer => 1.into(),
            Self::Number => 1.5.into(),
            Self::Flag => true.into(),
            Self::Date => "2026-01-31".into(),
            Self::Choice(choices) => choices.first().map_or("text", String::as_str).into(),
        }
    }
}

impl Job {
    /// The values of a run that is made for the nominal time: those that are `given`, checked, and the defaults of the others.
    ///
    /// # Errors
    /// [`ArgError`] for the first that is unknown, wrong or missing.
    pub fn args(&self, given: &Args, nominal: Timestamp) -> Result<Arc<Args>, ArgError> {
        let mut checked = Args::new();
        for (name, value) in given {
            let argument = self.args.get(name).ok_or_else(|| ArgError::Unknown {
                job: self.name.to_string(),
                name: name.clone(),
                known: self.args.keys().cloned().collect(),
            })?;
            checked.insert(name.clone(), check(name, argument, value)?);
        }
        for (name, argument) in self.args.iter().filter(|(name, _)| !given.contains_key(*name)) {
            checked.insert(name.clone(), self.default_of(name, argument, nominal)?);
        }
        Ok(Arc::new(checked))
    }

    /// The values of a run that nobody is there to hear an error of: those `recorded`, and the defaults of the others. What cannot
    /// be had is left out, and the attempts say so.
    pub fn args_left(&self, recorded: &Args, nominal: Timestamp) -> Arc<Args> {
        let mut values = recorded.clone();
        for (name, argument) in self.args.iter().filter(|(name, _)| !recorded.contains_key(*name)) {
            values.extend(self.default_of(name, argument, nominal).ok().map(|value| (name.clone(), value)));
        }
        Arc::new(values)
    }

    fn default_of(&self, name: &str, argument: &Argument, nominal: Timestamp) -> Result<Value, ArgError> {
        let missing = || ArgError::Missing { name: name.to_owned(), allowed: argument.kind.allowed() };
        let default = argument.default.as_ref().ok_or_else(missing)?;
        let zone = self.timetable.zone.rules.clone();
        let values = Values { job: Arc::clone(&self.name), ..Values::of_nominal(nominal.to_zoned_datetime(zone)) };
        rendered(default, &argument.kind, &values).map_err(|reason| ArgError::Default { name: name.to_owned(), reason })
    }
}

/// The environment variable of an argument.
pub fn variable(name: &str) -> String {
    format!("BATCHD_ARG_{}", in_template(name).to_uppercase())
}

/// What an argument is called in templates, where `-` subtracts.
pub fn in_template(name: &str) -> String {
    name.replace('-', "_")
}

/// A value as a program reads it.
pub fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Values to try the templates of a job out with.
pub(super) fn samples(arguments: &BTreeMap<String, Argument>) -> Args {
    arguments.iter().map(|(name, argument)| (name.clone(), argument.kind.sample())).collect()
}

/// A value that was given, as a text or as its type; as a text of the command line, which knows no other.
fn check(name: &str, argument: &Argument, value: &Value) -> Result<Value, ArgError> {
    let read = match value {
        Value::String(_) | Value::Number(_) | Value::Bool(_) => argument.kind.read(&text_of(value)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let wrong = || ArgError::Wrong { name: name.to_owned(), found: value.to_string(), allowed: argument.kind.allowed() };
    read.ok_or_else(wrong)
}

fn rendered(default: &str, kind: &ArgumentKind, values: &Values) -> Result<Value, String> {
    let text = template::render(default, values).map_err(|error: TemplateError| error.to_string())?;
    kind.read(&text).ok_or_else(|| format!("it is `{}`, allowed is {}", shown(&text), kind.allowed()))
}

/// The `args` of a job or of the defaults. Those that the job's handler declares are of its types, and without others beside them.
pub(super) fn read(field: Field<'_>, handler: Option<&DeclaredHandler>, report: &mut Report) -> BTreeMap<String, Argument> {
    let mut arguments: BTreeMap<String, Argument> = BTreeMap::new();
    let Some(table) = field.table("{ date = { default = \"{{ nominal.date }}\", help = \"the day to report\" } }", report) else {
        return arguments;
    };
    if table.len() > MAX_ARGUMENTS {
        report.error(field.span(), format!("`args` has {} arguments, at most {MAX_ARGUMENTS} are allowed", table.len()));
    }
    let mut variables: BTreeMap<String, &str> = BTreeMap::new();
    for (name, span, value) in fields(table) {
        if let Some(problem) = bad_name(name, span.clone()) {
            report.push(problem);
            continue;
        }
        if let Some(other) = variables.insert(variable(name), name) {
            let problem = Problem::error(span, format!("the arguments `{other}` and `{name}` are the same in the environment"));
            report.push(problem.help(format!("both would be `{}`: rename one of them", variable(name))));
            continue;
        }
        let full = format!("args.{name}");
        let declared = handler.and_then(|handler| handler.args.get(name));
        if let Some(handler) = handler.filter(|handler| declared.is_none() && !handler.args.is_empty()) {
            let known = listed(&handler.args.keys().cloned().collect::<Vec<_>>());
            let problem = Problem::error(span, format!("the handler `{}` declares no argument `{name}`: {known}", shown(&handler.name)));
            report.push(match nearest(name, handler.args.keys().map(String::as_str)) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem,
            });
            continue;
        }
        if let Some(argument) = argument(Field { name: &full, value, source: field.source }, declared, report) {
            arguments.insert(name.to_owned(), argument);
        }
    }
    arguments
}

/// Reports arguments without a default in a job that also runs by itself.
pub(super) fn check_scheduled(
    own: Option<Field<'_>>,
    arguments: &BTreeMap<String, Argument>,
    at: &std::ops::Range<usize>,
    report: &mut Report,
) {
    for (name, _) in arguments.iter().filter(|(_, argument)| argument.default.is_none()) {
        let written = own.and_then(|field| field.as_table()?.get(name.as_str()).map(toml::Spanned::span));
        let problem = Problem::error(
            written.unwrap_or_else(|| at.clone()),
            format!("the argument `{name}` has no default, but the job runs by itself"),
        );
        report.push(problem.help("add `default = …`, or write `schedule = \"manual\"` for a job that is only run by hand"));
    }
}

fn bad_name(name: &str, span: std::ops::Range<usize>) -> Option<Problem> {
    let is_allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.chars().all(is_allowed) || name.len() > MAX_NAME {
        let problem = Problem::error(span, format!("`{}` cannot be the name of an argument", shown(name)));
        return Some(problem.help(format!("allowed are letters, digits, `_` and `-`, first a letter, at most {MAX_NAME}")));
    }
    RESERVED.contains(&name.to_ascii_lowercase().as_str()).then(|| {
        let problem = Problem::error(span, format!("the argument `{name}` has the name of an option of `batchd run` or `batchd trigger`"));
        problem.help(format!("rename it; these are taken: {}", RESERVED.join(", ")))
    })
}

/// `declared`: what the handler says of it, which the file may give another default and help.
fn argument(field: Field<'_>, declared: Option<&Argument>, report: &mut Report) -> Option<Argument> {
    let table = field.table("{ type = \"date\", default = \"{{ nominal.date }}\" }", report)?;
    let (mut kind, mut choices, mut default, mut help, mut usable) = (None, None, None, None, true);
    for (key, span, value) in fields(table) {
        let name = format!("{}.{key}", field.name);
        let inner = Field { name: &name, value, source: field.source };
        match key {
            "type" => {
                kind = kind_of(inner, report);
                usable &= kind.is_some();
            }
            "choices" => {
                choices = read_choices(inner, report).map(|list| (list, span));
                usable &= choices.is_some();
            }
            "default" => default = Some(value),
            "help" => help = inner.text("say in quotes what it is for", report).map(str::to_owned),
            _ => unknown_in(field.name, KEYS, key, span, report),
        }
    }
    let kind = match (kind, choices) {
        _ if !usable => return None,
        (Some(ArgumentKind::Choice(_)), None) => {
            let problem = Problem::error(field.span(), format!("`{}` is a choice without `choices`", field.name));
            report.push(problem.help("add `choices = [\"a\", \"b\"]`"));
            return None;
        }
        (None | Some(ArgumentKind::Choice(_)), Some((choices, _))) => ArgumentKind::Choice(choices),
        (Some(kind), Some((_, span))) => {
            let problem = Problem::error(span, format!("`{}` has `choices`, which a {} does not have", field.name, kind.name()));
            report.push(problem.help("write `type = \"choice\"`, or leave `choices` out"));
            return None;
        }
        (Some(kind), None) => kind,
        (None, None) => declared.map_or(ArgumentKind::Text, |declared| declared.kind.clone()),
    };
    if let Some(declared) = declared.filter(|declared| declared.kind != kind) {
        let (is, found) = (declared.kind.described(), kind.described());
        report
            .error(field.span(), format!("`{}` is of type {is} in the handler, found {found}: leave `type` and `choices` out", field.name));
        return None;
    }
    let name = format!("{}.default", field.name);
    let default = match default {
        Some(value) => Some(read_default(Field { name: &name, value, source: field.source }, &kind, report)?),
        None => declared.and_then(|declared| declared.default.clone()),
    };
    let help = help.or_else(|| declared.and_then(|declared| declared.help.clone()));
    Some(Argument { kind, default, help })
}

/// Why no job could be told an argument that a handler declares, if none could.
pub(super) fn check_declared(name: &str, argument: &Argument) -> Result<(), String> {
    if let Some(problem) = bad_name(name, 0..0) {
        return Err(format!("that is refused: {}", problem.message));
    }
    if matches!(&argument.kind, ArgumentKind::Choice(choices) if choices.is_empty()) {
        return Err(format!("`{name}` with nothing to choose from"));
    }
    let Some(default) = &argument.default else { return Ok(()) };
    let values = Values::empty();
    rendered(default, &argument.kind, &values)
        .map(drop)
        .map_err(|reason| format!("`{name}` whose default is no {}: {reason}", argument.kind.name()))
}

fn kind_of(field: Field<'_>, report: &mut Report) -> Option<ArgumentKind> {
    let kinds = [("string", 0), ("int", 1), ("float", 2), ("bool", 3), ("date", 4), ("choice", 5)];
    Some(match field.choice(&kinds, report)? {
        0 => ArgumentKind::Text,
        1 => ArgumentKind::Integer,
        2 => ArgumentKind::Number,
        3 => ArgumentKind::Flag,
        4 => ArgumentKind::Date,
        _ => ArgumentKind::Choice(Vec::new()),
    })
}

fn read_choices(field: Field<'_>, report: &mut Report) -> Option<Vec<String>> {
    const HELP: &str = "write a list of texts, such as [\"fast\", \"full\"]";
    let Some(array) = field.as_array().filter(|array| !array.is_empty()) else {
        field.wrong_type("a list of texts", HELP, report);
        return None;
    };
    array.iter().map(|value| field.with(value).filled(HELP, report).map(str::to_owned)).collect()
}

/// The default as a template: a text as it stands, a number or truth value as its text.
fn read_default(field: Field<'_>, kind: &ArgumentKind, report: &mut Report) -> Option<String> {
    use toml::de::DeValue;
    let text = match field.value.get_ref() {
        DeValue::String(_) => field.text("write it in quotes", report)?.to_owned(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        _ => {
            field.wrong_type(&kind.allowed(), "or a template that renders to it, such as \"{{ nominal.date }}\"", report);
            return None;
        }
    };
    let before = report.list.len();
    template_check::default(field, report);
    if report.list.len() > before {
        return None;
    }
    let values = Values::empty();
    if let Err(reason) = rendered(&text, kind, &values) {
        report.push(Problem::error(field.span(), format!("`{}` is no {}: {reason}", field.name, kind.name())));
        return None;
    }
    Some(text)
}
