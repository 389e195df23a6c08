//! A directory with a `jobs.toml`, and the real binary run in it. Nothing here sleeps: the daemon's own lines on stderr are
//! the signal that something has happened.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// A line that has not come by then never will, whatever else the daemon says meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nor one that does not come among so many.
const MAX_LINES: usize = 20_000;

pub(crate) struct Site {
    dir: tempfile::TempDir,
}

impl Site {
    /// A site with these jobs; the log goes to stderr as well, where the tests read it.
    pub(crate) fn new(jobs: &str) -> Self {
        let site = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        site.write_jobs(jobs);
        site
    }

    /// A site with this file as it stands.
    pub(crate) fn bare(jobs: &str) -> Self {
        let site = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        fs::write(site.path("jobs.toml"), jobs).expect("write");
        site
    }

    pub(crate) fn write_jobs(&self, jobs: &str) {
        let text = format!("[log]\nconsole = true\n[daemon]\ntimezone = \"UTC\"\n{jobs}");
        fs::write(self.path("jobs.toml.new"), text).expect("write");
        fs::rename(self.path("jobs.toml.new"), self.path("jobs.toml")).expect("rename");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_batchd"));
        command.current_dir(self.dir.path()).args(arguments).stdin(Stdio::null()).env_remove("NO_COLOR").env_remove("BATCHD_CONFIG");
        command
    }

    /// Runs a command to its end.
    pub(crate) fn batchd(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("batchd runs")
    }

