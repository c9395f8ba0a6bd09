//! Does the job with concurrent callers of the service, several for each account. No call is repeated.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use logkey::proto::{
    AssociateKmsKeyRequest, associate_kms_key_request::Target,
    key_association_service_client::KeyAssociationServiceClient,
};
use tokio::task::JoinSet;
use tonic::{Request, metadata::AsciiMetadataValue, transport::Channel};

use crate::{
    Outcome,
    process::{Sandbox, Service, logkey},
    world::{ISSUER, REGION, TENANT, World},
};

/// The number of callers for each account.
const CALLERS: usize = 6;
/// How many accounts share a connection.
const ACCOUNTS: usize = 20;

/// Runs the job. Returns how many calls failed.
pub(crate) async fn run(world: &World, aws: &Sandbox) -> Outcome<usize> {
    let keys = world.path("keys").display().to_string();
    logkey(&["token", "--new-key", &keys])?;
    let key = format!("{keys}/es256.pem");
    let token =
        logkey(&["token", "--key-file", &key, "--issuer", ISSUER, "--tenant", TENANT, "--ttl", "1h"])?;
    let bearer: AsciiMetadataValue = format!("Bearer {token}").parse()?;
    let service = Service::start(world, aws).await?;
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
    Ok(callers.join_all().await.into_iter().sum())
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
