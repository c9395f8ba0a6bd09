//! Reads log groups from AWS within the quota of `DescribeLogGroups`, and buffers the observations.

use std::{sync::Arc, time::Instant};

use super::{observation_buffer::observation, upstream};
use crate::{
    domain::{
        association::{LogGroupName, Resource, Target},
        authorization::Access,
        history::KeyRecord,
    },
    ports::{LogGroup, LogGroupPage, limit::Operation},
    service::{
        context::Context,
        error::{Error, RequestError},
    },
};

/// The maximum number of names in one read
/// ([`DescribeLogGroups`](https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogGroups.html)).
pub(in crate::service) const MAX_NAMES: usize = 50;

/// Reads the log group from AWS.
pub(in crate::service) async fn find(
    cx: &mut Context,
    access: &Access,
    name: &LogGroupName,
    deadline: Instant,
) -> Result<LogGroup, Error> {
    let state = Arc::clone(&cx.state);
    let ports = &state.ports;
    let send = || async {
        let at = state.fact_time(access.location()).await;
        ports.log_groups.find(access, name, deadline).await.map(|found| (found, at))
    };
    let found = upstream::read(cx, access, Operation::DescribeLogGroups, deadline, send).await;
    match found.map_err(|error| error.into_error(deadline))? {
        (Some(group), at) => {
            state.observations.add([observation(access.location(), &group, at)]);
            Ok(group)
        }
        (None, _) => Err(Error::Request(RequestError::LogGroupNotFound {
            name: name.clone(),
            location: access.location().clone(),
        })),
    }
}

/// Reads the log groups with these names. One that does not exist is omitted.
pub(in crate::service) async fn find_many(
    cx: &mut Context,
    access: &Access,
    names: &[LogGroupName],
    deadline: Instant,
) -> Result<Vec<LogGroup>, Error> {
    let state = Arc::clone(&cx.state);
    let at = state.fact_time(access.location()).await;
    let mut groups = Vec::with_capacity(names.len());
    for names in names.chunks(MAX_NAMES) {
        let send = || state.ports.log_groups.find_many(access, names, deadline);
        let found = upstream::read(cx, access, Operation::DescribeLogGroups, deadline, send).await;
        let mut found = found.map_err(|error| error.into_error(deadline))?;
        // Not every AWS emulator lists by name, so each missing log group is read alone.
        for name in
            names.iter().filter(|name| !found.iter().any(|group| group.name == **name)).collect::<Vec<_>>()
        {
            match find(cx, access, name, deadline).await {
                Ok(group) => found.push(group),
                Err(Error::Request(RequestError::LogGroupNotFound { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        groups.append(&mut found);
    }
    state.observations.add(groups.iter().map(|group| observation(access.location(), group, at)));
    Ok(groups)
}

/// Reads one page of AWS's list. It also contains log groups that the caller may not see.
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

/// Reads the key records of these resources from the store. The call works without them, so a store that
/// fails does not fail the call.
pub(in crate::service) async fn load_records(cx: &Context, resources: &[Resource]) -> Vec<KeyRecord> {
    cx.ports().history.records(resources).await.unwrap_or_else(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the record of former keys cannot be read; the response omits it");
        Vec::new()
    })
}

/// Reads the log group from AWS. `None` for query results, whose key AWS does not return.
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
