//! Spawn a process as the leader of its own session, with its pipes.
//!
//! The process is reaped only after its group has been dealt with: while it is a zombie, its number
//! and its group's cannot belong to anyone else, so that no signal can hit a stranger.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

use super::super::command::{self, ARGUMENT_MAX_BYTES, Plan, PlanError};
use super::cgroup::Cgroup;
use super::descriptors::{self, Owed};
use super::handshake::{self, Handshake};
use super::limits;
use super::orphans::Owned;
use super::source::Source;
use super::vfork::{self, Image, Reaped, Step};
use crate::engine::Hindrance;

/// Why a process could not be spawned, as far as it was not seen before trying.
#[derive(Debug, thiserror::Error)]
pub(in crate::handler) enum SpawnError {
    #[error(transparent)]
    Program(#[from] PlanError),
    #[error("the working directory `{}` cannot be entered: {source}", directory.display())]
    Directory { directory: PathBuf, source: io::Error },
    #[error("the interpreter of `{}` not found: see its first line", program.display())]
    Interpreter { program: PathBuf },
    #[error("`{}` may not be executed: its file system, or the interpreter in its first line, does not allow it", program.display())]
    NotExecutable { program: PathBuf },
    #[error("`{}` is neither a program of this machine nor a script: its first line must begin with `#!`", program.display())]
    Format { program: PathBuf },
    #[error("arguments and environment are too long together: {bytes} bytes; one argument may have {ARGUMENT_MAX_BYTES}")]
    TooLong { bytes: usize },
    #[error("the value of the variable `{name}` has a NUL")]
    Nul { name: String },
    #[error("cannot start `{}`: too many open files; lower `max_partials`, or raise the hard limit of open files (LimitNOFILE=)", program.display())]
    OpenFiles { program: PathBuf },
    #[error("cannot start `{}`: too many processes; see the limits of the user (`ulimit -u`) and of the unit (TasksMax=)", program.display())]
    Processes { program: PathBuf },
    #[error("cannot start `{}`: user `{user}` has as many processes as it may", program.display())]
    UserProcesses { program: PathBuf, user: String },
    #[error("cannot {what}: {source}")]
    Refused { what: String, source: io::Error },
    #[error("the process that was to become `{}` has died before", program.display())]
    Unready { program: PathBuf },
    #[error("cannot start `{}`: not enough memory", program.display())]
    Memory { program: PathBuf },
    #[error("cannot start `{}` within the memory limit of {limit}, which is too low: raise `limits.memory`", program.display())]
    MemoryLimit { program: PathBuf, limit: String },
    #[error("cannot give it a control group: {source}")]
    Cgroup { source: io::Error },
    #[error("cannot start `{}`: {source}", program.display())]
    Other { program: PathBuf, source: io::Error },
    #[error("cannot watch the process of `{}`, killed: {source}", program.display())]
    Watch { program: PathBuf, source: io::Error },
}

impl SpawnError {
    /// What it means for another attempt; `None`: nobody can say.
    pub(in crate::handler) fn hindrance(&self) -> Option<Hindrance> {
        match self {
            Self::Program(error) => error.hindrance(),
            Self::Interpreter { .. }
            | Self::NotExecutable { .. }
            | Self::Format { .. }
            | Self::TooLong { .. }
            | Self::Nul { .. }
            | Self::MemoryLimit { .. } => Some(Hindrance::Lasting),
            Self::OpenFiles { .. } | Self::Processes { .. } | Self::UserProcesses { .. } | Self::Memory { .. } => Some(Hindrance::Shortage),
            Self::Directory { .. }
            | Self::Refused { .. }
            | Self::Unready { .. }
            | Self::Cgroup { .. }
            | Self::Other { .. }
            | Self::Watch { .. } => None,
        }
    }
}

/// A process with its pipes.
pub(super) struct Spawned {
    pub(super) leader: Leader,
    pub(super) stdout: Source,
    pub(super) stderr: Source,
    /// Only when it was asked for; else stdin is `/dev/null`.
    pub(super) stdin: Option<pipe::Sender>,
    /// With a shim, which is to hear its orders.
    pub(super) handshake: Option<Handshake>,
}

/// A process that leads its session and its group. Dropped before it was reaped, it is killed with its group.
pub(super) struct Leader {
    pid: Pid,
    /// What tells of its end; until somebody listens, that a descriptor is owed for it.
    end: Result<AsyncFd<OwnedFd>, Owed>,
    /// Until it is reaped.
    owned: Option<Owned>,
    /// Since then, until somebody asks.
    reaped: Option<io::Result<Reaped>>,
}

/// Our ends of the pipes.
struct Ours {
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

pub(super) fn spawn(plan: &Plan, with_stdin: bool, cgroup: Option<&Cgroup>) -> Result<Spawned, SpawnError> {
    let failed = |source: io::Error| fault(plan, None, source);
    let (stdout, to_stdout) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let (stderr, to_stderr) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let stdin = with_stdin.then(|| pipe2(OFlag::O_CLOEXEC)).transpose().map_err(|errno| failed(errno.into()))?;
    if !descriptors::leaves_room(to_stderr.as_fd()) {
        return Err(SpawnError::OpenFiles { program: plan.program.clone() });
    }
    let (from_stdin, stdin) = stdin.unzip();
    let empty = match from_stdin {
        Some(_) => None,
        None => Some(null().map_err(failed)?),
    };
    let from_stdin = from_stdin.as_ref().map(AsFd::as_fd).or(empty).unwrap_or(to_stdout.as_fd());
    let entrance = cgroup.map(Cgroup::entrance).transpose().map_err(|source| SpawnError::Cgroup { source })?;
    let entrance = entrance.as_ref().map(AsFd::as_fd);
    let ours = Ours { stdin, stdout, stderr };
    if let Some(name) = plan.environment.unusable() {
        return Err(SpawnError::Nul { name: name.to_owned() });
    }
    let Some(orders) = &plan.orders else {
        let image = image(plan, [from_stdin, to_stdout.as_fd(), to_stderr.as_fd()], entrance)?;
        return launch(plan, &image, ours, None);
    };
    let (handshake, socket) = Handshake::begin(from_stdin, orders.frame(plan)).map_err(failed)?;
    let image = handshake::image([socket.as_fd(), to_stdout.as_fd(), to_stderr.as_fd()], entrance);
    launch(plan, &image, ours, Some(handshake))
}

fn launch(plan: &Plan, image: &Image<'_>, ours: Ours, handshake: Option<Handshake>) -> Result<Spawned, SpawnError> {
    let (pid, owned) = Owned::start(|| vfork::start(image)).map_err(|(step, source)| fault(plan, Some(step), source))?;
    // From here on it is the drop of the leader that ends it.
    let leader = Leader { pid, end: Err(Owed::new()), owned: Some(owned), reaped: None };
    let watched = watch(leader, ours, handshake);
    watched.map_err(|source| SpawnError::Watch { program: plan.program.clone(), source })
}

fn image<'a>(plan: &'a Plan, stdio: [BorrowedFd<'a>; 3], cgroup: Option<BorrowedFd<'a>>) -> Result<Image<'a>, SpawnError> {
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(|_| SpawnError::Nul { name: text.display().to_string() });
    Ok(Image {
        program: text(plan.program.as_os_str())?,
        arguments: plan.arguments.iter().map(|argument| text(argument.as_ref())).collect::<Result<_, _>>()?,
        environment: &plan.environment,
        directory: text(plan.directory.as_os_str())?,
        stdio,
        open_files: descriptors::of_children(),
        is_daemon_protected: limits::is_daemon_protected(),
        cgroup,
    })
}

/// `/dev/null`, opened once.
fn null() -> io::Result<BorrowedFd<'static>> {
    static NULL: OnceLock<File> = OnceLock::new();
    if let Some(null) = NULL.get() {
        return Ok(null.as_fd());
    }
    let opened = OpenOptions::new().read(true).open("/dev/null")?;
    Ok(NULL.get_or_init(|| opened).as_fd())
}

