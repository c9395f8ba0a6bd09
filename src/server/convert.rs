//! Converts request messages to requests of the use cases, and results to response messages.
//!
//! The handlers in `grpc` call it. A request with several invalid fields gives a violation for each of them.

mod answer;
mod audit;
mod check;
mod onboarding;
mod usage;

use std::{fmt::Display, str::FromStr};

use uuid::Uuid;

pub(super) use self::{
    answer::{associate_response, caller, disassociate_response, get_response, key_association},
    audit::{
        checkpoint_response, consistency, consistency_response, inclusion, inclusion_response, list_audit,
        list_audit_response, watch_audit, watch_audit_response,
    },
    check::check_response,
    onboarding::{onboarding, onboarding_response, test_access, test_access_response},
    usage::usage_response,
};
use super::status::EdgeRefusal;
use crate::{
    domain::{
        arn::{KmsKeyId, ResourceArn},
        association::{
            Justification, KeyFilter, LogGroupName, MAX_LOG_GROUP_NAME, Target, UnresolvedLocation,
        },
        aws::Partition,
        request::{
            AssociateRequest, CheckRequest, DisassociateRequest, ExpectedKey, ListRequest,
            UnresolvedResource, UsageRequest,
        },
    },
    proto, service,
};

/// The page size if the caller sets none.
const DEFAULT_PAGE: usize = 50;
/// The largest page.
const MAX_PAGE: usize = 500;
/// The longest page token, in bytes.
const MAX_PAGE_TOKEN: usize = 8192;

/// Why a request message cannot become a request of a use case.
#[derive(Debug)]
pub(super) enum InvalidField {
    /// One or more fields are invalid.
    Fields(EdgeRefusal),
    /// An error that no field of the request causes.
    Feature(service::Error),
}

/// Collects the violations of a request while its fields are parsed.
#[derive(Debug, Default)]
struct Fields {
    violations: Vec<(String, String)>,
}

/// The target of a request message, not yet parsed.
enum WireTarget {
    Name(String),
    Arn(String),
    Nothing,
}

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

