//! The values of an attempt for the templates of argv, scripts and environment. They are made when the first template asks:
//! most arguments are plain text.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use super::Attempt;
pub(super) use crate::config::template::TemplateError;
use crate::config::template::{self, Credentials, Values as Made};
use crate::config::{Target, TargetValue};

#[derive(Debug)]
pub(super) struct Values<'a> {
    attempt: &'a Attempt,
    made: OnceCell<Made>,
    credentials: Option<Credentials>,
}

impl<'a> Values<'a> {
    pub(super) fn new(attempt: &'a Attempt) -> Self {
        Self { attempt, made: OnceCell::new(), credentials: None }
    }

    /// Those of the environment, in which credentials may stand.
    pub(super) fn with_credentials(attempt: &'a Attempt, credentials: Credentials) -> Self {
        Self { credentials: Some(credentials), ..Self::new(attempt) }
    }

    /// The targets of a chunk, each as one word; a table as JSON.
    pub(super) fn chunk(&self) -> Option<Vec<String>> {
        let text = |target: &Target| match &target.value {
            TargetValue::Text(text) => text.to_string(),
            TargetValue::Table(_) => super::chunk::value(target).to_string(),
        };
        Some(self.attempt.chunk()?.into_iter().map(|(_, target)| text(target)).collect())
    }

    fn made(&self) -> &Made {
        self.made.get_or_init(|| {
            let run = &self.attempt.run;
            Made {
                job: Arc::clone(&run.job.name),
                run: Arc::clone(&run.id.0),
                nominal: run.nominal.to_zoned_datetime(run.job.timetable.zone.rules.clone()),
                target: self.attempt.target().cloned().filter(|_| self.attempt.run.job.policies.chunk == 1),
                targets: self.attempt.chunk().map(|chunk| chunk.into_iter().map(|(_, target)| target.clone()).collect()),
                args: Arc::clone(&run.args),
                env: Arc::new(run.job.process.env.clone()),
                attempt: self.attempt.number(),
                index: self.attempt.index(),
                count: run.targets.partials(),
                credentials: self.credentials.clone(),
            }
        })
    }
}

/// Renders a template as it stands.
pub(super) fn render<'a>(text: &'a str, values: &Values<'_>) -> Result<Cow<'a, str>, TemplateError> {
    if text.contains('{') { template::render(text, values.made()).map(Cow::Owned) } else { Ok(Cow::Borrowed(text)) }
}

/// Renders a URL: each value is percent-encoded.
pub(super) fn render_url<'a>(text: &'a str, values: &Values<'_>) -> Result<Cow<'a, str>, TemplateError> {
    if text.contains('{') { template::render_url(text, values.made()).map(Cow::Owned) } else { Ok(Cow::Borrowed(text)) }
}

/// Renders a template of a shell script: each value is one quoted word.
pub(super) fn render_shell<'a>(text: &'a str, values: &Values<'_>) -> Result<Cow<'a, str>, TemplateError> {
    if text.contains('{') { template::render_shell(text, values.made()).map(Cow::Owned) } else { Ok(Cow::Borrowed(text)) }
}
