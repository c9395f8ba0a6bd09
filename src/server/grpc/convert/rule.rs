//! Converts the requests of `EncryptionRuleService`.

use super::fields::{Fields, InvalidField};
use crate::{
    domain::{
        association::MAX_REASON,
        fleet::{
            CurrentKey, DEFAULT_MAX_CHANGES, Exemption, MAX_DISPLAY_NAME, RuleDefinition, RuleId, RuleMode,
            RuleState, Selection,
        },
        pattern::Pattern,
        tenant::TenantId,
    },
    proto,
    service::{CreateRule, EvaluateRule, RulePatch, RuleQuery},
};

/// The maximum number of exemptions of a rule.
const MAX_EXEMPTIONS: usize = 1_000;
/// The fields that an update can change.
const CHANGEABLE: [&str; 8] =
    ["display_name", "selection", "key", "mode", "priority", "exemptions", "max_changes", "state"];

/// A request to read a rule.
pub(in crate::server) struct RuleRequest {
    pub(in crate::server) id: RuleId,
    pub(in crate::server) tenant: Option<TenantId>,
}

pub(in crate::server) fn create(
    wire: proto::CreateEncryptionRuleRequest,
) -> Result<CreateRule, InvalidField> {
    let mut fields = Fields::default();
    let Some(rule) = wire.encryption_rule else {
        fields.violation("encryption_rule", "is required: it describes the rule");
        fields.finish()?;
        return Err(InvalidField::missing_request());
    };
    fields.no_service_fields(&rule);
    let request_id = fields.request_id(&wire.request_id);
    if rule.selection.is_none() {
        fields.violation("selection", "is required: an empty selection selects every log group");
    }
    if rule.key.is_none() {
        fields.violation("key", "is required: it is the key that the log groups must have");
    }
    let mode = fields.mode(rule.mode);
    let state = fields.state(rule.state).unwrap_or(RuleState::Active);
    let display_name = fields.display_name(&rule.display_name);
    let selection = fields.rule_selection(&rule.selection.unwrap_or_default());
    let key = rule.key.as_ref().and_then(|key| fields.key_choice(key));
    let exemptions = fields.exemptions(rule.exemptions);
    fields.finish()?;
    let (Some(mode), Some(key)) = (mode, key) else { return Err(InvalidField::missing_request()) };
    let definition = RuleDefinition {
        display_name,
        selection,
        key,
        mode,
        priority: rule.priority,
        exemptions,
        max_changes: rule.max_changes.unwrap_or(DEFAULT_MAX_CHANGES),
    };
    Ok(CreateRule { definition, state, request_id })
}

pub(in crate::server) fn update(wire: proto::UpdateEncryptionRuleRequest) -> Result<RulePatch, InvalidField> {
    let mut fields = Fields::default();
    let Some(rule) = wire.encryption_rule else {
        fields.violation("encryption_rule", "is required: it names the rule and its new values");
        fields.finish()?;
        return Err(InvalidField::missing_request());
    };
    let id = fields.rule_id(&rule.id);
    let paths = wire.update_mask.map(|mask| mask.paths).unwrap_or_default();
    let is_masked = !paths.is_empty();
    for path in &paths {
        if !CHANGEABLE.contains(&path.as_str()) {
            let all = CHANGEABLE.join(", ");
            fields.violation("update_mask", format!("contains a path that cannot be changed: use {all}"));
        }
    }
    // Without a mask, every field that is set is changed.
    let changes =
        |field: &str, is_set: bool| if is_masked { paths.iter().any(|it| it == field) } else { is_set };
    let display_name = changes("display_name", !rule.display_name.is_empty())
        .then(|| fields.display_name(&rule.display_name));
    let mode = changes("mode", rule.mode != 0).then(|| fields.mode(rule.mode)).flatten();
    let priority = changes("priority", rule.priority != 0).then_some(rule.priority);
    let max_changes = changes("max_changes", rule.max_changes.is_some())
        .then(|| rule.max_changes.unwrap_or(DEFAULT_MAX_CHANGES));
    let state = changes("state", rule.state != 0).then(|| fields.state(rule.state)).flatten();
    let selection = changes("selection", rule.selection.is_some())
        .then(|| fields.rule_selection(&rule.selection.unwrap_or_default()));
    let changes_key = changes("key", rule.key.is_some());
    let key = changes_key.then(|| fields.key_choice(&rule.key.unwrap_or_default())).flatten();
    let exemptions =
        changes("exemptions", !rule.exemptions.is_empty()).then(|| fields.exemptions(rule.exemptions));
    fields.finish()?;
    let id = id.ok_or_else(InvalidField::missing_request)?;
    let etag = rule.etag.into();
    Ok(RulePatch { id, etag, display_name, selection, key, mode, priority, exemptions, max_changes, state })
}

pub(in crate::server) fn rule(wire: &proto::GetEncryptionRuleRequest) -> Result<RuleRequest, InvalidField> {
    let mut fields = Fields::default();
    let id = fields.rule_id(&wire.id);
    let tenant = fields.tenant(&wire.tenant_id);
    fields.finish()?;
    Ok(RuleRequest { id: id.ok_or_else(InvalidField::missing_request)?, tenant })
}

pub(in crate::server) fn rule_id(id: &str) -> Result<RuleId, InvalidField> {
    let mut fields = Fields::default();
    let id = fields.rule_id(id);
    fields.finish()?;
    id.ok_or_else(InvalidField::missing_request)
}

pub(in crate::server) fn evaluate(
    wire: &proto::EvaluateEncryptionRuleRequest,
) -> Result<EvaluateRule, InvalidField> {
    Ok(EvaluateRule { id: rule_id(&wire.id)?, max_changes: wire.max_changes })
}

