//! The stored JSON of an audit event: an OCSF 1.8.0 *API Activity* with the cloud profile
//! (<https://schema.ocsf.io/1.8.0/classes/api_activity?profiles=cloud>). The audit log writes it; the audit
//! log and the store read it. Fields that no reader uses are skipped when an event is read.

pub(crate) mod finding;
mod paths;

use std::{borrow::Cow, net::IpAddr};

use serde::{Deserialize, Serialize};

pub(crate) use self::paths::pg_json_path;
use crate::domain::time::Timestamp;

/// `type` of the resource that is the key. An event has at most one other resource.
pub(crate) const KEY_RESOURCE: &str = "AWS::KMS::Key";

/// A text that borrows from the event that is written, or from the JSON that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Text<'e>(#[serde(borrow)] pub(crate) Cow<'e, str>);

/// The part of an event that says whose it is.
#[derive(Debug, Deserialize)]
pub(crate) struct EventHead<'e> {
    #[serde(borrow)]
    pub(crate) metadata: Metadata<'e>,
}

/// The part of an event that the store indexes. A verification reads it of every event.
#[derive(Debug, Deserialize)]
pub(crate) struct IndexedEvent<'e> {
    time: i64,
    status_id: u8,
    #[serde(borrow)]
    status_code: Option<Text<'e>>,
    #[serde(borrow)]
    pub(crate) metadata: Metadata<'e>,
    #[serde(borrow)]
    pub(crate) api: Api<'e>,
    #[serde(borrow)]
    pub(crate) cloud: CloudProfile<'e>,
    #[serde(borrow)]
    pub(crate) unmapped: Unmapped<'e>,
}

