//! The event queue, against the embedded AWS and, if `LOGKEY_MOTO` has its address, against moto.

#![expect(clippy::indexing_slicing, reason = "a test that panics has failed")]

mod failures;
mod moto;

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    error::ProvideErrorMetadata as _,
    types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName, QueueAttributeName},
};
use logkey::{
    aws::{Config, Endpoints, EventQueue, ServiceCredentials, SessionTagging, Timeouts},
    domain::log_group_change::{ChangeKind, LogGroupChange},
    ports::group_events::{GroupEvents, GroupMessage, Irrelevance, Receipt, UnreadableMessage},
    sandbox::{Running, Sandbox, seed::QueueSeed},
};
use serde_json::{Value, json};

const OPERATOR: &str = "999999999999";
const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-west-1";
const GROUP: &str = "/payments/new";

/// A queue, its dead-letter queue, the adapter, and a client for what the adapter does not do.
pub(crate) struct TestQueue {
    adapter: EventQueue,
    client: Client,
    url: String,
    dead_url: String,
}

impl TestQueue {
    pub(crate) async fn connect(endpoint: &str, account: &str) -> Self {
        let config = config(endpoint);
        let client = Client::from_conf(
            aws_sdk_sqs::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::from_static(REGION))
                .endpoint_url(endpoint)
                .credentials_provider(Credentials::new("AKIASANDBOXHUB", "secret", None, None, "test"))
                .build(),
        );
        let url = format!("{endpoint}/{account}/events");
        let adapter = EventQueue::connect(&config, url.parse().unwrap()).await;
        Self { adapter, client, dead_url: format!("{url}-dead"), url }
    }

    async fn send(&self, body: &str) {
        self.client.send_message().queue_url(&self.url).message_body(body).send().await.unwrap();
    }

    async fn receive(&self) -> Vec<GroupMessage> {
        self.adapter.receive().await.unwrap()
    }

    /// How many messages are in the queue, visible or not.
    pub(crate) async fn remaining(&self) -> u32 {
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let attributes =
            call.attribute_names(QueueAttributeName::All).send().await.unwrap().attributes.unwrap();
        let count = |name| attributes[&name].parse::<u32>().unwrap();
        count(QueueAttributeName::ApproximateNumberOfMessages)
            + count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
    }

    /// The bodies in the dead-letter queue, with how often each message was received before.
    async fn dead_letters(&self) -> Vec<(String, u32)> {
        let count = MessageSystemAttributeName::ApproximateReceiveCount;
        let call = self.client.receive_message().queue_url(&self.dead_url).max_number_of_messages(10);
        let answer = call.message_system_attribute_names(count.clone()).send().await.unwrap();
        let letters = answer.messages().iter().map(|message| {
            let receives: u32 = message.attributes().unwrap()[&count].parse().unwrap();
            (message.body().unwrap().to_owned(), receives - 1)
        });
        letters.collect()
    }
}

fn config(endpoint: &str) -> Config {
    Config {
        region: REGION.parse().unwrap(),
        endpoints: Endpoints::from_endpoints(endpoint),
        session_duration: std::time::Duration::from_hours(1),
        attribution: SessionTagging::Tenant,
        timeouts: Timeouts::default(),
        authorities: None,
        service_principal: Some(ServiceCredentials {
            access_key_id: "AKIASANDBOXHUB".into(),
            secret_access_key: "secret".into(),
        }),
    }
}

/// An embedded AWS that reports to its queue; a received message is hidden for this number of seconds.
async fn start(hidden_seconds: i64) -> (Running, TestQueue) {
    let queue = QueueSeed {
        name: "events".into(),
        region: REGION.into(),
        visibility_timeout: Some(hidden_seconds),
        dead_letter_queue: Some("events-dead".into()),
        max_receive_count: Some(2),
    };
    let running = Sandbox::builder()
        .without_quotas()
        .account(OPERATOR, |account| account.queue(queue))
        .account(ACCOUNT, |account| account.key(REGION, "good", "allow-both"))
        .event_queue(&format!("arn:aws:sqs:{REGION}:{OPERATOR}:events"))
        .build()
        .unwrap()
        .start()
        .await
        .unwrap();
    let queue = TestQueue::connect(&running.endpoint(), OPERATOR).await;
    (running, queue)
}

pub(crate) fn logs(running: &Running) -> aws_sdk_cloudwatchlogs::Client {
    let config = aws_sdk_cloudwatchlogs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .endpoint_url(running.endpoint())
        .credentials_provider(Credentials::new(format!("AKIAADMIN{ACCOUNT}"), "any", None, None, "test"));
    aws_sdk_cloudwatchlogs::Client::from_conf(config.build())
}

