//! Tests what is installed in an account (`TestAccess`): assumes the role with and without the external id,
//! tries each read, and lets IAM simulate each change, because a real change has an effect.

use std::sync::Arc;

use super::{
    optional_permissions,
    role_check::{self, Simulated, check_simulated},
};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{Resource, Target, TestAccess, UnresolvedLocation},
        authorization::Access,
        diagnosis::{self, Check, CheckName, Denied, Diagnosis, RolePermission},
        onboarding::{
            self, LOOK_AT_KEYS, READ_QUERY, RUN_QUERY, SET_KEY_OF_QUERY_RESULTS, SET_KEYS, USE_KEYS,
        },
        policy_simulation::{ASSOCIATE, DISASSOCIATE, SimulationRequest},
        principal::Scope,
        reason::Reason,
        refusal::DenyingPolicy,
        remedy,
    },
    ports::{LogGroup, UpstreamError, aws::Refusal, limit::Operation},
    service::{
        aws_message::aws_message,
        context::Context,
        error::Error,
        shared::{
            audit_context::AuditContext,
            lookup,
            query_results_probe::{self, Inconclusive, ProbeResult, Remedy},
            resolve,
            upstream::{self, read_error},
        },
    },
};

const ASSUMED: &str = "the account's role can be assumed with the external id";

/// Tests what is installed in an account.
///
/// # Errors
///
/// [`Error`] if the caller may not test the account. A problem with the installation is a failed check.
pub async fn test_access(mut cx: Context, location: UnresolvedLocation) -> Result<Diagnosis, Error> {
    let result = check_access(&mut cx, &location).await;
    cx.record_read(result)
}

async fn check_access(cx: &mut Context, location: &UnresolvedLocation) -> Result<Diagnosis, Error> {
    cx.require(Scope::Read)?;
    let location = resolve::resolve_location(&*cx.tenant()?, location)?;
    cx.call.summary.set_location(&location);
    let authorized = cx.authorize(TestAccess { location })?;
    let access = authorized.access();
    let (state, deadline) = (Arc::clone(&cx.state), cx.call.deadline);
    let send = state.ports.log_groups.page(access, None, None, deadline);
    let read = upstream::attempt(cx, access, Operation::DescribeLogGroups, deadline, send).await?;
    cx.audit.record_aws_call(read.via);
    let mut checks = Vec::new();
    match read.result {
        Err(error) => {
            let unreadable = unreadable_check(access, &error);
            let assumable = assume_role_check(&cx.audit, &error);
            let error = read_error(error, cx.call.deadline);
            if let Some(blocking) = lookup::blocking_check(cx, access, &error) {
                if cx.audit.has_assumed_role() {
                    checks.push(assumable);
                }
                checks.push(blocking);
                checks.push(check_external_id(cx, access).await);
                return Ok(Diagnosis { checks, key: None });
            }
            checks.push(assumable);
            checks.push(unreadable);
            checks.extend(check_keys_and_writes(cx, access, &[]).await);
            if access.grant().verify_query_results {
                let detail = "no log group was found that could be queried";
                checks.push(Check::not_checked(CheckName::RoleQueryPermission, detail));
            }
        }
        Ok(page) => {
            checks.push(Check::passed(CheckName::RoleAssumable, ASSUMED));
            checks.push(Check::passed(CheckName::RoleReadPermission, "the role may list log groups"));
            checks.extend(check_keys_and_writes(cx, access, &page.groups).await);
            if access.grant().verify_query_results {
                checks.push(check_query(cx, access).await);
            }
        }
    }
    if cx.audit.has_assumed_role() {
        checks.extend(optional_permissions::check_quotas(cx, access).await);
    }
    checks.push(check_external_id(cx, access).await);
    Ok(Diagnosis { checks, key: None })
}

