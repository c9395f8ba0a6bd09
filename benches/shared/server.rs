//! Runs this program again as a server in a separate process on one core, and reads its CPU time.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{Outcome, child::KillOnDrop};

/// The unit of CPU time in `/proc`: the kernel always reports hundredths of a second to programs.
const TICKS_PER_SECOND: f64 = 100.0;
/// Under valgrind a start takes 50 times as long as without.
const START_TIMEOUT: Duration = Duration::from_mins(3);

/// The cores that this process may use.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    /// The core of the server.
    pub(crate) server: String,
    /// The core of the load generator: a second core, or else that of the server.
    pub(crate) generator: String,
    /// Every core after these two.
    pub(crate) others: Vec<String>,
}

/// A running server; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) child: KillOnDrop,
    pub(crate) address: String,
}

/// The environment variables with an AWS access key, and without a search for another one.
pub(crate) fn aws_credentials(access_key_id: &'static str) -> [(&'static str, &'static str); 3] {
    [
        ("AWS_ACCESS_KEY_ID", access_key_id),
        ("AWS_SECRET_ACCESS_KEY", "not-verified"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
}

// === impl Cores ===

impl Cores {
    pub(crate) fn find() -> Outcome<Self> {
        let mut cores = Vec::new();
        for range in status_field("self", "Cpus_allowed_list:")?.split(',') {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            cores.extend((low.parse::<u32>()?..=high.parse()?).map(|core| core.to_string()));
        }
        let mut cores = cores.into_iter();
        let server = cores.next().ok_or("this process may not use any core")?;
        let generator = cores.next().unwrap_or_else(|| server.clone());
        Ok(Self { server, generator, others: cores.collect() })
    }
}

// === impl Server ===

impl Server {
    /// Starts this program again as a server, and waits until it prints its address.
    pub(crate) fn start(core: &str, words: &[&str], access_key_id: &'static str) -> Outcome<Self> {
        let mut command = pinned(core)?;
        command.args(words);
        Self::spawn(command, access_key_id)
    }

    /// Starts a command that prints the address on which it listens, and waits for that line.
    pub(crate) fn spawn(mut command: Command, access_key_id: &'static str) -> Outcome<Self> {
        let mut child = command
            .envs(aws_credentials(access_key_id))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // The server writes its log lines, so that they cost as much as in production.
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut server = Self { child: KillOnDrop(child), address: String::new() };
        let (send, first_line) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            // The receiver has gone if the start timed out.
            let _gone = send.send(read.map(|_bytes| line));
        });
        let Ok(line) = first_line.recv_timeout(START_TIMEOUT) else {
            return Err(format!("{command:?} did not listen within {START_TIMEOUT:?}").into());
        };
        line?.trim().clone_into(&mut server.address);
        match server.socket_address() {
            Ok(_) => Ok(server),
            Err(_) => Err(format!("{command:?} did not start: {}", server.address).into()),
        }
    }

    pub(crate) fn socket_address(&self) -> Outcome<SocketAddr> {
        Ok(self.address.strip_prefix("http://").unwrap_or(&self.address).parse()?)
    }

    /// The CPU time of all its threads so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        cpu_seconds(&self.child.id().to_string())
    }
}

/// The CPU time of all threads of a process so far, in seconds.
pub(crate) fn cpu_seconds(process: &str) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The fields from number 3 on come after the name, which is in brackets and may contain anything.
    let (_, fields) = stat.rsplit_once(") ").ok_or("no process name")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let [user, system] = [11, 12].map(|n| fields.get(n).and_then(|f| f.parse::<f64>().ok()));
    Ok((user.ok_or("no user time")? + system.ok_or("no system time")?) / TICKS_PER_SECOND)
}

/// A field of the status of a process.
pub(crate) fn status_field(process: &str, name: &str) -> Outcome<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    Ok(value.ok_or_else(|| format!("{name} is missing in /proc/{process}/status"))?.trim().to_owned())
}

/// A command that runs this program again on one core.
pub(crate) fn pinned(core: &str) -> Outcome<Command> {
    pinned_under(core, &[])
}

/// A command that runs this program again on one core, under the command `tool`.
pub(crate) fn pinned_under(core: &str, tool: &[String]) -> Outcome<Command> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core]).args(tool).arg(env::current_exe()?);
    Ok(command)
}