pub(in crate::server) fn list(wire: proto::ListEncryptionRulesRequest) -> Result<RuleQuery, InvalidField> {
    let mut fields = Fields::default();
    let page_size = fields.page(wire.page_size);
    let tenant = fields.tenant(&wire.tenant_id);
    let mut states = Vec::with_capacity(wire.states.len().min(RuleState::ALL.len()));
    for state in wire.states {
        match proto::RuleState::try_from(state) {
            Ok(proto::RuleState::Active) => states.push(RuleState::Active),
            Ok(proto::RuleState::Paused) => states.push(RuleState::Paused),
            Ok(proto::RuleState::Disabled) => states.push(RuleState::Disabled),
            Ok(proto::RuleState::Unspecified) | Err(_) => {
                fields.violation("states", "contains a value that is not a state of rules: omit it");
            }
        }
    }
    fields.finish()?;
    Ok(RuleQuery { states, tenant, page_size, unverified_page_token: wire.page_token.into() })
}

// === impl Fields ===

impl Fields {
    fn rule_id(&mut self, text: &str) -> Option<RuleId> {
        if text.is_empty() {
            self.violation("id", "is required: use an id that ListEncryptionRules lists");
            return None;
        }
        self.parse("id", text)
    }

    fn no_service_fields(&mut self, rule: &proto::EncryptionRule) {
        let set = [
            ("id", !rule.id.is_empty()),
            ("last_evaluation", rule.last_evaluation.is_some()),
            ("origin", rule.origin != 0),
            ("etag", !rule.etag.is_empty()),
            ("tenant_id", !rule.tenant_id.is_empty()),
            ("subject", !rule.subject.is_empty()),
            ("create_time", rule.create_time.is_some()),
            ("update_time", rule.update_time.is_some()),
            ("pause_reason", !rule.pause_reason.is_empty()),
            ("next_evaluation_time", rule.next_evaluation_time.is_some()),
        ];
        for (field, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
            self.violation(field, "is set by the service: omit it");
        }
    }

    fn mode(&mut self, wire: i32) -> Option<RuleMode> {
        match proto::RuleMode::try_from(wire) {
            Ok(proto::RuleMode::Report) => Some(RuleMode::Report),
            Ok(proto::RuleMode::Enforce) => Some(RuleMode::Enforce),
            Ok(proto::RuleMode::Unspecified) => {
                self.violation("mode", "is required: use RULE_MODE_REPORT or RULE_MODE_ENFORCE");
                None
            }
            Err(_unknown) => {
                self.violation("mode", "is not a RuleMode of this release: use a value from its .proto file");
                None
            }
        }
    }

    fn state(&mut self, wire: i32) -> Option<RuleState> {
        match proto::RuleState::try_from(wire) {
            Ok(proto::RuleState::Unspecified | proto::RuleState::Active) => Some(RuleState::Active),
            Ok(proto::RuleState::Disabled) => Some(RuleState::Disabled),
            Ok(proto::RuleState::Paused) => {
                self.violation(
                    "state",
                    "is RULE_STATE_PAUSED, which only the service sets: use RULE_STATE_DISABLED",
                );
                None
            }
            Err(_unknown) => {
                self.violation(
                    "state",
                    "is not a RuleState of this release: use a value from its .proto file",
                );
                None
            }
        }
    }

    fn display_name(&mut self, text: &str) -> Box<str> {
        if text.chars().count() > MAX_DISPLAY_NAME {
            self.violation("display_name", format!("is longer than {MAX_DISPLAY_NAME} characters"));
        } else if text.chars().any(char::is_control) {
            self.violation("display_name", "contains a control character; expected plain text on one line");
        }
        text.into()
    }

    /// The selection of a rule, which holds whatever key is set now.
    fn rule_selection(&mut self, wire: &proto::Selection) -> Selection {
        if !wire.resource_arns.is_empty() {
            self.violation(
                "selection.resource_arns",
                "must be empty: use log_group_patterns without * to name single log groups",
            );
            return Selection::default();
        }
        let selection = self.selection(wire, true);
        match selection.current_key {
            CurrentKey::Any | CurrentKey::WithOtherKey => {}
            CurrentKey::WithoutKey | CurrentKey::WithKey => self.violation(
                "selection.current_key",
                "must be CURRENT_KEY_ANY or unset: a rule holds whatever key is set now",
            ),
        }
        Selection { current_key: CurrentKey::Any, ..selection }
    }

    fn exemptions(&mut self, wire: Vec<proto::RuleExemption>) -> Vec<Exemption> {
        if wire.len() > MAX_EXEMPTIONS {
            self.violation("exemptions", format!("has {} values: use at most {MAX_EXEMPTIONS}", wire.len()));
            return Vec::new();
        }
        let mut exemptions = Vec::with_capacity(wire.len());
        for (number, it) in wire.into_iter().enumerate() {
            let field = |name: &str| format!("exemptions[{number}].{name}");
            let pattern = self.parse::<Pattern>(&field("pattern"), &it.pattern);
            if it.reason.is_empty() {
                self.violation(&field("reason"), "is required: say why they are exempt");
            } else if it.reason.chars().nth(MAX_REASON).is_some() {
                self.violation(&field("reason"), format!("is longer than {MAX_REASON} characters"));
            } else if it.reason.chars().any(char::is_control) {
                self.violation(
                    &field("reason"),
                    "contains a control character; expected plain text on one line",
                );
            }
            let expires = it.expire_time.and_then(|time| self.timestamp(&field("expire_time"), time));
            if let Some(pattern) = pattern {
                exemptions.push(Exemption { pattern, reason: it.reason.into(), expires });
            }
        }
        exemptions
    }
}
