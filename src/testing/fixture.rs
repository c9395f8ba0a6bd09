//! A tenant, a caller and a call for tests.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::domain::{
    call::{Action, Call, CallSummary, RequestId},
    principal::{PolicyClaims, Principal},
    tenant::{AccountGrant, Limits, Tenant},
    time::Timestamp,
};

/// The tenant's account.
pub const ACCOUNT: &str = "111122223333";
/// The tenant's Region.
pub const REGION: &str = "eu-west-1";
/// A key that the tenant may use.
pub const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
/// Another key that the tenant may use.
pub const OTHER_KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/ffffabcd-12ab-34cd-56ef-1234567890ab";

/// A tenant with a grant for `/app/*` and query results in [`ACCOUNT`] and [`REGION`].
///
/// # Panics
///
/// If `id` is not a tenant id.
#[must_use]
pub fn tenant(id: &str) -> Tenant {
    let limit = NonZeroU32::new(100).unwrap();
    Tenant {
        id: id.parse().unwrap(),
        issuers: vec!["https://issuer.test".into()],
        claim_values: vec![id.into()],
        suspended: false,
        limits: Limits { per_second: limit, burst: limit, max_in_flight: limit },
        accounts: vec![Arc::new(AccountGrant {
            account: ACCOUNT.parse().unwrap(),
            role: format!("arn:aws:iam::{ACCOUNT}:role/LogKey").parse().unwrap(),
            external_id: "external-id".parse().unwrap(),
            regions: [REGION.parse().unwrap()].into(),
            log_groups: vec!["/app/*".parse().unwrap()],
            kms_keys: vec![format!("arn:aws:kms:*:{ACCOUNT}:key/*").parse().unwrap()],
            query_results: true,
            verify_query_results: false,
        })],
        rules: Vec::new(),
    }
}

/// A caller of the tenant with these scopes.
///
/// # Panics
///
/// If `tenant` is not a tenant id.
#[must_use]
pub fn principal(tenant: &str, scopes: &[&str]) -> Principal {
    Principal {
        tenant: tenant.parse().unwrap(),
        subject: "someone".into(),
        issuer: "https://issuer.test".into(),
        scopes: scopes.iter().copied().collect(),
        claims: PolicyClaims::default(),
        token_id: "jti-1".into(),
        expires: Timestamp::from_secs(4_000_000_000),
        delegation: None,
    }
}

/// A call that arrived just now, with a deadline after `timeout`.
#[must_use]
pub fn call(action: Action, timeout: Duration) -> Call {
    let received: Instant = tokio::time::Instant::now().into_std();
    Call {
        request_id: RequestId::new_v7(),
        action,
        source: None,
        unverified_user_agent: None,
        summary: CallSummary::default(),
        received,
        deadline: received + timeout,
    }
}
