//! Days off, and jobs that run after others.

use super::*;

#[test]
fn days_that_are_excepted() {
    check(job("except = 5"), (4, 10), &["`except` must be an array of dates", "the integer 5", "2026-12-25"]);
    check(job("except = [\"25.12.2026\"]"), (4, 11), &["\"25.12.2026\" is not a date"]);
    check(job("except = [\"2026-12-31..2026-12-01\"]"), (4, 11), &["ends before it begins"]);
    check(job("except = [2026-12-25]"), (4, 11), &["date-time", "in quotes"]);
    check(job("except = {}"), (4, 10), &["names no file"]);
    check(job("except = { fil = \"days.txt\" }"), (4, 12), &["unknown key `fil`", "did you mean `file`?"]);
    check(job("except = { file = \"none.ics\" }"), (4, 19), &["cannot read `/srv/batch/none.ics`", "there is none"]);
    check(job("except = [\"2026-12-24\", { file = \"broken.txt\" }]"), (4, 34), &["broken.txt", "line 3", "\"Christmas\" is not a date"]);
    let text = job("except = [\"2026-12-24\", { file = \"days.txt\" }]");
    let (config, _) = parse(text.as_bytes(), &context()).expect("is usable");
    let except = config.jobs["backup"].timetable.except.as_ref().expect("has days");
    assert_eq!(except.to_string(), "2026-12-24..2026-12-25, 2026-12-31..2027-01-01");
}

#[test]
fn jobs_that_run_after_others() {
    let two = |first: &str, second: &str| {
        let job = |name: &str, line: &str| format!("[jobs.{name}]\ncommand = [\"true\"]\n{line}\n");
        job("extract", first) + &job("report", second)
    };
    let daily = "schedule = \"0 2 * * *\"";
    check(two(daily, "after = \"extract\""), (6, 9), &["`after` must be an array of names", "write `after = [\"extract\"]`"]);
    check(two(daily, "after = []"), (6, 9), &["`after` is an empty list"]);
    check(two(daily, "after = [\"extrct\"]"), (6, 10), &["names no job: \"extrct\"", "did you mean \"extract\"?"]);
    check(two(daily, "after = [\"extract\", \"extract\"]"), (6, 21), &["names \"extract\" twice"]);
    check(two(daily, "after = [\"report\"]"), (6, 10), &["`report` would wait for itself"]);
    check(two("after = [\"report\"]", "after = [\"extract\"]"), (3, 10), &["`extract` would wait for a job that runs after it"]);
    check(two(daily, "schedule = \"@reboot\"\nafter = [\"extract\"]"), (4, 7), &["`@reboot` names no time"]);
    let text = two(daily, "after = [\"extract\"]");
    let (config, _) = parse(text.as_bytes(), &context()).expect("is usable");
    assert_eq!((config.jobs["report"].after.len(), config.jobs["report"].schedule_text.len()), (1, 0));
}
