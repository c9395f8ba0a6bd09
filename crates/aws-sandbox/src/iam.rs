//! Identity and Access Management: `SimulatePrincipalPolicy` for roles.

use std::collections::BTreeSet;

use crate::{
    api_error::ApiError,
    authorizer::Context,
    condition_keys::Facts,
    policy::evaluation::{EvalPrincipal, EvalRequest, Verdict},
    service::Service,
    state::account::Role,
    validate,
    wire::answer::{Answer, escape},
};

/// The default number of results on a page.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;
/// Context keys that AWS derives from the simulated principal, so the caller need not supply them.
const CONTEXT_KEYS: [&str; 3] = ["aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalType"];

/// The result of simulating one action on one resource.
struct Simulation {
    resource: String,
    decision: &'static str,
    by_organization: bool,
    matched: bool,
    missing: BTreeSet<String>,
}

/// Runs one operation.
pub(crate) fn execute(context: &Context<'_>) -> Result<Answer, ApiError> {
    match context.call.operation.as_str() {
        "SimulatePrincipalPolicy" => simulate(context),
        other => Err(ApiError::unknown_operation(Service::Iam, other)),
    }
}

fn simulate(context: &Context<'_>) -> Result<Answer, ApiError> {
    let call = context.call;
    let Some(source) = call.param("PolicySourceArn") else {
        let rule = "Member must not be null";
        return Err(ApiError::constraint(Service::Iam, "policySourceArn", "null", rule));
    };
    context.authorize("iam:SimulatePrincipalPolicy", &[source], &[])?;
    let unsupported =
        ["PolicyInputList.member.1", "PermissionsBoundaryPolicyInputList.member.1", "ResourcePolicy"];
    if let Some(name) = unsupported.into_iter().find(|name| call.param(name).is_some()) {
        let text = format!("the sandbox does not support the parameter {name}");
        return Err(ApiError::new("InvalidInput", text));
    }
    let (account, name) = validate::role_arn(source)?;
    let role = (account == context.account.id).then(|| context.account.role(name)).flatten();
    let role =
        role.ok_or_else(|| ApiError::no_such_entity(format!("The role with name {name} cannot be found.")))?;
    let actions = call.members("ActionNames");
    if actions.is_empty() {
        let constraint = "Member must have length greater than or equal to 1";
        return Err(ApiError::constraint(Service::Iam, "actionNames", "[]", constraint));
    }
    if let Some(bad) = actions.iter().find(|action| !action.contains(':')) {
        return Err(ApiError::new("InvalidInput", format!("Invalid Action Name: {bad}")));
    }
    let mut resources = call.members("ResourceArns");
    if resources.is_empty() {
        resources.push("*");
    }
    let context_entries = parse_context_entries(context);
    let results = actions.iter().map(|action| {
        let each =
            resources.iter().map(|resource| simulate_one(context, &role, action, resource, &context_entries));
        evaluate_action(action, &each.collect::<Vec<_>>())
    });
    page(context, &results.collect::<Vec<_>>())
}

/// Parses `ContextEntries`. A key with several values appears once for each.
fn parse_context_entries<'a>(context: &'a Context<'_>) -> Vec<(&'a str, &'a str)> {
    let call = context.call;
    let each = (1..).map_while(|n| {
        let entry = format!("ContextEntries.member.{n}");
        let key = call.param(&format!("{entry}.ContextKeyName"))?;
        let values = call.members(&format!("{entry}.ContextKeyValues"));
        Some(values.into_iter().map(move |value| (key, value)))
    });
    each.flatten().collect()
}

