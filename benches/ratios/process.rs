//! Runs servers and load generators as separate processes, each on a separate core if the machine has enough.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{Outcome, issuer::Tokens, load::Sample, method::Rpc, service};

/// The unit of CPU time in `/proc`: the kernel always reports hundredths of a second to programs.
const TICKS_PER_SECOND: f64 = 100.0;
/// Under valgrind a start takes 50 times as long as without.
const START_TIMEOUT: Duration = Duration::from_mins(3);

/// The cores that the bench uses, by what runs on them.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    pub(crate) server: String,
    pub(crate) generator: String,
    /// The core of the AWS stand-in: a third core, or else that of the generator.
    pub(crate) outside: String,
    pub(crate) count: usize,
}

/// A running server; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

// === impl Cores ===

impl Cores {
    pub(crate) fn find() -> Outcome<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .ok_or("Cpus_allowed_list is missing in /proc/self/status")?;
        let mut cores = Vec::new();
        for range in list.trim().split(',') {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            cores.extend(low.parse::<u32>()?..=high.parse()?);
        }
        let [server, rest @ ..] = cores.as_slice() else {
            return Err("this process may not use any core".into());
        };
        let generator = rest.first().unwrap_or(server);
        Ok(Self {
            server: server.to_string(),
            generator: generator.to_string(),
            outside: rest.get(1).unwrap_or(generator).to_string(),
            count: cores.len(),
        })
    }
}

// === impl Server ===

impl Server {
    /// Starts this program again as a server, and waits until it listens.
    pub(crate) fn start(core: &str, words: &[&str]) -> Outcome<Self> {
        Self::start_under(core, &[], words)
    }

    /// The same, run by the command `tool`.
    pub(crate) fn start_under(core: &str, tool: &[String], words: &[&str]) -> Outcome<Self> {
        let mut child = pinned(core, tool)?
            .args(words)
            .envs(service::credentials())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // The server writes its log lines, so that they cost as much as in production.
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut server = Self { child, address: String::new() };
        let (send, first_line) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            // The receiver has gone if the start timed out.
            let _gone = send.send(read.map(|_bytes| line));
        });
        let Ok(line) = first_line.recv_timeout(START_TIMEOUT) else {
            return Err(format!("{words:?} did not listen within {START_TIMEOUT:?}").into());
        };
        line?.trim().clone_into(&mut server.address);
        match server.socket_address() {
            Ok(_) => Ok(server),
            Err(_) => Err(format!("{words:?} did not start: {}", server.address).into()),
        }
    }

    pub(crate) fn socket_address(&self) -> Outcome<SocketAddr> {
        Ok(self.address.strip_prefix("http://").unwrap_or(&self.address).parse()?)
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// The CPU time of all its threads so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The fields from number 3 on come after the name, which is in brackets and may contain anything.
        let (_, fields) = stat.rsplit_once(") ").ok_or("no process name")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let [user, system] = [11, 12].map(|n| fields.get(n).and_then(|f| f.parse::<f64>().ok()));
        Ok((user.ok_or("no user time")? + system.ok_or("no system time")?) / TICKS_PER_SECOND)
    }

    /// Loads the server for one window: with as many calls as it answers, or at a rate in calls per second.
    pub(crate) fn load(
        &self,
        core: &str,
        rpc: Rpc,
        window: Duration,
        tokens: Tokens<'_>,
        rate: Option<f64>,
    ) -> Outcome<Sample> {
        let output = pinned(core, &[])?
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

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A command that runs this program again on one core, under the command `tool` unless that is empty.
fn pinned(core: &str, tool: &[String]) -> Outcome<Command> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core]).args(tool).arg(env::current_exe()?);
    Ok(command)
}
