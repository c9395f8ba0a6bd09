//! Queries for every RPC that takes an account, a log group, a key, a page token or something of the audit
//! log.

use logkey::proto::{
    AssociateKmsKeyRequest, AuditEventFilter, CheckKeyAssociationRequest, DisassociateKmsKeyRequest,
    GetInclusionProofRequest, GetKeyUsageRequest, ListAuditEventsRequest, ListKeyAssociationsRequest,
    TestAccessRequest, audit_service_client::AuditServiceClient, check_key_association_request,
    disassociate_kms_key_request, tenant_service_client::TenantServiceClient,
};
use tonic::{Response, Status};

use super::key;
use crate::harness::{Caller, GROUP, PAYMENTS, REGION, on_group};

/// An RPC whose request names something that may be hidden or absent.
pub(super) enum Name {
    ChangeInAccount(String),
    ChangeOfGroup(String),
    RemovalInAccount(String),
    RemovalOfGroup(String),
    CheckInAccount(String),
    CheckOfGroup(String),
    UsageOfKey(String),
    UsageInAccount(String),
    TestOfAccount(String),
    ProofOfEvent(String),
    EventsOfTenant(String),
    EventsOfResource(String),
    EventsOfCall(String),
    PageOfList(String),
    PageOfUsage(String),
    PageOfEvents(String),
}

impl Name {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::ChangeInAccount(name)
            | Self::ChangeOfGroup(name)
            | Self::RemovalInAccount(name)
            | Self::RemovalOfGroup(name)
            | Self::CheckInAccount(name)
            | Self::CheckOfGroup(name)
            | Self::UsageOfKey(name)
            | Self::UsageInAccount(name)
            | Self::TestOfAccount(name)
            | Self::ProofOfEvent(name)
            | Self::EventsOfTenant(name)
            | Self::EventsOfResource(name)
            | Self::EventsOfCall(name)
            | Self::PageOfList(name)
            | Self::PageOfUsage(name)
            | Self::PageOfEvents(name) => name,
        }
    }

    pub(super) async fn send(&self, caller: &Caller) -> Result<String, Status> {
        let good = key(PAYMENTS, "good");
        match self {
            Self::ChangeInAccount(account) => change(caller, account, GROUP, &good).await,
            Self::ChangeOfGroup(group) => change(caller, PAYMENTS, group, &good).await,
            Self::RemovalInAccount(account) => removal(caller, account, GROUP).await,
            Self::RemovalOfGroup(group) => removal(caller, PAYMENTS, group).await,
            Self::CheckInAccount(account) => check(caller, account, GROUP, &good).await,
            Self::CheckOfGroup(group) => check(caller, PAYMENTS, group, &good).await,
            Self::UsageOfKey(named) => usage(caller, "", named, "").await,
            Self::UsageInAccount(account) => usage(caller, account, &good, "").await,
            Self::TestOfAccount(account) => {
                let mut client = TenantServiceClient::new(caller.channel());
                let message = TestAccessRequest { account_id: account.clone(), region: REGION.into() };
                client.test_access(caller.request(message)).await.map(text)
            }
            Self::ProofOfEvent(id) => {
                let mut client = AuditServiceClient::new(caller.channel());
                let message = GetInclusionProofRequest { event_id: id.clone(), tree_size: 0 };
                client.get_inclusion_proof(caller.request(message)).await.map(text)
            }
            Self::EventsOfTenant(tenant) => {
                events(caller, AuditEventFilter { tenant_id: tenant.clone(), ..Default::default() }, "").await
            }
            Self::EventsOfResource(arn) => {
                events(caller, AuditEventFilter { resource: arn.clone(), ..Default::default() }, "").await
            }
            Self::EventsOfCall(id) => {
                events(caller, AuditEventFilter { correlation_id: id.clone(), ..Default::default() }, "")
                    .await
            }
            Self::PageOfList(token) => {
                let message = ListKeyAssociationsRequest {
                    page_size: 1,
                    page_token: token.clone(),
                    ..Default::default()
                };
                caller.list(message).await.map(|page| format!("{page:?}"))
            }
            Self::PageOfUsage(token) => usage(caller, "", &good, token).await,
            Self::PageOfEvents(token) => events(caller, AuditEventFilter::default(), token).await,
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "so that it can be mapped over")]
fn text<T: std::fmt::Debug>(answer: Response<T>) -> String {
    format!("{:?}", answer.get_ref())
}

