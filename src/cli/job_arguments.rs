//! The options of `batchd run JOB` and `batchd trigger JOB` that the job itself has: its `args`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::escape::escape;
use crate::config::{Args, Argument, ArgumentKind, Job};

/// The commands that take a job's own options.
const COMMANDS: [&str; 2] = ["run", "trigger"];

/// The options of these commands that are followed by a value.
const VALUED: [&str; 4] = ["--config", "--color", "--target", "--nominal"];

/// The words of a command line that say which job it is about, found before the options of that job are known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    pub(super) config: Option<&'a Path>,
    /// One of them names the job; the others may be values of its options.
    pub(super) words: Vec<&'a str>,
}

/// Looks for a command that takes a job's own options.
pub(super) fn asked(line: &[OsString]) -> Option<Asked<'_>> {
    let (mut config, mut words) = (None, Vec::new());
    let mut rest = line.iter().skip(1).map(OsString::as_os_str);
    while let Some(word) = rest.next() {
        match word.to_str() {
            Some("--config") => config = rest.next().map(Path::new),
            Some(option) if VALUED.contains(&option) => drop(rest.next()),
            Some(option) if option.starts_with("--config=") => config = option.strip_prefix("--config=").map(Path::new),
            Some(option) if option.starts_with('-') => {}
            Some(word) => words.push(word),
            None => {}
        }
    }
    (!words.is_empty() && COMMANDS.contains(&words.remove(0))).then_some(Asked { config, words })
}

/// Adds the options of the job.
pub(super) fn with_options(command: Command, job: &Job) -> Command {
    COMMANDS.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            let heading = format!("Arguments of {}", escape(&job.name));
            job.args.iter().fold(command, |command, (name, argument)| command.arg(option(name, argument).help_heading(heading.clone())))
        })
    })
}

/// The values that were given, as text.
pub(super) fn given(matches: &ArgMatches, job: &Job) -> Args {
    let Some((_, matches)) = matches.subcommand().filter(|(name, _)| COMMANDS.contains(name)) else { return Args::new() };
    let value = |name: &String| Some((name.clone(), matches.get_one::<String>(&id(name))?.as_str().into()));
    job.args.keys().filter_map(value).collect()
}

/// Not that of an option of the command.
fn id(name: &str) -> String {
    format!("args.{name}")
}

fn option(name: &str, argument: &Argument) -> Arg {
    let default = match &argument.default {
        Some(default) => format!("[default: {}]", escape(default)),
        None => "[required]".to_owned(),
    };
    let choices = match &argument.kind {
        ArgumentKind::Choice(choices) => format!(" [possible values: {}]", escape(&choices.join(", "))),
        _ => String::new(),
    };
    let help = argument.help.as_deref().map(|help| format!("{} ", escape(help))).unwrap_or_default();
    let option = Arg::new(id(name)).long(name.to_owned()).help(format!("{help}{default}{choices}")).action(ArgAction::Set);
    let option = option.value_name(argument.kind.name().to_uppercase()).allow_negative_numbers(true);
    if argument.kind == ArgumentKind::Flag { option.num_args(0..=1).require_equals(true).default_missing_value("true") } else { option }
}

/// The file that is meant where the line names none.
pub(super) fn from_environment() -> Option<OsString> {
    std::env::var_os(OsStr::new("BATCHD_CONFIG"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Arguments;
    use crate::config::args::RESERVED;

    #[test]
    fn the_words_that_may_name_the_job_are_found() {
        for (line, config, words) in [
            ("batchd run a --date b", None, Some(&["a", "b"][..])),
            ("batchd --config c.toml run --target t a", Some("c.toml"), Some(&["a"])),
            ("batchd trigger --full a --config=d.toml", Some("d.toml"), Some(&["a"])),
            ("batchd show a", None, None),
            ("batchd", None, None),
        ] {
            let line: Vec<OsString> = line.split(' ').map(Into::into).collect();
            let expected = words.map(|words| Asked { config: config.map(Path::new), words: words.to_vec() });
            assert_eq!(asked(&line), expected, "{line:?}");
        }
    }

    #[test]
    fn no_argument_can_hide_an_option() {
        for name in COMMANDS {
            let mut command = Arguments::command();
            command.build();
            let command = command.find_subcommand(name).expect("a command");
            for option in command.get_arguments().filter_map(Arg::get_long) {
                assert!(RESERVED.contains(&option), "`--{option}` of `{name}` could be hidden");
            }
        }
    }
}
