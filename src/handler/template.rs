//! Templates of argv, scripts and environment values, rendered with the values of an attempt.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, Serde, Value};
use minijinja::{AutoEscape, Environment, Output, State, UndefinedBehavior};

use super::Attempt;

/// What templates see. Made when the first template asks: most arguments are plain text.
#[derive(Debug)]
pub(super) struct Values<'a> {
    attempt: &'a Attempt,
    made: OnceCell<Value>,
}

/// A template that cannot be rendered with the values of this attempt.
#[derive(Debug, thiserror::Error)]
#[error("cannot render `{template}`: {message}")]
pub(super) struct TemplateError {
    template: String,
    message: String,
}

static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(strict);

/// Inserts every value as one quoted word.
static SHELL: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = strict();
    environment.set_formatter(quoted);
    environment
});

impl<'a> Values<'a> {
    pub(super) fn new(attempt: &'a Attempt) -> Self {
        Self { attempt, made: OnceCell::new() }
    }

    fn value(&self) -> &Value {
        self.made.get_or_init(|| {
            let run = &self.attempt.run;
            let nominal = run.nominal.to_zoned_datetime(run.job.timetable.zone.rules.clone());
            minijinja::context! {
                job => &*run.job.name,
                run => &*run.id.0,
                nominal => Value::from_object(Nominal(nominal)),
                target => self.attempt.target().map_or(Value::UNDEFINED, |target| Value::from(Serde(&target.value))),
                env => Value::from(Serde(&run.job.process.env)),
                attempt => self.attempt.number(),
            }
        })
    }
}

/// Renders a template as it stands.
pub(super) fn render<'a>(template: &'a str, values: &Values<'_>) -> Result<Cow<'a, str>, TemplateError> {
    render_with(&PLAIN, template, values)
}

/// Renders a template of a shell script: each value is one quoted word.
pub(super) fn render_shell<'a>(template: &'a str, values: &Values<'_>) -> Result<Cow<'a, str>, TemplateError> {
    render_with(&SHELL, template, values)
}

fn render_with<'a>(environment: &Environment<'_>, template: &'a str, values: &Values<'_>) -> Result<Cow<'a, str>, TemplateError> {
    if !template.contains('{') {
        return Ok(Cow::Borrowed(template));
    }
    let rendered = environment.render_str(template, values.value());
    rendered.map(Cow::Owned).map_err(|error| TemplateError { template: template.to_owned(), message: error.to_string() })
}

fn strict() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().expect("only whitespace is configured"));
    environment
}

fn quoted(output: &mut Output<'_>, _state: &mut State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    if value.is_undefined() {
        return Err(minijinja::ErrorKind::UndefinedError.into());
    }
    let word = value.to_string().replace('\'', r"'\''");
    write!(output, "'{word}'").map_err(minijinja::Error::from)
}

/// `{{ nominal }}` is RFC 3339; `{{ nominal.date }}` and the like are its parts in the job's zone.
#[derive(Debug)]
struct Nominal(jiff::ZonedDateTime);

impl Object for Nominal {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let format = match key.as_str()? {
            "date" => "%Y-%m-%d",
            "time" => "%H:%M:%S",
            "year" => "%Y",
            "month" => "%m",
            "day" => "%d",
            "hour" => "%H",
            "minute" => "%M",
            "unix" => "%s",
            _ => return None,
        };
        Some(Value::from(self.0.strftime(format).to_string()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%S%.f%:z"))
    }
}