fn watch(leader: Leader, ours: Ours, handshake: Option<Handshake>) -> io::Result<Spawned> {
    let (mut stdout, stderr) = (Source::new(ours.stdout)?, Source::new(ours.stderr)?);
    stdout.listen()?;
    let stdin = ours.stdin.map(pipe::Sender::from_owned_fd).transpose()?;
    Ok(Spawned { leader, stdout, stderr, stdin, handshake })
}

impl Leader {
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// From now on [`Self::exited`] tells of its end.
    #[expect(deprecated, reason = "unsound for types that lie about their descriptor, which `OwnedFd` does not; its successor is unsafe")]
    pub(super) fn listen(&mut self) -> io::Result<()> {
        // Until it is reaped, the number is its own.
        let pidfd = pidfd_open(self.pid, PidfdFlags::empty())?;
        self.end = Ok(AsyncFd::with_interest(pidfd, Interest::READABLE)?);
        Ok(())
    }

    /// Ready once the process is a zombie, where somebody listens.
    pub(super) async fn exited(&self) {
        match &self.end {
            // An error means that the runtime is going away, and the attempt with it.
            Ok(end) if end.readable().await.is_ok() => {}
            _ => std::future::pending().await,
        }
    }

    /// Reaps it where it is a zombie by now; false: it is not.
    pub(super) fn reap_if_over(&mut self) -> bool {
        self.take(false);
        self.reaped.is_some()
    }

    /// How it ended. Call after [`Self::exited`], else it blocks.
    pub(super) fn reap(&mut self) -> io::Result<Reaped> {
        self.take(true);
        self.reaped.take().unwrap_or_else(|| Err(io::Error::other("already reaped")))
    }

