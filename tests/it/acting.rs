//! Calls that a program makes for a person: by `act` in the token, or by the metadata `x-on-behalf-of`.

use logkey::proto::{
    CreateBulkAssociationRequest, GetCallerRequest, WatchBulkAssociationRequest,
    bulk_association_service_client::BulkAssociationServiceClient,
    tenant_service_client::TenantServiceClient,
};
use serde_json::{Value, json};
use tonic::{Code, Request, Status, metadata::MetadataValue};

use crate::{
    bulk::{
        BULK,
        client::{JobCaller, key_choice, patterns},
        groups,
    },
    harness::{ALL, Caller, GROUP, Plan, Service, key, on_group, reason},
};

const MAY_ASSERT: &str = "may_assert_user = true\n";

fn backend(service: &Service, claims: &[(&str, Value)]) -> Caller {
    let claims = [&[("sub", json!("portal"))], claims].concat();
    Caller::new(service.channel(), &service.issuer.token_with("payments", ALL, &claims))
}

/// Adds `x-on-behalf-of` with each of these values.
fn for_user<T>(mut request: Request<T>, users: &[&str]) -> Request<T> {
    for user in users {
        request.metadata_mut().append("x-on-behalf-of", user.parse().unwrap());
    }
    request
}

async fn associate(caller: &Caller, users: &[&str]) -> Result<(), Status> {
    let request = for_user(caller.request(on_group(GROUP, &key("good"))), users);
    caller.keys().associate_kms_key(request).await.map(drop)
}

async fn who_am_i(caller: &Caller, users: &[&str]) -> Result<(String, String, String), Status> {
    let mut client = TenantServiceClient::new(caller.channel());
    let me = client.get_caller(for_user(caller.request(GetCallerRequest {}), users)).await?.into_inner();
    Ok((me.subject, me.on_behalf_of, me.actor))
}

/// The subject, the person and the program in each event of this kind.
async fn people(service: &Service, kind: &str) -> Vec<(String, String, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let events = service.events().await.into_iter().filter(|event| event.kind == kind);
    events.map(|event| (text(&event.subject), text(&event.on_behalf_of), text(&event.delegate))).collect()
}

fn people_of(subject: &str, on_behalf_of: &str, actor: &str) -> (String, String, String) {
    (subject.to_owned(), on_behalf_of.to_owned(), actor.to_owned())
}

#[tokio::test]
async fn the_person_is_in_the_event_the_session_and_the_answer() {
    let plan = Plan::default().issuer(MAY_ASSERT).aws_settings("attribution = \"subject\"\n");
    let service = plan.start().await;
    let asserting = backend(&service, &[]);
    let exchanged = backend(
        &service,
        &[("sub", json!("bob")), ("act", json!({ "sub": "portal", "act": { "sub": "an earlier actor" } }))],
    );
    associate(&asserting, &["alice"]).await.unwrap();
    associate(&exchanged, &[]).await.unwrap();
    associate(&asserting, &[]).await.unwrap();
    let expected = [
        people_of("portal", "alice", "portal"),
        people_of("bob", "bob", "portal"),
        people_of("portal", "", ""),
    ];
    assert_eq!(people(&service, "intent").await, expected);
    assert_eq!(people(&service, "outcome").await, expected);
    let sessions: Vec<Option<String>> =
        service.reached("AssumeRole").into_iter().map(|entry| entry.session_name).collect();
    let session = |name: &str| Some(name.to_owned());
    assert_eq!(sessions, [session("payments=alice"), session("payments=bob"), session("payments=portal")]);
    assert_eq!(who_am_i(&asserting, &["alice"]).await.unwrap(), expected[0]);
    assert_eq!(who_am_i(&exchanged, &["bob"]).await.unwrap(), expected[1]);
    service.stop().await;
}

#[tokio::test]
async fn an_issuer_that_may_not_assert_users_is_refused() {
    let service = Service::start().await;
    let caller = backend(&service, &[]);
    for users in [&["alice"][..], &["portal"], &[""], &["a", "b"]] {
        let refused = associate(&caller, users).await.unwrap_err();
        let got = (refused.code(), reason(&refused));
        assert_eq!(got, (Code::PermissionDenied, "ASSERTED_USER_NOT_ALLOWED".into()), "{users:?}");
        assert!(refused.message().contains("may_assert_user"), "{refused:?}");
    }
    assert!(service.reached("AssociateKmsKey").is_empty());
    assert!(service.reached("AssumeRole").is_empty());
    // The refusals are stored before the intent of this change.
    associate(&caller, &[]).await.unwrap();
    let refusals = people(&service, "refusal").await;
    assert!(!refusals.is_empty());
    assert!(refusals.iter().all(|people| *people == people_of("portal", "", "")), "{refusals:?}");
    service.stop().await;
}

#[tokio::test]
async fn the_person_of_a_token_cannot_be_replaced() {
    let service = Plan::default().issuer(MAY_ASSERT).start().await;
    let act = json!({ "sub": "portal" });
    let caller = backend(&service, &[("sub", json!("bob")), ("act", act)]);
    for user in ["alice", "portal", "Bob"] {
        let refused = who_am_i(&caller, &[user]).await.unwrap_err();
        let got = (refused.code(), reason(&refused));
        assert_eq!(got, (Code::PermissionDenied, "ASSERTED_USER_NOT_ALLOWED".into()), "{user}");
    }
    for act in [json!(null), json!("portal"), json!({}), json!({ "sub": "" }), json!({ "sub": 1 }), json!([])]
    {
        let act = if act.is_null() { json!(false) } else { act };
        let caller = backend(&service, &[("act", act.clone())]);
        assert_eq!(reason(&who_am_i(&caller, &[]).await.unwrap_err()), "TOKEN_INVALID", "{act}");
    }
    service.stop().await;
}

