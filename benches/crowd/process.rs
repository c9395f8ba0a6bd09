//! Runs servers and load generators as separate processes, each on one core.

use std::{
    io::Read as _,
    process::{Child, Stdio},
    time::Duration,
};

use crate::{
    Outcome,
    load::Sample,
    server::{Cores, Server, pinned, status_field},
};

/// A running load generator.
pub(crate) struct Loading(Child);

// === impl Cores ===

impl Cores {
    /// Starts this program again as a server, and waits until it listens.
    pub(crate) fn serve(&self, words: &[&str]) -> Outcome<Server> {
        Server::start(&self.server, words, "none")
    }

    /// Starts a load generator: `rate` calls per second (0: as many as are answered), at most `max` in
    /// flight.
    pub(crate) fn start_load(
        &self,
        server: &Server,
        rate: f64,
        max: usize,
        window: Duration,
        token: &str,
    ) -> Outcome<Loading> {
        let child = pinned(&self.generator)?
            .args(["load", &server.address, &rate.to_string(), &max.to_string()])
            .args([&window.as_secs_f64().to_string(), token])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Loading(child))
    }

    /// Runs a load generator to its end.
    pub(crate) fn load(
        &self,
        server: &Server,
        rate: f64,
        max: usize,
        window: Duration,
        token: &str,
    ) -> Outcome<Sample> {
        self.start_load(server, rate, max, window, token)?.finish()
    }
}

// === impl Server ===

impl Server {
    /// The current and the peak memory in KiB.
    pub(crate) fn memory(&self) -> Outcome<(f64, f64)> {
        let process = self.child.id().to_string();
        let kib = |name| -> Outcome<f64> {
            Ok(status_field(&process, name)?.trim_end_matches("kB").trim().parse()?)
        };
        Ok((kib("VmRSS:")?, kib("VmHWM:")?))
    }
}

// === impl Loading ===

impl Loading {
    pub(crate) fn finish(mut self) -> Outcome<Sample> {
        let mut line = String::new();
        self.0.stdout.take().ok_or("no standard output")?.read_to_string(&mut line)?;
        if !self.0.wait()?.success() {
            return Err("the load generator failed".into());
        }
        Sample::read(line.trim())
    }
}
