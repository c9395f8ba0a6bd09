//! The environment variables, behind a trait, so that tests can supply their own.

use std::{collections::BTreeMap, ffi::OsString};

/// A source of environment variables.
pub trait Env {
    /// Every variable whose name begins with `prefix`, in upper or lower case, sorted by name.
    fn with_prefix(&self, prefix: &str) -> Vec<(String, String)>;

    /// The value of one variable; `None` if it is absent or not UTF-8.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

/// An environment without variables.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyEnv;

// === impl Env ===

impl Env for ProcessEnv {
    /// Replaces what is not UTF-8. No setting accepts the replacement character, so each is reported.
    fn with_prefix(&self, prefix: &str) -> Vec<(String, String)> {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        let mut found: Vec<_> = variables.filter(|(name, _)| has_prefix(name, prefix)).collect();
        found.sort_unstable();
        found
    }

    fn get(&self, name: &str) -> Option<String> {
        std::env::var_os(name)?.into_string().ok()
    }
}

impl Env for EmptyEnv {
    fn with_prefix(&self, _prefix: &str) -> Vec<(String, String)> {
        Vec::new()
    }

    fn get(&self, _name: &str) -> Option<String> {
        None
    }
}

impl Env for BTreeMap<String, String> {
    fn with_prefix(&self, prefix: &str) -> Vec<(String, String)> {
        let found = self.iter().filter(|(name, _)| has_prefix(name, prefix));
        found.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name).cloned()
    }
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
