//! Follows a job.

use std::{cell::RefCell, ops::ControlFlow};

use super::{job, progress::Progress};
use crate::{
    failure::Failure,
    output::{self, OutputArgs},
    proto::{
        BulkAssociation, WatchBulkAssociationRequest,
        bulk_association_service_client::BulkAssociationServiceClient,
    },
    session::Session,
};

pub(super) async fn run(session: &Session, id: &str, output: &OutputArgs) -> Result<(), Failure> {
    let job = until(session, id, output, job::is_at_rest).await?;
    output::print(&job::report(&job), output)?;
    job::conclude(&job)
}

/// Follows a job until it is as expected, or ended.
pub(super) async fn until(
    session: &Session,
    id: &str,
    output: &OutputArgs,
    expected: impl Fn(&BulkAssociation) -> bool,
) -> Result<BulkAssociation, Failure> {
    let progress = Progress::new(output);
    let last = RefCell::new(BulkAssociation::default());
    let followed = session.follow(
        || WatchBulkAssociationRequest { id: id.to_owned() },
        async |channel, request| {
            BulkAssociationServiceClient::new(channel).watch_bulk_association(request).await
        },
        |response| {
            let job = response.bulk_association.unwrap_or_default();
            progress.update(&job);
            let stop = expected(&job);
            last.replace(job);
            Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        },
    );
    let followed = followed.await;
    progress.finish();
    followed.map(|()| last.into_inner())
}
