//! Reads one message: `EventBridge`'s `AWS API Call via CloudTrail` event, also inside an SNS notification.
//!
//! `EventBridge`'s members: <https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html>.
//! The members of `detail`:
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>.

#[cfg(test)]
mod tests;

use super::body::{Body, printable};
use crate::{
    domain::{
        arn::{KmsKeyId, ResourceArn},
        association::{Location, LogGroupName, Resource, Target},
        aws::{AccountId, Region},
        log_group_change::{Actor, ChangeKind, LogGroupChange},
        time::Timestamp,
    },
    ports::group_events::{Irrelevance, UnreadableEvent},
};

/// The `detail-type` of an event about an API call.
const API_CALL: &str = "AWS API Call via CloudTrail";
/// The `source` of the events of `CloudWatch` Logs.
const SOURCE: &str = "aws.logs";
/// The start of the `eventSource` of `CloudWatch` Logs, before the suffix of the partition.
const EVENT_SOURCE: &str = "logs.amazonaws.com";
/// The maximum length of an event's id; AWS's ids have 36 characters.
const MAX_EVENT_ID: usize = 64;

const LOG_GROUP_NAME: &str = "detail.requestParameters.logGroupName";
const RESOURCE_IDENTIFIER: &str = "detail.requestParameters.resourceIdentifier";
const KMS_KEY_ID: &str = "detail.requestParameters.kmsKeyId";
const RECIPIENT: &str = "detail.recipientAccountId";
const AWS_REGION: &str = "detail.awsRegion";

/// What a readable message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// A change that AWS accepted.
    Change(Box<LogGroupChange>),
    /// An event that needs no action.
    Irrelevant(Irrelevance),
}

/// A call that creates a log group, or changes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ApiCall {
    CreateLogGroup,
    AssociateKmsKey,
    DisassociateKmsKey,
}

// === impl GroupEvent ===

impl GroupEvent {
    /// Reads the body of a message.
    ///
    /// # Errors
    ///
    /// [`UnreadableEvent`] if the message is not an event of `EventBridge`, or if a member that the change needs
    /// is missing or invalid.
    pub fn read(body: &str) -> Result<Self, UnreadableEvent> {
        let event = unwrap_notification(Body::parse(body)?)?;
        let (detail_type, source) = (event.text("detail-type")?, event.text("source")?);
        if detail_type != API_CALL || source != SOURCE {
            return Ok(Self::other(&[source, detail_type]));
        }
        let (event_source, name) = (event.text("detail.eventSource")?, event.text("detail.eventName")?);
        let is_logs = event_source.strip_prefix(EVENT_SOURCE).is_some_and(|rest| matches!(rest, "" | ".cn"));
        let Some(call) = ApiCall::from_name(name).filter(|_| is_logs) else {
            return Ok(Self::other(&[event_source, name]));
        };
        if let Some(code) = event.optional_text("detail.errorCode")?.filter(|code| !code.is_empty()) {
            let (call, error_code) = (printable(name), printable(code));
            return Ok(Self::Irrelevant(Irrelevance::Failed { call, error_code }));
        }
        let location = location(&event)?;
        Ok(Self::Change(Box::new(LogGroupChange {
            event_id: event_id(&event)?,
            request_id: event.note("detail.requestID"),
            time: event.parsed("detail.eventTime", parse_time)?,
            resource: Resource { target: call.target(&event, &location)?, location },
            kind: call.kind(&event)?,
            actor: actor(&event),
        })))
    }

    fn other(name: &[&str]) -> Self {
        Self::Irrelevant(Irrelevance::OtherEvent { name: printable(&name.join(" ")) })
    }
}

// === impl ApiCall ===

