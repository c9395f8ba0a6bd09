//! A service without AWS credentials that work: the probe, the metrics, the log and the answers name them.

use super::*;
use crate::harness::{ALL, AccountText, Caller, GROUP, PAYMENTS, REGION, key, reason};

async fn page(process: &Process, path: &str) -> String {
    reqwest::get(format!("http://{}{path}", process.admin)).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn credentials_that_are_missing_or_cannot_be_fetched_are_named_everywhere() {
    let nowhere = Path::new("/nonexistent");
    let files = [("HOME", nowhere), ("AWS_CONFIG_FILE", nowhere), ("AWS_SHARED_CREDENTIALS_FILE", nowhere)];
    let missing_token = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", nowhere),
        ("AWS_ROLE_ARN", Path::new("arn:aws:iam::999999999999:role/LogKeyHub")),
    ];
    // Nothing listens on the discard port: the agent of EKS Pod Identity or ECS is down.
    let no_agent = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", Path::new("http://127.0.0.1:9/creds"))];
    for (more, cause) in [
        (&[][..], "CREDENTIALS_MISSING"),
        (&missing_token[..], "CREDENTIALS_UNAVAILABLE"),
        (&no_agent[..], "CREDENTIALS_UNAVAILABLE"),
    ] {
        let account = AccountText { tenant: "payments", account: PAYMENTS, region: REGION, kms_keys: "*" };
        let below = SettingsText::default().tenant("payments", "").account(&account, "").to_string();
        let environment = [&files[..], more].concat();
        let folder = tempfile::tempdir().unwrap();
        let process = Process::serve_with(folder, "", &below, &environment).await;
        process.until_metric("logkey_service_credentials_usable 0").await;
        let ready = page(&process, "/readyz").await;
        assert!(ready.starts_with("ok\n") && ready.contains(&format!("({cause})")), "{ready}");
        let counted = format!("logkey_service_faults_total{{cause=\"{cause}\"}} ");
        assert!(!page(&process, "/metrics").await.contains(&format!("{counted}0")), "{cause}");
        let caller = Caller::new(process.channel(), &process.issuer.token("payments", ALL));
        let status = caller.associate(GROUP, &key("good")).await.unwrap_err();
        assert_eq!(reason(&status), "SERVICE_MISCONFIGURED", "{status:?}");
        assert!(
            status.message().contains("credentials") && status.message().contains("operator"),
            "{status:?}"
        );
        process.signal("-TERM");
        let (code, log) = process.end();
        assert!(code == Some(0) && log.contains(cause), "{log}");
    }
}
