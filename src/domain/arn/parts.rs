//! Splits an ARN.

use crate::domain::aws::{AccountId, Partition, Region};

/// The parts of an ARN whose prefix and service match the expected ones.
pub(super) struct Parts<'t> {
    pub(super) partition: Partition,
    pub(super) region: Region,
    pub(super) account: AccountId,
    pub(super) resource: &'t str,
}

// === impl Parts ===

impl<'t> Parts<'t> {
    pub(super) fn of(text: &'t str, service: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        (parts.next()? == "arn").then_some(())?;
        let partition = parts.next()?.parse().ok()?;
        (parts.next()? == service).then_some(())?;
        let region = parts.next()?.parse().ok()?;
        let account = parts.next()?.parse().ok()?;
        Some(Self { partition, region, account, resource: parts.next()? })
    }
}
