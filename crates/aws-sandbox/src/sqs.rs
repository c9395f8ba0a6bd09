//! The Simple Queue Service: standard queues with long polling, visibility timeouts and dead-letter queues.

mod attributes;
mod message;
pub(crate) mod queue;
mod receive;

use crate::{api_error::ApiError, authorizer::Context, service::Service, wire::answer::Answer};

/// Runs one operation.
pub(crate) async fn execute(context: &Context<'_>) -> Result<Answer, ApiError> {
    match context.call.operation.as_str() {
        "CreateQueue" => queue::create(context),
        "GetQueueUrl" => queue::url(context),
        "GetQueueAttributes" => queue::attributes(context),
        "SendMessage" => message::send(context),
        "ReceiveMessage" => receive::receive(context).await,
        "DeleteMessage" => message::delete(context),
        "DeleteMessageBatch" => message::delete_batch(context),
        "ChangeMessageVisibility" => message::change_visibility(context),
        other => Err(ApiError::unknown_operation(Service::Sqs, other)),
    }
}
