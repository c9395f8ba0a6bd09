//! Servers and load generators as processes of their own, each on a core of its own where the
//! machine has enough of them.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{Outcome, issuer::Tokens, load::Sample, method::Rpc, service};

/// What the kernel counts CPU time in: always a hundredth of a second, towards programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// The cores of this machine that the bench may use, by what runs on them.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    pub(crate) server: String,
    pub(crate) generator: String,
    /// The AWS stand-in's: the generator's, unless there is a third.
    pub(crate) outside: String,
    pub(crate) count: usize,
}

/// A server of one role. Ends with this value.
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
            .ok_or("the kernel does not tell the cores")?;
        let mut cores = Vec::new();
        for range in list.trim().split(',') {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            cores.extend(low.parse::<u32>()?..=high.parse()?);
        }
        let [server, rest @ ..] = cores.as_slice() else {
            return Err("no core at all".into());
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
        let mut child = pinned(core)?
            .args(words)
            .envs(service::credentials())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Log lines, which cost what they cost in production, for no one to read.
            .stderr(Stdio::null())
            .spawn()?;
        let mut address = String::new();
        let stdout = child.stdout.take().ok_or("no standard output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        let address = address.trim().to_owned();
        let server = Self { child, address };
        let bare = server.address.strip_prefix("http://").unwrap_or(&server.address);
        if bare.parse::<SocketAddr>().is_err() {
            return Err(format!("{words:?} did not start: {}", server.address).into());
        }
        Ok(server)
    }

    /// CPU time used so far by all of its threads, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which is in brackets and may hold anything: fields 3 and on.
        let (_, fields) = stat.rsplit_once(") ").ok_or("no process name")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let [user, system] = [11, 12].map(|n| fields.get(n).and_then(|f| f.parse::<f64>().ok()));
        Ok((user.ok_or("no user time")? + system.ok_or("no system time")?) / TICKS_PER_SECOND)
    }

    /// Loads it for one window: with as much as it can take, or with a rate in calls a second.
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

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// This program again, on one core.
fn pinned(core: &str) -> Outcome<Command> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core]).arg(env::current_exe()?);
    Ok(command)
}
