//! Names of jobs for commands that have none: the program that does the work, not what guards it or calls it.

use std::collections::BTreeSet;

/// The longest name that is made, in bytes; some room is left for a number behind it.
const MAX_NAME: usize = 48;

/// How deep `sh -c 'sudo sh -c …'` is looked into.
const MAX_DEPTH: usize = 4;

/// Commands that prepare or guard the one that does the work.
const GUARDS: [&str; 22] = [
    "cd", "test", "[", "[[", "command", "true", "false", ":", "export", "set", "umask", "sleep", "echo", "exit", "source", ".", "ulimit",
    "trap", "mkdir", "unset", "which", "type",
];

const KEYWORDS: [&str; 14] = ["if", "then", "elif", "else", "fi", "while", "until", "do", "done", "{", "}", "!", "time", "esac"];

/// Programs that run the one behind them.
const WRAPPERS: [&str; 17] = [
    "sudo",
    "doas",
    "nice",
    "ionice",
    "chrt",
    "flock",
    "timeout",
    "env",
    "nohup",
    "exec",
    "chronic",
    "cronic",
    "setsid",
    "taskset",
    "run-one",
    "stdbuf",
    "systemd-cat",
];

/// Their options that take a word of their own.
const WITH_VALUE: [(&str, &[&str]); 8] = [
    ("sudo", &["-u", "-g", "-C", "-h", "-p"]),
    ("doas", &["-u", "-C"]),
    ("nice", &["-n"]),
    ("ionice", &["-c", "-n", "-p"]),
    ("flock", &["-w", "-E"]),
    ("timeout", &["-k", "-s"]),
    ("env", &["-u", "-C"]),
    ("systemd-cat", &["-t", "-p"]),
];

const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "su"];

const INTERPRETERS: [&str; 8] = ["python", "php", "perl", "ruby", "node", "java", "Rscript", "lua"];

/// Scripts that are named by what they are told to do.
const DISPATCHERS: [&str; 5] = ["manage.py", "artisan", "console", "rails", "rake"];

/// Names that are taken.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// The valid name nearest to `wanted` that is still free.
    pub(super) fn take(&mut self, wanted: &str) -> String {
        let base = valid(wanted);
        let base = if base.is_empty() { "job".to_owned() } else { base };
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let name = std::iter::once(base.clone()).chain(numbered).find(|name| !self.0.contains(name)).unwrap_or(base);
        self.0.insert(name.clone());
        name
    }

    /// The name is free again.
    pub(super) fn give_back(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// What to call a job that runs this shell command.
pub(super) fn of_command(command: &str) -> String {
    of_commands(command, 0).unwrap_or_default()
}

/// The programs that a shell script names, guards and built-in commands among them.
pub fn programs(script: &str) -> Vec<String> {
    simple_commands(script).into_iter().filter_map(|words| words.into_iter().next()).collect()
}

/// The files that a shell script writes its output to.
pub fn written_files(script: &str) -> Vec<String> {
    let mut files = Vec::new();
    for words in simple_commands(script) {
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            // `>f`, `> f`, `>>f`, `2>f`, `&>f`, but not `2>&1`.
            let Some(target) = word.trim_start_matches(|char: char| char.is_ascii_digit() || char == '&').strip_prefix('>') else {
                continue;
            };
            let target = target.trim_start_matches(['>', '|']);
            let file = if target.is_empty() { words.next() } else { Some(target.to_owned()) };
            files.extend(file.filter(|file| !file.starts_with('&')));
        }
    }
    files
}

fn of_commands(command: &str, depth: usize) -> Option<String> {
    let commands = simple_commands(command);
    let works = |words: &&Vec<String>| words.first().is_some_and(|word| !GUARDS.contains(&word.as_str()) && !is_delay(words));
    let chosen = commands.iter().find(works).or_else(|| commands.first())?;
    of_words(chosen, depth)
}

/// `perl -e 'sleep int(rand(43200))'`
fn is_delay(words: &[String]) -> bool {
    matches!(words, [_, flag, code, ..] if matches!(flag.as_str(), "-e" | "-c" | "-r") && code.contains("sleep"))
}

