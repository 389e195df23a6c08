//! Variables as the kernel takes them: `NAME=VALUE` with a NUL at its end, one after the other in one piece of memory. A job has a
//! dozen, and each start makes them anew: twelve pairs of strings would cost more than the rest of the preparation.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;

use memchr::memchr;

/// Room for what most jobs have, so that it is taken once.
const TEXT_BYTES: usize = 1024;
const PLACES: usize = 24;

/// Among so many a name is looked for one by one; with more, those that were replaced are found at the end, by sorting.
const FEW: usize = 64;

/// The variables of a process. Of several with one name the last wins.
#[derive(Default)]
pub(crate) struct Variables {
    /// Each text ends with a NUL, also those that were replaced.
    text: Vec<u8>,
    places: Vec<Place>,
    /// The first whose value has a NUL within.
    unusable: Option<String>,
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

impl Variables {
    pub(super) const fn none() -> Self {
        Self { text: Vec::new(), places: Vec::new(), unusable: None }
    }

    /// The same variables, with room for more.
    pub(super) fn begin(&self) -> Self {
        let (mut text, mut places) = (Vec::with_capacity(self.text.len() + TEXT_BYTES), Vec::with_capacity(self.places.len() + PLACES));
        text.extend_from_slice(&self.text);
        places.extend_from_slice(&self.places);
        Self { text, places, unusable: self.unusable.clone() }
    }

    pub(super) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.add(name, |text| text.extend_from_slice(value.as_ref().as_bytes()));
    }

    /// The same of a value as it is shown.
    pub(super) fn set_shown(&mut self, name: &str, value: impl fmt::Display) {
        self.add(name, |text| write!(text, "{value}").expect("memory takes all"));
    }

    /// Drops those that a later one has replaced. To be called when all are set.
    pub(super) fn settle(&mut self) {
        let Self { text, places, .. } = self;
        if places.len() <= FEW {
            return;
        }
        // The latest of each name first, which is the one that stays.
        places.sort_unstable_by(|a, b| a.first.cmp(&b.first).then_with(|| a.name(text).cmp(b.name(text))).then(b.start.cmp(&a.start)));
        places.dedup_by(|earlier, kept| earlier.is_named(kept.first, kept.name(text), text));
    }

    /// The value of a variable, by then the latest.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        let first = first(name);
        let place = self.places.iter().rfind(|place| place.is_named(first, name.as_bytes(), &self.text))?;
        Some(self.value(place))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.places.iter().map(|place| (OsStr::from_bytes(place.name(&self.text)), self.value(place)))
    }

    /// Each as `NAME=VALUE` with its NUL.
    pub(super) fn texts(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.places.iter().map(|place| &self.text[place.start..place.end])
    }

    /// The name of one whose value cannot be given to a program, since it has a NUL.
    pub(super) fn unusable(&self) -> Option<&str> {
        self.unusable.as_deref()
    }

    fn value(&self, place: &Place) -> &OsStr {
        OsStr::from_bytes(&self.text[place.start + place.name + 1..place.end - 1])
    }

    fn add(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        self.text.push(b'=');
        value(&mut self.text);
        if memchr(0, &self.text[start..]).is_some() {
            self.unusable.get_or_insert_with(|| name.to_owned());
        }
        self.text.push(0);
        let place = Place { first: first(name), start, name: name.len(), end: self.text.len() };
        let few = self.places.len() <= FEW;
        let known = self.places.iter_mut().filter(|_| few).find(|known| known.is_named(place.first, name.as_bytes(), &self.text));
        match known {
            Some(known) => *known = place,
            None => self.places.push(place),
        }
    }
}

impl Place {
    fn name<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start..][..self.name]
    }

    fn is_named(&self, first: u64, name: &[u8], text: &[u8]) -> bool {
        self.first == first && self.name(text) == name
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
    fn the_last_of_a_name_wins() {
        let mut variables = Variables::default();
        for (name, value) in [("PATH", "/bin"), ("B", "1"), ("A=", ""), ("PATH", "/usr/bin"), ("B", ""), ("PATHS", "x")] {
            variables.set(name, value);
        }
        variables.set_shown("N", 7);
        variables.settle();
        let texts: Vec<_> = variables.texts().map(String::from_utf8_lossy).collect();
        assert_eq!(texts, ["PATH=/usr/bin\0", "B=\0", "A==\0", "PATHS=x\0", "N=7\0"]);
        assert_eq!((variables.get("PATH"), variables.get("NO")), (Some(OsStr::new("/usr/bin")), None));
        assert_eq!(format!("{variables:?}"), r#"{"PATH", "B", "A=", "PATHS", "N"}"#);
        let more = variables.begin();
        assert_eq!(more.texts().collect::<Vec<_>>(), variables.texts().collect::<Vec<_>>());
    }

    #[test]
    fn it_does_so_among_many_too() {
        let mut variables = Variables::default();
        for round in 0..3 {
            (0..200).for_each(|number| variables.set_shown(&format!("VARIABLE_{number}"), round * 1_000 + number));
            assert_eq!(variables.get("VARIABLE_150"), Some(OsStr::new(&(round * 1_000 + 150).to_string())));
        }
        variables.settle();
        assert_eq!(variables.iter().count(), 200);
        for number in 0..200 {
            assert_eq!(variables.get(&format!("VARIABLE_{number}")), Some(OsStr::new(&(2_000 + number).to_string())));
        }
    }

    #[test]
    fn a_nul_is_noticed() {
        let mut variables = Variables::default();
        variables.set("A", "b");
        assert_eq!(variables.unusable(), None);
        variables.set("B", "c\0D=e");
        variables.set("C", "\0");
        assert_eq!(variables.unusable(), Some("B"));
    }
}
