//! The main job, from a real client to the embedded AWS and back.

use std::time::Duration;

use logkey::{
    proto::{KeyFilter, KeyHealth, ListKeyAssociationsRequest, Source, State},
    sandbox::{
        fault::{Effect, Fault},
        seed::KeySeed,
    },
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{ALL, GROUP, ORDERS, PAYMENTS, Plan, REGION, Service, key, on_group, reason, tenant};

fn query_results(account: &str) -> String {
    format!("arn:aws:logs:{REGION}:{account}:query-result:*")
}

fn aws_error(code: &str, message: &str) -> Effect {
    Effect::Error { code: code.into(), message: Some(message.into()), status: None }
}

#[tokio::test]
async fn a_key_is_set_read_back_replaced_and_removed() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);

    let set = caller.associate(GROUP, &key("good")).await.unwrap();
    assert!(!set.audit_event_id.is_empty() && !set.aws_request_id.is_empty());
    let aws = service.sandbox.sandbox();
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, GROUP), Some(key("good")));

    let read = caller.get(GROUP).await.unwrap();
    assert_eq!((read.kms_key_arn.clone(), read.state()), (key("good"), State::Settling));
    assert_eq!((read.source(), read.key_health()), (Source::Live, KeyHealth::Usable));
    assert_eq!(read.settle_time.unwrap().seconds - read.accept_time.unwrap().seconds, 300);

    let replaced = caller.associate(GROUP, &key("next")).await.unwrap();
    assert_eq!(replaced.association.unwrap().previous_kms_key_arn, key("good"));

    let removed = caller.disassociate(GROUP).await.unwrap();
    assert_eq!(removed.association.unwrap().previous_kms_key_arn, key("next"));
    assert_eq!(removed.warnings[0].code, "FORMER_KEY_STILL_PROTECTS_DATA");
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, GROUP), None);
    service.stop().await;
}

#[tokio::test]
async fn every_kind_of_target_works_and_hash_names_are_sent_as_names() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let arn = format!("arn:aws:logs:{REGION}:{PAYMENTS}:log-group:{GROUP}");
    caller.associate_arn(&arn, &key("good")).await.unwrap();
    caller.associate("/payments/hash#1", &key("good")).await.unwrap();
    caller.associate_arn(&query_results(PAYMENTS), &key("good")).await.unwrap();

    let aws = service.sandbox.sandbox();
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, GROUP), Some(key("good")));
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, "/payments/hash#1"), Some(key("good")));
    assert_eq!(aws.query_results_key(PAYMENTS, REGION), Some(key("good")));
    service.stop().await;
}

#[tokio::test]
async fn the_key_of_query_results_is_known_after_a_restart() {
    let service = Service::start().await;
    let results = query_results(PAYMENTS);
    let caller = service.caller("payments", ALL);
    assert_eq!(caller.get_arn(&results).await.unwrap().state(), State::Unknown);
    caller.associate_arn(&results, &key("good")).await.unwrap();

    let service = service.restart().await;
    let response = service.caller("payments", ALL).get_arn(&results).await.unwrap();
    assert_eq!((response.kms_key_arn.clone(), response.source()), (key("good"), Source::Recorded));
    service.stop().await;
}

#[tokio::test]
async fn a_list_shows_only_the_tenants_own_groups() {
    let many = |aws: logkey::sandbox::builder::Builder| {
        aws.account("777788889999", |account| {
            (0..120).fold(account.role("LogKeyAssociator", "many-external-id"), |account, n| {
                account.log_group(REGION, &format!("/{}/{n:03}", if n % 3 == 0 { "many" } else { "else" }))
            })
        })
    };
    let limits = "{ per_second = 1000, burst = 1000, max_in_flight = 100 }";
    let service = Plan::default().aws(many).tenants(&tenant("many", "777788889999", limits)).start().await;
    let caller = service.caller("many", ALL);
    let mut received = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = caller
            .list(ListKeyAssociationsRequest { page_size: 7, page_token, ..Default::default() })
            .await
            .unwrap();
        assert!(page.associations.len() <= 7);
        received.extend(page.associations.into_iter().map(|it| it.resource_arn));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(received.len(), 40);
    assert!(received.iter().all(|arn| arn.contains(":log-group:/many/")) && received.is_sorted());
    service.stop().await;
}

