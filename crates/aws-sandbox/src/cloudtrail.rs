//! Reports the calls that create a log group or change a key, as `CloudTrail` and `EventBridge` do, to the queue
//! that the seed names. AWS reports within minutes; the sandbox reports at once.
//!
//! The members: <https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html> and
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>.

use serde_json::{Map, Value, json};

use crate::{
    api_error::ApiError, authorizer::Context, identity::Principal, sqs::queue, state::queues::Message,
    wire::answer::Answer,
};

/// The calls that are reported.
const REPORTED: [&str; 3] = ["CreateLogGroup", "AssociateKmsKey", "DisassociateKmsKey"];

/// Sends the event of a call to the event queue, if there is one.
pub(crate) fn report(context: &Context<'_>, result: Result<&Answer, &ApiError>) {
    if !REPORTED.contains(&context.call.operation.as_str()) {
        return;
    }
    let arn = context.state.event_queue();
    if let Some(queue) = arn.and_then(|arn| queue::find(context.state, &arn)) {
        queue.push(Message::new(event(context, result.err()).to_string(), context.now, 0));
    }
}

fn event(context: &Context<'_>, refusal: Option<&ApiError>) -> Value {
    let (account, region) = (&context.account.id, &context.region.name);
    // CloudTrail and EventBridge give whole seconds.
    let time = format!("{:.0}", context.now);
    let mut detail = json!({
        "eventVersion": "1.11",
        "userIdentity": user_identity(context),
        "eventTime": time,
        "eventSource": "logs.amazonaws.com",
        "eventName": context.call.operation,
        "awsRegion": region,
        "sourceIPAddress": "127.0.0.1",
        "userAgent": "logkey-sandbox",
        "requestParameters": context.call.params,
        "responseElements": null,
        "requestID": context.request_id,
        "eventID": uuid::Uuid::new_v4().to_string(),
        "readOnly": false,
        "eventType": "AwsApiCall",
        "apiVersion": "20140328",
        "managementEvent": true,
        "recipientAccountId": account,
        "eventCategory": "Management",
    });
    if let (Some(refusal), Some(fields)) = (refusal, detail.as_object_mut()) {
        // CloudTrail's code for a denied call has no suffix.
        let code = if refusal.code == "AccessDeniedException" { "AccessDenied" } else { &refusal.code };
        fields.insert("errorCode".to_owned(), code.into());
        fields.insert("errorMessage".to_owned(), refusal.message.as_str().into());
    }
    json!({
        "version": "0",
        "id": uuid::Uuid::new_v4().to_string(),
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.logs",
        "account": account,
        "time": time,
        "region": region,
        "resources": [],
        "detail": detail,
    })
}

/// `userIdentity`:
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html>.
fn user_identity(context: &Context<'_>) -> Value {
    let principal = &context.principal;
    let mut identity = json!({
        "principalId": principal.user_id,
        "arn": principal.arn,
        "accountId": principal.account,
        "accessKeyId": context.call.unverified_access_key,
    });
    let Some(fields) = identity.as_object_mut() else { return identity };
    if principal.arn.contains(":assumed-role/") {
        fields.insert("type".to_owned(), "AssumedRole".into());
        fields.insert("sessionContext".to_owned(), session_context(principal));
    } else {
        fields.insert("type".to_owned(), "IAMUser".into());
        fields.insert("userName".to_owned(), principal.arn.rsplit('/').next().into());
    }
    identity
}

fn session_context(principal: &Principal) -> Value {
    let role_arn = principal.role_arn.as_deref().unwrap_or_default();
    let mut context = Map::new();
    let issuer = json!({
        "type": "Role",
        "principalId": principal.user_id.split(':').next(),
        "arn": role_arn,
        "accountId": principal.account,
        "userName": role_arn.rsplit('/').next(),
    });
    context.insert("sessionIssuer".to_owned(), issuer);
    context.insert("attributes".to_owned(), json!({ "mfaAuthenticated": "false" }));
    let session = principal.session.as_ref();
    if let Some(identity) = session.and_then(|session| session.source_identity.as_deref()) {
        context.insert("sourceIdentity".to_owned(), identity.into());
    }
    context.into()
}
