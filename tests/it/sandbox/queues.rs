//! SQS: visibility, long polling, dead-letter queues, and the events of log groups.

use std::collections::HashMap;

use aws_sdk_sqs::{
    Client,
    types::{
        DeleteMessageBatchRequestEntry, DeleteMessageBatchResultEntry, Message, MessageSystemAttributeName,
        QueueAttributeName,
    },
};
use logkey::sandbox::seed::QueueSeed;
use serde_json::{Value, json};

use super::*;

const OPERATOR: &str = "999999999999";

async fn start() -> Running {
    let queue = QueueSeed {
        name: "events".into(),
        region: REGION.into(),
        dead_letter_queue: Some("events-dead".into()),
        max_receive_count: Some(2),
        ..QueueSeed::default()
    };
    let sandbox = two_accounts().account(OPERATOR, |account| account.queue(queue));
    let sandbox = sandbox.event_queue(&format!("arn:aws:sqs:{REGION}:{OPERATOR}:events"));
    sandbox.build().unwrap().start().await.unwrap()
}

fn sqs(running: &Running) -> Client {
    client!(aws_sdk_sqs, running, service_principal())
}

async fn url(sqs: &Client, name: &str) -> String {
    sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap()
}

/// Receives at most ten messages, hidden for a number of seconds, and waits at most as long as SQS allows.
async fn receive(sqs: &Client, url: &str, hidden: i32, wait: i32) -> Vec<Message> {
    let call = sqs.receive_message().queue_url(url).max_number_of_messages(10);
    let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
    let answer = call.visibility_timeout(hidden).wait_time_seconds(wait).send().await.unwrap();
    answer.messages.unwrap_or_default()
}

async fn send(sqs: &Client, url: &str, body: &str) -> String {
    sqs.send_message().queue_url(url).message_body(body).send().await.unwrap().message_id.unwrap()
}

fn receives(message: &Message) -> &str {
    &message.attributes().unwrap()[&MessageSystemAttributeName::ApproximateReceiveCount]
}

#[tokio::test]
async fn a_received_message_is_hidden_until_it_is_deleted_or_times_out() {
    let running = start().await;
    let sqs = sqs(&running);
    let url = url(&sqs, "events-dead").await;
    let id = send(&sqs, &url, "one").await;
    let first = receive(&sqs, &url, 600, 0).await;
    assert_eq!((first[0].message_id(), first[0].body()), (Some(&*id), Some("one")));
    assert_eq!(first[0].md5_of_body(), Some("f97c5d29941bfb1b2fdab0874906ab82"));
    assert_eq!(receives(&first[0]), "1");
    assert_eq!(receive(&sqs, &url, 600, 0).await, [], "hidden");

    let handle = first[0].receipt_handle().unwrap();
    let call = sqs.change_message_visibility().queue_url(&url).receipt_handle(handle);
    call.clone().visibility_timeout(0).send().await.unwrap();
    let second = receive(&sqs, &url, 600, 0).await;
    assert_eq!(receives(&second[0]), "2");
    let stale = call.visibility_timeout(0).send().await;
    assert_eq!(error_text(stale).0, "ReceiptHandleIsInvalid", "a newer handle replaces it");

    let handle = second[0].receipt_handle().unwrap();
    for _ in 0..2 {
        sqs.delete_message().queue_url(&url).receipt_handle(handle).send().await.unwrap();
    }
    let counts = sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All);
    let counts = counts.send().await.unwrap().attributes.unwrap();
    assert_eq!(counts[&QueueAttributeName::ApproximateNumberOfMessages], "0");
    assert_eq!(counts[&QueueAttributeName::ApproximateNumberOfMessagesNotVisible], "0");
    assert_eq!(counts[&QueueAttributeName::QueueArn], format!("arn:aws:sqs:{REGION}:{OPERATOR}:events-dead"));
}

#[tokio::test]
async fn a_long_poll_returns_as_soon_as_a_message_arrives() {
    let running = start().await;
    let sqs = sqs(&running);
    let (url, idle) = (url(&sqs, "events").await, url(&sqs, "events-dead").await);
    let calls = || running.sandbox().journal().into_iter().filter(|call| call.operation == "ReceiveMessage");
    let poll = async {
        let (received, _) = tokio::join!(receive(&sqs, &url, 600, 20), async {
            while calls().count() < 2 {
                tokio::task::yield_now().await;
            }
            send(&sqs, &url, "one").await
        });
        received.len()
    };
    tokio::select! {
        _ = receive(&sqs, &idle, 600, 20) => panic!("the poll of the empty queue ended first"),
        received = poll => assert_eq!(received, 1),
    }
}

#[tokio::test]
async fn a_message_that_is_received_too_often_moves_to_the_dead_letter_queue() {
    let running = start().await;
    let sqs = sqs(&running);
    let (url, dead) = (url(&sqs, "events").await, url(&sqs, "events-dead").await);
    send(&sqs, &url, "poison").await;
    for count in ["1", "2"] {
        let received = receive(&sqs, &url, 0, 0).await;
        assert_eq!(receives(&received[0]), count);
        assert_eq!(receive(&sqs, &dead, 0, 0).await, []);
    }
    assert_eq!(receive(&sqs, &url, 0, 0).await, []);
    assert_eq!(receive(&sqs, &dead, 0, 0).await[0].body(), Some("poison"));
}

