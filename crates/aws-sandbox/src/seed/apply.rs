//! Adds the contents of a seed to the state, after validation.

use std::sync::Arc;

use super::{
    check::{check, key_arn, key_policy},
    contents::{AccountSeed, KeySeed, LogGroupSeed, QueueSeed, QuotaSeed, RoleSeed, Seed, ServiceIdentity},
    error::SeedErrors,
};
use crate::{
    identity::Principal,
    partition,
    policy::{error::InvalidPolicy, evaluation::Policy, shorthand},
    state::{
        account::{Account, Role},
        aws::{AwsState, Defaults},
        groups::LogGroup,
        keys::Key,
        queues::{Queue, QueueSettings, Redrive},
        region::Region,
    },
};

/// Adds the contents of `seed` to `state`. An object with the same name is replaced.
///
/// # Errors
///
/// Every error in the seed. On an error, nothing is added.
pub(crate) fn apply(state: &AwsState, seed: &Seed) -> Result<(), SeedErrors> {
    let diagnostics = check(seed, |arn| state.key(arn).is_some());
    if !diagnostics.is_empty() {
        return Err(SeedErrors(diagnostics));
    }
    let mut defaults = state.defaults();
    if let Some(service_identity) = &seed.service_principal {
        defaults.service_identity = service_identity.clone();
    }
    if let Some(arn) = &seed.event_queue {
        defaults.event_queue = Some(arn.clone());
    }
    if let Some(quotas) = &seed.quotas {
        defaults.quotas = Arc::new(quotas.quotas());
    }
    let mut fresh = Vec::new();
    for account in &seed.accounts {
        let existing = state.account(&account.account_id);
        let is_new = existing.is_none();
        let quotas = account.quotas.as_ref().map(QuotaSeed::quotas);
        let target = existing.unwrap_or_else(|| {
            let id = account.account_id.clone();
            let partition = account.every_region().next().map_or("aws", partition::of_region);
            Arc::new(Account::new(id, partition, Arc::clone(&defaults.quotas)))
        });
        if let Some(quotas) = quotas {
            target.set_quotas(quotas);
        }
        if let Some(plan) = &account.queries {
            target.set_queries(plan.clone());
        }
        fill(state, &target, account, &defaults.service_identity)?;
        add_admin(state, &target);
        if is_new {
            fresh.push(target);
        }
    }
    state.add_accounts(&fresh);
    add_service_identity(state, &defaults);
    state.set_defaults(defaults);
    Ok(())
}

fn fill(
    state: &AwsState,
    to: &Account,
    from: &AccountSeed,
    service_identity: &ServiceIdentity,
) -> Result<(), InvalidPolicy> {
    for region in &from.regions {
        to.enable(region);
    }
    for role in &from.roles {
        to.put_role(build_role(role, to, service_identity)?);
    }
    for seed in &from.keys {
        let region = to.enable(&seed.region);
        let key = build_key(seed, &to.id, state)?;
        let mut keys = region.keys();
        for alias in &seed.aliases {
            keys.put_alias(alias, &key.id);
        }
        keys.put(key);
    }
    for seed in &from.log_groups {
        add_groups(&to.enable(&seed.region), seed, state);
    }
    for seed in &from.queues {
        add_queue(&to.enable(&seed.region), seed, state);
    }
    for (region, key) in &from.query_results {
        let region = to.enable(region);
        let arn = key_arn(key, &to.id, &region.name);
        region.logs().query_results_key = Some(arn);
    }
    Ok(())
}

fn build_role(
    seed: &RoleSeed,
    account: &Account,
    service_identity: &ServiceIdentity,
) -> Result<Role, InvalidPolicy> {
    let trust = if let Some(policy) = &seed.trust_policy {
        policy.text()
    } else {
        let trusted = seed.trusted.clone();
        let trusted = trusted.unwrap_or_else(|| vec![role_of(&service_identity.arn)]);
        shorthand::trust_policy(&trusted, seed.external_id.as_deref()).to_string()
    };
    let identity = if let Some(policy) = &seed.policy {
        policy.text().parse()?
    } else {
        let all = || vec!["*".to_owned()];
        shorthand::actions("Allow", &seed.permissions.clone().unwrap_or_else(all))?
    };
    let denied = &seed.denied_by_organization;
    let service_control = if denied.is_empty() { None } else { Some(shorthand::actions("Deny", denied)?) };
    let random = uuid::Uuid::new_v4().simple().to_string().to_uppercase();
    Ok(Role {
        name: seed.name.clone(),
        arn: format!("arn:{}:iam::{}:role/{}", account.partition, account.id, seed.name),
        unique_id: format!("AROA{}", random.chars().take(17).collect::<String>()),
        trust: trust.parse::<Policy>()?,
        identity,
        boundary: seed.permissions_boundary.as_ref().map(|policy| policy.text().parse()).transpose()?,
        service_control,
        max_session_duration: seed.max_session_duration.unwrap_or(3600),
    })
}

