//! The two measured calls, and a server with only one of them.

use std::{
    convert::Infallible,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use logkey::proto::{
    AssociateKmsKeyRequest, AssociateKmsKeyResponse, GetCallerRequest, GetCallerResponse,
    associate_kms_key_request::Target,
};
use prost::Message;
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use crate::Outcome;

/// The Region of every request.
pub(crate) const REGION: &str = "us-east-1";
/// The tenant's role in each account.
pub(crate) const ROLE: &str = "LogKeyAssociator";
/// The external id that the role's trust policy requires.
pub(crate) const EXTERNAL_ID: &str = "external-bench";
/// The access key of the service identity. The stand-in does not verify signatures.
pub(crate) const SERVICE_KEY: &str = "AKIABENCHHUB";
/// The key in each account.
pub(crate) const KEY_ID: &str = "0a1b2c3d-0000-4000-8000-000000000001";
/// The size of row 5's answer in bytes: that of a tenant with one account.
pub(crate) const MAX_READ_ANSWER: usize = 400;

/// The measured call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rpc {
    AssociateKmsKey,
    GetCaller,
}

/// A unary method of the contract.
pub(crate) trait Unary: Send + Sync + 'static {
    const SERVICE: &'static str;
    type Request: Message + Default;
    type Answer: Message + Default + Clone + Send + Sync;
}

#[derive(Debug)]
pub(crate) struct Associate;

#[derive(Debug)]
pub(crate) struct Caller;

/// A service with one method, mounted like the code that tonic generates.
#[derive(Debug)]
pub(crate) struct Only<M, F> {
    answer: F,
    method: PhantomData<M>,
}

// === impl Rpc ===

impl Rpc {
    pub(crate) fn named(name: &str) -> Outcome<Self> {
        match name {
            "AssociateKmsKey" => Ok(Self::AssociateKmsKey),
            "GetCaller" => Ok(Self::GetCaller),
            other => Err(format!("no such call: {other}").into()),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AssociateKmsKey => "AssociateKmsKey",
            Self::GetCaller => "GetCaller",
        }
    }

    pub(crate) fn path(self) -> String {
        let service = match self {
            Self::AssociateKmsKey => Associate::SERVICE,
            Self::GetCaller => Caller::SERVICE,
        };
        format!("/{service}/{}", self.name())
    }

    /// The request of the `n`th caller. Each has a separate log group, because AWS refuses concurrent
    /// changes of one group. Each has a separate account, because AWS accepts five changes per second in an
    /// account and Region and the service stays within that.
    pub(crate) fn request(self, n: usize) -> Vec<u8> {
        match self {
            Self::AssociateKmsKey => AssociateKmsKeyRequest {
                account_id: account(n),
                region: REGION.into(),
                kms_key_id: format!("arn:aws:kms:{REGION}:{}:key/{KEY_ID}", account(n)),
                reason: "TICKET-4711".into(),
                target: Some(Target::LogGroupName(log_group(n))),
                ..AssociateKmsKeyRequest::default()
            }
            .encode_to_vec(),
            Self::GetCaller => GetCallerRequest {}.encode_to_vec(),
        }
    }
}

/// The account of the `n`th caller.
pub(crate) fn account(n: usize) -> String {
    format!("1111{n:08}")
}

/// The log group of the `n`th caller.
pub(crate) fn log_group(n: usize) -> String {
    format!("/bench/service-{n:02}")
}

// === impl Unary ===

impl Unary for Associate {
    const SERVICE: &'static str = "keyassociation.v1.KeyAssociationService";
    type Request = AssociateKmsKeyRequest;
    type Answer = AssociateKmsKeyResponse;
}

impl Unary for Caller {
    const SERVICE: &'static str = "keyassociation.v1.TenantService";
    type Request = GetCallerRequest;
    type Answer = GetCallerResponse;
}

// === impl Only ===

impl<M, F> Only<M, F> {
    pub(crate) fn new(answer: F) -> Self {
        Self { answer, method: PhantomData }
    }
}

impl<M, F: Clone> Clone for Only<M, F> {
    fn clone(&self) -> Self {
        Self::new(self.answer.clone())
    }
}

impl<M: Unary, F> NamedService for Only<M, F> {
    const NAME: &'static str = M::SERVICE;
}

impl<M, F, A> Service<http::Request<Body>> for Only<M, F>
where
    M: Unary,
    F: Fn(M::Request) -> A + Clone + Send + 'static,
    A: Future<Output = Result<M::Answer, Status>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.answer.clone();
        let method = service_fn(move |request: Request<M::Request>| {
            let answer = answer(request.into_inner());
            async move { answer.await.map(Response::new) }
        });
        let codec = ProstCodec::<M::Answer, M::Request>::default();
        Box::pin(async move { Ok(Grpc::new(codec).unary(method, request).await) })
    }
}
