//! `ExecStart=` and its like, after systemd.service(5): words with systemd's quotes, variables, and prefixes before the program.

use super::super::shell;

/// A command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exec {
    words: Vec<String>,
    /// `-`: a failure does not count.
    pub(super) may_fail: bool,
    /// `+` and `!`: with other rights than the rest of the unit.
    pub(super) is_privileged: bool,
    /// `:` keeps `$` as it is.
    is_verbatim: bool,
}

/// The commands of a line, of which `;` separates several.
pub(super) fn read(line: &str) -> Option<Vec<Exec>> {
    let words = words(line)?;
    let commands: Vec<Exec> = words.split(|word| word == ";").filter(|words| !words.is_empty()).filter_map(command).collect();
    (!commands.is_empty()).then_some(commands)
}

fn command(words: &[String]) -> Option<Exec> {
    let (program, arguments) = words.split_first()?;
    let mut exec = Exec::default();
    let mut has_name = false;
    let path = program.trim_start_matches(|prefix| {
        match prefix {
            '-' => exec.may_fail = true,
            '+' | '!' => exec.is_privileged = true,
            ':' => exec.is_verbatim = true,
            '@' => has_name = true,
            _ => return false,
        }
        true
    });
    // `@` puts a name of its own in front of the arguments, which nothing here needs.
    let arguments = arguments.get(usize::from(has_name)..).unwrap_or_default();
    exec.words = std::iter::once(path.to_owned())
        .chain(arguments.iter().map(|word| if word == "\\;" { ";".to_owned() } else { word.clone() }))
        .collect();
    (!path.is_empty()).then_some(exec)
}

impl Exec {
    /// The words as an argv; `None` when variables are to be replaced, which takes a shell.
    pub(super) fn argv(&self) -> Option<Vec<String>> {
        let has_variables = !self.is_verbatim && self.words.iter().any(|word| word.replace("$$", "").contains('$'));
        let plain = |word: &String| if self.is_verbatim { word.clone() } else { word.replace("$$", "$") };
        (!has_variables).then(|| self.words.iter().map(plain).collect())
    }

    /// The same as a line for a shell.
    pub(super) fn script(&self) -> String {
        let words: Vec<String> = self.words.iter().map(|word| if self.is_verbatim { shell::word(word) } else { expanded(word) }).collect();
        words.join(" ") + if self.may_fail { " || true" } else { "" }
    }
}

/// `$NAME` as a word of its own becomes as many words as it has, `${NAME}` stays one, `$$` is a dollar sign.
fn expanded(word: &str) -> String {
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !word.contains('$') {
        return shell::word(word);
    }
    if word.strip_prefix('$').is_some_and(is_name) {
        return word.to_owned();
    }
    let mut out = String::from("\"");
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        push_escaped(&rest[..at], &mut out);
        rest = &rest[at + 1..];
        let name = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')).filter(|(name, _)| is_name(name));
        if let Some((name, behind)) = name {
            out.extend(["${", name, "}"]);
            rest = behind;
        } else {
            out.push_str("\\$");
            rest = rest.strip_prefix('$').unwrap_or(rest);
        }
    }
    push_escaped(rest, &mut out);
    out.push('"');
    out
}

fn push_escaped(text: &str, out: &mut String) {
    for char in text.chars() {
        if matches!(char, '"' | '\\' | '`' | '$') {
            out.push('\\');
        }
        out.push(char);
    }
}

/// Splits at blanks; quotes of either kind hold a word together, and a backslash begins an escape of C. `None` where a quote stays open.
pub(super) fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match (quote, char) {
            (Some(open), char) if char == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (_, '\\') => push_escape(&mut chars, word.get_or_insert_default()),
            (None, char) if char.is_whitespace() => words.extend(word.take()),
            (_, char) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

fn push_escape(chars: &mut std::str::Chars<'_>, word: &mut String) {
    match chars.next() {
        Some('n') => word.push('\n'),
        Some('t') => word.push('\t'),
        Some('r') => word.push('\r'),
        Some('s') => word.push(' '),
        Some('x') => {
            let digits: String = chars.clone().take(2).collect();
            if let Some(byte) = u8::from_str_radix(&digits, 16).ok().filter(|byte| byte.is_ascii() && digits.len() == 2) {
                word.push(char::from(byte));
                chars.nth(1);
            } else {
                word.push_str("\\x");
            }
        }
        // A semicolon that is no separator keeps its mark until the commands are told apart.
        Some(';') => word.push_str("\\;"),
        Some(other @ ('\\' | '"' | '\'')) => word.push(other),
        Some(other) => word.extend(['\\', other]),
        None => word.push('\\'),
    }
}

/// What a `%` in a unit stands for, where that is known without the machine.
pub(super) struct Specifiers<'a> {
    /// `backup@shop`, without its type.
    pub(super) name: &'a str,
    pub(super) unit_type: &'a str,
    pub(super) user: &'a str,
    pub(super) home: Option<&'a str>,
}

