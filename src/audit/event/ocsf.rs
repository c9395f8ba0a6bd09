//! The classes and objects of OCSF 1.8.0 that an event uses, as structs that only serialize.
//! <https://schema.ocsf.io/1.8.0/classes/api_activity?profiles=cloud>

use std::{borrow::Cow, fmt::Display, net::IpAddr};

use serde::{Serialize, Serializer};

/// `activity_id` of the class.
#[derive(Clone, Copy)]
pub(super) enum Activity {
    Unknown = 0,
    Read = 2,
    Update = 3,
    Delete = 4,
    Other = 99,
}

/// API Activity.
#[derive(Serialize)]
pub(super) struct ApiActivity<'e> {
    pub(super) time: i64,
    pub(super) class_uid: u32,
    pub(super) class_name: &'static str,
    pub(super) category_uid: u8,
    pub(super) category_name: &'static str,
    pub(super) activity_id: u8,
    pub(super) activity_name: &'static str,
    pub(super) type_uid: u32,
    pub(super) severity_id: u8,
    pub(super) severity: &'static str,
    pub(super) status_id: u8,
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status_detail: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) count: Option<u32>,
    pub(super) metadata: Metadata<'e>,
    pub(super) actor: Actor<'e>,
    pub(super) api: Api<'e>,
    pub(super) src_endpoint: Endpoint,
    pub(super) cloud: CloudProfile<'e>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) resources: Vec<Detail<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http_request: Option<HttpRequest<'e>>,
    pub(super) unmapped: Unmapped<'e>,
}

#[derive(Serialize)]
pub(super) struct Metadata<'e> {
    pub(super) version: &'static str,
    pub(super) uid: Sanitized<uuid::fmt::Hyphenated>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tenant_uid: Option<&'e str>,
    pub(super) correlation_uid: &'e str,
    pub(super) event_code: &'static str,
    pub(super) profiles: [&'static str; 1],
    pub(super) product: Product,
}

#[derive(Serialize)]
pub(super) struct Product {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
}

#[derive(Serialize)]
pub(super) struct Actor<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) app_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<Uid<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<Session<'e>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) authorizations: Vec<Authorization<'e>>,
}

/// A user, or a policy.
#[derive(Serialize)]
pub(super) struct Uid<'e> {
    pub(super) uid: Cow<'e, str>,
}

#[derive(Serialize)]
pub(super) struct Session<'e> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<Cow<'e, str>>,
}

#[derive(Serialize)]
pub(super) struct Authorization<'e> {
    pub(super) decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy: Option<Uid<'e>>,
}

#[derive(Serialize)]
pub(super) struct Api<'e> {
    pub(super) operation: &'static str,
    pub(super) service: NamedObject,
    pub(super) request: Request<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<Response<'e>>,
}

#[derive(Serialize)]
pub(super) struct NamedObject {
    pub(super) name: &'static str,
}

#[derive(Serialize)]
pub(super) struct Request<'e> {
    pub(super) uid: &'e str,
}

#[derive(Serialize)]
pub(super) struct Response<'e> {
    pub(super) code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Cow<'e, str>>,
}

#[derive(Serialize)]
pub(super) struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct CloudProfile<'e> {
    pub(super) provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<Account<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cloud_partition: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Account<'e> {
    pub(super) uid: &'e str,
    pub(super) type_id: u8,
    pub(super) r#type: &'static str,
}

#[derive(Serialize)]
pub(super) struct Detail<'e> {
    pub(super) uid: Sanitized<&'e dyn Display>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<&'e str>,
    pub(super) r#type: &'static str,
}

#[derive(Serialize)]
pub(super) struct HttpRequest<'e> {
    pub(super) user_agent: Cow<'e, str>,
}

#[derive(Serialize)]
pub(super) struct Unmapped<'e> {
    pub(super) logkey: LogkeyFields<'e>,
}

/// The fields that OCSF does not define.
#[derive(Serialize)]
pub(super) struct LogkeyFields<'e> {
    pub(super) time_us: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) closes: Option<Sanitized<uuid::fmt::Hyphenated>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) grpc_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "settled")]
    pub(super) reconciled: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) requested_key: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resolved_key: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_key: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role_arn: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_name: Option<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) aws_request_ids: Vec<Cow<'e, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) archived_last: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) archived_root: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) old_verifier: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) new_verifier: Option<&'e str>,
}

/// A value whose `Display` is short and printable, so that it needs no sanitizing.
pub(super) struct Sanitized<T>(pub(super) T);

// === impl Sanitized ===

impl<T: Display> Serialize for Sanitized<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
