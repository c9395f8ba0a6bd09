//! Turns the messages of one response into events. Messages that carry the same event become one.

use std::num::NonZeroU32;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};

use super::{body::printable, event::GroupEvent};
use crate::{
    domain::{recent_ids::RecentIds, time::Timestamp},
    ports::group_events::{GroupMessage, Irrelevance, Receipt, UnreadableEvent, UnreadableMessage},
};

/// Reads the messages in their order.
pub(super) fn read_messages(messages: &[Message], deleted: &RecentIds) -> Vec<GroupMessage> {
    let mut batch = Vec::with_capacity(messages.len());
    for message in messages {
        if let Some(read) = read_message(message, deleted, &mut batch) {
            batch.push(read);
        }
    }
    batch
}

/// Reads one message. `None` if `batch` already contains its event; the receipt of that event then covers the
/// message too.
fn read_message(message: &Message, deleted: &RecentIds, batch: &mut [GroupMessage]) -> Option<GroupMessage> {
    // SQS returns a handle and a body with every message.
    let Some(handle) = message.receipt_handle() else {
        return Some(unreadable(message, UnreadableEvent::Missing { member: "ReceiptHandle" }));
    };
    let receipt = |event_id| Receipt { handles: vec![handle.into()], event_id };
    Some(match GroupEvent::read(message.body().unwrap_or_default()) {
        Err(reason) => unreadable(message, reason),
        Ok(GroupEvent::Irrelevant(reason)) => GroupMessage::Irrelevant { reason, receipt: receipt(None) },
        Ok(GroupEvent::Change(change)) if deleted.contains(&change.event_id) => GroupMessage::Irrelevant {
            reason: Irrelevance::Duplicate { event_id: change.event_id.clone() },
            receipt: receipt(None),
        },
        Ok(GroupEvent::Change(change)) => {
            let same = |other: &&mut Receipt| other.event_id.as_ref() == Some(&change.event_id);
            if let Some(first) = batch.iter_mut().filter_map(receipt_of_change).find(same) {
                first.handles.push(handle.into());
                return None;
            }
            let sent = attribute(message, &MessageSystemAttributeName::SentTimestamp);
            GroupMessage::Change {
                receipt: receipt(Some(change.event_id.clone())),
                change,
                sent: sent.and_then(|millis: i64| Some(Timestamp::from_micros(millis.checked_mul(1_000)?))),
            }
        }
    })
}

fn receipt_of_change(message: &mut GroupMessage) -> Option<&mut Receipt> {
    match message {
        GroupMessage::Change { receipt, .. } => Some(receipt),
        GroupMessage::Irrelevant { .. } | GroupMessage::Unreadable(_) => None,
    }
}

fn unreadable(message: &Message, reason: UnreadableEvent) -> GroupMessage {
    GroupMessage::Unreadable(UnreadableMessage {
        message_id: printable(message.message_id().unwrap_or_default()),
        receive_count: attribute::<NonZeroU32>(message, &MessageSystemAttributeName::ApproximateReceiveCount),
        reason,
    })
}

fn attribute<T: std::str::FromStr>(message: &Message, name: &MessageSystemAttributeName) -> Option<T> {
    message.attributes()?.get(name)?.parse().ok()
}
