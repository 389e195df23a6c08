//! Targets from elsewhere: what a file may say of them.

use super::*;

#[test]
fn chunks_canaries_and_rates() {
    check_all(
        job,
        4,
        &[
            ("rate = \"fast\"", 8, &["50/s"]),
            ("rate = \"0/s\"", 8, &["not a rate"]),
            ("rate = \"5/d\"", 8, &["not a rate"]),
            ("rate = 5", 8, &["string"]),
            ("chunk = 0", 9, &["out of range"]),
            ("chunk = 5", 9, &["needs `targets`"]),
            ("canary = 0", 10, &["out of range"]),
        ],
    );
    let chunk = "[jobs.a]\nschedule = \"manual\"\ntargets = [\"a\"]\nchunk = 5\n";
    check(format!("{chunk}shell = \"x {{{{ target }}}}\"\n"), (5, 15), &["`target` has no value with `chunk`", "{{ targets }}"]);
    check(format!("{chunk}handler = \"echo\"\n"), (4, 9), &["for processes"]);
    let plain = "[jobs.a]\nschedule = \"manual\"\ntargets = [\"a\"]\n";
    check(format!("{plain}shell = \"x {{{{ targets }}}}\"\n"), (4, 15), &["with `chunk` only", "{{ target }}"]);
}

#[test]
fn sources_of_targets_are_checked_at_load() {
    check_all(
        job,
        4,
        &[
            ("targets = { http = \"x.test/shops\" }", 20, &["http:// or https://"]),
            ("targets = { http = { method = \"POST\" } }", 20, &["`targets.http` has no `url`"]),
            ("targets = { http = \"http://x/{{ target }}\" }", 33, &["before there are targets"]),
            ("targets = { http = \"http://x/{{ credential('a') }}\" }", 33, &["logs of servers", "Authorization"]),
            ("targets = { http = \"http://x\", pointer = \"items\" }", 42, &["does not begin with `/`"]),
            ("targets = { http = \"http://x/a.csv\", pointer = \"/items\" }", 38, &["is for JSON"]),
            ("targets = { glob = \"*\", pointer = \"/items\" }", 25, &["is for JSON"]),
            ("targets = { file = \"x\" }", 11, &["ending of \"x\"", "format"]),
            ("targets = { file = \"x.csv\", glob = \"*\" }", 29, &["two sources"]),
            ("targets = { glob = \"a[\" }", 22, &["no pattern"]),
            ("targets = { glob = \"*\", format = \"csv\" }", 25, &["leave this out"]),
            ("targets = { range = \"0..2\", on_empty = \"fail\" }", 29, &["leave this out"]),
            ("targets = { command = \"psql\" }", 23, &["array of strings"]),
            ("targets = { file = \"{{ target }}.csv\" }", 24, &["before there are targets"]),
            ("targets = { file = \"x.csv\", on_empty = \"skip\" }", 40, &["unknown", "succeed"]),
        ],
    );
}
