//! Plans one location: finds the selected resources, and checks for each whether its change would succeed. The
//! role, the key and its policy are read once for the location.

use std::{collections::HashMap, time::Duration};

use super::{
    preflight::Preflight,
    task::{ClaimLost, LocationTask},
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{GetKeyAssociation, ListKeyAssociations, LogGroupName, Resource, Target},
        authorization::Access,
        call::RequestId,
        fleet::{BulkChange, Failure, Item, ItemState, JobState, JobStatus, PlannedItem},
    },
    ports::{
        LogGroup, LogGroupPage,
        bulk::{LocationKey, LocationPlan, Transition},
    },
    service::{
        context::Context,
        error::{AccessError, AwsCallError, Error, FleetError, RequestError},
        shared::{log_groups, observation_buffer::observation},
    },
};

/// The number of items that are stored at once.
const BATCH: usize = 500;
/// How often a read is tried while AWS is unavailable.
const MAX_ATTEMPTS: u32 = 4;
/// The wait before such an attempt, which doubles.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The wait before a plan that cannot be made now is tried again.
const RETRY_LATER: Duration = Duration::from_secs(5);

/// Why a location could not be planned.
enum PlanError {
    /// The location cannot be entered.
    Failed(Error),
    /// The worker has lost its claim.
    ClaimLost,
    /// The job stops, or the plan cannot be made now.
    Stopped,
}

/// The plan of one location, while it is made.
struct Planner<'t> {
    task: &'t LocationTask,
    preflight: Preflight,
    /// Items that are not stored yet.
    items: Vec<PlannedItem>,
    stored: u32,
}

impl LocationTask {
    /// Plans the location and stores its items.
    pub(super) async fn plan(&mut self) -> Result<(), ClaimLost> {
        let queue = &self.engine.fleet.ports.queue;
        match queue.begin_plan(self.worker.id, self.key).await {
            Ok(true) => {}
            Ok(false) | Err(_) => return Err(ClaimLost),
        }
        let plan = match self.make_plan().await {
            Ok(key) => LocationPlan { key, failure: None },
            Err(PlanError::Failed(error)) => {
                tracing::info!(error = &error as &dyn std::error::Error, "a location cannot be planned");
                LocationPlan { key: None, failure: Some(self.failure(&error)) }
            }
            Err(PlanError::ClaimLost) => return Err(ClaimLost),
            Err(PlanError::Stopped) => return Ok(()),
        };
        if plan.failure.is_some() && !matches!(queue.begin_plan(self.worker.id, self.key).await, Ok(true)) {
            return Err(ClaimLost);
        }
        match queue.finish_plan(self.worker.id, self.key, &plan).await {
            Ok(true) => {
                self.location.phase = crate::domain::fleet::LocationPhase::Planned;
                Ok(())
            }
            Ok(false) | Err(_) => Err(ClaimLost),
        }
    }

    async fn make_plan(&self) -> Result<Option<KmsKeyArn>, PlanError> {
        let mut cx = self.read_context();
        let location = self.location.location.clone();
        let authorized = match cx.authorize(ListKeyAssociations { location }) {
            Ok(authorized) => authorized,
            Err(Error::Access(AccessError::TenantSuspended | AccessError::TenantRemoved)) => {
                tokio::time::sleep(RETRY_LATER).await;
                return Err(PlanError::Stopped);
            }
            Err(error) => return Err(PlanError::Failed(error)),
        };
        let access = authorized.access();
        let preflight = Preflight::new(self.run.job.spec.selection.current_key_id.clone());
        let mut planner = Planner { task: self, preflight, items: Vec::new(), stored: 0 };
        let key = match &self.run.job.spec.change {
            BulkChange::Revert => {
                planner.revert(access).await?;
                None
            }
            BulkChange::SetKey(choice) => {
                let requested = choice.for_location(&self.location.location).cloned();
                planner
                    .preflight
                    .resolve(self, &mut cx, access, requested)
                    .await
                    .map_err(PlanError::Failed)?
            }
            BulkChange::RemoveKey => {
                planner.preflight.remove(self, &mut cx, access).await.map_err(PlanError::Failed)?;
                None
            }
        };
        if self.run.job.spec.change != BulkChange::Revert {
            planner.select(access).await?;
        }
        planner.store().await?;
        cx.audit.record_read_with(cx.ports(), format!("planned {} items of a bulk job", planner.stored));
        Ok(key)
    }

    /// The context of reads for the plan.
    pub(super) fn read_context(&self) -> Context {
        self.call_parts().context(&self.run, self.run.action(), RequestId::new_v7())
    }
}

// === impl Planner ===

