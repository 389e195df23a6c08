//! Many problems at once.

use super::refuse;

#[test]
fn several_problems_come_at_once_in_the_order_of_the_file() {
    let text = "[log]\nlevel = \"loud\"\n[jobs.b]\ncommand = \"x\"\nretries = \"three\"\n[jobs.a]\nschedule = 5\ncommand = [\"true\"]\ntimeot = 1\n";
    let lines = refuse(text.as_bytes()).one_line();
    assert_eq!(
        lines,
        [
            "jobs.toml:2:9: unknown `level` \"loud\"",
            "jobs.toml:3:7: the job `b` has no `schedule`",
            "jobs.toml:4:11: `command` must be an array of strings, a program and its arguments, found the string \"x\"",
            "jobs.toml:5:11: `retries` must be an integer, found the string \"three\"",
            "jobs.toml:7:12: `schedule` must be a string, or an array of strings, found the integer 5",
            "jobs.toml:9:1: unknown key `timeot` in a job",
        ]
    );
}

#[test]
fn hundreds_of_problems_are_counted() {
    let text: String = (0..300).fold(String::new(), |text, number| text + &format!("[jobs.job{number}]\nfoo = {number}\n"));
    let problems = refuse(text.as_bytes());
    assert_eq!(problems.count(), 900);
    let rendered = problems.render(true);
    assert!(rendered.len() < 16_384 && problems.render(false).len() <= 8_192);
    assert!(rendered.ends_with(" more\n"), "{rendered}");
    assert_eq!(problems.one_line().last().map(String::as_str), Some("jobs.toml: … and 880 more"));
}
