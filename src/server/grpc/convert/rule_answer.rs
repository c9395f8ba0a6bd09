//! Converts rules to response messages.

use super::{
    answer::time,
    selection::{failure, key_choice, selection},
};
use crate::{
    domain::fleet::{
        EncryptionRule, Exemption, RuleEvaluation, RuleMode, RuleOrigin, RuleState, UnreadableLocation,
    },
    proto,
    service::{RulePage, RuleView},
};

pub(in crate::server) fn rule(view: RuleView) -> proto::EncryptionRule {
    let RuleView { rule, changed, next_evaluation } = view;
    let etag = rule.etag();
    let EncryptionRule { id, definition, origin, creator, created, updated, status } = rule;
    proto::EncryptionRule {
        id: id.to_string(),
        display_name: definition.display_name.into(),
        selection: Some(selection(&definition.selection)),
        key: Some(key_choice(&definition.key)),
        mode: match definition.mode {
            RuleMode::Report => proto::RuleMode::Report,
            RuleMode::Enforce => proto::RuleMode::Enforce,
        }
        .into(),
        priority: definition.priority,
        exemptions: definition.exemptions.into_iter().map(exemption).collect(),
        max_changes: Some(definition.max_changes),
        state: match status.state {
            RuleState::Active => proto::RuleState::Active,
            RuleState::Paused => proto::RuleState::Paused,
            RuleState::Disabled => proto::RuleState::Disabled,
        }
        .into(),
        last_evaluation: status.evaluation.map(|it| evaluation(it, changed)),
        origin: match origin {
            RuleOrigin::Api => proto::RuleOrigin::Api,
            RuleOrigin::Configuration => proto::RuleOrigin::Configuration,
        }
        .into(),
        etag,
        tenant_id: creator.tenant.to_string(),
        subject: creator.subject.into(),
        create_time: created.map(time),
        update_time: updated.map(time),
        pause_reason: status.pause_reason.map(Into::into).unwrap_or_default(),
        next_evaluation_time: next_evaluation.map(time),
    }
}

pub(in crate::server) fn rules(page: RulePage) -> proto::ListEncryptionRulesResponse {
    proto::ListEncryptionRulesResponse {
        encryption_rules: page.rules.into_iter().map(rule).collect(),
        next_page_token: page.next_page_token.into(),
    }
}

fn exemption(it: Exemption) -> proto::RuleExemption {
    proto::RuleExemption {
        pattern: it.pattern.to_string(),
        reason: it.reason.into(),
        expire_time: it.expires.map(time),
    }
}

fn evaluation(it: RuleEvaluation, changed: u64) -> proto::RuleEvaluation {
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    proto::RuleEvaluation {
        start_time: it.started.map(time),
        end_time: it.ended.map(time),
        groups: count(it.groups),
        compliant: count(it.compliant),
        to_change: count(it.to_change),
        changed: count(changed),
        findings: count(it.findings),
        bulk_association_id: it.job.map(|job| job.to_string()).unwrap_or_default(),
        error: it.failure.map(failure),
        unreadable_locations: it.unreadable.into_iter().map(unreadable).collect(),
    }
}

fn unreadable(it: UnreadableLocation) -> proto::CoverageLocation {
    proto::CoverageLocation {
        account_id: it.account.to_string(),
        region: it.region.to_string(),
        known_as_of: it.known_as_of.map(time),
        error: Some(failure(it.failure)),
    }
}