impl Planner<'_> {
    /// Adds the resources that the selection includes.
    async fn select(&mut self, access: &Access) -> Result<(), PlanError> {
        let selection = &self.task.run.job.spec.selection;
        if selection.resources.is_empty() {
            self.select_by_name(access).await?;
        } else {
            self.select_named(access).await?;
        }
        let is_results = |it: &crate::domain::arn::ResourceArn| {
            let location = &self.task.location.location;
            it.target == Target::QueryResults
                && it.account == location.account
                && it.region == location.region
        };
        let named = selection.resources.iter().any(is_results);
        if named || (selection.query_results && access.grant().query_results) {
            let resource = self.resource(Target::QueryResults);
            let mut cx = self.task.read_context();
            let mut records = log_groups::load_records(&cx, std::slice::from_ref(&resource)).await;
            let current = records.pop().and_then(|record| record.key);
            self.consider(&mut cx, access, resource, current, None).await?;
        }
        Ok(())
    }

    /// Adds the log groups whose names match, page by page.
    async fn select_by_name(&mut self, access: &Access) -> Result<(), PlanError> {
        let selection = &self.task.run.job.spec.selection;
        let prefix = selection.common_prefix();
        let prefix = (!prefix.is_empty()).then_some(prefix);
        let mut token: Option<Box<str>> = None;
        loop {
            let mut cx = self.task.read_context();
            let location = access.location();
            let at = cx.state.fact_time(location).await;
            let LogGroupPage { groups, next } = self.page(prefix, token.as_deref(), access).await?;
            cx.state.observations.add(groups.iter().map(|group| observation(location, group, at)));
            for group in groups {
                if !selection.includes_name(&group.name) {
                    continue;
                }
                let resource = self.resource(Target::LogGroup(group.name.clone()));
                if cx.can_read(access.tenant(), &resource) {
                    self.consider(&mut cx, access, resource, group.key, group.class).await?;
                }
            }
            token = next;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    /// Reads one page, and tries again while that can help.
    async fn page(
        &self,
        prefix: Option<&str>,
        token: Option<&str>,
        access: &Access,
    ) -> Result<LogGroupPage, PlanError> {
        let (mut attempts, mut wait) = (0, RETRY_AFTER);
        loop {
            if self.task.is_stopped_for(JobState::Planning) {
                return Err(PlanError::Stopped);
            }
            let mut cx = self.task.read_context();
            let deadline = cx.call.deadline;
            let error = match log_groups::fetch_page(&mut cx, access, prefix, token, deadline).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            let after = match &error {
                Error::Aws(AwsCallError::BudgetExhausted { retry_after }) => *retry_after,
                Error::Aws(AwsCallError::Unavailable { .. } | AwsCallError::DeadlineBeforeAws)
                    if attempts < MAX_ATTEMPTS =>
                {
                    attempts += 1;
                    wait *= 2;
                    wait
                }
                Error::Access(_)
                | Error::Request(_)
                | Error::Aws(_)
                | Error::Change(_)
                | Error::Fleet(_)
                | Error::Storage(_)
                | Error::AuditRead(_)
                | Error::FailureNotRecorded { .. }
                | Error::ReplayedFailure { .. }
                | Error::Internal(_) => return Err(PlanError::Failed(error)),
            };
            tokio::time::sleep(after).await;
        }
    }

    /// Adds the log groups that the selection names. One that does not exist is blocked.
    async fn select_named(&mut self, access: &Access) -> Result<(), PlanError> {
        let location = self.task.location.location.clone();
        let selected = self.task.run.job.spec.selection.resources.iter().filter_map(|it| match &it.target {
            Target::LogGroup(name) if it.account == location.account && it.region == location.region => {
                Some(name.clone())
            }
            Target::LogGroup(_) | Target::QueryResults => None,
        });
        let mut names: Vec<LogGroupName> = selected.collect();
        names.sort_unstable();
        names.dedup();
        for names in names.chunks(log_groups::MAX_NAMES) {
            if self.task.is_stopped_for(JobState::Planning) {
                return Err(PlanError::Stopped);
            }
            let mut cx = self.task.read_context();
            let visible = |name: &&LogGroupName| {
                let resource = self.resource(Target::LogGroup((*name).clone()));
                let command = GetKeyAssociation { resource };
                cx.decide_command(
                    &crate::domain::authorization::PolicyFacts::default(),
                    access.tenant(),
                    command,
                )
                .is_ok()
            };
            let visible: Vec<LogGroupName> = names.iter().filter(visible).cloned().collect();
            let deadline = cx.call.deadline;
            let found = log_groups::find_many(&mut cx, access, &visible, deadline).await;
            let found = found.map_err(PlanError::Failed)?.into_iter();
            let mut found: HashMap<LogGroupName, LogGroup> =
                found.map(|group| (group.name.clone(), group)).collect();
            for name in names {
                let resource = self.resource(Target::LogGroup(name.clone()));
                let Some(group) = found.remove(name) else {
                    let location = location.clone();
                    let error =
                        Error::Request(RequestError::LogGroupNotFound { name: name.clone(), location });
                    let failure = self.task.failure(&error);
                    self.add(blocked(resource, None, failure)).await?;
                    continue;
                };
                self.consider(&mut cx, access, resource, group.key, group.class).await?;
            }
        }
        Ok(())
    }

    /// Adds a resource if the selection includes its current key.
    async fn consider(
        &mut self,
        cx: &mut Context,
        access: &Access,
        resource: Resource,
        current: Option<KmsKeyArn>,
        class: Option<Box<str>>,
    ) -> Result<(), PlanError> {
        let selection = &self.task.run.job.spec.selection;
        let (new, moved_from) = (self.preflight.key(), self.preflight.moved_from());
        if !selection.includes_key(current.as_ref(), new, moved_from) {
            return Ok(());
        }
        let is_set = self.preflight.is_resolved() && current.as_ref() == new;
        // The key of query results is known only from the service's own record, which may be incomplete.
        if is_set && resource.target != Target::QueryResults {
            let item = PlannedItem {
                resource,
                state: ItemState::Unchanged,
                own_key: None,
                previous_key: current,
                failure: None,
            };
            return self.add(item).await;
        }
        let item = match self.preflight.check(self.task, cx, access, &resource, class).await {
            Some(failure) => blocked(resource, current, failure),
            None => PlannedItem {
                resource,
                state: ItemState::Waiting,
                own_key: None,
                previous_key: current,
                failure: None,
            },
        };
        self.add(item).await
    }

    /// Adds the resources that another job changed, with the keys that they had before.
    async fn revert(&mut self, access: &Access) -> Result<(), PlanError> {
        let Some(job) = self.task.run.job.revert_of else { return Ok(()) };
        let at = LocationKey { job, location: self.task.key.location };
        let mut from = 0;
        loop {
            let queue = &self.task.engine.fleet.ports.queue;
            let page = queue.queued(at, ItemState::Succeeded, from, u32::try_from(BATCH).unwrap_or(u32::MAX));
            let Ok(page) = page.await else {
                tokio::time::sleep(RETRY_LATER).await;
                return Err(PlanError::Stopped);
            };
            let Some(last) = page.last() else { return Ok(()) };
            from = last.key.seq + 1;
            for Item { resource, new_key, previous_key, .. } in page {
                let mut cx = self.task.read_context();
                let failure = match &previous_key {
                    Some(key) => self.preflight.check_key(self.task, &mut cx, access, key).await,
                    None => None,
                };
                let state = if failure.is_some() { ItemState::Blocked } else { ItemState::Waiting };
                let item =
                    PlannedItem { resource, state, own_key: previous_key, previous_key: new_key, failure };
                self.add(item).await?;
            }
        }
    }

    async fn add(&mut self, item: PlannedItem) -> Result<(), PlanError> {
        self.items.push(item);
        if self.items.len() >= BATCH { self.store().await } else { Ok(()) }
    }

    async fn store(&mut self) -> Result<(), PlanError> {
        if self.items.is_empty() {
            return Ok(());
        }
        let items = std::mem::take(&mut self.items);
        let LocationTask { engine, worker, key, .. } = self.task;
        let total = engine.fleet.ports.queue.add_items(worker.id, *key, self.stored, &items).await;
        let Ok(Some(total)) = total else { return Err(PlanError::ClaimLost) };
        self.stored += u32::try_from(items.len()).unwrap_or(u32::MAX);
        let max = engine.fleet.settings.max_items;
        if total > max {
            self.fail_job(max).await;
            return Err(PlanError::Stopped);
        }
        Ok(())
    }

    /// Ends the job, because it has too many items.
    async fn fail_job(&self, max: u64) {
        let engine = &self.task.engine;
        let failure = self.task.failure(&Error::Fleet(FleetError::TooManyItems { max }));
        let Ok(Some(job)) = engine.fleet.ports.jobs.find(self.task.key.job).await else { return };
        if job.status.state.has_ended() {
            return;
        }
        let status: JobStatus = job.status.ended(JobState::Failed, engine.state.ports.clock.now());
        let transition = Transition { status, failure: Some(failure), retries: false };
        if engine.fleet.ports.jobs.transition(job.id, &transition).await.is_ok() {
            self.task.run.set_state(JobState::Failed);
        }
    }

    fn resource(&self, target: Target) -> Resource {
        Resource { location: self.task.location.location.clone(), target }
    }
}

fn blocked(resource: Resource, current: Option<KmsKeyArn>, failure: Failure) -> PlannedItem {
    PlannedItem {
        resource,
        state: ItemState::Blocked,
        own_key: None,
        previous_key: current,
        failure: Some(failure),
    }
}
