//! Log groups as requests name them and policies match them.

use crate::{api_error::ApiError, authorizer::Context, state::region::Region, validate};

/// A log group's ARN, without the `:*` that policies append.
pub(super) fn group_arn(region: &Region, name: &str) -> String {
    region.arn("logs", &format!("log-group:{name}"))
}

/// Checks that the caller may perform the current operation on a log group. Policies name a log group with
/// and without a suffix; AWS's error shows the ARN with the log stream.
pub(super) fn authorize_group(context: &Context<'_>, name: &str) -> Result<(), ApiError> {
    let arn = group_arn(&context.region, name);
    let (shown, all) = (format!("{arn}:log-stream:"), format!("{arn}:*"));
    let action = format!("logs:{}", context.call.operation);
    context.authorize(&action, &[&shown, &arn, &all], &[])
}

/// Checks the same for a log stream, which policies may also name.
pub(super) fn authorize_stream(context: &Context<'_>, name: &str, stream: &str) -> Result<(), ApiError> {
    let arn = group_arn(&context.region, name);
    let shown = format!("{arn}:log-stream:{stream}");
    let all = format!("{arn}:*");
    let action = format!("logs:{}", context.call.operation);
    context.authorize(&action, &[&shown, &arn, &all], &[])
}

/// The name of a log group that is given by its name, or by an ARN in the caller's account and Region.
pub(super) fn parse_group_name<'a>(context: &Context<'_>, identifier: &'a str) -> Result<&'a str, ApiError> {
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