async fn check_keys_and_writes(cx: &mut Context, access: &Access, groups: &[LogGroup]) -> Vec<Check> {
    let (grant, location) = (access.grant(), access.location());
    let mut checks = Vec::new();
    let keys = onboarding::sample_keys(grant, location);
    let targets = onboarding::sample_targets(grant, location);
    if !keys.is_empty() {
        let sample_key = sample_key(access, groups);
        checks.push(check_key_reads(cx, access, &keys, sample_key.as_ref()).await);
        let samples = optional_permissions::Samples {
            keys: &keys,
            targets: &targets,
            groups,
            sample_key: sample_key.as_ref(),
        };
        checks.extend(optional_permissions::check_key_tags(cx, access, &samples).await);
        let simulation = SimulationRequest::key_use(location, keys.iter().map(ToString::to_string).collect());
        let permission = "use the granted keys through CloudWatch Logs";
        let name = CheckName::RoleKmsPermission;
        checks.push(
            check_simulated(cx, access, Simulated { name, permission, statement: USE_KEYS }, &simulation)
                .await,
        );
    }
    if !targets.is_empty() {
        let actions = [ASSOCIATE, DISASSOCIATE];
        let simulation = SimulationRequest::changes(location, &actions, &targets);
        let (via, found) = role_check::simulate(cx.ports(), access, &simulation, cx.call.deadline).await;
        cx.audit.record_aws_call(via);
        let document = onboarding::role_statements(grant, &[SET_KEYS, SET_KEY_OF_QUERY_RESULTS]);
        let permission = "change the keys of everything that is granted";
        let check = RolePermission { role: &grant.role, simulated: &found, permission, document: &document };
        checks.push(check.changes_allowed(&actions, &targets));
    }
    checks
}

/// Reads a key that the tenant may use, if one is known. Otherwise IAM simulates the reads.
async fn check_key_reads(
    cx: &mut Context,
    access: &Access,
    samples: &[KmsKeyArn],
    sample_key: Option<&KmsKeyArn>,
) -> Check {
    let name = CheckName::RoleKeyReadPermission;
    let Some(key) = sample_key else {
        let simulation = SimulationRequest::key_reads_of(
            access.location(),
            samples.iter().map(ToString::to_string).collect(),
        );
        let permission = "read the granted keys and their policies";
        return check_simulated(
            cx,
            access,
            Simulated { name, permission, statement: LOOK_AT_KEYS },
            &simulation,
        )
        .await;
    };
    let key_id = KmsKeyId::Arn(key.clone());
    let described = cx.ports().keys.describe(access, &key_id, cx.call.deadline).await;
    cx.audit.record_aws_call(described.via);
    let policy = cx.ports().keys.policy(access, key, cx.call.deadline).await;
    cx.audit.record_aws_call(policy.via);
    match described.result.map(drop).and(policy.result.map(drop)) {
        Ok(()) => Check::passed(name, format!("the role may read {key} and its policy")),
        Err(UpstreamError::Refused { refusal: Refusal::Denied(_) | Refusal::Other, answer }) => {
            let detail =
                format!("the role may not read {key} and its policy: AWS returned {}", aws_message(&answer));
            Check::failed(name, Reason::RoleLacksKmsPermission, detail, "").with_remedy_for(
                &answer.message,
                "add this statement to the role's policy; the key's policy must let the account's own policies decide",
                &remedy::role_read_statement(key),
            )
        }
        Err(error) => Check::not_checked(name, lookup::lookup_error(&error)),
    }
}

/// Runs the query that shows the key of query results.
async fn check_query(cx: &mut Context, access: &Access) -> Check {
    let name = CheckName::RoleQueryPermission;
    match query_results_probe::probe(cx, access).await {
        ProbeResult::Confirmed(_) => Check::passed(name, "a query shows the key of query results"),
        ProbeResult::Unknown(Inconclusive { message, helps: Remedy::Permission }) => {
            let detail = format!("the role may not find the key of query results with a query: {message}");
            let remedy = "add these statements to the role's policy; the policies of the keys of the query results and of the queried log group must let the role decrypt through CloudWatch Logs";
            let document = onboarding::role_statements(access.grant(), &[RUN_QUERY, READ_QUERY, USE_KEYS]);
            Check::failed(name, Reason::RoleLacksLogsPermission, detail, "")
                .with_remedy_for(&message, remedy, &document)
        }
        ProbeResult::Unknown(Inconclusive { message, helps: Remedy::Time | Remedy::Nothing }) => {
            Check::not_checked(name, message)
        }
        ProbeResult::Off => Check::not_checked(
            name,
            "the account's grant does not enable these queries (verify_query_results)",
        ),
    }
}

