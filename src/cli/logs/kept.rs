//! What a run said, from the records: for a run whose lines are not in the log any more, or never were, as those of `batchd run`.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::LogsArgs;
use super::line::LogLine;
use crate::cli::client::{path, query};
use crate::cli::escape::escape;
use crate::cli::{Client, Exit, Failure, Screen, human};
use crate::web::api::{OutputList, OutputView, RunDetail, RunView};

/// So many partials of a run are looked at.
const MAX_PARTIALS: usize = 10_000;

/// As much of a line of results as is needed here.
#[derive(Deserialize)]
struct Partial {
    index: u32,
    target: Option<Box<RawValue>>,
}

/// Prints the last lines of what was kept of the run's output, partial by partial.
pub(in crate::cli) async fn kept(client: &Client, subject: &str, args: &LogsArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let RunDetail { run, .. } = client.get(&path(&["runs", subject])).await?;
    let mut lines = Last { most: args.lines as usize, lines: VecDeque::new() };
    let mut partials = client.lines(&path(&["runs", &run.id.0, "results"])).await?;
    let mut left = MAX_PARTIALS;
    while let Some(line) = partials.next().await? {
        let Ok(Partial { index, target }) = serde_json::from_str(&line) else { continue };
        let target = target.map(|target| serde_json::from_str(target.get()).unwrap_or_else(|_| target.get().to_owned()));
        if args.target.is_some() && args.target != target {
            continue;
        }
        if left == 0 {
            screen.note(format!("only the first {MAX_PARTIALS} partials are looked at: `--target` names one"))?;
            break;
        }
        left -= 1;
        lines.add_all(&run, target.as_deref(), &outputs(client, &run, Some(index)).await?);
    }
    if args.target.is_none() {
        lines.add_all(&run, Some("gather"), &outputs(client, &run, None).await?);
    }
    screen.note(format!("the log has nothing of it; this was kept of what {} said", escape(&run.id.0)))?;
    for line in &lines.lines {
        if args.json {
            screen.json_line(&line.to_json())?;
        } else {
            screen.line(line.to_text())?;
        }
    }
    Ok(Exit::Done)
}

async fn outputs(client: &Client, run: &RunView, index: Option<u32>) -> Result<Vec<OutputView>, Failure> {
    let query = query(&[("index", index.map(|index| index.to_string()))]);
    let OutputList { outputs } = client.get(&(path(&["runs", &run.id.0, "output"]) + &query)).await?;
    Ok(outputs)
}

/// The last lines of many.
struct Last {
    most: usize,
    lines: VecDeque<LogLine>,
}

impl Last {
    fn add_all(&mut self, run: &RunView, partial: Option<&str>, outputs: &[OutputView]) {
        for output in outputs {
            let cut = (output.cut > 0).then(|| format!("… {} were not kept …", human::size(output.cut)));
            let lines = output.head.lines().chain(cut.as_deref()).chain(output.tail.lines());
            lines.for_each(|line| self.add(LogLine::of_partial(&run.job, &run.id.0, partial, line)));
        }
    }

    fn add(&mut self, line: LogLine) {
        if self.lines.len() == self.most {
            self.lines.pop_front();
        }
        if self.most > 0 {
            self.lines.push_back(line);
        }
    }
}
