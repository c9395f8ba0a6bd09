//! A server under valgrind's callgrind, which counts the instructions that the process executes.

use std::{fs, io, process::Command};

use crate::{
    Outcome,
    method::SERVICE_KEY,
    server::{Server, pinned_under},
};

/// A server under callgrind. Ends with this value.
pub(crate) struct Callgrind {
    pub(crate) server: Server,
    folder: tempfile::TempDir,
}

// === impl Callgrind ===

impl Callgrind {
    /// Starts this program again as a server, and waits until it listens.
    pub(crate) fn start(core: &str, words: &[&str]) -> Outcome<Self> {
        if let Err(error) = Command::new("valgrind").arg("--version").output() {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let advice = if missing { "; install the Debian package valgrind" } else { "" };
            return Err(format!("the command `valgrind` did not start: {error}{advice}").into());
        }
        let folder = tempfile::tempdir()?;
        let path = |name| folder.path().join(name).display().to_string();
        let tool = [
            "valgrind".to_owned(),
            "--tool=callgrind".to_owned(),
            "--trace-children=no".to_owned(),
            // Threads take turns, so that the count does not depend on which of them wins a race.
            "--fair-sched=try".to_owned(),
            // The start and the first calls do not count, and run much faster without counting.
            "--instr-atstart=no".to_owned(),
            "--separate-threads=yes".to_owned(),
            "--compress-strings=no".to_owned(),
            "--compress-pos=no".to_owned(),
            format!("--callgrind-out-file={}", path("counts")),
            format!("--log-file={}", path("log")),
            prefix(&folder),
        ];
        let mut command = pinned_under(core, &tool)?;
        command.args(words);
        match Server::spawn(command, SERVICE_KEY) {
            Ok(server) => Ok(Self { server, folder }),
            Err(error) => {
                let log = fs::read_to_string(path("log")).unwrap_or_default();
                Err(format!("{error}; {}", log.trim().replace('\n', "; ")).into())
            }
        }
    }

    /// Begins to count.
    pub(crate) fn begin(&self) -> Outcome<()> {
        self.ask(&["instrumentation", "on"]).map(drop)
    }

    /// How many instructions all threads have executed since the begin.
    pub(crate) fn instructions(&self) -> Outcome<u64> {
        let status = self.ask(&["status", "internal"])?;
        let mut total = None;
        // `events-1: 4711` for the first thread; other lines are about its frames, as `events-1-0: 12`.
        for (thread, count) in
            status.lines().filter_map(|line| line.strip_prefix("events-")?.split_once(": "))
        {
            if thread.parse::<u32>().is_ok() {
                total = Some(total.unwrap_or(0) + count.trim().parse::<u64>()?);
            }
        }
        Ok(total.ok_or_else(|| format!("callgrind shows no counts: {status}"))?)
    }

    /// Begins to count again, at 0.
    pub(crate) fn restart(&self) -> Outcome<()> {
        self.ask(&["zero"]).map(drop)
    }

    /// The call graph of each thread since the last restart, as callgrind's files.
    pub(crate) fn call_graphs(&self) -> Outcome<Vec<String>> {
        self.ask(&["dump"])?;
        let mut graphs = Vec::new();
        for file in fs::read_dir(self.folder.path())? {
            let file = file?;
            if file.file_name().to_string_lossy().starts_with("counts.") {
                // Names of functions in C can be in any encoding.
                graphs.push(String::from_utf8_lossy(&fs::read(file.path())?).into_owned());
                fs::remove_file(file.path())?;
            }
        }
        Ok(graphs)
    }

    /// Sends a command to callgrind, as `callgrind_control` does. `vgdb` belongs to valgrind.
    fn ask(&self, command: &[&str]) -> Outcome<String> {
        let output = Command::new("vgdb")
            .arg(prefix(&self.folder))
            .arg(format!("--pid={}", self.server.child.id()))
            .args(command)
            .output()?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(format!("vgdb {} failed: {error}", command.join(" ")).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Where valgrind and `vgdb` put the pipes between them.
fn prefix(folder: &tempfile::TempDir) -> String {
    format!("--vgdb-prefix={}", folder.path().join("vgdb").display())
}