pub(super) fn associate(wire: proto::AssociateKmsKeyRequest) -> Result<AssociateRequest, InvalidField> {
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

pub(super) fn disassociate(
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

pub(super) fn get(wire: proto::GetKeyAssociationRequest) -> Result<UnresolvedResource, InvalidField> {
    let mut fields = Fields::default();
    let target = wire_target!(wire.target, get_key_association_request);
    let resource = fields.resource(&wire.account_id, &wire.region, target);
    fields.finish()?;
    resource.ok_or_else(InvalidField::missing_request)
}

pub(super) fn check(wire: proto::CheckKeyAssociationRequest) -> Result<CheckRequest, InvalidField> {
    let mut fields = Fields::default();
    let target = wire_target!(wire.target, check_key_association_request);
    let resource = fields.resource(&wire.account_id, &wire.region, target);
    let key = fields.parse::<KmsKeyId>("kms_key_id", &wire.kms_key_id);
    fields.finish()?;
    let (Some(resource), Some(key)) = (resource, key) else { return Err(InvalidField::missing_request()) };
    Ok(CheckRequest { resource, key })
}

pub(super) fn list(wire: proto::ListKeyAssociationsRequest) -> Result<ListRequest, InvalidField> {
    let mut fields = Fields::default();
    let location = fields.location(&wire.account_id, &wire.region);
    let page_size = fields.page(wire.page_size, &wire.page_token);
    if !wire.log_group_name_prefix.is_empty() && wire.log_group_name_prefix.parse::<LogGroupName>().is_err() {
        fields.violation(
            "log_group_name_prefix",
            format!(
                "cannot begin the name of a log group: expected at most {MAX_LOG_GROUP_NAME} of the characters A-Z a-z 0-9 . - _ / #"
            ),
        );
    }
    let filter = match proto::KeyFilter::try_from(wire.key_filter) {
        Ok(proto::KeyFilter::Unspecified | proto::KeyFilter::Any) => KeyFilter::Any,
        Ok(proto::KeyFilter::WithoutKey) => KeyFilter::WithoutKey,
        Ok(proto::KeyFilter::WithKey) => KeyFilter::WithKey,
        Ok(proto::KeyFilter::KeyUnhealthy) => KeyFilter::KeyUnhealthy,
        Err(_unknown) => {
            fields.violation(
                "key_filter",
                "is not a KeyFilter of this release: use a value from its .proto file",
            );
            KeyFilter::Any
        }
    };
    fields.finish()?;
    Ok(ListRequest {
        location,
        page_size,
        unverified_page_token: wire.page_token.into(),
        prefix: wire.log_group_name_prefix.into(),
        filter,
    })
}

pub(super) fn usage(wire: proto::GetKeyUsageRequest) -> Result<UsageRequest, InvalidField> {
    let mut fields = Fields::default();
    let key = fields.parse::<KmsKeyId>("kms_key_id", &wire.kms_key_id);
    let location = fields.location(&wire.account_id, &wire.region);
    let page_size = fields.page(wire.page_size, &wire.page_token);
    fields.finish()?;
    let Some(key) = key else { return Err(InvalidField::missing_request()) };
    Ok(UsageRequest { key, location, page_size, unverified_page_token: wire.page_token.into() })
}

// === impl InvalidField ===

impl InvalidField {
    /// A field is missing although [`Fields::finish`] found no violation: a defect.
    fn missing_request() -> Self {
        Self::Feature(service::Error::Internal("a field is missing and no violation says so"))
    }
}

// === impl Fields ===

impl Fields {
    fn violation(&mut self, field: &str, problem: impl Display) {
        self.violations.push((field.to_owned(), problem.to_string()));
    }

    fn finish(self) -> Result<(), InvalidField> {
        if self.violations.is_empty() {
            Ok(())
        } else {
            Err(InvalidField::Fields(EdgeRefusal::Body { violations: self.violations }))
        }
    }

    fn parse<T: FromStr<Err: Display>>(&mut self, field: &str, text: &str) -> Option<T> {
        text.parse().map_err(|problem| self.violation(field, DisplayReason(&problem))).ok()
    }

    /// The page size. Adds a violation if the token is too long to be a page token.
    fn page(&mut self, size: i32, token: &str) -> usize {
        if token.len() > MAX_PAGE_TOKEN {
            self.violation(
                "page_token",
                "is not a next_page_token of this service: use the one from the previous response, unchanged",
            );
        }
        match usize::try_from(size) {
            Ok(0) => DEFAULT_PAGE,
            Ok(size) => size.min(MAX_PAGE),
            Err(_negative) => {
                self.violation("page_size", format!("is negative: expected 0 to {MAX_PAGE}"));
                DEFAULT_PAGE
            }
        }
    }

    fn location(&mut self, account: &str, region: &str) -> UnresolvedLocation {
        UnresolvedLocation {
            account: (!account.is_empty()).then(|| self.parse("account_id", account)).flatten(),
            region: (!region.is_empty()).then(|| self.parse("region", region)).flatten(),
        }
    }

    fn resource(&mut self, account: &str, region: &str, target: WireTarget) -> Option<UnresolvedResource> {
        let location = self.location(account, region);
        match target {
            WireTarget::Nothing => {
                self.violation("target", "is required: set log_group_name or resource_identifier");
                None
            }
            WireTarget::Name(name) => {
                let target = Target::LogGroup(self.parse("log_group_name", &name)?);
                Some(UnresolvedResource { location, target })
            }
            WireTarget::Arn(arn) => {
                let arn = self.parse::<ResourceArn>("resource_identifier", &arn)?;
                self.check_consistent(&location, &arn);
                let location = UnresolvedLocation { account: Some(arn.account), region: Some(arn.region) };
                Some(UnresolvedResource { location, target: arn.target })
            }
        }
    }

    /// An ARN and a field that contradict each other make the request ambiguous.
    fn check_consistent(&mut self, target: &UnresolvedLocation, arn: &ResourceArn) {
        if target.account.is_some_and(|account| account != arn.account) {
            self.violation(
                "account_id",
                "differs from the account in resource_identifier: omit it, or use the same account",
            );
        }
        if target.region.as_ref().is_some_and(|region| *region != arn.region) {
            self.violation(
                "region",
                "differs from the Region in resource_identifier: omit it, or use the same Region",
            );
        }
        if arn.partition != Partition::of(&arn.region) {
            let partition = Partition::of(&arn.region);
            self.violation(
                "resource_identifier",
                format!(
                    "has the partition {}, but {} is in the partition {partition}",
                    arn.partition, arn.region
                ),
            );
        }
    }

    fn reason(&mut self, text: &str) -> Option<Justification> {
        (!text.is_empty()).then(|| self.parse("reason", text)).flatten()
    }

    fn request_id(&mut self, text: &str) -> Option<Uuid> {
        let id = Uuid::try_parse(text).ok();
        if id.is_none() && !text.is_empty() {
            self.violation("request_id", "is not a UUID: omit it, or use 8-4-4-4-12 hexadecimal digits");
        }
        id
    }

    fn expected_key(&mut self, text: Option<&str>) -> Option<ExpectedKey> {
        match text? {
            "" => Some(ExpectedKey::Nothing),
            text => self.parse::<KmsKeyId>("expected_kms_key_id", text).map(ExpectedKey::Key),
        }
    }
}

/// Words an error as a predicate, so that it follows the field's name: "not a …" becomes "is not a …".
struct DisplayReason<'e, E>(&'e E);

impl<E: Display> Display for DisplayReason<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_string();
        match text.strip_prefix("not ") {
            Some(rest) => write!(f, "is not {rest}"),
            None => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests;