/// Tries to assume the role without the external id, which must fail.
async fn check_external_id(cx: &mut Context, access: &Access) -> Check {
    let trust = cx.ports().roles.trusts_without_external_id(access, cx.call.deadline).await;
    cx.audit.record_aws_call(trust.via);
    match trust.result {
        Ok(false) => Check::passed(
            CheckName::RoleNeedsExternalId,
            "the role cannot be assumed without the external id",
        ),
        Ok(true) => Check::failed(
            CheckName::RoleNeedsExternalId,
            Reason::RoleNotAssumable,
            "the role can be assumed without the external id, so anyone who can make this service call AWS for them could reach your account",
            "add the condition StringEquals sts:ExternalId to the role's trust policy, as in the response of GetOnboarding",
        ),
        Err(error) => Check::not_checked(CheckName::RoleNeedsExternalId, lookup::lookup_error(&error)),
    }
}

/// A key that the tenant may use and that probably exists: the configuration names it, or a log group has it.
fn sample_key(access: &Access, groups: &[LogGroup]) -> Option<KmsKeyArn> {
    let (grant, location) = (access.grant(), access.location());
    let same_account = |key: &KmsKeyArn| key.account() == location.account && grant.allows_key(key);
    let in_use = groups.iter().filter_map(|group| group.key.clone());
    onboarding::exact_keys(grant, location).into_iter().chain(in_use).find(same_account)
}

fn assume_role_check(audit: &AuditContext, error: &UpstreamError) -> Check {
    if audit.has_assumed_role() {
        Check::passed(CheckName::RoleAssumable, ASSUMED)
    } else {
        Check::not_checked(CheckName::RoleAssumable, lookup::lookup_error(error))
    }
}

fn unreadable_check(access: &Access, error: &UpstreamError) -> Check {
    match error {
        UpstreamError::Refused { refusal: Refusal::Denied(denial), answer } => {
            let detail = format!("the role may not list log groups: AWS returned {}", aws_message(answer));
            if !denial.explicit && matches!(denial.by, DenyingPolicy::Unspecified | DenyingPolicy::Identity) {
                let remedy = "allow the role logs:DescribeLogGroups, as in the response of GetOnboarding";
                let (name, reason) = (CheckName::RoleReadPermission, Reason::RoleLacksLogsPermission);
                return Check::failed(name, reason, detail, remedy);
            }
            let resource = Resource { location: access.location().clone(), target: Target::QueryResults };
            let role = &access.grant().role;
            let denied = Denied { denial: *denial, role, resource: &resource, key: None };
            let check = diagnosis::denied(denied);
            // The statement is about the changes, and this is about a read.
            let remedy = check.remedy.replace("add this statement", "allow logs:DescribeLogGroups");
            let remedy = remedy.replace("DescribeLogGroups to the", "DescribeLogGroups in the");
            Check { name: CheckName::RoleReadPermission, detail, remedy, document: None, ..check }
        }
        UpstreamError::Refused { answer, .. } => {
            let detail = format!("the log groups could not be listed: AWS returned {}", aws_message(answer));
            Check::not_checked(CheckName::RoleReadPermission, detail)
        }
        UpstreamError::RoleNotAssumable { .. }
        | UpstreamError::StsThrottled { .. }
        | UpstreamError::ServiceMisconfigured { .. }
        | UpstreamError::Conflict { .. }
        | UpstreamError::Throttled { .. }
        | UpstreamError::Fault { .. }
        | UpstreamError::NotSent(_)
        | UpstreamError::Unanswered(_) => {
            Check::not_checked(CheckName::RoleReadPermission, lookup::lookup_error(error))
        }
    }
}
