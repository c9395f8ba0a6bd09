//! The Security Token Service: `AssumeRole` and `GetCallerIdentity`.

use jiff::SignedDuration;
use serde::Deserialize;

use crate::{
    api_error::ApiError,
    authorizer::Context,
    fault::plan::ResponseMutation,
    identity::{Principal, Session},
    partition,
    policy::evaluation::{EvalRequest, Policy, Verdict},
    service::Service,
    state::account::Role,
    validate,
    wire::answer::{Answer, escape},
};

/// AWS's limit for a session that is assumed with another session's credentials (role chaining), in seconds.
const CHAINED_SECONDS: i64 = 3600;
const MAX_SESSION_POLICY: usize = 2048;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRole {
    role_arn: String,
    role_session_name: String,
    external_id: Option<String>,
    source_identity: Option<String>,
    duration_seconds: Option<String>,
    policy: Option<String>,
    #[serde(rename = "Tags.member.1.Key")]
    first_tag: Option<String>,
}

/// Runs one operation.
pub(crate) fn execute(context: &Context<'_>) -> Result<Answer, ApiError> {
    match context.call.operation.as_str() {
        "AssumeRole" => assume_role(context),
        "GetCallerIdentity" => Ok(caller_identity(&context.principal)),
        other => Err(ApiError::unknown_operation(Service::Sts, other)),
    }
}

fn caller_identity(principal: &Principal) -> Answer {
    Answer::Xml(format!(
        "<Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account>",
        escape(&principal.arn),
        escape(&principal.user_id),
        principal.account
    ))
}

fn assume_role(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: AssumeRole = context.call.input()?;
    let duration = parse_duration(context, &input)?;
    let policy = session_policy(context, input.policy.as_deref())?;
    let role = authorize_role(context, &input)?;
    if duration > role.max_session_duration {
        let text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
        return Err(ApiError::new("ValidationError", text));
    }
    let duration = match context.mutation {
        ResponseMutation::ExpiredCredentials => SignedDuration::from_secs(-60),
        ResponseMutation::None | ResponseMutation::WrongAccount(_) => SignedDuration::from_secs(duration),
    };
    let expires = context.now.saturating_add(duration).unwrap_or(context.now);
    Ok(issue(context, &role, input, policy, expires))
}

fn parse_duration(context: &Context<'_>, input: &AssumeRole) -> Result<i64, ApiError> {
    validate::session_text("roleSessionName", &input.role_session_name)?;
    if let Some(identity) = &input.source_identity {
        validate::session_text("sourceIdentity", identity)?;
    }
    if let Some(id) = &input.external_id {
        validate::external_id(id)?;
    }
    let text = input.duration_seconds.as_deref().unwrap_or("3600");
    let seconds = text.parse().ok().filter(|seconds| (900..=43_200).contains(seconds)).ok_or_else(|| {
        let rule = "Member must have value between 900 and 43200";
        ApiError::constraint(Service::Sts, "durationSeconds", text, rule)
    })?;
    if context.principal.chained && seconds > CHAINED_SECONDS {
        let text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
        return Err(ApiError::new("ValidationError", text));
    }
    Ok(seconds)
}

/// The packed size of the session policy and of the tags, in percent of the allotted space. AWS does not document
/// how it packs them, so the length of the policy counts.
fn packed_percent(context: &Context<'_>, policy: &str) -> usize {
    context.principal.packed_tags_percent + (policy.len() * 100).div_ceil(MAX_SESSION_POLICY)
}

fn session_policy(context: &Context<'_>, text: Option<&str>) -> Result<Option<Policy>, ApiError> {
    let Some(text) = text else {
        return Ok(None);
    };
    if text.len() > MAX_SESSION_POLICY {
        let rule = "Member must have length less than or equal to 2048";
        return Err(ApiError::constraint(Service::Sts, "policy", "...", rule));
    }
    let percent = packed_percent(context, text);
    if percent > 100 {
        let text = format!("Packed policy consumes {percent}% of allotted space, please use smaller policy.");
        return Err(ApiError::new("PackedPolicyTooLarge", text));
    }
    let policy = text.parse().map_err(|_error| {
        let text = "This policy contains invalid Json";
        ApiError::new("MalformedPolicyDocument", text)
    })?;
    Ok(Some(policy))
}

