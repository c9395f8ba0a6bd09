//! What a caller asks for, before it is known which account, Region and key are meant.

use uuid::Uuid;

use super::{
    arn::KmsKeyId,
    association::{Justification, KeyFilter, Target, UnresolvedLocation},
};

/// A target, and as much of its place as the caller said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnresolvedResource {
    /// Where.
    pub location: UnresolvedLocation,
    /// What.
    pub target: Target,
}

/// Which key a caller expects to be in force before its change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedKey {
    /// None: the AWS-owned default.
    Nothing,
    /// This one.
    Key(KmsKeyId),
}

/// Set a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociateRequest {
    /// What to encrypt.
    pub resource: UnresolvedResource,
    /// With which key.
    pub key: KmsKeyId,
    /// Why.
    pub reason: Option<Justification>,
    /// Only where this is in force; none for whatever is.
    pub expected: Option<ExpectedKey>,
    /// Make every check and change nothing.
    pub validate_only: bool,
    /// The id that makes it safe to repeat.
    pub request_id: Option<Uuid>,
}

/// Take a key away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisassociateRequest {
    /// What to set back to the default.
    pub resource: UnresolvedResource,
    /// Why.
    pub reason: Option<Justification>,
    /// Only where this is in force; none for whatever is.
    pub expected: Option<ExpectedKey>,
    /// Make every check and change nothing.
    pub validate_only: bool,
    /// The id that makes it safe to repeat.
    pub request_id: Option<Uuid>,
}

/// Diagnose a would-be association.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRequest {
    /// What would be encrypted.
    pub resource: UnresolvedResource,
    /// With which key.
    pub key: KmsKeyId,
}

/// Tell where a key matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRequest {
    /// Which key.
    pub key: KmsKeyId,
    /// Where to look; what is left away is everywhere that the key can be used.
    pub location: UnresolvedLocation,
    /// How many at most; 1 to 500.
    pub page_size: usize,
    /// The token of the page before, unverified; empty for the first.
    pub unverified_page_token: Box<str>,
}

/// List log groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// Where.
    pub location: UnresolvedLocation,
    /// How many at most; 1 to 500.
    pub page_size: usize,
    /// The token of the page before, unverified; empty for the first.
    pub unverified_page_token: Box<str>,
    /// Only names that begin with this; empty for all.
    pub prefix: Box<str>,
    /// Only those in this state.
    pub filter: KeyFilter,
}