impl ApiCall {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "CreateLogGroup" => Some(Self::CreateLogGroup),
            "AssociateKmsKey" => Some(Self::AssociateKmsKey),
            "DisassociateKmsKey" => Some(Self::DisassociateKmsKey),
            _ => None,
        }
    }

    fn kind(self, event: &Body) -> Result<ChangeKind, UnreadableEvent> {
        let key = || event.parsed(KMS_KEY_ID, |text| text.parse::<KmsKeyId>().map_err(|e| e.to_string()));
        Ok(match self {
            Self::CreateLogGroup if event.optional_text(KMS_KEY_ID)?.is_none() => {
                ChangeKind::Created { key: None }
            }
            Self::CreateLogGroup => ChangeKind::Created { key: Some(key()?) },
            Self::AssociateKmsKey => ChangeKind::KeyAssociated { key: key()? },
            Self::DisassociateKmsKey => ChangeKind::KeyDisassociated,
        })
    }

    /// The log group or the query results. `CreateLogGroup` has only a name; the other calls have a name or a
    /// resource identifier.
    fn target(self, event: &Body, location: &Location) -> Result<Target, UnreadableEvent> {
        let identifier = match self {
            Self::CreateLogGroup => None,
            Self::AssociateKmsKey | Self::DisassociateKmsKey => event.optional_text(RESOURCE_IDENTIFIER)?,
        };
        if identifier.is_none() {
            let name = |text: &str| text.parse::<LogGroupName>().map_err(|e| e.to_string());
            return event.parsed(LOG_GROUP_NAME, name).map(Target::LogGroup);
        }
        let arn = event.parsed(RESOURCE_IDENTIFIER, |text| {
            // AWS accepted the call, so the form of policies counts as the log group.
            let text = if text.contains(":log-group:") { text.trim_end_matches(":*") } else { text };
            text.parse::<ResourceArn>().map_err(|error| error.to_string())
        })?;
        if (arn.account, &arn.region) != (location.account, &location.region) {
            return Err(UnreadableEvent::Contradiction {
                member: RESOURCE_IDENTIFIER,
                found: arn.to_string().into(),
                other: "the location of the event",
                expected: format!("{} in {}", location.account, location.region).into(),
            });
        }
        Ok(arn.target)
    }
}

/// The event inside an SNS notification, or the event itself:
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html>.
fn unwrap_notification(body: Body) -> Result<Body, UnreadableEvent> {
    if body.optional_text("TopicArn")?.is_none() {
        return Ok(body);
    }
    match body.text("Type")? {
        "Notification" => Body::parse(body.text("Message")?),
        kind @ ("SubscriptionConfirmation" | "UnsubscribeConfirmation") => {
            Err(UnreadableEvent::Subscription { kind: kind.into(), topic: printable(body.text("TopicArn")?) })
        }
        _ => Err(UnreadableEvent::Value { member: "Type", problem: "is not Notification".into() }),
    }
}

/// The account and Region of the event. `EventBridge` sets them, and an event that a bus of another account
/// forwards keeps them. `CloudTrail` repeats both.
fn location(event: &Body) -> Result<Location, UnreadableEvent> {
    let account = event.parsed("account", |text| text.parse::<AccountId>().map_err(|e| format!("is {e}")))?;
    let region = event.parsed("region", |text| text.parse::<Region>().map_err(|e| format!("is {e}")))?;
    for (member, other, expected) in
        [(RECIPIENT, "account", account.as_str()), (AWS_REGION, "region", region.as_str())]
    {
        if let Some(found) = event.optional_text(member)?.filter(|found| *found != expected) {
            let (found, expected) = (printable(found), expected.into());
            return Err(UnreadableEvent::Contradiction { member, found, other, expected });
        }
    }
    Ok(Location { account, region })
}

/// `CloudTrail`'s id of the event, which stays the same when `EventBridge` delivers the event twice.
fn event_id(event: &Body) -> Result<Box<str>, UnreadableEvent> {
    event.parsed("detail.eventID", |text| {
        let is_valid = (1..=MAX_EVENT_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if is_valid {
            Ok(text.into())
        } else {
            Err(format!("is not 1 to {MAX_EVENT_ID} printable characters"))
        }
    })
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_invalid| "is not a time such as 2026-01-31T12:00:00Z".to_owned())?;
    Ok(Timestamp::from_micros(time.as_microsecond()))
}

/// The members of `userIdentity` differ by its type, so none is required:
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html>.
fn actor(event: &Body) -> Actor {
    Actor {
        identity_type: event.note("detail.userIdentity.type"),
        arn: event.note("detail.userIdentity.arn"),
        principal_id: event.note("detail.userIdentity.principalId"),
        role_arn: event.note("detail.userIdentity.sessionContext.sessionIssuer.arn"),
        source_identity: event.note("detail.userIdentity.sessionContext.sourceIdentity"),
        invoked_by: event.note("detail.userIdentity.invokedBy"),
        source: event.note("detail.sourceIPAddress"),
    }
}
