//! `CloudWatch` Logs: the keys of log groups and query results, and the operations around them.

mod associate;
mod describe;
mod events;
mod groups;
mod put;
mod queries;
mod service;

use super::{
    api_error::ApiError,
    authorizer::Context,
    state::Region,
    validate,
    wire::{Answer, Service},
};

pub(crate) use self::{
    groups::{CLASSES, RETENTION_DAYS},
    service::may_use,
};

/// Runs one operation.
pub(crate) fn execute(context: &Context<'_>) -> Result<Answer, ApiError> {
    match context.call.operation.as_str() {
        "AssociateKmsKey" => associate::associate(context),
        "DisassociateKmsKey" => associate::disassociate(context),
        "DescribeLogGroups" => describe::describe(context),
        "CreateLogGroup" => groups::create(context),
        "DeleteLogGroup" => groups::delete(context),
        "PutRetentionPolicy" | "DeleteRetentionPolicy" => groups::retention(context),
        "ListTagsForResource" => groups::list_tags(context),
        "TagResource" => groups::tag(context),
        "CreateLogStream" => events::create_stream(context),
        "PutLogEvents" => put::put(context),
        "GetLogEvents" => events::get(context),
        "DescribeLogStreams" => events::streams(context),
        "StartQuery" => queries::start(context),
        "GetQueryResults" => queries::results(context),
        other => Err(ApiError::unknown_operation(Service::Logs, other)),
    }
}

/// A log group's ARN, without the `:*` that policies append.
fn group_arn(region: &Region, name: &str) -> String {
    region.arn("logs", &format!("log-group:{name}"))
}

/// Checks that the caller may perform the current operation on a log group. Policies name a log group with
/// and without a suffix; AWS's error shows the ARN with the log stream.
fn authorize_group(context: &Context<'_>, name: &str) -> Result<(), ApiError> {
    let arn = group_arn(&context.region, name);
    let (shown, all) = (format!("{arn}:log-stream:"), format!("{arn}:*"));
    let action = format!("logs:{}", context.call.operation);
    context.authorize(&action, &[&shown, &arn, &all], &[])
}

/// Checks the same for a log stream, which policies may also name.
fn authorize_stream(context: &Context<'_>, name: &str, stream: &str) -> Result<(), ApiError> {
    let arn = group_arn(&context.region, name);
    let shown = format!("{arn}:log-stream:{stream}");
    let all = format!("{arn}:*");
    let action = format!("logs:{}", context.call.operation);
    context.authorize(&action, &[&shown, &arn, &all], &[])
}

/// The name of a log group that is given by its name, or by an ARN in the caller's account and Region.
fn parse_group_name<'a>(context: &Context<'_>, identifier: &'a str) -> Result<&'a str, ApiError> {
    if !identifier.starts_with("arn:") {
        validate::log_group_name(identifier)?;
        return Ok(identifier);
    }
    let own = group_arn(&context.region, "");
    // For a log group of another account or Region, AWS answers as if it did not exist.
    let name = identifier.strip_prefix(&own).ok_or_else(ApiError::log_group_not_found)?;
    let name = name.strip_suffix(":*").unwrap_or(name);
    validate::log_group_name(name)?;
    Ok(name)
}
