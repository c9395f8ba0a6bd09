//! An operator's policies through the whole service: by the tags of a key, the claims of a token, the key
//! before, who calls and from where.

mod named;

use std::collections::BTreeMap;

use logkey::{
    proto::{
        AuditEventFilter, CheckKeyAssociationRequest, GetCheckpointRequest, GetConsistencyProofRequest,
        GetInclusionProofRequest, GetKeyUsageRequest, GetOnboardingRequest, ListAuditEventsRequest,
        ListKeyAssociationsRequest, Outcome, TestAccessRequest, WatchAuditEventsRequest,
        audit_service_client::AuditServiceClient, check_key_association_request::Target,
        tenant_service_client::TenantServiceClient,
    },
    sandbox::seed::{AccountSeed, KeySeed, PolicyText},
};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::harness::{
    ALL, Caller, GROUP, ISSUER, PAYMENTS, Plan, REGION, Service, TestIssuer, key, on_group, reason, tenant,
};

/// The account of a tenant whose keys have tags, and its log group.
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

/// A key whose tags nobody may read, with the right one.
fn silent() -> KeySeed {
    let root = format!("arn:aws:iam::{CARDS}:root");
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": root }, "Action": "kms:*", "Resource": "*" },
        { "Effect": "Deny", "Principal": "*", "Action": "kms:ListResourceTags", "Resource": "*" },
    ] });
    KeySeed { policy: Some(PolicyText::Document(policy)), ..tagged("silent", "pci") }
}

/// A service with one more tenant, whose keys have tags.
async fn guarded(policy: &str) -> Service {
    guarded_for(policy, &tenant("cards", CARDS, LIMITS)).await
}

/// The same, with that tenant as it is described here.
async fn guarded_for(policy: &str, cards: &str) -> Service {
    let furnished = |account: AccountSeed| {
        account
            .role("LogKeyAssociator", "cards-external-id")
            .log_group(REGION, CARD_GROUP)
            .log_group(REGION, "/shared/by-nobody")
            .key_with(tagged("pci", "pci"))
            .key_with(tagged("open", "open"))
            .key_with(silent())
            .key(REGION, "bare", "allow-both")
    };
    let tenants = cards.to_owned() + &tenant("payments", PAYMENTS, LIMITS);
    Plan::default().aws(|aws| aws.account(CARDS, furnished)).tenants(&tenants).policies(policy).start().await
}

fn card_key(id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{CARDS}:key/{id}")
}

async fn check(caller: &Caller, key: &str) -> Vec<(String, Outcome, String)> {
    let target = Some(Target::LogGroupName(CARD_GROUP.into()));
    let message = CheckKeyAssociationRequest { target, kms_key_id: key.into(), ..Default::default() };
    let response = caller.keys().check_key_association(caller.request(message)).await.unwrap().into_inner();
    response
        .checks
        .into_iter()
        .map(|check| (check.name.clone(), check.outcome(), check.remedy_document))
        .collect()
}

#[tokio::test]
async fn only_keys_with_the_tag_are_set_and_a_row_of_changes_reads_tags_once() {
    let service = guarded(ONLY_PCI).await;
    let caller = service.caller("cards", ALL);
    for _ in 0..3 {
        caller.associate(CARD_GROUP, &card_key("pci")).await.unwrap();
    }
    assert_eq!(service.reached("ListResourceTags").len(), 1);
    for id in ["open", "bare"] {
        let refused = caller.associate(CARD_GROUP, &card_key(id)).await.unwrap_err();
        assert_eq!((refused.code(), &*reason(&refused)), (Code::PermissionDenied, "NOT_ALLOWED"), "{id}");
        assert!(format!("{refused:?}").contains("only-pci"), "{refused:?}");
    }
    assert_eq!(service.reached("AssociateKmsKey").len(), 3);
    service.stop().await;
}

