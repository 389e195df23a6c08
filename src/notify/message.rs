//! What goes out: one notice, or several that came too fast, under an id that stays the same at each attempt.

use jiff::Timestamp;
use serde::Serialize;

use super::wording;
use crate::engine::{Kind, Notice};
use crate::store::outbox::Letter;

/// Notices written out in a message of several; the others are counted.
const MAX_WRITTEN_OUT: usize = 20;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// For whoever gets it twice.
    pub(super) id: String,
    /// Whether an earlier attempt may have arrived.
    pub(super) possible_duplicate: bool,
    pub(super) notices: Vec<Notice>,
}

/// The JSON of a message: the facts of its notice, or of the first of several.
#[derive(Serialize)]
struct Single<'a> {
    id: &'a str,
    possible_duplicate: bool,
    summary: String,
    text: String,
    #[serde(flatten)]
    notice: &'a Notice,
}

#[derive(Serialize)]
struct Several<'a> {
    id: &'a str,
    possible_duplicate: bool,
    summary: String,
    text: String,
    event: &'static str,
    count: usize,
    notices: &'a [Notice],
}

impl Message {
    /// The letters, at least one, as one message.
    pub(super) fn new(letters: &[Letter]) -> Self {
        let lead = letters.first().map(|letter| letter.id.clone()).unwrap_or_default();
        Self {
            id: if letters.len() > 1 { format!("{lead}-{}", letters.len()) } else { lead },
            possible_duplicate: letters.iter().any(|letter| letter.unsure),
            notices: letters.iter().map(|letter| letter.notice.clone()).collect(),
        }
    }

    /// One that tells nothing.
    pub(super) fn test(channel: &str, now: Timestamp) -> Self {
        let id = format!("test-{}", now.as_microsecond());
        Self { id, possible_duplicate: false, notices: vec![Notice::test(channel, now)] }
    }

    /// One line for people.
    pub(super) fn subject(&self) -> String {
        match self.notices.as_slice() {
            [notice] => wording::subject(notice),
            notices => wording::subject_of_several(notices),
        }
    }

    /// All of it for people.
    pub(super) fn text(&self) -> String {
        let text = match self.notices.as_slice() {
            [notice] => wording::text(notice),
            notices => wording::text_of_several(notices, MAX_WRITTEN_OUT),
        };
        if self.possible_duplicate { format!("{text}\n(You may have got this before.)\n") } else { text }
    }

    /// For programs.
    pub(super) fn json(&self) -> Vec<u8> {
        let (id, possible_duplicate, summary, text) = (&*self.id, self.possible_duplicate, self.subject(), self.text());
        let json = match self.notices.as_slice() {
            [notice] => serde_json::to_vec(&Single { id, possible_duplicate, summary, text, notice }),
            notices => {
                let (event, count, notices) = ("held_back", notices.len(), &notices[..notices.len().min(MAX_WRITTEN_OUT)]);
                serde_json::to_vec(&Several { id, possible_duplicate, summary, text, event, count, notices })
            }
        };
        json.unwrap_or_default()
    }

    /// For Slack: its three special characters are escaped, the rest is taken as it is.
    pub(super) fn slack(&self) -> Vec<u8> {
        let text = self.text().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        serde_json::json!({ "text": text }).to_string().into_bytes()
    }

    /// What a single notice is about; of several, of the first.
    pub(super) fn kind(&self) -> Kind {
        self.notices.first().map_or(Kind::Test, |notice| notice.event)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::{FailedTarget, Outcome, RunOutcome};

    /// A failure of two of ten targets.
    pub(in crate::notify) fn failure() -> Notice {
        let at: Timestamp = "2026-03-11T17:05:00Z".parse().expect("a time");
        let failed =
            |target: &str, error: &str| FailedTarget { target: Some(target.into()), outcome: Outcome::Failed, error: Some(error.into()) };
        Notice {
            event: Kind::Failure,
            job: "daily-report".into(),
            description: Some("Mail every shop its report".into()),
            run: Some("daily-report@20260311T170000Z".into()),
            nominal: "2026-03-11T17:00:00Z".parse().expect("a time"),
            zone: "Asia/Seoul".into(),
            outcome: Some(RunOutcome::Failed),
            failures: 1,
            partials: 10,
            succeeded: 7,
            failed: 3,
            failed_targets: vec![failed("jeju", "exit code 2: no <file>"), failed("busan", "timed out\n\u{1b}[31m")],
            retry: Some("batchd retry daily-report@20260311T170000Z".into()),
            ..Notice::test("ops", at)
        }
    }

    pub(in crate::notify) fn letter(key: i64, created: Timestamp) -> Letter {
        Letter { key, id: format!("id{key}"), created, next: created, attempts: 0, unsure: false, lead: None, notice: failure() }
    }

    #[test]
    fn programs_get_the_facts() {
        let one = Message::new(&[Letter { unsure: true, ..letter(1, Timestamp::UNIX_EPOCH) }]);
        let json: serde_json::Value = serde_json::from_slice(&one.json()).expect("JSON");
        assert_eq!((&json["id"], &json["event"], &json["possible_duplicate"]), (&"id1".into(), &"failure".into(), &true.into()));
        assert_eq!(
            (&json["failed_targets"][0]["target"], &json["retry"]),
            (&"jeju".into(), &"batchd retry daily-report@20260311T170000Z".into())
        );
        let letters: Vec<Letter> = (1..=30).map(|key| letter(key, Timestamp::UNIX_EPOCH)).collect();
        let json: serde_json::Value = serde_json::from_slice(&Message::new(&letters).json()).expect("JSON");
        assert_eq!((&json["id"], &json["event"], &json["count"]), (&"id1-30".into(), &"held_back".into(), &30.into()));
        assert_eq!(json["notices"].as_array().map(Vec::len), Some(MAX_WRITTEN_OUT));
    }

    #[test]
    fn slack_takes_nothing_as_markup() {
        let text = String::from_utf8(Message::new(&[letter(1, Timestamp::UNIX_EPOCH)]).slack()).expect("text");
        assert!(text.contains("no &lt;file&gt;") && !text.contains("\\u001b"), "{text}");
    }
}
