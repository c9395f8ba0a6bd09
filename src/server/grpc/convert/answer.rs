//! Converts associations, former keys and the caller's tenant to response messages.

use std::time::Duration;

use crate::{
    domain::{
        association::{AssociationState, KeyAssociation, PROPAGATION_DELAY, Source, Target},
        history::{FormerKey, Protection},
        key::KeyHealth,
        principal::Principal,
        tenant::AccountGrant,
        time::Timestamp,
    },
    proto,
    service::{self, Changed, Whoami},
};

pub(in crate::server) fn associate_response(changed: Changed) -> proto::AssociateKmsKeyResponse {
    let Changed { association, event, aws_request_id, warnings } = changed;
    proto::AssociateKmsKeyResponse {
        association: Some(key_association(association)),
        audit_event_id: event.map_or_else(String::new, |event| event.to_string()),
        aws_request_id: aws_request_id.into(),
        warnings: warnings.into_iter().map(warning).collect(),
    }
}

pub(in crate::server) fn disassociate_response(changed: Changed) -> proto::DisassociateKmsKeyResponse {
    let Changed { association, event, aws_request_id, warnings } = changed;
    proto::DisassociateKmsKeyResponse {
        association: Some(key_association(association)),
        audit_event_id: event.map_or_else(String::new, |event| event.to_string()),
        aws_request_id: aws_request_id.into(),
        warnings: warnings.into_iter().map(warning).collect(),
    }
}

pub(in crate::server) fn get_response(association: KeyAssociation) -> proto::GetKeyAssociationResponse {
    let warnings = service::warnings(&association).into_iter().map(warning).collect();
    proto::GetKeyAssociationResponse { association: Some(key_association(association)), warnings }
}

pub(in crate::server) fn key_association(it: KeyAssociation) -> proto::KeyAssociation {
    use proto::key_association::Resource;
    let text = |key: Option<crate::domain::arn::KmsKeyArn>| {
        key.map_or_else(String::new, |key| key.as_str().to_owned())
    };
    proto::KeyAssociation {
        account_id: it.resource.location.account.to_string(),
        region: it.resource.location.region.to_string(),
        resource_arn: it.resource.to_string(),
        resource: Some(match it.resource.target {
            Target::LogGroup(name) => Resource::LogGroupName(name.to_string()),
            Target::QueryResults => Resource::QueryResults(true),
        }),
        kms_key_arn: text(it.key),
        requested_kms_key_id: it.requested_key.map_or_else(String::new, |key| key.to_string()),
        previous_kms_key_arn: text(it.previous_key),
        state: match it.state {
            AssociationState::Settling => proto::State::Settling,
            AssociationState::InForce => proto::State::InForce,
            AssociationState::DefaultEncryption => proto::State::DefaultEncryption,
            AssociationState::Unknown => proto::State::Unknown,
        }
        .into(),
        accept_time: it.accepted.map(time),
        settle_time: it.accepted.map(|accepted| time(accepted.plus(PROPAGATION_DELAY))),
        key_health: health(it.health).into(),
        key_deletion_time: it.key_deletion.map(time),
        log_group_class: it.class.map_or_else(String::new, Into::into),
        retention: it.retention.map(duration),
        source: source(it.source).into(),
        former_keys: it.former.iter().map(former_key).collect(),
    }
}

fn former_key(it: &FormerKey) -> proto::FormerKey {
    let (protection, until) = protection(it.protection);
    proto::FormerKey {
        kms_key_arn: it.key.to_string(),
        first_seen_time: Some(time(it.since)),
        last_seen_time: Some(time(it.observed_at)),
        protection: protection.into(),
        protects_until_time: until,
        key_health: health(it.health).into(),
        key_deletion_time: it.deletion.map(time),
    }
}

pub(super) fn health(health: KeyHealth) -> proto::KeyHealth {
    match health {
        KeyHealth::Usable => proto::KeyHealth::Usable,
        KeyHealth::Disabled => proto::KeyHealth::Disabled,
        KeyHealth::PendingDeletion => proto::KeyHealth::PendingDeletion,
        KeyHealth::NotFound => proto::KeyHealth::NotFound,
        KeyHealth::NotChecked => proto::KeyHealth::NotChecked,
    }
}

pub(super) fn source(source: Source) -> proto::Source {
    match source {
        Source::Live => proto::Source::Live,
        Source::Recorded => proto::Source::Recorded,
    }
}

pub(super) fn protection(it: Protection) -> (proto::Protection, Option<prost_types::Timestamp>) {
    match it {
        Protection::InUse => (proto::Protection::InUse, None),
        Protection::Until(until) => (proto::Protection::Until, Some(time(until))),
        Protection::Forever => (proto::Protection::Forever, None),
        Protection::NotKnown => (proto::Protection::NotKnown, None),
        Protection::Expired => (proto::Protection::Unspecified, None),
    }
}

pub(in crate::server) fn caller(principal: &Principal, view: &Whoami) -> proto::GetCallerResponse {
    let Whoami { tenant, quota } = view;
    let delegation = principal.delegation.as_ref();
    proto::GetCallerResponse {
        tenant_id: tenant.id.to_string(),
        subject: principal.subject.to_string(),
        issuer: principal.issuer.to_string(),
        scopes: principal.scopes.iter().map(str::to_owned).collect(),
        accounts: tenant.accounts.iter().map(|grant| account(grant)).collect(),
        limits: Some(proto::TenantLimits {
            per_second: tenant.limits.per_second.get(),
            burst: tenant.limits.burst.get(),
            max_in_flight: tenant.limits.max_in_flight.get(),
            remaining: quota.remaining,
            in_flight: quota.in_flight,
        }),
        token_expire_time: Some(time(principal.expires)),
        on_behalf_of: delegation.map(|it| it.on_behalf_of.to_string()).unwrap_or_default(),
        actor: delegation.map(|it| it.actor.to_string()).unwrap_or_default(),
    }
}

fn account(grant: &AccountGrant) -> proto::AccountGrant {
    proto::AccountGrant {
        account_id: grant.account.to_string(),
        regions: grant.regions.iter().map(ToString::to_string).collect(),
        log_group_patterns: grant.log_groups.iter().map(ToString::to_string).collect(),
        kms_key_patterns: grant.kms_keys.iter().map(ToString::to_string).collect(),
        query_results_allowed: grant.query_results,
    }
}

fn warning(warning: crate::domain::association::Warning) -> proto::Warning {
    proto::Warning { code: warning.code.into_owned(), message: warning.message }
}

pub(super) fn time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.as_secs(), nanos: at.subsec_nanos() }
}

fn duration(length: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(length.subsec_nanos()).unwrap_or_default(),
    }
}
