//! The control API over HTTP.

use serde_json::{Value, json};

use super::*;

async fn send(running: &Running, method: &str, path: &str, body: String) -> (u16, Value) {
    let url = format!("{}/_sandbox/{path}", running.endpoint());
    let method = method.parse().unwrap();
    let answer = reqwest::Client::new().request(method, url).body(body).send().await.unwrap();
    assert_eq!(answer.headers()["x-logkey-sandbox"], "1");
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test]
async fn faults_can_be_added_listed_and_removed() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let fault = json!({ "operation": "DescribeLogGroups", "effect": "throttle" });
    let set = json!([fault, fault]).to_string();
    assert_eq!(send(&running, "POST", "faults", set).await, (200, json!({ "ids": [1, 2] })));
    let logs = logs(&running).await;
    assert_eq!(error_text(logs.describe_log_groups().send().await).0, "ThrottlingException");
    let (_, listed) = send(&running, "GET", "faults", String::new()).await;
    assert_eq!(listed["faults"][0]["met"], 1);
    send(&running, "DELETE", "faults/1", String::new()).await;
    send(&running, "DELETE", "faults", String::new()).await;
    logs.describe_log_groups().send().await.unwrap();
    let (status, _) = send(&running, "POST", "faults", "{}".to_owned()).await;
    assert_eq!(status, 400);
    assert_eq!(send(&running, "GET", "nothing", String::new()).await.0, 404);
}

#[tokio::test]
async fn a_later_seed_changes_the_trust_of_a_role_at_once() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    session(&running).await;
    let seed = format!(
        "[[accounts]]\naccount_id = \"{ACCOUNT}\"\nroles = [{{ name = \"Associator\", external_id = \"changed\" }}]"
    );
    assert_eq!(send(&running, "POST", "seed", seed).await.0, 200);
    let refused = client!(aws_sdk_sts, running, service_principal())
        .assume_role()
        .role_arn(ROLE)
        .role_session_name("payments")
        .external_id(EXTERNAL_ID)
        .send()
        .await;
    assert_eq!(error_text(refused).0, "AccessDenied");
    let (status, diagnostics) = send(&running, "POST", "seed", "surprise = 1\nwonder = 2".to_owned()).await;
    let text = diagnostics["error"].as_str().unwrap();
    assert!(status == 400 && text.contains("surprise") && text.contains("wonder"), "{text}");
}

#[tokio::test]
async fn the_state_shows_keys_and_the_log_groups_they_are_set_on() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let logs = logs(&running).await;
    logs.associate_kms_key().log_group_name(GROUP).kms_key_id(key("good")).send().await.unwrap();
    let (_, state) = send(&running, "GET", "state", String::new()).await;
    let region = &state["accounts"][ACCOUNT][REGION];
    assert_eq!(region["log_groups"][GROUP]["kms_key"], key("good"));
    assert_eq!(region["log_groups"]["/payments/worker"]["kms_key"], Value::Null);
    assert_eq!(region["keys"][key("closed")]["state"], "Enabled");
    assert_eq!(state["accounts"][OTHER][REGION]["log_groups"][GROUP]["kms_key"], Value::Null);
    let (_, state) = send(&running, "GET", &format!("state?account={OTHER}"), String::new()).await;
    assert_eq!(state["accounts"].as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn a_request_in_another_protocol_gets_an_aws_error() {
    let running = two_accounts().build().unwrap().start().await.unwrap();
    let client = reqwest::Client::new();
    let answer = client.post(running.endpoint()).body("Action=AssumeRole").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    let text = answer.text().await.unwrap();
    assert!(text.contains("<Code>MissingAuthenticationToken</Code>"), "{text}");
    let send = client.post(running.endpoint()).header("x-amz-target", "Logs_20140328.DescribeLogGroups");
    let answer = send.body("{").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-amz-json-1.1");
    assert!(answer.headers().contains_key("x-amzn-requestid"));
    assert!(answer.text().await.unwrap().contains(r#""__type":"SerializationException""#));
}
