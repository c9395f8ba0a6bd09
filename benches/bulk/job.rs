//! Does the job as one bulk job: created with `start`, and watched to its end.

use std::time::{Duration, Instant};

use logkey::proto::{
    BulkState, CreateBulkAssociationRequest, KeyChoice, KeyOverride, Selection, WatchBulkAssociationRequest,
    bulk_association_service_client::BulkAssociationServiceClient, create_bulk_association_request::Change,
};
use tonic::{Request, metadata::AsciiMetadataValue, transport::Channel};

use crate::{
    Outcome,
    process::{Sandbox, Service},
    world::World,
};

/// The longest overrides of one request.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// What a job took.
#[derive(Debug)]
pub(crate) struct JobRun {
    /// From the request to the recorded end.
    pub(crate) time: Duration,
    /// The CPU time of the service.
    pub(crate) cpu: Duration,
    /// Items that did not succeed.
    pub(crate) failed: u32,
}

/// Runs the job.
pub(crate) async fn run(world: &World, aws: &Sandbox) -> Outcome<JobRun> {
    let bearer: AsciiMetadataValue = format!("Bearer {}", world.token()?).parse()?;
    let service = Service::start(world, aws).await?;
    let channel = Channel::from_shared(format!("http://{}", service.address))?.connect().await?;
    let mut client = BulkAssociationServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
    let overrides = world.accounts.iter().map(|account| KeyOverride {
        account_id: account.clone(),
        region: String::new(),
        kms_key_id: World::key(account),
    });
    let choice = KeyChoice { kms_key_id: String::new(), overrides: overrides.collect() };
    let (began, cpu_before) = (Instant::now(), service.cpu_time()?);
    let mut request = Request::new(CreateBulkAssociationRequest {
        selection: Some(Selection::default()),
        change: Some(Change::Key(choice)),
        start: true,
        ..CreateBulkAssociationRequest::default()
    });
    request.metadata_mut().insert("authorization", bearer.clone());
    let created = client.create_bulk_association(request).await?.into_inner();
    let id = created.bulk_association.ok_or("no job")?.id;
    let mut request = Request::new(WatchBulkAssociationRequest { id });
    request.metadata_mut().insert("authorization", bearer);
    let mut watch = client.watch_bulk_association(request).await?.into_inner();
    let mut last = None;
    while let Some(response) = watch.message().await? {
        last = response.bulk_association;
    }
    let job = last.ok_or("the watch sent nothing")?;
    let counts = job.counts.ok_or("a job without counts")?;
    if job.state() != BulkState::Succeeded {
        println!("    the job ended as {:?}: {counts:?}", job.state());
    }
    let cpu = service.cpu_time()?.saturating_sub(cpu_before);
    Ok(JobRun { time: began.elapsed(), cpu, failed: counts.total.saturating_sub(counts.succeeded) })
}
