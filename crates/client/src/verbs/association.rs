//! How the commands show an association.

use super::shared::{short_key, short_name, time};
use crate::{
    output::{Column, Table},
    proto::{KeyAssociation, KeyUse, Protection, Warning, key_association, key_use},
};

/// The seconds of a day.
const DAY: i64 = 86_400;

/// A table of associations, without rows.
pub(super) fn table(empty: &'static str) -> Table {
    let columns = [
        Column::new("resource"),
        Column::narrow("key"),
        Column::wide("kms_key_arn"),
        Column::new("state"),
        Column::new("key_health"),
        Column::wide("account"),
        Column::wide("region"),
        Column::wide("key_deletion"),
        Column::wide("previous_kms_key_arn"),
        Column::wide("accepted"),
        Column::wide("in_force_by"),
        Column::wide("class"),
        Column::wide("retention_days"),
        Column::wide("source"),
        Column::wide("arn"),
    ];
    Table::new(&columns, empty).named_by("arn")
}

/// Adds an association to the table.
pub(super) fn push(table: &mut Table, it: &KeyAssociation) {
    table.push([
        resource(it),
        short_key(&it.kms_key_arn),
        it.kms_key_arn.clone(),
        short_name(it.state().as_str_name(), "STATE_"),
        short_name(it.key_health().as_str_name(), "KEY_HEALTH_"),
        it.account_id.clone(),
        it.region.clone(),
        time(it.key_deletion_time.as_ref()),
        it.previous_kms_key_arn.clone(),
        time(it.accept_time.as_ref()),
        time(it.settle_time.as_ref()),
        it.log_group_class.clone(),
        it.retention.map(|retention| (retention.seconds / DAY).to_string()).unwrap_or_default(),
        short_name(it.source().as_str_name(), "SOURCE_"),
        it.resource_arn.clone(),
    ]);
}

/// What to know about an association, one sentence each.
pub(super) fn warnings(warnings: &[Warning]) -> impl Iterator<Item = String> {
    warnings.iter().map(|warning| format!("{}: {}", warning.code, warning.message))
}

fn resource(it: &KeyAssociation) -> String {
    match &it.resource {
        Some(key_association::Resource::LogGroupName(name)) => name.clone(),
        Some(key_association::Resource::QueryResults(_)) => "query-results".to_owned(),
        None => it.resource_arn.clone(),
    }
}

/// The resource of a use.
pub(super) fn used_resource(it: &KeyUse) -> String {
    match &it.resource {
        Some(key_use::Resource::LogGroupName(name)) => name.clone(),
        Some(key_use::Resource::QueryResults(_)) => "query-results".to_owned(),
        None => it.resource_arn.clone(),
    }
}

/// Until when data needs a key.
pub(super) fn protects(protection: Protection, until: Option<&prost_types::Timestamp>) -> String {
    match protection {
        Protection::Until => time(until),
        Protection::Unspecified | Protection::InUse | Protection::Forever | Protection::NotKnown => {
            short_name(protection.as_str_name(), "PROTECTION_")
        }
    }
}
