//! One place in memory for what most jobs have in common.

use std::sync::Arc;

/// The latest of the values that most jobs have in common, so that thousands of jobs hold it once.
pub(super) struct Latest<T>(Arc<T>);

impl<T: Default> Default for Latest<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: PartialEq> Latest<T> {
    /// `value`, in the place of the latest one when they are equal.
    pub(super) fn share(&mut self, value: T) -> Arc<T> {
        if *self.0 != value {
            self.0 = Arc::new(value);
        }
        Arc::clone(&self.0)
    }
}
