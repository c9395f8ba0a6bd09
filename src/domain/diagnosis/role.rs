//! What the role itself may do: as IAM simulates it, and for a key together with the key's policy.

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::{Check, Look, Name};
use crate::domain::{
    arn::KmsKeyArn,
    association::{Resource, Target},
    aws::RoleArn,
    key_policy::{KeyPolicy, NEEDED, Standing},
    reason::Reason,
    remedy,
    simulation::{Ruling, Simulated, Trial, spellings},
};

/// What is known of one action.
enum Finding {
    /// Nothing stands against it.
    Good,
    /// It would be refused.
    Bad(Flaw),
    /// It cannot be told from here, because of this.
    Open(String),
}

/// Why an action would be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Flaw {
    /// No policy of the role allows it.
    NotAllowed,
    /// A policy of the role denies it.
    Denied,
    /// A policy of the organization denies it.
    Organization,
    /// The key's policy neither names the role nor leaves it to the account.
    LeftOut,
    /// This statement of the key's policy denies it.
    DeniedByKey(String),
}

/// What the actions come to.
enum Worst {
    Good,
    Open(String),
    Bad(Flaw, Vec<&'static str>),
}

/// A role, and the key that it is to use for a resource.
#[derive(Clone, Copy, Debug)]
pub struct Kms<'k> {
    /// The role.
    pub role: &'k RoleArn,
    /// The key.
    pub key: &'k KmsKeyArn,
    /// What it is to encrypt.
    pub resource: &'k Resource,
}

/// Whether the role may use the key through `CloudWatch` Logs: its own policies and the key's both have
/// a say.
#[must_use]
pub fn role_kms(kms: Kms<'_>, policy: &Look<Box<str>>, simulated: &Look<Vec<Simulated>>) -> Check {
    let policy = Policy::read(policy);
    let found = NEEDED.map(|action| {
        let ruling = ruling(simulated, action, kms.key.as_str());
        let finding = if kms.key.account() == kms.role.account() {
            at_home(ruling, policy.of(kms, action))
        } else {
            abroad(ruling, kms.key)
        };
        (action, finding)
    });
    let name = Name::RoleKmsPermission;
    let what = "use the key through CloudWatch Logs";
    match worst(found) {
        Worst::Good => Check::passed(name, format!("the role may {what}")),
        Worst::Open(why) => open(name, what, &why, kms.role, simulated),
        Worst::Bad(flaw, actions) => {
            let document = match flaw {
                Flaw::NotAllowed => Some(remedy::role_kms_statement(kms.key, kms.resource)),
                Flaw::LeftOut => Some(remedy::key_policy_role_statement(kms.role, kms.resource)),
                Flaw::Denied | Flaw::Organization | Flaw::DeniedByKey(_) => None,
            };
            failed(name, Reason::RoleLacksKmsPermission, &flaw, &actions, document.as_ref())
        }
    }
}

/// Whether the role may do `action` to the resource.
#[must_use]
pub fn role_logs(
    role: &RoleArn,
    resource: &Resource,
    action: &'static str,
    simulated: &Look<Vec<Simulated>>,
) -> Check {
    let what = match resource.target {
        Target::LogGroup(_) => "change the log group's key",
        Target::QueryResults => "change the key of query results",
    };
    let document = remedy::role_logs_statement(resource);
    changes_allowed(role, &[action], std::slice::from_ref(resource), simulated, what, &document)
}

