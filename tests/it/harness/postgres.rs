//! A real PostgreSQL of a test's own: in a folder of its own, on a free loopback port, and ended with the
//! test, however that ends.

use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;

/// How often a start is looked at before it counts as failed, 20 ms apart.
const LOOKS: u32 = 3_000;
/// Runs the server until standard input is closed: by the test, or by its end.
const REFRESH_TASK: &str =
    "\"$@\" & server=$!; read -r _; kill -QUIT $server; kill -CONT $server; wait $server";
/// A key that signs checkpoints, as `openssl genpkey -algorithm ed25519` writes it.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ\n-----END PRIVATE KEY-----\n";

/// The server.
pub(crate) struct Postgres {
    folder: TempDir,
    port: u16,
    /// What URLs say behind their question mark.
    ssl: String,
    refresh_task: Option<Child>,
}

// === impl Postgres ===

impl Postgres {
    /// A new server with an empty database `logkey`.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::write(folder.path().join("checkpoint.pem"), KEY).unwrap();
        let data = folder.path().join("server");
        fs::create_dir(&data).unwrap();
        let mut postgres = Self { folder, port, ssl: "sslmode=disable".to_owned(), refresh_task: None };
        if is_root() {
            hand_over(&data);
            let open = Command::new("chmod").arg("a+x").arg(postgres.folder.path()).status();
            assert!(open.unwrap().success());
        }
        let initdb = program("initdb")
            .args(["--username=logkey", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg("--pgdata")
            .arg(data.join("data"))
            .output()
            .unwrap();
        assert!(initdb.status.success(), "{}", String::from_utf8_lossy(&initdb.stderr));
        postgres.up().await;
        let mut session = postgres.session("postgres").await;
        sqlx::query("CREATE DATABASE logkey").execute(&mut session).await.unwrap();
        postgres
    }

    /// Starts the server on its data, and waits until it answers.
    pub(crate) async fn up(&mut self) {
        self.up_with(&[]).await;
    }

    /// The same with more settings.
    pub(crate) async fn up_with(&mut self, settings: &[&str]) {
        let server = program("postgres");
        let log = fs::File::create(self.folder.path().join("server.log")).unwrap();
        let mut refresh_task = Command::new("sh");
        refresh_task.args(["-c", REFRESH_TASK, "sh"]).arg(server.get_program()).args(server.get_args());
        refresh_task
            .arg("-D")
            .arg(self.folder.path().join("server/data"))
            .args(["-p", &self.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "shared_buffers=16MB",
            "max_connections=100",
            "lc_messages=C",
        ]
        .iter()
        .chain(settings)
        {
            refresh_task.args(["-c", setting]);
        }
        refresh_task.current_dir(self.folder.path().join("server"));
        self.refresh_task =
            Some(refresh_task.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        for _ in 0..LOOKS {
            if let Ok(session) = self.options("postgres").connect().await {
                session.close().await.unwrap();
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut output = String::new();
        fs::File::open(self.folder.path().join("server.log")).unwrap().read_to_string(&mut output).unwrap();
        panic!("PostgreSQL does not start: {output}");
    }

    /// Has the server, which is started anew, take TLS alone, by this certificate and its key, from whoever
    /// knows the password.
    pub(crate) async fn secure(&mut self, password: &str, (certificate, key): (&str, &str), ca: &str) {
        let mut session = self.session("logkey").await;
        let role = format!("ALTER ROLE logkey PASSWORD '{password}'");
        sqlx::query(sqlx::AssertSqlSafe(role)).execute(&mut session).await.unwrap();
        drop(session);
        self.crash();
        let data = self.folder.path().join("server/data");
        for (name, text) in [
            ("server.crt", certificate),
            ("server.key", key),
            ("pg_hba.conf", "hostssl all all 127.0.0.1/32 scram-sha-256\n"),
        ] {
            fs::write(data.join(name), text).unwrap();
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o600)).unwrap();
            if is_root() {
                hand_over(&data.join(name));
            }
        }
        self.ssl = format!("password={password}&sslmode=verify-full&sslrootcert={ca}");
        self.up_with(&["ssl=on"]).await;
    }

    /// Ends the server at once, as a crash would: nothing is written that was not.
    pub(crate) fn crash(&mut self) {
        let Some(mut refresh_task) = self.refresh_task.take() else { return };
        drop(refresh_task.stdin.take());
        refresh_task.wait().unwrap();
    }

    /// Stops every process of the server where it is.
    pub(crate) fn hang(&self) {
        self.signal("-STOP");
    }

    /// Lets them go on.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.folder.path().join("server/data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        for process in std::iter::once(&*pid).chain(children.split_whitespace()) {
            // One that ended meanwhile needs no signal.
            drop(Command::new("kill").args([signal, process]).stderr(Stdio::null()).status());
        }
    }

    /// The URL of the database, as settings name it.
    pub(crate) fn url(&self) -> String {
        self.url_with(&self.ssl)
    }

    /// The same with other words behind the question mark.
    pub(crate) fn url_with(&self, ssl: &str) -> String {
        format!("postgres://logkey@127.0.0.1:{}/logkey?{ssl}", self.port)
    }

    /// The key that signs, in its file.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.path().join("checkpoint.pem")
    }

    /// The settings that lead to it, in TOML.
    pub(crate) fn settings(&self) -> String {
        format!(
            "url = \"{}\"\n[audit]\ncheckpoint_key_file = \"{}\"\n",
            self.url(),
            self.key_file().display()
        )
    }

    /// A session of the test's own.
    pub(crate) async fn session(&self, database: &str) -> PgConnection {
        self.options(database).connect().await.unwrap()
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        let options = self.url().parse::<PgConnectOptions>().unwrap();
        options.database(database).application_name("test")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Makes a file or folder the server's, which refuses to run as root.
fn hand_over(path: &Path) {
    assert!(Command::new("chown").arg("postgres:").arg(path).status().unwrap().success());
}

/// A program of PostgreSQL's, as a user that it agrees to run as.
fn program(name: &str) -> Command {
    let path = installed(name).unwrap_or_else(|| {
        panic!("PostgreSQL is needed for this test: apt-get install postgresql (no {name} in PATH or /usr/lib/postgresql)")
    });
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(path).current_dir("/");
    command
}

/// Debian keeps the server's programs out of PATH.
fn installed(name: &str) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn is_root() -> bool {
    fs::metadata(Path::new("/proc/self")).is_ok_and(|own| own.uid() == 0)
}
