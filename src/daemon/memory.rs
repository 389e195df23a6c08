//! Memory that was used for a moment goes back to the system.
//!
//! The text of a large configuration becomes a tree and the tree becomes jobs. When the tree goes, it leaves a hole below the jobs
//! that the allocator keeps for later: ten of twenty-four MiB with ten thousand jobs.

#[cfg(target_env = "gnu")]
/// Gives what the allocator holds in reserve back to the system; some milliseconds for a large heap. See `malloc_trim(3)`.
#[expect(unsafe_code, reason = "there is no safe way to ask glibc for this")]
pub(super) fn give_back() {
    // SAFETY: `malloc_trim` takes no pointer, touches only memory that nobody has been given, and may be called from any thread.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
/// Other allocators give back by themselves.
pub(super) fn give_back() {}