/// Whether the role may do all of these actions to all of these resources.
#[must_use]
pub fn changes_allowed(
    role: &RoleArn,
    actions: &[&'static str],
    resources: &[Resource],
    simulated: &Look<Vec<Simulated>>,
    what: &str,
    document: &Value,
) -> Check {
    let name = Name::RoleLogsPermission;
    let each = actions.iter().flat_map(|action| resources.iter().map(|resource| (*action, resource)));
    let found = each.map(|(action, resource)| {
        let spelled = spellings(resource);
        let rulings = spelled.iter().map(|spelling| ruling(simulated, action, spelling));
        (action, any_spelling(rulings.collect()))
    });
    match worst(found) {
        Worst::Good => Check::passed(name, format!("the role may {what}")),
        Worst::Open(why) => open(name, what, &why, role, simulated),
        Worst::Bad(flaw, actions) => {
            let document = (flaw == Flaw::NotAllowed).then_some(document);
            failed(name, Reason::RoleLacksLogsPermission, &flaw, &actions, document)
        }
    }
}

/// Whether the role may do everything that `trial` asks about, as far as its own policies go.
#[must_use]
pub fn trial_allowed(
    name: Name,
    role: &RoleArn,
    trial: &Trial,
    simulated: &Look<Vec<Simulated>>,
    what: &str,
    document: &Value,
) -> Check {
    let each = trial
        .actions
        .iter()
        .flat_map(|action| trial.resources.iter().map(move |resource| (*action, resource)));
    let found =
        each.map(|(action, resource)| (action, any_spelling(vec![ruling(simulated, action, resource)])));
    match worst(found) {
        Worst::Good => Check::passed(name, format!("the role's own policies let it {what}")),
        Worst::Open(why) => open(name, what, &why, role, simulated),
        Worst::Bad(flaw, actions) => {
            let document = (flaw == Flaw::NotAllowed).then_some(document);
            failed(name, Reason::RoleLacksKmsPermission, &flaw, &actions, document)
        }
    }
}

/// What the simulator said of this, or why that is not known.
fn ruling(simulated: &Look<Vec<Simulated>>, action: &str, resource: &str) -> Result<Ruling, String> {
    let Look::Found(all) = simulated else { return Err("it was not simulated".to_owned()) };
    let one = all.iter().find(|one| one.is_about(action, resource));
    let one = one.ok_or_else(|| format!("IAM says nothing of {action}"))?;
    let missing: Vec<&str> =
        one.missing.iter().map(|key| &**key).filter(|key| bears_on(key, action)).collect();
    if missing.is_empty() {
        Ok(one.ruling)
    } else {
        Err(format!("it depends on {}, which is known only when the call is made", missing.join(", ")))
    }
}

/// Whether a call of `action` can have this condition key at all: IAM names every key of the role's
/// policies, and those of other services are absent from a real call too.
fn bears_on(key: &str, action: &str) -> bool {
    let service = |text: &str| text.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let service = (service(key), service(action));
    service.0 == "aws" || service.0 == service.1
}

/// A key of the role's own account.
fn at_home(ruling: Result<Ruling, String>, standing: Standing) -> Finding {
    match (standing, ruling) {
        (Standing::Denied { statement }, _) => Finding::Bad(Flaw::DeniedByKey(statement)),
        (Standing::LeftOut, _) => Finding::Bad(Flaw::LeftOut),
        (_, Ok(Ruling::Denied)) => Finding::Bad(Flaw::Denied),
        (_, Ok(Ruling::DeniedByOrganization)) => Finding::Bad(Flaw::Organization),
        (Standing::Named | Standing::LeftToAccount | Standing::Unclear { .. }, Err(why))
        | (Standing::Unclear { why }, Ok(Ruling::Allowed | Ruling::NotAllowed)) => Finding::Open(why),
        (Standing::Named, Ok(Ruling::Allowed | Ruling::NotAllowed))
        | (Standing::LeftToAccount, Ok(Ruling::Allowed)) => Finding::Good,
        (Standing::LeftToAccount, Ok(Ruling::NotAllowed)) => Finding::Bad(Flaw::NotAllowed),
    }
}

/// A key of another account: both accounts have to allow it, and one of them cannot be asked.
fn abroad(ruling: Result<Ruling, String>, key: &KmsKeyArn) -> Finding {
    match ruling {
        Ok(Ruling::NotAllowed) => Finding::Bad(Flaw::NotAllowed),
        Ok(Ruling::Denied) => Finding::Bad(Flaw::Denied),
        Ok(Ruling::DeniedByOrganization) => Finding::Bad(Flaw::Organization),
        Ok(Ruling::Allowed) => Finding::Open(format!(
            "the key belongs to account {}, and KMS shows key policies to their own account only",
            key.account()
        )),
        Err(why) => Finding::Open(why),
    }
}

/// One resource in all its spellings, of which AWS asks for one.
fn any_spelling(rulings: Vec<Result<Ruling, String>>) -> Finding {
    let mut allowed = 0;
    let all = rulings.len();
    for ruling in rulings {
        match ruling {
            Ok(Ruling::Allowed) => allowed += 1,
            Ok(Ruling::NotAllowed) => {}
            Ok(Ruling::Denied) => return Finding::Bad(Flaw::Denied),
            Ok(Ruling::DeniedByOrganization) => return Finding::Bad(Flaw::Organization),
            Err(why) => return Finding::Open(why),
        }
    }
    match allowed {
        0 => Finding::Bad(Flaw::NotAllowed),
        some if some == all => Finding::Good,
        _ => Finding::Open(
            "the role's policies name the log group in one of two ways, with something behind its name or without, and AWS does not document which it asks for".to_owned(),
        ),
    }
}

/// The worst finding, with the actions that share it.
fn worst(found: impl IntoIterator<Item = (&'static str, Finding)>) -> Worst {
    let mut worst = Worst::Good;
    for (action, finding) in found {
        match (finding, &mut worst) {
            (Finding::Good, _) | (Finding::Open(_), Worst::Open(_) | Worst::Bad(..)) => {}
            (Finding::Bad(flaw), Worst::Bad(same, actions)) => {
                if flaw == *same && !actions.contains(&action) {
                    actions.push(action);
                }
            }
            (Finding::Bad(flaw), Worst::Good | Worst::Open(_)) => worst = Worst::Bad(flaw, vec![action]),
            (Finding::Open(why), Worst::Good) => worst = Worst::Open(why),
        }
    }
    worst
}

fn open(name: Name, what: &str, why: &str, role: &RoleArn, simulated: &Look<Vec<Simulated>>) -> Check {
    match simulated {
        Look::Unknown(why) => {
            Check::not_checked(name, format!("whether the role may {what} was not simulated, since {why}"))
                .with_document(
                    "to have it checked, add this statement to the role's policy",
                    &remedy::role_simulate_statement(role),
                )
        }
        Look::Found(_) | Look::Absent => {
            Check::not_checked(name, format!("whether the role may {what} cannot be told from here: {why}"))
        }
    }
}

fn failed(name: Name, lacks: Reason, flaw: &Flaw, actions: &[&str], document: Option<&Value>) -> Check {
    let actions = actions.join(", ");
    let (reason, detail, remedy) = match flaw {
        Flaw::NotAllowed => (
            lacks,
            format!("no policy of the role allows it {actions}"),
            "add this statement to the role's policy".to_owned(),
        ),
        Flaw::Denied => (
            lacks,
            format!("a policy of the role, or its permissions boundary, denies it {actions}"),
            "take the denial away: it wins over everything that allows".to_owned(),
        ),
        Flaw::Organization => (
            Reason::DeniedByOrganization,
            format!("a policy of the AWS organization denies the role {actions}"),
            "ask whoever runs the organization to let the role through".to_owned(),
        ),
        Flaw::LeftOut => (
            lacks,
            format!(
                "the key's policy neither lets the role do {actions} nor leaves it to the account's own policies"
            ),
            "add this statement to the key's policy (kms:PutKeyPolicy), beside those that are there"
                .to_owned(),
        ),
        Flaw::DeniedByKey(statement) => (
            lacks,
            format!("{statement} of the key's policy denies the role {actions}"),
            "except the role from that statement: a denial wins over everything that allows".to_owned(),
        ),
    };
    let check = Check::failed(name, reason, detail, remedy.clone());
    match document {
        Some(document) => check.with_document(remedy, document),
        None => check,
    }
}

/// The key's policy, as far as it can be read.
enum Policy {
    Readable(KeyPolicy),
    Unclear(String),
}

// === impl Policy ===

impl Policy {
    fn read(look: &Look<Box<str>>) -> Self {
        match look {
            Look::Found(text) => match KeyPolicy::read(text) {
                Ok(policy) => Self::Readable(policy),
                Err(unreadable) => Self::Unclear(unreadable.to_string()),
            },
            Look::Absent => Self::Unclear("KMS has no policy for the key".to_owned()),
            Look::Unknown(why) => Self::Unclear(format!("the key's policy was not read, since {why}")),
        }
    }

    fn of(&self, kms: Kms<'_>, action: &str) -> Standing {
        match self {
            Self::Readable(policy) => policy.standing(kms.key, kms.role, &kms.resource.place, action),
            Self::Unclear(why) => Standing::Unclear { why: why.clone() },
        }
    }
}
