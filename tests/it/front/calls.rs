//! Calls that are too many, and callers that are not who they say.

use std::time::Duration;

use logkey::{
    proto::{GetKeyAssociationRequest, get_key_association_request},
    server,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{TOKEN, associate, config, front, get_caller, with_token};

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_shed_and_health_is_not() {
    let front = front(server::Config { max_in_flight: 1, ..config() }).await;
    front.aws.dawdle(Duration::from_secs(1));
    let mut slow = front.associator().await;
    let slow = tokio::spawn(async move { slow.associate_kms_key(associate()).await });
    while front.audit.entries().is_empty() {
        tokio::task::yield_now().await;
    }
    let refused = front.caller().await.get_caller(get_caller("bad")).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "OVERLOADED"));
    assert!(refused.get_error_details().retry_info().is_some());
    let mut health = tonic_health::pb::health_client::HealthClient::new(front.channel().await);
    assert!(health.check(tonic_health::pb::HealthCheckRequest::default()).await.is_ok());
    assert!(slow.await.unwrap().is_ok());
    assert!(front.caller().await.get_caller(get_caller("good")).await.is_ok());
    drop(health);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_is_answered_and_its_connection_goes_on() {
    let front = front(config()).await;
    front.aws.panic();
    let mut caller = front.associator().await;
    let target = Some(get_key_association_request::Target::LogGroupName("/app/web".into()));
    let read =
        || with_token(TOKEN, GetKeyAssociationRequest { target: target.clone(), ..Default::default() });
    let (one, other) =
        (caller.get_key_association(read()).await, caller.clone().get_key_association(read()).await);
    for status in [one.unwrap_err(), other.unwrap_err()] {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "INTERNAL"));
    }
    let status = caller.associate_kms_key(associate()).await.unwrap_err();
    assert_eq!(reason(&status), "OUTCOME_UNKNOWN");
    drop(caller);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_what_is_left() {
    let front = front(config()).await;
    let answer = front.caller().await.get_caller(get_caller("good")).await.unwrap();
    let said = |name: &str| answer.metadata().get(name).unwrap().to_str().unwrap().parse::<u32>().unwrap();
    assert_eq!(said("ratelimit-limit"), 1_000_000);
    assert!((999_990..=999_999).contains(&said("ratelimit-remaining")));
    assert_eq!(said("ratelimit-reset"), 1);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bad_tokens_is_refused_unverified() {
    let front = front(config()).await;
    let mut caller = front.caller().await;
    let (mut unverified, mut refused) = (0, 0);
    for _ in 0..4_000 {
        let status = caller.get_caller(get_caller("bad")).await.unwrap_err();
        if status.code() == Code::Unauthenticated {
            refused += 1;
        } else {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "OVERLOADED"));
            unverified += 1;
        }
    }
    assert!(unverified > 500, "{unverified} were not verified, {refused} were");
    drop(caller);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_is_believed_where_a_call_comes_from() {
    for (trusted, source) in [(None, "127.0.0.1"), (Some("127.0.0.0/8"), "198.51.100.7")] {
        let trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let front = front(server::Config { trusted_proxies, ..config() }).await;
        let mut request = get_caller("bad");
        request.metadata_mut().insert("x-forwarded-for", "198.51.100.7".parse().unwrap());
        front.caller().await.get_caller(request).await.unwrap_err();
        let notes = front.audit.notes();
        assert_eq!(notes.first().unwrap().actor.source.unwrap().to_string(), source);
        front.end().await;
    }
}
