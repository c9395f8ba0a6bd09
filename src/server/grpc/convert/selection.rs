//! Converts selections, key choices and failures, which jobs and rules share.

use super::fields::Fields;
use crate::{
    domain::{
        arn::{KmsKeyId, ResourceArn},
        aws::{AccountId, Partition, Region},
        fleet::{CurrentKey, Failure, KeyChoice, KeyOverride, Selection},
        pattern::Pattern,
    },
    proto,
};

/// The maximum number of `resource_arns`.
const MAX_RESOURCES: usize = 5_000;
/// The maximum number of values in each other list.
const MAX_VALUES: usize = 1_000;

impl Fields {
    /// The selection of a request. `chooses_key` is whether a key is set, and not removed.
    pub(super) fn selection(&mut self, wire: &proto::Selection, chooses_key: bool) -> Selection {
        let current_key = match proto::CurrentKey::try_from(wire.current_key) {
            Ok(proto::CurrentKey::Unspecified | proto::CurrentKey::Any) => CurrentKey::Any,
            Ok(proto::CurrentKey::WithoutKey) => CurrentKey::WithoutKey,
            Ok(proto::CurrentKey::WithOtherKey) => CurrentKey::WithOtherKey,
            Ok(proto::CurrentKey::WithKey) => CurrentKey::WithKey,
            Err(_unknown) => {
                self.violation(
                    "selection.current_key",
                    "is not a CurrentKey of this release: use a value from its .proto file",
                );
                CurrentKey::Any
            }
        };
        if current_key == CurrentKey::WithOtherKey && !chooses_key {
            self.violation(
                "selection.current_key",
                "cannot be CURRENT_KEY_WITH_OTHER_KEY with disassociate, which chooses no key: use CURRENT_KEY_WITH_KEY",
            );
        }
        let current_key_id = (!wire.current_kms_key_id.is_empty())
            .then(|| self.parse::<KmsKeyId>("selection.current_kms_key_id", &wire.current_kms_key_id))
            .flatten();
        if current_key_id.is_some() && current_key != CurrentKey::WithKey {
            self.violation(
                "selection.current_kms_key_id",
                "needs current_key = CURRENT_KEY_WITH_KEY: set it, or omit the key",
            );
        }
        let selection = Selection {
            accounts: self.values::<AccountId>("selection.account_ids", &wire.account_ids),
            regions: self.values::<Region>("selection.regions", &wire.regions),
            log_groups: self.values::<Pattern>("selection.log_group_patterns", &wire.log_group_patterns),
            exclude: self.values::<Pattern>("selection.exclude_patterns", &wire.exclude_patterns),
            current_key,
            current_key_id,
            query_results: wire.query_results,
            resources: self.resources(&wire.resource_arns),
        };
        let selects_by_name = !selection.accounts.is_empty()
            || !selection.regions.is_empty()
            || !selection.log_groups.is_empty()
            || !selection.exclude.is_empty()
            || selection.query_results;
        if !wire.resource_arns.is_empty() && selects_by_name {
            self.violation(
                "selection.resource_arns",
                "cannot be combined with account_ids, regions, patterns or query_results: use either the ARNs or the other fields",
            );
        }
        selection
    }

    fn resources(&mut self, texts: &[String]) -> Vec<ResourceArn> {
        const FIELD: &str = "selection.resource_arns";
        if texts.len() > MAX_RESOURCES {
            self.violation(FIELD, format!("has {} values: use at most {MAX_RESOURCES}", texts.len()));
            return Vec::new();
        }
        let mut resources = Vec::with_capacity(texts.len());
        for (number, text) in texts.iter().enumerate() {
            let field = format!("{FIELD}[{number}]");
            let Some(arn) = self.parse::<ResourceArn>(&field, text) else { continue };
            let partition = Partition::of(&arn.region);
            if arn.partition == partition {
                resources.push(arn);
            } else {
                let problem = format!(
                    "has the partition {}, but {} is in the partition {partition}",
                    arn.partition, arn.region
                );
                self.violation(&field, problem);
            }
        }
        resources
    }