fn of_words(words: &[String], depth: usize) -> Option<String> {
    let (program, rest) = words.split_first()?;
    let base = file_name(program);
    if depth < MAX_DEPTH && rest.iter().any(|word| !word.starts_with('-')) {
        if let Some(inner) = WRAPPERS.contains(&base).then(|| unwrapped(base, rest)).filter(|inner| !inner.is_empty()) {
            return match inner {
                [flag, script, ..] if flag == "-c" => of_commands(script, depth + 1),
                inner => of_words(inner, depth + 1),
            };
        }
        let script = rest.iter().position(|word| word.starts_with('-') && word.ends_with('c')).and_then(|at| rest.get(at + 1));
        if let Some(script) = script.filter(|_| SHELLS.contains(&base)) {
            return of_commands(script, depth + 1);
        }
        if is_interpreter(base) {
            return Some(of_script(base, rest));
        }
    }
    if base == "run-parts" {
        return rest.iter().find(|word| !word.starts_with('-')).map(|directory| file_name(directory).to_owned());
    }
    Some(with_action(base, rest))
}

/// Behind the wrapper's own options and arguments; from `-c` on where it takes a script.
fn unwrapped<'a>(wrapper: &str, mut rest: &'a [String]) -> &'a [String] {
    // `flock FILE command`, `timeout 5m command`
    let with_value = WITH_VALUE.iter().find(|(name, _)| *name == wrapper).map_or(&[][..], |(_, options)| *options);
    let mut operands = usize::from(matches!(wrapper, "flock" | "timeout" | "taskset"));
    while let [word, behind @ ..] = rest {
        if word == "-c" && wrapper == "flock" {
            return rest;
        }
        let is_assignment = wrapper == "env" && is_assignment(word);
        if word.starts_with('-') && word.len() > 1 {
            let takes_value = with_value.contains(&word.as_str()) && !behind.is_empty();
            rest = &behind[usize::from(takes_value)..];
        } else if is_assignment {
            rest = behind;
        } else if operands > 0 {
            operands -= 1;
            rest = behind;
        } else {
            break;
        }
    }
    rest
}

fn is_interpreter(base: &str) -> bool {
    let name = base.trim_end_matches(|char: char| char.is_ascii_digit() || char == '.');
    INTERPRETERS.contains(&name) || SHELLS.contains(&name)
}

/// `python3 -u manage.py clearsessions` → `clearsessions`; `python3 -m shop.report` → `report`; `perl -e …` → `perl`.
fn of_script(interpreter: &str, words: &[String]) -> String {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-m" => return words.next().map_or(interpreter, |module| module.rsplit('.').next().unwrap_or(module)).to_owned(),
            "-e" | "-c" | "-r" => return interpreter.to_owned(),
            "-jar" | "-f" => {}
            word if word.starts_with('-') => {}
            script => {
                let rest: Vec<String> = words.cloned().collect();
                return if DISPATCHERS.contains(&file_name(script)) {
                    rest.iter().find(|word| !word.starts_with('-')).cloned().unwrap_or_else(|| stem(script).to_owned())
                } else {
                    with_action(file_name(script), &rest)
                };
            }
        }
    }
    interpreter.to_owned()
}

/// The program, and what it is told to do where that is a plain word: `certbot -q renew` → `certbot-renew`.
fn with_action(base: &str, rest: &[String]) -> String {
    let is_action = |word: &&String| {
        (2..=24).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !word.starts_with('-')
    };
    let first = rest.iter().find(|word| !word.starts_with('-'));
    match first.filter(is_action) {
        Some(action) => format!("{}-{action}", stem(base)),
        None => stem(base).to_owned(),
    }
}

fn file_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// Without the extension of a script.
fn stem(path: &str) -> &str {
    const EXTENSIONS: [&str; 10] = [".sh", ".bash", ".py", ".pl", ".php", ".rb", ".js", ".jar", ".R", ".lua"];
    let name = file_name(path);
    EXTENSIONS.iter().find_map(|extension| name.strip_suffix(extension)).filter(|stem| !stem.is_empty()).unwrap_or(name)
}

