//! The Unix socket: where it is, how it is made without a gap, and who may speak on it.

use std::ffi::CString;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist};
use tokio::net::{UnixListener, UnixStream};

/// The socket's name in the state directory.
pub const SOCKET_FILE: &str = "batchd.sock";

/// The owner and the group may connect.
const SOCKET_MODE: u32 = 0o660;

/// The kernel takes paths up to 107 bytes; longer ones go through the directory's descriptor.
const MAX_PATH: usize = 100;

/// A bound socket. Dropping it removes its file.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    file: Metadata,
}

impl Listener {
    /// Binds `path`. A socket that nobody answers on is replaced; a living one is `AddrInUse`; any other file is left alone.
    ///
    /// The socket is made under another name and gets its mode before it takes its place, so that nobody finds it without
    /// one, or not at all.
    pub fn bind(path: &Path) -> io::Result<Self> {
        refuse_in_use(path)?;
        let fresh = path.with_extension(format!("{}.new", std::process::id()));
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = with_short_path(&fresh, |short| UnixListener::bind(short))?;
        let placed = fs::set_permissions(&fresh, fs::Permissions::from_mode(SOCKET_MODE)).and_then(|()| fs::rename(&fresh, path));
        if let Err(error) = placed {
            // The file is ours, and what went wrong is said already.
            let _ = fs::remove_file(&fresh);
            return Err(error);
        }
        let file = fs::symlink_metadata(path)?;
        Ok(Self { socket, path: path.to_owned(), file })
    }

    /// The next connection, whoever made it.
    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.socket.accept().await?.0)
    }

    /// Tells who may speak.
    pub(super) fn door(&self) -> Door {
        Door { path: self.path.clone() }
    }
}

/// Tells who may speak on a socket: root, the daemon's user, and members of the socket's group, whatever the mode of its file became.
#[derive(Clone, Debug)]
pub(super) struct Door {
    path: PathBuf,
}

impl Door {
    /// Whether whoever made the connection may speak; if not, who it is.
    pub(super) async fn admit(&self, stream: &UnixStream) -> io::Result<Result<(), u32>> {
        let peer = stream.peer_cred()?;
        let (uid, gid) = (Uid::from_raw(peer.uid()), Gid::from_raw(peer.gid()));
        let path = self.path.clone();
        // Looking up groups may ask a directory server.
        let may_speak = tokio::task::spawn_blocking(move || may_speak(uid, gid, geteuid(), || fs::symlink_metadata(&path)));
        let may_speak = may_speak.await.unwrap_or(false);
        Ok(if may_speak { Ok(()) } else { Err(peer.uid()) })
    }
}

fn may_speak(uid: Uid, gid: Gid, daemon: Uid, file: impl FnOnce() -> io::Result<Metadata>) -> bool {
    uid.is_root() || uid == daemon || file().is_ok_and(|file| group_may_write(&file) && is_member(uid, gid, Gid::from_raw(file.gid())))
}

impl Drop for Listener {
    fn drop(&mut self) {
        let is_ours = |found: Metadata| (found.dev(), found.ino()) == (self.file.dev(), self.file.ino());
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            // The next daemon replaces it if this fails.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connects to the daemon that listens on `path`.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let stream = with_short_path(path, |short| BlockingStream::connect(short))?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn refuse_in_use(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket is in its place; move it away"));
        }
        Ok(_) => {}
    }
    match with_short_path(path, |short| BlockingStream::connect(short)) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon answers on it")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

/// Calls `act` with a path to the same file that the kernel takes as a socket's address.
fn with_short_path<T>(path: &Path, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= MAX_PATH {
        return act(path);
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let directory: OwnedFd = open(directory, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    act(&Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name))
}

fn group_may_write(file: &Metadata) -> bool {
    file.mode() & 0o060 == 0o060
}

/// Whether a peer of this user and primary group belongs to `group`.
fn is_member(uid: Uid, gid: Gid, group: Gid) -> bool {
    if gid == group {
        return true;
    }
    let Ok(Some(user)) = User::from_uid(uid) else { return false };
    let Ok(name) = CString::new(user.name) else { return false };
    getgrouplist(&name, gid).is_ok_and(|groups| groups.contains(&group))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    #[tokio::test]
    async fn the_socket_is_private_to_owner_and_group_and_goes_with_the_listener() {
        let directory = directory();
        let path = directory.path().join(SOCKET_FILE);
        let listener = Listener::bind(&path).expect("bind");
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, SOCKET_MODE);
        let (client, accepted) = (connect(&path), listener.accept().await);
        assert!(client.is_ok() && accepted.is_ok());
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
        let directory = directory();
        let path = directory.path().join(SOCKET_FILE);
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
        let living = Listener::bind(&path).expect("nobody answers");
        let second = Listener::bind(&path).expect_err("somebody answers");
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(living);
    }

    #[tokio::test]
    async fn a_file_in_its_place_is_left_alone() {
        let directory = directory();
        let path = directory.path().join(SOCKET_FILE);
        fs::write(&path, "mine").expect("write");
        assert_eq!(Listener::bind(&path).expect_err("not ours").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("read"), "mine");
    }

    #[tokio::test]
    async fn a_long_path_goes_through_its_directory() {
        let directory = directory();
        let deep = directory.path().join("d".repeat(120));
        fs::create_dir(&deep).expect("create");
        let listener = Listener::bind(&deep.join(SOCKET_FILE)).expect("bind");
        let (client, accepted) = (connect(&deep.join(SOCKET_FILE)), listener.accept().await);
        assert!(client.is_ok() && accepted.is_ok());
    }

    #[tokio::test]
    async fn strangers_may_not_speak_even_where_the_mode_was_loosened() {
        let directory = directory();
        let path = directory.path().join(SOCKET_FILE);
        let _listener = Listener::bind(&path).expect("bind");
        let (stranger, daemon) = (Uid::from_raw(4_000_007), Uid::from_raw(4_000_000));
        let (ours, other) = (Gid::from_raw(fs::metadata(&path).expect("it is there").gid()), Gid::from_raw(4_000_001));
        let speaks = |uid, gid| may_speak(uid, gid, daemon, || fs::symlink_metadata(&path));
        assert!(speaks(daemon, other) && speaks(Uid::from_raw(0), other) && speaks(stranger, ours));
        for mode in [0o660, 0o666, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            assert!(!speaks(stranger, other), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        assert!(!speaks(stranger, ours), "the group was shut out");
    }

    #[test]
    fn membership_is_by_primary_or_further_group() {
        let (nobody, group) = (Uid::from_raw(u32::MAX - 7), Gid::from_raw(4_000_000));
        assert!(is_member(nobody, group, group));
        assert!(!is_member(nobody, Gid::from_raw(4_000_001), group));
        assert!(is_member(Uid::from_raw(0), Gid::from_raw(4_000_001), Gid::from_raw(4_000_001)));
    }
}
