//! The environment, through a trait, so that nothing else reads it and tests give their own.

use std::{collections::BTreeMap, ffi::OsString};

/// Where variables come from.
pub trait Env {
    /// Every variable whose name begins with `prefix`, in any case; sorted by name.
    fn with_prefix(&self, prefix: &str) -> Vec<(String, String)>;

    /// The value of one variable.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

/// An environment without variables.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyEnv;

// === impl Env ===

impl Env for ProcessEnv {
    /// What is not UTF-8 in them is replaced: no setting takes that, so that each is told as a fault.
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