/// Letters and digits with single dashes between them, as a job may be called.
fn valid(wanted: &str) -> String {
    let mut name = String::new();
    for char in wanted.chars().flat_map(char::to_lowercase) {
        if name.len() + char.len_utf8() > MAX_NAME {
            break;
        }
        if char.is_ascii_alphanumeric() || (char.is_alphanumeric() && !char.is_ascii()) {
            name.push(char);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.trim_end_matches('-').to_owned()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// The words of each simple command of a shell line, without keywords and assignments in front. It is no shell: what it cannot
/// follow only makes a worse name.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word = String::new();
    let (mut quote, mut depth) = (None, 0_usize);
    let mut chars = line.chars().peekable();
    let end_word = |word: &mut String, commands: &mut Vec<Vec<String>>| {
        if !word.is_empty() {
            let command = commands.last_mut().expect("never empty");
            if !command.is_empty() || !(KEYWORDS.contains(&word.as_str()) || is_assignment(word)) {
                command.push(std::mem::take(word));
            }
            word.clear();
        }
    };
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some(open), char) if char == open => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(char),
            (None, '\\') => word.extend(chars.next()),
            (None, '$') if chars.peek() == Some(&'(') => {
                depth += 1;
                word.push('$');
            }
            (None, ')') if depth > 0 => depth -= 1,
            (None, char) if depth > 0 => word.push(char),
            (None, ' ' | '\t') => end_word(&mut word, &mut commands),
            // `2>&1` and `&> file` are words, and end nothing.
            (None, '&' | '|') if word.ends_with('>') => word.push(char),
            (None, '&') if chars.peek() == Some(&'>') => word.push('&'),
            (None, ';' | '&' | '|' | '\n' | '(' | ')') => {
                end_word(&mut word, &mut commands);
                commands.push(Vec::new());
            }
            (_, char) => word.push(char),
        }
    }
    end_word(&mut word, &mut commands);
    commands.retain(|words| !words.is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_called_after_what_does_the_work() {
        for (command, name) in [
            ("cd / && run-parts --report /etc/cron.hourly", "cron-hourly"),
            ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", "cron-daily"),
            ("test -x /usr/bin/certbot -a \\! -d /run && perl -e 'sleep int(rand(43200))' && certbot -q renew", "certbot-renew"),
            ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", "debian-sa1"),
            ("if [ -x /usr/sbin/logcheck ]; then nice -n10 /usr/sbin/logcheck -R; fi", "logcheck"),
            ("cd /srv/shop && ./venv/bin/python3.11 -u manage.py daily_report --all", "daily-report"),
            ("/usr/bin/python3 -m shop.jobs.sync", "sync"),
            ("flock -n /run/x.lock /usr/local/bin/backup.sh", "backup"),
            ("/usr/bin/flock -n /run/x.lock -c 'nice /opt/Report\\ Maker.pl'", "report-maker"),
            ("bash -lc 'cd /srv && timeout -k 5 10m restic backup /srv'", "restic-backup"),
            ("su - www-data -c '/usr/bin/php /var/www/cron.php'", "cron"),
            ("DB=shop sudo -u postgres pg_dump shop > /tmp/x", "pg-dump-shop"),
            ("htmldir=$(cat a | tail -1); if [ -d \"$htmldir\" ]; then find \"$htmldir/\" -delete; fi", "find"),
            ("env A=b /usr/bin/curl -fsS https://example.org/ping", "curl"),
            ("echo hello", "echo-hello"),
            ("서울 보고", "서울"),
            ("", "job"),
            ("\"", "job"),
        ] {
            assert_eq!(Names::default().take(&of_command(command)), name, "{command}");
        }
    }

    #[test]
    fn redirections_are_no_commands() {
        let script = "true > /dev/null 2>&1; ls &> /srv/a | wc >>/srv/b 2> /srv/c && date >|d & sleep 1";
        assert_eq!(programs(script), ["true", "ls", "wc", "date", "sleep"]);
        assert_eq!(written_files(script), ["/dev/null", "/srv/a", "/srv/b", "/srv/c", "d"]);
        assert_eq!(written_files("echo a=>b '$1 > 2'"), Vec::<String>::new());
    }

    #[test]
    fn names_are_unique() {
        let mut names = Names::default();
        assert_eq!(["a", "a", "a-2", "A"].map(|wanted| names.take(wanted)), ["a", "a-2", "a-2-2", "a-3"]);
        names.give_back("a");
        assert_eq!(names.take("a"), "a");
    }
}