/// Returns the role, if it trusts the caller and the caller's own policies allow the call. Of the role, the error
/// says neither whether it exists nor what its trust policy lacks. It names a deny, and the caller's own policy.
fn authorize_role(context: &Context<'_>, input: &AssumeRole) -> Result<std::sync::Arc<Role>, ApiError> {
    let denied = |action: &str| {
        let text = format!(
            "User: {} is not authorized to perform: {action} on resource: {}",
            context.principal.arn, input.role_arn
        );
        ApiError::access_denied(Service::Sts, &text)
    };
    let (account, name) = validate::role_arn(&input.role_arn)?;
    let role = context
        .state
        .account(account)
        .and_then(|account| account.role(name))
        .filter(|role| partition::of_arn(&role.arn) == partition::of_arn(&input.role_arn))
        .ok_or_else(|| denied("sts:AssumeRole"))?;
    let mut facts = context.facts(&[]);
    facts.push(("sts:RoleSessionName", &input.role_session_name));
    for (key, value) in
        [("sts:ExternalId", &input.external_id), ("sts:SourceIdentity", &input.source_identity)]
    {
        facts.extend(value.as_deref().map(|value| (key, value)));
    }
    let required_actions = [
        ("sts:AssumeRole", true),
        ("sts:SetSourceIdentity", input.source_identity.is_some()),
        ("sts:TagSession", input.first_tag.is_some()),
    ];
    for (action, _) in required_actions.into_iter().filter(|(_, required)| *required) {
        let trust = role.trust.verdict(&EvalRequest {
            principal: context.principal.eval_principal(),
            action,
            resources: &[&role.arn],
            context: &facts,
        });
        let direct = trust == Verdict::Allows && account == context.account.id;
        match trust {
            Verdict::Denied => {
                let text =
                    format!("{} with an explicit deny in the role trust policy", denied(action).message);
                return Err(ApiError::access_denied(Service::Sts, &text));
            }
            Verdict::NoMatch => return Err(denied(action)),
            Verdict::Allows | Verdict::AllowsAccount => {}
        }
        if !direct {
            context.authorize(action, &[&role.arn], &[])?;
        }
    }
    Ok(role)
}

fn issue(
    context: &Context<'_>,
    role: &Role,
    input: AssumeRole,
    policy: Option<Policy>,
    expires: jiff::Timestamp,
) -> Answer {
    let (account, _) = validate::role_arn(&input.role_arn).unwrap_or_default();
    let account = account.to_owned();
    let partition = partition::of_arn(&role.arn);
    let name = input.role_session_name;
    let user = format!("assumed-role/{}/{name}", role.name);
    let user_id = format!("{}:{name}", role.unique_id);
    let random = || uuid::Uuid::new_v4().simple().to_string();
    let key: String = random().to_uppercase().chars().take(16).collect();
    let access_key = format!("ASIA{key}");
    let token = format!("sandbox{}{}", random(), random());
    let secret = random();
    let claimed_account = match &context.mutation {
        ResponseMutation::WrongAccount(other) => other,
        ResponseMutation::None | ResponseMutation::ExpiredCredentials => &account,
    };
    // In percent; AWS returns it only with a session policy.
    let packed = input.policy.as_ref().map_or(String::new(), |text| {
        let percent = packed_percent(context, text);
        format!("<PackedPolicySize>{percent}</PackedPolicySize>")
    });
    let source_identity = input
        .source_identity
        .as_ref()
        .map_or(String::new(), |id| format!("<SourceIdentity>{}</SourceIdentity>", escape(id)));
    let answer = format!(
        "<AssumedRoleUser><AssumedRoleId>{user_id}</AssumedRoleId><Arn>arn:{partition}:sts::{claimed_account}:{user}</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>{token}</SessionToken><Expiration>{}</Expiration></Credentials>{packed}{source_identity}",
        secret,
        expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    );
    let principal = Principal {
        arn: format!("arn:{partition}:sts::{account}:{user}"),
        account,
        user_id,
        chained: true,
        identity: None,
        packed_tags_percent: context.principal.packed_tags_percent,
        role_arn: Some(role.arn.clone()),
        session: Some(Session {
            role_name: role.name.clone(),
            name,
            token,
            secret,
            expires,
            policy,
            source_identity: input.source_identity,
        }),
    };
    context.state.credentials.add_session(access_key, principal);
    Answer::Xml(answer)
}
