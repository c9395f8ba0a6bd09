//! Runs servers and load generators as separate processes, each on one core.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::{Outcome, load::Sample};

/// The unit of CPU time in `/proc`: the kernel always reports hundredths of a second to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// The cores of the servers and of the load generators.
pub(crate) struct Cores {
    pub(crate) server: String,
    pub(crate) generator: String,
}

/// A running server; dropping it ends the process.
pub(crate) struct Server {
    child: Child,
    address: String,
    generator: String,
}

/// A running load generator.
pub(crate) struct Loading(Child);

// === impl Cores ===

impl Cores {
    pub(crate) fn find() -> Outcome<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let list = field(&status, "Cpus_allowed_list:")?;
        let mut cores = Vec::new();
        for range in list.split(',') {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            cores.extend(low.parse::<u32>()?..=high.parse()?);
        }
        let [server, rest @ ..] = cores.as_slice() else {
            return Err("this process may not use any core".into());
        };
        let generator = rest.first().unwrap_or(server);
        Ok(Self { server: server.to_string(), generator: generator.to_string() })
    }

    /// Starts this program again as a server, and waits until it listens.
    pub(crate) fn serve(&self, words: &[&str]) -> Outcome<Server> {
        let mut child = pinned(&self.server)?
            .args(words)
            .env("AWS_ACCESS_KEY_ID", "none")
            .env("AWS_SECRET_ACCESS_KEY", "none")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // The server writes its log lines, so that they cost as much as in production.
            .stderr(Stdio::null())
            .spawn()?;
        let mut address = String::new();
        let stdout = child.stdout.take().ok_or("no standard output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        let server = Server { child, address: address.trim().to_owned(), generator: self.generator.clone() };
        if server.address.parse::<SocketAddr>().is_err() {
            return Err(format!("{words:?} did not start: {}", server.address).into());
        }
        Ok(server)
    }
}

// === impl Server ===

impl Server {
    /// The CPU time of all its threads so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        cpu_seconds(&self.child.id().to_string())
    }

    /// The current and the peak memory in KiB.
    pub(crate) fn memory(&self) -> Outcome<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = |name| -> Outcome<f64> { Ok(field(&status, name)?.trim_end_matches("kB").trim().parse()?) };
        Ok((kib("VmRSS:")?, kib("VmHWM:")?))
    }

    /// Starts a load generator: `rate` calls per second (0: as many as are answered), at most `max` in
    /// flight.
    pub(crate) fn start_load(
        &self,
        rate: f64,
        max: usize,
        window: Duration,
        token: &str,
    ) -> Outcome<Loading> {
        let child = pinned(&self.generator)?
            .args(["load", &self.address, &rate.to_string(), &max.to_string()])
            .args([&window.as_secs_f64().to_string(), token])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Loading(child))
    }

    /// Runs a load generator to its end.
    pub(crate) fn load(&self, rate: f64, max: usize, window: Duration, token: &str) -> Outcome<Sample> {
        self.start_load(rate, max, window, token)?.finish()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
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

/// The CPU time of all threads of a process so far, in seconds.
pub(crate) fn cpu_seconds(process: &str) -> Outcome<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The fields from number 3 on come after the name, which is in brackets and may contain anything.
    let (_, fields) = stat.rsplit_once(") ").ok_or("no process name")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let [user, system] = [11, 12].map(|n| fields.get(n).and_then(|f| f.parse::<f64>().ok()));
    Ok((user.ok_or("no user time")? + system.ok_or("no system time")?) / TICKS_PER_SECOND)
}

fn field<'a>(status: &'a str, name: &str) -> Outcome<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.ok_or("a field is missing in /proc")?.trim())
}

/// A command that runs this program again on one core.
fn pinned(core: &str) -> Outcome<Command> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core]).arg(env::current_exe()?);
    Ok(command)
}