#[tokio::test]
async fn a_list_is_filtered_by_prefix_and_by_key() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    let listed = |key_filter: KeyFilter, prefix: &str| {
        let message = ListKeyAssociationsRequest {
            key_filter: key_filter.into(),
            log_group_name_prefix: prefix.into(),
            ..Default::default()
        };
        let caller = caller.clone();
        async move { caller.list(message).await.unwrap().associations.len() }
    };
    assert_eq!(listed(KeyFilter::Any, "").await, 2);
    assert_eq!(listed(KeyFilter::WithKey, "").await, 1);
    assert_eq!(listed(KeyFilter::WithoutKey, "").await, 1);
    assert_eq!(listed(KeyFilter::KeyUnhealthy, "").await, 0);
    assert_eq!(listed(KeyFilter::Any, "/payments/h").await, 1);
    assert_eq!(listed(KeyFilter::Any, "/shared").await, 0);
    service.stop().await;
}

#[tokio::test]
async fn a_list_finds_log_groups_without_the_expected_key() {
    let aliased = KeySeed {
        id: "aliased".into(),
        region: REGION.into(),
        aliases: vec!["alias/current".into()],
        ..KeySeed::default()
    };
    let service = Plan::with_keys(vec![aliased]).start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("aliased")).await.unwrap();
    let request = |expected: &str| ListKeyAssociationsRequest {
        key_filter: KeyFilter::WithOtherKey.into(),
        expected_kms_key_id: expected.into(),
        ..Default::default()
    };
    let names = async |expected: &str| {
        let page = caller.list(request(expected)).await.unwrap();
        page.associations
            .into_iter()
            .map(|it| it.resource_arn.split(":log-group:").nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let other = ["/payments/hash#1"];
    assert_eq!(names(&key("aliased")).await, other);
    assert_eq!(names("alias/current").await, other);
    assert_eq!(names(&format!("arn:aws:kms:{REGION}:{PAYMENTS}:alias/current")).await, other);
    assert_eq!(names("aliased").await, other);
    let both = ["/payments/api", "/payments/hash#1"];
    assert_eq!(names(&key("next")).await, both);
    assert_eq!(names("next").await, both);
    caller.associate("/payments/hash#1", &key("good")).await.unwrap();
    assert_eq!(names("alias/current").await, other);

    let first = caller.list(ListKeyAssociationsRequest { page_size: 1, ..request("next") }).await.unwrap();
    let next = ListKeyAssociationsRequest { page_token: first.next_page_token.clone(), ..request("next") };
    assert_eq!(caller.list(next).await.unwrap().associations.len(), 1);
    for other in ["good", &key("next")] {
        let other =
            ListKeyAssociationsRequest { page_token: first.next_page_token.clone(), ..request(other) };
        assert_eq!(caller.list(other).await.unwrap_err().code(), Code::InvalidArgument);
    }
    for invalid in [
        request(""),
        request("not a key"),
        request(&format!("arn:aws:kms:us-east-1:{PAYMENTS}:key/good")),
        ListKeyAssociationsRequest { key_filter: KeyFilter::Any.into(), ..request("next") },
        ListKeyAssociationsRequest { key_filter: KeyFilter::WithKey.into(), ..request("next") },
        ListKeyAssociationsRequest { key_filter: 0, ..request("next") },
    ] {
        assert_eq!(
            caller.list(invalid.clone()).await.unwrap_err().code(),
            Code::InvalidArgument,
            "{invalid:?}"
        );
    }
    let absent = caller.list(request("alias/absent")).await.unwrap_err();
    assert_eq!((absent.code(), reason(&absent).as_str()), (Code::NotFound, "KEY_NOT_FOUND"));
    service.stop().await;
}

#[tokio::test]
async fn resources_of_another_tenant_look_absent() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let foreign = format!("arn:aws:logs:{REGION}:{ORDERS}:log-group:/orders/api");
    let absent = format!("arn:aws:logs:{REGION}:999999999999:log-group:/orders/api");
    let masked = |status: tonic::Status, account: &str| {
        (status.code(), reason(&status), status.message().replace(account, "ACCOUNT"))
    };
    let one = masked(caller.associate_arn(&foreign, &key("good")).await.unwrap_err(), ORDERS);
    let other = masked(caller.associate_arn(&absent, &key("good")).await.unwrap_err(), "999999999999");
    assert_eq!(one, other);
    assert_eq!(one.1, "ACCOUNT_NOT_FOUND");

    let masked = |status: tonic::Status, name: &str| {
        (status.code(), reason(&status), status.message().replace(name, "NAME"))
    };
    let hidden = masked(caller.get("/shared/by-nobody").await.unwrap_err(), "/shared/by-nobody");
    let missing = masked(caller.get("/payments/missing").await.unwrap_err(), "/payments/missing");
    assert_eq!(hidden, missing);
    assert_eq!(hidden.1, "LOG_GROUP_NOT_FOUND");

    assert!(service.reached("AssociateKmsKey").is_empty());
    service.stop().await;
}

