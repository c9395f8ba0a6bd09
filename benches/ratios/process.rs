//! Runs load generators as separate processes, and chooses the core of the AWS stand-in.

use std::{process::Stdio, time::Duration};

use crate::{
    Outcome,
    issuer::Tokens,
    load::Sample,
    method::Rpc,
    server::{Cores, Server, pinned},
};

// === impl Cores ===

impl Cores {
    /// The core of the AWS stand-in: a third core, or else that of the generator.
    pub(crate) fn outside(&self) -> &str {
        self.others.first().unwrap_or(&self.generator)
    }

    /// The number of cores.
    pub(crate) fn count(&self) -> usize {
        let two = if self.server == self.generator { 1 } else { 2 };
        two + self.others.len()
    }
}

// === impl Server ===

impl Server {
    /// Loads the server for one window: with as many calls as it answers, or at a rate in calls per second.
    pub(crate) fn load(
        &self,
        core: &str,
        rpc: Rpc,
        window: Duration,
        tokens: Tokens<'_>,
        rate: Option<f64>,
    ) -> Outcome<Sample> {
        let output = pinned(core)?
            .args(["load", &self.address, rpc.name(), &window.as_secs_f64().to_string()])
            .arg(tokens.file()?)
            .args(rate.map(|rate| rate.to_string()))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err("the load generator failed".into());
        }
        let sample = Sample::read(&String::from_utf8(output.stdout)?)?;
        tokens.used(sample.calls);
        Ok(sample)
    }
}
