//! Converts the requests of `KeyAssociationService`.

use super::fields::{Fields, InvalidField, WireTarget};
use crate::{
    domain::{
        arn::KmsKeyId,
        association::{KeyFilter, LogGroupName, MAX_LOG_GROUP_NAME},
        request::{
            AssociateRequest, CheckRequest, DisassociateRequest, ListRequest, UnresolvedResource,
            UsageRequest,
        },
    },
    proto,
};

/// Converts the `oneof` of a message; prost generates a separate type for each message.
macro_rules! wire_target {
    ($target:expr, $module:ident) => {
        match $target {
            Some(proto::$module::Target::LogGroupName(name)) => WireTarget::Name(name),
            Some(proto::$module::Target::ResourceIdentifier(arn)) => WireTarget::Arn(arn),
            None => WireTarget::Nothing,
        }
    };
}

pub(in crate::server) fn associate(
    wire: proto::AssociateKmsKeyRequest,
) -> Result<AssociateRequest, InvalidField> {
    let mut fields = Fields::default();
    let target = wire_target!(wire.target, associate_kms_key_request);
    let resource = fields.resource(&wire.account_id, &wire.region, target);
    let key = fields.parse::<KmsKeyId>("kms_key_id", &wire.kms_key_id);
    let reason = fields.reason(&wire.reason);
    let request_id = fields.request_id(&wire.request_id);
    let expected = fields.expected_key(wire.expected_kms_key_id.as_deref());
    fields.finish()?;
    let (Some(resource), Some(key)) = (resource, key) else { return Err(InvalidField::missing_request()) };
    Ok(AssociateRequest { resource, key, reason, expected, validate_only: wire.validate_only, request_id })
}

pub(in crate::server) fn disassociate(
    wire: proto::DisassociateKmsKeyRequest,
) -> Result<DisassociateRequest, InvalidField> {
    let mut fields = Fields::default();
    let target = wire_target!(wire.target, disassociate_kms_key_request);
    let resource = fields.resource(&wire.account_id, &wire.region, target);
    let reason = fields.reason(&wire.reason);
    let request_id = fields.request_id(&wire.request_id);
    let expected = fields.expected_key(wire.expected_kms_key_id.as_deref());
    fields.finish()?;
    let Some(resource) = resource else { return Err(InvalidField::missing_request()) };
    Ok(DisassociateRequest { resource, reason, expected, validate_only: wire.validate_only, request_id })
}

pub(in crate::server) fn get(
    wire: proto::GetKeyAssociationRequest,
) -> Result<UnresolvedResource, InvalidField> {
    let mut fields = Fields::default();
    let target = wire_target!(wire.target, get_key_association_request);
    let resource = fields.resource(&wire.account_id, &wire.region, target);
    fields.finish()?;
    resource.ok_or_else(InvalidField::missing_request)
}

pub(in crate::server) fn check(
    wire: proto::CheckKeyAssociationRequest,
) -> Result<CheckRequest, InvalidField> {
    let mut fields = Fields::default();
    let target = wire_target!(wire.target, check_key_association_request);
    let resource = fields.resource(&wire.account_id, &wire.region, target);
    let key = fields.parse::<KmsKeyId>("kms_key_id", &wire.kms_key_id);
    fields.finish()?;
    let (Some(resource), Some(key)) = (resource, key) else { return Err(InvalidField::missing_request()) };
    Ok(CheckRequest { resource, key })
}

pub(in crate::server) fn list(wire: proto::ListKeyAssociationsRequest) -> Result<ListRequest, InvalidField> {
    let mut fields = Fields::default();
    let location = fields.location(&wire.account_id, &wire.region);
    let page_size = fields.page(wire.page_size);
    if !wire.log_group_name_prefix.is_empty() && wire.log_group_name_prefix.parse::<LogGroupName>().is_err() {
        fields.violation(
            "log_group_name_prefix",
            format!(
                "cannot begin the name of a log group: expected at most {MAX_LOG_GROUP_NAME} of the characters A-Z a-z 0-9 . - _ / #"
            ),
        );
    }
    let filter = key_filter(&mut fields, wire.key_filter, &wire.expected_kms_key_id);
    fields.finish()?;
    Ok(ListRequest {
        location,
        page_size,
        unverified_page_token: wire.page_token.into(),
        prefix: wire.log_group_name_prefix.into(),
        filter,
    })
}

/// The filter. Its key is required with the filter that compares with it, and not valid with any other.
fn key_filter(fields: &mut Fields, filter: i32, expected: &str) -> KeyFilter {
    const EXPECTED: &str = "expected_kms_key_id";
    let filter = match proto::KeyFilter::try_from(filter) {
        Ok(proto::KeyFilter::Unspecified | proto::KeyFilter::Any) => KeyFilter::Any,
        Ok(proto::KeyFilter::WithoutKey) => KeyFilter::WithoutKey,
        Ok(proto::KeyFilter::WithKey) => KeyFilter::WithKey,
        Ok(proto::KeyFilter::KeyUnhealthy) => KeyFilter::KeyUnhealthy,
        Ok(proto::KeyFilter::WithOtherKey) => {
            if expected.is_empty() {
                fields.violation(
                    EXPECTED,
                    "is required with KEY_FILTER_WITH_OTHER_KEY: set the key that the log groups must have",
                );
            }
            let key = (!expected.is_empty()).then(|| fields.parse::<KmsKeyId>(EXPECTED, expected)).flatten();
            return key.map_or(KeyFilter::Any, KeyFilter::WithOtherKey);
        }
        Err(_unknown) => {
            fields.violation(
                "key_filter",
                "is not a KeyFilter of this release: use a value from its .proto file",
            );
            KeyFilter::Any
        }
    };
    if !expected.is_empty() {
        fields.violation(
            EXPECTED,
            "is valid only with KEY_FILTER_WITH_OTHER_KEY: omit it, or use that key_filter",
        );
    }
    filter
}

pub(in crate::server) fn usage(wire: proto::GetKeyUsageRequest) -> Result<UsageRequest, InvalidField> {
    let mut fields = Fields::default();
    let key = fields.parse::<KmsKeyId>("kms_key_id", &wire.kms_key_id);
    let location = fields.location(&wire.account_id, &wire.region);
    let page_size = fields.page(wire.page_size);
    fields.finish()?;
    let Some(key) = key else { return Err(InvalidField::missing_request()) };
    Ok(UsageRequest { key, location, page_size, unverified_page_token: wire.page_token.into() })
}

#[cfg(test)]
mod tests;
