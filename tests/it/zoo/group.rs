//! Animals in a control group of version 2, where this machine has one to give.

use std::fs;

use super::{SHORT, check, children, job, until};
use crate::site::Site;

/// A control group that is the daemon's to divide, removed in the end; `None` where this machine has none to give.
struct Delegated(std::path::PathBuf);

impl Delegated {
    fn make() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
        let path = std::path::Path::new(mount.split(' ').nth(4)?).join(format!("batchd-zoo-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        // As systemd marks what it delegates.
        let mark = format!("import os; os.setxattr('{}', 'trusted.delegate', b'1')", path.display());
        let marked = std::process::Command::new("python3").args(["-c", &mark]).status().expect("python runs");
        Some(Self(path)).filter(|_| marked.success())
    }

    fn groups(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("it is there").flatten().filter(|entry| entry.path().is_dir());
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for group in self.groups() {
            let _ = fs::remove_dir(self.0.join(group));
        }
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "whoever reads the test's output must know what it could not test")]
fn nothing_escapes_a_control_group() {
    let Some(group) = Delegated::make() else {
        eprintln!("no control groups of version 2 here: the same is tested by session");
        let script = "setsid sh -c 'setsid sleep 1000 & exit 0' > /dev/null 2>&1 & wait; exit 4";
        return check("", script, ("failed", Some(4), None), "exit code 4");
    };
    // No mark, no session, no parent: only the control group knows.
    let hidden = "env -i setsid sh -c 'env -i setsid sleep 1000 & exit 0' > /dev/null 2>&1 & wait";
    let jobs = job("quick", "", &format!("{hidden}; exit 4"))
        + &job("slow", SHORT, &format!("trap '' TERM; {hidden}; sleep 1000"))
        + &job("keeper", "stop = { leftovers = \"leave\" }", &format!("{hidden}; exit 0"));
    let site = Site::new(&jobs);
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", group.0.display());
    let mut daemon = site.start_under(&["sh", "-c", &enter, "sh"]);
    daemon.line("attempts run in control groups of their own");
    daemon.line("ready");
    for (job, outcome) in [("quick", "failed"), ("slow", "timed_out")] {
        site.batchd(&["trigger", job, "--wait"]);
        let results = site.ask(&["results", job]);
        assert!(results.contains(&format!("\"outcome\":\"{outcome}\"")), "{results}");
        assert_eq!(group.groups(), ["daemon"], "{job}");
        until(|| children(daemon.pid()).is_empty().then_some(()));
    }
    daemon.line("killed what was left in the background");
    site.ask(&["trigger", "keeper", "--wait"]);
    daemon.line("left running in the background");
    let mut groups = group.groups();
    groups.sort();
    assert_eq!(groups, ["daemon", "left"]);
    let left = fs::read_to_string(group.0.join("left/cgroup.procs")).expect("the group");
    assert_eq!(left.lines().count(), 1, "{left}");
    fs::write(group.0.join("left/cgroup.kill"), "1").expect("it is killed");
    until(|| children(daemon.pid()).is_empty().then_some(()));
}
