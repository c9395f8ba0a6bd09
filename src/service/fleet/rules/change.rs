//! Changes and deletes rules (`UpdateEncryptionRule`, `DeleteEncryptionRule`).

use super::{
    access::{record_change, require_change},
    view::RuleView,
};
use crate::{
    domain::{
        fleet::{
            Creator, EncryptionRule, Exemption, KeyChoice, RuleDefinition, RuleId, RuleMode, RuleState,
            RuleStatus, Selection,
        },
        principal::Scope,
    },
    service::{
        context::Context,
        error::{Error, FleetError},
        fleet::{ports::Fleet, selection::granted_locations},
    },
};

/// How often a change without an etag is tried while others change the rule too.
const MAX_ATTEMPTS: usize = 5;

/// A request to change a rule. What is `None` stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePatch {
    /// The rule.
    pub id: RuleId,
    /// The version to change. Empty is any version.
    pub etag: Box<str>,
    /// The new name.
    pub display_name: Option<Box<str>>,
    /// The new selection.
    pub selection: Option<Selection>,
    /// The new key.
    pub key: Option<KeyChoice>,
    /// The new mode.
    pub mode: Option<RuleMode>,
    /// The new priority.
    pub priority: Option<i32>,
    /// The new exemptions.
    pub exemptions: Option<Vec<Exemption>>,
    /// The new maximum number of changes.
    pub max_changes: Option<u32>,
    /// The new state.
    pub state: Option<RuleState>,
}

impl Fleet {
    /// Changes a rule. The scheduler evaluates it at once.
    ///
    /// # Errors
    ///
    /// [`Error`], if the rule does not exist, has another etag or comes from the configuration, or if the caller
    /// may not change it.
    pub async fn update_rule(&self, mut cx: Context, patch: RulePatch) -> Result<RuleView, Error> {
        let updated = self.try_update_rule(&mut cx, &patch).await;
        cx.record_error(updated)
    }

    async fn try_update_rule(&self, cx: &mut Context, patch: &RulePatch) -> Result<RuleView, Error> {
        cx.require(Scope::Bulk)?;
        for _ in 0..MAX_ATTEMPTS {
            let before = self.changeable_rule(cx, &patch.id, &patch.etag).await?;
            let after = patch.apply(cx, before);
            require_change(cx, &after.definition)?;
            let tenant = cx.tenant()?;
            granted_locations(&tenant, &after.definition.selection, Some(&after.definition.key))?;
            if !cx.in_turn(self.ports.rules.update(&after)).await? {
                continue;
            }
            if after.status.state == RuleState::Disabled {
                cx.in_turn(self.ports.coverage.delete_rule(&tenant.id, after.id.as_str())).await?;
            }
            record_change(cx, &format!("encryption rule {}", after.id)).await?;
            self.rules_due.notify_one();
            return self.rule_view(cx, after).await;
        }
        Err(Error::Fleet(FleetError::Contended))
    }

    /// Deletes a rule. Log groups keep their keys.
    ///
    /// # Errors
    ///
    /// [`Error`], if the rule does not exist, has another etag or comes from the configuration, or if the caller
    /// may not delete it.
    pub async fn delete_rule(&self, mut cx: Context, id: RuleId, etag: &str) -> Result<(), Error> {
        let deleted = self.try_delete_rule(&mut cx, &id, etag).await;
        cx.record_error(deleted)
    }

    async fn try_delete_rule(&self, cx: &mut Context, id: &RuleId, etag: &str) -> Result<(), Error> {
        cx.require(Scope::Bulk)?;
        for _ in 0..MAX_ATTEMPTS {
            let rule = self.changeable_rule(cx, id, etag).await?;
            require_change(cx, &rule.definition)?;
            if cx.in_turn(self.ports.rules.delete(&rule)).await? {
                cx.in_turn(self.ports.coverage.delete_rule(rule.tenant(), id.as_str())).await?;
                record_change(cx, &format!("encryption rule {id}")).await?;
                self.rules_due.notify_one();
                return Ok(());
            }
        }
        Err(Error::Fleet(FleetError::Contended))
    }
}

// === impl RulePatch ===

impl RulePatch {
    /// The rule after the change. It acts for the caller who changes it.
    fn apply(&self, cx: &Context, before: EncryptionRule) -> EncryptionRule {
        let Self {
            id: _,
            etag: _,
            display_name,
            selection,
            key,
            mode,
            priority,
            exemptions,
            max_changes,
            state,
        } = self;
        let RuleStatus { state: old_state, pause_reason, version, evaluation } = before.status;
        let definition = before.definition;
        let state = state.unwrap_or(old_state);
        EncryptionRule {
            definition: RuleDefinition {
                display_name: display_name.clone().unwrap_or(definition.display_name),
                selection: selection.clone().unwrap_or(definition.selection),
                key: key.clone().unwrap_or(definition.key),
                mode: mode.unwrap_or(definition.mode),
                priority: priority.unwrap_or(definition.priority),
                exemptions: exemptions.clone().unwrap_or(definition.exemptions),
                max_changes: max_changes.unwrap_or(definition.max_changes),
            },
            creator: Creator::from(&*cx.caller),
            updated: Some(cx.ports().clock.now()),
            status: RuleStatus {
                state,
                pause_reason: pause_reason.filter(|_| state == RuleState::Paused),
                version: version + 1,
                evaluation,
            },
            id: before.id,
            origin: before.origin,
            created: before.created,
        }
    }
}
