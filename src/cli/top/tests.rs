//! The page by its whole screen, and by its keys.

use insta::assert_snapshot;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::KeyCode;

use super::draw::draw;
use super::page::{Action, Mode, Page};
use crate::engine::RunOutcome;
use crate::web::api::{JobView, LiveStatus, StoreState};
use crate::web::fake::{NOW, at, jobs, run, status};

const LOG: [&str; 3] = [
    "2026-11-23 06:59:00.002-05:00 INFO  [job=sync run=sync@20261123T115900Z] fired",
    "2026-11-23 06:59:31.418-05:00 WARN  [job=sync run=sync@20261123T115900Z partial=eu-7] failed after 3s; next attempt in 5s",
    "2026-11-23 06:59:59.000-05:00 INFO  [job=sync run=sync@20261123T115900Z partial=kr-2] stdout| \u{1b}[2Jdone",
];

fn page() -> Page {
    let mut page = Page::default();
    page.status(status(), at("2026-11-23T11:59:58Z"));
    page.status(LiveStatus { partials_ended: 5_034, partials_failed: 11, ..status() }, at(NOW));
    page.jobs = jobs();
    page.jobs[1].last_run = Some(run(3, "daily-report", "2026-11-23T07:00:00Z", RunOutcome::Failed));
    page.jobs[2].last_run = Some(run(2, "sync", "2026-11-23T06:00:00Z", RunOutcome::Succeeded));
    page.jobs.push(JobView { name: "nightly-export-of-every-branch-to-the-warehouse".to_owned(), paused: true, ..jobs()[0].clone() });
    page.lines(LOG.map(str::to_owned).to_vec());
    page
}

fn screen(page: &Page, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen in memory");
    terminal.draw(|frame| draw(frame, page, at(NOW), true)).expect("it draws");
    terminal.backend().to_string()
}

fn pressed(page: &mut Page, keys: &[KeyCode]) -> Action {
    keys.iter().map(|key| page.press(*key)).last().expect("a key")
}

fn typed(text: &str) -> Vec<KeyCode> {
    text.chars().map(KeyCode::Char).collect()
}

