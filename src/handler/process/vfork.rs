//! Starts a program and reaps it: the two system calls that no safe crate has in the form that is needed.
//!
//! [`start`] does what `posix_spawn` of the C library does, by the same means: a child that shares the memory until it has its
//! program, so that a start costs the same however large the daemon is. What `posix_spawn` lacks, and what else would take a
//! second program in between, is done in the child: a session of its own, the working directory, the soft limit of open files
//! that the daemon itself was started with, no descriptor of whoever started the daemon, no ignored signal, and its control
//! group, in which it is from its first instruction on. The error names the step that failed.
//!
//! [`reap`] is `wait4`, which also tells what the process took.

use std::cell::{RefCell, UnsafeCell};
use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;
use std::time::Duration;

use rustix::process::Pid;

use super::super::variables::Variables;

/// The child makes a handful of system calls and no call that needs more; debug builds take the most.
const STACK_BYTES: usize = 64 * 1024;

thread_local! {
    /// The stack of a child, for which its thread waits: one after the other has it. Of a new one the allocator would tidy up each time.
    static STACK: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(STACK_BYTES));
}

/// The last signal that Linux has.
const LAST_SIGNAL: c_int = 64;

/// The size of a signal mask, and of an action, as the kernel sees them. All zero is the default action on every architecture.
const MASK_BYTES: usize = 8;
const ACTION_BYTES: usize = 32;

/// What is to be started.
#[derive(Debug)]
pub(super) struct Image<'a> {
    pub(super) program: CString,
    pub(super) arguments: Vec<CString>,
    pub(super) environment: &'a Variables,
    pub(super) directory: CString,
    /// Become its descriptors 0, 1 and 2. Must be above 2 here.
    pub(super) stdio: [BorrowedFd<'a>; 3],
    /// The soft and the hard limit of open files; `None`: as here.
    pub(super) open_files: Option<(u64, u64)>,
    /// Whether the kernel would rather kill any other process than this one for want of memory; not so its child.
    pub(super) is_daemon_protected: bool,
    /// The open `cgroup.procs` of the control group that it joins.
    pub(super) cgroup: Option<BorrowedFd<'a>>,
}

/// What a start does, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Making the process.
    Clone,
    Session,
    Cgroup,
    Directory,
    Limits,
    Stdio,
    Exec,
}

/// How a process ended and what it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reaped {
    pub(super) status: ExitStatus,
    /// User and system time, with that of the children it has waited for.
    pub(super) cpu: Duration,
    /// The most memory that it, or one of those children, had at once, in bytes. Never below what the daemon had at the start.
    pub(super) max_rss: u64,
}

/// What the child is given and what it leaves, on the stack of the one who waits for it.
struct Order<'a> {
    image: &'a Image<'a>,
    arguments: &'a [*const c_char],
    environment: &'a [*const c_char],
    failure: UnsafeCell<Option<(Step, c_int)>>,
}

/// Starts a program. Returns once the child has it, or has failed and is gone.
pub(super) fn start(image: &Image<'_>) -> Result<Pid, (Step, io::Error)> {
    let arguments = pointers(image.arguments.iter().map(|text| text.as_ptr()));
    let environment = pointers(image.environment.texts().map(|text| text.as_ptr().cast()));
    let order = Order { image, arguments: &arguments, environment: &environment, failure: UnsafeCell::new(None) };
    STACK.with_borrow_mut(|stack| start_on(stack.spare_capacity_mut(), order))
}

fn start_on(stack: &mut [MaybeUninit<u8>], order: Order<'_>) -> Result<Pid, (Step, io::Error)> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // The kernel drops SIGCHLD, which nobody handles, only where it is not blocked: else each end of a child during the start of
    // another would wake a thread for nothing.
    let all_but_sigchld = !(1_u64 << (libc::SIGCHLD - 1));
    let mut before = 0_u64;
    // SAFETY: all pointers are valid for as long as the calls take, since CLONE_VFORK keeps this thread waiting until the child
    // has its program or is gone: the stack, the order and what it points to, whose texts end with a NUL, outlive the child's use of them. The child runs on
    // a stack of its own, whose top is aligned as every architecture asks. No signal is taken on it: all are blocked but SIGCHLD,
    // which is for the parents of children, by the system call itself, since the library's wrapper would leave its own two out.
    let (pid, errno) = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all_but_sigchld, &raw mut before, MASK_BYTES);
        let top = stack.as_mut_ptr_range().end;
        let top = top.sub(top.addr() % 16).cast::<c_void>();
        let pid = libc::clone(child, top, flags, (&raw const order).cast_mut().cast::<c_void>());
        let errno = io::Error::last_os_error();
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const before, ptr::null_mut::<u64>(), MASK_BYTES);
        (pid, errno)
    };
    let Some(pid) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else { return Err((Step::Clone, errno)) };
    match order.failure.into_inner() {
        None => Ok(pid),
        Some((step, errno)) => {
            // It has left already; its status is of no interest.
            let _ = reap(pid, true);
            Err((step, io::Error::from_raw_os_error(errno)))
        }
    }
}