/// The event of a new log group.
fn event(id: &str) -> String {
    let detail = json!({
        "userIdentity": { "type": "AWSService", "invokedBy": "rds.amazonaws.com" },
        "eventTime": "2026-01-24T21:14:35Z",
        "eventSource": "logs.amazonaws.com",
        "eventName": "CreateLogGroup",
        "awsRegion": REGION,
        "requestParameters": { "logGroupName": GROUP },
        "eventID": id,
        "recipientAccountId": ACCOUNT,
    });
    envelope(&detail).to_string()
}

fn envelope(detail: &Value) -> Value {
    json!({
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.logs",
        "account": ACCOUNT,
        "region": REGION,
        "detail": detail,
    })
}

fn change(message: &GroupMessage) -> (&LogGroupChange, &Receipt) {
    let GroupMessage::Change { change, receipt, .. } = message else { panic!("{message:?}") };
    (change, receipt)
}

fn unreadable(message: &GroupMessage) -> &UnreadableMessage {
    let GroupMessage::Unreadable(unreadable) = message else { panic!("{message:?}") };
    unreadable
}

fn receipts(messages: &[GroupMessage]) -> Vec<Receipt> {
    let receipts = messages.iter().filter_map(|message| match message {
        GroupMessage::Change { receipt, .. } | GroupMessage::Irrelevant { receipt, .. } => Some(receipt),
        GroupMessage::Unreadable(_) => None,
    });
    receipts.cloned().collect()
}

#[tokio::test]
async fn changes_of_log_groups_are_received_and_deleted() {
    let (running, queue) = start(600).await;
    let (logs, key) = (logs(&running), format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/good"));
    let queries = format!("arn:aws:logs:{REGION}:{ACCOUNT}:query-result:*");
    logs.create_log_group().log_group_name(GROUP).send().await.unwrap();
    logs.associate_kms_key().resource_identifier(&queries).kms_key_id(&key).send().await.unwrap();
    logs.disassociate_kms_key().log_group_name(GROUP).send().await.unwrap();
    logs.create_log_group().log_group_name(GROUP).send().await.unwrap_err();
    let messages = queue.receive().await;
    let (created, _) = change(&messages[0]);
    let group = format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}");
    assert_eq!(created.resource.to_string(), group);
    assert_eq!(created.kind, ChangeKind::Created { key: None });
    assert_eq!(created.actor.name(), format!("arn:aws:iam::{ACCOUNT}:user/admin"));
    let (associated, _) = change(&messages[1]);
    assert_eq!(associated.resource.to_string(), queries);
    assert_eq!(associated.kind, ChangeKind::KeyAssociated { key: key.parse().unwrap() });
    let (disassociated, _) = change(&messages[2]);
    assert_eq!(
        (disassociated.resource.to_string(), &disassociated.kind),
        (group, &ChangeKind::KeyDisassociated)
    );
    let GroupMessage::Irrelevant { reason, .. } = &messages[3] else { panic!("{:?}", messages[3]) };
    assert_eq!(reason.label(), "failed_call");
    assert_eq!(queue.remaining().await, 4, "received, and still in the queue");
    queue.adapter.delete(&receipts(&messages)).await.unwrap();
    assert_eq!(queue.remaining().await, 0);
}

#[tokio::test]
async fn a_message_that_cannot_be_read_goes_to_the_dead_letter_queue() {
    let (_running, queue) = start(0).await;
    unreadable_messages_become_dead_letters(&queue).await;
}

/// With a queue that hides nothing and gives up after two receives.
async fn unreadable_messages_become_dead_letters(queue: &TestQueue) {
    let nameless = envelope(&json!({ "eventSource": "logs.amazonaws.com", "eventName": "CreateLogGroup" }));
    queue.send("not an event").await;
    queue.send(&nameless.to_string()).await;
    for count in 1..=2 {
        let messages = queue.receive().await;
        let reasons: Vec<_> = messages.iter().map(|it| unreadable(it).reason.to_string()).collect();
        assert!(reasons[0].contains("not a JSON object"), "{reasons:?}");
        assert!(reasons[1].contains("detail.eventID is missing"), "{reasons:?}");
        assert!(
            messages.iter().all(|it| unreadable(it).receive_count.unwrap().get() == count),
            "{messages:?}"
        );
        assert_eq!(receipts(&messages), []);
        assert_eq!(queue.dead_letters().await, []);
    }
    queue.send(&event("a")).await;
    let messages = queue.receive().await;
    assert_eq!(messages.len(), 1, "{messages:?}");
    queue.adapter.delete(std::slice::from_ref(change(&messages[0]).1)).await.unwrap();
    assert_eq!(queue.remaining().await, 0);
    let mut dead = queue.dead_letters().await;
    dead.sort();
    assert_eq!(dead, [("not an event".to_owned(), 2), (nameless.to_string(), 2)]);
}