    /// Starts a command that goes on.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("batchd starts")
    }

    /// What a line typed into a terminal here prints. `batchd` is the binary under test, and the time zone is UTC.
    pub(crate) fn shell(&self, line: &str) -> String {
        let path = search_path();
        let mut shell = Command::new("/bin/sh");
        shell.current_dir(self.dir.path()).env("PATH", path).env("TZ", "UTC").env_remove("BATCHD_CONFIG").stdin(Stdio::null());
        let output = shell.args(["-c", &format!("exec 2>&1\n{line}")]).output().expect("a shell runs");
        text(&output.stdout)
    }

    /// Runs a command that must succeed, and returns its stdout.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let output = self.batchd(arguments);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "batchd {arguments:?}: {}\n{stdout}{stderr}", output.status);
        stdout
    }

    pub(crate) fn ask_json(&self, arguments: &[&str]) -> serde_json::Value {
        let answer = self.ask(&[arguments, &["--json"]].concat());
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("batchd {arguments:?}: {error}: {answer}"))
    }

    /// Starts the daemon, and waits until it is ready.
    pub(crate) fn daemon(&self) -> Daemon {
        let mut daemon = self.start();
        daemon.line("ready");
        daemon
    }

    /// Starts the daemon.
    pub(crate) fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    /// Starts the daemon with these variables in its environment.
    pub(crate) fn start_with(&self, environment: &[(&str, &str)]) -> Daemon {
        let mut command = self.command(&["daemon"]);
        command.envs(environment.iter().copied());
        Self::started(&mut command)
    }

    /// Starts the daemon by another program, such as a tracer.
    pub(crate) fn start_under(&self, program: &[&str]) -> Daemon {
        let mut command = Command::new(program[0]);
        command.current_dir(self.dir.path()).args(&program[1..]).args([env!("CARGO_BIN_EXE_batchd"), "daemon"]).stdin(Stdio::null());
        command.env_remove("NO_COLOR").env_remove("BATCHD_CONFIG");
        Self::started(&mut command)
    }

    /// Starts the daemon in a mount namespace of its own, in which `dir` is a file system of `size` bytes in memory.
    pub(crate) fn start_on_a_small_disk(&self, dir: &str, size: &str) -> Daemon {
        let mount = format!("mkdir -p {dir} && mount -t tmpfs -o size={size},mode=700 tmpfs {dir} && exec \"$0\" \"$@\"");
        let own = if nix::unistd::geteuid().is_root() { "--mount" } else { "--mount --user --map-root-user" };
        let unshare: Vec<_> = ["unshare"].into_iter().chain(own.split(' ')).chain(["sh", "-c", &mount]).collect();
        self.start_under(&unshare)
    }

    /// Starts the daemon again among the mounts of one that is killed.
    pub(crate) fn restart_inside(&self, daemon: &Daemon) -> Daemon {
        let dir = self.dir.path().display();
        let line = format!("cd '{dir}'; kill -KILL {}; flock state/lock true; exec \"$0\" \"$@\"", daemon.pid());
        let enter = Self::enter(daemon);
        let enter: Vec<_> = enter.iter().map(String::as_str).chain(["sh", "-c", &line]).collect();
        self.start_under(&enter)
    }

    /// What a line prints that is typed into a terminal which sees the mounts of this daemon.
    pub(crate) fn inside(&self, daemon: &Daemon, line: &str) -> String {
        let batchd = env!("CARGO_BIN_EXE_batchd");
        let line = format!("exec 2>&1; cd '{}'; batchd() {{ '{batchd}' \"$@\"; }}; {line}", self.dir.path().display());
        let enter = Self::enter(daemon);
        let mut nsenter = Command::new(&enter[0]);
        nsenter.args(&enter[1..]).args(["sh", "-c", &line]).env_remove("BATCHD_CONFIG");
        text(&nsenter.stdin(Stdio::null()).output().expect("nsenter runs").stdout)
    }

    /// Starts the daemon of another program, which embeds it.
    pub(crate) fn start_embedded(&self, program: &Path) -> Daemon {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).arg("daemon").stdin(Stdio::null()).env_remove("NO_COLOR").env_remove("BATCHD_CONFIG");
        Self::started(&mut command)
    }

    fn enter(daemon: &Daemon) -> Vec<String> {
        let user: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &["--user", "--preserve-credentials"] };
        let pid = daemon.pid().to_string();
        ["nsenter"].into_iter().chain(user.iter().copied()).chain(["--mount", "--target", &pid]).map(str::to_owned).collect()
    }

    fn started(command: &mut Command) -> Daemon {
        // A group of its own, so that a daemon goes with the program that it was started by.
        let mut child = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("batchd starts");
        let stderr = child.stderr.take().expect("stderr is piped");
        // A daemon whose lines nobody asks for fills the pipe, and goes on without it.
        let (sender, lines) = sync_channel(MAX_LINES);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Daemon { child, lines, seen: Vec::new(), _unread: None }
    }

    /// Starts the daemon with a stderr that is a pipe which nobody reads.
    pub(crate) fn deaf(&self) -> Daemon {
        let mut child = self.command(&["daemon"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("batchd starts");
        let unread = child.stderr.take();
        Daemon { child, lines: sync_channel(0).1, seen: Vec::new(), _unread: unread }
    }
}

/// A running daemon; killed when it goes out of scope.
pub(crate) struct Daemon {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// Open as long as the daemon may write to it.
    _unread: Option<ChildStderr>,
}

impl Daemon {
    /// Waits for a line of the log that contains `part`, and returns it.
    pub(crate) fn line(&mut self, part: &str) -> String {
        let until = Instant::now() + PATIENCE;
        for _ in 0..MAX_LINES {
            let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                panic!("no line contains {part:?}; the daemon said:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
        panic!("no line of {MAX_LINES} contains {part:?}; the last was:\n{}", self.seen.last().map_or("", String::as_str));
    }

    /// The same; `None` when it has left before.
    pub(crate) fn line_if_any(&mut self, part: &str) -> Option<String> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).ok()?;
            self.seen.push(line.clone());
            if line.contains(part) {
                return Some(line);
            }
        }
    }

    /// Every line read so far.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many descriptors it holds.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it lives").count()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        kill(Pid::from_raw(pid), signal).expect("the daemon lives");
    }

    /// Waits until it has left.
    pub(crate) fn left(&mut self) -> ExitStatus {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().expect("our child"),
                Err(RecvTimeoutError::Timeout) => panic!("it does not leave; it said:\n{}", self.seen.join("\n")),
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let group = i32::try_from(self.child.id()).expect("a pid");
            // One without a group of its own is killed alone.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Where a shell looks for programs: first of all for the binary under test.
pub(crate) fn search_path() -> String {
    let binaries = PathBuf::from(env!("CARGO_BIN_EXE_batchd")).with_file_name("");
    format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap_or_default())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
