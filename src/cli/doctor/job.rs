//! What one job needs: its programs, their interpreters, its directory, its files.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use super::machine::Machine;
use super::sandbox::{Needs, Sandbox};
use super::{Check, limits};
use crate::config::{Gather, Job, Work};
use crate::exchange::{programs, written_files};
use crate::handler::DEFAULT_PATH;

/// The longest first line of a script that is read.
const MAX_SHEBANG: u64 = 256;

/// What the shell knows by itself.
const BUILT_IN: [&str; 30] = [
    "cd", "test", "[", "[[", "command", "true", "false", ":", "export", "set", "umask", "echo", "exit", "source", ".", "ulimit", "trap",
    "unset", "type", "printf", "read", "eval", "exec", "shift", "wait", "kill", "return", "local", "for", "case",
];

/// What would break the job, and what may.
pub(super) fn checks(job: &Job, machine: &Machine, sandbox: Option<&Sandbox>) -> Vec<Check> {
    let process = &job.process;
    let directory = process.directory();
    let mut checks = Vec::new();
    if let Some(problem) = unusable_directory(directory) {
        checks.push(problem);
    }
    if let Some(file) = &process.env_file
        && access(file, AccessFlags::R_OK).is_err()
    {
        checks.push(Check::bad("env_file", format!("`{}` cannot be read", file.display())));
    }
    checks.extend(limits::checks(process, machine, sandbox));
    let path = search_path(job);
    let mut found: Vec<(String, Option<PathBuf>)> = Vec::new();
    for argv in [argv(&job.work), job.gather.as_ref().and_then(Gather::argv)].into_iter().flatten() {
        let Some(program) = argv.first().filter(|program| !is_template(program)) else { continue };
        match find(program, &path, directory) {
            Ok(file) => {
                checks.extend(interpreter(&file, &path, directory));
                found.push((program.clone(), Some(file)));
            }
            Err(reason) => {
                checks.push(Check::bad("program", reason));
                found.push((program.clone(), None));
            }
        }
    }
    for program in scripts(job).iter().flat_map(|script| programs(script)) {
        let is_external = is_plain(&program) && !BUILT_IN.contains(&program.as_str());
        if !is_external || found.iter().any(|(known, _)| *known == program) {
            continue;
        }
        let file = find(&program, &path, directory);
        if let Err(reason) = &file {
            checks.push(
                Check::doubtful("program", reason.clone()).help("the script may not reach it, or bring it; if it does, it fails there"),
            );
        }
        found.push((program, file.ok()));
    }
    if let Some(sandbox) = sandbox {
        let files = found.iter().filter_map(|(_, file)| file.as_deref());
        let paths = std::iter::once(directory).chain(process.env_file.as_deref()).chain(files).collect();
        let scripts = scripts(job);
        let names = found.iter().map(|(program, _)| program.rsplit('/').next().unwrap_or(program).to_owned());
        // Of what the shell knows by itself, one can fail in a unit.
        let limiting = scripts.iter().flat_map(|script| programs(script)).filter(|program| program == "ulimit");
        let written = scripts.iter().flat_map(|script| written_files(script)).filter(|file| file.starts_with('/') && is_plain(file));
        let needs = Needs {
            programs: names.chain(limiting).collect(),
            paths,
            directory: process.cwd.as_deref(),
            written: written.collect(),
            devices: devices(job),
            open_files: process.limits.open_files,
        };
        checks.extend(sandbox.checks(&needs));
    }
    checks
}

fn unusable_directory(directory: &Path) -> Option<Check> {
    let shown = directory.display();
    match directory.metadata() {
        Err(error) => Some(Check::bad("cwd", format!("it cannot start in `{shown}`: {error}"))),
        Ok(found) if !found.is_dir() => Some(Check::bad("cwd", format!("it cannot start in `{shown}`, which is no directory"))),
        Ok(_) if access(directory, AccessFlags::X_OK).is_err() => {
            Some(Check::bad("cwd", format!("`{shown}` cannot be entered by the user who asks")))
        }
        Ok(_) => None,
    }
}

