//! How the commands show rules.

use crate::{
    output::{Column, Note, Report, Table, remedy, to_json},
    proto::{EncryptionRule, GetEncryptionRuleResponse, RuleEvaluation},
    verbs::shared::{short_name, time},
};

/// The report of one rule.
pub(super) fn report(rule: Option<EncryptionRule>) -> Report {
    let table = table(rule.as_slice());
    let last = rule.as_ref().and_then(|rule| rule.last_evaluation.clone()).unwrap_or_default();
    let pause = rule.as_ref().map(|rule| rule.pause_reason.clone()).filter(|reason| !reason.is_empty());
    let document = to_json(&GetEncryptionRuleResponse { encryption_rule: rule });
    Report::new(document, table).as_record().notes(pause).notes(errors(&last))
}

/// The table of these rules.
pub(super) fn table(rules: &[EncryptionRule]) -> Table {
    let columns = [
        Column::new("rule"),
        Column::new("name"),
        Column::new("mode"),
        Column::new("state"),
        Column::new("priority"),
        Column::new("key"),
        Column::wide("patterns"),
        Column::wide("log_groups"),
        Column::wide("compliant"),
        Column::wide("to_change"),
        Column::wide("changed"),
        Column::wide("findings"),
        Column::wide("evaluated"),
        Column::wide("next_evaluation"),
        Column::wide("job"),
        Column::wide("origin"),
        Column::wide("subject"),
        Column::wide("etag"),
    ];
    let mut table = Table::new(&columns, "There is no rule.");
    for rule in rules {
        let last = rule.last_evaluation.clone().unwrap_or_default();
        let patterns = rule.selection.as_ref().map(|selection| selection.log_group_patterns.join(" "));
        table.push([
            rule.id.clone(),
            rule.display_name.clone(),
            short_name(rule.mode().as_str_name(), "RULE_MODE_"),
            short_name(rule.state().as_str_name(), "RULE_STATE_"),
            rule.priority.to_string(),
            rule.key.as_ref().map(|key| key.kms_key_id.clone()).unwrap_or_default(),
            patterns.unwrap_or_default(),
            last.groups.to_string(),
            last.compliant.to_string(),
            last.to_change.to_string(),
            last.changed.to_string(),
            last.findings.to_string(),
            time(last.end_time.as_ref()),
            time(rule.next_evaluation_time.as_ref()),
            last.bulk_association_id,
            short_name(rule.origin().as_str_name(), "RULE_ORIGIN_"),
            rule.subject.clone(),
            rule.etag.clone(),
        ]);
    }
    table
}

/// What the last evaluation says, and what kept it from being complete.
fn errors(last: &RuleEvaluation) -> Vec<Note> {
    let counts = last.start_time.is_some().then(|| {
        let RuleEvaluation { groups, compliant, to_change, changed, findings, .. } = last;
        format!(
            "Last evaluation: log groups: {groups}, with the key: {compliant}, to change: {to_change}, changed: \
             {changed}, findings: {findings}."
        )
    });
    let of_rule = last
        .error
        .iter()
        .flat_map(|error| remedy(&format!("{}: {}", error.reason, error.message), &error.remedy_document));
    let of_locations = last.unreadable_locations.iter().flat_map(|location| {
        let error = location.error.clone().unwrap_or_default();
        let (account, region) = (&location.account_id, &location.region);
        let sentence = format!("{account} {region}: {}: {}", error.reason, error.message);
        remedy(&sentence, &error.remedy_document)
    });
    counts.into_iter().map(Note::Sentence).chain(of_rule).chain(of_locations).collect()
}
