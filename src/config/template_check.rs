//! Templates are checked at load: syntax, every name and field, and the quotes around values in a script.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use minijinja::{Environment, ErrorKind};

use super::args::{in_template, samples};
use super::draft::Draft;
use super::field::Field;
use super::problem::{Problem, Report, nearest, shown};
use super::template::{Credentials, NOMINAL_FIELDS, ROOTS, Values, environment, reason};
use super::{Argument, Format, Origin, Process, Source, Target, TargetValue, Targets};

/// The most targets whose fields are compared; what a later one lacks is found when it runs.
const MAX_COMPARED: usize = 10_000;

/// The function that only the environment and headers know.
const CREDENTIAL: &str = "credential";

/// As the headers of a channel are named here, whose templates know nothing but credentials.
pub(super) const CHANNEL_HEADERS: &str = "notify.headers";

/// Keeps the places of errors, which rendering does without.
static CHECKING: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = environment();
    environment.set_debug(true);
    environment
});

/// What the templates of a job can name besides its targets.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) process: &'a Process,
    pub(super) args: &'a BTreeMap<String, Argument>,
}

/// No arguments.
pub(super) static NO_ARGS: BTreeMap<String, Argument> = BTreeMap::new();

/// What `target` is in the templates of a job.
pub(super) enum Shape {
    /// The run has no targets, or the template runs once for all of them.
    None,
    Text(Target),
    /// The first target, and the fields that every target has.
    Table(Target, BTreeSet<String>),
    /// `targets`: what a process works on at once.
    Chunk,
    /// The targets have problems of their own.
    Unknown,
}

impl Shape {
    pub(super) fn of(targets: &Targets) -> Self {
        match targets {
            Targets::Source(source) => return Self::of_source(source),
            Targets::None => return Self::None,
            _ => {}
        }
        let Some(first) = targets.get(0) else { return Self::None };
        let TargetValue::Table(table) = &first.value else { return Self::Text(first) };
        let mut fields: BTreeSet<String> = table.keys().cloned().collect();
        if let Targets::List(list) = targets {
            for target in list.iter().skip(1).take(MAX_COMPARED) {
                if let TargetValue::Table(table) = &target.value {
                    fields.retain(|field| table.contains_key(field));
                }
            }
        }
        Self::Table(first, fields)
    }

    /// Which fields the targets have is not known before they are read.
    fn of_source(source: &Source) -> Self {
        match source.origin {
            Origin::Handler => Self::Unknown,
            _ if source.format == Format::Lines => Self::Text(Target::text("target")),
            _ => Self::Unknown,
        }
    }
}

/// Checks the templates of a job's handler, of its gather command and of its environment.
pub(super) fn work(draft: &Draft<'_>, shape: &Shape, scope: Scope<'_>, report: &mut Report) {
    if let Some(field) = draft.written.work.filter(|field| field.name != "handler") {
        if field.name == "http" { request(field, "http.headers", shape, scope, report) } else { each(field, shape, scope, report) }
    }
    if let Some(field) = draft.written.gather {
        each(field, &Shape::None, scope, report);
    }
    if let Some(field) = draft.written.targets {
        source(field, scope, report);
    }
    if let Some(field) = draft.written.env {
        env(field, shape, scope, report);
    }
}

/// Checks the values of an `env` table.
pub(super) fn env(field: Field<'_>, shape: &Shape, scope: Scope<'_>, report: &mut Report) {
    for value in field.as_table().into_iter().flat_map(|table| table.values()) {
        check(field.with(value), shape, scope, report);
    }
}

/// Checks the default of an argument.
pub(super) fn default(field: Field<'_>, report: &mut Report) {
    check(field, &Shape::None, Scope { process: &Process::default(), args: &NO_ARGS }, report);
}

fn is_default(field: Field<'_>) -> bool {
    field.name.starts_with("args.")
}

