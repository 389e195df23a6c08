//! What a Rust handler of the embedding program says of itself, as data: its name, its arguments, and whether it lists targets.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use super::draft::Draft;
use super::field::Field;
use super::problem::{Problem, Report, nearest, shown};
use super::{Argument, Gather, Source, Targets, args};

/// The handler that every daemon has.
const BUILT_IN_HANDLER: &str = "echo";

/// A handler that jobs can name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredHandler {
    pub name: String,
    /// A job may give them other defaults and help, and adds none of its own where there are any.
    pub args: BTreeMap<String, Argument>,
    /// It lists the targets of a job that names none, and gathers the results of a job without a gather command.
    pub is_batch: bool,
}

impl DeclaredHandler {
    /// A handler without arguments.
    pub fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Reports arguments that no job could be told.
    pub(super) fn check(&self, span: &Range<usize>, report: &mut Report) {
        for (name, argument) in &self.args {
            if let Err(reason) = args::check_declared(name, argument) {
                let problem = Problem::error(span.clone(), format!("the handler `{}` declares an argument {reason}", self.name));
                report.push(problem.help("this is to be mended in the program that registers the handler"));
            }
        }
    }
}

/// The handler that a job names.
pub(super) fn find<'h>(field: Field<'_>, registered: &'h [DeclaredHandler], report: &mut Report) -> Option<&'h DeclaredHandler> {
    static ECHO: LazyLock<DeclaredHandler> = LazyLock::new(|| DeclaredHandler::plain(BUILT_IN_HANDLER));
    let name = field.filled("name a handler that the embedding program registered", report)?;
    if let Some(declared) = registered.iter().chain([&*ECHO]).find(|known| known.name == name) {
        declared.check(&field.span(), report);
        return Some(declared);
    }
    let known = || registered.iter().map(|known| known.name.as_str()).chain([BUILT_IN_HANDLER]);
    let help = match nearest(name, known()) {
        Some(near) => format!("did you mean \"{}\"?", shown(near)),
        None => format!("registered are: {}; to start a program use `command`", known().take(20).map(shown).collect::<Vec<_>>().join(", ")),
    };
    report.push(Problem::error(field.span(), format!("unknown handler \"{}\" in `handler`", shown(name))).help(help));
    None
}

/// The targets of a job: its own, or those that its handler lists.
pub(super) fn targets(draft: &Draft<'_>) -> Targets {
    let is_batch = draft.declared.is_some_and(|declared| declared.is_batch);
    match &draft.targets {
        Some(targets) => targets.clone(),
        None if is_batch && draft.written.targets.is_none() => Targets::Source(Arc::new(Source::of_handler())),
        None => Targets::None,
    }
}

/// What gathers the results of a job: its own command, its handler, or the command of the defaults.
pub(super) fn gather(draft: &Draft<'_>, defaults: &Draft<'_>) -> Option<Gather> {
    let is_batch = draft.declared.is_some_and(|declared| declared.is_batch);
    match (&draft.gather, is_batch) {
        (Some(argv), _) => Some(Gather::Command(argv.clone())),
        (None, true) => Some(Gather::Handler),
        (None, false) => defaults.gather.clone().map(Gather::Command),
    }
}
