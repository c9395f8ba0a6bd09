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
    let plain = cli.run(&["whoami", "--server", &server.replacen("https", "http", 1)]).await;
    assert_eq!(plain.code, 5, "{}", plain.stderr);
    assert!(plain.stderr.contains("its URL begins with https://"), "{}", plain.stderr);
    for options in [&["--ca-file", "ca.pem"][..], &own] {
        let server = server.replacen("https", "http", 1);
        let refused = cli.run(&[&["whoami", "--server", &server][..], options].concat()).await;
        assert_eq!(refused.code, 2, "no token is sent without TLS: {}", refused.stderr);
        assert!(refused.stderr.contains("write https://"), "{}", refused.stderr);
    }
    service.stop().await;
}

#[tokio::test]
async fn the_wrong_server_is_refused_with_what_to_name_instead() {
    let service = Plan::default().start().await;
    let cli = Cli::of(&service);
    let port = service.address.port();
    let ended = cli.run(&["whoami", "--server", &format!("https://localhost:{port}")]).await;
    assert_eq!(ended.code, 5, "{}", ended.stderr);
    assert!(ended.stderr.contains("its URL begins with http://"), "{}", ended.stderr);
    let ended = cli.run(&["whoami", "--server", &format!("http://{}", service.admin)]).await;
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("speaks no gRPC"), "{}", ended.stderr);
    service.stop().await;
}
