//! The reading end of a pipe, on which a program prints.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::net::unix::pipe::Receiver;

/// Bytes read from a pipe at once.
const PIECE_BYTES: usize = 16 * 1024;

thread_local! {
    /// Where a thread reads what comes on a pipe: the pipes themselves hold nothing while they wait.
    static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE_BYTES]);
}

/// The reading end of a pipe.
pub(super) struct Source(Pipe);

enum Pipe {
    /// Nobody listens yet.
    Silent(OwnedFd),
    Heard(Receiver),
    Closed,
}

impl Source {
    /// Ours are the only ends that do not block: the program's is as programs expect it.
    pub(super) fn new(pipe: OwnedFd) -> io::Result<Self> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self(Pipe::Silent(pipe)))
    }

    /// From now on [`Self::readable`] tells.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        if let Pipe::Silent(pipe) = std::mem::replace(&mut self.0, Pipe::Closed) {
            self.0 = Pipe::Heard(Receiver::from_owned_fd_unchecked(pipe)?);
        }
        Ok(())
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.0, Pipe::Closed)
    }

    /// Reads no more: who writes gets a broken pipe.
    pub(super) fn close(&mut self) {
        self.0 = Pipe::Closed;
    }

    /// Ready when there is something to read, or the end, where somebody listens.
    pub(super) async fn readable(&self) {
        match &self.0 {
            // An error shows again when it is read.
            Pipe::Heard(pipe) => drop(pipe.readable().await),
            Pipe::Silent(_) | Pipe::Closed => std::future::pending().await,
        }
    }

    /// Gives what is there to `accept`; at the end the source is closed. Says whether there may be more.
    pub(super) fn read(&mut self, accept: impl FnOnce(&[u8])) -> bool {
        let read = PIECE.with_borrow_mut(|piece| {
            let length = match &self.0 {
                Pipe::Heard(pipe) => pipe.try_read(piece)?,
                Pipe::Silent(pipe) => rustix::io::retry_on_intr(|| rustix::io::read(pipe, &mut **piece))?,
                Pipe::Closed => 0,
            };
            if length > 0 {
                accept(&piece[..length]);
            }
            Ok::<_, io::Error>(length)
        });
        match read {
            Ok(1..) => return true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => self.close(),
        }
        false
    }
}