async fn change(caller: &Caller, account: &str, group: &str, key: &str) -> Result<String, Status> {
    let message =
        AssociateKmsKeyRequest { account_id: account.into(), region: REGION.into(), ..on_group(group, key) };
    caller.send(message).await.map(|answer| format!("{answer:?}"))
}

async fn removal(caller: &Caller, account: &str, group: &str) -> Result<String, Status> {
    let target = disassociate_kms_key_request::Target::LogGroupName(group.into());
    let message = DisassociateKmsKeyRequest {
        account_id: account.into(),
        region: REGION.into(),
        target: Some(target),
        ..Default::default()
    };
    caller.keys().disassociate_kms_key(caller.request(message)).await.map(text)
}

async fn check(caller: &Caller, account: &str, group: &str, key: &str) -> Result<String, Status> {
    let target = check_key_association_request::Target::LogGroupName(group.into());
    let message = CheckKeyAssociationRequest {
        account_id: account.into(),
        region: REGION.into(),
        target: Some(target),
        kms_key_id: key.into(),
    };
    caller.keys().check_key_association(caller.request(message)).await.map(text)
}

async fn usage(caller: &Caller, account: &str, key: &str, page_token: &str) -> Result<String, Status> {
    let message = GetKeyUsageRequest {
        kms_key_id: key.into(),
        account_id: account.into(),
        region: REGION.into(),
        page_size: 1,
        page_token: page_token.into(),
    };
    caller.keys().get_key_usage(caller.request(message)).await.map(text)
}

async fn events(caller: &Caller, filter: AuditEventFilter, page_token: &str) -> Result<String, Status> {
    let mut client = AuditServiceClient::new(caller.channel());
    let message =
        ListAuditEventsRequest { page_size: 1, page_token: page_token.into(), filter: Some(filter) };
    client.list_audit_events(caller.request(message)).await.map(text)
}

/// What another tenant has: an event, the id of its call, and tokens of next pages.
pub(super) struct Theirs {
    pub(super) event: String,
    pub(super) call: &'static str,
    pub(super) list: String,
    pub(super) usage: String,
    pub(super) events: String,
}

impl Theirs {
    /// Sets a key on both log groups of `orders`, and reads first pages with one item.
    pub(super) async fn of(orders: &Caller, account: &str) -> Self {
        let (key, call) = (key(account, "good"), "ticket-of-orders");
        orders.associate("/orders/hash#1", &key).await.unwrap();
        let mut request = orders.request(on_group("/orders/api", &key));
        request.metadata_mut().insert("x-request-id", call.parse().unwrap());
        let event = orders.keys().associate_kms_key(request).await.unwrap().into_inner().audit_event_id;
        let list = ListKeyAssociationsRequest { page_size: 1, ..Default::default() };
        let list = orders.list(list).await.unwrap().next_page_token;
        let usage = GetKeyUsageRequest { kms_key_id: key, page_size: 1, ..Default::default() };
        let usage = orders.keys().get_key_usage(orders.request(usage)).await.unwrap().into_inner();
        let mut client = AuditServiceClient::new(orders.channel());
        let events = ListAuditEventsRequest { page_size: 1, ..Default::default() };
        let events = client.list_audit_events(orders.request(events)).await.unwrap().into_inner();
        let all = [list, usage.next_page_token, events.next_page_token];
        assert!(all.iter().all(|token| !token.is_empty()), "{all:?}");
        let [list, usage, events] = all;
        Self { event, call, list, usage, events }
    }
}
