//! The handlers that jobs can name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::batch::Steps;
use super::{IntoHandler, Registered};
use crate::config::DeclaredHandler;
use crate::handler::in_process::Echo;

/// The handlers that jobs can name.
#[derive(Clone)]
pub struct Registry {
    handlers: BTreeMap<Arc<str>, Registered>,
}

impl Registry {
    /// Holds `echo`, whose result is its target: for trying out and for measuring.
    pub fn new() -> Self {
        let mut registry = Self { handlers: BTreeMap::new() };
        registry.insert("echo", Echo);
        registry
    }

    /// Adds a handler; one of the same name is replaced.
    pub fn insert<Kind>(&mut self, name: impl Into<Arc<str>>, handler: impl IntoHandler<Kind>) {
        self.handlers.insert(name.into(), handler.into_handler());
    }

    /// Sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.handlers.keys().map(|name| &**name)
    }

    /// What they say of themselves, for the configuration.
    pub fn declared(&self) -> impl Iterator<Item = DeclaredHandler> {
        self.handlers.iter().map(|(name, handler)| DeclaredHandler {
            name: name.to_string(),
            args: handler.args.iter().map(|arg| (arg.name.clone(), arg.argument.clone())).collect(),
            is_batch: handler.is_batch,
        })
    }

    pub(crate) fn steps(&self, name: &str) -> Option<&Arc<dyn Steps>> {
        self.handlers.get(name).map(|handler| &handler.steps)
    }

    /// What is to be said of a name that is none.
    pub(crate) fn unknown(&self, name: &str) -> String {
        let known: Vec<&str> = self.names().collect();
        format!("no handler `{name}` is registered; there are `{}`", known.join("`, `"))
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
