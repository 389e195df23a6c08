//! Whether somebody else can change what this process acts on: a file, a directory, or one above it. Whoever can change the
//! configuration of a daemon of root is root (CVE-2017-9525 and its kin).
//!
//! A path is walked from the root, as the kernel does it, through every symbolic link: each directory on the way decides where the
//! rest leads.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Groups below are the system's own: a directory above may be writable by them, as `/var/log` is on Ubuntu.
const FIRST_GROUP_OF_PEOPLE: u32 = 1000;

const STICKY: u32 = 0o1000;

/// What somebody else can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The directory or file that is the trouble; maybe above the one that was asked about.
    pub path: PathBuf,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits, with the sticky one.
    pub mode: u32,
}

/// Who may change a path besides root and this process's user.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trusted {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

/// How somebody else can change what stands at `path`, an absolute one; `None`: nobody can. What is not there yet is as safe as the
/// directory that it would be made in.
pub fn exposure(path: &Path) -> Option<Exposure> {
    walk(path, Trusted::default()).err()
}

/// As [`exposure`], with somebody else who may change it. Says whether that somebody can.
pub(super) fn walk(path: &Path, trusted: Trusted) -> Result<bool, Exposure> {
    let mut ahead: VecDeque<OsString> = path.components().filter_map(part).collect();
    let (mut here, mut links, mut theirs) = (PathBuf::from("/"), 0, false);
    let root = Facts::of(&here);
    let mut above = root.unwrap_or_default();
    while let Some(next) = ahead.pop_front() {
        if next == ".." {
            here.pop();
            above = Facts::of(&here).unwrap_or_default();
            continue;
        }
        let place = here.join(next);
        let Ok(found) = place.symlink_metadata() else { return Ok(theirs) };
        let facts = Facts::from(&found);
        let is_last = ahead.is_empty();
        if found.is_symlink() {
            // The mode of a link says nothing; who made it does where others make theirs.
            if above.is_sticky() && !facts.is_owned(trusted) {
                return Err(facts.at(place));
            }
            theirs |= trusted.uid.is_some_and(|uid| facts.uid == uid);
            links += 1;
            let Some(target) = place.read_link().ok().filter(|_| links <= MAX_LINKS) else { return Ok(theirs) };
            if target.is_absolute() {
                here = PathBuf::from("/");
                above = Facts::of(&here).unwrap_or_default();
            }
            target.components().rev().filter_map(part).for_each(|part| ahead.push_front(part));
            continue;
        }
        if !facts.is_safe(is_last, trusted) {
            return Err(facts.at(place));
        }
        theirs |=
            trusted.uid.is_some_and(|uid| facts.uid == uid) || trusted.gid.is_some_and(|gid| facts.gid == gid && facts.mode & 0o020 != 0);
        (here, above) = (place, facts);
    }
    Ok(theirs)
}

fn part(component: Component<'_>) -> Option<OsString> {
    match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    uid: u32,
    gid: u32,
    mode: u32,
    is_dir: bool,
}

impl From<&Metadata> for Facts {
    fn from(found: &Metadata) -> Self {
        Self { uid: found.uid(), gid: found.gid(), mode: found.mode() & 0o7777, is_dir: found.is_dir() }
    }
}

impl Facts {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self::from(&path.symlink_metadata()?))
    }

    fn is_sticky(&self) -> bool {
        self.is_dir && self.mode & STICKY != 0
    }

    fn is_owned(&self, trusted: Trusted) -> bool {
        self.uid == 0 || self.uid == geteuid().as_raw() || Some(self.uid) == trusted.uid
    }

    /// Whether nobody else can change it. In a sticky directory others can make files, but not touch what is there.
    fn is_safe(&self, is_last: bool, trusted: Trusted) -> bool {
        let is_passed = self.is_sticky() && !is_last;
        let is_own_group = self.gid == 0 || self.gid == getegid().as_raw() || Some(self.gid) == trusted.gid;
        let is_group_safe = self.mode & 0o020 == 0 || is_own_group || !is_last && self.gid < FIRST_GROUP_OF_PEOPLE;
        self.is_owned(trusted) && (is_passed || is_group_safe && self.mode & 0o002 == 0)
    }

    fn at(self, path: PathBuf) -> Exposure {
        Exposure { path, uid: self.uid, gid: self.gid, mode: self.mode }
    }
}

