//! What `posix_spawn` cannot do: another user, a umask, a nice value, limits. For jobs that ask for one of them the daemon starts
//! itself anew as `__exec`, a process of one thread that changes itself and then becomes the program of the job. Another
//! exec costs a millisecond; forking the daemon would cost the more the larger it is.
//!
//! Its orders come over a socket, its stdin: everybody can read the arguments of a process. They hold the environment of the job,
//! so that a variable such as `LD_PRELOAD` never acts on the shim, which may be root. On the same socket it answers [`GOING`] just
//! before the exec, which closes the socket, and a [`Refusal`] when anything fails: then nothing was started.

use std::ffi::{CStr, CString, OsStr};
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, execve, geteuid, getgroups, getresgid, getresuid, setgid, setgroups, setuid};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::command::Plan;
use crate::config::Limits;

/// The hidden command.
pub(super) const COMMAND: &CStr = c"__exec";

/// Answered just before the exec.
pub(super) const GOING: u8 = b'>';

/// No longer frame is read: twice what Linux takes for arguments and environment together.
const FRAME_MAX_BYTES: u32 = 16 << 20;

/// Between SIGXCPU, which a program may handle, and SIGKILL; in seconds.
const CPU_GRACE: u64 = 5;

/// Whether this program can be started anew as the shim.
static IS_POSSIBLE: AtomicBool = AtomicBool::new(false);

/// What is to be changed before the exec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Orders {
    identity: Option<Identity>,
    umask: Option<u32>,
    nice: Option<i32>,
    cpu_seconds: Option<u64>,
    open_files: Option<u64>,
    processes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// A thing that the shim does, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    Orders,
    CpuTime,
    OpenFiles,
    Processes,
    Nice,
    Groups,
    Group,
    User,
    /// The numbers were read again, and are not those that were asked for.
    Identity,
    NoNewPrivileges,
    Directory,
    Stdin,
    Exec,
}

/// Why nothing was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) step: Step,
    pub(super) errno: i32,
}

impl Orders {
    /// `None`: a plain spawn does.
    pub(super) fn new(account: Option<&Account>, umask: Option<u32>, nice: Option<i32>, limits: &Limits) -> Option<Self> {
        let identity = account.map(|account| Identity {
            uid: account.uid.as_raw(),
            gid: account.gid.as_raw(),
            groups: account.groups.iter().map(|gid| gid.as_raw()).collect(),
        });
        let cpu_seconds = limits.cpu_time.map(|limit| limit.as_secs());
        let orders = Self { identity, umask, nice, cpu_seconds, open_files: limits.open_files, processes: limits.processes };
        (orders != Self::default()).then_some(orders)
    }

    /// The orders with what is to be executed, as the shim reads them.
    pub(super) fn frame(&self, plan: &Plan) -> Vec<u8> {
        let header = serde_json::to_vec(&(self, plan.arguments.len())).expect("numbers are JSON");
        let mut strings = Vec::new();
        let mut push = |parts: &[&[u8]]| {
            strings.extend(parts.concat());
            strings.push(0);
        };
        push(&[plan.directory.as_os_str().as_bytes()]);
        push(&[plan.program.as_os_str().as_bytes()]);
        plan.arguments.iter().for_each(|argument| push(&[argument.as_bytes()]));
        plan.environment.texts().for_each(|text| strings.extend_from_slice(text));
        let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes();
        [&length(&header)[..], &header, &length(&strings), &strings].concat()
    }
}

/// Whether this program called [`enter`] when it started.
pub(super) fn is_possible() -> bool {
    IS_POSSIBLE.load(Ordering::Relaxed)
}

/// To be called first in `main`: does the work of the shim and returns its exit code where the process was started as one, which
/// it then leaves with. Otherwise this program can from now on start jobs that need the shim.
pub fn enter() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::from_bytes(COMMAND.to_bytes())) || arguments.next().is_some() {
        IS_POSSIBLE.store(true, Ordering::Relaxed);
        return None;
    }
    Some(serve())
}

/// Reads the orders, follows them, and does not come back when all went well.
fn serve() -> ExitCode {
    // The socket leaves the place of stdin, which is the job's, and closes with the exec.
    let moved = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3).map(UnixStream::from);
    let Ok(mut socket) = moved else { return ExitCode::from(2) };
    let refusal = match follow(&mut socket) {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    };
    let said = serde_json::to_vec(&refusal).map_err(io::Error::from).and_then(|text| socket.write_all(&text));
    if said.is_err() {
        #[expect(clippy::print_stderr, reason = "nobody listens on the socket: somebody typed the command")]
        {
            eprintln!("batchd: `{}` is for the daemon's own use", COMMAND.to_string_lossy());
        }
    }
    ExitCode::from(2)
}

