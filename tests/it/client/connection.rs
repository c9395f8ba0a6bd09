//! Connections with TLS.

use super::Cli;
use crate::{
    bound_tokens::Authority,
    harness::{ALL, Plan},
};

#[tokio::test]
async fn a_connection_uses_the_certificates_of_its_options_or_its_context() {
    let (authority, other, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let settings = authority.settings(folder.path(), "required");
    let service = Box::pin(Plan::default().settings(&settings).start()).await;
    let server = format!("https://localhost:{}", service.address.port());
    let cli = Cli::with(server.clone(), &service.issuer.token("payments", ALL));
    let client = authority.client("cli.test");
    let (certificate, key) = client.pair();
    for (name, text) in [
        ("ca.pem", authority.pem()),
        ("other.pem", other.pem()),
        ("client.pem", certificate),
        ("client.key", key),
    ] {
        std::fs::write(cli.home().join(name), text).unwrap();
    }
    let own = ["--client-cert", "client.pem", "--client-key", "client.key"];
    let all = [&["--ca-file", "ca.pem"][..], &own].concat();
    cli.ok(&[&["whoami"][..], &all].concat()).await;
    cli.ok(&[&["context", "set", "tls", "--server", &server][..], &all].concat()).await;
    cli.ok(&["whoami", "--context", "tls"]).await;

    let other = [&["--ca-file", "other.pem"][..], &own].concat();
    for options in [&own[..], &other, &["--ca-file", "ca.pem"]] {
        let ended = cli.run(&[&["whoami"][..], options].concat()).await;
        assert_eq!(ended.code, 5, "{options:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("cannot reach https://localhost"), "{options:?}: {}", ended.stderr);
    }
    for (options, named) in [
        (&["--client-cert", "client.pem"][..], "--client-key"),
        (&["--ca-file", "missing.pem"], "missing.pem"),
        (&["--ca-file", "client.key"], "client.key"),
    ] {
        let ended = cli.run(&[&["whoami"][..], options].concat()).await;
        assert_eq!(ended.code, 2, "{options:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(named), "{options:?}: {}", ended.stderr);
    }
    service.stop().await;
}
