//! `batchd init`: a first `jobs.toml`, and what a service needs. Asks nothing, and replaces nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use anyhow::{Context as _, bail};
use nix::unistd::Group;

use super::escape::escape;
use super::{Exit, Failure, Global, Screen};
use crate::config;

const STARTER: &str = include_str!("init/jobs.toml");
const SERVICE_SETTINGS: &str = include_str!("init/service.toml");
const UNIT: &str = include_str!("../../systemd/batchd.service");
const SYSUSERS: &str = "u batchd - \"batchd, a cron-style batch daemon\" /var/lib/batchd /usr/sbin/nologin\n";

/// The file that the first line of a starter names, for editors.
const SCHEMA_FILE: &str = "jobs.schema.json";

/// Where the unit expects the program.
const PROGRAM: &str = "/usr/bin/batchd";

/// The group that reads the configuration of the service.
const GROUP: &str = "batchd";

/// The arguments of `batchd init`.
#[derive(Clone, Debug, clap::Args)]
pub struct InitArgs {
    /// Set up a service: unit, user, /etc/batchd/jobs.toml
    #[arg(long)]
    pub systemd: bool,
    /// Write below this directory, as for an image; no user is made then
    #[arg(long, value_name = "DIR", requires = "systemd")]
    pub root: Option<PathBuf>,
}

/// What became of a file.
enum Written {
    New,
    /// It is there already, with this very text.
    Same,
    /// It is there already, and is kept.
    Kept,
}

/// What a file that is there already means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Present {
    Refuse,
    Keep,
}

pub(super) fn init(global: &Global, args: &InitArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    if args.systemd {
        service(args.root.as_deref(), screen)?;
        return Ok(Exit::Done);
    }
    let path = global.config.clone().unwrap_or_else(|| PathBuf::from("jobs.toml"));
    let schema = path.with_file_name(SCHEMA_FILE);
    tell(&path, &write(&path, STARTER, 0o644, Present::Refuse)?, screen)?;
    tell(&schema, &write(&schema, &schema_text()?, 0o644, Present::Keep)?, screen)?;
    screen.line("\nnext:\n  batchd run hello        the first job, now, here\n  batchd daemon           all jobs at their times")?;
    Ok(Exit::Done)
}

fn service(root: Option<&Path>, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let below = |path: &str| root.map_or_else(|| PathBuf::from(path), |root| root.join(path.trim_start_matches('/')));
    let unit = below("/etc/systemd/system/batchd.service");
    // Before anything is written: a unit of somebody else's stops all of it.
    if fs::read(&unit).is_ok_and(|found| found != UNIT.as_bytes()) {
        let message = format!("`{}` is there already and differs; changes of yours belong into `systemctl edit batchd`", unit.display());
        return Err(anyhow::anyhow!(message).into());
    }
    let directory = below("/etc/batchd");
    let config = directory.join("jobs.toml");
    let (head, jobs) = STARTER.split_at(STARTER.find("\n\n").map_or(0, |at| at + 2));
    let text = format!("{head}{SERVICE_SETTINGS}\n{jobs}");
    tell(&unit, &write(&unit, UNIT, 0o644, Present::Refuse)?, screen)?;
    let sysusers = below("/etc/sysusers.d/batchd.conf");
    tell(&sysusers, &write(&sysusers, SYSUSERS, 0o644, Present::Keep)?, screen)?;
    let schema = directory.join(SCHEMA_FILE);
    tell(&config, &write(&config, &text, 0o640, Present::Keep)?, screen)?;
    tell(&schema, &write(&schema, &schema_text()?, 0o644, Present::Keep)?, screen)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o750))?;
    if root.is_none() {
        make_user()?;
        let group = Group::from_name(GROUP).ok().flatten().context("the group `batchd` was not made")?;
        for path in [&directory, &config] {
            chown(path, None, Some(group.gid.as_raw()))
                .with_context(|| format!("cannot hand `{}` to the group `batchd`", path.display()))?;
        }
        screen.line("made    user and group `batchd`")?;
    }
    screen.line("\nnext:")?;
    let here = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("batchd"));
    if root.is_none() && here != Path::new(PROGRAM) {
        screen.line(format!("  install -m 755 {} {PROGRAM}", escape(&here.to_string_lossy())))?;
    }
    screen.line("  systemctl daemon-reload && systemctl enable --now batchd\n  batchd status")?;
    Ok(())
}