/// Takes the status of a child that has ended; `None`: it has not. One that is to be waited for is waited for.
pub(super) fn reap(pid: Pid, waits: bool) -> io::Result<Option<Reaped>> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let options = if waits { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: both point to room for what the kernel writes.
        match unsafe { libc::wait4(pid.as_raw_nonzero().get(), &raw mut status, options, usage.as_mut_ptr()) } {
            0 => return Ok(None),
            1.. => break,
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    // SAFETY: zeroed, which is a valid value, or written by the kernel.
    let usage = unsafe { usage.assume_init() };
    Ok(Some(Reaped {
        status: ExitStatus::from_raw(status),
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        max_rss: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
    }))
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0)) + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}

/// As the kernel takes them: with a null at the end.
fn pointers(texts: impl ExactSizeIterator<Item = *const c_char>) -> Vec<*const c_char> {
    let mut pointers = Vec::with_capacity(texts.len() + 1);
    pointers.extend(texts);
    pointers.push(ptr::null());
    pointers
}

/// The child. It shares the memory of the daemon, whose other threads run on: it must not allocate, lock, panic or return to
/// anything but its end, and calls nothing but the system.
extern "C" fn child(order: *mut c_void) -> c_int {
    // SAFETY: `start` passes an order that outlives the child.
    let order = unsafe { &*order.cast::<Order<'_>>() };
    let failure = become_program(order);
    // SAFETY: the parent looks at it only when the child is gone.
    unsafe { *order.failure.get() = Some(failure) };
    // SAFETY: ends the process at once, without what a normal exit would do to the shared memory.
    unsafe { libc::_exit(127) }
}

/// Returns only when a step fails.
fn become_program(order: &Order<'_>) -> (Step, c_int) {
    let image = order.image;
    // SAFETY: system calls on valid pointers and descriptors of the child's own table. The actions of the signals become the
    // default ones before the mask is emptied, so that no handler of the daemon runs here.
    unsafe {
        if libc::setsid() < 0 {
            return failed(Step::Session);
        }
        if let Some(cgroup) = image.cgroup
            && libc::write(cgroup.as_raw_fd(), c"0".as_ptr().cast(), 1) < 0
        {
            return failed(Step::Cgroup);
        }
        if image.is_daemon_protected {
            lose_protection();
        }
        if libc::chdir(image.directory.as_ptr()) < 0 {
            return failed(Step::Directory);
        }
        if let Some(limit) = image.open_files.map(|(rlim_cur, rlim_max)| libc::rlimit { rlim_cur, rlim_max })
            && libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) < 0
        {
            return failed(Step::Limits);
        }
        for (number, descriptor) in (0..).zip(image.stdio) {
            if libc::dup2(descriptor.as_raw_fd(), number) < 0 {
                return failed(Step::Stdio);
            }
        }
        // What the daemon opens closes itself; this is for what it was started with. Kernels before 5.9 leave that open.
        libc::syscall(libc::SYS_close_range, 3 as c_long, c_long::from(c_int::MAX), 0 as c_long);
        reset_signals();
        libc::execve(image.program.as_ptr(), order.arguments.as_ptr(), order.environment.as_ptr());
        failed(Step::Exec)
    }
}

/// The kernel is to kill it as soon as any other process. Where that cannot be said it would only be killed later: no reason not to
/// start it.
///
/// # Safety
///
/// Only in a child: calls nothing but the system.
unsafe fn lose_protection() {
    // SAFETY: on texts that live for ever, and a descriptor of the child's own, which the exec closes.
    unsafe {
        let score = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        libc::write(score, c"0".as_ptr().cast(), 1);
    }
}

/// # Safety
///
/// Only in a child that does not share its signal actions.
unsafe fn reset_signals() {
    let (action, nothing) = ([0_u8; ACTION_BYTES], 0_u64);
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: the action is as large as the largest there is. SIGKILL and SIGSTOP refuse, and need none.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), ptr::null_mut::<u8>(), MASK_BYTES) };
    }
    // SAFETY: reads eight bytes.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const nothing, ptr::null_mut::<u64>(), MASK_BYTES) };
}

fn failed(step: Step) -> (Step, c_int) {
    // SAFETY: the error number of this thread, which the child has from the one that waits for it.
    (step, unsafe { *libc::__errno_location() })
}
