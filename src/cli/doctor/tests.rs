//! `batchd doctor` by its whole output, on machines of our own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::cli::Look;
use crate::daemon::source;

const UNIT: &str = include_str!("../../../systemd/batchd.service");

/// A machine below a directory: its files, and a jobs.toml that may name them by `ROOT`.
struct Ward {
    root: tempfile::TempDir,
}

impl Ward {
    fn new(files: &[(&str, &str)]) -> Self {
        let ward = Self { root: tempfile::tempdir().expect("a directory") };
        let healthy = [
            ("proc/self/limits", "Max open files            65536                65536                files\n"),
            ("usr/share/zoneinfo/tzdata.zi", "# version 2099z\n"),
            ("run/systemd/timesync/synchronized", ""),
            ("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n"),
            ("proc/self/cgroup", "0::/system.slice/batchd.service\n"),
        ];
        for (path, text) in healthy.iter().chain(files) {
            ward.write(path, text);
        }
        ward
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(path, text.replace("ROOT", &self.root.path().to_string_lossy())).expect("written");
    }

    fn executable(&self, path: &str, text: &str) {
        self.write(path, text);
        fs::set_permissions(self.root.path().join(path), fs::Permissions::from_mode(0o755)).expect("set");
    }

    fn seen(&self, jobs: &str, args: DoctorArgs, now: &str) -> String {
        self.write("jobs.toml", jobs);
        let (config, _) = source::examine(&self.root.path().join("jobs.toml"), &[]).expect("valid");
        let mount = format!("1 0 0:1 / {} rw - ext4 /dev/vda rw\n", self.root.path().display());
        let mounts = fs::read_to_string(self.root.path().join("proc/self/mountinfo")).unwrap_or_default();
        self.write("proc/self/mountinfo", &(mount + &mounts));
        let mut machine = Machine::below(self.root.path(), now.parse().expect("a time"));
        machine.bundled = "2026f";
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = examine(&config, &machine, args, &mut Screen::new(&mut out, &mut err, Look::default())).expect("an answer");
        let text = String::from_utf8(out).expect("text").replace(&*self.root.path().to_string_lossy(), "");
        let room = regex::Regex::new(r"[0-9.]+ [KMGT]iB free").expect("a pattern");
        format!("{exit:?}\n{}", room.replace_all(&text, "ROOM free"))
    }

    fn path(&self) -> &Path {
        self.root.path()
    }
}

const NOW: &str = "2026-11-26T10:00:00Z";
const HEALTHY: &str = "[jobs.a]\nschedule = \"@daily\"\ncommand = [\"/bin/sh\", \"-c\", \"true\"]\n";

