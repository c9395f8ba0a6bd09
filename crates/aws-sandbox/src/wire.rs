//! The wire protocols: parses signed requests and renders responses. `CloudWatch` Logs, KMS, Service Quotas
//! and tags use AWS JSON 1.1; STS and IAM use the query protocol with XML.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod call;
mod scope;