#[tokio::test]
async fn assume_role_sends_the_external_id_and_sessions_are_reused() {
    let service = Service::start().await;
    for _ in 0..3 {
        service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    }
    let assumed = service.reached("AssumeRole");
    assert_eq!(assumed.len(), 1);
    assert!(assumed.iter().all(|entry| entry.external_id == Some(true)));
    service.stop().await;
}

#[tokio::test]
async fn errors_of_aws_map_to_codes_and_reasons() {
    for (fault, code, expected) in [
        (
            aws_error(
                "AccessDeniedException",
                "The specified KMS key does not exist or is not allowed to be used with Arn 'arn:aws:logs:eu-west-1:111122223333:log-group:/payments/api'",
            ),
            // The key and its policy are good here, so no check finds the cause.
            Code::FailedPrecondition,
            "KEY_NOT_USABLE",
        ),
        (
            aws_error(
                "AccessDeniedException",
                "User: arn:aws:sts::111122223333:assumed-role/LogKeyAssociator/x is not authorized to perform: kms:Encrypt on resource: arn because no identity-based policy allows the kms:Encrypt action",
            ),
            Code::FailedPrecondition,
            "ROLE_LACKS_KMS_PERMISSION",
        ),
        (
            aws_error(
                "AccessDeniedException",
                "User: arn:aws:sts::111122223333:assumed-role/LogKeyAssociator/x is not authorized to perform: logs:AssociateKmsKey on resource: arn with an explicit deny in a service control policy",
            ),
            Code::FailedPrecondition,
            "DENIED_BY_ORGANIZATION",
        ),
        (
            aws_error("ResourceNotFoundException", "The specified log group does not exist."),
            Code::NotFound,
            "LOG_GROUP_NOT_FOUND",
        ),
        (
            aws_error("InvalidParameterException", "The specified KMS Key Id could not be found"),
            Code::NotFound,
            "KEY_NOT_FOUND",
        ),
    ] {
        let service = Service::start().await;
        service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", fault));
        let mut request = service.caller("payments", ALL).request(on_group(GROUP, &key("good")));
        // A refusal without a cause is retried until the deadline.
        request.set_timeout(Duration::from_secs(3));
        let answer = service.caller("payments", ALL).keys().associate_kms_key(request).await;
        let status = answer.unwrap_err();
        let retry = status.get_details_retry_info();
        assert_eq!(
            retry.is_some(),
            ["KEY_NOT_USABLE", "ROLE_LACKS_KMS_PERMISSION", "KEY_NOT_FOUND"].contains(&expected)
        );
        assert_eq!((status.code(), reason(&status)), (code, expected.to_owned()), "{status:?}");
        // A missing resource gets the same message with and without a call to AWS.
        let info = status.get_details_error_info().unwrap();
        assert!(code == Code::NotFound || info.metadata.contains_key("aws_request_id"), "{info:?}");
        service.stop().await;
    }
}

#[tokio::test]
async fn throttles_conflicts_and_failures_of_aws_are_retried() {
    let service = Service::start().await;
    let aws = service.sandbox.sandbox();
    let fault = |code: &str, status| Effect::Error { code: code.into(), message: None, status: Some(status) };
    let one = |effect| Fault::on("AssociateKmsKey", effect).times(1);
    let faults = [
        one(Effect::Throttle),
        one(aws_error("OperationAbortedException", "A conflicting operation")),
        one(fault("ServiceUnavailableException", 503)),
        one(fault("InternalFailure", 500)),
        // The first reset comes after AWS made the change, the second before.
        one(Effect::Reset).after(),
        one(Effect::Reset),
    ];
    for (skip, fault) in (0..).zip(faults) {
        aws.fault(Fault { skip, ..fault });
    }
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    assert_eq!(aws.log_group_key(PAYMENTS, REGION, GROUP), Some(key("good")));
    assert_eq!(service.reached("AssociateKmsKey").len(), 7);
    service.stop().await;
}

/// Waits until the service has reconciled an intent, and returns the outcome that it recorded.
async fn reconciled_outcome(service: &Service) -> Option<String> {
    let mut interval = tokio::time::interval(Duration::from_millis(50));
    loop {
        interval.tick().await;
        if let Some(event) = service.events().await.into_iter().find(|event| event.kind == "settled") {
            return event.outcome;
        }
    }
}

