//! What a job would find in its environment, without a start: the very code of a start, told in words.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use nix::unistd::Uid;

use super::account::Account;
use super::environment::{self, Origin};
use super::{Attempt, Part, ResultFiles};
use crate::config::{Args, Job, Target};
use crate::engine::{Cause, RunId, RunInfo, RunKey};

/// What of an environment may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// With secrets replaced.
    Redacted,
    Whole,
}

/// Whose inherited variables are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherited {
    /// Those of this process.
    FromHere,
    /// Those with which the process of this number was started.
    From(u32),
}

/// The variables of the first attempt of a run by hand, for the partial at `index`, by name. Text that is not UTF-8 is replaced.
///
/// # Errors
/// What an attempt would say that cannot start.
pub fn environment_of(
    job: &Arc<Job>,
    nominal: Timestamp,
    partial: (u32, Option<Target>),
    state_dir: &Path,
    inherited: Inherited,
    shown: Shown,
) -> Result<BTreeMap<String, String>, Box<dyn std::error::Error + Send + Sync>> {
    let origin = match inherited {
        Inherited::FromHere => Origin::Own,
        Inherited::From(pid) => of_process(pid)?,
    };
    let (index, target) = partial;
    let run = RunInfo {
        key: RunKey(0),
        id: RunId::new(&job.name, Cause::Manual, nominal),
        job: Arc::clone(job),
        cause: Cause::Manual,
        nominal,
        fired: nominal,
        targets: job.targets.of_run(),
        args: job.args_left(&Args::new(), nominal),
    };
    let attempt = Attempt { run: Arc::new(run), part: Part::Partial { index, attempt: 1, target, others: Vec::new() }, until: None };
    let account = Account::for_daemon_of(origin.uid(), &job.process)?;
    let path = ResultFiles::new(state_dir).path(&attempt, account.as_ref());
    let built = environment::build(&attempt, &path, account.as_ref(), &origin)?;
    let text = |text: &OsStr| text.to_string_lossy().into_owned();
    let value = |value: &OsStr| match shown {
        Shown::Redacted => built.secrets.redact(&text(value)).into_owned(),
        Shown::Whole => text(value),
    };
    Ok(built.variables.iter().map(|(name, found)| (text(name), value(found))).collect())
}

/// The user of a process, and the variables that it was started with.
fn of_process(pid: u32) -> std::io::Result<Origin> {
    let path = format!("/proc/{pid}/environ");
    let uid = Uid::from_raw(fs::metadata(&path)?.uid());
    let text = fs::read(path)?;
    let variables = text.split(|byte| *byte == 0).filter_map(|variable| {
        let at = variable.iter().position(|byte| *byte == b'=')?;
        Some((owned(&variable[..at]), owned(&variable[at + 1..])))
    });
    Ok(Origin::Other { uid, variables: variables.collect() })
}

fn owned(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}