/// API Activity.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ApiActivity<'e> {
    pub(crate) time: i64,
    #[serde(skip_deserializing)]
    pub(crate) class_uid: u32,
    #[serde(skip_deserializing)]
    pub(crate) class_name: &'static str,
    #[serde(skip_deserializing)]
    pub(crate) category_uid: u8,
    #[serde(skip_deserializing)]
    pub(crate) category_name: &'static str,
    #[serde(skip_deserializing)]
    pub(crate) activity_id: u8,
    #[serde(skip_deserializing)]
    pub(crate) activity_name: &'static str,
    #[serde(skip_deserializing)]
    pub(crate) type_uid: u32,
    #[serde(skip_deserializing)]
    pub(crate) severity_id: u8,
    #[serde(skip_deserializing)]
    pub(crate) severity: &'static str,
    pub(crate) status_id: u8,
    #[serde(skip_deserializing)]
    pub(crate) status: &'static str,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) status_code: Option<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) status_detail: Option<Text<'e>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u32>,
    #[serde(borrow)]
    pub(crate) metadata: Metadata<'e>,
    // A finding has none.
    #[serde(borrow, default)]
    pub(crate) actor: Actor<'e>,
    #[serde(borrow)]
    pub(crate) api: Api<'e>,
    #[serde(skip_deserializing)]
    pub(crate) src_endpoint: Endpoint,
    #[serde(borrow)]
    pub(crate) cloud: CloudProfile<'e>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) resources: Vec<Detail<'e>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) http_request: Option<HttpRequest<'e>>,
    #[serde(borrow)]
    pub(crate) unmapped: Unmapped<'e>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Metadata<'e> {
    #[serde(skip_deserializing)]
    pub(crate) version: &'static str,
    #[serde(borrow)]
    pub(crate) uid: Text<'e>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant_uid: Option<Text<'e>>,
    #[serde(borrow)]
    pub(crate) correlation_uid: Text<'e>,
    #[serde(borrow)]
    pub(crate) event_code: Text<'e>,
    #[serde(skip_deserializing)]
    pub(crate) profiles: [&'static str; 1],
    #[serde(skip_deserializing)]
    pub(crate) product: Product,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Product {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Actor<'e> {
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) app_name: Option<&'static str>,
    /// The program that calls for a person.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) app_uid: Option<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<Uid<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<Session<'e>>,
    #[serde(skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub(crate) authorizations: Vec<Authorization<'e>>,
}

/// A user, or a policy.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Uid<'e> {
    #[serde(borrow)]
    pub(crate) uid: Text<'e>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Session<'e> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<Text<'e>>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Authorization<'e> {
    pub(crate) decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Uid<'e>>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Api<'e> {
    #[serde(borrow)]
    pub(crate) operation: Text<'e>,
    #[serde(skip_deserializing)]
    pub(crate) service: NamedObject,
    #[serde(skip_deserializing)]
    pub(crate) request: Request<'e>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<Response<'e>>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct NamedObject {
    pub(crate) name: &'static str,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Request<'e> {
    pub(crate) uid: &'e str,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Response<'e> {
    pub(crate) code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Text<'e>>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'static str>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct CloudProfile<'e> {
    #[serde(skip_deserializing)]
    pub(crate) provider: &'static str,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<Account<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<Text<'e>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) cloud_partition: Option<&'static str>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Account<'e> {
    #[serde(borrow)]
    pub(crate) uid: Text<'e>,
    #[serde(skip_deserializing)]
    pub(crate) type_id: u8,
    #[serde(skip_deserializing)]
    pub(crate) r#type: &'static str,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Detail<'e> {
    #[serde(borrow)]
    pub(crate) uid: Text<'e>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<Text<'e>>,
    #[serde(borrow)]
    pub(crate) r#type: Text<'e>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct HttpRequest<'e> {
    pub(crate) user_agent: Text<'e>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Unmapped<'e> {
    #[serde(borrow)]
    pub(crate) logkey: LogkeyFields<'e>,
}

/// The fields that OCSF does not define.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct LogkeyFields<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time_us: Option<i64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) closes: Option<Text<'e>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) grpc_code: Option<&'static str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none", rename = "settled")]
    pub(crate) reconciled: Option<Text<'e>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) on_behalf_of: Option<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) requested_key: Option<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) resolved_key: Option<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) previous_key: Option<Text<'e>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) role_arn: Option<Text<'e>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) session_name: Option<Text<'e>>,
    #[serde(skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aws_request_ids: Vec<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<Text<'e>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub(crate) latency_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) archived_last: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) archived_root: Option<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) old_verifier: Option<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) new_verifier: Option<Text<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) old_size: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) old_root: Option<Text<'e>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub(crate) proof: Option<Text<'e>>,
}

// === impl Text ===

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0.into_owned()
    }
}

impl<'e> From<&'e str> for Text<'e> {
    fn from(text: &'e str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl<'e> From<Cow<'e, str>> for Text<'e> {
    fn from(text: Cow<'e, str>) -> Self {
        Self(text)
    }
}

// === impl ApiActivity ===

impl<'e> ApiActivity<'e> {
    /// Parses a stored event.
    pub(crate) fn parse(body: &'e str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(body)
    }

    pub(crate) fn time(&self) -> Timestamp {
        time(self.time, self.unmapped.logkey.time_us)
    }

    /// `OK`, or the reason of a failure. `None` if the operation has not ended.
    pub(crate) fn outcome(&self) -> Option<&str> {
        outcome(self.status_code.as_ref(), self.status_id)
    }
}

// === impl IndexedEvent ===

impl IndexedEvent<'_> {
    pub(crate) fn time(&self) -> Timestamp {
        time(self.time, self.unmapped.logkey.time_us)
    }

    /// `OK`, or the reason of a failure. `None` if the operation has not ended.
    pub(crate) fn outcome(&self) -> Option<&str> {
        outcome(self.status_code.as_ref(), self.status_id)
    }
}

/// The time of an event, which without `time_us` is precise to the millisecond.
fn time(millis: i64, micros: Option<i64>) -> Timestamp {
    Timestamp::from_micros(micros.unwrap_or(millis.saturating_mul(1000)))
}

fn outcome<'t>(status_code: Option<&'t Text<'_>>, status_id: u8) -> Option<&'t str> {
    status_code.map(Text::as_str).or((status_id == 1).then_some("OK"))
}

#[cfg(test)]
mod tests;