impl Specifiers<'_> {
    /// The text with its specifiers replaced.
    ///
    /// # Errors
    /// The first that means something that is not known here, such as `%H`.
    pub(super) fn replace(&self, text: &str) -> Result<String, String> {
        let (prefix, instance) = self.name.split_once('@').unwrap_or((self.name, ""));
        let mut out = String::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            if char != '%' {
                out.push(char);
                continue;
            }
            match chars.next() {
                Some('%') => out.push('%'),
                Some('n') => out.extend([self.name, ".", self.unit_type]),
                Some('N') => out.push_str(self.name),
                Some('p' | 'P') => out.push_str(prefix),
                Some('i') => out.push_str(instance),
                Some('I') => out.push_str(&unescaped(instance)),
                Some('f') => out.extend(["/", &unescaped(if instance.is_empty() { prefix } else { instance })]),
                Some('u') => out.push_str(self.user),
                Some('h') if self.home.is_some() => out.push_str(self.home.unwrap_or_default()),
                Some('t') => out.push_str("/run"),
                Some('S') => out.push_str("/var/lib"),
                Some('C') => out.push_str("/var/cache"),
                Some('L') => out.push_str("/var/log"),
                Some('E') => out.push_str("/etc"),
                Some('T') => out.push_str("/tmp"),
                Some('V') => out.push_str("/var/tmp"),
                other => return Err(format!("the specifier `%{}` is known to systemd only", other.map(String::from).unwrap_or_default())),
            }
        }
        Ok(out)
    }
}

/// `srv-data\x2dold` → `srv/data-old`.
fn unescaped(name: &str) -> String {
    let mut out = String::new();
    let mut chars = name.chars();
    while let Some(char) = chars.next() {
        match char {
            '-' => out.push('/'),
            '\\' => push_escape(&mut chars, &mut out),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(line: &str) -> Exec {
        read(line).expect("a command").remove(0)
    }

    #[test]
    fn words_are_quoted_as_systemd_quotes() {
        for (line, expected) in [
            ("/bin/a b  c", Some(vec!["/bin/a", "b", "c"])),
            ("a 'b c' \"d \\\" e\" f\\x20g h\\si", Some(vec!["a", "b c", "d \" e", "f g", "h i"])),
            ("a \"\" ''", Some(vec!["a", "", ""])),
            ("a 'b", None),
        ] {
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn prefixes_stand_before_the_program() {
        let exec = first("-+/bin/a b");
        assert_eq!((exec.argv(), exec.may_fail, exec.is_privileged), (Some(vec!["/bin/a".to_owned(), "b".to_owned()]), true, true));
        assert_eq!(first("@/bin/a name b").argv(), Some(vec!["/bin/a".to_owned(), "b".to_owned()]));
        assert_eq!(first("/bin/a \\; b").argv(), Some(vec!["/bin/a".to_owned(), ";".to_owned(), "b".to_owned()]));
        assert_eq!(read("/bin/a ; /bin/b").map(|commands| commands.len()), Some(2));
    }

    #[test]
    fn variables_take_a_shell() {
        assert_eq!(first("/bin/a $B").argv(), None);
        assert_eq!(first("/bin/a $$5").argv(), Some(vec!["/bin/a".to_owned(), "$5".to_owned()]));
        assert_eq!(first(":/bin/a $B").argv(), Some(vec!["/bin/a".to_owned(), "$B".to_owned()]));
        assert_eq!(first("-/bin/a $OPTS x${NAME}\\\"y $$ 'b c'").script(), "/bin/a $OPTS \"x${NAME}\\\"y\" \"\\$\" 'b c' || true");
    }

    #[test]
    fn specifiers_are_replaced() {
        let specifiers = Specifiers { name: "dump@srv-shop\\x2dold", unit_type: "service", user: "root", home: Some("/root") };
        assert_eq!(
            specifiers.replace("%p %i %I %h %% %n").as_deref(),
            Ok("dump srv-shop\\x2dold srv/shop-old /root % dump@srv-shop\\x2dold.service")
        );
        assert_eq!(specifiers.replace("%H"), Err("the specifier `%H` is known to systemd only".to_owned()));
    }
}
