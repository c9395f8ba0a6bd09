//! Diagnoses a possible association (`CheckKeyAssociation`): makes every check that an `AssociateKmsKey` call
//! depends on, and changes nothing.

use super::role_check::RoleCheck;
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociateKmsKey, CheckKeyAssociation, Resource, Source, Target},
        authorization::{Access, Authorized},
        aws::Region,
        diagnosis::{self, Check, CheckName, Diagnosis, GroupLookup, Lookup},
        key::KeyMetadata,
        principal::Scope,
        reason::Reason,
        request::CheckRequest,
    },
    service::{
        aws_message::aws_message,
        context::Context,
        error::{AwsCallError, Error, RequestError},
        shared::{
            log_groups, lookup, policy_facts,
            query_results_probe::{self, ObservedKey},
            resolve,
        },
    },
};

/// Makes every check of a possible association.
///
/// # Errors
///
/// [`Error`] if the caller may not run the checks. A problem with the association is a failed check.
pub async fn check(mut cx: Context, request: CheckRequest) -> Result<Diagnosis, Error> {
    let result = diagnose(&mut cx, request).await;
    cx.record_read(result)
}

async fn diagnose(cx: &mut Context, request: CheckRequest) -> Result<Diagnosis, Error> {
    let CheckRequest { resource, key: requested } = request;
    cx.audit.requested(&requested);
    cx.require(Scope::Read)?;
    let location = resolve::resolve_location(&*cx.tenant()?, &resource.location)?;
    let resource = Resource { location, target: resource.target };
    cx.audit.resource(&resource);
    cx.call.summary.set_resource(&resource);
    let authorized = cx.authorize(CheckKeyAssociation { resource })?;
    Ok(run_checks(cx, &authorized, &requested).await)
}

/// Makes every check, in the order in which a call would fail on them. Stops if nothing further can be read.
pub(in crate::service) async fn run_checks(
    cx: &mut Context,
    authorized: &Authorized<CheckKeyAssociation>,
    requested: &KmsKeyId,
) -> Diagnosis {
    let (access, resource) = (authorized.access(), &authorized.command().resource);
    if let Target::LogGroup(name) = &resource.target
        && name.is_reserved()
    {
        let check = Check::failed(
            CheckName::LogGroupNotReserved,
            Reason::LogGroupReserved,
            format!("log group {name} is reserved for AWS, because its name begins with aws/"),
            "use another log group",
        );
        return Diagnosis { checks: vec![check], key: None };
    }
    let mut checks = Vec::new();
    if let Target::LogGroup(name) = &resource.target {
        let detail = format!("log group {name} is not reserved for AWS");
        checks.push(Check::passed(CheckName::LogGroupNotReserved, detail));
    }
    if let Some(region) = foreign_region(requested, resource) {
        checks.push(diagnosis::check_foreign_key(region, resource));
        return Diagnosis { checks, key: None };
    }
    let group = match check_log_group(cx, access, &resource.target).await {
        Ok(group) => group,
        Err(blocking) => {
            checks.push(blocking);
            return Diagnosis { checks, key: None };
        }
    };
    let key = match check_key(cx, access, requested).await {
        Ok(key) => key,
        Err(blocking) => {
            checks.push(blocking);
            return Diagnosis { checks, key: None };
        }
    };
    checks.push(check_role(cx.audit.has_assumed_role()));
    checks.extend(match &resource.target {
        Target::LogGroup(_) => diagnosis::log_group(resource, &group),
        Target::QueryResults => {
            vec![check_query_results(cx, access, resource).await]
        }
    });
    checks.extend(diagnosis::key_exists(requested, resource, &key));
    let Lookup::Found(metadata) = &key else { return Diagnosis { checks, key: None } };
    let arn = metadata.arn.clone();
    cx.audit.resolved(&arn);
    let command = AssociateKmsKey {
        resource: resource.clone(),
        key: arn.clone(),
        requested_key: requested.clone(),
        reason: None,
    };
    checks.insert(0, check_policy(cx, access, command).await);
    if arn.region() == &resource.location.region {
        checks.extend(diagnosis::key_usable(metadata));
        let policy = lookup::fetch_policy(cx, access, &arn, cx.call.deadline).await;
        checks.push(diagnosis::key_policy(&arn, resource, &policy));
        let role = RoleCheck { access, resource, deadline: cx.call.deadline };
        checks.extend(role.check_may_associate(cx, &arn, &policy).await);
    }
    Diagnosis { checks, key: Some(arn) }
}