#[tokio::test]
async fn messages_of_one_event_are_one_change() {
    let (_running, queue) = start(600).await;
    messages_of_one_event_become_one_change(&queue).await;
}

async fn messages_of_one_event_become_one_change(queue: &TestQueue) {
    let notification = json!({
        "Type": "Notification",
        "TopicArn": format!("arn:aws:sns:{REGION}:{OPERATOR}:events"),
        "Message": event("a"),
    });
    for body in [event("a"), event("b"), notification.to_string()] {
        queue.send(&body).await;
    }
    let messages = queue.receive().await;
    let ids: Vec<_> = messages.iter().map(|message| &*change(message).0.event_id).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(change(&messages[0]).1.messages(), 2);
    queue.adapter.delete(&receipts(&messages)).await.unwrap();
    assert_eq!(queue.remaining().await, 0);

    queue.send(&event("a")).await;
    let again = queue.receive().await;
    let GroupMessage::Irrelevant { reason, receipt } = &again[0] else { panic!("{again:?}") };
    assert_eq!(*reason, Irrelevance::Duplicate { event_id: "a".into() });
    queue.adapter.delete(std::slice::from_ref(receipt)).await.unwrap();
    assert_eq!(queue.remaining().await, 0);
}

#[tokio::test]
async fn a_change_that_was_not_deleted_comes_again() {
    let (_running, queue) = start(0).await;
    queue.send(&event("a")).await;
    for _ in 0..2 {
        assert_eq!(&*change(&queue.receive().await[0]).0.event_id, "a");
    }
}

#[tokio::test]
async fn more_messages_than_a_batch_holds_are_deleted_together() {
    let (running, queue) = start(600).await;
    for n in 0..25 {
        queue.send(&event(&format!("event-{n}"))).await;
    }
    let mut all = Vec::new();
    while all.len() < 25 {
        all.extend(queue.receive().await);
    }
    queue.adapter.delete(&receipts(&all)).await.unwrap();
    assert_eq!(queue.remaining().await, 0);
    let calls = running.sandbox().journal();
    assert_eq!(calls.iter().filter(|call| call.operation == "DeleteMessageBatch").count(), 3);
    queue.adapter.delete(&[]).await.unwrap();
}

#[tokio::test]
async fn the_policy_in_deploy_lets_the_service_receive_and_delete_only() {
    let (running, queue) = start(600).await;
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/iam/hub-role-policy-events.json");
    let policy = std::fs::read_to_string(path).unwrap().replace("us-east-1", REGION);
    let policy = policy.replace(":logkey-events", ":events");
    let seed = json!({ "accounts": [{ "account_id": OPERATOR, "roles": [{ "name": "LogKeyHub", "policy": policy }] }] });
    running.sandbox().apply(&toml::to_string(&seed).unwrap().parse().unwrap()).unwrap();
    let sdk = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .endpoint_url(running.endpoint())
        .credentials_provider(Credentials::new("AKIASANDBOXHUB", "secret", None, None, "test"));
    let role = format!("arn:aws:iam::{OPERATOR}:role/LogKeyHub");
    let assume =
        aws_sdk_sts::Client::from_conf(sdk.build()).assume_role().role_arn(role).role_session_name("logkey");
    let issued = assume.send().await.unwrap().credentials.unwrap();
    let token = Some(issued.session_token.clone());
    let session = Credentials::new(&issued.access_key_id, &issued.secret_access_key, token, None, "test");
    let role = Client::from_conf(queue.client.config().to_builder().credentials_provider(session).build());

    queue.send(&event("a")).await;
    let received = role.receive_message().queue_url(&queue.url).send().await.unwrap();
    let handle = received.messages()[0].receipt_handle().unwrap();
    let entry = DeleteMessageBatchRequestEntry::builder().id("0").receipt_handle(handle).build().unwrap();
    role.delete_message_batch().queue_url(&queue.url).entries(entry).send().await.unwrap();
    assert_eq!(queue.remaining().await, 0);
    let sent = role.send_message().queue_url(&queue.url).message_body("x").send().await.unwrap_err();
    assert_eq!(sent.into_service_error().code(), Some("AccessDenied"));
    let other = role.receive_message().queue_url(&queue.dead_url).send().await.unwrap_err();
    assert_eq!(other.into_service_error().code(), Some("AccessDenied"));
}
