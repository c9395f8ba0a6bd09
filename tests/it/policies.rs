//! An operator's policies through the whole service. They use the tags of a key, the claims of a token, the
//! previous key, the caller and its source address.

mod named;

use std::collections::BTreeMap;

use logkey::{
    proto::{
        AuditEventFilter, Check, CheckKeyAssociationRequest, GetCheckpointRequest,
        GetConsistencyProofRequest, GetInclusionProofRequest, GetKeyUsageRequest, GetOnboardingRequest,
        ListAuditEventsRequest, ListKeyAssociationsRequest, Outcome, TestAccessRequest,
        WatchAuditEventsRequest, audit_service_client::AuditServiceClient,
        check_key_association_request::Target, tenant_service_client::TenantServiceClient,
    },
    sandbox::seed::{AccountSeed, KeySeed, PolicyText},
};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::harness::{
    ALL, Caller, GROUP, ISSUER, PAYMENTS, Plan, REGION, Service, SettingsText, TestIssuer, key, on_group,
    reason, tenant,
};

/// The account of a tenant whose keys have tags.
const CARDS: &str = "777788889999";
const CARD_GROUP: &str = "/cards/api";
const LIMITS: &str = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";

const ONLY_PCI: &str = r#"@id("only-pci")
forbid (principal, action == LogKey::Action::"AssociateKmsKey", resource)
unless { context has key && context.key.hasTag("data-class") && context.key.getTag("data-class") == "pci" };"#;

fn tagged(id: &str, class: &str) -> KeySeed {
    KeySeed {
        id: id.to_owned(),
        region: REGION.to_owned(),
        tags: BTreeMap::from([("data-class".to_owned(), class.to_owned())]),
        ..KeySeed::default()
    }
}

/// A key with the required tag, whose policy denies reading the tags.
fn unreadable_tags() -> KeySeed {
    let root = format!("arn:aws:iam::{CARDS}:root");
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": root }, "Action": "kms:*", "Resource": "*" },
        { "Effect": "Deny", "Principal": "*", "Action": "kms:ListResourceTags", "Resource": "*" },
    ] });
    KeySeed { policy: Some(PolicyText::Document(policy)), ..tagged("silent", "pci") }
}

/// A service with this policy and another tenant, whose keys have tags.
async fn service_with_policy(policy: &str) -> Service {
    service_with_policy_and_tenant(policy, &tenant("cards", CARDS, LIMITS)).await
}

/// The same service, with these settings of that tenant.
async fn service_with_policy_and_tenant(policy: &str, cards: &str) -> Service {
    let with_resources = |account: AccountSeed| {
        account
            .role("LogKeyAssociator", "cards-external-id")
            .log_group(REGION, CARD_GROUP)
            .log_group(REGION, "/shared/by-nobody")
            .key_with(tagged("pci", "pci"))
            .key_with(tagged("open", "open"))
            .key_with(unreadable_tags())
            .key(REGION, "bare", "allow-both")
    };
    let tenants = cards.to_owned() + &tenant("payments", PAYMENTS, LIMITS);
    Plan::default()
        .aws(|aws| aws.account(CARDS, with_resources))
        .tenants(&tenants)
        .policies(policy)
        .start()
        .await
}

fn card_key(id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{CARDS}:key/{id}")
}

async fn check(caller: &Caller, key: &str) -> Vec<Check> {
    let target = Some(Target::LogGroupName(CARD_GROUP.into()));
    let message = CheckKeyAssociationRequest { target, kms_key_id: key.into(), ..Default::default() };
    let response = caller.keys().check_key_association(caller.request(message)).await.unwrap().into_inner();
    response.checks
}

