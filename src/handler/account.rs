//! Users and groups of the machine, as jobs name them.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid, getgrouplist};

use crate::config::Process;

/// What stands in the place of a shell where nobody is to log in.
const PLACEHOLDER_SHELLS: [&str; 2] = ["nologin", "false"];

/// Who a process is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// All groups, `gid` among them.
    pub(super) groups: Vec<Gid>,
    pub(super) name: String,
    pub(super) home: OsString,
    pub(super) shell: OsString,
}

/// Why a process cannot be who it is to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccountError {
    #[error("this machine has no user `{0}`")]
    NoUser(String),
    #[error("this machine has no group `{0}`")]
    NoGroup(String),
    #[error("`{name}` cannot be looked up: {source}")]
    Lookup { name: String, source: nix::Error },
    #[error("looking up the user was interrupted")]
    Interrupted,
    #[error("user {mine} cannot start a process of user `{user}` and group {gid}: only root can", mine = geteuid())]
    NotRoot { user: String, gid: Gid },
}

/// The number of the user with this name or number; `None`: there is none. May ask a directory server.
///
/// # Errors
/// Why it cannot be told now.
pub fn user(name: &str) -> Result<Option<u32>, String> {
    find_user(name).map(|user| user.map(|user| user.uid.as_raw())).map_err(|error| error.desc().to_owned())
}

/// The number of the group with this name or number; `None`: there is none.
///
/// # Errors
/// As [`user`].
pub fn group(name: &str) -> Result<Option<u32>, String> {
    find_group(name).map(|group| group.map(|group| group.gid.as_raw())).map_err(|error| error.desc().to_owned())
}

impl Account {
    /// The account of a job's processes; `None` where they are the daemon's own, so that nothing is to be changed. May ask a directory
    /// server, and blocks.
    pub(super) fn of(process: &Process) -> Result<Option<Self>, AccountError> {
        Self::for_daemon_of(geteuid(), process)
    }

    /// The same for a daemon of the user `daemon`.
    pub(super) fn for_daemon_of(daemon: Uid, process: &Process) -> Result<Option<Self>, AccountError> {
        if process.user.is_none() && process.group.is_none() {
            return Ok(None);
        }
        let user = match &process.user {
            Some(name) => find_user(name).map_err(|source| AccountError::Lookup { name: name.clone(), source })?,
            None => User::from_uid(daemon).map_err(|source| AccountError::Lookup { name: daemon.to_string(), source })?,
        };
        let user = user.ok_or_else(|| AccountError::NoUser(process.user.clone().unwrap_or_else(|| daemon.to_string())))?;
        let gid = match &process.group {
            Some(name) => {
                let group = find_group(name).map_err(|source| AccountError::Lookup { name: name.clone(), source })?;
                group.ok_or_else(|| AccountError::NoGroup(name.clone()))?.gid
            }
            None => user.gid,
        };
        if !daemon.is_root() {
            // Nothing can be changed, which is well where nothing has to.
            let is_ours = user.uid == daemon && (process.group.is_none() || gid == getegid());
            return if is_ours { Ok(None) } else { Err(AccountError::NotRoot { user: user.name, gid }) };
        }
        let lookup = |source| AccountError::Lookup { name: user.name.clone(), source };
        let name = CString::new(user.name.as_str()).map_err(|_| lookup(nix::Error::EINVAL))?;
        let groups = getgrouplist(&name, gid).map_err(lookup)?;
        let shell = if is_placeholder(&user.shell) { "/bin/sh".into() } else { user.shell.into_os_string() };
        Ok(Some(Self { uid: user.uid, gid, groups, name: user.name, home: user.dir.into_os_string(), shell }))
    }
}

fn is_placeholder(shell: &Path) -> bool {
    shell.file_name().is_none_or(|name| PLACEHOLDER_SHELLS.iter().any(|placeholder| name.as_bytes() == placeholder.as_bytes()))
}

fn find_user(name: &str) -> nix::Result<Option<User>> {
    match name.parse() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(name),
    }
}

fn find_group(name: &str) -> nix::Result<Option<Group>> {
    match name.parse() {
        Ok(gid) => Group::from_gid(Gid::from_raw(gid)),
        Err(_) => Group::from_name(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        for name in ["root", "0"] {
            assert_eq!((user(name), group(name)), (Ok(Some(0)), Ok(Some(0))), "{name}");
        }
        assert_eq!((user("nobody-of-that-name"), group("4000000000")), (Ok(None), Ok(None)));
    }

    #[test]
    fn a_shell_that_lets_nobody_in_is_none() {
        for (shell, is_none) in [("/usr/sbin/nologin", true), ("/bin/false", true), ("", true), ("/bin/bash", false)] {
            assert_eq!(is_placeholder(Path::new(shell)), is_none, "{shell}");
        }
    }
}
