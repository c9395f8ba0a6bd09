//! The same with the queues of moto, an AWS emulator by other authors. `tests/run aws` starts it.

use super::*;

/// moto's account.
const MOTO_ACCOUNT: &str = "123456789012";

#[expect(clippy::disallowed_methods, reason = "the address of moto is no setting of the service")]
fn endpoint() -> String {
    std::env::var("LOGKEY_MOTO").unwrap()
}

/// A queue in moto that hides received messages for this number of seconds, after all its messages are gone.
async fn start(hidden_seconds: &str) -> TestQueue {
    let endpoint = endpoint();
    let queue = TestQueue::connect(&endpoint, MOTO_ACCOUNT).await;
    let create = |name: &str| queue.client.create_queue().queue_name(name);
    for name in ["events", "events-dead"] {
        let _absent =
            queue.client.delete_queue().queue_url(format!("{endpoint}/{MOTO_ACCOUNT}/{name}")).send().await;
    }
    create("events-dead").send().await.unwrap();
    let redrive = json!({
        "deadLetterTargetArn": format!("arn:aws:sqs:{REGION}:{MOTO_ACCOUNT}:events-dead"),
        "maxReceiveCount": 2,
    });
    create("events")
        .attributes(QueueAttributeName::VisibilityTimeout, hidden_seconds)
        .attributes(QueueAttributeName::RedrivePolicy, redrive.to_string())
        .send()
        .await
        .unwrap();
    queue
}

/// One test, because moto has one account and so one set of queues.
#[tokio::test]
#[ignore = "needs moto; tests/run aws runs it"]
async fn the_adapter_does_the_same_with_the_queues_of_moto() {
    messages_of_one_event_become_one_change(&start("600").await).await;
    unreadable_messages_become_dead_letters(&start("0").await).await;
}
