//! Reverts a job (`RevertBulkAssociation`): a new job gives each changed item the key that it had before.

use uuid::Uuid;

use super::{
    access::{Access, require_change_scopes},
    create::Blueprint,
    view::JobView,
};
use crate::{
    domain::fleet::{BulkChange, JobId, JobSpec, JobState, Refused, Safety, Selection},
    service::{
        context::Context,
        error::{Error, FleetError},
        fleet::ports::Fleet,
    },
};

impl Fleet {
    /// Creates the job that reverts this one, and starts it when it is planned.
    ///
    /// # Errors
    ///
    /// [`Error`], if the caller may not, or the job has not ended and is not paused.
    pub async fn revert(
        &self,
        mut cx: Context,
        id: JobId,
        request_id: Option<Uuid>,
        reason: Option<Box<str>>,
    ) -> Result<JobView, Error> {
        let reverted = self.try_revert(&mut cx, id, request_id, reason).await;
        cx.record_error(reverted)
    }

    async fn try_revert(
        &self,
        cx: &mut Context,
        id: JobId,
        request_id: Option<Uuid>,
        reason: Option<Box<str>>,
    ) -> Result<JobView, Error> {
        cx.audit.reason_text(reason.as_deref());
        let job = self.job(cx, id, Access::Change).await?;
        let spec = JobSpec {
            selection: Selection { query_results: job.spec.selection.query_results, ..Selection::default() },
            change: BulkChange::Revert,
            safety: Safety::default(),
            reason,
        };
        require_change_scopes(cx, &spec)?;
        let state = job.status.state;
        if !state.has_ended() && state != JobState::Paused {
            let advice = "pause it first, or wait until it has ended";
            return Err(Error::Fleet(FleetError::State(Refused { state, advice })));
        }
        let locations = cx.in_turn(self.ports.jobs.locations(id)).await?;
        let locations = locations.into_iter().map(|it| it.location).collect();
        let revert_of = Some(id);
        self.store(cx, Blueprint { spec, start: true, request_id, revert_of, locations }).await
    }
}
