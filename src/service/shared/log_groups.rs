//! Reads log groups from AWS under the quota of `DescribeLogGroups`, and remembers what was observed.

use std::{sync::Arc, time::Instant};

use super::{observation_buffer::observation, upstream};
use crate::{
    domain::{
        association::{LogGroupName, Resource, Target},
        authorization::Access,
        history::KeyRecord,
    },
    ports::{LogGroup, LogGroupPage, limit::Operation},
    service::{context::Context, error::Error},
};

/// The log group as AWS has it now.
pub(in crate::service) async fn find(
    cx: &mut Context,
    access: &Access,
    name: &LogGroupName,
    deadline: Instant,
) -> Result<LogGroup, Error> {
    let state = Arc::clone(&cx.state);
    let ports = &state.ports;
    let send = || async {
        let at = ports.clock.now();
        ports.log_groups.find(access, name, deadline).await.map(|found| (found, at))
    };
    let found = upstream::read(cx, access, Operation::DescribeLogGroups, deadline, send).await;
    match found.map_err(|error| error.into_error(deadline))? {
        (Some(group), at) => {
            state.observations.add([observation(access.location(), &group, at)]);
            Ok(group)
        }
        (None, _) => Err(Error::LogGroupNotFound { name: name.clone(), location: access.location().clone() }),
    }
}

/// One page of AWS's list, whoever may see what is on it.
pub(in crate::service) async fn fetch_page(
    cx: &mut Context,
    access: &Access,
    prefix: Option<&str>,
    token: Option<&str>,
    deadline: Instant,
) -> Result<LogGroupPage, Error> {
    let state = Arc::clone(&cx.state);
    let send = || state.ports.log_groups.page(access, prefix, token, deadline);
    let page = upstream::read(cx, access, Operation::DescribeLogGroups, deadline, send).await;
    page.map_err(|error| error.into_error(deadline))
}

/// What our own record knows of these resources: a help, so that a store that does not answer costs the
/// call nothing.
pub(in crate::service) async fn load_records(cx: &Context, resources: &[Resource]) -> Vec<KeyRecord> {
    cx.ports().history.records(resources).await.unwrap_or_else(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "answering without the record of earlier keys");
        Vec::new()
    })
}

/// The log group as AWS has it now; none for query results, whose key AWS does not return.
pub(in crate::service) async fn read_current_key(
    cx: &mut Context,
    access: &Access,
    resource: &Resource,
) -> Result<Option<LogGroup>, Error> {
    match &resource.target {
        Target::LogGroup(name) => find(cx, access, name, cx.call.deadline).await.map(Some),
        Target::QueryResults => Ok(None),
    }
}
