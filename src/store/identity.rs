//! Which boot this is, and whether the program behind a pid of some boot is still alive.

use std::fs;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// The kernel's name for this boot of the machine (random(4)), or `unknown` where `/proc` is not mounted.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(|_| "unknown".to_owned(), |id| id.trim().to_owned())
}

/// Whether the program `pid` of boot `boot_id` may be alive; when in doubt, it is.
pub fn is_alive(pid: u32, of_boot: &str) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    of_boot == boot_id() && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_alive_and_other_boots_are_not() {
        assert!(is_alive(std::process::id(), &boot_id()));
        assert!(!is_alive(std::process::id(), "an earlier boot"));
        assert!(!is_alive(u32::MAX, &boot_id()));
    }
}