/// Checks the templates of a table that says where the targets are.
fn source(field: Field<'_>, scope: Scope<'_>, report: &mut Report) {
    for (key, name) in [("file", "targets.file"), ("glob", "targets.glob"), ("command", "targets.command")] {
        if let Some(value) = field.as_table().and_then(|table| table.get(key)) {
            each(Field { name, value, ..field }, &Shape::None, scope, report);
        }
    }
    if let Some(value) = field.as_table().and_then(|table| table.get("http")) {
        request(Field { name: "targets.http", value, ..field }, "targets.http.headers", &Shape::None, scope, report);
    }
}

/// Checks the templates of a request; what is no part of its address may hold credentials.
fn request(field: Field<'_>, hidden: &str, shape: &Shape, scope: Scope<'_>, report: &mut Report) {
    let Some(table) = field.as_table() else { return each(field, shape, scope, report) };
    for (key, value) in table {
        let name = if matches!(key.get_ref().as_ref(), "headers" | "body") { hidden } else { field.name };
        each(Field { name, value, ..field }, shape, scope, report);
    }
}

/// Whether a credential in it is seen only by those that it is for.
fn is_hidden(field: Field<'_>) -> bool {
    field.name == "env" || field.name.ends_with(".headers")
}

/// Checks every string of a value, however deep.
pub(super) fn each(field: Field<'_>, shape: &Shape, scope: Scope<'_>, report: &mut Report) {
    if let Some(array) = field.as_array() {
        array.iter().for_each(|value| each(field.with(value), shape, scope, report));
    } else if let Some(table) = field.as_table() {
        table.values().for_each(|value| each(field.with(value), shape, scope, report));
    } else {
        check(field, shape, scope, report);
    }
}

fn check(field: Field<'_>, shape: &Shape, scope: Scope<'_>, report: &mut Report) {
    let Some(text) = field.as_str().filter(|text| text.contains("{{") || text.contains("{%") || text.contains("{#")) else { return };
    if !is_default(field) && report.checked_templates.contains(text) {
        return;
    }
    let environment = &*CHECKING;
    let template = match environment.template_from_str(text) {
        Ok(template) => template,
        Err(error) => {
            let at = field.inside(error.range().unwrap_or(0..text.len()));
            let problem = Problem::error(at, format!("`{}` has a template that is not valid: {}", field.name, shown(&reason(&error))));
            return report.push(problem.help("a value is inserted with `{{ name }}`; a literal `{{` is written `{{ '{{' }}`"));
        }
    };
    if field.name == "shell" {
        check_quotes(field, text, report);
    }
    let mut paths: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    paths.sort();
    let before = report.list.len();
    for path in &paths {
        if environment.globals().all(|(name, _)| name != path) {
            check_path(field, text, path, shape, scope, report);
        }
    }
    if report.list.len() == before && !matches!(shape, Shape::Unknown | Shape::Chunk) {
        try_out(field, text, environment, &paths, shape, scope, report);
    }
    let depends_on_job = paths.iter().any(|path| ["target", "env", "args", CREDENTIAL].iter().any(|root| path.starts_with(root)));
    if report.list.len() == before && field.name != "shell" && !depends_on_job {
        report.checked_templates.insert(text.to_owned());
    }
}

