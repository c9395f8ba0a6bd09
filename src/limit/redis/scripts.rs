//! The scripts that decide in the Redis server, and one run of them.

use std::time::Duration;

use redis::{Cmd, Script};

/// Every script.
pub(super) struct Scripts {
    /// Admits a call of a tenant.
    pub(super) quota: LuaScript,
    /// Reports the in-flight slots of a replica.
    pub(super) in_flight: LuaScript,
    /// Reserves a send slot of a quota key.
    pub(super) slot: LuaScript,
    /// Registers a replica, and counts the live ones.
    pub(super) replicas: LuaScript,
}

/// A script, with its text for a server that does not have it yet.
#[derive(Debug)]
pub(super) struct LuaScript {
    hash: String,
    text: &'static str,
}

/// One run of a script.
#[derive(Debug)]
pub(super) struct ScriptCall<'a> {
    script: &'a LuaScript,
    keys: Vec<String>,
    arguments: Vec<String>,
}

// === impl Scripts ===

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            quota: LuaScript::new(include_str!("quota.lua")),
            in_flight: LuaScript::new(include_str!("places.lua")),
            slot: LuaScript::new(include_str!("slot.lua")),
            replicas: LuaScript::new(include_str!("replicas.lua")),
        }
    }
}

// === impl LuaScript ===

impl LuaScript {
    fn new(text: &'static str) -> Self {
        Self { hash: Script::new(text).get_hash().to_owned(), text }
    }
}

// === impl ScriptCall ===

impl<'a> ScriptCall<'a> {
    /// Creates a call. All keys must belong to one hash slot of a Cluster.
    pub(super) fn new(script: &'a LuaScript, keys: Vec<String>) -> Self {
        Self { script, keys, arguments: Vec::new() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "almost all arguments are numbers")]
    pub(super) fn arg(mut self, argument: impl ToString) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    /// The command for a server that has the script.
    pub(super) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", &self.script.hash)
    }

    /// The command that also sends the script.
    pub(super) fn by_text(&self) -> Cmd {
        self.command("EVAL", self.script.text)
    }

    fn command(&self, name: &'static str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
