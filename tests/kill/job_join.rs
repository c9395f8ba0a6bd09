//! The join of bulk jobs: compares the items of jobs with the keys that log groups have in the end, and with
//! the calls that AWS received.

use std::collections::{BTreeMap, HashSet};

use logkey::{
    proto::{BulkItem, BulkItemState, BulkState, bulk_item},
    sandbox::call_log::{Entry, Outcome},
};

use crate::{
    jobs::EndedJob,
    log::Event,
    world::{FLEET, FLEET_ACCOUNTS, JOB_GROUPS, REGION, TestEnv, job_prefix},
};

/// A contradiction between the items, AWS and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobDefect {
    /// A selected log group is no item of the job, or the counts are not those of the items.
    Lost(String),
    /// An item says that its log group has the key, or that it has not, and that is wrong.
    ReportedWrongly(String),
    /// AWS received a second call for a log group, and the service had not read the key in between.
    SentTwice(String),
}

/// The counts of a join.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct JoinedJobs {
    pub(crate) succeeded: usize,
    pub(crate) unchanged: usize,
    /// Items that say why their log group does not have the key.
    pub(crate) explained: usize,
    pub(crate) calls: usize,
    /// Calls for a log group that had been called for before, after the key was read.
    pub(crate) resent: usize,
}

/// A log group, by its account and name.
type Group = (String, String);

/// Joins the jobs, the log's events and all of AWS's calls.
pub(crate) fn join_jobs(
    env: &TestEnv,
    jobs: &[EndedJob],
    events: &[Event],
    calls: &[Entry],
) -> Result<JoinedJobs, Vec<JobDefect>> {
    let mut joined = JoinedJobs::default();
    let mut defects = Vec::new();
    for job in jobs {
        defects.extend(check_job(env, job, &mut joined));
    }
    defects.extend(check_resent(events, calls, &mut joined));
    if defects.is_empty() { Ok(joined) } else { Err(defects) }
}

/// Each selected log group is one item, and says what is true.
fn check_job(env: &TestEnv, ended: &EndedJob, joined: &mut JoinedJobs) -> Vec<JobDefect> {
    let EndedJob { job, association, items } = ended;
    let mut defects = Vec::new();
    let mut selected: HashSet<Group> = FLEET_ACCOUNTS
        .iter()
        .flat_map(|account| {
            (0..JOB_GROUPS).map(|n| ((*account).to_owned(), format!("{}{n}", job_prefix(job.number))))
        })
        .collect();
    for item in items {
        let Some(bulk_item::Resource::LogGroupName(name)) = &item.resource else { continue };
        if !selected.remove(&(item.account_id.clone(), name.clone())) {
            defects.push(JobDefect::Lost(format!("twice or not selected: {item:?}")));
        }
        let key = env.aws.sandbox().log_group_key(&item.account_id, REGION, name);
        let has_key = key.is_some_and(|key| key.ends_with(&format!("/{}", job.key())));
        defects.extend(check_item(item, has_key, joined));
    }
    defects.extend(selected.iter().map(|group| JobDefect::Lost(format!("no item of {}: {group:?}", job.id))));
    let count = |state| u32::try_from(items.iter().filter(|item| item.state() == state).count()).unwrap();
    let counts = association.counts.unwrap_or_default();
    let (succeeded, unchanged) = (count(BulkItemState::Succeeded), count(BulkItemState::Unchanged));
    let state_is_right = (association.state() == BulkState::Succeeded)
        == (succeeded + unchanged == u32::try_from(items.len()).unwrap());
    if (counts.succeeded, counts.unchanged, counts.failed, counts.unknown)
        != (succeeded, unchanged, count(BulkItemState::Failed), count(BulkItemState::Unknown))
        || (counts.waiting, counts.running) != (0, 0)
        || !state_is_right
    {
        defects.push(JobDefect::Lost(format!("{:?} {counts:?} of {}", association.state(), job.id)));
    }
    defects
}

fn check_item(item: &BulkItem, has_key: bool, joined: &mut JoinedJobs) -> Option<JobDefect> {
    let (claims_key, is_explained) = match item.state() {
        BulkItemState::Succeeded => {
            joined.succeeded += 1;
            (true, !item.audit_event_id.is_empty())
        }
        BulkItemState::Unchanged => {
            joined.unchanged += 1;
            (true, true)
        }
        BulkItemState::Unspecified | BulkItemState::Waiting | BulkItemState::Running => (false, false),
        BulkItemState::Failed | BulkItemState::Unknown | BulkItemState::Blocked | BulkItemState::Skipped => {
            joined.explained += 1;
            (false, !item.reason.is_empty())
        }
    };
    (claims_key != has_key || !is_explained)
        .then(|| JobDefect::ReportedWrongly(format!("the log group has the key: {has_key}; {item:?}")))
}

/// Between two calls for a log group, the service has read its key, unless AWS refused the first one.
fn check_resent(events: &[Event], calls: &[Entry], joined: &mut JoinedJobs) -> Vec<JobDefect> {
    let mut by_group: BTreeMap<Group, Vec<&Entry>> = BTreeMap::new();
    let mut reads: BTreeMap<Group, Vec<&Entry>> = BTreeMap::new();
    for call in calls {
        let (table, names) = match call.operation.as_str() {
            "AssociateKmsKey" => (&mut by_group, names(call, &["logGroupName"])),
            "DescribeLogGroups" if call.answered => {
                (&mut reads, names(call, &["logGroupIdentifiers", "logGroupNamePrefix"]))
            }
            _ => continue,
        };
        for name in names.into_iter().filter(|name| name.starts_with(&format!("/{FLEET}/"))) {
            table.entry((call.account.clone(), name)).or_default().push(call);
        }
    }
    let mut defects = Vec::new();
    for (group, calls) in by_group {
        joined.calls += calls.len();
        let arn = format!("arn:aws:logs:{REGION}:{}:log-group:{}", group.0, group.1);
        let reads = reads.get(&group).map_or(&[][..], Vec::as_slice);
        for pair in calls.windows(2) {
            let [first, second] = pair else { continue };
            if matches!(first.outcome, Outcome::Refused { .. }) {
                continue;
            }
            joined.resent += 1;
            let from = first.decided.unwrap_or(first.time);
            let is_read = reads.iter().any(|read| from <= read.time && read.sequence < second.sequence);
            let window = first.time.as_microsecond()..second.time.as_microsecond();
            let mut settled = events.iter().filter(|event| event.kind == "settled");
            let is_reconciled =
                settled.any(|event| event.resource.as_deref() == Some(&arn) && window.contains(&event.time));
            if !is_read && !is_reconciled {
                defects.push(JobDefect::SentTwice(format!(
                    "{group:?}: {:?} at {}, then {:?} at {}: {:#?}",
                    first.outcome,
                    first.time,
                    second.outcome,
                    second.time,
                    events.iter().filter(|event| event.resource.as_deref() == Some(&arn)).collect::<Vec<_>>()
                )));
            }
        }
    }
    defects
}

/// The names of log groups in these parameters.
fn names(call: &Entry, parameters: &[&str]) -> Vec<String> {
    let values = parameters.iter().filter_map(|parameter| call.params.get(*parameter));
    let texts = values.flat_map(|value| match value.as_array() {
        Some(items) => items.iter().collect(),
        None => vec![value],
    });
    texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}