/// All is done that the orders say, and the process is another program: never an `Ok`.
fn follow(socket: &mut UnixStream) -> Result<std::convert::Infallible, Refusal> {
    let (stdin, orders, strings) = receive(socket).map_err(|error| refusal(Step::Orders, &error))?;
    // The runtime of Rust ignores SIGPIPE, and an ignored signal stays so over the exec; one with a handler does not.
    signal_hook::flag::register(Signal::SIGPIPE as i32, Arc::default()).map_err(|error| refusal(Step::Orders, &error))?;
    let [directory, program, rest @ ..] = strings.as_slice() else { return Err(failed(Step::Orders, Errno::EBADMSG)) };
    let (arguments, environment) = rest.split_at_checked(orders.1).ok_or(failed(Step::Orders, Errno::EBADMSG))?;
    let orders = orders.0;
    let limit = |step, resource, soft, hard| setrlimit(resource, soft, hard).map_err(|errno| failed(step, errno));
    if let Some(seconds) = orders.cpu_seconds {
        limit(Step::CpuTime, Resource::RLIMIT_CPU, seconds, seconds + CPU_GRACE)?;
    }
    if let Some(count) = orders.open_files {
        limit(Step::OpenFiles, Resource::RLIMIT_NOFILE, count, count)?;
    }
    if let Some(count) = orders.processes {
        limit(Step::Processes, Resource::RLIMIT_NPROC, count, count)?;
    }
    if let Some(nice) = orders.nice {
        rustix::process::setpriority_process(None, nice).map_err(|error| refusal(Step::Nice, &error.into()))?;
    }
    if let Some(mask) = orders.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    if let Some(identity) = &orders.identity {
        identity.assume()?;
    }
    nix::unistd::chdir(directory.as_c_str()).map_err(|errno| failed(Step::Directory, errno))?;
    rustix::stdio::dup2_stdin(stdin).map_err(|error| refusal(Step::Stdin, &error.into()))?;
    socket.write_all(&[GOING]).map_err(|error| refusal(Step::Orders, &error))?;
    execve(program, arguments, environment).map_err(|errno| failed(Step::Exec, errno))
}

/// The job's stdin; the orders with the number of arguments; and the strings that follow.
type Received = (OwnedFd, (Orders, usize), Vec<CString>);

fn receive(socket: &mut UnixStream) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut first = [0];
    let received = recvmsg(socket.as_fd(), &mut [IoSliceMut::new(&mut first)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let stdin: Option<OwnedFd> = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let stdin = stdin.ok_or(Errno::EBADMSG)?;
    let header = serde_json::from_slice(&part(socket)?)?;
    let strings = part(socket)?;
    let strings = strings.strip_suffix(&[0]).unwrap_or_default().split(|byte| *byte == 0);
    Ok((stdin, header, strings.map(CString::new).collect::<Result<_, _>>()?))
}

fn part(socket: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > FRAME_MAX_BYTES {
        return Err(Errno::E2BIG.into());
    }
    let mut bytes = vec![0; length as usize];
    socket.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Identity {
    /// Groups first, the user last, while there is still the right to; then all is read again: one that went wrong silently has
    /// run jobs as root before (CVE-2006-2607).
    fn assume(&self) -> Result<(), Refusal> {
        let (before, uid, gid) = (geteuid(), Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        setgroups(&groups).map_err(|errno| failed(Step::Groups, errno))?;
        setgid(gid).map_err(|errno| failed(Step::Group, errno))?;
        setuid(uid).map_err(|errno| failed(Step::User, errno))?;
        if !is_now(uid, gid, groups).map_err(|errno| failed(Step::Identity, errno))? {
            return Err(failed(Step::Identity, Errno::EPERM));
        }
        if uid != before {
            nix::sys::prctl::set_no_new_privs().map_err(|errno| failed(Step::NoNewPrivileges, errno))?;
        }
        Ok(())
    }
}

/// Whether the process is who it is to be, in all respects, with no way back.
fn is_now(uid: Uid, gid: Gid, mut groups: Vec<Gid>) -> nix::Result<bool> {
    let (uids, gids, mut now) = (getresuid()?, getresgid()?, getgroups()?);
    let sort = |list: &mut Vec<Gid>| {
        list.sort_by_key(|gid| gid.as_raw());
        list.dedup();
    };
    sort(&mut groups);
    sort(&mut now);
    let is_user = [uids.real, uids.effective, uids.saved] == [uid; 3];
    let is_group = [gids.real, gids.effective, gids.saved] == [gid; 3];
    let has_way_back = !uid.is_root() && setuid(Uid::from_raw(0)).is_ok();
    Ok(is_user && is_group && now == groups && !has_way_back)
}

fn failed(step: Step, errno: Errno) -> Refusal {
    Refusal { step, errno: errno as i32 }
}

fn refusal(step: Step, error: &io::Error) -> Refusal {
    Refusal { step, errno: error.raw_os_error().unwrap_or(Errno::EPROTO as i32) }
}
