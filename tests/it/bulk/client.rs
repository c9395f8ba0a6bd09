//! A client of `BulkAssociationService`.

use std::time::Duration;

use logkey::proto::{
    BulkAssociation, BulkItem, BulkItemState, BulkState, CancelBulkAssociationRequest,
    CreateBulkAssociationRequest, GetBulkAssociationRequest, KeyChoice, ListBulkAssociationItemsRequest,
    ListBulkAssociationsRequest, PauseBulkAssociationRequest, ResumeBulkAssociationRequest,
    RetryBulkAssociationRequest, RevertBulkAssociationRequest, Selection, StartBulkAssociationRequest,
    WatchBulkAssociationRequest, bulk_association_service_client::BulkAssociationServiceClient, bulk_item,
    create_bulk_association_request::Change,
};
use tonic::{Response, Status, transport::Channel};

use crate::harness::{Caller, Service};

/// The longest wait for a job.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A caller of bulk jobs.
#[derive(Clone)]
pub(crate) struct JobCaller(Caller);

pub(crate) fn key_choice(key: &str) -> Change {
    Change::Key(KeyChoice { kms_key_id: key.into(), overrides: Vec::new() })
}

pub(crate) fn patterns(patterns: &[&str]) -> Selection {
    Selection {
        log_group_patterns: patterns.iter().map(|it| (*it).to_owned()).collect(),
        ..Selection::default()
    }
}

/// The methods of an item that the generated type lacks.
pub(crate) trait ItemExt {
    fn log_group(&self) -> &str;
}

impl ItemExt for BulkItem {
    fn log_group(&self) -> &str {
        match &self.resource {
            Some(bulk_item::Resource::LogGroupName(name)) => name,
            _ => "",
        }
    }
}

impl JobCaller {
    pub(crate) fn new(service: &Service, tenant: &str, scopes: &str) -> Self {
        Self(service.caller(tenant, scopes))
    }

    fn client(&self) -> BulkAssociationServiceClient<Channel> {
        BulkAssociationServiceClient::new(self.0.channel()).max_decoding_message_size(16 * 1024 * 1024)
    }

    pub(crate) async fn send(
        &self,
        request: CreateBulkAssociationRequest,
    ) -> Result<BulkAssociation, Status> {
        let created = self.client().create_bulk_association(self.0.request(request)).await?;
        Ok(created.into_inner().bulk_association.unwrap())
    }

    pub(crate) async fn create(
        &self,
        change: Change,
        selection: Selection,
    ) -> Result<BulkAssociation, Status> {
        let (selection, change) = (Some(selection), Some(change));
        self.send(CreateBulkAssociationRequest { selection, change, ..Default::default() }).await
    }

    pub(crate) async fn create_started(
        &self,
        change: Change,
        selection: Selection,
    ) -> Result<BulkAssociation, Status> {
        let (selection, change) = (Some(selection), Some(change));
        self.send(CreateBulkAssociationRequest { selection, change, start: true, ..Default::default() }).await
    }

    pub(crate) async fn get(&self, id: &str) -> Result<BulkAssociation, Status> {
        let request = self.0.request(GetBulkAssociationRequest { id: id.into() });
        Ok(self.client().get_bulk_association(request).await?.into_inner().bulk_association.unwrap())
    }

    pub(crate) async fn start(&self, id: &str, etag: &str) -> Result<BulkAssociation, Status> {
        let request = StartBulkAssociationRequest { id: id.into(), etag: etag.into() };
        let started = self.client().start_bulk_association(self.0.request(request)).await?;
        Ok(started.into_inner().bulk_association.unwrap())
    }

    pub(crate) async fn pause(&self, id: &str) -> Result<BulkAssociation, Status> {
        let request = self.0.request(PauseBulkAssociationRequest { id: id.into() });
        Ok(self.client().pause_bulk_association(request).await?.into_inner().bulk_association.unwrap())
    }

    pub(crate) async fn resume(&self, id: &str) -> Result<BulkAssociation, Status> {
        let request = self.0.request(ResumeBulkAssociationRequest { id: id.into() });
        Ok(self.client().resume_bulk_association(request).await?.into_inner().bulk_association.unwrap())
    }