#[tokio::test]
async fn a_call_without_an_answer_has_an_unknown_outcome_at_its_deadline() {
    let service = Plan::default().settings("[server]\nrequest_timeout = \"700ms\"\n").start().await;
    service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", Effect::Hang));
    let status = service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::DeadlineExceeded, "OUTCOME_UNKNOWN".to_owned()));

    let service = service.restart().await;
    assert_eq!(reconciled_outcome(&service).await.as_deref(), Some("not in force"));
    service.stop().await;
}

#[tokio::test]
async fn a_change_that_took_effect_without_a_response_is_reconciled() {
    let service = Plan::default().settings("[server]\nrequest_timeout = \"700ms\"\n").start().await;
    service.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", Effect::Reset).after());
    let status = service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::DeadlineExceeded, "OUTCOME_UNKNOWN".to_owned()));
    assert!(
        service.reached("AssociateKmsKey").len() > 1,
        "the service retries, because a repetition is harmless"
    );
    assert_eq!(service.sandbox.sandbox().log_group_key(PAYMENTS, REGION, GROUP), Some(key("good")));

    let service = service.restart().await;
    assert_eq!(reconciled_outcome(&service).await.as_deref(), Some("in force"));
    service.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_a_call_in_flight_and_records_it() {
    let service = Service::start().await;
    let aws = service.sandbox.sandbox().clone();
    aws.fault(Fault::on("AssociateKmsKey", Effect::Latency { ms: 800, jitter_ms: 0 }));
    let caller = service.caller("payments", ALL);
    let in_flight = tokio::spawn(async move { caller.associate(GROUP, &key("good")).await });
    let mut interval = tokio::time::interval(Duration::from_millis(20));
    while service.reached("AssociateKmsKey").is_empty() {
        interval.tick().await;
    }
    let service = service.restart().await;
    let response = in_flight.await.unwrap().unwrap();
    let events = service.events().await;
    assert!(events.iter().any(|event| event.id == response.audit_event_id));
    service.stop().await;
}

#[tokio::test]
async fn changes_have_intent_and_outcome_and_refusals_are_recorded() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    service.caller("payments", "logkey:read").associate(GROUP, &key("good")).await.unwrap_err();
    caller.associate(GROUP, &key("closed")).await.unwrap_err();
    caller.associate(GROUP, &key("good")).await.unwrap();
    // The events that no call waits for are on disk once the service has stopped.
    let service = service.restart().await;
    let recorded: Vec<(String, Option<String>)> = service
        .events()
        .await
        .into_iter()
        .filter(|event| event.action == "AssociateKmsKey")
        .map(|event| (event.kind, event.outcome))
        .collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        recorded,
        [
            ("refusal".to_owned(), some("SCOPE_MISSING")),
            ("intent".to_owned(), None),
            ("outcome".to_owned(), some("KEY_POLICY_LACKS_LOGS_SERVICE")),
            ("intent".to_owned(), None),
            ("outcome".to_owned(), some("OK")),
        ]
    );
    service.stop().await;
}

#[tokio::test]
async fn after_the_retry_delay_a_rate_limited_call_succeeds() {
    let limits = "{ per_second = 2, burst = 2, max_in_flight = 10 }";
    let service = Plan::default().tenants(&tenant("payments", PAYMENTS, limits)).start().await;
    let caller = service.caller("payments", ALL);
    caller.who_am_i().await.unwrap();
    caller.who_am_i().await.unwrap();
    let status = caller.who_am_i().await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, "TENANT_RATE_LIMITED".into()));
    assert_eq!(status.get_details_quota_failure().unwrap().violations[0].subject, "tenant:payments");
    assert_eq!(status.metadata().get("ratelimit-limit").unwrap(), "2");
    let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= Duration::from_millis(500));
    tokio::time::sleep(wait).await;
    caller.who_am_i().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn get_caller_returns_the_identity_and_the_grants() {
    let service = Service::start().await;
    let response = service.caller("payments", "logkey:read logkey:associate").who_am_i().await.unwrap();
    assert_eq!((response.tenant_id.as_str(), response.subject.as_str()), ("payments", "someone"));
    assert_eq!(response.scopes, ["logkey:associate", "logkey:read"]);
    let [account] = response.accounts.as_slice() else { panic!("{response:?}") };
    assert_eq!(account.account_id, PAYMENTS);
    assert_eq!(account.log_group_patterns, ["/payments/*"]);
    assert_eq!(response.limits.unwrap().in_flight, 1);
    service.stop().await;
}
