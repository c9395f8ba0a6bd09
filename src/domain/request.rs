//! The requests of callers, before the service has resolved their account, Region and key.

use uuid::Uuid;

use super::{
    arn::KmsKeyId,
    association::{Justification, KeyFilter, Target, UnresolvedLocation},
};

/// A target with as much of its location as the caller gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnresolvedResource {
    /// The account and Region, if the caller gave them.
    pub location: UnresolvedLocation,
    /// The log group, or the query results.
    pub target: Target,
}

/// The key that a caller expects the resource to have before the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedKey {
    /// No key: the AWS-owned default.
    Nothing,
    /// This key.
    Key(KmsKeyId),
}

/// A request to set a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociateRequest {
    /// The resource to encrypt.
    pub resource: UnresolvedResource,
    /// The key to set.
    pub key: KmsKeyId,
    /// The caller's reason.
    pub reason: Option<Justification>,
    /// The precondition: the change is made only if the resource has this key. `None` is no precondition.
    pub expected: Option<ExpectedKey>,
    /// Whether to make every check without changing anything.
    pub validate_only: bool,
    /// The idempotency key.
    pub request_id: Option<Uuid>,
}

/// A request to remove a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisassociateRequest {
    /// The resource that returns to AWS's default encryption.
    pub resource: UnresolvedResource,
    /// The caller's reason.
    pub reason: Option<Justification>,
    /// The precondition: the change is made only if the resource has this key. `None` is no precondition.
    pub expected: Option<ExpectedKey>,
    /// Whether to make every check without changing anything.
    pub validate_only: bool,
    /// The idempotency key.
    pub request_id: Option<Uuid>,
}

/// A request to check whether an association would succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRequest {
    /// The resource that would be encrypted.
    pub resource: UnresolvedResource,
    /// The key that would be set.
    pub key: KmsKeyId,
}

/// A request to find the uses of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRequest {
    /// The key to search for.
    pub key: KmsKeyId,
    /// The location to search. Without an account or Region, the service searches wherever the key can be
    /// used.
    pub location: UnresolvedLocation,
    /// The maximum number of results, 1 to 500.
    pub page_size: usize,
    /// The token of the previous page, not yet verified. Empty for the first page.
    pub unverified_page_token: Box<str>,
}

/// A request to list log groups with their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRequest {
    /// The location to list.
    pub location: UnresolvedLocation,
    /// The maximum number of results, 1 to 500.
    pub page_size: usize,
    /// The token of the previous page, not yet verified. Empty for the first page.
    pub unverified_page_token: Box<str>,
    /// The prefix of the names. Empty lists every name.
    pub prefix: Box<str>,
    /// Which log groups to list, by their key.
    pub filter: KeyFilter,
}
