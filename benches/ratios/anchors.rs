//! The baselines: E, a bare tonic server with a fixed response, and F, which only forwards the call through
//! the AWS SDK. Both respond with a message of the service, so that the sizes are equal.

use std::{collections::HashMap, sync::Arc};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_cloudwatchlogs::{Client, Config};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use logkey::proto::{AssociateKmsKeyRequest, associate_kms_key_request::Target};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::{
    Status,
    transport::{Server, server::Router, server::TcpIncoming},
};

use crate::{
    Outcome,
    load::CALLERS,
    method::{Associate, Caller, Only, REGION, Rpc, Unary, account},
    parent::{parent_exit, ready},
};

/// Runs the server of one role until standard input ends, and prints its address once it listens.
#[tokio::main]
pub(crate) async fn serve(role: &str, rpc: Rpc, settings: &[&str]) -> Outcome<()> {
    let router = match (role, rpc, settings) {
        ("echo", Rpc::AssociateKmsKey, [answer]) => echo::<Associate>(answer)?,
        ("echo", Rpc::GetCaller, [answer]) => echo::<Caller>(answer)?,
        ("forward", Rpc::AssociateKmsKey, [answer, aws]) => forward(answer, aws)?,
        _ => return Err(format!("no such server: {role} {settings:?}").into()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    ready(&listener.local_addr()?.to_string())?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    router.serve_with_incoming_shutdown(incoming, parent_exit()).await?;
    Ok(())
}

fn decode<M: Unary>(answer: &str) -> Outcome<M::Answer> {
    Ok(M::Answer::decode(BASE64_STANDARD.decode(answer)?.as_slice())?)
}

fn echo<M: Unary>(answer: &str) -> Outcome<Router> {
    let answer = decode::<M>(answer)?;
    let only = Only::<M, _>::new(move |_: M::Request| std::future::ready(Ok(answer.clone())));
    Ok(Server::builder().add_service(only))
}

fn forward(answer: &str, aws: &str) -> Outcome<Router> {
    let answer = decode::<Associate>(answer)?;
    // One connection pool, like the service.
    let provider = Provider::Rustls(CryptoMode::AwsLc);
    let http = aws_smithy_http_client::Builder::new().tls_provider(provider).build_https();
    let client = |account: String| {
        // The administrator of the account in the embedded AWS, which does not verify signatures.
        let credentials = Credentials::new(format!("AKIAADMIN{account}"), "secret", None, None, "bench");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http.clone())
            .credentials_provider(credentials)
            .endpoint_url(aws)
            .region(Region::from_static(REGION));
        (account, Client::from_conf(config.build()))
    };
    let clients: Arc<HashMap<String, Client>> = Arc::new((0..CALLERS).map(account).map(client).collect());
    let only = Only::<Associate, _>::new(move |request: AssociateKmsKeyRequest| {
        let (clients, answer) = (Arc::clone(&clients), answer.clone());
        async move {
            let Some(logs) = clients.get(&request.account_id) else {
                return Err(Status::not_found("no such account"));
            };
            let call = logs.associate_kms_key().kms_key_id(request.kms_key_id);
            let call = match request.target {
                Some(Target::LogGroupName(name)) => call.log_group_name(name),
                Some(Target::ResourceIdentifier(arn)) => call.resource_identifier(arn),
                None => return Err(Status::invalid_argument("no target")),
            };
            match call.send().await {
                Ok(_) => Ok(answer),
                Err(error) => Err(Status::unavailable(format!("{error:?}"))),
            }
        }
    });
    Ok(Server::builder().add_service(only))
}