fn argv(work: &Work) -> Option<&[String]> {
    if let Work::Command(argv) = work { Some(argv) } else { None }
}

/// What a shell runs: a script, or what stands behind `-c` of a shell.
fn scripts(job: &Job) -> Vec<String> {
    match &job.work {
        Work::Shell(script) => vec![script.clone()],
        Work::Command(argv) => argv.windows(2).filter(|pair| pair[0] == "-c").map(|pair| pair[1].clone()).collect(),
        Work::Handler(_) | Work::Http(_) => Vec::new(),
    }
}

/// What its command, gather command and script name below `/dev`.
fn devices(job: &Job) -> Vec<String> {
    let words = [argv(&job.work), job.gather.as_ref().and_then(Gather::argv)].into_iter().flatten().flatten().map(String::as_str);
    let script = if let Work::Shell(script) = &job.work { Some(script.as_str()) } else { None };
    let is_end = |char: char| char.is_whitespace() || "=<>|&;()'\"".contains(char);
    let parts = words.chain(script).flat_map(|text| text.split(is_end));
    parts.filter(|part| part.starts_with("/dev/")).map(str::to_owned).collect()
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Whether a word of a script stands for itself.
fn is_plain(word: &str) -> bool {
    !is_template(word) && !word.contains(['$', '`', '*', '~'])
}

/// The PATH of the job; that of whoever asks, where it comes from the daemon.
fn search_path(job: &Job) -> String {
    let own = job.process.env.get("PATH").filter(|path| !is_template(path)).cloned();
    let inherits = job.process.inherit_env.iter().any(|name| name == "PATH");
    own.or_else(|| if inherits { std::env::var("PATH").ok() } else { None }).unwrap_or_else(|| DEFAULT_PATH.to_owned())
}

/// The file of a program, as it will be looked for, or why there is none.
fn find(program: &str, path: &str, directory: &Path) -> Result<PathBuf, String> {
    let candidates: Vec<PathBuf> = if program.contains('/') {
        vec![directory.join(program)]
    } else {
        std::env::split_paths(OsStr::new(path)).map(|entry| directory.join(entry).join(program)).collect()
    };
    let present = candidates.iter().find(|file| file.is_file());
    let Some(file) = candidates.iter().find(|file| file.is_file() && access(*file, AccessFlags::X_OK).is_ok()) else {
        return Err(match present {
            Some(file) => format!("`{}` is not executable: set its x bit", file.display()),
            None if program.contains('/') => format!("`{}` is not there", directory.join(program).display()),
            None => format!("`{program}` is not in the PATH `{path}`"),
        });
    };
    Ok(file.clone())
}

/// Of a script, whether what its first line names is there.
fn interpreter(file: &Path, path: &str, directory: &Path) -> Option<Check> {
    let mut start = Vec::new();
    File::open(file).ok()?.take(MAX_SHEBANG).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line).into_owned();
    let shown = file.display();
    if line.ends_with('\r') {
        let help = "the file has the line ends of Windows: `dos2unix` mends it";
        return Some(Check::bad("interpreter", format!("the first line of `{shown}` ends with a carriage return")).help(help));
    }
    let mut words = line.split_whitespace();
    let program = words.next()?;
    if find(program, path, directory).is_err() {
        return Some(Check::bad("interpreter", format!("the interpreter `{program}` of `{shown}` is not there")));
    }
    let named = words.find(|word| !word.starts_with('-') && !word.contains('=')).filter(|_| program.ends_with("/env"))?;
    let is_missing = find(named, path, directory).is_err();
    is_missing.then(|| Check::bad("interpreter", format!("`{named}`, which `{shown}` asks `env` for, is not in the PATH `{path}`")))
}
