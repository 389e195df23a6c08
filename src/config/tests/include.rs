//! Included files: jobs only, each defined once, problems told of the right file.

use super::*;

/// The files, in no order.
pub(super) const FILES: [(&str, &str); 4] = [
    ("jobs.d/b.toml", "# b\n[jobs.sync]\nschedule = \"@daily\"\nshell = \"true\"\n"),
    ("jobs.d/a.toml", "[jobs.after]\nafter = [\"sync\"]\nshell = \"true\"\n"),
    ("jobs.d/twice.toml", "[jobs.own]\nschedule = \"@daily\"\nshell = \"true\"\n"),
    ("jobs.d/wrong.toml", "[daemon]\n[jobs.x]\nschedule = \"61 * * * *\"\nshell = \"true\"\n"),
];

pub(super) fn file(path: &str) -> Result<Vec<u8>, String> {
    let found = FILES.iter().find(|(name, _)| path.ends_with(name));
    found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| format!("cannot read `{path}`"))
}

/// The included files that there are.
pub(super) fn matches(_: &std::path::Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    if pattern.ends_with('[') {
        return Err("it is no pattern: invalid range pattern".to_owned());
    }
    let names = FILES.iter().map(|(name, _)| *name).filter(|name| pattern == *name || pattern == "jobs.d/*");
    Ok(names.map(|name| PathBuf::from("/srv/batch").join(name)).collect())
}

/// The jobs with their timeouts, or the problems.
#[track_caller]
fn check(include: &str, expected: &str) {
    let text = format!("include = {include}\n[defaults]\ntimeout = \"7s\"\n[jobs.own]\nschedule = \"manual\"\nshell = \"true\"\n");
    let found = match parse(text.as_bytes(), &context()) {
        Ok((config, _)) => {
            config.jobs.values().map(|job| format!("{} {:?}", job.name, job.policies.timeout.unwrap_or_default())).collect::<Vec<_>>()
        }
        Err(problems) => problems.one_line(),
    };
    assert_eq!(found.join("\n"), expected);
}

#[test]
fn jobs_of_other_files_join() {
    check("[\"jobs.d/a.toml\", \"jobs.d/b.toml\"]", "after 7s\nown 7s\nsync 7s");
    check("[\"none.d/*\"]", "own 7s");
}

#[test]
fn problems_name_the_file_they_are_in() {
    check(
        "[\"jobs.d/*\"]",
        "jobs.d/twice.toml:1:7: the job `own` is defined twice\n\
         jobs.d/wrong.toml:1:2: `daemon` cannot stand in an included file, which has jobs only\n\
         jobs.d/wrong.toml:3:13: `schedule`: minute `61` is out of range 0-59",
    );
    check("[\"jobs.d/a.toml\"]", "jobs.d/a.toml:2:10: `after` names no job: \"sync\"");
    check("[\"missing.toml\"]", "jobs.toml:1:12: `include`: there is no file `missing.toml`");
    check("[\"jobs.d/[\"]", "jobs.toml:1:12: `include`: it is no pattern: invalid range pattern");
    check("\"jobs.d\"", "jobs.toml:1:11: `include` must be an array of patterns, found the string \"jobs.d\"");
}
