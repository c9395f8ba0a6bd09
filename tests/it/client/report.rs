//! `logkey report` against services that do not have every part of the API.

use axum::Router;
use http::Request;
use serde_json::Value;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Status,
    body::Body,
    service::Routes,
    transport::{Channel, Server},
};
use tower::ServiceExt as _;

use super::{Cli, schema};
use crate::{
    bulk::groups,
    harness::{Plan, key},
};

/// The address of a service that has all services of another one but these.
async fn without(services: &'static [&'static str], channel: Channel) -> String {
    let forward = move |request: Request<axum::body::Body>| {
        let (channel, path) = (channel.clone(), request.uri().path().to_owned());
        async move {
            let is_missing = |name: &&str| path.starts_with(&format!("/keyassociation.v1.{name}/"));
            if services.iter().any(is_missing) {
                return Status::unimplemented("").into_http();
            }
            channel.oneshot(request.map(Body::new)).await.unwrap()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let routes = Routes::from(Router::new().fallback(forward));
    tokio::spawn(Server::builder().add_routes(routes).serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

fn statuses(report: &Value) -> Vec<(&str, &str)> {
    let rows = report["resources"].as_array().unwrap().iter();
    let rows = rows.map(|row| (row["resource"].as_str().unwrap(), row["status"].as_str().unwrap()));
    rows.filter(|(name, _)| name.starts_with("/payments/a-")).collect()
}

#[tokio::test]
async fn a_service_without_coverage_is_reported_from_its_list() {
    let service = Plan::with_resources(|account| groups(account, "a", 2)).start().await;
    let mut cli = Cli::of(&service);
    let (good, next) = (key("good"), key("next"));
    cli.ok(&["associate", "/payments/a-000", "--key", &good]).await;
    cli.ok(&["rule", "create", "--pattern", "/payments/a-*", "--key", &next]).await;
    assert_eq!(cli.json(&["report"]).await["basis"], "RULES");

    for missing in [&["CoverageService"][..], &["CoverageService", "EncryptionRuleService"]] {
        cli.server = without(missing, service.channel()).await;
        let report = cli.json(&["report"]).await;
        schema::check(&report, "Report");
        assert_eq!((&report["basis"], &report["complete"]), (&"ANY_KEY".into(), &true.into()), "{missing:?}");
        let any = [("/payments/a-000", "COMPLIANT"), ("/payments/a-001", "NO_KEY")];
        assert_eq!(statuses(&report), any, "{missing:?}");
        let report = cli.json(&["report", "--expect", &next]).await;
        let other = [("/payments/a-000", "OTHER_KEY"), ("/payments/a-001", "NO_KEY")];
        assert_eq!(statuses(&report), other, "{missing:?}");
        assert_eq!(cli.run(&["report", "--fail-on", "non-compliant"]).await.code, 1);
    }
    service.stop().await;
}