#[tokio::test]
async fn tags_that_cannot_be_read_refuse_the_change_and_say_why() {
    let service = guarded(ONLY_PCI).await;
    let caller = service.caller("cards", ALL);
    let refused = caller.associate(CARD_GROUP, &card_key("silent")).await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_LACKS_KMS_PERMISSION", "{refused:?}");
    assert!(refused.message().contains("only-pci"), "{refused:?}");
    assert!(service.reached("AssociateKmsKey").is_empty());
    let output = check(&caller, &card_key("silent")).await;
    let (name, outcome, document) = &output[0];
    assert_eq!((&**name, *outcome), ("TENANT_POLICY", Outcome::Failed));
    assert!(document.contains("kms:ListResourceTags"), "{document}");
    assert_eq!(check(&caller, &card_key("pci")).await[0].1, Outcome::Passed);
    assert_eq!(check(&caller, &card_key("open")).await[0].1, Outcome::Failed);
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
async fn the_usage_of_a_key_is_told_by_its_tags_by_whatever_name_it_is_asked_for() {
    let service = guarded(USAGE_OF_PCI).await;
    let caller = service.caller("cards", ALL);
    for (named, account) in [(&*card_key("pci"), ""), ("pci", ""), (&*card_key("pci"), CARDS)] {
        assert_eq!(usage(&caller, named, account).await.unwrap(), card_key("pci"), "{named}");
    }
    assert_eq!(service.reached("ListResourceTags").len(), 1);
    for (named, account) in [(&*card_key("open"), ""), ("open", ""), (&*card_key("bare"), CARDS)] {
        let refused = usage(&caller, named, account).await.unwrap_err();
        assert_eq!(reason(&refused), "NOT_ALLOWED", "{named}");
        assert!(format!("{refused:?}").contains("usage-of-pci"), "{refused:?}");
    }
    let payments = service.caller("payments", ALL);
    assert_eq!(reason(&usage(&payments, &key("good"), "").await.unwrap_err()), "NOT_ALLOWED");
    service.stop().await;
}

#[tokio::test]
async fn a_permit_by_tags_opens_the_usage_of_keys_that_are_not_granted() {
    let permit = USAGE_OF_PCI
        .replace("forbid (principal,", "permit (principal in LogKey::Tenant::\"cards\",")
        .replace("unless", "when");
    let narrow = tenant("cards", CARDS, LIMITS).replace(
        "kms_keys = [\"arn:aws:kms:*:777788889999:key/*\"]",
        "kms_keys = [\"arn:aws:kms:*:777788889999:key/bare\"]",
    );
    assert!(narrow.contains("kms_keys = [\"arn:aws:kms:*:777788889999:key/bare\"]"));
    let service = guarded_for(&permit, &narrow).await;
    let caller = service.caller("cards", ALL);
    assert_eq!(usage(&caller, &card_key("pci"), "").await.unwrap(), card_key("pci"));
    // One without the tag is as one that is not there, and so is one of a tenant that has no such permit.
    for named in [card_key("open"), card_key("nothing")] {
        assert_eq!(reason(&usage(&caller, &named, "").await.unwrap_err()), "KEY_NOT_FOUND", "{named}");
    }
    service.stop().await;
}

#[tokio::test]
async fn tags_that_cannot_be_read_refuse_to_tell_the_usage_and_say_why() {
    let service = guarded(USAGE_OF_PCI).await;
    let refused = usage(&service.caller("cards", ALL), &card_key("silent"), "").await.unwrap_err();
    assert_eq!(reason(&refused), "ROLE_LACKS_KMS_PERMISSION", "{refused:?}");
    assert!(refused.message().contains("usage-of-pci"), "{refused:?}");
    service.stop().await;
}

#[tokio::test]
async fn nothing_is_looked_up_for_a_tenant_whose_policies_do_not_ask_or_for_what_it_may_not_see() {
    let service =
        guarded(&ONLY_PCI.replace("(principal,", "(principal in LogKey::Tenant::\"orders\",")).await;
    service.caller("cards", ALL).associate(CARD_GROUP, &card_key("bare")).await.unwrap();
    assert!(service.reached("ListResourceTags").is_empty());
    service.stop().await;
    let service = guarded(ONLY_PCI).await;
    let hidden =
        service.caller("cards", ALL).associate("/shared/by-nobody", &card_key("pci")).await.unwrap_err();
    assert_eq!(reason(&hidden), "LOG_GROUP_NOT_FOUND");
    assert_eq!(service.sandbox.sandbox().journal().len(), 0);
    service.stop().await;
}

#[tokio::test]
async fn a_policy_goes_by_a_claim_of_the_token() {
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
        let refused = caller(other).associate(GROUP, &key("good")).await.unwrap_err();
        assert_eq!(reason(&refused), "NOT_ALLOWED");
    }
    let refused = caller(json!({ "risk": true })).associate(GROUP, &key("good")).await.unwrap_err();
    assert_eq!(reason(&refused), "TOKEN_INVALID", "a claim that cannot be shown whole");
    assert_eq!(service.reached("AssociateKmsKey").len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn a_policy_goes_by_the_key_before_as_aws_has_it() {
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
async fn a_policy_can_forbid_what_needs_no_aws_too() {
    let policy = r#"@id("blind") forbid (principal in LogKey::Tenant::"orders",
        action in [LogKey::Action::"Self", LogKey::Action::"Setup"], resource);"#;
    let service = Plan::default().policies(policy).start().await;
    service.caller("payments", ALL).who_am_i().await.unwrap();
    let refused = service.caller("orders", ALL).who_am_i().await.unwrap_err();
    assert_eq!(reason(&refused), "NOT_ALLOWED");
    service.stop().await;
}

/// `OK`, or the reason of a refusal and all that it says.
fn outcome_text<T>(answer: Result<T, Status>) -> String {
    answer.map_or_else(|status| format!("{} {status:?}", reason(&status)), |_| "OK".to_owned())
}

/// Calls that read, or help to install a role.
const QUIET: [&str; 9] = [
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

/// How each of them is answered.
async fn quiet(caller: &Caller) -> [String; 9] {
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
async fn a_forbid_stops_each_call_that_it_names_and_is_named_in_turn() {
    let policies = QUIET.map(|rpc| {
        format!(
            "@id(\"no-{rpc}\") forbid (principal, action == LogKey::Action::\"{rpc}\", resource)
             when {{ principal.subject == \"mallory\" }};\n"
        )
    });
    let service = Plan::default().policies(&policies.concat()).start().await;
    let scopes = format!("{ALL} logkey:audit");
    let mallory = service.issuer.token_with("payments", &scopes, &[("sub", json!("mallory"))]);
    let mallory = Caller::new(service.channel(), &mallory);
    for (rpc, answer) in QUIET.into_iter().zip(Box::pin(quiet(&mallory)).await) {
        assert!(answer.starts_with("NOT_ALLOWED"), "{rpc}: {answer}");
        assert!(answer.contains(&format!("no-{rpc}")), "{rpc}: {answer}");
    }
    assert_eq!(service.sandbox.sandbox().journal().len(), 0, "nothing reached AWS");
    let someone = service.caller("payments", &scopes);
    for (rpc, answer) in QUIET.into_iter().zip(Box::pin(quiet(&someone)).await) {
        assert!(!answer.starts_with("NOT_ALLOWED"), "{rpc}: {answer}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_policy_goes_by_where_the_call_comes_from() {
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
    let refused = from("192.0.2.1").await;
    assert!(refused.starts_with("NOT_ALLOWED") && refused.contains("inside"), "{refused}");
    assert_eq!(service.reached("AssociateKmsKey").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_policy_goes_by_the_subject_of_the_token_and_by_its_issuer() {
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
    let second = format!(
        "[[auth.issuers]]\nissuer = \"{OTHER}\"\naudiences = [\"logkey\"]\njwks_file = \"{}\"\n",
        file.display()
    );
    let both = tenant("payments", PAYMENTS, LIMITS)
        .replace(&format!("[\"{ISSUER}\"]"), &format!("[\"{ISSUER}\", \"{OTHER}\"]"));
    let service = Plan::default().policies(&policy).issuer(&second).tenants(&both).start().await;
    let send = async |token: &str| {
        outcome_text(Caller::new(service.channel(), token).associate(GROUP, &key("good")).await)
    };
    assert_eq!(send(&service.issuer.token("payments", ALL)).await, "OK");
    let mallory = service.issuer.token_with("payments", ALL, &[("sub", json!("mallory"))]);
    let theirs = other.token_with("payments", ALL, &[("iss", json!(OTHER))]);
    for (token, policy) in [(mallory, "not-mallory"), (theirs, "not-theirs")] {
        let refused = send(&token).await;
        assert!(refused.starts_with("NOT_ALLOWED") && refused.contains(policy), "{refused}");
    }
    assert_eq!(service.reached("AssociateKmsKey").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn the_event_of_a_call_names_the_policy_that_decided() {
    let policy = r#"@id("frozen") forbid (principal, action in LogKey::Action::"Change",
        resource == LogKey::LogGroup::"arn:aws:logs:eu-west-1:111122223333:log-group:/payments/hash#1");"#;
    let service = Plan::default().policies(policy).start().await;
    let caller = service.caller("payments", ALL);
    caller.associate("/payments/hash#1", &key("good")).await.unwrap_err();
    // What was noted before a change that is waited for is written.
    caller.associate(GROUP, &key("good")).await.unwrap();

    let reader = service.caller("payments", "logkey:audit");
    let filter = AuditEventFilter { action: "AssociateKmsKey".into(), ..AuditEventFilter::default() };
    let message = ListAuditEventsRequest { filter: Some(filter), ..ListAuditEventsRequest::default() };
    let page = AuditServiceClient::new(reader.channel()).list_audit_events(reader.request(message)).await;
    let decided: Vec<(String, Value)> = page
        .unwrap()
        .into_inner()
        .events
        .into_iter()
        .map(|event| {
            let body: Value = serde_json::from_str(&event.json).unwrap();
            (event.kind, body["actor"]["authorizations"].clone())
        })
        .collect();
    let by = |kind: &str, decision: &str, policy: &str| {
        (kind.to_owned(), json!([{"decision": decision, "policy": {"uid": policy}}]))
    };
    let granted = "tenant/payments/111122223333/log-groups";
    assert_eq!(
        decided,
        [
            by("outcome", "Allowed", granted),
            by("intent", "Allowed", granted),
            by("refusal", "Denied", "frozen"),
        ]
    );
    service.stop().await;
}