    /// The key of a request.
    pub(super) fn key_choice(&mut self, wire: &proto::KeyChoice) -> Option<KeyChoice> {
        if wire.overrides.len() > MAX_VALUES {
            let problem = format!("has {} values: use at most {MAX_VALUES}", wire.overrides.len());
            self.violation("key.overrides", problem);
            return None;
        }
        if wire.kms_key_id.is_empty() && wire.overrides.is_empty() {
            self.violation("key.kms_key_id", "is required: use a key ARN, alias ARN, alias/NAME or key id");
            return None;
        }
        let key = (!wire.kms_key_id.is_empty())
            .then(|| self.parse::<KmsKeyId>("key.kms_key_id", &wire.kms_key_id))
            .flatten();
        let mut overrides: Vec<KeyOverride> = Vec::with_capacity(wire.overrides.len());
        for (number, it) in wire.overrides.iter().enumerate() {
            let field = |name: &str| format!("key.overrides[{number}].{name}");
            let optional = |text: &str| !text.is_empty();
            let account = optional(&it.account_id)
                .then(|| self.parse::<AccountId>(&field("account_id"), &it.account_id))
                .flatten();
            let region =
                optional(&it.region).then(|| self.parse::<Region>(&field("region"), &it.region)).flatten();
            if it.account_id.is_empty() && it.region.is_empty() {
                self.violation(&field("account_id"), "or region is required: an override is for a location");
            }
            let Some(key) = self.parse::<KmsKeyId>(&field("kms_key_id"), &it.kms_key_id) else { continue };
            if overrides.iter().any(|other| other.account == account && other.region == region) {
                self.violation(
                    &field("account_id"),
                    "and region are those of another override: keep one of them",
                );
            }
            overrides.push(KeyOverride { account, region, key });
        }
        Some(KeyChoice { key, overrides })
    }

    /// The values of a list.
    pub(super) fn values<T: std::str::FromStr<Err: std::fmt::Display>>(
        &mut self,
        field: &str,
        texts: &[String],
    ) -> Vec<T> {
        if texts.len() > MAX_VALUES {
            self.violation(field, format!("has {} values: use at most {MAX_VALUES}", texts.len()));
            return Vec::new();
        }
        let mut values = Vec::with_capacity(texts.len());
        for (number, text) in texts.iter().enumerate() {
            values.extend(self.parse::<T>(&format!("{field}[{number}]"), text));
        }
        values
    }
}

/// The selection without the resources, which can be thousands.
pub(super) fn selection(it: &Selection) -> proto::Selection {
    fn texts<T: ToString>(values: &[T]) -> Vec<String> {
        values.iter().map(T::to_string).collect()
    }
    proto::Selection {
        account_ids: texts(&it.accounts),
        regions: texts(&it.regions),
        log_group_patterns: texts(&it.log_groups),
        exclude_patterns: texts(&it.exclude),
        current_key: match it.current_key {
            CurrentKey::Any => proto::CurrentKey::Any,
            CurrentKey::WithoutKey => proto::CurrentKey::WithoutKey,
            CurrentKey::WithOtherKey => proto::CurrentKey::WithOtherKey,
            CurrentKey::WithKey => proto::CurrentKey::WithKey,
        }
        .into(),
        current_kms_key_id: it.current_key_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        query_results: it.query_results,
        resource_arns: Vec::new(),
    }
}

pub(super) fn key_choice(choice: &KeyChoice) -> proto::KeyChoice {
    let overridden = |it: &KeyOverride| proto::KeyOverride {
        account_id: it.account.map(|account| account.to_string()).unwrap_or_default(),
        region: it.region.as_ref().map(ToString::to_string).unwrap_or_default(),
        kms_key_id: it.key.to_string(),
    };
    proto::KeyChoice {
        kms_key_id: choice.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        overrides: choice.overrides.iter().map(overridden).collect(),
    }
}

pub(super) fn failure(it: Failure) -> proto::BulkError {
    let Failure { reason, message, remedy_document } = it;
    proto::BulkError {
        reason: reason.into(),
        message: message.into(),
        remedy_document: remedy_document.map(Into::into).unwrap_or_default(),
    }
}
