//! Too many calls, invalid tokens and forged source addresses.

use std::time::{Duration, Instant};

use logkey::{
    domain::reason::Reason,
    proto::{GetKeyAssociationRequest, get_key_association_request},
    server,
};
use prost::Message as _;
use tokio::time::timeout;
use tonic::{Code, Status, codec::CompressionEncoding};
use tonic_types::StatusExt as _;

use super::{
    TOKEN, associate, config, front, front_within, get_caller, limits,
    wire::{END_HEADERS, END_STREAM, Frame, HEADERS, Wire, call, frame, head},
    with_token,
};

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn excess_calls_are_shed_and_health_checks_are_not() {
    let front = front(server::Config { max_in_flight: 1, ..config() }).await;
    front.aws.delay(Duration::from_secs(1));
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
async fn a_panic_in_a_handler_is_answered_and_the_connection_stays_open() {
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
async fn the_message_limit_applies_to_the_decompressed_size() {
    let front = front(config()).await;
    let mut caller = front.associator().await.send_compressed(CompressionEncoding::Gzip);
    let bomb = || {
        let mut request = associate();
        // 64 MiB, which gzip compresses to 64 KiB.
        request.get_mut().reason = "x".repeat(64 << 20);
        request
    };
    for _ in 0..3 {
        let status = caller.associate_kms_key(bomb()).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "FIELD_INVALID"));
        assert!(status.message().contains("limit"), "{status:?}");
    }
    assert!(
        caller.associate_kms_key(associate()).await.is_ok(),
        "a small message is accepted, compressed or not"
    );
    drop(caller);
    front.end().await;
}

/// The client ignores `grpc-timeout`: the client of tonic would enforce it itself.
#[tokio::test(flavor = "multi_thread")]
async fn absurd_timeouts_do_no_harm() {
    let front = front(config()).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}/keyassociation.v1.KeyAssociationService/AssociateKmsKey", front.address);
    let message = associate().into_inner().encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let send = async |limit: &str| {
        let request = client.post(&url).header("content-type", "application/grpc").header("te", "trailers");
        let request =
            request.header("authorization", format!("Bearer {TOKEN}")).header("grpc-timeout", limit);
        let answer = request.body(body.clone()).send().await.unwrap();
        let refused = answer.headers().get("grpc-status").map(|code| code.to_str().unwrap().to_owned());
        (refused, answer.bytes().await.unwrap().len() > 5)
    };
    for expired in ["0n", "0H", "00000000S", "1n"] {
        assert_eq!(send(expired).await, (Some("4".into()), false), "{expired:?}: DEADLINE_EXCEEDED");
    }
    assert!(front.audit.entries().is_empty(), "no change starts");
    let malformed = [
        "",
        "S",
        "m",
        "1",
        "-1S",
        "+1S",
        "1.5S",
        "1 S",
        "1h",
        "1e3S",
        "0x1S",
        "123456789S",
        "99999999999999999999n",
    ];
    for timeout_value in malformed {
        let refused = (Some("3".into()), false);
        assert_eq!(send(timeout_value).await, refused, "{timeout_value:?}: INVALID_ARGUMENT");
    }
    for timeout_value in ["99999999H", "99999999M", "99999999S"] {
        assert_eq!(send(timeout_value).await, (None, true), "{timeout_value:?}");
    }
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_carries_the_remaining_rate_limit() {
    let front = front(config()).await;
    let answer = front.caller().await.get_caller(get_caller("good")).await.unwrap();
    let header = |name: &str| answer.metadata().get(name).unwrap().to_str().unwrap().parse::<u32>().unwrap();
    assert_eq!(header("ratelimit-limit"), 1_000_000);
    assert!((999_990..=999_999).contains(&header("ratelimit-remaining")));
    assert_eq!(header("ratelimit-reset"), 1);
    front.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_invalid_tokens_is_mostly_not_verified() {
    let front = front(config()).await;
    let mut caller = front.caller().await;
    let (mut unverified, mut refused, start) = (0_u32, 0_u32, Instant::now());
    for _ in 0..4_000 {
        let status = caller.get_caller(get_caller("bad")).await.unwrap_err();
        if status.code() == Code::Unauthenticated {
            refused += 1;
        } else {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "OVERLOADED"));
            unverified += 1;
        }
    }
    // 2,000 at once and 50 a second, and one in eight of the others, with some tolerance for chance.
    let verified = 2_000.0 + 50.0 * start.elapsed().as_secs_f64() + f64::from(unverified) / 5.0;
    assert!(f64::from(refused) <= verified, "{unverified} were not verified, {refused} were");
    drop(caller);
    front.end().await;
}

/// Behind a trusted proxy, each caller has its own budget. Otherwise all callers of the proxy share one.
#[tokio::test(flavor = "multi_thread")]
async fn invalid_tokens_count_against_the_address_from_a_trusted_proxy() {
    for (trusted, separate) in [(Some("127.0.0.0/8"), true), (None, false)] {
        let trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let front = front(server::Config { trusted_proxies, ..config() }).await;
        let mut caller = front.caller().await;
        let mut refused = async |source: &str| {
            let mut request = get_caller("bad");
            request.metadata_mut().insert("x-forwarded-for", source.parse().unwrap());
            reason(&caller.get_caller(request).await.unwrap_err())
        };
        while refused("198.51.100.7").await != "OVERLOADED" {}
        let mut others = Vec::new();
        for _ in 0..200 {
            others.push(refused("198.51.100.8").await);
        }
        let verified = others.iter().all(|reason| reason == "TOKEN_INVALID");
        assert_eq!(verified, separate, "{trusted:?}: {others:?}");
        drop(caller);
        front.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_can_set_the_source_address() {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_call_over_the_rate_is_rejected_before_its_body_arrives() {
    let front = front_within(limits(1)).await;
    let mut wire = Wire::open(front.address).await;
    assert!(wire.write(&call(1)).await);
    let is_end_of =
        |stream: u32| move |frame: &Frame| frame.stream == stream && frame.flags & END_STREAM != 0;
    assert!(wire.until(is_end_of(1)).await.is_some(), "the burst allows one call");
    assert!(wire.write(&frame(HEADERS, END_HEADERS, 3, &head())).await);
    let refused = timeout(Duration::from_secs(5), wire.until(is_end_of(3))).await;
    assert_eq!(refused.unwrap().map(|frame| frame.kind), Some(HEADERS));
    let failures: Vec<_> = front.audit.notes().into_iter().filter_map(|note| note.end?.failure).collect();
    assert_eq!(failures, [Reason::TenantRateLimited]);
    drop(wire);
    front.end().await;
}