    pub(crate) async fn cancel(&self, id: &str) -> Result<BulkAssociation, Status> {
        let request = self.0.request(CancelBulkAssociationRequest { id: id.into() });
        Ok(self.client().cancel_bulk_association(request).await?.into_inner().bulk_association.unwrap())
    }

    pub(crate) async fn retry(&self, id: &str) -> Result<BulkAssociation, Status> {
        let request = self.0.request(RetryBulkAssociationRequest { id: id.into() });
        Ok(self.client().retry_bulk_association(request).await?.into_inner().bulk_association.unwrap())
    }

    pub(crate) async fn revert(&self, id: &str) -> Result<BulkAssociation, Status> {
        let request = RevertBulkAssociationRequest { id: id.into(), ..Default::default() };
        let reverted = self.client().revert_bulk_association(self.0.request(request)).await?;
        Ok(reverted.into_inner().bulk_association.unwrap())
    }

    /// The jobs of this tenant in these states, over pages of two.
    pub(crate) async fn list(
        &self,
        tenant: &str,
        states: &[BulkState],
    ) -> Result<Vec<BulkAssociation>, Status> {
        let (mut jobs, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListBulkAssociationsRequest {
                page_size: 2,
                page_token,
                states: states.iter().map(|state| (*state).into()).collect(),
                tenant_id: tenant.into(),
            };
            let page = self.client().list_bulk_associations(self.0.request(request)).await?.into_inner();
            jobs.extend(page.bulk_associations);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(jobs);
            }
        }
    }

    pub(crate) async fn try_items(&self, id: &str) -> Result<Vec<BulkItem>, Status> {
        self.items_where(ListBulkAssociationItemsRequest { id: id.into(), ..Default::default() }).await
    }

    /// The items that match, over pages of 50.
    pub(crate) async fn items_where(
        &self,
        filter: ListBulkAssociationItemsRequest,
    ) -> Result<Vec<BulkItem>, Status> {
        let (mut items, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListBulkAssociationItemsRequest { page_token, page_size: 50, ..filter.clone() };
            let page = self.client().list_bulk_association_items(self.0.request(request)).await?.into_inner();
            items.extend(page.items);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(items);
            }
        }
    }

    /// The items in these states.
    pub(crate) async fn items(&self, id: &str, states: &[BulkItemState]) -> Vec<BulkItem> {
        let states = states.iter().map(|state| (*state).into()).collect();
        let filter = ListBulkAssociationItemsRequest { id: id.into(), states, ..Default::default() };
        self.items_where(filter).await.unwrap()
    }

    /// Everything that a watch sends until it ends.
    pub(crate) async fn watch(&self, id: &str) -> Result<Vec<BulkAssociation>, Status> {
        let request = self.0.request(WatchBulkAssociationRequest { id: id.into() });
        let mut stream = self.client().watch_bulk_association(request).await.map(Response::into_inner)?;
        let mut jobs = Vec::new();
        while let Some(response) = stream.message().await? {
            jobs.push(response.bulk_association.unwrap());
        }
        Ok(jobs)
    }

    /// Reads the job until it is as expected.
    pub(crate) async fn wait(
        &self,
        id: &str,
        expected: impl Fn(&BulkAssociation) -> bool,
    ) -> BulkAssociation {
        let waiting = async {
            loop {
                let job = self.get(id).await.unwrap();
                if expected(&job) {
                    return job;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let Ok(job) = tokio::time::timeout(TIMEOUT, waiting).await else {
            panic!("the job does not get there: {:?}", self.get(id).await)
        };
        job
    }

    /// Reads the job until it has ended and its last changes are recorded.
    pub(crate) async fn wait_for_end(&self, id: &str) -> BulkAssociation {
        let has_ended = |job: &BulkAssociation| {
            matches!(
                job.state(),
                BulkState::Succeeded
                    | BulkState::CompletedWithFailures
                    | BulkState::Cancelled
                    | BulkState::Failed
            ) && job.counts.is_some_and(|counts| counts.running == 0)
        };
        self.wait(id, has_ended).await
    }
}
