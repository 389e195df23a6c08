//! Spawn a process as the leader of its own group, by `posix_spawn`: an absolute program, no `pre_exec`, no ids.
//!
//! The child inherits the daemon's signal mask and ignored signals. The daemon blocks none and ignores none: it handles signals,
//! and handlers are reset by the exec; std resets SIGPIPE.
//!
//! The process is watched through a pidfd and reaped only after its group has been dealt with: while it is a zombie, its number
//! and its group's cannot belong to anyone else, so that no signal can hit a stranger.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe;

use super::super::command::{ARGUMENT_MAX_BYTES, Plan};
use super::tree::Owned;

/// Bytes read from a pipe at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// Why a process could not be spawned, as far as it was not seen before trying.
#[derive(Debug, thiserror::Error)]
pub(in crate::handler) enum SpawnError {
    #[error("the working directory `{}` cannot be entered: {source}", directory.display())]
    Directory { directory: PathBuf, source: io::Error },
    #[error("the interpreter of `{}` not found: see its first line", program.display())]
    Interpreter { program: PathBuf },
    #[error("`{}` is neither a program of this machine nor a script: its first line must begin with `#!`", program.display())]
    Format { program: PathBuf },
    #[error("arguments and environment are too long together: {bytes} bytes; one argument may have {ARGUMENT_MAX_BYTES}")]
    TooLong { bytes: usize },
    #[error("cannot start `{}`: {source}", program.display())]
    Other { program: PathBuf, source: io::Error },
    #[error("cannot watch the process of `{}`, killed: {source}", program.display())]
    Watch { program: PathBuf, source: io::Error },
}

/// A process with its pipes.
pub(super) struct Spawned {
    pub(super) leader: Leader,
    pub(super) stdout: Source,
    pub(super) stderr: Source,
    /// Only when it was asked for; else stdin is `/dev/null`.
    pub(super) stdin: Option<pipe::Sender>,
}

/// A process that leads its group. Dropped before it was reaped, it is killed with its group.
pub(super) struct Leader {
    child: Option<Child>,
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    _owned: Owned,
}

/// The reading end of a pipe.
pub(super) struct Source {
    pipe: Option<pipe::Receiver>,
    buffer: Vec<u8>,
}

pub(super) fn spawn(plan: &Plan, with_stdin: bool) -> Result<Spawned, SpawnError> {
    let mut command = Command::new(&plan.program);
    command.args(plan.arguments.iter().skip(1)).env_clear().envs(&plan.environment).current_dir(&plan.directory).process_group(0);
    if let Some(name) = plan.arguments.first() {
        command.arg0(name);
    }
    command.stdin(if with_stdin { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (child, owned) = Owned::spawn(&mut command).map_err(|error| explain(plan, error))?;
    watch(child, owned).map_err(|source| SpawnError::Watch { program: plan.program.clone(), source })
}

fn watch(mut child: Child, owned: Owned) -> io::Result<Spawned> {
    let pid = Pid::from_child(&child);
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let opened = pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from);
    let pidfd = match opened.and_then(register) {
        Ok(pidfd) => pidfd,
        Err(error) => {
            end_in_background(child, pid, Some(owned));
            return Err(error);
        }
    };
    let leader = Leader { child: Some(child), pid, pidfd, _owned: owned };
    let (stdin, stdout, stderr) = pipes;
    Ok(Spawned {
        leader,
        stdin: stdin.map(|pipe| pipe::Sender::from_owned_fd(pipe.into())).transpose()?,
        stdout: Source::new(stdout.map(OwnedFd::from))?,
        stderr: Source::new(stderr.map(OwnedFd::from))?,
    })
}

impl Leader {
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Ready once the process is a zombie.
    pub(super) async fn exited(&self) {
        // An error means that the runtime is going away, and the attempt with it.
        if self.pidfd.readable().await.is_err() {
            std::future::pending::<()>().await;
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

    /// The exit status. Call after [`Self::exited`], else it blocks.
    pub(super) fn reap(&mut self) -> io::Result<ExitStatus> {
        match self.child.take() {
            Some(mut child) => child.wait(),
            None => Err(io::Error::other("already reaped")),
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            end_in_background(child, self.pid, None);
        }
    }
}

impl Source {
    fn new(pipe: Option<OwnedFd>) -> io::Result<Self> {
        Ok(Self { pipe: pipe.map(pipe::Receiver::from_owned_fd).transpose()?, buffer: Vec::new() })
    }

    pub(super) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// The next bytes; empty at the end, after which the source is closed.
    pub(super) async fn read(&mut self) -> &[u8] {
        self.buffer.clear();
        if let Some(pipe) = &mut self.pipe {
            pipe.readable().await.ok();
            self.buffer.reserve_exact(CHUNK_BYTES);
            match pipe.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => self.pipe = None,
                Ok(_) => {}
            }
        }
        &self.buffer
    }
}

#[expect(deprecated, reason = "unsound for types that lie about their descriptor, which `OwnedFd` does not; its successor is unsafe")]
fn register(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
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
fn end_in_background(mut child: Child, pid: Pid, owned: Option<Owned>) {
    signal_group(pid, Signal::KILL);
    std::thread::spawn(move || {
        let _ = child.wait();
        drop(owned);
    });
}

/// Turns an errno into what is wrong with the job.
fn explain(plan: &Plan, source: io::Error) -> SpawnError {
    let program = plan.program.clone();
    if let Err(source) = enter(&plan.directory) {
        return SpawnError::Directory { directory: plan.directory.clone(), source };
    }
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => SpawnError::Interpreter { program },
        Some(Errno::ENOEXEC) => SpawnError::Format { program },
        Some(Errno::E2BIG) => {
            let arguments = plan.arguments.iter().map(|argument| argument.len() + 1).sum::<usize>();
            let environment = plan.environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
            SpawnError::TooLong { bytes: arguments + environment }
        }
        _ => SpawnError::Other { program, source },
    }
}

/// Whether a process can start in `directory`.
fn enter(directory: &Path) -> io::Result<()> {
    if !directory.metadata()?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(directory, AccessFlags::X_OK)?)
}