    fn take(&mut self, waits: bool) {
        let Some(owned) = self.owned.take() else { return };
        match owned.reap(|| vfork::reap(self.pid, waits).transpose()) {
            Ok(reaped) => self.reaped = Some(reaped),
            Err(owned) => self.owned = Some(owned),
        }
    }

    /// Signals the group, and lets stopped processes go on to see it.
    pub(super) fn signal(&self, signal: i32) {
        let signal = Signal::from_named_raw(signal).unwrap_or(Signal::TERM);
        signal_group(self.pid, signal);
        if signal != Signal::STOP && signal != Signal::TSTP {
            signal_group(self.pid, Signal::CONT);
        }
    }

    pub(super) fn kill(&self) {
        signal_group(self.pid, Signal::KILL);
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if let Some(owned) = self.owned.take() {
            end_in_background(self.pid, owned);
        }
    }
}

/// Signals a process that is not reaped yet, and its group: the leader may have moved to another.
fn signal_group(leader: Pid, signal: Signal) {
    for sent in [kill_process_group(leader, signal), kill_process(leader, signal)] {
        if let Err(error) = sent
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!("cannot signal process {leader}: {error}");
        }
    }
}

/// For the ways out that have no time to wait: kills the group, and a thread of its own reaps the process.
fn end_in_background(pid: Pid, owned: Owned) {
    signal_group(pid, Signal::KILL);
    std::thread::spawn(move || {
        // Not under the lock of `Owned::reap`: this may take as long as a process in uninterruptible sleep.
        let _ = vfork::reap(pid, true);
        drop(owned);
    });
}

/// Turns the error of a step into what is wrong; no step: of a pipe.
pub(super) fn fault(plan: &Plan, step: Option<Step>, source: io::Error) -> SpawnError {
    let program = plan.program.clone();
    let errno = source.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
    match (step, errno) {
        (Some(Step::Cgroup), _) => SpawnError::Cgroup { source },
        (Some(Step::Directory), _) => SpawnError::Directory { directory: plan.directory.clone(), source },
        (Some(Step::Exec), Errno::ENOENT | Errno::EACCES | Errno::ENOTDIR | Errno::ELOOP) => match command::usable(&program) {
            Err(error) => SpawnError::Program(error),
            Ok(()) if errno == Errno::ENOENT => SpawnError::Interpreter { program },
            Ok(()) if errno == Errno::EACCES => SpawnError::NotExecutable { program },
            Ok(()) => SpawnError::Other { program, source },
        },
        (Some(Step::Exec), Errno::ENOEXEC) => SpawnError::Format { program },
        (Some(Step::Exec), Errno::E2BIG) => {
            let arguments = plan.arguments.iter().map(|argument| argument.len() + 1).sum::<usize>();
            let environment = plan.environment.texts().map(<[u8]>::len).sum::<usize>();
            SpawnError::TooLong { bytes: arguments + environment }
        }
        (_, Errno::EMFILE | Errno::ENFILE) => SpawnError::OpenFiles { program },
        (Some(Step::Clone | Step::Exec), Errno::EAGAIN) => SpawnError::Processes { program },
        (_, Errno::ENOMEM) => SpawnError::Memory { program },
        _ => SpawnError::Other { program, source },
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::secrets::Secrets;
    use super::super::super::variables::Variables;
    use super::*;
    use Hindrance::{Lasting, Shortage};

    fn check(step: Option<Step>, errno: Errno, expected: &str, hindrance: Option<Hindrance>) {
        let mut environment = Variables::default();
        environment.set("A", "b");
        let plan = Plan {
            program: "/bin/sh".into(),
            arguments: vec!["x".to_owned()],
            directory: "/srv".into(),
            environment,
            secrets: Secrets::default(),
            account: None,
            orders: None,
        };
        let error = fault(&plan, step, errno.into());
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.hindrance(), hindrance, "{error}");
    }

    #[test]
    fn errors_are_told_apart_with_what_they_mean_for_another_attempt() {
        check(Some(Step::Directory), Errno::EACCES, "the working directory `/srv` cannot be entered: Permission denied", None);
        check(Some(Step::Exec), Errno::ENOENT, "the interpreter of `/bin/sh` not found", Some(Lasting));
        check(Some(Step::Exec), Errno::EACCES, "`/bin/sh` may not be executed", Some(Lasting));
        check(Some(Step::Exec), Errno::ENOEXEC, "neither a program of this machine nor a script", Some(Lasting));
        check(Some(Step::Exec), Errno::E2BIG, "too long together: 6 bytes", Some(Lasting));
        check(None, Errno::EMFILE, "too many open files", Some(Shortage));
        check(Some(Step::Clone), Errno::EMFILE, "too many open files", Some(Shortage));
        check(Some(Step::Clone), Errno::EAGAIN, "too many processes", Some(Shortage));
        check(Some(Step::Clone), Errno::ENOMEM, "not enough memory", Some(Shortage));
        check(Some(Step::Exec), Errno::ETXTBSY, "cannot start `/bin/sh`: Text file busy", None);
    }
}
