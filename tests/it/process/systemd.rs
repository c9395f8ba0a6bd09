//! What the service tells systemd: the tests play the service manager.

use std::{os::unix::net::UnixDatagram, process::Stdio};

use super::*;

/// A socket that receives what a process tells its service manager.
struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self { folder, socket }
    }

    /// The next message, whose lines are `NAME=VALUE`.
    fn message(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).unwrap();
        text(bytes.get(..length).unwrap())
    }

    /// The messages up to the first one with this line.
    fn until(&self, line: &str) -> Vec<String> {
        let mut messages = Vec::new();
        loop {
            let message = self.message();
            let last = message.lines().any(|found| found == line);
            messages.push(message);
            if last {
                return messages;
            }
        }
    }
}

#[test]
fn systemd_learns_of_the_start_the_watchdog_and_the_stop() {
    let manager = Manager::new();
    let folder = tempfile::tempdir().unwrap();
    let [grpc, admin] = free_addresses().unwrap();
    let config = settings(folder.path(), grpc, admin);
    let mut command = logkey(&["serve", "--config", &config]);
    command.env("NOTIFY_SOCKET", manager.folder.path().join("notify")).env("WATCHDOG_USEC", "400000");
    let mut child = KillOnDrop(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let start = manager.until("READY=1");
    assert!(start[0].contains("EXTEND_TIMEOUT_USEC=60000000"), "{start:?}");
    assert!(!start.iter().any(|message| message.contains("WATCHDOG=1")), "{start:?}");
    // Ready means that calls are accepted.
    std::net::TcpStream::connect(grpc).unwrap();
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    send_signal(&child, "-TERM");
    let stop = manager.until("STOPPING=1");
    assert!(stop.iter().all(|message| message.contains("WATCHDOG=1") || message.contains("STOPPING=1")));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_service_that_does_not_start_is_never_reported_as_ready() {
    let manager = Manager::new();
    let folder = tempfile::tempdir().unwrap();
    let [grpc, admin] = free_addresses().unwrap();
    let config = settings(folder.path(), grpc, admin);
    std::fs::create_dir(folder.path().join("logkey.db")).unwrap();
    let mut command = logkey(&["serve", "--config", &config]);
    command.env("NOTIFY_SOCKET", manager.folder.path().join("notify"));
    assert_eq!(command.stderr(Stdio::null()).status().unwrap().code(), Some(1));
    manager.socket.set_nonblocking(true).unwrap();
    let mut bytes = [0; 4096];
    while let Ok(length) = manager.socket.recv(&mut bytes) {
        assert!(!text(bytes.get(..length).unwrap()).contains("READY=1"));
    }
}
