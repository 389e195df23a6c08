//! The process of an attempt: where it starts, who it is, what it gets and what it may use.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::DaemonConfig;
use super::draft::{Draft, Reader, Written};
use super::field::Field;
use super::policy::each;
use super::problem::{Problem, Report, escaped, shown};

/// The process of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Process {
    /// Absolute; `None`: the directory of the configuration file, see [`Process::directory`].
    pub cwd: Option<PathBuf>,
    /// The directory of the configuration file, absolute.
    pub base: PathBuf,
    /// `[daemon] env`, then the job's own `env`, merged.
    pub env: BTreeMap<String, String>,
    /// Absolute.
    pub env_file: Option<PathBuf>,
    /// Names that are passed on from the daemon's own environment; unless configured `PATH`, `HOME`, `USER`, `LOGNAME`,
    /// `SHELL`, `LANG`, `LC_ALL`, `TMPDIR` and `TZ`.
    pub inherit_env: Vec<String>,
    /// `[daemon] credentials_dir`, absolute; `None`: the one that systemd names.
    pub credentials_dir: Option<PathBuf>,
    /// A name or a number; `None`: the daemon's own.
    pub user: Option<String>,
    /// A name or a number; `None`: the first group of `user`, or the daemon's own.
    pub group: Option<String>,
    /// `None`: the daemon's own.
    pub umask: Option<u32>,
    /// -20 to 19; `None`: the daemon's own.
    pub nice: Option<i32>,
    pub limits: Limits,
}

/// What the process may use. `None`: as much as the daemon itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes, of the whole tree.
    pub memory: Option<u64>,
    /// Of the processor, by each process; whole seconds, at least 1.
    pub cpu_time: Option<Duration>,
    /// By each process.
    pub open_files: Option<u64>,
    /// Of the whole tree where there is [`Controller::Pids`], else of the user.
    pub processes: Option<u64>,
    /// Of one processor, in percent, for the whole tree; 200 is two of them.
    pub tasks_cpu: Option<u32>,
}

impl Process {
    /// Where the process starts.
    pub fn directory(&self) -> &Path {
        self.cwd.as_deref().unwrap_or(&self.base)
    }
}

/// What can limit a tree of processes, of control groups of version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    Cpu,
    Memory,
    Pids,
}

impl Controller {
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Pids];

    /// As the kernel calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// What this machine knows, and what a daemon that runs as this process does may give to its jobs.
#[derive(Clone, Debug)]
pub struct Host {
    /// The number of a user by name or number; `Ok(None)`: there is none. An error says why it cannot be told now.
    pub user: fn(&str) -> Result<Option<u32>, String>,
    /// The same of a group.
    pub group: fn(&str) -> Result<Option<u32>, String>,
    /// The effective user and group of this process.
    pub uid: u32,
    pub gid: u32,
    /// Why trees of processes cannot be limited by it; `None`: they can. Who starts no jobs tells only what no daemon of this machine
    /// can.
    pub no_controller: fn(Controller) -> Option<String>,
    /// Whether this process is to start the jobs, so that what it cannot give them is an error. Who only looks at the file may be
    /// somebody else.
    pub starts_jobs: bool,
}

impl Host {
    /// One that knows everybody and gives everything, for a text that is meant for some other machine.
    pub fn any() -> Self {
        Self { user: |_| Ok(Some(0)), group: |_| Ok(Some(0)), uid: 0, gid: 0, no_controller: |_| None, starts_jobs: false }
    }
}

/// A value and where it stands.
type Placed<T> = Option<(T, Range<usize>)>;

/// The keys as written.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessDraft {
    user: Placed<String>,
    group: Placed<String>,
    umask: Option<u32>,
    nice: Option<i32>,
    memory: Placed<u64>,
    cpu_time: Option<Duration>,
    open_files: Option<u64>,
    processes: Placed<u64>,
    tasks_cpu: Placed<u32>,
    /// The first of the keys that is there.
    first: Option<(&'static str, Range<usize>)>,
}

/// What is passed on from the daemon's environment, unless configured.
const INHERIT_ENV: [&str; 9] = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TMPDIR", "TZ"];

const KEYS: [&str; 5] = ["user", "group", "umask", "nice", "limits"];
const LIMITS: [&str; 5] = ["memory", "cpu_time", "open_files", "processes", "tasks_cpu"];

/// Below, not even a shell starts.
const MIN_MEMORY: u64 = 1 << 20;

/// `fs.nr_open` as it comes with Linux.
const MAX_OPEN_FILES: i64 = 1 << 20;

/// `PID_MAX_LIMIT` of Linux.
const MAX_PROCESSES: i64 = 1 << 22;

/// A thousand processors.
const MAX_PERCENT: u32 = 100_000;

impl ProcessDraft {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Reads one of the keys; false for any other.
    pub(super) fn read(&mut self, key: &str, field: Field<'_>, report: &mut Report) -> bool {
        let Some(known) = KEYS.into_iter().find(|known| *known == key) else { return false };
        self.first.get_or_insert((known, field.span()));
        match key {
            "user" => self.user = account(field, report),
            "group" => self.group = account(field, report),
            "umask" => self.umask = umask(field, report),
            "nice" => self.nice = field.integer(-20..=19, report).and_then(|nice| i32::try_from(nice).ok()),
            _ => self.read_limits(field, report),
        }
        true
    }

