//! `batchd man`: the manual, one page a command, and one for `jobs.toml`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::arguments::Arguments;
use super::{Exit, Failure, Screen};
use crate::config::{Key, Kind, SECTIONS, TOP};

/// The page of the file.
const FILE_PAGE: &str = "jobs.toml";

/// The arguments of `batchd man`.
#[derive(Clone, Debug, clap::Args)]
pub struct ManArgs {
    /// The page: a command, or jobs.toml [default: that of batchd itself]
    #[arg(value_name = "PAGE", conflicts_with = "dir")]
    pub page: Option<String>,
    /// Write all pages into this directory, such as /usr/local/share/man
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

pub(super) fn man(args: &ManArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let pages = pages()?;
    if let Some(dir) = &args.dir {
        for (name, section, page) in &pages {
            write(&dir.join(format!("man{section}")), &format!("{name}.{section}"), page)?;
        }
        let note = format!("{} pages are in `{}`; `man -M {} batchd` shows the first", pages.len(), dir.display(), dir.display());
        screen.note(super::escape::escape(&note))?;
        return Ok(Exit::Done);
    }
    let wanted = match args.page.as_deref() {
        None | Some("batchd") => "batchd".to_owned(),
        Some(FILE_PAGE) => FILE_PAGE.to_owned(),
        Some(command) => format!("batchd-{command}"),
    };
    let Some((_, _, page)) = pages.iter().find(|(name, ..)| *name == wanted) else {
        return Err(Failure::NoPage(args.page.clone().unwrap_or_default()));
    };
    screen.line(page)?;
    Ok(Exit::Done)
}

fn write(directory: &Path, name: &str, page: &str) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make `{}`", directory.display()))?;
    let path = directory.join(name);
    fs::write(&path, page).with_context(|| format!("cannot write `{}`", path.display()))
}

/// Every page: its name, its section, its text.
fn pages() -> anyhow::Result<Vec<(String, u8, String)>> {
    let mut command = Arguments::command();
    command.build();
    let mut pages = Vec::new();
    push_pages(&command, "batchd", &mut pages)?;
    pages.push((FILE_PAGE.to_owned(), 5, file_page()));
    Ok(pages)
}

fn push_pages(command: &clap::Command, name: &str, pages: &mut Vec<(String, u8, String)>) -> anyhow::Result<()> {
    let page = command.clone().disable_help_subcommand(true).name(name.to_owned());
    let mut text = Vec::new();
    let source = concat!("batchd ", env!("CARGO_PKG_VERSION"));
    Man::new(page).title(name.to_uppercase()).source(source).manual("batchd").render(&mut text)?;
    pages.push((name.to_owned(), 1, String::from_utf8_lossy(&text).into_owned()));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        push_pages(sub, &format!("{name}-{}", sub.get_name()), pages)?;
    }
    Ok(())
}

/// jobs.toml(5), of the same table as the JSON Schema.
fn file_page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["JOBS.TOML", "5", " ", concat!("batchd ", env!("CARGO_PKG_VERSION")), "batchd"]);
    page.control("SH", ["NAME"]);
    page.text([roman("jobs.toml - what batchd runs, when, and on what")]);
    page.control("SH", ["DESCRIPTION"]);
    let about = "A file in TOML. Every key is optional unless marked. Durations are texts such as \"90s\" and \"1h 30m\", sizes such as \"5MiB\". \
                 Relative paths are relative to the file. batchd check reports every problem of it at once.";
    page.text([roman(about)]);
    push_keys(TOP, "", &mut page);
    for section in SECTIONS {
        let header = match section.name {
            "jobs" | "notify" => format!("[{}.NAME]", section.name),
            name => format!("[{name}]"),
        };
        page.control("SH", [header.as_str()]);
        page.text([roman(section.meaning)]);
        // The keys of the defaults are those of a job.
        if section.name != "defaults" {
            push_keys(section.keys, "", &mut page);
        }
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("batchd"), roman("(1), "), bold("batchd-check"), roman("(1), "), bold("batchd-schema"), roman("(1)")]);
    page.to_roff()
}

fn push_keys(keys: &[Key], table: &str, page: &mut Roff) {
    for key in keys {
        push_key(key, table, page);
    }
}

fn push_key(key: &Key, table: &str, page: &mut Roff) {
    let name = format!("{table}{}", key.name);
    page.control("TP", []);
    let mut head: Vec<Inline> = vec![bold(&name), roman(format!(" = {}", shape(&key.kind)))];
    if !key.default.is_empty() {
        head.push(roman(format!("    [default: {}]", key.default)));
    }
    page.text(head);
    page.text([roman(key.meaning)]);
    let inner: &[Key] = match key.kind {
        Kind::Table(keys) => keys,
        Kind::OneOf(kinds) => {
            kinds.iter().find_map(|kind| if let Kind::Table(keys) = kind { Some(*keys) } else { None }).unwrap_or_default()
        }
        _ => &[],
    };
    push_keys(inner, &format!("{name}."), page);
}

/// A type in words.
fn shape(kind: &Kind) -> String {
    match kind {
        Kind::Text => "\"…\"".to_owned(),
        Kind::Flag => "true | false".to_owned(),
        Kind::Integer { least, most } => format!("{least} … {most}"),
        Kind::Number { least, most } => format!("{least:?} … {most:?}"),
        Kind::Duration => "\"DURATION\"".to_owned(),
        Kind::Size => "\"SIZE\"".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" | "),
        Kind::Texts => "[\"…\", …]".to_owned(),
        Kind::Integers { least, most } => format!("[{least} … {most}, …]"),
        Kind::Names => "{ NAME = \"…\" }".to_owned(),
        Kind::AnyTable | Kind::Table(_) => "{ … }".to_owned(),
        Kind::List(kind) => format!("[{}, …]", shape(kind)),
        Kind::OneOf(kinds) => kinds.iter().map(shape).collect::<Vec<_>>().join(" | "),
    }
}
