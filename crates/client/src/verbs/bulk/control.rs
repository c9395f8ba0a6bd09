//! The commands that start, stop, repeat and take back a job.

use clap::Args;
use uuid::Uuid;

use super::{job, watch};
use crate::{
    failure::Failure,
    output::{self, OutputArgs},
    proto::{
        BulkAssociation, CancelBulkAssociationRequest, GetBulkAssociationRequest,
        PauseBulkAssociationRequest, ResumeBulkAssociationRequest, RetryBulkAssociationRequest,
        RevertBulkAssociationRequest, StartBulkAssociationRequest,
        bulk_association_service_client::BulkAssociationServiceClient,
    },
    session::Session,
    verbs::shared::repeatable,
};

/// A job.
#[derive(Args, Debug)]
pub(super) struct JobArgs {
    /// The id of the job
    pub(super) job: String,
}

/// A job that runs afterwards.
#[derive(Args, Debug)]
pub(super) struct ControlArgs {
    /// The id of the job
    job: String,
    /// Follow the job until it ends or somebody must decide
    #[arg(long, visible_alias = "wait")]
    watch: bool,
}

/// The arguments of `logkey bulk start`.
#[derive(Args, Debug)]
pub(super) struct StartArgs {
    #[command(flatten)]
    control: ControlArgs,
    /// Start only the plan with this etag, the one that you looked at
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

/// The arguments of `logkey bulk revert`.
#[derive(Args, Debug)]
pub(super) struct RevertArgs {
    #[command(flatten)]
    control: ControlArgs,
    /// The reason for the changes, such as a ticket number. The audit log keeps it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// The id of the request. Repeat it to repeat the same request; it is random by default
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

/// What to do with a job.
#[derive(Clone, Copy, Debug)]
pub(super) enum Control {
    Pause,
    Resume,
    Cancel,
    Retry,
}

impl From<JobArgs> for ControlArgs {
    fn from(JobArgs { job }: JobArgs) -> Self {
        Self { job, watch: false }
    }
}

pub(super) async fn show(session: &Session, id: &str, output: &OutputArgs) -> Result<(), Failure> {
    let request = GetBulkAssociationRequest { id: id.to_owned() };
    let response = session.call(request, async |channel, request| {
        BulkAssociationServiceClient::new(channel).get_bulk_association(request).await
    });
    let job = response.await?.bulk_association.unwrap_or_default();
    Ok(output::print(&job::report(&job), output)?)
}

pub(super) async fn start(session: &Session, args: StartArgs, output: &OutputArgs) -> Result<(), Failure> {
    let request = StartBulkAssociationRequest { id: args.control.job.clone(), etag: args.etag };
    let response = session.call(request, async |channel, request| {
        BulkAssociationServiceClient::new(channel).start_bulk_association(request).await
    });
    finish(session, response.await?.bulk_association, args.control.watch, output).await
}

pub(super) async fn run(
    session: &Session,
    control: Control,
    args: ControlArgs,
    output: &OutputArgs,
) -> Result<(), Failure> {
    let id = args.job;
    let job = match control {
        Control::Pause => {
            let response = session.call(PauseBulkAssociationRequest { id }, async |channel, request| {
                BulkAssociationServiceClient::new(channel).pause_bulk_association(request).await
            });
            response.await?.bulk_association
        }
        Control::Resume => {
            let response = session.call(ResumeBulkAssociationRequest { id }, async |channel, request| {
                BulkAssociationServiceClient::new(channel).resume_bulk_association(request).await
            });
            response.await?.bulk_association
        }
        Control::Cancel => {
            let response = session.call(CancelBulkAssociationRequest { id }, async |channel, request| {
                BulkAssociationServiceClient::new(channel).cancel_bulk_association(request).await
            });
            response.await?.bulk_association
        }
        Control::Retry => {
            let response = session.call(RetryBulkAssociationRequest { id }, async |channel, request| {
                BulkAssociationServiceClient::new(channel).retry_bulk_association(request).await
            });
            response.await?.bulk_association
        }
    };
    finish(session, job, args.watch, output).await
}

/// Creates the job that takes another one back. It starts by itself.
pub(super) async fn revert(session: &Session, args: RevertArgs, output: &OutputArgs) -> Result<(), Failure> {
    let request_id = args.request_id.unwrap_or_else(Uuid::new_v4).to_string();
    let request = RevertBulkAssociationRequest {
        id: args.control.job.clone(),
        request_id: request_id.clone(),
        reason: args.reason,
    };
    let response = session.call(request, async |channel, request| {
        BulkAssociationServiceClient::new(channel).revert_bulk_association(request).await
    });
    let response = response.await.map_err(|failure| repeatable(failure, &request_id))?;
    finish(session, response.bulk_association, args.control.watch, output).await
}

async fn finish(
    session: &Session,
    job: Option<BulkAssociation>,
    watch: bool,
    output: &OutputArgs,
) -> Result<(), Failure> {
    let job = job.unwrap_or_default();
    if watch {
        watch::run(session, &job.id, output).await
    } else {
        Ok(output::print(&job::report(&job), output)?)
    }
}