/// Path, owner, mode, and what to do.
impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = User::from_uid(Uid::from_raw(self.uid)).ok().flatten().map_or_else(|| self.uid.to_string(), |user| user.name);
        let group = Group::from_gid(Gid::from_raw(self.gid)).ok().flatten().map_or_else(|| self.gid.to_string(), |group| group.name);
        let path = self.path.to_string_lossy();
        let path = path.escape_debug();
        write!(f, "others can change `{path}`: it belongs to {user}:{group} and has mode {:04o}; ", self.mode)?;
        let is_owned = Facts { uid: self.uid, ..Facts::default() }.is_owned(Trusted::default());
        if is_owned { write!(f, "`chmod go-w {path}` closes it") } else { write!(f, "`chown root {path}` takes it over") }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

    use super::*;

    /// A directory of ours below the sticky one.
    fn place() -> tempfile::TempDir {
        assert!(geteuid().is_root(), "run this test as root: it gives files away");
        tempfile::tempdir().expect("a directory")
    }

    #[track_caller]
    fn check(path: &Path, expected: Option<&Path>) {
        assert_eq!(exposure(path).map(|exposure| exposure.path).as_deref(), expected, "{}", path.display());
    }

    #[test]
    fn modes_owners_and_all_directories_above_count() {
        let dir = place();
        let (inner, file) = (dir.path().join("inner"), dir.path().join("inner/file"));
        fs::create_dir(&inner).expect("ours");
        fs::write(&file, "").expect("ours");
        check(&file, None);
        check(&inner.join("missing/too"), None);
        for (changed, mode) in [(&file, 0o666), (&file, 0o602), (&inner, 0o777), (&inner, 0o703)] {
            fs::set_permissions(changed, Permissions::from_mode(mode)).expect("ours");
            check(&file, Some(changed));
            fs::set_permissions(changed, Permissions::from_mode(0o700)).expect("ours");
        }
        for changed in [&file, &inner] {
            chown(changed, Some(65534), None).expect("root may");
            check(&file, Some(changed));
            chown(changed, Some(0), None).expect("root may");
        }
        // A directory in which everybody makes files is no place for ours, but for what lies below one of ours in it.
        fs::set_permissions(&inner, Permissions::from_mode(0o1777)).expect("ours");
        check(&file, None);
        check(&inner, Some(&inner));
    }

    #[test]
    fn groups_count_by_what_they_are_for() {
        let dir = place();
        let file = dir.path().join("file");
        fs::write(&file, "").expect("ours");
        for (gid, above, last) in [(0, true, true), (4, true, false), (1000, false, false)] {
            for (changed, is_safe) in [(dir.path(), above), (&file, last)] {
                chown(changed, None, Some(gid)).expect("root may");
                fs::set_permissions(changed, Permissions::from_mode(0o770)).expect("ours");
                check(&file, (!is_safe).then_some(changed));
                chown(changed, None, Some(0)).expect("root may");
            }
        }
    }

    #[test]
    fn links_are_followed_and_count_where_everybody_makes_them() {
        let dir = place();
        let at = |name: &str| dir.path().join(name);
        for name in ["theirs", "sticky", "ours"] {
            fs::create_dir(at(name)).expect("ours");
        }
        chown(at("theirs"), Some(65534), None).expect("root may");
        fs::set_permissions(at("sticky"), Permissions::from_mode(0o1777)).expect("ours");
        symlink("../theirs", at("ours/to-theirs")).expect("ours");
        symlink(at("ours"), at("sticky/to-ours")).expect("ours");
        symlink("loop", at("loop")).expect("ours");
        check(&at("ours/to-theirs"), Some(&at("theirs")));
        check(&at("ours/../ours/to-theirs/x"), Some(&at("theirs")));
        check(&at("sticky/to-ours/x"), None);
        check(&at("loop/x"), None);
        lchown(at("sticky/to-ours"), Some(65534), None).expect("root may");
        check(&at("sticky/to-ours/x"), Some(&at("sticky/to-ours")));
    }

    #[test]
    fn somebody_may_be_trusted() {
        let dir = place();
        let file = dir.path().join("file");
        fs::write(&file, "").expect("ours");
        let trusted = Trusted { uid: Some(65534), gid: Some(65534) };
        assert_eq!(walk(&file, trusted), Ok(false));
        chown(dir.path(), Some(65534), None).expect("root may");
        assert_eq!(walk(&file, trusted), Ok(true));
        assert!(walk(&file, Trusted::default()).is_err());
    }

    #[test]
    fn an_exposure_names_path_owner_mode_and_what_to_do() {
        let exposure = |uid, mode| Exposure { path: "/srv/jobs.toml".into(), uid, gid: 0, mode }.to_string();
        assert_eq!(
            exposure(0, 0o666),
            "others can change `/srv/jobs.toml`: it belongs to root:root and has mode 0666; `chmod go-w /srv/jobs.toml` closes it"
        );
        assert_eq!(
            exposure(12345, 0o600),
            "others can change `/srv/jobs.toml`: it belongs to 12345:root and has mode 0600; `chown root /srv/jobs.toml` takes it over"
        );
    }
}