/// One name with its fields, such as `target.id`.
fn check_path(field: Field<'_>, text: &str, path: &str, shape: &Shape, scope: Scope<'_>, report: &mut Report) {
    let mut parts = path.split('.');
    let (root, part) = (parts.next().unwrap_or_default(), parts.next());
    let (message, help) = match (root, part) {
        (root, _) if is_default(field) && !["job", "nominal"].contains(&root) => {
            (format!("`{}` has no value in a default", shown(root)), Some("a default can name `job` and `nominal`".to_owned()))
        }
        ("args", _) if scope.args.is_empty() => (
            "`args` has no value: the job has no `args`".to_owned(),
            Some("add `args = { date = { default = \"{{ nominal.date }}\" } }`".to_owned()),
        ),
        ("args", Some(part)) if !scope.args.keys().any(|name| in_template(name) == part) => {
            let known: Vec<String> = scope.args.keys().map(|name| in_template(name)).collect();
            (format!("`args.{}` is no argument of this job", shown(part)), Some(one_of(part, known.iter().map(String::as_str))))
        }
        ("target", _) if matches!(shape, Shape::Chunk) => (
            "`target` has no value with `chunk`: a process works on several".to_owned(),
            Some("write `{{ targets }}`, or `{% for target in targets %}…{% endfor %}`".to_owned()),
        ),
        ("targets", None) if matches!(shape, Shape::Chunk) => return,
        ("targets", _) => {
            ("`targets` has a value with `chunk` only, and is a list then".to_owned(), Some("write `{{ target }}`".to_owned()))
        }
        (CREDENTIAL, None) if is_hidden(field) => return,
        (CREDENTIAL, _) if is_hidden(field) => {
            (format!("`{CREDENTIAL}` is a function"), Some(format!("write `{{{{ {CREDENTIAL}(\"name\") }}}}`")))
        }
        (root, _) if field.name == CHANNEL_HEADERS => (
            format!("`{}` has no value in the headers of a channel", shown(root)),
            Some(format!("they can hold `{{{{ {CREDENTIAL}(\"name\") }}}}`, and nothing else")),
        ),
        (CREDENTIAL, _) if field.name.ends_with("http") => (
            "a credential in a URL is written to the logs of servers".to_owned(),
            Some(format!("send it in a header: `headers = {{ Authorization = 'Bearer {{{{ {CREDENTIAL}(\"name\") }}}}' }}`")),
        ),
        (CREDENTIAL, _) => (
            "a credential in arguments is seen by everybody who lists the processes of the machine".to_owned(),
            Some(format!("set it in `env = {{ SECRET = '{{{{ {CREDENTIAL}(\"name\") }}}}' }}`, and read the variable")),
        ),
        ("target", _) if matches!(shape, Shape::None) && field.name == "gather" => {
            ("`target` has no value in `gather`, which runs once for all targets".to_owned(), None)
        }
        ("target", _) if field.name.starts_with("targets.") => {
            (format!("`target` has no value in `{}`, which is read before there are targets", field.name), None)
        }
        ("target", _) if matches!(shape, Shape::None) => {
            ("`target` has no value: the job has no `targets`".to_owned(), Some("add `targets = [\"a\", \"b\"]`".to_owned()))
        }
        ("target", Some(part)) => match shape {
            Shape::Text(_) => {
                (format!("`target.{}` does not exist: the targets are strings", shown(part)), Some("write `{{ target }}`".to_owned()))
            }
            Shape::Table(_, fields) if !fields.contains(part) => {
                let known = || fields.iter().map(String::as_str);
                (format!("`target.{}` is not a field of every target", shown(part)), Some(one_of(part, known())))
            }
            _ => return,
        },
        ("nominal", Some(part)) if !NOMINAL_FIELDS.contains(&part) => {
            (format!("`nominal.{}` does not exist", shown(part)), Some(one_of(part, NOMINAL_FIELDS)))
        }
        ("env", Some(part)) if !may_have(scope, part) => {
            let known = scope.process.env.keys().chain(&scope.process.inherit_env).map(String::as_str);
            (format!("`env.{}` is not set by this job", shown(part)), Some(one_of(part, known)))
        }
        ("job" | "run" | "attempt" | "index" | "count", Some(part)) => {
            (format!("`{root}.{}` does not exist: `{root}` is a single value", shown(part)), Some(format!("write `{{{{ {root} }}}}`")))
        }
        (root, _) if ROOTS.contains(&root) => return,
        (root, _) => (format!("undefined name `{}` in a template", shown(root)), Some(one_of(root, ROOTS))),
    };
    let problem = Problem::error(field.inside(find(text, path)), format!("`{}`: {message}", field.name));
    report.push(Problem { help, ..problem });
}

fn may_have(scope: Scope<'_>, name: &str) -> bool {
    scope.process.env_file.is_some() || scope.process.env.contains_key(name) || scope.process.inherit_env.iter().any(|known| known == name)
}

