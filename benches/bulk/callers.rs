//! Does the job with concurrent callers of the service, several for each account. No call is repeated.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use logkey::proto::{
    AssociateKmsKeyRequest, associate_kms_key_request::Target,
    key_association_service_client::KeyAssociationServiceClient,
};
use tokio::task::JoinSet;
use tonic::{Request, metadata::AsciiMetadataValue, transport::Channel};

use crate::{
    Outcome,
    process::{Sandbox, Service},
    world::{REGION, World},
};

/// The number of callers for each account.
const CALLERS: usize = 6;
/// How many accounts share a connection.
const ACCOUNTS: usize = 20;

/// What the calls took.
#[derive(Debug)]
pub(crate) struct CallersRun {
    /// How many calls failed.
    pub(crate) failed: usize,
    /// The CPU time of the service.
    pub(crate) cpu: Duration,
}

/// Runs the job.
pub(crate) async fn run(world: &World, aws: &Sandbox) -> Outcome<CallersRun> {
    let bearer: AsciiMetadataValue = format!("Bearer {}", world.token()?).parse()?;
    let service = Service::start(world, aws).await?;
    let cpu_before = service.cpu_time()?;
    let mut callers = JoinSet::new();
    for accounts in world.accounts.chunks(ACCOUNTS) {
        let channel = Channel::from_shared(format!("http://{}", service.address))?.connect().await?;
        for account in accounts {
            let (next, groups) = (Arc::new(AtomicUsize::new(0)), world.groups);
            for _ in 0..CALLERS {
                let client = KeyAssociationServiceClient::new(channel.clone());
                callers.spawn(calls(client, bearer.clone(), account.clone(), Arc::clone(&next), groups));
            }
        }
    }
    let failed = callers.join_all().await.into_iter().sum();
    Ok(CallersRun { failed, cpu: service.cpu_time()?.saturating_sub(cpu_before) })
}

/// One caller: it repeatedly takes the next log group of its account. Returns how many of its calls failed.
async fn calls(
    mut client: KeyAssociationServiceClient<Channel>,
    bearer: AsciiMetadataValue,
    account: String,
    next: Arc<AtomicUsize>,
    groups: usize,
) -> usize {
    let mut failed = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= groups {
            return failed;
        }
        let mut request = Request::new(AssociateKmsKeyRequest {
            account_id: account.clone(),
            region: REGION.to_owned(),
            target: Some(Target::LogGroupName(World::group(number))),
            kms_key_id: World::key(&account),
            ..AssociateKmsKeyRequest::default()
        });
        request.metadata_mut().insert("authorization", bearer.clone());
        failed += usize::from(client.associate_kms_key(request).await.is_err());
    }
}