/// Evaluates the role's own policy, its permissions boundary and the organization's policy. As in AWS, no resource policies are evaluated for
/// roles.
fn simulate_one(
    context: &Context<'_>,
    role: &Role,
    action: &str,
    resource: &str,
    context_entries: &[(&str, &str)],
) -> Simulation {
    let mut facts: Facts<'_> = vec![
        ("aws:PrincipalAccount", &context.account.id),
        ("aws:PrincipalArn", &role.arn),
        ("aws:PrincipalType", "AssumedRole"),
    ];
    facts.extend(context_entries);
    let has_fact = |key: &str| facts.iter().any(|(name, _)| name.eq_ignore_ascii_case(key));
    let missing = role.identity.condition_keys().filter(|key| !has_fact(key) && !CONTEXT_KEYS.contains(key));
    let missing = missing.map(str::to_owned).collect();
    let principal =
        EvalPrincipal::Iam { account: &context.account.id, arn: &role.arn, role_arn: Some(&role.arn) };
    let request = EvalRequest { principal, action, resources: &[resource], context: &facts };
    let own = role.identity.verdict(&request);
    let by_organization =
        role.service_control.as_ref().is_some_and(|policy| policy.verdict(&request) == Verdict::Denied);
    let boundary = role.boundary.as_ref().map(|policy| policy.verdict(&request));
    let decision = match own {
        Verdict::Denied => "explicitDeny",
        _ if by_organization || boundary == Some(Verdict::Denied) => "explicitDeny",
        _ if boundary == Some(Verdict::NoMatch) => "implicitDeny",
        Verdict::Allows | Verdict::AllowsAccount => "allowed",
        Verdict::NoMatch => "implicitDeny",
    };
    Simulation {
        resource: resource.to_owned(),
        decision,
        by_organization,
        matched: !by_organization && own != Verdict::NoMatch,
        missing,
    }
}

/// Renders the result of one action: the most severe decision, and the decision for each resource.
fn evaluate_action(action: &str, each: &[Simulation]) -> String {
    let severity = |result: &&Simulation| match result.decision {
        "allowed" => 0,
        "implicitDeny" => 1,
        _ => 2,
    };
    let decision = each.iter().max_by_key(severity).map_or("implicitDeny", |worst| worst.decision);
    let missing = each.iter().flat_map(|result| result.missing.iter().cloned()).collect();
    let matched = each.iter().any(|result| result.matched && result.decision == decision);
    let allowed_by_organization = !each.iter().any(|result| result.by_organization);
    let specific: Vec<String> = each
        .iter()
        .filter(|result| result.resource != "*")
        .map(|result| {
            format!(
                "<member><EvalResourceName>{}</EvalResourceName><EvalResourceDecision>{}</EvalResourceDecision>{}{}</member>",
                escape(&result.resource),
                result.decision,
                statements(result.matched),
                values(&result.missing),
            )
        })
        .collect();
    let specific = specific.concat();
    format!(
        "<member><EvalActionName>{}</EvalActionName><EvalResourceName>*</EvalResourceName>\
         <EvalDecision>{decision}</EvalDecision>{}{}\
         <OrganizationsDecisionDetail><AllowedByOrganizations>{allowed_by_organization}</AllowedByOrganizations></OrganizationsDecisionDetail>\
         <ResourceSpecificResults>{specific}</ResourceSpecificResults></member>",
        escape(action),
        statements(matched),
        values(&missing),
    )
}

/// Renders whether a statement matched. The sandbox does not return its position in the policy.
fn statements(matched: bool) -> &'static str {
    if matched {
        "<MatchedStatements><member><SourcePolicyId>identity</SourcePolicyId>\
         <SourcePolicyType>IAM Policy</SourcePolicyType></member></MatchedStatements>"
    } else {
        "<MatchedStatements/>"
    }
}

fn values(missing: &BTreeSet<String>) -> String {
    let members: Vec<String> =
        missing.iter().map(|key| format!("<member>{}</member>", escape(key))).collect();
    let members = members.concat();
    format!("<MissingContextValues>{members}</MissingContextValues>")
}

fn page(context: &Context<'_>, results: &[String]) -> Result<Answer, ApiError> {
    let number = |name: &str, default: usize| match context.call.param(name) {
        None => Ok(default),
        Some(text) => {
            text.parse().map_err(|_no_number| ApiError::malformed(Service::Iam, format!("{name}: {text}")))
        }
    };
    let (max, from) = (number("MaxItems", PAGE)?.clamp(1, MAX_PAGE), number("Marker", 0)?);
    let inside: String = results.iter().skip(from).take(max).map(String::as_str).collect();
    let end = from.saturating_add(max);
    let rest = if end < results.len() {
        format!("<IsTruncated>true</IsTruncated><Marker>{end}</Marker>")
    } else {
        "<IsTruncated>false</IsTruncated>".to_owned()
    };
    Ok(Answer::Xml(format!("<EvaluationResults>{inside}</EvaluationResults>{rest}")))
}