/// Whether policy allows the association.
async fn check_policy(cx: &mut Context, access: &Access, command: AssociateKmsKey) -> Check {
    let (tenant, key, resource) = (access.tenant(), command.key.clone(), command.resource.clone());
    let required = cx.required_facts(tenant, &command);
    match policy_facts::load_facts(cx, &required, access, Some(&key), &resource).await {
        Ok(facts) => {
            let decided = cx.decide_command(&facts, tenant, command);
            diagnosis::tenant_policy(decided.as_ref().map(|_| ()), &resource, &key)
        }
        Err(Error::Aws(AwsCallError::Diagnosed { cause, .. })) => *cause,
        Err(error) => Check::not_checked(CheckName::TenantPolicy, error.to_string()),
    }
}

/// The key of query results, from a query or from the service's own record.
async fn check_query_results(cx: &mut Context, access: &Access, resource: &Resource) -> Check {
    match query_results_probe::results_key(cx, access, resource).await {
        Ok(ObservedKey { record: Some(record), source: Source::Live }) => {
            diagnosis::check_query_results(record.key.as_ref())
        }
        Ok(ObservedKey { record, .. }) => diagnosis::check_recorded(record.map(|record| record.key)),
        Err(error) => Check::not_checked(CheckName::CurrentAssociation, error.to_string()),
    }
}

/// Reads the log group. The error is the failed check if nothing can be read in this location.
async fn check_log_group(
    cx: &mut Context,
    access: &Access,
    target: &Target,
) -> Result<Lookup<GroupLookup>, Check> {
    let Target::LogGroup(name) = target else { return Ok(Lookup::Absent) };
    match log_groups::find(cx, access, name, cx.call.deadline).await {
        Ok(group) => Ok(Lookup::Found(GroupLookup { key: group.key, class: group.class })),
        Err(Error::Request(RequestError::LogGroupNotFound { .. })) => Ok(Lookup::Absent),
        Err(error) => match lookup::blocking_check(cx, access, &error) {
            Some(blocking) => Err(blocking),
            None => Ok(Lookup::Unknown(match error.aws_answer() {
                Some(answer) => format!("AWS returned {}", aws_message(answer)),
                None => error.to_string(),
            })),
        },
    }
}

/// Reads the key. A key that is not granted to the tenant counts as absent. The error is the failed check if
/// nothing can be read in this location.
async fn check_key(
    cx: &mut Context,
    access: &Access,
    requested: &KmsKeyId,
) -> Result<Lookup<KeyMetadata>, Check> {
    let granted = |key: &KmsKeyArn| access.grant().allows_key(key);
    if let KmsKeyId::Arn(arn) = requested
        && !granted(arn)
    {
        return Ok(Lookup::Absent);
    }
    match lookup::describe_key(cx, access, requested, cx.call.deadline).await {
        Ok(Lookup::Found(key)) if !granted(&key.arn) => Ok(Lookup::Absent),
        Ok(read) => Ok(read),
        Err(error) => lookup::blocking_check(cx, access, &error)
            .map_or_else(|| Ok(Lookup::Unknown(error.to_string())), Err),
    }
}

/// The Region that the key names, if it is not the target's.
fn foreign_region<'k>(requested: &'k KmsKeyId, resource: &Resource) -> Option<&'k Region> {
    let region = match requested {
        KmsKeyId::Arn(arn) => arn.region(),
        KmsKeyId::AliasArn { region, .. } => region,
        KmsKeyId::Alias(_) | KmsKeyId::KeyId(_) => return None,
    };
    (*region != resource.location.region).then_some(region)
}

fn check_role(assumed: bool) -> Check {
    if assumed {
        Check::passed(CheckName::RoleAssumable, "the account's role can be assumed with the external id")
    } else {
        Check::not_checked(CheckName::RoleAssumable, "the role was not assumed because AWS was not reached")
    }
}
