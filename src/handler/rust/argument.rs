//! What a handler can be told, declared in Rust: the counterpart of a job's `args`.

use crate::config::{Argument, ArgumentKind};

/// An argument of a handler.
///
/// ```
/// use batchd::handler::Arg;
///
/// let args = [
///     Arg::date("day").default("{{ nominal.date }}").help("the day to report"),
///     Arg::choice("size", ["small", "large"]).default("small"),
///     Arg::flag("dry-run").default(false),
///     Arg::integer("shop").help("only this one"), // without a default: it has to be given
/// ];
/// # assert_eq!(args.len(), 4);
/// ```
///
/// `batchd run JOB --day 2026-01-31 --dry-run` sets them, as the API does and, in [`Trial`](super::Trial), a test. A job may give
/// them other defaults and help with its own `args`, and a scheduled job must where there is no default.
#[derive(Clone, Debug)]
pub struct Arg {
    pub(crate) name: String,
    pub(crate) argument: Argument,
}

impl Arg {
    /// A text of at most 64 KiB; a [`String`] in the handler.
    pub fn text(name: &str) -> Self {
        Self::new(name, ArgumentKind::Text)
    }

    /// A whole number; an [`i64`] or a smaller type in the handler.
    pub fn integer(name: &str) -> Self {
        Self::new(name, ArgumentKind::Integer)
    }

    /// A finite number; an [`f64`] in the handler.
    pub fn number(name: &str) -> Self {
        Self::new(name, ArgumentKind::Number)
    }

    /// True or false; a [`bool`] in the handler. `--name` alone is true.
    pub fn flag(name: &str) -> Self {
        Self::new(name, ArgumentKind::Flag)
    }

    /// A day; a [`jiff::civil::Date`] or a [`String`] in the handler.
    pub fn date(name: &str) -> Self {
        Self::new(name, ArgumentKind::Date)
    }

    /// One of these; a [`String`], or an enum that serde reads, in the handler.
    pub fn choice<C: Into<String>>(name: &str, choices: impl IntoIterator<Item = C>) -> Self {
        Self::new(name, ArgumentKind::Choice(choices.into_iter().map(Into::into).collect()))
    }

    fn new(name: &str, kind: ArgumentKind) -> Self {
        Self { name: name.to_owned(), argument: Argument { kind, default: None, help: None } }
    }

    /// What it is where nothing is said: a value, or a template such as `{{ nominal.date }}`.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a value reads better than a reference to one")]
    pub fn default(mut self, value: impl ToString) -> Self {
        self.argument.default = Some(value.to_string());
        self
    }

    /// A line for `batchd run JOB --help`.
    #[must_use]
    pub fn help(mut self, help: &str) -> Self {
        self.argument.help = Some(help.to_owned());
        self
    }
}