/// By systemd where it is there, else by hand.
fn make_user() -> anyhow::Result<()> {
    if Group::from_name(GROUP).ok().flatten().is_some() {
        return Ok(());
    }
    let made = Program::new("systemd-sysusers").arg("batchd.conf").status();
    if made.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let by_hand = ["--system", "--user-group", "--home-dir", "/var/lib/batchd", "--shell", "/usr/sbin/nologin", "batchd"];
    let status = Program::new("useradd").args(by_hand).status().context("there is neither systemd-sysusers nor useradd")?;
    if !status.success() {
        bail!("`useradd batchd` failed");
    }
    Ok(())
}

fn schema_text() -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&config::schema())? + "\n")
}

fn write(path: &Path, text: &str, mode: u32, present: Present) -> anyhow::Result<Written> {
    let cannot = || format!("cannot write `{}`", path.display());
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).with_context(cannot)?;
    }
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).with_context(cannot)?;
            Ok(Written::New)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_same = fs::read(path).is_ok_and(|found| found == text.as_bytes());
            match present {
                _ if is_same => Ok(Written::Same),
                Present::Keep => Ok(Written::Kept),
                Present::Refuse => bail!("`{}` is there already; nothing was changed", path.display()),
            }
        }
        Err(error) => Err(error).with_context(cannot),
    }
}

fn tell(path: &Path, written: &Written, screen: &mut Screen<'_>) -> io::Result<()> {
    let what = match written {
        Written::New => "wrote ",
        Written::Same => "same  ",
        Written::Kept => "kept  ",
    };
    screen.line(format!("{what}  {}", escape(&path.to_string_lossy())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Look;
    use crate::daemon::source;

    /// What a user sees of `init`, with the directory left out.
    fn seen(directory: &Path, systemd: bool) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut screen = Screen::new(&mut out, &mut err, Look::default());
        let global = Global { config: Some(directory.join("jobs.toml")), color: clap::ColorChoice::Never, verbose: false };
        let args = InitArgs { systemd, root: systemd.then(|| directory.to_owned()) };
        let result = init(&global, &args, &mut screen).map_or_else(|failure| format!("{failure}\n"), |exit| format!("{exit:?}\n"));
        let text = String::from_utf8(out).expect("text");
        format!("{result}{text}").replace(&*directory.to_string_lossy(), "")
    }

    #[test]
    fn a_starter_is_valid_and_is_never_replaced() {
        let directory = tempfile::tempdir().expect("a directory");
        insta::assert_snapshot!(seen(directory.path(), false), @"
        Done
        wrote   /jobs.toml
        wrote   /jobs.schema.json

        next:
          batchd run hello        the first job, now, here
          batchd daemon           all jobs at their times
        ");
        let (config, warnings) = source::examine(&directory.path().join("jobs.toml"), &[]).expect("valid");
        assert_eq!((config.jobs.len(), warnings.count()), (1, 0));
        insta::assert_snapshot!(seen(directory.path(), false), @"
        Done
        same    /jobs.toml
        same    /jobs.schema.json

        next:
          batchd run hello        the first job, now, here
          batchd daemon           all jobs at their times
        ");
    }

    #[test]
    fn a_service_keeps_its_files_where_the_unit_lets_it() {
        let directory = tempfile::tempdir().expect("a directory");
        insta::assert_snapshot!(seen(directory.path(), true), @"
        Done
        wrote   /etc/systemd/system/batchd.service
        wrote   /etc/sysusers.d/batchd.conf
        wrote   /etc/batchd/jobs.toml
        wrote   /etc/batchd/jobs.schema.json

        next:
          systemctl daemon-reload && systemctl enable --now batchd
          batchd status
        ");
        let (config, warnings) = source::examine(&directory.path().join("etc/batchd/jobs.toml"), &[]).expect("valid");
        assert_eq!((config.daemon.state_dir, config.log.dir), ("/var/lib/batchd".into(), "/var/log/batchd".into()));
        assert_eq!(warnings.count(), 0);
        fs::write(directory.path().join("etc/batchd/jobs.toml"), "mine").expect("written");
        insta::assert_snapshot!(seen(directory.path(), true), @"
        Done
        same    /etc/systemd/system/batchd.service
        same    /etc/sysusers.d/batchd.conf
        kept    /etc/batchd/jobs.toml
        same    /etc/batchd/jobs.schema.json

        next:
          systemctl daemon-reload && systemctl enable --now batchd
          batchd status
        ");
        fs::write(directory.path().join("etc/systemd/system/batchd.service"), "mine").expect("written");
        insta::assert_snapshot!(seen(directory.path(), true), @"`/etc/systemd/system/batchd.service` is there already and differs; changes of yours belong into `systemctl edit batchd`");
    }
}
