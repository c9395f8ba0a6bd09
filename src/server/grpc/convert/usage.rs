//! Converts the uses of a key to the response of `GetKeyUsage`.

use super::answer::{health, protection, source, time};
use crate::{
    domain::{association::Target, history::KeyUse},
    proto,
    service::{Usage, Verdict},
};

pub(in crate::server) fn usage_response(usage: Usage) -> proto::GetKeyUsageResponse {
    proto::GetKeyUsageResponse {
        uses: usage.uses.into_iter().map(key_use).collect(),
        next_page_token: usage.next_page_token.into(),
        verdict: match usage.verdict {
            Verdict::InUse => proto::DeletionVerdict::InUse,
            Verdict::StillProtectsData => proto::DeletionVerdict::StillProtectsData,
            Verdict::NoKnownUse => proto::DeletionVerdict::NoKnownUse,
            Verdict::Incomplete => proto::DeletionVerdict::Incomplete,
        }
        .into(),
        safe_after: usage.safe_after.map(time),
        known_as_of: usage.known_as_of.map(time),
        coverage: usage.coverage,
        key_health: health(usage.health).into(),
        key_deletion_time: usage.deletion.map(time),
        kms_key_arn: usage.key.to_string(),
    }
}

fn key_use(it: KeyUse) -> proto::KeyUse {
    use proto::key_use::Resource;
    let (protection, protects_until_time) = protection(it.protection);
    proto::KeyUse {
        account_id: it.resource.location.account.to_string(),
        region: it.resource.location.region.to_string(),
        resource_arn: it.resource.to_string(),
        resource: Some(match it.resource.target {
            Target::LogGroup(name) => Resource::LogGroupName(name.to_string()),
            Target::QueryResults => Resource::QueryResults(true),
        }),
        in_use: protection == proto::Protection::InUse,
        first_seen_time: Some(time(it.since)),
        last_seen_time: Some(time(it.observed_at)),
        protects_until_time,
        source: source(it.source).into(),
        protection: protection.into(),
    }
}
