//! Creates a rule (`CreateEncryptionRule`). The scheduler evaluates it at once.

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{
    access::{authorize, not_found, record_change, require_change},
    view::RuleView,
};
use crate::{
    domain::{
        fleet::{Creator, EncryptionRule, RuleDefinition, RuleId, RuleOrigin, RuleState, RuleStatus},
        idempotency::IDEMPOTENCY_WINDOW,
    },
    ports::rules::{NewRule, RuleCreation, RuleRequest},
    service::{
        context::Context,
        error::{ChangeError, Error, FleetError},
        fleet::{ports::Fleet, selection::granted_locations},
    },
};

/// The maximum number of rules that callers of a tenant can create.
const MAX_RULES: u32 = 1_000;

/// A request to create a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRule {
    /// What the rule requires.
    pub definition: RuleDefinition,
    /// [`RuleState::Active`] or [`RuleState::Disabled`].
    pub state: RuleState,
    /// The idempotency key.
    pub request_id: Option<Uuid>,
}

impl Fleet {
    /// Stores a rule. The scheduler evaluates it at once.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not create it, or if it names something that the tenant does not have.
    pub async fn create_rule(&self, mut cx: Context, request: CreateRule) -> Result<RuleView, Error> {
        let created = self.try_create_rule(&mut cx, request).await;
        cx.record_error(created)
    }

    async fn try_create_rule(&self, cx: &mut Context, request: CreateRule) -> Result<RuleView, Error> {
        let CreateRule { definition, state, request_id } = request;
        require_change(cx, &definition)?;
        let tenant = cx.tenant()?;
        granted_locations(&tenant, &definition.selection, Some(&definition.key))?;
        authorize(cx, Some(&tenant.id), "")?;
        let now = cx.ports().clock.now();
        let request = request_id.map(|id| RuleRequest {
            id,
            fingerprint: fingerprint(&definition, state),
            since: now.minus(IDEMPOTENCY_WINDOW),
        });
        let rule = EncryptionRule {
            id: RuleId::new_v7(),
            definition,
            origin: RuleOrigin::Api,
            creator: Creator::from(&*cx.caller),
            created: Some(now),
            updated: Some(now),
            status: RuleStatus { state, ..RuleStatus::default() },
        };
        let new = NewRule { rule, request, max_rules: MAX_RULES };
        let id = match cx.in_turn(self.ports.rules.create(&new)).await? {
            RuleCreation::Created => new.rule.id,
            RuleCreation::Exists(id) => id,
            RuleCreation::RequestIdReused => return Err(Error::Change(ChangeError::RequestIdReused)),
            RuleCreation::TooMany => return Err(Error::Fleet(FleetError::TooManyRules { max: MAX_RULES })),
        };
        record_change(cx, &format!("encryption rule {id}")).await?;
        self.rules_due.notify_one();
        let found = cx.in_turn(self.ports.rules.find(Some(&tenant.id), &id)).await?;
        self.rule_view(cx, found.ok_or_else(|| not_found(&id))?).await
    }
}

/// The hash of what a request asks for.
fn fingerprint(definition: &RuleDefinition, state: RuleState) -> Box<str> {
    let text = serde_json::to_vec(&(definition, state.number())).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &text)).into()
}
