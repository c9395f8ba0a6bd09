//! One idempotency key, sent to two replicas.

use logkey::{
    proto::AssociateKmsKeyRequest,
    sandbox::fault::{Effect, Fault},
};

use super::assert_intact;
use crate::harness::{ALL, GROUP, Plan, Postgres, key, on_group, reason};

const ID: &str = "6f1c8f0e-9d0b-4f0e-8a51-0c4c1b0c6d11";

fn with_id(key: &str) -> AssociateKmsKeyRequest {
    AssociateKmsKeyRequest { request_id: ID.into(), ..on_group(GROUP, key) }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_repetitions_at_two_replicas_are_one_change() {
    let postgres = Postgres::start().await;
    let first = Plan::default().over(&postgres).start().await;
    let second = first.replica().await;
    let latency = Effect::Latency { ms: 300, jitter_ms: 0 };
    first.sandbox.sandbox().fault(Fault::on("AssociateKmsKey", latency));
    let callers = [first.caller("payments", ALL), second.caller("payments", ALL)];
    let calls = (0..8).map(|n| callers[n % 2].send(with_id(&key("good"))));
    let answers: Vec<_> = futures_util::future::join_all(calls).await;
    let answer = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|other| other.as_ref().unwrap() == answer), "{answers:#?}");
    assert_eq!(first.reached("AssociateKmsKey").len(), 1);
    // A later repetition gets the same answer, and both replicas reject a different request with this id.
    for caller in &callers {
        assert_eq!(&caller.send(with_id(&key("good"))).await.unwrap(), answer);
        let other = caller.send(with_id(&key("next"))).await.unwrap_err();
        assert_eq!(reason(&other), "REQUEST_ID_REUSED");
    }
    assert_eq!(first.reached("AssociateKmsKey").len(), 1);
    assert_intact(&first, &postgres).await;
    second.stop().await;
    first.stop().await;
}
