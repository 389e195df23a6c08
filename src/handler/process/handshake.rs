//! The daemon's side of the shim: hands the orders over and hears whether the program was started.

use std::ffi::CStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as BlockingStream;

use nix::errno::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::command::Plan;
use super::super::shim::{self, GOING, Refusal, Step};
use super::super::variables::Variables;
use super::descriptors;
use super::limits;
use super::spawn::{SpawnError, fault};
use super::vfork::{self, Image};

/// This very program, also when the file of its name was replaced meanwhile.
const OURSELVES: &CStr = c"/proc/self/exe";

/// No longer answer is read.
const ANSWER_MAX_BYTES: u64 = 4096;

/// The open end of the talk with a shim.
pub(super) struct Handshake {
    socket: UnixStream,
    frame: Vec<u8>,
}

/// The shim as a program.
pub(super) fn image<'a>(stdio: [BorrowedFd<'a>; 3], cgroup: Option<BorrowedFd<'a>>) -> Image<'a> {
    static NOTHING: Variables = Variables::none();
    Image {
        program: OURSELVES.into(),
        arguments: vec![c"batchd".into(), shim::COMMAND.into()],
        environment: &NOTHING,
        directory: c"/".into(),
        stdio,
        open_files: descriptors::of_children(),
        is_daemon_protected: limits::is_daemon_protected(),
        cgroup,
    }
}

impl Handshake {
    /// Sends what stdin is to be; the rest follows with [`Self::finish`]. Returns the socket that the shim is to have in the place of
    /// stdin.
    pub(super) fn begin(stdin: BorrowedFd<'_>, frame: Vec<u8>) -> io::Result<(Self, OwnedFd)> {
        if !shim::is_possible() {
            return Err(io::Error::other("the embedding program does not call `batchd::handler::shim::enter()` first in its `main`"));
        }
        let (ours, theirs) = BlockingStream::pair()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [stdin];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(ours.as_fd(), &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
        ours.set_nonblocking(true)?;
        Ok((Self { socket: UnixStream::from_std(ours)?, frame }, theirs.into()))
    }

    /// Waits until the program runs, or the shim says why it cannot. A shim that is killed ends this as well.
    pub(super) async fn finish(mut self, plan: &Plan) -> Result<(), SpawnError> {
        // What cannot be written is explained by the answer, or by there being none.
        let _ = self.socket.write_all(&self.frame).await;
        let mut answer = Vec::new();
        let _ = self.socket.take(ANSWER_MAX_BYTES).read_to_end(&mut answer).await;
        match answer.as_slice() {
            [GOING] => Ok(()),
            [] => Err(SpawnError::Unready { program: plan.program.clone() }),
            [GOING, refusal @ ..] | refusal => Err(refused(plan, refusal)),
        }
    }
}

fn refused(plan: &Plan, refusal: &[u8]) -> SpawnError {
    let Ok(Refusal { step, errno }) = serde_json::from_slice(refusal) else {
        return SpawnError::Unready { program: plan.program.clone() };
    };
    let source = io::Error::from_raw_os_error(errno);
    let account = plan.account.as_ref().map_or_else(String::new, |account| account.name.clone());
    let what = match step {
        Step::Exec if errno == Errno::EAGAIN as i32 && plan.account.is_some() => {
            return SpawnError::UserProcesses { program: plan.program.clone(), user: account };
        }
        Step::Exec if errno == Errno::EACCES as i32 && plan.account.is_some() => {
            format!("start `{}` as `{account}`", plan.program.display())
        }
        Step::Exec => return fault(plan, Some(vfork::Step::Exec), source),
        Step::Directory => return SpawnError::Directory { directory: plan.directory.clone(), source },
        Step::Orders => "read the orders of the daemon".to_owned(),
        Step::CpuTime => "set `limits.cpu_time`".to_owned(),
        Step::OpenFiles => "set `limits.open_files`".to_owned(),
        Step::Processes => "set `limits.processes`".to_owned(),
        Step::Nice => "set `nice`".to_owned(),
        Step::Groups => format!("take on the groups of `{account}`"),
        Step::Group => format!("take on the group of `{account}`"),
        Step::User => format!("become user `{account}`"),
        Step::Identity => format!("become user `{account}` for good"),
        Step::NoNewPrivileges => format!("give up the rights of root for good as `{account}`"),
        Step::Stdin => "set the stdin of the job".to_owned(),
    };
    SpawnError::Refused { what, source }
}