#[test]
fn the_page_at_80_columns() {
    assert_snapshot!(screen(&page(), 80, 24), @r#"
    "batchd 0.1.0 running, up 1d 3h; 4 jobs, next fire in 30 s                       "
    "1 live run, 4 partials in flight; 12.0 partials/s, 0.5 failures/s               "
    " jobs 5 ────────────────────────────────────────────────────────────────────────"
    "job                                 due        last run              live       "
    "cleanup                             -          -                     -          "
    "daily-report                        in 19 h    failed 4 h ago        -          "
    "sync                                in 30 s    succeeded 5 h ago     1, 2 wait  "
    "yearly                              disabled   -                     -          "
    "nightly-export-of…to-the-warehouse  paused     -                     -          "
    "                                                                                "
    "                                                                                "
    "                                                                                "
    " running longest ───────────────────────────────────────────────────────────────"
    "59.0s     jp-3                  sync@20261123T115900Z   attempt 1               "
    "12.0s     eu-7                  sync@20261123T115900Z   page 3 of 10 (attempt 2)"
    " log ───────────────────────────────────────────────────────────────────────────"
    "2026-11-23 06:59:00.002-05:00 INFO  [job=sync run=sync@20261123T115900Z] fired  "
    "2026-11-23 06:59:31.418-05:00 WARN  [job…-7] failed after 3s; next attempt in 5s"
    "2026-11-23 06:59:59.000-05:00 INFO  [job…5900Z partial=kr-2] stdout| \x1b[2Jdone"
    "                                                                                "
    "                                                                                "
    "                                                                                "
    "                                                                                "
    "q leave  ↑↓ select  enter show  / filter  f failed only  p pause/resume         "
    "#);
}

#[test]
fn the_page_at_120_columns() {
    assert_snapshot!(screen(&page(), 120, 40), @r#"
    "batchd 0.1.0 running, up 1d 3h; 4 jobs, next fire in 30 s                                                               "
    "1 live run, 4 partials in flight; 12.0 partials/s, 0.5 failures/s                                                       "
    " jobs 5 ────────────────────────────────────────────────────────────────────────────────────────────────────────────────"
    "job                                               next fire                 due        last run              live       "
    "cleanup                                           -                         -          -                     -          "
    "daily-report                                      2026-11-24 02:00:00 EST   in 19 h    failed 4 h ago        -          "
    "sync                                              2026-11-23 07:00:30 EST   in 30 s    succeeded 5 h ago     1, 2 wait  "
    "yearly                                            -                         disabled   -                     -          "
    "nightly-export-of-every-branch-to-the-warehouse   -                         paused     -                     -          "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    " running longest ───────────────────────────────────────────────────────────────────────────────────────────────────────"
    "59.0s     jp-3                  sync@20261123T115900Z                                           attempt 1               "
    "12.0s     eu-7                  sync@20261123T115900Z                                           page 3 of 10 (attempt 2)"
    " log ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────"
    "2026-11-23 06:59:00.002-05:00 INFO  [job=sync run=sync@20261123T115900Z] fired                                          "
    "2026-11-23 06:59:31.418-05:00 WARN  [job=sync run=sync@20261…3T115900Z partial=eu-7] failed after 3s; next attempt in 5s"
    "2026-11-23 06:59:59.000-05:00 INFO  [job=sync run=sync@20261123T115900Z partial=kr-2] stdout| \x1b[2Jdone               "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "                                                                                                                        "
    "q leave  ↑↓ select  enter show  / filter  f failed only  p pause/resume                                                 "
    "#);
}

#[test]
fn what_is_wrong_stands_at_the_top() {
    let mut page = page();
    let store = StoreState { healthy: false, reason: Some("the disk is full".to_owned()), since: None };
    page.status(LiveStatus { store, runs: Vec::new(), ..status() }, at(NOW));
    assert_snapshot!(screen(&page, 80, 12), @r#"
    "batchd 0.1.0 running, up 1d 3h; 4 jobs, next fire in 30 s                       "
    "the records cannot be written: the disk is full                                 "
    " jobs 5 ────────────────────────────────────────────────────────────────────────"
    "job                                 due        last run              live       "
    "cleanup                             -          -                     -          "
    "daily-report                        in 19 h    failed 4 h ago        -          "
    "sync                                in 30 s    succeeded 5 h ago     1, 2 wait  "
    " log ───────────────────────────────────────────────────────────────────────────"
    "2026-11-23 06:59:00.002-05:00 INFO  [job=sync run=sync@20261123T115900Z] fired  "
    "2026-11-23 06:59:31.418-05:00 WARN  [job…-7] failed after 3s; next attempt in 5s"
    "2026-11-23 06:59:59.000-05:00 INFO  [job…5900Z partial=kr-2] stdout| \x1b[2Jdone"
    "q leave  ↑↓ select  enter show  / filter  f failed only  p pause/resume         "
    "#);
    page.trouble("no daemon reachable at `/srv/state/batchd.sock`: nobody listens there".to_owned());
    assert!(screen(&page, 80, 12).contains("no daemon reachable"));
}

#[test]
fn keys_select_filter_and_ask_before_they_pause() {
    let mut page = page();
    assert_eq!(pressed(&mut page, &[KeyCode::Down, KeyCode::Enter]), Action::Show("daily-report".to_owned()));
    assert_eq!(pressed(&mut page, &[KeyCode::End, KeyCode::Down, KeyCode::Char('p')]), Action::Nothing);
    assert!(matches!(&page.mode, Mode::Confirm { job, pause: false } if job.starts_with("nightly-export")), "{:?}", page.mode);
    assert_eq!(pressed(&mut page, &typed("n")), Action::Nothing, "any other key means no");
    assert!(matches!(pressed(&mut page, &typed("py")), Action::Resume(job) if job.starts_with("nightly-export")));
    pressed(&mut page, &[KeyCode::Char('/'), KeyCode::Char('s'), KeyCode::Char('y'), KeyCode::Enter]);
    assert_eq!(page.shown().iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["sync"]);
    assert_eq!(pressed(&mut page, &typed("py")), Action::Pause("sync".to_owned()));
    pressed(&mut page, &[KeyCode::Esc, KeyCode::Char('f')]);
    assert_eq!(page.shown().iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["daily-report"]);
    assert_snapshot!(screen(&page, 80, 12), @r#"
    "batchd 0.1.0 running, up 1d 3h; 4 jobs, next fire in 30 s                       "
    "1 live run, 4 partials in flight; 12.0 partials/s, 0.5 failures/s               "
    " jobs 1 of 5 ───────────────────────────────────────────────────────────────────"
    "job                                 due        last run              live       "
    "daily-report                        in 19 h    failed 4 h ago        -          "
    "                                                                                "
    " running longest ───────────────────────────────────────────────────────────────"
    "59.0s     jp-3                  sync@20261123T115900Z   attempt 1               "
    "12.0s     eu-7                  sync@20261123T115900Z   page 3 of 10 (attempt 2)"
    " log ───────────────────────────────────────────────────────────────────────────"
    "2026-11-23 06:59:59.000-05:00 INFO  [job…5900Z partial=kr-2] stdout| \x1b[2Jdone"
    "failed only  q leave  ↑↓ select  enter show  / filter  f failed only  p pause/r…"
    "#);
    assert_eq!(pressed(&mut page, &typed("q")), Action::Leave);
}

#[test]
fn a_run_is_told_and_scrolled() {
    let mut page = page();
    page.detail((1..=30).map(|number| format!("line {number}")).collect());
    assert_eq!(pressed(&mut page, &[KeyCode::PageDown, KeyCode::Down, KeyCode::Up]), Action::Nothing);
    assert_snapshot!(screen(&page, 40, 10), @r#"
    "batchd 0.1.0 running, up 1d 3h; 4 jobs,…"
    "1 live run, 4 partials in flight; 12.0 …"
    " latest run ────────────────────────────"
    "line 11                                 "
    "line 12                                 "
    "line 13                                 "
    "line 14                                 "
    "line 15                                 "
    "line 16                                 "
    "esc back  ↑↓ scroll                     "
    "#);
    assert_eq!(pressed(&mut page, &[KeyCode::Esc]), Action::Nothing, "the first goes back to the list");
    assert_eq!(pressed(&mut page, &typed("q")), Action::Leave);
}

#[test]
fn a_daemon_that_was_started_anew_has_no_negative_rate() {
    let mut page = page();
    page.status(LiveStatus { partials_ended: 3, partials_failed: 0, ..status() }, at("2026-11-23T12:00:01Z"));
    assert_eq!((page.rates.partials, page.rates.failures), (0.0, 0.0));
}
