//! What a Rust handler declares, and what a job may say of it.

use super::*;

fn argument(kind: ArgumentKind, default: Option<&str>) -> Argument {
    Argument { kind, default: default.map(str::to_owned), help: Some("declared".to_owned()) }
}

fn parse_with(args: &[(&str, Argument)], is_batch: bool, job: &str) -> Result<Job, String> {
    let args = args.iter().map(|(name, argument)| ((*name).to_owned(), argument.clone())).collect();
    let context = Context { handlers: vec![DeclaredHandler { name: "report".to_owned(), args, is_batch }], ..context() };
    let text = format!("[jobs.a]\nhandler = \"report\"\n{job}");
    match parse(text.as_bytes(), &context) {
        Ok((config, warnings)) => {
            assert_eq!(warnings.one_line(), Vec::<String>::new());
            Ok((*config.jobs["a"]).clone())
        }
        Err(problems) => Err(problems.one_line().join("\n")),
    }
}

fn declared() -> [(&'static str, Argument); 2] {
    [("day", argument(ArgumentKind::Date, Some("{{ nominal.date }}"))), ("shop", argument(ArgumentKind::Integer, None))]
}

#[track_caller]
fn refused(args: &[(&str, Argument)], job: &str) -> String {
    parse_with(args, false, job).expect_err("is refused").replace("jobs.toml:", "")
}

#[test]
fn a_job_has_the_arguments_of_its_handler() {
    let job = parse_with(&declared(), false, "schedule = \"manual\"\n").expect("valid");
    assert_eq!(*job.args, BTreeMap::from(declared().map(|(name, argument)| (name.to_owned(), argument))));
    let job = parse_with(&declared(), false, "schedule = \"@daily\"\nargs = { shop = { default = 7 } }\n").expect("valid");
    let shop = Argument { default: Some("7".to_owned()), ..argument(ArgumentKind::Integer, None) };
    assert_eq!(job.args["shop"], shop, "the type and the help stay");
    assert!(
        parse_with(&[], false, "schedule = \"manual\"\nargs = { own = { default = \"x\" } }\n").is_ok(),
        "a handler that declares nothing"
    );
}

#[test]
fn what_a_job_says_of_the_arguments_must_fit() {
    insta::assert_snapshot!(refused(&declared(), "schedule = \"@daily\"\n"), @"1:7: the argument `shop` has no default, but the job runs by itself");
    insta::assert_snapshot!(refused(&declared(), "schedule = \"manual\"\nargs = { shpo = { default = 7 } }\n"), @"4:10: the handler `report` declares no argument `shpo`: it has `day`, `shop`");
    insta::assert_snapshot!(refused(&declared(), "schedule = \"manual\"\nargs = { shop = { type = \"string\" } }\n"), @"4:17: `args.shop` is of type int in the handler, found string: leave `type` and `choices` out");
    insta::assert_snapshot!(refused(&declared(), "schedule = \"manual\"\nargs = { day = { default = \"someday\" } }\n"), @"4:28: `args.day.default` is no date: it is `someday`, allowed is a date such as 2026-01-31");
}

#[test]
fn a_handler_that_declares_nonsense_is_refused_with_its_job() {
    insta::assert_snapshot!(refused(&[("target", argument(ArgumentKind::Text, None))], "schedule = \"manual\"\n"), @"2:11: the handler `report` declares an argument that is refused: the argument `target` has the name of an option of `batchd run` or `batchd trigger`");
    insta::assert_snapshot!(refused(&[("days", argument(ArgumentKind::Integer, Some("many")))], "schedule = \"manual\"\n"), @"2:11: the handler `report` declares an argument `days` whose default is no int: it is `many`, allowed is a whole number, of 64 bits");
}

#[test]
fn a_batch_lists_targets_and_gathers_unless_the_job_does() {
    let job = parse_with(&[], true, "schedule = \"manual\"\nconcurrency = 3\n").expect("valid");
    assert!(matches!(&job.targets, Targets::Source(source) if source.origin == Origin::Handler), "{:?}", job.targets);
    assert_eq!(job.gather, Some(Gather::Handler));
    let job = parse_with(&[], true, "schedule = \"manual\"\ntargets = [\"x\"]\ngather = [\"wc\", \"-l\"]\n").expect("valid");
    assert_eq!((job.targets.partials(), job.gather.as_ref().and_then(Gather::argv).map(<[String]>::len)), (1, Some(2)));
    let job = parse_with(&[], false, "schedule = \"manual\"\n").expect("valid");
    assert_eq!((job.targets, job.gather), (Targets::None, None));
}
