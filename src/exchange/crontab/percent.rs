//! `%` in the command of a crontab: the end of the command, and the line breaks of its standard input.
//!
//! Checked against Debian's cron 3.0pl1-162: in the command `\%` is `%` and `\\` is `\`; behind the first bare `%`, `\%` is `%`, any
//! other `%` a line break, and the last line is ended.

/// The command, and its standard input where it has one.
pub(super) fn split(text: &str) -> (String, Option<String>) {
    let mut command = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '%' => return (command, Some(input(&text[at + 1..]))),
            '\\' => match chars.next() {
                Some((_, escaped @ ('%' | '\\'))) => command.push(escaped),
                Some((_, other)) => command.extend(['\\', other]),
                None => command.push('\\'),
            },
            other => command.push(other),
        }
    }
    (command, None)
}

fn input(text: &str) -> String {
    let mut input = String::new();
    let mut escaped = false;
    for char in text.chars() {
        match (escaped, char) {
            (true, '%') => input.push('%'),
            (true, other) => {
                input.push('\\');
                if other != '\\' {
                    input.push(other);
                }
            }
            (false, '%') => input.push('\n'),
            (false, '\\') => {}
            (false, other) => input.push(other),
        }
        escaped = char == '\\';
    }
    if escaped {
        input.push('\\');
    }
    if !input.ends_with('\n') {
        input.push('\n');
    }
    input
}

/// The reverse: a command, and its standard input, as a crontab has them. `None` when that cannot be said.
pub(super) fn join(command: &str, input: Option<&str>) -> Option<String> {
    if command.contains('\n') {
        return None;
    }
    let command = command.replace('\\', "\\\\").replace('%', "\\%");
    let Some(input) = input else { return Some(command) };
    // A backslash before the end of a line, or before a percent sign, has no spelling.
    let input = input.strip_suffix('\n').unwrap_or(input);
    let joined = format!("{command}%{}", input.replace('%', "\\%").replace('\n', "%"));
    let (_, read) = split(&joined);
    (read? == format!("{input}\n")).then_some(joined)
}

/// A shell command that hands `input` to `command`, as a here-document.
pub(super) fn with_input(command: &str, input: &str) -> String {
    let marks = std::iter::once("EOF".to_owned()).chain((2..).map(|number| format!("EOF{number}")));
    let mark = marks.into_iter().find(|mark| !input.lines().any(|line| line == mark)).unwrap_or_default();
    format!("{{ {command}\n}} <<'{mark}'\n{input}{mark}\n")
}

/// The command and the input that [`with_input`] made one script of.
pub(super) fn without_input(script: &str) -> Option<(&str, &str)> {
    let (command, rest) = script.strip_prefix("{ ")?.split_once("\n} <<'")?;
    let (mark, rest) = rest.split_once("'\n")?;
    let input = rest.strip_suffix('\n')?.strip_suffix(mark)?;
    (with_input(command, input) == script).then_some((command, input))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_percent_sign_ends_the_command() {
        for (text, command, input) in [
            ("date +\\%F", "date +%F", None),
            ("echo 'a\\\\b' 'x\\y'", "echo 'a\\b' 'x\\y'", None),
            ("cat%one%two\\%x\\\\%three", "cat", Some("one\ntwo%x\\%three\n")),
            ("cat%", "cat", Some("\n")),
            ("cat%a%", "cat", Some("a\n")),
            ("a\\", "a\\", None),
        ] {
            assert_eq!(split(text), (command.to_owned(), input.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn the_end_of_the_input_is_no_line_of_it() {
        let script = with_input("cat", "EOF\nb\n");
        assert_eq!(script, "{ cat\n} <<'EOF2'\nEOF\nb\nEOF2\n");
        assert_eq!(without_input(&script), Some(("cat", "EOF\nb\n")));
        assert_eq!(without_input("{ cat\n} <<'EOF'\na\nEOF\n; rm x\n"), None);
    }

    proptest! {
        /// What can be said in a crontab is read from it as it was.
        #[test]
        fn joined_and_split_again(command in "[ -~]{0,20}", input in proptest::option::of("[ -~\n]{0,20}")) {
            if let Some(joined) = join(&command, input.as_deref()) {
                let ended = input.map(|input| if input.ends_with('\n') { input } else { input + "\n" });
                prop_assert_eq!(split(&joined), (command, ended));
            }
        }
    }
}