#[tokio::test]
async fn only_keys_with_the_tag_are_set_and_tags_are_cached() {
    let service = service_with_policy(ONLY_PCI).await;
    let caller = service.caller("cards", ALL);
    for _ in 0..3 {
        caller.associate(CARD_GROUP, &card_key("pci")).await.unwrap();
    }
    assert_eq!(service.reached("ListResourceTags").len(), 1);
    for id in ["open", "bare"] {
        let denied = caller.associate(CARD_GROUP, &card_key(id)).await.unwrap_err();
        assert_eq!((denied.code(), &*reason(&denied)), (Code::PermissionDenied, "NOT_ALLOWED"), "{id}");
        assert!(format!("{denied:?}").contains("only-pci"), "{denied:?}");
    }
    assert_eq!(service.reached("AssociateKmsKey").len(), 3);
    service.stop().await;
}

#[tokio::test]
async fn unreadable_tags_deny_a_change_and_explain_why() {
    let service = service_with_policy(ONLY_PCI).await;
    let caller = service.caller("cards", ALL);
    let denied = caller.associate(CARD_GROUP, &card_key("silent")).await.unwrap_err();
    assert_eq!(reason(&denied), "ROLE_LACKS_KMS_PERMISSION", "{denied:?}");
    assert!(denied.message().contains("only-pci"), "{denied:?}");
    assert!(service.reached("AssociateKmsKey").is_empty());
    let checks = check(&caller, &card_key("silent")).await;
    assert_eq!((&*checks[0].name, checks[0].outcome()), ("TENANT_POLICY", Outcome::Failed));
    // No statement of the role overrides the deny in the key's policy.
    assert!(checks[0].remedy.contains("deny in the key's policy"), "{}", checks[0].remedy);
    assert_eq!(checks[0].remedy_document, "");
    assert_eq!(check(&caller, &card_key("pci")).await[0].outcome(), Outcome::Passed);
    assert_eq!(check(&caller, &card_key("open")).await[0].outcome(), Outcome::Failed);
    service.stop().await;
}

const USAGE_OF_PCI: &str = r#"@id("usage-of-pci")
forbid (principal, action == LogKey::Action::"GetKeyUsage", resource)
unless { context has key && context.key.hasTag("data-class") && context.key.getTag("data-class") == "pci" };"#;

async fn usage(caller: &Caller, key: &str, account: &str) -> Result<String, Status> {
    let message =
        GetKeyUsageRequest { kms_key_id: key.into(), account_id: account.into(), ..Default::default() };
    let answer = caller.keys().get_key_usage(caller.request(message)).await?;
    Ok(answer.into_inner().kms_key_arn)
}

#[tokio::test]
async fn a_tag_policy_for_usage_applies_to_every_form_of_key_name() {
    let service = service_with_policy(USAGE_OF_PCI).await;
    let caller = service.caller("cards", ALL);
    for (named, account) in [(&*card_key("pci"), ""), ("pci", ""), (&*card_key("pci"), CARDS)] {
        assert_eq!(usage(&caller, named, account).await.unwrap(), card_key("pci"), "{named}");
    }
    assert_eq!(service.reached("ListResourceTags").len(), 1);
    for (named, account) in [(&*card_key("open"), ""), ("open", ""), (&*card_key("bare"), CARDS)] {
        let denied = usage(&caller, named, account).await.unwrap_err();
        assert_eq!(reason(&denied), "NOT_ALLOWED", "{named}");
        assert!(format!("{denied:?}").contains("usage-of-pci"), "{denied:?}");
    }
    let payments = service.caller("payments", ALL);
    assert_eq!(reason(&usage(&payments, &key("good"), "").await.unwrap_err()), "NOT_ALLOWED");
    service.stop().await;
}

#[tokio::test]
async fn a_permit_by_tags_allows_the_usage_of_keys_without_a_grant() {
    let permit = USAGE_OF_PCI
        .replace("forbid (principal,", "permit (principal in LogKey::Tenant::\"cards\",")
        .replace("unless", "when");
    let narrow = tenant("cards", CARDS, LIMITS).replace(
        "kms_keys = [\"arn:aws:kms:*:777788889999:key/*\"]",
        "kms_keys = [\"arn:aws:kms:*:777788889999:key/bare\"]",
    );
    assert!(narrow.contains("kms_keys = [\"arn:aws:kms:*:777788889999:key/bare\"]"));
    let service = service_with_policy_and_tenant(&permit, &narrow).await;
    let caller = service.caller("cards", ALL);
    assert_eq!(usage(&caller, &card_key("pci"), "").await.unwrap(), card_key("pci"));
    // A key without the tag looks like a missing key.
    for named in [card_key("open"), card_key("nothing")] {
        assert_eq!(reason(&usage(&caller, &named, "").await.unwrap_err()), "KEY_NOT_FOUND", "{named}");
    }
    service.stop().await;
}