fn one_of<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(near) => format!("did you mean `{}`?", shown(near)),
        None => format!("known are: {}", known.into_iter().take(20).map(shown).collect::<Vec<_>>().join(", ")),
    }
}

/// Where the path stands in the template, as a whole word inside of a tag.
fn find(text: &str, path: &str) -> Range<usize> {
    let in_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let in_tag = |at: usize| text[..at].rfind("{{").max(text[..at].rfind("{%")) > text[..at].rfind("}}").max(text[..at].rfind("%}"));
    let bytes = text.as_bytes();
    let whole = |at: usize| !in_word(at.checked_sub(1).and_then(|before| bytes.get(before))) && !in_word(bytes.get(at + path.len()));
    let found = text.match_indices(path).map(|(at, _)| at).find(|at| whole(*at) && in_tag(*at));
    found.map_or(0..text.len(), |at| at..at + path.len())
}

/// Renders once with the first target: filters, tests and functions are looked up only then.
fn try_out(
    field: Field<'_>,
    text: &str,
    environment: &Environment<'_>,
    paths: &[String],
    shape: &Shape,
    scope: Scope<'_>,
    report: &mut Report,
) {
    let mut env = scope.process.env.clone();
    for name in paths.iter().filter_map(|path| path.strip_prefix("env.")) {
        env.entry(name.to_owned()).or_default();
    }
    let target = match shape {
        Shape::Text(target) | Shape::Table(target, _) => Some(target.clone()),
        Shape::None | Shape::Unknown | Shape::Chunk => None,
    };
    let nominal = jiff::Timestamp::UNIX_EPOCH.to_zoned_datetime(jiff::tz::TimeZone::UTC);
    // Any text will do, and one of digits for most filters.
    let credentials = is_hidden(field).then(|| Credentials(Arc::new(|_| Some("12345678".to_owned()))));
    let values = Values {
        job: "job".into(),
        run: "run".into(),
        nominal,
        target,
        targets: None,
        args: Arc::new(samples(scope.args)),
        env: Arc::new(env),
        attempt: 1,
        index: 0,
        count: 1,
        credentials,
    };
    let Err(error) = environment.render_str(text, minijinja::Value::from_object(values)) else { return };
    let at = field.inside(error.range().unwrap_or(0..text.len()));
    let known_only_then = matches!(error.kind(), ErrorKind::UndefinedError) && scope.process.env_file.is_some();
    if !known_only_then {
        report.error(at, format!("`{}` has a template that cannot be rendered: {}", field.name, shown(&reason(&error))));
    }
}

/// A value is inserted as a quoted word: inside of further quotes these would end it, and the shell would read the value.
fn check_quotes(field: Field<'_>, text: &str, report: &mut Report) {
    let (mut quote, mut rest) = (None, text);
    while let Some(character) = rest.chars().next() {
        let at = text.len() - rest.len();
        let tag = ["{{", "{%", "{#"].into_iter().find(|tag| rest.starts_with(tag));
        if let Some(tag) = tag {
            let close = match tag {
                "{{" => "}}",
                "{%" => "%}",
                _ => "#}",
            };
            let length = rest.find(close).map_or(rest.len(), |end| end + close.len());
            if let (Some(quote), "{{") = (quote, tag) {
                let problem = Problem::error(field.inside(at..at + length), format!("`shell` inserts a value inside of {quote} quotes"));
                report.push(problem.help("values are inserted as quoted words: remove the quotes around it, as in: echo {{ target }}.zst"));
            }
            rest = &rest[length..];
            continue;
        }
        let mut length = character.len_utf8();
        quote = match (quote, character) {
            (None, '\'' | '"') => Some(character),
            (Some(open), close) if open == close => None,
            (Some('\''), _) => quote,
            (_, '\\') => {
                length += rest[1..].chars().next().map_or(0, char::len_utf8);
                quote
            }
            _ => quote,
        };
        rest = &rest[length..];
    }
}
