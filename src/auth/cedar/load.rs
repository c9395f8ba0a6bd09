//! Loads the operators' policies from text: parses them, assigns ids and validates them against the schema.
//! It reports every problem at once.

use std::{collections::HashSet, ffi::OsStr, path::Path, str::FromStr};

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};

use super::{engine::policies::source_offset, fault::PolicyFault, grant_policies::PREFIX};

/// The text of the schema.
pub(super) const SCHEMA: &str = include_str!("schema.cedarschema");

/// The parsed schema.
pub(super) fn schema() -> Result<Schema, PolicyFault> {
    Schema::from_str(SCHEMA).map_err(|reason| PolicyFault::of("schema.cedarschema", SCHEMA, &reason))
}

/// The policies of all files.
pub(super) fn operator_policies(
    validator: &Validator,
    files: &[(String, String)],
) -> Result<Vec<Policy>, Vec<PolicyFault>> {
    let mut all = Vec::new();
    let mut diagnostics = Vec::new();
    let mut ids = HashSet::new();
    for (file, text) in files {
        match read(file, text) {
            Ok(policies) => {
                for (at, policy) in policies {
                    if AsRef::<str>::as_ref(policy.id()).starts_with(PREFIX) {
                        let message = format!(
                            "@id starts with {PREFIX}, which is reserved for tenants' grants: rename it"
                        );
                        diagnostics.push(PolicyFault::at(file, text, at, message));
                    } else if !ids.insert(policy.id().clone()) {
                        let message = format!("@id(\"{}\") is used twice: rename one of them", policy.id());
                        diagnostics.push(PolicyFault::at(file, text, at, message));
                    } else {
                        diagnostics.extend(invalid(validator, file, text, &policy));
                        all.push(policy);
                    }
                }
            }
            Err(more) => diagnostics.extend(more),
        }
    }
    if diagnostics.is_empty() { Ok(all) } else { Err(diagnostics) }
}

/// The policies of one file in order, each with the byte offset of its start. The id of a policy is its
/// `@id`, otherwise the name and a number, as in `FILE#1`.
fn read(file: &str, text: &str) -> Result<Vec<(usize, Policy)>, Vec<PolicyFault>> {
    let set = match PolicySet::from_str(text) {
        Ok(set) => set,
        Err(all) => return Err(all.iter().map(|reason| PolicyFault::of(file, text, reason)).collect()),
    };
    if let Some(template) = set.templates().next() {
        let message =
            "templates are not supported: replace the slot with a principal or a resource".to_owned();
        let at = text.find("?principal").or_else(|| text.find("?resource")).unwrap_or_default();
        let _its_id = template.id();
        return Err(vec![PolicyFault::at(file, text, at, message)]);
    }
    let mut policies: Vec<(usize, Policy)> =
        set.policies().map(|policy| (source_offset(policy), policy.clone())).collect();
    policies.sort_by_key(|(at, _)| *at);
    let stem = Path::new(file).file_stem().and_then(OsStr::to_str).unwrap_or(file);
    let named = policies.into_iter().enumerate().map(|(index, (at, policy))| {
        let id = match policy.annotation("id") {
            Some(id) if !id.is_empty() => id.to_owned(),
            Some(_) | None => format!("{stem}#{}", index + 1),
        };
        (at, policy.new_id(PolicyId::new(id)))
    });
    Ok(named.collect())
}

/// The problems that strict validation finds in a policy. Warnings count too: someone relies on a policy, so
/// one that can never apply is a mistake.
pub(super) fn invalid(validator: &Validator, file: &str, text: &str, policy: &Policy) -> Vec<PolicyFault> {
    let set = match PolicySet::from_policies([policy.clone()]) {
        Ok(set) => set,
        Err(reason) => return vec![PolicyFault::of(file, text, &reason)],
    };
    let found = validator.validate(&set, ValidationMode::Strict);
    let errors = found.validation_errors().map(|reason| PolicyFault::of(file, text, reason));
    let warnings = found.validation_warnings().map(|reason| PolicyFault::of(file, text, reason));
    errors.chain(warnings).collect()
}
