//! Where systemd's units are, with their drop-ins.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::{Exit, Failure, Screen};
use crate::daemon::source;
use crate::exchange::systemd::{self, Machine, Timer};

/// Where systemd looks, what counts more first.
const DIRECTORIES: [&str; 5] =
    ["etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// The arguments of `batchd import systemd`.
#[derive(Clone, Debug, clap::Args)]
pub struct SystemdArgs {
    /// Timers by name, or files of such
    #[arg(value_name = "UNIT", required = true)]
    pub units: Vec<String>,
    /// Look for units below this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Print JSON: the file, the names of its jobs and the findings
    #[arg(long)]
    pub json: bool,
}

pub(super) fn import(args: &SystemdArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let timers = args.units.iter().map(|unit| timer(unit, &args.root)).collect::<Result<Vec<_>, _>>()?;
    super::say(&systemd::import(&timers, Machine { home: &super::home }), args.json, screen)
}

/// A timer by its name, that of its service, or its file.
fn timer(unit: &str, root: &Path) -> Result<Timer, Failure> {
    let path = Path::new(unit);
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let file = path.file_name().map_or(unit.to_owned(), |name| name.to_string_lossy().into_owned());
    let name = format!("{}.timer", file.strip_suffix(".timer").or_else(|| file.strip_suffix(".service")).unwrap_or(&file));
    let text = match beside {
        Some(_) => text(&source::read(path)?),
        None => find(&name, root).ok_or_else(|| Failure::NoUnit(name.clone()))?,
    };
    let started = systemd::started_by(&name, &text);
    let service = beside.and_then(|beside| source::read(&beside.join(&started)).ok()).map(|bytes| self::text(&bytes));
    Ok(Timer { service: service.or_else(|| find(&started, root)), name, text })
}

/// A unit, or the template of an instance, with its drop-ins behind it.
pub(in crate::cli) fn find(name: &str, root: &Path) -> Option<String> {
    let names: Vec<String> = std::iter::once(name.to_owned()).chain(template(name)).collect();
    let paths = names.iter().flat_map(|name| DIRECTORIES.map(|directory| root.join(directory).join(name)));
    // A masked unit is a link to /dev/null, which is no file.
    let mut whole = paths.into_iter().find_map(|path| source::read(&path).ok()).map(|bytes| text(&bytes))?;
    let mut drop_ins: Vec<PathBuf> = Vec::new();
    for name in names.iter().rev() {
        for directory in DIRECTORIES {
            let Ok(entries) = fs::read_dir(root.join(directory).join(format!("{name}.d"))) else { continue };
            let paths = entries
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .filter(|path| path.extension().is_some_and(|found| found == "conf"));
            // A file of the same name in a directory that counts more hides this one.
            let fresh: Vec<PathBuf> = paths.filter(|path| !drop_ins.iter().any(|known| known.file_name() == path.file_name())).collect();
            drop_ins.extend(fresh);
        }
    }
    drop_ins.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    for path in drop_ins {
        whole.push('\n');
        whole.push_str(&source::read(&path).ok().map(|bytes| text(&bytes)).unwrap_or_default());
    }
    Some(whole)
}

/// `dump@.timer` for `dump@orders.timer`.
fn template(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let (_, kind) = rest.rsplit_once('.')?;
    Some(format!("{prefix}@.{kind}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
