//! A real PostgreSQL server for one test, in a temporary folder and on a free loopback port. It ends with the
//! test, also if the test panics.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;

/// The number of connection attempts, 20 ms apart, before the start counts as failed.
const MAX_ATTEMPTS: u32 = 3_000;
/// Runs the server until its standard input closes, which happens when the test or its process ends.
const SUPERVISOR_SCRIPT: &str =
    "\"$@\" & server=$!; read -r _; kill -QUIT $server; kill -CONT $server; wait $server";
/// A key that signs checkpoints, in the format of `openssl genpkey -algorithm ed25519`.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ\n-----END PRIVATE KEY-----\n";

/// A PostgreSQL server.
pub(crate) struct Postgres {
    folder: TempDir,
    port: u16,
    /// The query part of its URLs.
    ssl: String,
    supervisor: Option<Child>,
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
        let mut postgres = Self { folder, port, ssl: "sslmode=disable".to_owned(), supervisor: None };
        if is_root() {
            give_to_server_user(&data);
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

    /// Starts the server and waits until it accepts connections.
    pub(crate) async fn up(&mut self) {
        self.up_with(&[]).await;
    }

    /// Like [`Postgres::up`], with additional settings.
    pub(crate) async fn up_with(&mut self, settings: &[&str]) {
        let server = program("postgres");
        let log = fs::File::create(self.folder.path().join("server.log")).unwrap();
        let mut supervisor = Command::new("sh");
        supervisor.args(["-c", SUPERVISOR_SCRIPT, "sh"]).arg(server.get_program()).args(server.get_args());
        supervisor.arg("-D").arg(self.folder.path().join("server/data")).args(["-p", &self.port.to_string()]);
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
            supervisor.args(["-c", setting]);
        }
        supervisor.current_dir(self.folder.path().join("server"));
        self.supervisor =
            Some(supervisor.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        for _ in 0..MAX_ATTEMPTS {
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

    /// Restarts the server with this certificate and key, so that it accepts only TLS connections with the
    /// password.
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
                give_to_server_user(&data.join(name));
            }
        }
        self.ssl = format!("password={password}&sslmode=verify-full&sslrootcert={ca}");
        self.up_with(&["ssl=on"]).await;
    }

    /// Ends the server at once, as a crash would: it writes nothing more.
    pub(crate) fn crash(&mut self) {
        let Some(mut supervisor) = self.supervisor.take() else { return };
        drop(supervisor.stdin.take());
        supervisor.wait().unwrap();
    }

    /// Pauses every process of the server.
    pub(crate) fn hang(&self) {
        self.signal("-STOP");
    }

    /// Resumes the paused processes.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.folder.path().join("server/data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        for process in std::iter::once(&*pid).chain(children.split_whitespace()) {
            // A process that ended meanwhile needs no signal.
            drop(Command::new("kill").args([signal, process]).stderr(Stdio::null()).status());
        }
    }

    /// The URL of the database, for the settings.
    pub(crate) fn url(&self) -> String {
        self.url_with(&self.ssl)
    }

    /// The URL of the database with another query part.
    pub(crate) fn url_with(&self, ssl: &str) -> String {
        format!("postgres://logkey@127.0.0.1:{}/logkey?{ssl}", self.port)
    }

    /// The file of the key that signs checkpoints.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.path().join("checkpoint.pem")
    }

    /// The settings of the store and the checkpoint key, in TOML.
    pub(crate) fn settings(&self) -> String {
        format!(
            "url = \"{}\"\n[audit]\ncheckpoint_key_file = \"{}\"\n",
            self.url(),
            self.key_file().display()
        )
    }

    /// What `pg_dump` writes about the database.
    pub(crate) fn dump(&self) -> Vec<u8> {
        let dumped = program("pg_dump").arg(self.url()).output().unwrap();
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        dumped.stdout
    }

    /// Creates another database from a dump, and returns its URL.
    pub(crate) async fn restore(&self, database: &str, dump: &[u8]) -> String {
        let create = format!("CREATE DATABASE {database}");
        let mut session = self.session("postgres").await;
        sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut session).await.unwrap();
        let url = self.url().replace("/logkey?", &format!("/{database}?"));
        let mut psql = program("psql");
        psql.args(["--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction"]).arg(&url);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        psql.stdin.take().unwrap().write_all(dump).unwrap();
        assert!(psql.wait().unwrap().success());
        url
    }

    /// A separate connection for the test.
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

/// Gives a file or folder to the user of the server, which does not run as root.
fn give_to_server_user(path: &Path) {
    assert!(Command::new("chown").arg("postgres:").arg(path).status().unwrap().success());
}

/// A program of PostgreSQL, run as a user other than root.
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

/// The path of a server program; Debian does not put them in PATH.
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
