//! Parses the fields of a request message, and collects a violation for each one that is invalid.

use std::{fmt::Display, str::FromStr};

use uuid::Uuid;

use crate::{
    domain::{
        arn::{KmsKeyId, ResourceArn},
        association::{Justification, Target, UnresolvedLocation},
        aws::Partition,
        nearest::nearest,
        request::{ExpectedKey, UnresolvedResource},
    },
    server::grpc::status::EdgeRefusal,
    service,
};

/// The page size if the caller sets none.
const DEFAULT_PAGE: usize = 50;
/// The largest page.
const MAX_PAGE: usize = 500;

/// How much of an unknown name a message repeats, in characters.
const MAX_QUOTED: usize = 64;

/// Why a request message cannot become a request of a use case.
#[derive(Debug)]
pub(in crate::server) enum InvalidField {
    /// One or more fields are invalid.
    Fields(EdgeRefusal),
    /// An error that no field of the request causes.
    Feature(service::Error),
}

/// Collects the violations of a request while its fields are parsed.
#[derive(Debug, Default)]
pub(super) struct Fields {
    violations: Vec<(String, String)>,
}

/// The target of a request message, not yet parsed.
pub(super) enum WireTarget {
    Name(String),
    Arn(String),
    Nothing,
}

// === impl InvalidField ===

impl InvalidField {
    /// A field is missing although [`Fields::finish`] found no violation: a defect.
    pub(super) fn missing_request() -> Self {
        Self::Feature(service::Error::Internal("a field is missing and no violation says so"))
    }
}

// === impl Fields ===

impl Fields {
    pub(super) fn violation(&mut self, field: &str, problem: impl Display) {
        self.violations.push((field.to_owned(), problem.to_string()));
    }

    pub(super) fn finish(self) -> Result<(), InvalidField> {
        if self.violations.is_empty() {
            Ok(())
        } else {
            Err(InvalidField::Fields(EdgeRefusal::Body { violations: self.violations }))
        }
    }

    pub(super) fn parse<T: FromStr<Err: Display>>(&mut self, field: &str, text: &str) -> Option<T> {
        text.parse().map_err(|problem| self.violation(field, DisplayReason(&problem))).ok()
    }

    /// A text that is one of these names. Any other matches nothing, which reads like "nothing happened".
    pub(super) fn known(&mut self, field: &str, text: &str, names: &[&str]) {
        if names.contains(&text) {
            return;
        }
        let start: String = text.chars().take(MAX_QUOTED).collect();
        let advice = match nearest(&start, names) {
            Some(name) => format!("did you mean {name}? It is one of"),
            None => "expected one of".to_owned(),
        };
        self.violation(field, format!("{start:?} is unknown: {advice} {}", names.join(", ")));
    }

    /// The page size.
    pub(super) fn page(&mut self, size: i32) -> usize {
        match usize::try_from(size) {
            Ok(0) => DEFAULT_PAGE,
            Ok(size) => size.min(MAX_PAGE),
            Err(_negative) => {
                self.violation("page_size", format!("is negative: expected 0 to {MAX_PAGE}"));
                DEFAULT_PAGE
            }
        }
    }

    pub(super) fn location(&mut self, account: &str, region: &str) -> UnresolvedLocation {
        UnresolvedLocation {
            account: (!account.is_empty()).then(|| self.parse("account_id", account)).flatten(),
            region: (!region.is_empty()).then(|| self.parse("region", region)).flatten(),
        }
    }

    pub(super) fn resource(
        &mut self,
        account: &str,
        region: &str,
        target: WireTarget,
    ) -> Option<UnresolvedResource> {
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

    pub(super) fn reason(&mut self, text: &str) -> Option<Justification> {
        (!text.is_empty()).then(|| self.parse("reason", text)).flatten()
    }

    pub(super) fn request_id(&mut self, text: &str) -> Option<Uuid> {
        let id = Uuid::try_parse(text).ok();
        if id.is_none() && !text.is_empty() {
            self.violation("request_id", "is not a UUID: omit it, or use 8-4-4-4-12 hexadecimal digits");
        }
        id
    }

    pub(super) fn expected_key(&mut self, text: Option<&str>) -> Option<ExpectedKey> {
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