#[tokio::test]
async fn unreadable_tags_deny_the_usage_and_explain_why() {
    let service = service_with_policy(USAGE_OF_PCI).await;
    let denied = usage(&service.caller("cards", ALL), &card_key("silent"), "").await.unwrap_err();
    assert_eq!(reason(&denied), "ROLE_LACKS_KMS_PERMISSION", "{denied:?}");
    assert!(denied.message().contains("usage-of-pci"), "{denied:?}");
    service.stop().await;
}

#[tokio::test]
async fn policy_facts_are_read_only_if_required_and_not_for_hidden_groups() {
    let service =
        service_with_policy(&ONLY_PCI.replace("(principal,", "(principal in LogKey::Tenant::\"orders\","))
            .await;
    service.caller("cards", ALL).associate(CARD_GROUP, &card_key("bare")).await.unwrap();
    assert!(service.reached("ListResourceTags").is_empty());
    service.stop().await;
    let service = service_with_policy(ONLY_PCI).await;
    let hidden =
        service.caller("cards", ALL).associate("/shared/by-nobody", &card_key("pci")).await.unwrap_err();
    assert_eq!(reason(&hidden), "LOG_GROUP_NOT_FOUND");
    assert_eq!(service.sandbox.sandbox().journal().len(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_policy_can_use_a_claim_of_the_token() {
    let policy = r#"@id("risk-only") forbid (principal, action in LogKey::Action::"Change", resource)
        unless { principal.hasTag("org.team") && principal.getTag("org.team").contains("risk") };"#;
    let service = Plan::default().policies(policy).issuer("policy_claims = [\"org.team\"]").start().await;
    let caller = |team: serde_json::Value| {
        let token = service.issuer.token_with("payments", ALL, &[("org", json!({ "team": team }))]);
        Caller::new(service.channel(), &token)
    };
    caller(json!("risk")).associate(GROUP, &key("good")).await.unwrap();
    caller(json!(["sales", "risk"])).associate(GROUP, &key("good")).await.unwrap();
    for other in [json!("sales"), json!([])] {
        let denied = caller(other).associate(GROUP, &key("good")).await.unwrap_err();
        assert_eq!(reason(&denied), "NOT_ALLOWED");
    }
    let denied = caller(json!({ "risk": true })).associate(GROUP, &key("good")).await.unwrap_err();
    assert_eq!(reason(&denied), "TOKEN_INVALID", "a claim that a policy cannot represent");
    assert_eq!(service.reached("AssociateKmsKey").len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn a_policy_can_use_the_previous_key_as_read_from_aws() {
    let policy = format!(
        r#"@id("stays") forbid (principal, action in LogKey::Action::"Change", resource)
           when {{ context has previous && context.previous.arn == "{}" }};"#,
        key("next")
    );
    let service = Plan::default().policies(&policy).start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    caller.associate(GROUP, &key("next")).await.unwrap();
    assert_eq!(reason(&caller.associate(GROUP, &key("good")).await.unwrap_err()), "NOT_ALLOWED");
    assert_eq!(reason(&caller.disassociate(GROUP).await.unwrap_err()), "NOT_ALLOWED");
    assert_eq!(service.reached("AssociateKmsKey").len(), 2);
    assert!(service.reached("DisassociateKmsKey").is_empty());
    service.stop().await;
}

#[tokio::test]
async fn a_policy_can_forbid_calls_that_do_not_use_aws() {
    let policy = r#"@id("blind") forbid (principal in LogKey::Tenant::"orders",
        action in [LogKey::Action::"Self", LogKey::Action::"Setup"], resource);"#;
    let service = Plan::default().policies(policy).start().await;
    service.caller("payments", ALL).who_am_i().await.unwrap();
    let denied = service.caller("orders", ALL).who_am_i().await.unwrap_err();
    assert_eq!(reason(&denied), "NOT_ALLOWED");
    service.stop().await;
}

/// `OK`, or the reason and the whole status of an error.
fn outcome_text<T>(answer: Result<T, Status>) -> String {
    answer.map_or_else(|status| format!("{} {status:?}", reason(&status)), |_| "OK".to_owned())
}

/// RPCs that only read, or help to install a role.
const READ_RPCS: [&str; 9] = [
    "GetKeyAssociation",
    "ListKeyAssociations",
    "GetOnboarding",
    "TestAccess",
    "ListAuditEvents",
    "WatchAuditEvents",
    "GetCheckpoint",
    "GetInclusionProof",
    "GetConsistencyProof",
];

/// The results of these RPCs.
async fn call_read_rpcs(caller: &Caller) -> [String; 9] {
    let mut tenants = TenantServiceClient::new(caller.channel());
    let mut audit = AuditServiceClient::new(caller.channel());
    let onboarding = GetOnboardingRequest { account_id: PAYMENTS.into() };
    let inclusion = GetInclusionProofRequest { event_id: uuid::Uuid::now_v7().to_string(), tree_size: 0 };
    let consistency = GetConsistencyProofRequest { old_tree_size: 1, new_tree_size: 0 };
    [
        outcome_text(caller.get(GROUP).await),
        outcome_text(caller.list(ListKeyAssociationsRequest::default()).await),
        outcome_text(tenants.get_onboarding(caller.request(onboarding)).await),
        outcome_text(tenants.test_access(caller.request(TestAccessRequest::default())).await),
        outcome_text(audit.list_audit_events(caller.request(ListAuditEventsRequest::default())).await),
        outcome_text(audit.watch_audit_events(caller.request(WatchAuditEventsRequest::default())).await),
        outcome_text(audit.get_checkpoint(caller.request(GetCheckpointRequest {})).await),
        outcome_text(audit.get_inclusion_proof(caller.request(inclusion)).await),
        outcome_text(audit.get_consistency_proof(caller.request(consistency)).await),
    ]
}

#[tokio::test]
async fn a_forbid_denies_each_rpc_it_names_and_the_error_names_the_forbid() {
    let policies = READ_RPCS.map(|rpc| {
        format!(
            "@id(\"no-{rpc}\") forbid (principal, action == LogKey::Action::\"{rpc}\", resource)
             when {{ principal.subject == \"mallory\" }};\n"
        )
    });
    let service = Plan::default().policies(&policies.concat()).start().await;
    let scopes = format!("{ALL} logkey:audit");
    let mallory = service.issuer.token_with("payments", &scopes, &[("sub", json!("mallory"))]);
    let mallory = Caller::new(service.channel(), &mallory);
    for (rpc, answer) in READ_RPCS.into_iter().zip(Box::pin(call_read_rpcs(&mallory)).await) {
        assert!(answer.starts_with("NOT_ALLOWED"), "{rpc}: {answer}");
        assert!(answer.contains(&format!("no-{rpc}")), "{rpc}: {answer}");
    }
    assert_eq!(service.sandbox.sandbox().journal().len(), 0, "no call reached AWS");
    let someone = service.caller("payments", &scopes);
    for (rpc, answer) in READ_RPCS.into_iter().zip(Box::pin(call_read_rpcs(&someone)).await) {
        assert!(!answer.starts_with("NOT_ALLOWED"), "{rpc}: {answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_policy_can_use_the_source_address() {
    let policy = r#"@id("inside") forbid (principal, action, resource)
        unless { context has source && context.source.isInRange(ip("10.0.0.0/8")) };"#;
    let behind_a_proxy = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
    let service = Plan::default().policies(policy).settings(behind_a_proxy).start().await;
    let caller = service.caller("payments", ALL);
    let from = async |source: &str| {
        let mut request = caller.request(on_group(GROUP, &key("good")));
        request.metadata_mut().insert("x-forwarded-for", source.parse().unwrap());
        outcome_text(caller.keys().associate_kms_key(request).await)
    };
    assert_eq!(from("10.1.2.3").await, "OK");
    let denied = from("192.0.2.1").await;
    assert!(denied.starts_with("NOT_ALLOWED") && denied.contains("inside"), "{denied}");
    assert_eq!(service.reached("AssociateKmsKey").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_policy_can_use_the_subject_and_the_issuer_of_the_token() {
    const OTHER: &str = "https://other.test";
    let policy = format!(
        r#"@id("not-mallory") forbid (principal, action in LogKey::Action::"Change", resource)
           when {{ principal.subject == "mallory" }};
           @id("not-theirs") forbid (principal, action in LogKey::Action::"Change", resource)
           when {{ principal.issuer == "{OTHER}" }};"#
    );
    let (other, folder) = (TestIssuer::new("key-2"), tempfile::tempdir().unwrap());
    let file = folder.path().join("other.json");
    std::fs::write(&file, other.jwks()).unwrap();
    let other_issuer = SettingsText::default().issuer(OTHER, &file).to_string();
    let both = tenant("payments", PAYMENTS, LIMITS)
        .replace(&format!("[\"{ISSUER}\"]"), &format!("[\"{ISSUER}\", \"{OTHER}\"]"));
    let service = Plan::default().policies(&policy).issuer(&other_issuer).tenants(&both).start().await;
    let send = async |token: &str| {
        outcome_text(Caller::new(service.channel(), token).associate(GROUP, &key("good")).await)
    };
    assert_eq!(send(&service.issuer.token("payments", ALL)).await, "OK");
    let mallory = service.issuer.token_with("payments", ALL, &[("sub", json!("mallory"))]);
    let theirs = other.token_with("payments", ALL, &[("iss", json!(OTHER))]);
    for (token, policy) in [(mallory, "not-mallory"), (theirs, "not-theirs")] {
        let denied = send(&token).await;
        assert!(denied.starts_with("NOT_ALLOWED") && denied.contains(policy), "{denied}");
    }
    assert_eq!(service.reached("AssociateKmsKey").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn the_events_of_a_call_name_the_deciding_policy() {
    let policy = r#"@id("frozen") forbid (principal, action in LogKey::Action::"Change",
        resource == LogKey::LogGroup::"arn:aws:logs:eu-west-1:111122223333:log-group:/payments/hash#1");"#;
    let service = Plan::default().policies(policy).start().await;
    let caller = service.caller("payments", ALL);
    caller.associate("/payments/hash#1", &key("good")).await.unwrap_err();
    // The call waits for this change to be durable, and the earlier refusal is durable before it.
    caller.associate(GROUP, &key("good")).await.unwrap();

    let reader = service.caller("payments", "logkey:audit");
    let filter = AuditEventFilter { action: "AssociateKmsKey".into(), ..AuditEventFilter::default() };
    let message = ListAuditEventsRequest { filter: Some(filter), ..ListAuditEventsRequest::default() };
    let page = AuditServiceClient::new(reader.channel()).list_audit_events(reader.request(message)).await;
    let decisions: Vec<(String, Value)> = page
        .unwrap()
        .into_inner()
        .events
        .into_iter()
        .map(|event| {
            let body: Value = serde_json::from_str(&event.json).unwrap();
            (event.kind, body["actor"]["authorizations"].clone())
        })
        .collect();
    let decision_of = |kind: &str, decision: &str, policy: &str| {
        (kind.to_owned(), json!([{"decision": decision, "policy": {"uid": policy}}]))
    };
    let granted = "tenant/payments/111122223333/log-groups";
    assert_eq!(
        decisions,
        [
            decision_of("outcome", "Allowed", granted),
            decision_of("intent", "Allowed", granted),
            decision_of("refusal", "Denied", "frozen"),
        ]
    );
    service.stop().await;
}