    fn read_limits(&mut self, field: Field<'_>, report: &mut Report) {
        let Some(table) = field.table("{ memory = \"512MiB\", cpu_time = \"10m\" }", report) else { return };
        each(field, table, &LIMITS, report, |key, field, report| match key {
            "memory" => self.memory = field.size(MIN_MEMORY, report).map(|bytes| (bytes, field.span())),
            "cpu_time" => self.cpu_time = whole_seconds(field, report),
            "open_files" => self.open_files = field.integer(8..=MAX_OPEN_FILES, report).map(i64::cast_unsigned),
            "processes" => self.processes = field.integer(1..=MAX_PROCESSES, report).map(|count| (count.cast_unsigned(), field.span())),
            _ => self.tasks_cpu = percent(field, report).map(|percent| (percent, field.span())),
        });
    }

    /// Limits are overridden one by one.
    pub(super) fn build(&self, defaults: &Self, process: &mut Process) {
        fn value<T: Clone>(own: Option<&(T, Range<usize>)>, default: Option<&(T, Range<usize>)>) -> Option<T> {
            own.or(default).map(|(value, _)| value.clone())
        }
        process.user = value(self.user.as_ref(), defaults.user.as_ref());
        // A group that goes with the default user says nothing about another.
        process.group = value(self.group.as_ref(), defaults.group.as_ref().filter(|_| self.user.is_none()));
        process.umask = self.umask.or(defaults.umask);
        process.nice = self.nice.or(defaults.nice);
        process.limits = Limits {
            memory: value(self.memory.as_ref(), defaults.memory.as_ref()),
            cpu_time: self.cpu_time.or(defaults.cpu_time),
            open_files: self.open_files.or(defaults.open_files),
            processes: value(self.processes.as_ref(), defaults.processes.as_ref()),
            tasks_cpu: value(self.tasks_cpu.as_ref(), defaults.tasks_cpu.as_ref()),
        };
    }
}

impl Written<'_> {
    /// Whether the work is a handler of the embedding program.
    pub(super) fn is_in_process(&self) -> bool {
        self.handlers.iter().any(|(key, _)| *key == "handler")
    }
}

impl Reader<'_> {
    /// The process of a job; shared by those that say nothing of their own about it.
    pub(super) fn process_of(&mut self, draft: &Draft<'_>, daemon: &DaemonConfig, defaults: &Draft<'_>) -> Arc<Process> {
        let has_env = !draft.env.is_empty() || draft.env_file.is_some() || draft.inherit_env.is_some();
        let plain = !has_env && draft.cwd.is_none() && draft.process.is_empty();
        if plain && let Some(shared) = &self.process {
            return Arc::clone(shared);
        }
        let process = Arc::new(self.own_process(draft, daemon, defaults));
        if plain {
            self.process = Some(Arc::clone(&process));
        }
        process
    }

    fn own_process(&self, draft: &Draft<'_>, daemon: &DaemonConfig, defaults: &Draft<'_>) -> Process {
        let mut env = daemon.env.clone();
        env.extend(defaults.env.clone());
        env.extend(draft.env.clone());
        let inherit_env = draft.inherit_env.clone().or_else(|| defaults.inherit_env.clone());
        let mut process = Process {
            cwd: draft.cwd.clone().or_else(|| defaults.cwd.clone()),
            base: self.context.base.clone(),
            env,
            env_file: draft.env_file.clone().or_else(|| defaults.env_file.clone()),
            inherit_env: inherit_env.unwrap_or_else(|| INHERIT_ENV.map(str::to_owned).to_vec()),
            credentials_dir: daemon.credentials_dir.clone(),
            ..Process::default()
        };
        draft.process.build(&defaults.process, &mut process);
        process
    }

    /// Reports what this host does not know, or a daemon on it could not give.
    pub(super) fn check_process(&mut self, draft: &Draft<'_>, defaults: &Draft<'_>) {
        let (own, inherited) = (&draft.process, &defaults.process);
        if own.is_empty() && inherited.is_empty() {
            return;
        }
        let host = &self.context.host;
        let report = &mut self.report;
        if let Some((key, span)) = own.first.clone().filter(|_| draft.written.is_in_process() && draft.written.gather.is_none()) {
            let problem = Problem::error(span, format!("`{key}` has no effect on `handler`, which runs inside the daemon"));
            report.push(problem.help(format!("remove `{key}`; it works on jobs with `command` or `shell`")));
        }
        let user = own.user.as_ref().or(inherited.user.as_ref());
        let group = own.group.as_ref().or(inherited.group.as_ref().filter(|_| own.user.is_none()));
        let uid = user.and_then(|(name, span)| known(("user", "getent passwd"), name, span, host.user, report));
        let gid = group.and_then(|(name, span)| known(("group", "getent group"), name, span, host.group, report));
        let tree = [
            ("memory", Controller::Memory, own.memory.as_ref().or(inherited.memory.as_ref()).map(|(_, span)| span)),
            ("tasks_cpu", Controller::Cpu, own.tasks_cpu.as_ref().or(inherited.tasks_cpu.as_ref()).map(|(_, span)| span)),
        ];
        for (key, controller, span) in tree {
            let Some((span, reason)) = span.zip((host.no_controller)(controller)) else { continue };
            let reason = escaped(&reason);
            report.once(if host.starts_jobs {
                let help = "under systemd: `Delegate=yes` in the unit, or `systemd-run --scope -p Delegate=yes batchd …`; elsewhere remove the limit";
                Problem::error(span.clone(), format!("`limits.{key}` needs a delegated cgroup v2: {reason}")).help(help)
            } else {
                let help = "a daemon here would refuse the file: remove the limit, or boot with `systemd.unified_cgroup_hierarchy=1`";
                Problem::warning(span.clone(), format!("`limits.{key}` cannot be held on this machine: {reason}")).help(help)
            });
        }
        if !host.starts_jobs {
            return;
        }
        if host.uid != 0 {
            let others = [("user", user, uid, host.uid), ("group", group, gid, host.gid)];
            for (key, (name, span), id, mine) in others.into_iter().filter_map(|(key, named, id, mine)| Some((key, named?, id?, mine))) {
                if id != mine {
                    let text = format!("`{key}`: a daemon of user {} cannot start processes of {key} `{}`", host.uid, shown(name));
                    report.once(Problem::error(span.clone(), text).help("only a daemon of root can: see `systemctl edit batchd`"));
                }
            }
        }
        let is_root = if user.is_some() { uid == Some(0) } else { host.uid == 0 };
        let processes = own.processes.as_ref().or(inherited.processes.as_ref()).filter(|_| is_root);
        if let Some(((_, span), reason)) = processes.zip((host.no_controller)(Controller::Pids)) {
            let text = format!("`limits.processes` does not hold root without a cgroup: {}", escaped(&reason));
            report.once(Problem::error(span.clone(), text).help("run the job as another `user`"));
        }
    }
}