#[tokio::test]
async fn a_value_that_names_nobody_is_refused() {
    let service = Plan::default().issuer(MAY_ASSERT).start().await;
    let caller = backend(&service, &[]);
    let longest = "x".repeat(256);
    assert_eq!(who_am_i(&caller, &[&longest]).await.unwrap().1, longest);
    let mut requests = Vec::new();
    for users in [&["alice", "alice"][..], &["alice", "bob"], &[""], &[&(longest.clone() + "x")]] {
        requests.push(for_user(caller.request(GetCallerRequest {}), users));
    }
    for bytes in ["zoë".as_bytes(), b"\xc3\x28", b"a\tb"] {
        let mut request = caller.request(GetCallerRequest {});
        let value = http::HeaderValue::from_bytes(bytes).unwrap();
        let mut headers = request.metadata().clone().into_headers();
        headers.insert("x-on-behalf-of", value);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        requests.push(request);
    }
    for request in requests {
        let sent = format!("{:?}", request.metadata().get_all("x-on-behalf-of").iter().collect::<Vec<_>>());
        let refused = TenantServiceClient::new(caller.channel()).get_caller(request).await.unwrap_err();
        assert_eq!(reason(&refused), "FIELD_INVALID", "{sent}: {refused:?}");
        assert!(refused.message().starts_with("x-on-behalf-of "), "{refused:?}");
    }
    service.stop().await;
}

#[tokio::test]
async fn policies_decide_by_the_person() {
    let policy = r#"
        @id("only-alice") forbid (principal, action in LogKey::Action::"Change", resource)
        unless { principal has onBehalfOf && principal has actor && principal.onBehalfOf == "alice" && principal.actor == "portal" };"#;
    let service = Plan::default().issuer(MAY_ASSERT).policies(policy).start().await;
    let caller = backend(&service, &[]);
    associate(&caller, &["alice"]).await.unwrap();
    for users in [&["bob"][..], &[]] {
        assert_eq!(reason(&associate(&caller, users).await.unwrap_err()), "NOT_ALLOWED", "{users:?}");
    }
    // The person is alice, and the caller is not the portal.
    let direct = backend(&service, &[("sub", json!("alice"))]);
    assert_eq!(reason(&associate(&direct, &[]).await.unwrap_err()), "NOT_ALLOWED");
    assert_eq!(service.reached("AssociateKmsKey").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_job_acts_for_the_person_who_started_it_also_after_a_restart() {
    let policy = r#"
        @id("not-bob") forbid (principal, action in LogKey::Action::"Change", resource)
        when { principal has onBehalfOf && principal.onBehalfOf == "bob" };"#;
    let plan = Plan::with_resources(|it| groups(it, "a", 3)).issuer(MAY_ASSERT).policies(policy);
    let service = plan.aws_settings("attribution = \"subject\"\n").start().await;
    let token = service.issuer.token_with("payments", BULK, &[("sub", json!("portal"))]);
    let caller = Caller::new(service.channel(), &token);
    let create = async |user: &str| {
        let message = CreateBulkAssociationRequest {
            selection: Some(patterns(&["/payments/a-*"])),
            change: Some(key_choice(&key("good"))),
            start: true,
            ..Default::default()
        };
        let mut client = BulkAssociationServiceClient::new(caller.channel());
        client.create_bulk_association(for_user(caller.request(message), &[user])).await
    };
    let forbidden = create("bob").await.unwrap().into_inner().bulk_association.unwrap();
    let jobs = JobCaller::new(&service, "payments", BULK);
    let ended = jobs.wait_for_end(&forbidden.id).await;
    assert_eq!(ended.counts.unwrap().blocked, 3);
    let id = create("alice").await.unwrap().into_inner().bulk_association.unwrap().id;
    let service = service.restart().await;
    JobCaller::new(&service, "payments", BULK).wait_for_end(&id).await;
    let people = people(&service, "intent").await;
    assert_eq!(people, vec![people_of("portal", "alice", "portal"); 3]);
    assert!(
        service.reached("AssumeRole").iter().any(|it| it.session_name.as_deref() == Some("payments=alice"))
    );

    let token = service.issuer.token_with("payments", BULK, &[("sub", json!("portal"))]);
    let caller = Caller::new(service.channel(), &token);
    let mut client = BulkAssociationServiceClient::new(caller.channel());
    let mut watch = caller.request(WatchBulkAssociationRequest { id: id.clone() });
    watch.metadata_mut().insert("x-on-behalf-of", MetadataValue::from_static("alice"));
    assert!(
        client.watch_bulk_association(watch).await.unwrap().into_inner().message().await.unwrap().is_some()
    );
    let mut watch = caller.request(WatchBulkAssociationRequest { id });
    watch.metadata_mut().append("x-on-behalf-of", MetadataValue::from_static("alice"));
    watch.metadata_mut().append("x-on-behalf-of", MetadataValue::from_static("bob"));
    assert_eq!(reason(&client.watch_bulk_association(watch).await.unwrap_err()), "FIELD_INVALID");
    service.stop().await;
}
