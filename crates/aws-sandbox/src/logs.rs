//! `CloudWatch` Logs: the keys of log groups and query results, and the operations around them.

mod associate;
mod describe;
mod events;
mod groups;
mod put;
mod queries;
mod resource;
pub(crate) mod service;

use crate::{api_error::ApiError, authorizer::Context, cloudtrail, service::Service, wire::answer::Answer};

/// Runs one operation, and reports it to the event queue.
pub(crate) fn execute(context: &Context<'_>) -> Result<Answer, ApiError> {
    let result = run(context);
    cloudtrail::report(context, result.as_ref());
    result
}

fn run(context: &Context<'_>) -> Result<Answer, ApiError> {
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
