//! Memory that was used for a moment goes back to the system.
//!
//! The text of a large configuration becomes a tree and the tree becomes jobs. When the tree goes, it leaves a hole below the jobs
//! that the allocator keeps for later: ten of twenty-four MiB with ten thousand jobs, and three more where their first records were
//! written.

/// Has large pieces of memory go back to the system as soon as they are free: the outputs of sixteen partials that have ended. Once, at
/// start. glibc would keep them from the second on, since it raises the size that counts as large with each. See `mallopt(3)`.
///
/// Of the small ones it keeps a MiB: with less it gives back, and asks for again, what a million quick partials need each millisecond.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe way to tell glibc this")]
pub(crate) fn keep_little() {
    const LARGE: i32 = 128 << 10;
    const KEPT: i32 = 1 << 20;
    for (parameter, value) in [(libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, KEPT)] {
        // SAFETY: takes no pointer; the parameter is one that the C library knows, and the value one that it allows.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives what the allocator holds in reserve back to the system; some milliseconds for a large heap. See `malloc_trim(3)`.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe way to ask glibc for this")]
pub(crate) fn give_back() {
    // SAFETY: `malloc_trim` takes no pointer, touches only memory that nobody has been given, and may be called from any thread.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators keep little by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn keep_little() {}

/// Other allocators give back by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back() {}
