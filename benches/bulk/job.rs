//! A bulk job of the service: created, and watched to its end.

use std::time::{Duration, Instant};

use logkey::proto::{
    BulkAssociation, BulkState, CreateBulkAssociationRequest, KeyChoice, KeyOverride, Selection,
    WatchBulkAssociationRequest, bulk_association_service_client::BulkAssociationServiceClient,
    create_bulk_association_request::Change,
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

/// A caller that creates and watches jobs.
pub(crate) struct JobCaller {
    client: BulkAssociationServiceClient<Channel>,
    bearer: AsciiMetadataValue,
}

/// Creates a job that runs as soon as it is planned, and waits for its end.
pub(crate) async fn run(world: &World, aws: &Sandbox) -> Outcome<JobRun> {
    let service = Service::start(world, aws).await?;
    let mut caller = JobCaller::connect(world, &service).await?;
    let (began, cpu_before) = (Instant::now(), service.cpu_time()?);
    let id = caller.create(world, true).await?;
    let job = caller.watch(id, |_| false).await?;
    let counts = job.counts.ok_or("a job without counts")?;
    if job.state() != BulkState::Succeeded {
        println!("    the job ended as {:?}: {counts:?}", job.state());
    }
    let cpu = service.cpu_time()?.saturating_sub(cpu_before);
    Ok(JobRun { time: began.elapsed(), cpu, failed: counts.total.saturating_sub(counts.succeeded) })
}

// === impl JobCaller ===

impl JobCaller {
    pub(crate) async fn connect(world: &World, service: &Service) -> Outcome<Self> {
        let bearer = format!("Bearer {}", world.token()?).parse()?;
        let channel = Channel::from_shared(format!("http://{}", service.address))?.connect().await?;
        let client = BulkAssociationServiceClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        Ok(Self { client, bearer })
    }

    /// Creates a job for all log groups of the world, and returns its id.
    pub(crate) async fn create(&mut self, world: &World, start: bool) -> Outcome<String> {
        let overrides = world.accounts.iter().map(|account| KeyOverride {
            account_id: account.clone(),
            region: String::new(),
            kms_key_id: World::key(account),
        });
        let choice = KeyChoice { kms_key_id: String::new(), overrides: overrides.collect() };
        let selection = Selection { log_group_patterns: vec![World::group("*")], ..Selection::default() };
        let mut request = Request::new(CreateBulkAssociationRequest {
            selection: Some(selection),
            change: Some(Change::Key(choice)),
            start,
            ..CreateBulkAssociationRequest::default()
        });
        request.metadata_mut().insert("authorization", self.bearer.clone());
        let created = self.client.create_bulk_association(request).await?.into_inner();
        Ok(created.bulk_association.ok_or("no job")?.id)
    }

    /// Watches a job until it ended, or until `reached`. Returns it as it was sent last.
    pub(crate) async fn watch(
        &mut self,
        id: String,
        reached: impl Fn(&BulkAssociation) -> bool,
    ) -> Outcome<BulkAssociation> {
        let mut request = Request::new(WatchBulkAssociationRequest { id });
        request.metadata_mut().insert("authorization", self.bearer.clone());
        let mut watch = self.client.watch_bulk_association(request).await?.into_inner();
        let mut last = None;
        while let Some(response) = watch.message().await? {
            last = response.bulk_association;
            if last.as_ref().is_some_and(&reached) {
                break;
            }
        }
        last.ok_or_else(|| "the watch sent nothing".into())
    }
}
