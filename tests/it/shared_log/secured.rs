//! A server that requires TLS and a password.

use std::fs;

use logkey::store;

use super::assert_intact;
use crate::{
    bound_tokens::Authority,
    harness::{ALL, GROUP, Plan, Postgres, key},
};

const PASSWORD: &str = "correct-horse-battery";

/// The error of an attempt to open the store.
async fn open_error(url: &str) -> String {
    let error = store::open(&store::Config { url: url.to_owned() }).await.map(drop).unwrap_err();
    logkey::domain::error_chain::error_chain(&error)
}

#[tokio::test]
async fn an_error_says_at_which_step_the_connection_failed() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (server, step) in [
        ("logkey.invalid".to_owned(), "the name of the server could not be resolved"),
        (closed.to_string(), "there was no connection to the server"),
    ] {
        let output = open_error(&format!("postgres://logkey:{PASSWORD}@{server}/logkey")).await;
        assert_eq!(output.matches(step).count(), 1, "{output}");
        let cause = output.rsplit(": ").next().unwrap();
        assert_eq!(output.matches(cause).count(), 1, "the cause is said once: {output}");
        assert!(!output.contains(PASSWORD), "{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_used_only_with_a_trusted_certificate_and_password() {
    let (mut postgres, folder) = (Postgres::start().await, tempfile::tempdir().unwrap());
    let (ours, other) = (Authority::new(), Authority::new());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (ca, wrong_ca) = (file("ca.pem", ours.pem()), file("other.pem", other.pem()));
    postgres.secure(PASSWORD, ours.client("127.0.0.1").pair(), &ca).await;
    let url = |mode: &str, ca: &str, password: &str| {
        postgres.url_with(&format!("sslmode={mode}&sslrootcert={ca}&password={password}"))
    };

    let output = open_error(&url("verify-full", &wrong_ca, PASSWORD)).await;
    assert!(
        output.contains("the certificate of the server was not accepted") && !output.contains(PASSWORD),
        "{output}"
    );
    let output = open_error(&url("disable", &ca, PASSWORD)).await;
    assert!(output.contains("no encryption") && !output.contains(PASSWORD), "{output}");
    let output = open_error(&url("verify-full", &ca, "battery-horse-staple")).await;
    assert!(output.contains("password authentication failed"), "{output}");
    assert!(!output.contains("battery-horse-staple"), "{output}");

    // The password in a separate file, as in the settings of a service.
    let password = file("password", &format!("{PASSWORD}\n"));
    let url = postgres.url_with(&format!("sslmode=verify-full&sslrootcert={ca}"));
    let (password_file, key_file) = (format!("password_file = \"{password}\""), postgres.key_file());
    let settings = format!(
        "url = \"{url}\"\n{password_file}\n[audit]\ncheckpoint_key_file = \"{}\"\n",
        key_file.display()
    );
    let service = Plan::default().store(&settings).start().await;
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    let mut session = postgres.session("logkey").await;
    let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'logkey' AND NOT ssl";
    assert_eq!(sqlx::query_scalar::<_, i64>(plain).fetch_one(&mut session).await.unwrap(), 0);
    assert_intact(&service, &postgres).await;
    service.stop().await;
}