/// The number of a user or group; a name that nobody has is reported.
fn known(
    (key, list): (&'static str, &str),
    name: &str,
    span: &Range<usize>,
    find: fn(&str) -> Result<Option<u32>, String>,
    report: &mut Report,
) -> Option<u32> {
    let found = report.accounts.entry((key, name.to_owned())).or_insert_with(|| find(name)).clone();
    match found {
        Ok(Some(id)) => return Some(id),
        Ok(None) => {
            let problem = Problem::error(span.clone(), format!("`{key}`: this machine has no {key} `{}`", shown(name)));
            report.once(problem.help(format!("`{list}` lists what there is")));
        }
        Err(reason) => {
            let text = format!("`{key}`: `{}` cannot be looked up now: {}; each start looks again", shown(name), shown(&reason));
            report.once(Problem::warning(span.clone(), text));
        }
    }
    None
}

/// A name or a number, as text.
fn account(field: Field<'_>, report: &mut Report) -> Placed<String> {
    if let DeValue::Integer(number) = field.value.get_ref() {
        let number = u32::from_str_radix(number.as_str(), number.radix()).ok().filter(|number| *number != u32::MAX);
        if number.is_none() {
            report.error(field.span(), format!("`{}` is out of range: allowed are 0 to {}", field.name, u32::MAX - 1));
        }
        return number.map(|number| (number.to_string(), field.span()));
    }
    let name = field.filled(&format!("name a {} of the machine", field.name), report)?;
    Some((name.to_owned(), field.span()))
}

fn umask(field: Field<'_>, report: &mut Report) -> Option<u32> {
    const HELP: &str = "write it in octal digits, in quotes: `umask = \"0027\"`";
    let text = field.filled(HELP, report)?;
    let is_octal = text.len() <= 4 && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| is_octal && *mask <= 0o777);
    if mask.is_none() {
        let message = format!("`umask` is none: \"{}\", allowed are \"0000\" to \"0777\"", shown(text));
        report.push(Problem::error(field.span(), message).help(HELP));
    }
    mask
}

fn whole_seconds(field: Field<'_>, report: &mut Report) -> Option<Duration> {
    let duration = field.positive_duration(report)?;
    if duration.subsec_nanos() != 0 {
        report.error(field.span(), format!("`{}` counts whole seconds", field.name));
        return None;
    }
    Some(duration)
}

fn percent(field: Field<'_>, report: &mut Report) -> Option<u32> {
    const HELP: &str = "write a share of one processor such as \"50%\"; \"200%\" are two";
    let text = field.filled(HELP, report)?;
    let percent =
        text.strip_suffix('%').and_then(|number| number.trim().parse().ok()).filter(|percent| (1..=MAX_PERCENT).contains(percent));
    if percent.is_none() {
        let message = format!("`{}` is not a share from \"1%\" to \"{MAX_PERCENT}%\": \"{}\"", field.name, shown(text));
        report.push(Problem::error(field.span(), message).help(HELP));
    }
    percent
}