#[test]
fn all_is_well() {
    insta::assert_snapshot!(Ward::new(&[]).seen(HEALTHY, DoctorArgs::default(), NOW), @"
    Done
    ok        file: 1 job, no problem
    ok        state: `/state`: ext4, ROOM free
    ok        log: `/logs`: ext4, ROOM free
    ok        limits: 65536 open files
    ok        zones: the system's zone data, 2099z
    ok        clock: synchronised
    ok        cgroup: version 2 with cpu memory pids; the group is not ours to divide here; the unit's `Delegate=yes` makes it so

    nothing is wrong
    ");
}

#[test]
fn json() {
    let args = DoctorArgs { json: true, ..DoctorArgs::default() };
    let jobs = "[jobs.a]\nschedule = \"@daily\"\ncommand = [\"/nowhere/a\"]\n";
    insta::assert_snapshot!(Ward::new(&[]).seen(jobs, args, NOW), @r#"
    WorkFailed
    {
      "ok": false,
      "checks": [
        {
          "verdict": "good",
          "area": "file",
          "job": null,
          "message": "1 job, no problem",
          "help": null
        },
        {
          "verdict": "good",
          "area": "state",
          "job": null,
          "message": "`/state`: ext4, ROOM free",
          "help": null
        },
        {
          "verdict": "good",
          "area": "log",
          "job": null,
          "message": "`/logs`: ext4, ROOM free",
          "help": null
        },
        {
          "verdict": "good",
          "area": "limits",
          "job": null,
          "message": "65536 open files",
          "help": null
        },
        {
          "verdict": "good",
          "area": "zones",
          "job": null,
          "message": "the system's zone data, 2099z",
          "help": null
        },
        {
          "verdict": "good",
          "area": "clock",
          "job": null,
          "message": "synchronised",
          "help": null
        },
        {
          "verdict": "good",
          "area": "cgroup",
          "job": null,
          "message": "version 2 with cpu memory pids; the group is not ours to divide here; the unit's `Delegate=yes` makes it so",
          "help": null
        },
        {
          "verdict": "bad",
          "area": "program",
          "job": "a",
          "message": "`/nowhere/a` is not there",
          "help": null
        }
      ]
    }
    "#);
}

#[test]
fn an_unfit_machine() {
    let ward = Ward::new(&[
        ("proc/self/limits", "Max open files            256                  65536                files\n"),
        ("usr/share/zoneinfo/tzdata.zi", "# version 2020a\n"),
        ("proc/self/mountinfo", "2 0 0:2 / ROOT/net rw - nfs4 server:/ rw\n3 0 0:3 / ROOT/ram rw - tmpfs tmpfs rw\n"),
    ]);
    fs::remove_file(ward.path().join("sys/fs/cgroup/cgroup.controllers")).expect("removed");
    let jobs = format!("[daemon]\nstate_dir = \"net/state\"\n[log]\ndir = \"ram/logs\"\n{HEALTHY}");
    insta::assert_snapshot!(ward.seen(&jobs, DoctorArgs { quiet: true, json: false }, "1970-01-02T00:00:00Z"), @"
    WorkFailed
    wrong     state: `/net/state` is on nfs4
              → use a local disk: locks and the order of writes are not kept over a network
    doubtful  log: `/ram/logs` is on tmpfs: all of it is gone after a reboot
    doubtful  limits: 256 open files are allowed, and `max_partials = 64` may need 512
              → LimitNOFILE= in the unit, or `ulimit -n`; or a smaller `max_partials`
    doubtful  zones: the system's zone data is 2020a, the copy inside batchd is 2026f; the system's counts
              → update tzdata, and reload: a changed daylight saving rule moves fires
    wrong     clock: the clock says 1970-01-02; the daemon waits until it is set
              → set it, or let NTP: `timedatectl set-ntp true`
    doubtful  cgroup: no control groups of version 2: programs are stopped by their session, and their memory cannot be limited together

    2 wrong, 4 doubtful
    ");
}

#[test]
fn what_would_break_which_job() {
    let ward = Ward::new(&[("bin/data.txt", "no program")]);
    ward.executable("bin/crlf", "#!/bin/sh\r\n");
    ward.executable("bin/old.py", "#!/usr/bin/python2.3\n");
    ward.executable("bin/env", "#!/usr/bin/env -S no-such-program -x\n");
    let job = |name: &str, rest: &str| format!("[jobs.{name}]\nschedule = \"@daily\"\n{rest}\n");
    let jobs = [
        job("crlf", "command = [\"bin/crlf\"]"),
        job("directory", "command = [\"/bin/true\"]\ncwd = \"nowhere\""),
        job("env", "command = [\"bin/env\"]\nenv = { PATH = \"/nowhere\" }"),
        job("file", "command = [\"/bin/true\"]\nenv_file = \"no.env\""),
        job("gather", "command = [\"/bin/true\"]\ngather = [\"/nowhere/sum\"]"),
        job("mode", "command = [\"bin/data.txt\"]"),
        job("path", "command = [\"no-such-program\"]\nenv = { PATH = \"/bin\" }"),
        job("script", "shell = \"cd / && no-such-program {{ nominal }} | sort\"\nenv = { PATH = \"/usr/bin:/bin\" }"),
        job("shebang", "command = [\"bin/old.py\"]"),
        job("template", "command = [\"{{ env.X }}/a\"]\nenv = { X = \"/b\" }"),
    ];
    insta::assert_snapshot!(ward.seen(&jobs.concat(), DoctorArgs { quiet: true, json: false }, NOW), @"
    WorkFailed
    wrong     job crlf: the first line of `/bin/crlf` ends with a carriage return
              → the file has the line ends of Windows: `dos2unix` mends it
    wrong     job directory: it cannot start in `/nowhere`: No such file or directory (os error 2)
    wrong     job env: `no-such-program`, which `/bin/env` asks `env` for, is not in the PATH `/nowhere`
    wrong     job file: `/no.env` cannot be read
    wrong     job gather: `/nowhere/sum` is not there
    wrong     job mode: `/bin/data.txt` is not executable: set its x bit
    wrong     job path: `no-such-program` is not in the PATH `/bin`
    doubtful  job script: `no-such-program` is not in the PATH `/usr/bin:/bin`
              → the script may not reach it, or bring it; if it does, it fails there
    wrong     job shebang: the interpreter `/usr/bin/python2.3` of `/bin/old.py` is not there

    8 wrong, 1 doubtful
    ");
}

#[test]
fn what_the_unit_forbids() {
    let ward = Ward::new(&[("etc/systemd/system/batchd.service", UNIT)]);
    let job = |name: &str, rest: &str| format!("[jobs.{name}]\nschedule = \"@daily\"\nenv = {{ PATH = \"/usr/bin:/bin\" }}\n{rest}\n");
    let jobs = [
        job("good", "command = [\"/bin/true\"]\ncwd = \"/var/lib\""),
        job("home", "shell = \"true\"\ncwd = \"/home\""),
        job("jit", "shell = \"node -e 1\"\ncwd = \"/\""),
        job("nice", "shell = \"nice true\"\ncwd = \"/\""),
        job("su", "shell = \"su -c true shop\"\ncwd = \"/\""),
        job("tmp", "shell = \"true\"\ncwd = \"/tmp\""),
    ];
    let jobs = format!("[daemon]\nstate_dir = \"state\"\n{}", jobs.concat());
    let args = DoctorArgs { quiet: true, json: false };
    insta::assert_snapshot!(without_missing(&ward.seen(&jobs, args, NOW)), @"
    WorkFailed
    doubtful  job good: it cannot write in its directory `/var/lib`: ProtectSystem=strict in the unit
              → `systemctl edit batchd`, with `[Service]` and `ReadWritePaths=/var/lib`, when the job needs it
    wrong     job home: `/home` is not there for jobs: ProtectHome=yes in the unit
              → `systemctl edit batchd`, with `[Service]` and `ProtectHome=read-only`, when the job needs it
    doubtful  job home: it cannot write in its directory `/home`: ProtectSystem=strict in the unit
              → `systemctl edit batchd`, with `[Service]` and `ReadWritePaths=/home`, when the job needs it
    wrong     job jit: `node` compiles while it runs: MemoryDenyWriteExecute=yes in the unit
              → `systemctl edit batchd`, with `[Service]` and `MemoryDenyWriteExecute=no`, when the job needs it
    doubtful  job jit: it cannot write in its directory `/`: ProtectSystem=strict in the unit
              → `systemctl edit batchd`, with `[Service]` and `ReadWritePaths=/`, when the job needs it
    doubtful  job nice: `nice` has no effect, or fails: the unit refuses @resources
              → `systemctl edit batchd`, with `[Service]` and `SystemCallFilter=@resources`, when the job needs it
    doubtful  job nice: it cannot write in its directory `/`: ProtectSystem=strict in the unit
              → `systemctl edit batchd`, with `[Service]` and `ReadWritePaths=/`, when the job needs it
    wrong     job su: `su` cannot become another user: NoNewPrivileges=yes in the unit
              → `systemctl edit batchd`, with `[Service]` and `NoNewPrivileges=no`, when the job needs it
    doubtful  job su: it cannot write in its directory `/`: ProtectSystem=strict in the unit
              → `systemctl edit batchd`, with `[Service]` and `ReadWritePaths=/`, when the job needs it
    wrong     job tmp: `/tmp` is another one for jobs: PrivateTmp=yes in the unit gives the daemon its own
              → `systemctl edit batchd`, with `[Service]` and `PrivateTmp=no`, when the job needs it
    ");
    let drop_in = "[Service]\nNoNewPrivileges=no\nProtectHome=read-only\nPrivateTmp=no\nMemoryDenyWriteExecute=no\n\
                   SystemCallFilter=@resources\nReadWritePaths=/\n";
    ward.write("etc/systemd/system/batchd.service.d/override.conf", drop_in);
    insta::assert_snapshot!(without_missing(&ward.seen(&jobs, args, NOW)), @"
    Done
    doubtful  job home: `/home` can only be read by jobs: ProtectHome=read-only in the unit
              → `systemctl edit batchd`, with `[Service]` and `ProtectHome=no`, when the job needs it
    ");
}

#[test]
fn limits_that_nothing_here_could_hold() {
    let jobs = "[jobs.a]\nschedule = \"@daily\"\ncommand = [\"/bin/true\"]\ncwd = \"/tmp\"\n\
                nice = 5\nlimits = { memory = \"64MiB\", tasks_cpu = \"50%\", open_files = 64 }\n";
    let args = DoctorArgs { quiet: true, json: false };
    let unit = |text: &str| Ward::new(&[("etc/systemd/system/batchd.service", &format!("[Service]\n{text}\n"))]).seen(jobs, args, NOW);
    assert_eq!(unit("Delegate=yes"), "Done\n\nnothing is wrong\n");
    assert_eq!(unit("Delegate=cpu memory"), "Done\n\nnothing is wrong\n");
    insta::assert_snapshot!(unit("Delegate=cpu"), @"
    WorkFailed
    wrong     job a: `limits.memory` cannot be held, and the file is refused: the unit has no `Delegate=yes`
              → `systemctl edit batchd`, with `[Service]` and `Delegate=yes`, when the job needs it

    1 wrong, 0 doubtful
    ");
    insta::assert_snapshot!(unit("Delegate=yes\nProtectControlGroups=yes\nSystemCallFilter=~@resources"), @"
    WorkFailed
    wrong     job a: `limits.memory` cannot be held, and the file is refused: ProtectControlGroups=yes in the unit
              → `systemctl edit batchd`, with `[Service]` and `ProtectControlGroups=no`, when the job needs it
    wrong     job a: `limits.tasks_cpu` cannot be held, and the file is refused: ProtectControlGroups=yes in the unit
              → `systemctl edit batchd`, with `[Service]` and `ProtectControlGroups=no`, when the job needs it
    wrong     job a: `nice` cannot be set, and no attempt starts: the unit refuses @resources
              → `systemctl edit batchd`, with `[Service]` and `SystemCallFilter=@resources`, when the job needs it

    3 wrong, 0 doubtful
    ");
    let ward = Ward::new(&[("sys/fs/cgroup/cgroup.controllers", "cpu pids\n")]);
    insta::assert_snapshot!(ward.seen(jobs, args, NOW), @"
    WorkFailed
    wrong     job a: `limits.memory` cannot be held, and the file is refused: the kernel was booted without the controller `memory`
              → remove it; or boot with `systemd.unified_cgroup_hierarchy=1`

    1 wrong, 0 doubtful
    ");
    fs::remove_file(ward.path().join("sys/fs/cgroup/cgroup.controllers")).expect("removed");
    insta::assert_snapshot!(ward.seen(jobs, args, NOW), @"
    WorkFailed
    doubtful  cgroup: no control groups of version 2: programs are stopped by their session, and their memory cannot be limited together
    wrong     job a: `limits.memory` cannot be held, and the file is refused: no control groups of version 2 at `/sys/fs/cgroup`
              → remove it; or boot with `systemd.unified_cgroup_hierarchy=1`
    wrong     job a: `limits.tasks_cpu` cannot be held, and the file is refused: no control groups of version 2 at `/sys/fs/cgroup`
              → remove it; or boot with `systemd.unified_cgroup_hierarchy=1`

    2 wrong, 1 doubtful
    ");
}

#[test]
fn what_the_unit_forbids_besides() {
    let ward = Ward::new(&[("etc/systemd/system/batchd.service", UNIT)]);
    let job = |name: &str, rest: &str| {
        format!("[jobs.{name}]\nschedule = \"@daily\"\nenv = {{ PATH = \"/usr/bin:/bin\" }}\ncwd = \"/var/lib/batchd\"\n{rest}\n")
    };
    let jobs = [
        job("chrt", "shell = \"chrt -f 10 true\""),
        job("device", "command = [\"/bin/dd\", \"if=/dev/sda\", \"of=/dev/null\"]"),
        job("files", "shell = \"true\"\nlimits = { open_files = 100000 }"),
        job("good", "shell = \"date > /var/log/batchd/date 2>&1; date > /dev/null\"\nlimits = { open_files = 100 }"),
        job("log", "shell = \"date >> /var/log/date.log 2>&1\""),
        job("netlink", "shell = \"ip addr\""),
        job("space", "shell = \"unshare -r true\""),
        job("ulimit", "shell = \"ulimit -n 100000; true\""),
    ];
    let args = DoctorArgs { quiet: true, json: false };
    let seen = |ward: &Ward| {
        let seen = without_missing(&ward.seen(&jobs.concat(), args, NOW));
        let lines: Vec<&str> = seen.lines().filter(|line| !line.contains("/var/lib/batchd`: No such file")).collect();
        lines.join("\n")
    };
    insta::assert_snapshot!(seen(&ward), @"
    WorkFailed
    wrong     job chrt: `chrt` fails: RestrictRealtime=yes, or a SystemCallFilter without @resources, in the unit
              → `systemctl edit batchd`, with `[Service]` and `RestrictRealtime=no` and `SystemCallFilter=@resources`, when the job needs it
    wrong     job device: `/dev/sda` is not there for jobs: PrivateDevices=yes in the unit
              → `systemctl edit batchd`, with `[Service]` and `PrivateDevices=no`, when the job needs it
    wrong     job files: `limits.open_files = 100000` cannot be set, and no attempt starts: LimitNOFILE=65536 in the unit
              → `systemctl edit batchd`, with `[Service]` and `LimitNOFILE=100000`, when the job needs it
    wrong     job log: it cannot write `/var/log/date.log`: ProtectSystem=strict in the unit
              → `systemctl edit batchd`, with `[Service]` and `ReadWritePaths=/var/log`, when the job needs it
    wrong     job netlink: `ip` cannot ask the kernel: RestrictAddressFamilies= in the unit has no AF_NETLINK
              → `systemctl edit batchd`, with `[Service]` and `RestrictAddressFamilies=AF_NETLINK`, when the job needs it
    wrong     job space: `unshare` cannot make a namespace: RestrictNamespaces=yes in the unit
              → `systemctl edit batchd`, with `[Service]` and `RestrictNamespaces=no`, when the job needs it
    doubtful  job ulimit: `ulimit` raises nothing above the unit's own limits, such as LimitNOFILE=65536
              → `systemctl edit batchd`, with `[Service]` and `LimitNOFILE=…`, when the job needs it
    ");
    let drop_in = "[Service]\nRestrictNamespaces=no\nRestrictAddressFamilies=AF_NETLINK\nSystemCallFilter=@resources\n\
                   RestrictRealtime=no\nReadWritePaths=/var/log\nLimitNOFILE=200000\nPrivateDevices=no\n";
    ward.write("etc/systemd/system/batchd.service.d/override.conf", drop_in);
    insta::assert_snapshot!(seen(&ward), @"
    WorkFailed
    doubtful  job ulimit: `ulimit` raises nothing above the unit's own limits, such as LimitNOFILE=200000
              → `systemctl edit batchd`, with `[Service]` and `LimitNOFILE=…`, when the job needs it
    ");
}

/// Without the programs that only some machines have, and the count of all.
fn without_missing(seen: &str) -> String {
    let mut lines: Vec<&str> =
        seen.lines().filter(|line| !line.contains("is not in the PATH") && !line.contains("the script may not reach it")).collect();
    lines.pop();
    lines.join("\n")
}
