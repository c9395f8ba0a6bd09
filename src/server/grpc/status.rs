//! Maps every failure to a gRPC status; only this folder names codes. Each status carries `ErrorInfo` with
//! a stable reason, and the request id. The underlying cause is logged and recorded, never sent.

mod answer;
mod aws_messages;
mod code;
mod details;
mod documentation;
mod edge_messages;
mod edge_refusal;
mod messages;
mod normalize;
#[cfg(test)]
mod tests;
mod texts;

pub use self::{answer::DOMAIN, texts::StatusTexts};
pub(in crate::server) use self::{
    answer::{from_error, from_refusal, from_tenant_refusal, internal, missing_extension},
    code::code_name,
    documentation::set_documentation_url,
    edge_refusal::EdgeRefusal,
    normalize::normalize,
};
