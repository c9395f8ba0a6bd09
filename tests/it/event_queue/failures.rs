//! Throttling, outages and refusals of the queue.

use std::time::Duration;

use logkey::{
    domain::error_chain::error_chain,
    ports::group_events::GroupEventsError,
    sandbox::fault::{Effect, Fault},
};

use super::*;

fn error(code: &str, status: u16) -> Effect {
    Effect::Error { code: code.into(), message: None, status: Some(status) }
}

fn calls(running: &Running, operation: &str) -> usize {
    running.sandbox().journal().iter().filter(|call| call.operation == operation).count()
}

#[tokio::test]
async fn each_failure_has_a_cause_and_the_next_call_succeeds() {
    for (effect, label) in [
        (Effect::Throttle, "throttled"),
        (error("OverLimit", 403), "throttled"),
        (error("KmsThrottled", 400), "throttled"),
        (error("InternalFailure", 500), "unavailable"),
        (error("ServiceUnavailable", 503), "unavailable"),
        (Effect::Reset, "unavailable"),
        (Effect::Garbage, "unavailable"),
        (Effect::Truncate, "unavailable"),
        (error("AccessDeniedException", 400), "refused"),
        (error("QueueDoesNotExist", 400), "refused"),
        (error("KmsAccessDenied", 400), "refused"),
    ] {
        // A response that is lost on its way leaves the message received.
        let (running, queue) = start(0).await;
        queue.send(&event("a")).await;
        running.sandbox().fault(Fault::on("ReceiveMessage", effect.clone()).times(1));
        let failure = queue.adapter.receive().await.unwrap_err();
        assert_eq!(failure.label(), label, "{effect:?}: {}", error_chain(&failure));
        assert!(!format!("{failure:?} {}", error_chain(&failure)).contains("secret"), "{failure:?}");
        assert_eq!(&*change(&queue.receive().await[0]).0.event_id, "a", "{effect:?}");
        assert_eq!(calls(&running, "ReceiveMessage"), 2, "one call each");
    }
}

#[tokio::test]
async fn a_queue_that_does_not_exist_is_refused_with_its_remedy() {
    let (running, _queue) = start(600).await;
    let url = format!("{}/{OPERATOR}/none", running.endpoint()).parse().unwrap();
    let missing = EventQueue::connect(&config(&running.endpoint()), url).await;
    let failure = missing.receive().await.unwrap_err();
    let text = error_chain(&failure);
    assert!(text.contains("check fleet.events.queue_url"), "{text}");
    assert!(text.contains("ReceiveMessage") && text.contains("NonExistentQueue"), "{text}");
}

#[tokio::test]
async fn an_unreachable_queue_is_unavailable() {
    let queue = TestQueue::connect("http://127.0.0.1:1", OPERATOR).await;
    assert_eq!(queue.adapter.receive().await.unwrap_err().label(), "unavailable");
}

#[tokio::test]
async fn the_host_of_the_url_is_the_endpoint_if_no_other_is_set() {
    let (running, queue) = start(600).await;
    queue.send(&event("a")).await;
    let config = Config { endpoints: Endpoints::default(), ..config("unused") };
    let adapter = EventQueue::connect(&config, queue.url.parse().unwrap()).await;
    assert_eq!(adapter.receive().await.unwrap().len(), 1);
    assert_eq!(calls(&running, "ReceiveMessage"), 1);
}

#[tokio::test]
async fn a_poll_may_take_longer_than_other_calls() {
    let (running, queue) = start(1).await;
    let mut config = config(&running.endpoint());
    config.timeouts.attempt = Duration::from_millis(100);
    let adapter = EventQueue::connect(&config, queue.url.parse().unwrap()).await;
    queue.send(&event("a")).await;
    for _ in 0..2 {
        // The second call waits until the message is visible again.
        assert_eq!(&*change(&adapter.receive().await.unwrap()[0]).0.event_id, "a");
    }
    assert_eq!(calls(&running, "ReceiveMessage"), 2);
}

#[tokio::test]
async fn a_deletion_is_retried_and_then_reported() {
    let (running, queue) = start(0).await;
    queue.send(&event("a")).await;
    let first = queue.receive().await;
    running.sandbox().fault(Fault::on("DeleteMessageBatch", Effect::Throttle));
    let failure = queue.adapter.delete(&receipts(&first)).await.unwrap_err();
    assert!(matches!(failure, GroupEventsError::Throttled(_)), "{failure:?}");
    assert_eq!(calls(&running, "DeleteMessageBatch"), 3);
    running.sandbox().clear_faults();

    // Its change is recorded, so the message only has to be deleted.
    let again = queue.receive().await;
    assert!(matches!(again[0], GroupMessage::Irrelevant { reason: Irrelevance::Duplicate { .. }, .. }));
    running.sandbox().fault(Fault::on("DeleteMessageBatch", Effect::Reset).times(1));
    queue.adapter.delete(&receipts(&again)).await.unwrap();
    assert_eq!(queue.remaining().await, 0);
}

#[tokio::test]
async fn a_refused_deletion_is_not_retried() {
    let (running, queue) = start(600).await;
    queue.send(&event("a")).await;
    let messages = queue.receive().await;
    running.sandbox().fault(Fault::on("DeleteMessageBatch", error("AccessDeniedException", 400)));
    let failure = queue.adapter.delete(&receipts(&messages)).await.unwrap_err();
    assert_eq!(failure.label(), "refused");
    assert_eq!(calls(&running, "DeleteMessageBatch"), 1);
    assert_eq!(queue.remaining().await, 1);
}
