//! Compares the findings of an evaluation with those of the one before.

use std::collections::HashMap;

use uuid::Uuid;

use crate::{
    domain::{
        association::Target,
        fleet::{Finding, FindingKind, LocationCoverage},
    },
    ports::coverage::{FindingChanges, StoredFinding},
};

/// What identifies a finding in its location.
type Key = (Target, Option<Box<str>>, FindingKind);

fn key(finding: &Finding) -> Key {
    (finding.resource.target.clone(), finding.rule.clone(), finding.kind)
}

/// The changes from the stored findings of a location to those that an evaluation found. A finding that was
/// there before keeps its id and its time.
pub(super) fn changes(stored: Vec<StoredFinding>, found: &LocationCoverage) -> FindingChanges {
    let mut before: HashMap<Key, StoredFinding> =
        stored.into_iter().map(|stored| (key(&stored.finding), stored)).collect();
    let mut changes = FindingChanges::default();
    let mut latest = HashMap::<Key, &Finding>::new();
    for finding in &found.findings {
        latest.insert(key(finding), finding);
    }
    for (key, finding) in latest {
        let mut finding = finding.clone();
        let stored = before.remove(&key);
        // Only events say who changed the key. An evaluation does not contradict them.
        if finding.changed_by.is_none()
            && let Some(stored) = &stored
        {
            finding.changed_by.clone_from(&stored.finding.changed_by);
        }
        match stored {
            Some(stored) if stored.finding == finding => {}
            Some(stored) => changes.changed.push(StoredFinding { finding, ..stored }),
            None => changes.new.push(StoredFinding {
                id: Uuid::now_v7(),
                tenant: found.tenant.clone(),
                since: found.as_of,
                finding,
            }),
        }
    }
    changes.resolved = before.into_values().collect();
    for list in [&mut changes.new, &mut changes.changed, &mut changes.resolved] {
        list.sort_by(|a, b| position(&a.finding).cmp(&position(&b.finding)));
    }
    changes
}

fn position(finding: &Finding) -> (&str, Option<&str>, FindingKind) {
    let name = crate::store::row_values::target_name(&finding.resource.target);
    (name, finding.rule.as_deref(), finding.kind)
}
