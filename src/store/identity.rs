//! Who is alive: a process is named by its pid and the boot of the machine it runs in.

use std::fs;
use std::io;

const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// The id of this boot of the machine: a UUID, new at each boot.
pub fn boot_id() -> io::Result<String> {
    fs::read_to_string(BOOT_ID_FILE).map(|text| text.trim().to_owned())
}

/// Whether a process has this pid now. One of another user counts; one that has ended and waits to be reaped does not.
pub fn is_running(pid: u32) -> bool {
    // The state follows the command, which is in parentheses and may itself contain some.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()))
        .is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Whether the process `pid` of the boot `boot_id` is still there. A pid from another boot names nobody.
pub fn is_alive(pid: u32, of_boot: &str) -> bool {
    boot_id().is_ok_and(|now| now == of_boot) && is_running(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive() {
        assert!(is_alive(std::process::id(), &boot_id().expect("Linux tells it")));
    }

    #[test]
    fn a_pid_of_another_boot_is_dead() {
        assert!(!is_alive(std::process::id(), "00000000-0000-0000-0000-000000000000"));
    }

    #[test]
    fn a_pid_beyond_the_kernel_limit_is_dead() {
        assert!(!is_running(u32::MAX));
    }
}
