//! On texts and directories that look like those of the kernel.

use super::*;

#[test]
fn the_own_group_is_found_below_its_mount() {
    let mounts = "30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                  31 30 0:27 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw\n";
    let group = |groups| find_group(mounts, groups).map(|path| path.display().to_string());
    assert_eq!(
        group("1:name=systemd:/\n0::/system.slice/batchd.service\n").as_deref(),
        Some("/sys/fs/cgroup/unified/system.slice/batchd.service")
    );
    assert_eq!(group("0::/\n").as_deref(), Some("/sys/fs/cgroup/unified/"));
    assert_eq!(group("1:name=systemd:/\n"), None);
    let inside = "31 30 0:27 /system.slice/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    assert_eq!(find_group(inside, "0::/system.slice/x/y\n"), Some("/sys/fs/cgroup/y".into()));
    assert_eq!(find_group(inside, "0::/elsewhere\n"), None);
}

/// A directory that is to look like the group of an attempt with these files; what they hold once it was made within the limits.
fn made(files: &[&str], limits: &Limits, lacking: &[Controller]) -> Result<Vec<String>, String> {
    let root = tempfile::tempdir().expect("a directory");
    let group = root.path().join(format!("{PREFIX}{}-x", std::process::id()));
    create(&group).expect("a group");
    for file in files {
        fs::write(group.join(file), "").expect("a file");
    }
    let lacking = lacking.iter().map(|controller| (*controller, "not here".to_owned())).collect();
    let made = Cgroup::within(&Division { root: root.path().to_owned(), lacking }, "x", limits);
    made.map(|_| files.iter().map(|file| fs::read_to_string(group.join(file)).expect("a file")).collect())
        .map_err(|error| error.to_string())
}

#[test]
fn the_limits_of_an_attempt_are_written_to_its_group() {
    let limits = Limits { memory: Some(64 << 20), tasks_cpu: Some(50), processes: Some(9), ..Limits::default() };
    let files = ["memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max"];
    let check = |files: &[&str], lacking: &[Controller], expected: Result<&[&str], &str>| {
        let expected = expected.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect()).map_err(str::to_owned);
        assert_eq!(made(files, &limits, lacking), expected, "{files:?} {lacking:?}");
    };
    check(&files, &[], Ok(&["67108864", "0", "1", "50000 100000", "9"]));
    check(&files, &[Controller::Pids], Ok(&["67108864", "0", "1", "50000 100000", ""]));
    // A machine without swap, and with an old kernel.
    check(&["memory.max", "cpu.max", "pids.max"], &[], Ok(&["67108864", "50000 100000", "9"]));
    check(&["memory.max", "pids.max"], &[], Err("`cpu.max`: No such file or directory (os error 2)"));
    check(&["cpu.max", "pids.max"], &[], Err("`memory.max`: No such file or directory (os error 2)"));
}

#[test]
fn controllers_are_enabled_or_it_is_said_why_not() {
    let root = tempfile::tempdir().expect("a directory");
    let shown = root.path().display();
    fs::write(root.path().join("cgroup.controllers"), "cpuset cpu memory\n").expect("a file");
    assert_eq!(enable(root.path(), Controller::Pids), Err(format!("`{shown}` has no controller `pids`")));
    assert_eq!(enable(root.path(), Controller::Memory), Ok(()));
    assert_eq!(fs::read_to_string(root.path().join("cgroup.subtree_control")).expect("written"), "+memory");
    fs::remove_file(root.path().join("cgroup.subtree_control")).expect("removed");
    fs::create_dir(root.path().join("cgroup.subtree_control")).expect("in the way");
    let refused = enable(root.path(), Controller::Cpu).expect_err("a directory");
    assert!(refused.starts_with(&format!("`{shown}` does not give its controller `cpu` on: ")), "{refused}");
}

#[test]
fn numbers_are_read_by_name() {
    let text = "populated 1\nfrozen 0\noom 3\noom_kill 2\n";
    assert_eq!([field(text, "oom_kill"), field(text, "frozen"), field(text, "none")], [Some(2), Some(0), None]);
    assert!(populated(text) && !populated("populated 0\n"));
}
