//! The job by concurrent callers of the service: some for each account, each call once.

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

/// Callers for each account.
const CALLERS: usize = 6;
/// Accounts that share a connection.
const ACCOUNTS: usize = 20;

/// How many calls failed.
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

/// One caller, who takes the next group that nobody took.
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
