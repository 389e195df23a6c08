//! Variables as the kernel takes them: `NAME=VALUE` with a NUL at its end, one after the other in one piece of memory. A job has a
//! dozen, and each start makes them anew: twelve pairs of strings would cost more than the rest of the preparation.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;

/// The variables of a process. Of several with one name the last wins.
#[derive(Default)]
pub(crate) struct Variables {
    text: Vec<u8>,
    places: Vec<Place>,
}

/// Where a variable stands in the text.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The first bytes of its name, which mostly say all about its order.
    first: u64,
    start: usize,
    /// Of the name, in bytes.
    name: usize,
    /// Behind the NUL.
    end: usize,
}

/// Room for what most jobs have, so that it is taken once.
const TEXT_BYTES: usize = 1024;
const PLACES: usize = 24;

impl Variables {
    /// With room for a job's own beside them.
    pub(super) fn begin(&self) -> Self {
        let (mut text, mut places) = (Vec::with_capacity(self.text.len() + TEXT_BYTES), Vec::with_capacity(self.places.len() + PLACES));
        text.extend_from_slice(&self.text);
        places.extend_from_slice(&self.places);
        Self { text, places }
    }

    pub(super) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.add(name, |text| text.extend_from_slice(value.as_ref().as_bytes()));
    }

    /// The same of a value as it is shown.
    pub(super) fn set_shown(&mut self, name: &str, value: impl fmt::Display) {
        self.add(name, |text| write!(text, "{value}").expect("memory takes all"));
    }

    /// Sorts them by name, and drops those that a later one has replaced. To be called when all are set.
    pub(super) fn settle(&mut self) {
        let Self { text, places } = self;
        let name = |place: &Place| &text[place.start..][..place.name];
        // The latest of each name first, which is the one that stays.
        places.sort_unstable_by(|a, b| a.first.cmp(&b.first).then_with(|| name(a).cmp(name(b))).then(b.start.cmp(&a.start)));
        places.dedup_by(|earlier, kept| earlier.first == kept.first && name(earlier) == name(kept));
    }

    /// The value of a variable, by then the latest.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.iter().filter(|(found, _)| *found == name).last().map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.places.iter().map(|place| {
            let (name, value) = self.text[place.start..place.end - 1].split_at(place.name);
            (OsStr::from_bytes(name), OsStr::from_bytes(&value[1..]))
        })
    }

    /// Each as `NAME=VALUE` with its NUL.
    pub(super) fn texts(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.places.iter().map(|place| &self.text[place.start..place.end])
    }

    fn add(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        self.text.push(b'=');
        value(&mut self.text);
        self.text.push(0);
        self.places.push(Place { first: first(name), start, name: name.len(), end: self.text.len() });
    }
}

/// Of two names with different ones, that with the lower comes first.
fn first(name: &str) -> u64 {
    let mut first = [0; 8];
    let length = name.len().min(first.len());
    first[..length].copy_from_slice(&name.as_bytes()[..length]);
    u64::from_be_bytes(first)
}

/// Their names; never their values, which may be secrets.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_wins_and_all_are_in_order() {
        let mut variables = Variables::default();
        for (name, value) in [("PATH", "/bin"), ("B", "1"), ("A=", ""), ("PATH", "/usr/bin"), ("B", ""), ("PATHS", "x")] {
            variables.set(name, value);
        }
        variables.set_shown("N", 7);
        assert_eq!(variables.get("PATH"), Some(OsStr::new("/usr/bin")));
        variables.settle();
        let texts: Vec<_> = variables.texts().map(String::from_utf8_lossy).collect();
        assert_eq!(texts, ["A==\0", "B=\0", "N=7\0", "PATH=/usr/bin\0", "PATHS=x\0"]);
        assert_eq!((variables.get("PATH"), variables.get("NO")), (Some(OsStr::new("/usr/bin")), None));
        assert_eq!(format!("{variables:?}"), r#"{"A=", "B", "N", "PATH", "PATHS"}"#);
    }
}