fn build_key(seed: &KeySeed, account: &str, aws: &AwsState) -> Result<Key, InvalidPolicy> {
    let or = |text: &Option<String>, default: &str| text.clone().unwrap_or_else(|| default.to_owned());
    let state = or(&seed.state, "Enabled");
    let month = jiff::SignedDuration::from_hours(30 * 24);
    let deletion = (state == "PendingDeletion").then(|| aws.now().saturating_add(month));
    Ok(Key {
        id: seed.id.clone(),
        arn: key_arn(&seed.id, account, &seed.region),
        account_id: account.to_owned(),
        spec: or(&seed.spec, "SYMMETRIC_DEFAULT"),
        usage: or(&seed.usage, "ENCRYPT_DECRYPT"),
        state,
        manager: or(&seed.manager, "CUSTOMER"),
        description: seed.description.clone(),
        multi_region: seed.multi_region,
        created: aws.now(),
        deletion: deletion.and_then(Result::ok),
        policy: key_policy(seed, account)?,
        tags: seed.tags.clone(),
    })
}

fn add_groups(region: &Region, seed: &LogGroupSeed, state: &AwsState) {
    let account = &region.account_id;
    let class = seed.class.clone().unwrap_or_else(|| "STANDARD".to_owned());
    let mut logs = region.logs();
    for n in 0..seed.count.unwrap_or(1) {
        let name = seed.name.replace("{n}", &n.to_string());
        let arn = region.arn("logs", &format!("log-group:{name}"));
        let mut group = LogGroup::new(arn, class.clone(), state.now());
        group.retention_days = seed.retention_days.or(group.retention_days);
        group.tags.clone_from(&seed.tags);
        let key = seed.key.as_ref();
        group.kms_key = key.map(|key| key_arn(key, account, &region.name));
        logs.groups.insert(name, group);
    }
}

fn add_queue(region: &Region, seed: &QueueSeed, state: &AwsState) {
    let mut queues = region.queues();
    let mut create = |name: &str| {
        let new = || Queue::new(region.arn("sqs", name), QueueSettings::default(), state.now());
        queues.create(name, new)
    };
    let default = QueueSettings::default();
    let redrive = seed.dead_letter_queue.as_ref().map(|name| Redrive {
        dead_letter_arn: create(name).arn.clone(),
        max_receives: seed.max_receive_count.unwrap_or(3),
    });
    let visibility_seconds = seed.visibility_timeout.unwrap_or(default.visibility_seconds);
    create(&seed.name).set_settings(QueueSettings { visibility_seconds, redrive, ..default });
}

fn add_service_identity(state: &AwsState, defaults: &Defaults) {
    let service_identity = &defaults.service_identity;
    let account = service_identity.arn.split(':').nth(4).unwrap_or_default();
    let existing = state.account(account);
    let owner = existing.unwrap_or_else(|| {
        let partition =
            partition::of_region(partition::default_region(partition::of_arn(&service_identity.arn)));
        let quotas = Arc::clone(&defaults.quotas);
        let owner = Arc::new(Account::new(account.to_owned(), partition, quotas));
        state.add_accounts(&[Arc::clone(&owner)]);
        owner
    });
    owner.open_every_region();
    let principal = Principal {
        account: account.to_owned(),
        user_id: "AROASANDBOXHUB:logkey".to_owned(),
        chained: service_identity.arn.contains(":assumed-role/"),
        role_arn: Some(role_of(&service_identity.arn)),
        arn: service_identity.arn.clone(),
        session: None,
        // The seed was checked.
        identity: service_identity.policy.as_ref().and_then(|policy| policy.text().parse().ok()),
        packed_tags_percent: service_identity.packed_tags_percent,
    };
    let credentials = &state.credentials;
    credentials.add_static(service_identity.access_key_id.clone(), principal);
}

/// Adds the account's administrator, for changes that do not go through the service.
fn add_admin(state: &AwsState, to: &Account) {
    let (account, partition) = (to.id.as_str(), to.partition);
    let principal = Principal {
        account: account.to_owned(),
        user_id: "AIDASANDBOXADMIN".to_owned(),
        chained: false,
        role_arn: None,
        arn: format!("arn:{partition}:iam::{account}:user/admin"),
        session: None,
        identity: None,
        packed_tags_percent: 0,
    };
    let credentials = &state.credentials;
    credentials.add_static(format!("AKIAADMIN{account}"), principal);
}

/// The role's ARN for an assumed-role ARN; any other ARN unchanged.
fn role_of(arn: &str) -> String {
    arn.split_once(":assumed-role/")
        .and_then(|(front, rest)| {
            let (partition, account) = front.strip_prefix("arn:")?.split_once(":sts::")?;
            let name = rest.split('/').next()?;
            Some(format!("arn:{partition}:iam::{account}:role/{name}"))
        })
        .unwrap_or_else(|| arn.to_owned())
}