#[tokio::test]
async fn a_batch_deletes_what_it_can_and_names_the_rest() {
    let running = start().await;
    let sqs = sqs(&running);
    let url = url(&sqs, "events").await;
    send(&sqs, &url, "one").await;
    let received = receive(&sqs, &url, 600, 0).await;
    let entry = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().unwrap()
    };
    let entries = vec![entry("a", received[0].receipt_handle().unwrap()), entry("b", "wrong")];
    let batch = sqs.delete_message_batch().queue_url(&url);
    let answer = batch.clone().set_entries(Some(entries)).send().await.unwrap();
    assert_eq!(answer.successful().iter().map(DeleteMessageBatchResultEntry::id).collect::<Vec<_>>(), ["a"]);
    assert_eq!((answer.failed()[0].id(), answer.failed()[0].code()), ("b", "ReceiptHandleIsInvalid"));
    let same = vec![entry("a", "x"), entry("a", "y")];
    let refused = batch.set_entries(Some(same)).send().await;
    assert_eq!(error_text(refused).0, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct");
}

#[tokio::test]
async fn a_queue_is_created_with_its_attributes() {
    let running = start().await;
    let sqs = sqs(&running);
    let redrive = json!({ "deadLetterTargetArn": format!("arn:aws:sqs:{REGION}:{OPERATOR}:events-dead"), "maxReceiveCount": "5" });
    let create = |attributes: &[(QueueAttributeName, &str)]| {
        let attributes = attributes.iter().map(|(name, value)| (name.clone(), (*value).to_owned()));
        sqs.create_queue()
            .queue_name("made")
            .set_attributes(Some(attributes.collect::<HashMap<_, _>>()))
            .send()
    };
    let visibility = (QueueAttributeName::VisibilityTimeout, "7");
    let first =
        create(&[visibility.clone(), (QueueAttributeName::RedrivePolicy, &redrive.to_string())]).await;
    let url = first.unwrap().queue_url.unwrap();
    assert_eq!(url, format!("{}/{OPERATOR}/made", running.endpoint()));
    let attributes =
        sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::RedrivePolicy);
    let attributes = attributes.send().await.unwrap().attributes.unwrap();
    assert!(
        attributes[&QueueAttributeName::RedrivePolicy].contains("\"maxReceiveCount\":5"),
        "{attributes:?}"
    );
    assert_eq!(error_text(create(&[visibility]).await).0, "QueueAlreadyExists");
    let wrong = create(&[(QueueAttributeName::VisibilityTimeout, "43201")]).await;
    assert_eq!(error_text(wrong).0, "InvalidAttributeValue");
}

#[tokio::test]
async fn a_queue_is_used_only_by_its_account() {
    let running = start().await;
    let sqs = sqs(&running);
    let url = url(&sqs, "events").await;
    let other = client!(aws_sdk_sqs, running, admin(ACCOUNT));
    assert_eq!(error_text(other.receive_message().queue_url(&url).send().await).0, "AccessDenied");
    let missing = url.replace("/events", "/none");
    let refused = sqs.receive_message().queue_url(missing).send().await;
    assert_eq!(error_text(refused).0, "AWS.SimpleQueueService.NonExistentQueue");
    let nowhere = sqs.get_queue_url().queue_name("none").send().await;
    assert_eq!(error_text(nowhere).0, "AWS.SimpleQueueService.NonExistentQueue");
}

#[tokio::test]
async fn each_change_of_a_log_group_becomes_an_event() {
    let running = start().await;
    let logs = logs(&running).await;
    let (new, good) = ("/payments/new", key("good"));
    logs.create_log_group().log_group_name(new).send().await.unwrap();
    logs.associate_kms_key().log_group_name(new).kms_key_id(&good).send().await.unwrap();
    logs.disassociate_kms_key().log_group_name(new).send().await.unwrap();
    logs.create_log_group().log_group_name(new).send().await.unwrap_err();
    logs.describe_log_groups().send().await.unwrap();
    let admin = client!(aws_sdk_cloudwatchlogs, running, admin(OTHER));
    admin.create_log_group().log_group_name("/other").send().await.unwrap();

    let sqs = sqs(&running);
    let received = receive(&sqs, &url(&sqs, "events").await, 600, 0).await;
    let events: Vec<Value> =
        received.iter().map(|message| serde_json::from_str(message.body().unwrap()).unwrap()).collect();
    let names: Vec<_> = events.iter().map(|event| event["detail"]["eventName"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["CreateLogGroup", "AssociateKmsKey", "DisassociateKmsKey", "CreateLogGroup", "CreateLogGroup"]
    );
    assert_eq!(events[1]["detail"]["requestParameters"], json!({ "logGroupName": new, "kmsKeyId": good }));
    assert_eq!(events[3]["detail"]["errorCode"], "ResourceAlreadyExistsException");
    let user = &events[0]["detail"]["userIdentity"];
    assert_eq!(user["sessionContext"]["sessionIssuer"]["arn"], ROLE);
    assert_eq!((&events[0]["account"], &events[4]["account"]), (&json!(ACCOUNT), &json!(OTHER)));
    let creator = &events[4]["detail"]["userIdentity"];
    assert_eq!(creator["arn"], format!("arn:aws:iam::{OTHER}:user/admin"));
    let call =
        running.sandbox().journal().into_iter().find(|call| call.operation == "CreateLogGroup").unwrap();
    assert_eq!(events[0]["detail"]["requestID"], call.request_id);
}
