//! `args`: what a file may get wrong, and what values a run may have.

use serde_json::json;

use super::*;
use crate::config::args::Args;

fn with(args: &str) -> String {
    format!("[jobs.a]\nschedule = \"manual\"\ncommand = [\"x\"]\nargs = {args}\n")
}

#[test]
fn arguments_that_cannot_be() {
    for (args, column, words) in [
        ("5", 8, &["`args` must be a table"][..]),
        ("{ target = {} }", 10, &["option of `batchd run`", "rename"]),
        ("{ \"1st\" = {} }", 10, &["cannot be the name", "first a letter"]),
        ("{ a-b = {}, a_b = {} }", 20, &["same in the environment", "BATCHD_ARG_A_B"]),
        ("{ a = { typ = \"int\" } }", 16, &["unknown key `typ`", "did you mean `type`?"]),
        ("{ a = { type = \"number\" } }", 23, &["unknown `args.a.type`", "\"float\""]),
        ("{ a = { type = \"choice\" } }", 14, &["without `choices`"]),
        ("{ a = { type = \"int\", choices = [\"1\"] } }", 30, &["which a int does not have"]),
        ("{ a = { type = \"int\", default = \"x\" } }", 40, &["no int", "whole number"]),
        ("{ a = { choices = [\"x\"], default = \"y\" } }", 43, &["no choice", "one of `x`"]),
        ("{ a = { type = \"date\", default = \"{{ nominal.year }}\" } }", 41, &["no date", "2026-01-31"]),
        ("{ a = { default = \"{{ target }}\" } }", 30, &["`target` has no value in a default"]),
        ("{ a = { default = \"{{ nominal.dat }}\" } }", 30, &["did you mean `date`?"]),
    ] {
        check(with(args), (4, column), words);
    }
}

#[test]
fn names_are_known_and_scheduled_jobs_need_defaults() {
    check("[jobs.a]\nschedule = \"manual\"\ncommand = [\"{{ args.dat }}\"]\nargs = { date = {} }\n", (3, 16), &["did you mean `date`?"]);
    check("[jobs.a]\nschedule = \"manual\"\ncommand = [\"{{ args.x }}\"]\n", (3, 16), &["the job has no `args`"]);
    check("[jobs.a]\nschedule = \"@daily\"\ncommand = [\"x\"]\nargs = { date = {} }\n", (4, 17), &["`date` has no default"]);
}

#[test]
fn values_are_checked_and_completed() {
    let text = with(
        "{ n = { type = \"int\", default = 7 }, f = { type = \"float\", default = 1.5 }, b = { type = \"bool\", default = false }, d = { type = \"date\", default = \"{{ nominal.date }}\" }, s = {} }",
    );
    let (config, _) = parse(text.as_bytes(), &context()).expect("is valid");
    let job = &config.jobs["a"];
    for (given, expected) in [
        (json!({"s": "x"}), Ok(json!({"b": false, "d": "1970-01-01", "f": 1.5, "n": 7, "s": "x"}))),
        (
            json!({"s": 5, "n": "-3", "b": "true", "f": 2, "d": "2026-01-31"}),
            Ok(json!({"b": true, "d": "2026-01-31", "f": 2.0, "n": -3, "s": "5"})),
        ),
        (json!({}), Err("argument `s` is missing and has no default")),
        (json!({"s": "x", "n": 1.5}), Err("argument `n` cannot be 1.5: allowed is a whole number")),
        (json!({"s": "x", "d": "2026-02-30"}), Err("argument `d` cannot be \"2026-02-30\"")),
        (json!({"s": ["x"]}), Err("argument `s` cannot be [\"x\"]")),
        (json!({"z": 1}), Err("job `a` has no argument `z`: it has `b`, `d`, `f`, `n`, `s`")),
    ] {
        let given: Args = serde_json::from_value(given).expect("an object");
        match (job.args(&given, jiff::Timestamp::UNIX_EPOCH), expected) {
            (Ok(args), Ok(expected)) => assert_eq!(serde_json::to_value(&*args).expect("JSON"), expected),
            (Err(error), Err(expected)) => assert!(error.to_string().starts_with(expected), "{error}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }
}
