//! What a run that is taken up again works on when the targets of its job were edited meanwhile: a target is the same where its key is.
//!
//! Indexes stay: a partial keeps the one it was recorded under, and new targets follow behind the last.

use std::collections::HashMap;
use std::sync::Arc;

use super::Indexes;
use crate::config::{Target, Targets};

/// The plan of a run that goes on.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// The recorded targets at their indexes, with the values that are configured now; behind them those that are new.
    pub targets: Targets,
    /// Recorded targets that are configured no more.
    pub unlisted: Indexes,
}

/// Compares the recorded plan with what is configured. `grows`: new targets join, because the run is one for all targets.
/// `None`: one has targets and the other has none, so that no partial of the one is a partial of the other.
pub(super) fn replan(recorded: &Targets, configured: &Targets, grows: bool) -> Option<Plan> {
    let from_elsewhere = recorded.are_stored() || matches!(configured, Targets::Source(_));
    if recorded == configured || (from_elsewhere && *recorded != Targets::None && *configured != Targets::None) {
        // What comes from elsewhere is compared when it has been read again; a list on record is not compared with that.
        return Some(Plan { targets: recorded.clone(), unlisted: Indexes::default() });
    }
    if (recorded == &Targets::None) != (configured == &Targets::None) {
        return None;
    }
    let mut wanted: HashMap<Arc<str>, Target> = all(configured).map(|target| (Arc::clone(&target.key), target)).collect();
    let mut unlisted = Indexes::default();
    let mut targets = Vec::new();
    for (index, target) in (0..).zip(all(recorded)) {
        let listed = wanted.remove(&target.key);
        if listed.is_none() {
            unlisted.insert(index);
        }
        targets.push(listed.unwrap_or(target));
    }
    if grows {
        targets.extend(all(configured).filter(|target| wanted.contains_key(&target.key)));
    }
    let targets = if unlisted.is_empty() && all(recorded).eq(targets.iter().cloned()) { recorded.clone() } else { list(targets) };
    Some(Plan { targets, unlisted })
}

fn all(targets: &Targets) -> impl Iterator<Item = Target> + '_ {
    (0..targets.partials()).filter_map(|index| targets.get(index))
}

fn list(targets: Vec<Target>) -> Targets {
    Targets::List(targets.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TargetValue;

    fn target(key: &str, value: &str) -> Target {
        Target { key: key.into(), value: TargetValue::Text(value.into()) }
    }

    /// Keys; a range; nothing.
    fn read(text: &str) -> Targets {
        match text.split_once("..") {
            Some((start, end)) => Targets::Range { start: start.parse().expect("a number"), end: end.parse().expect("a number") },
            None if text.is_empty() => Targets::None,
            None => list(text.split(' ').map(|key| target(key, key)).collect()),
        }
    }

    /// The plan, what is not listed any more in parentheses.
    fn show(plan: &Plan) -> String {
        let text = |(index, target): (u32, Target)| {
            if plan.unlisted.contains(index) { format!("({})", target.key) } else { target.key.to_string() }
        };
        (0..).zip(all(&plan.targets)).map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn edited_lists() {
        for (recorded, configured, grown, by_hand) in [
            ("a b c", "a b c", "a b c", "a b c"),
            ("a b c", "c b a", "a b c", "a b c"),
            ("a b c", "x a c y", "a (b) c x y", "a (b) c"),
            ("a b", "a b c", "a b c", "a b"),
            ("a b", "c", "(a) (b) c", "(a) (b)"),
            ("0..3", "1..5", "(0) 1 2 3 4", "(0) 1 2"),
            ("0..3", "2 1 x", "(0) 1 2 x", "(0) 1 2"),
            ("", "", "", ""),
            ("a", "", "none", "none"),
            ("", "a", "none", "none"),
        ] {
            for (grows, expected) in [(true, grown), (false, by_hand)] {
                let plan = replan(&read(recorded), &read(configured), grows);
                assert_eq!(plan.map_or("none".to_owned(), |plan| show(&plan)), expected, "{recorded} → {configured}, {grows}");
            }
        }
    }

    #[test]
    fn a_target_has_the_value_that_is_configured_now() {
        let configured = list(vec![target("a", "new")]);
        let plan = replan(&list(vec![target("a", "old")]), &configured, true).expect("both have targets");
        assert_eq!(plan, Plan { targets: configured, unlisted: Indexes::default() });
    }

    #[test]
    fn a_plan_that_stays_as_it_is_is_the_recorded_one() {
        let plan = replan(&read("0..3"), &read("0..1000"), false).expect("both have targets");
        assert_eq!(plan.targets, read("0..3"));
    }
}
