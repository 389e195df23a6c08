//! Animals that print. They are cut short, so that the tests take seconds; each prints 10 GB with
//! `BATCHD_ZOO_BYTES=10000000000 cargo test --release --test it floods`.

use std::fs;

use super::{Zoo, end, job};

impl Zoo {
    /// Head, tail and the bytes cut between them, as they are on record.
    fn captured(&self) -> (Vec<u8>, Vec<u8>, i64) {
        let records = rusqlite::Connection::open(self.site.path("state/batchd.db")).expect("the records");
        let question = "SELECT head, tail, cut FROM output JOIN run ON run.key = output.run WHERE job = 'animal'";
        records.query_row(question, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("an output")
    }

    /// The most memory that the daemon ever had. `waiting`: outputs of attempts that may end at once, each of which is in memory until
    /// it is on the disk.
    fn check_peak(&self, waiting: u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon.pid())).expect("it lives");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has memory");
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(peak <= self.idle.rss_kib + (16 + waiting) * 1024, "{peak} KiB; idle: {:?}", self.idle);
    }
}

/// What an animal prints is all kept.
#[track_caller]
fn check_kept(script: &str, expected: &str) {
    let zoo = Zoo::new(&job("animal", "", script));
    assert_eq!(end(&zoo.run("animal")[""]), ("succeeded", Some(0), None), "{script}");
    let (head, tail, cut) = zoo.captured();
    assert_eq!((String::from_utf8_lossy(&head).as_ref(), tail.len(), cut), (expected, 0, 0), "{script}");
}

/// The daemon hears of stderr and of the end by themselves only where a program goes on for more than a moment.
#[test]
fn what_is_printed_is_kept_however_soon_it_is_over() {
    check_kept("echo oops >&2", "oops\n");
    check_kept("exec 2>&-; echo out; sleep 0.1; echo more", "out\nmore\n");
    check_kept("exec 1>&-; echo soon >&2; sleep 0.1; echo late >&2", "soon\nlate\n");
    check_kept("echo out; sleep 0.1; echo oops >&2; sleep 0.1; echo more", "out\noops\nmore\n");
    check_kept("(sleep 0.3; echo late >&2) > /dev/null & exec 1>&-", "late\n");
    check_kept("head -c 300000 /dev/zero | tr '\\0' x >&2", &"x".repeat(300_000));
}

/// So much is printed by what never stops of itself; a multiple of 16,000.
fn bytes() -> i64 {
    std::env::var("BATCHD_ZOO_BYTES").map_or(96_000_000, |text| text.parse().expect("a number of bytes")) / 16_000 * 16_000
}

/// Lines of a thousand bytes.
fn lines(bytes: i64) -> String {
    format!("yes $(printf %0999d 7) | head -c {bytes}")
}

/// An animal that prints `printed` bytes.
fn check_flood(script: &str, printed: i64, tail: &[u8]) {
    let zoo = Zoo::new(&job("animal", "", script));
    assert_eq!(end(&zoo.run("animal")[""]), ("succeeded", Some(0), None));
    let (head, end, cut) = zoo.captured();
    let kept = i64::try_from(head.len() + end.len()).expect("a length");
    assert_eq!((kept, kept + cut), (1024 * 1024, printed), "{script}");
    assert!(end.ends_with(tail), "{}", String::from_utf8_lossy(&end[end.len() - 80..]));
    zoo.check_peak(0);
}

#[test]
fn a_line_without_an_end_is_cut_and_takes_no_memory() {
    check_flood(&format!(r"head -c {} /dev/zero | tr '\0' a", bytes()), bytes(), b"aaaa");
}

#[test]
fn lines_without_an_end_are_cut_and_take_no_memory() {
    check_flood(&format!("{}; echo end", lines(bytes())), bytes() + 4, b"0007\nend\n");
}

#[test]
fn sixteen_that_print_at_once_take_no_memory_either() {
    let targets: Vec<_> = (0..16).map(|number| number.to_string()).collect();
    let keys = format!("concurrency = 16\ntargets = {targets:?}\n");
    let zoo = Zoo::new(&job("herd", &keys, &lines(bytes() / 16)));
    let rows = zoo.run("herd");
    assert!(rows.values().all(|row| end(row) == ("succeeded", Some(0), None)) && rows.len() == 16, "{rows:?}");
    let records = rusqlite::Connection::open(zoo.site.path("state/batchd.db")).expect("the records");
    let question = "SELECT sum(length(head) + length(tail) + cut) FROM output JOIN run ON run.key = output.run WHERE job = 'herd'";
    let printed: i64 = records.query_row(question, [], |row| row.get(0)).expect("outputs");
    assert_eq!(printed, bytes());
    zoo.check_peak(16);
}

#[test]
fn nothing_printed_can_pass_for_the_daemons_or_move_a_cursor() {
    const PRINTED: &[u8] = b"ok\n2026-01-01 00:00:00.000+00:00 INFO  [job=forged run=x] run succeeded\n\x1b[2J\x1b]0;x\x07\n\xe2\x80\xaeevil\n\xff\xfe\0\r\nnone\n";
    let script = r"printf 'ok\n2026-01-01 00:00:00.000+00:00 INFO  [job=forged run=x] run succeeded\n\033[2J\033]0;x\007\n\342\200\256evil\n\377\376\000\r\nnone\n'; exit 1";
    let mut zoo = Zoo::new(&job("animal", "", script));
    zoo.run("animal");
    assert_eq!(zoo.captured().0.escape_ascii().to_string(), PRINTED.escape_ascii().to_string());
    zoo.daemon.line("stdout| none");
    let mut shown = vec![zoo.site.read("logs/batch.log")];
    for arguments in
        [&["show", "animal"][..], &["show", "animal", "--json"], &["results", "animal"], &["logs", "animal"], &["logs", "--json"]]
    {
        shown.push(zoo.site.ask(arguments));
    }
    for text in &shown {
        let live = text.chars().find(|char| (char.is_control() && !"\n\t".contains(*char)) || *char == '\u{202e}');
        assert_eq!(live, None, "{text}");
        let forged = text.lines().find(|line| line.starts_with("2026-01-01") || line.starts_with("[job=forged"));
        assert_eq!(forged, None, "{text}");
    }
}
