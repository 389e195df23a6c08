//! Files that are not TOML, and what they are taken for.

use super::{check, refuse};

#[test]
fn what_is_not_toml() {
    let rows: &[(&str, usize, &[&str])] = &[
        ("a = \"x", 5, &["unterminated string", "close it with \""]),
        ("a = 'x", 5, &["unterminated string", "close it with '"]),
        ("a = [1, 2", 10, &["array"]),
        ("a = { b = 1", 12, &["}"]),
        ("[jobs.a", 8, &["]"]),
        ("[jobs.my job]", 1, &["[jobs.my-job]"]),
        ("my key = 1", 1, &["contains a space"]),
        ("export A=1", 1, &["contains a space"]),
        ("a = 1 // one", 7, &["`#`"]),
        ("a = \"\"\"x", 5, &["unterminated", "close it with \"\"\""]),
        ("schedule \"x\"", 10, &["a `=` is missing after `schedule`"]),
        ("schedule =", 11, &["missing after `schedule =`"]),
        ("schedule: \"x\"", 9, &["YAML", "="]),
        ("a == 1", 3, &["=="]),
        ("a = True", 5, &["a = true"]),
        ("a = no", 5, &["a = false"]),
        ("a = None", 5, &["no null", "omit"]),
        ("a = null", 5, &["no null"]),
        ("a = yes", 5, &["a = true"]),
        ("a = 1;", 6, &["remove the `;`"]),
        ("a = \"x\",", 8, &["remove the `,`"]),
        ("a = hello world", 5, &["a = \"hello world\""]),
        ("a = “x”", 5, &["plain quotes"]),
        ("// comment", 1, &["`#`"]),
        ("; comment", 1, &["`#`"]),
        ("a = r\"x\"", 5, &["prefix"]),
        ("a = (1, 2)", 5, &["brackets"]),
        ("a = 0o8", 7, &["invalid octal number"]),
        ("a = 007", 5, &["leading zero"]),
        ("jobs:", 1, &["YAML"]),
        ("- name: a", 1, &["YAML"]),
        ("---", 1, &["YAML"]),
        ("{\"jobs\": {}}", 1, &["JSON"]),
        ("<jobs/>", 1, &["XML"]),
        ("<<<<<<< HEAD", 1, &["merge conflict"]),
        ("=======", 1, &["merge conflict"]),
        (
            "*/5 * * * * /usr/bin/sync now",
            1,
            &["TOML", "crontab", "[jobs.sync]", "schedule = \"*/5 * * * *\"", "shell = \"/usr/bin/sync now\""],
        ),
        ("@daily root /bin/x", 1, &["crontab", "shell = \"/bin/x\""]),
        ("a = \"C:\\Users\"", 10, &["escape"]),
        ("a\u{0} = 1", 2, &["NUL"]),
        ("a = \"\u{1b}[2J\"", 6, &["U+001B"]),
    ];
    for (text, column, words) in rows {
        check(format!("{text}\n"), (1, *column), words);
    }
    check("[jobs.a]\nb = 1\nb = 2\n", (3, 1), &["duplicate", "line 2"]);
    check("[jobs.a]\nb = 1\n[jobs.a]\nc = 2\n", (3, 7), &["duplicate", "line 1"]);
    assert_eq!(refuse(b"[jobs.a]\nb = 1\n[jobs.a]\nb = 2\n").count(), 1);
    check("a = [1,\nb = 2\n", (2, 1), &["unclosed array", "begins here", "jobs.toml:1:5"]);
    check("MAILTO=root\n0 2 * * * /bin/x\n", (2, 1), &["crontab", "[jobs.x]"]);
    check([0xfe, 0xff, 0, b'a'], (1, 1), &["UTF-16", "UTF-8"]);
    check("[jobs.a]\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), (1, 1), &["UTF-16"]);
    check(b"# caf\xe9\n", (1, 6), &["UTF-8", "0xE9"]);
    check(format!("a = {}\n", "[".repeat(5_000)), (1, 85), &["nested too deeply"]);
    check(format!("a{} = 1\n", ".a".repeat(5_000)), (1, 1), &["nested too deeply"]);
    for empty in ["", "# nothing\n", "[jobs]\n", "[daemon]\n"] {
        check(empty, (1, 1), &["no jobs", "[jobs.backup]"]);
    }
}
