//! Bulk jobs, one after the other: creates the next when one has ended, and reads their items. A call that
//! gets no answer is repeated, at each replica in turn.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use logkey::{
    proto::{
        BulkAssociation, BulkItem, BulkState, CreateBulkAssociationRequest, GetBulkAssociationRequest,
        KeyChoice, ListBulkAssociationItemsRequest, Selection,
        bulk_association_service_client::BulkAssociationServiceClient,
        create_bulk_association_request::Change,
    },
    sandbox::call_log::Entry,
};
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use crate::{
    process::until,
    world::{FLEET, JOBS, KEYS, TestEnv, job_prefix},
};

/// How many polls for a call of a job are made before the state of the job is read.
const POLLS_PER_READ: u32 = 10;

type Client = BulkAssociationServiceClient<Channel>;

/// A job and what it should do.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) number: usize,
    pub(crate) id: String,
}

/// An ended job.
#[derive(Debug)]
pub(crate) struct EndedJob {
    pub(crate) job: Job,
    pub(crate) association: BulkAssociation,
    pub(crate) items: Vec<BulkItem>,
}

/// The caller of the jobs.
pub(crate) struct Jobs {
    env: Arc<TestEnv>,
    clients: Vec<Client>,
    next_client: usize,
    token: String,
    created: Vec<Job>,
    /// The last recorded call that was looked at.
    last_call: u64,
}

// === impl Job ===

impl Job {
    /// The key that each of its groups gets.
    pub(crate) fn key(&self) -> String {
        format!("key-{}", self.number % KEYS)
    }
}

// === impl Jobs ===

impl Jobs {
    /// A caller of the replicas at these addresses.
    pub(crate) fn new(env: &Arc<TestEnv>, replicas: &[SocketAddr]) -> Self {
        let clients = replicas.iter().map(client).collect();
        let token = env.token(FLEET);
        Self { env: Arc::clone(env), clients, next_client: 0, token, created: Vec::new(), last_call: 0 }
    }

    /// Calls the replicas at these addresses from now on.
    pub(crate) fn call_at(&mut self, replicas: &[[SocketAddr; 2]]) {
        self.clients = replicas.iter().map(|[grpc, _]| client(grpc)).collect();
    }

    /// Waits for a further call that changes a key for a job, and returns its time. Creates jobs as needed.
    pub(crate) async fn wait_for_change(&mut self) -> Timestamp {
        drop(self.new_changes());
        let (mut found, mut polls) = (None, 0);
        until("a change of a job", async || {
            if polls % POLLS_PER_READ == 0 {
                self.create_if_ended().await;
            }
            polls += 1;
            found = self.new_changes().first().map(|call| call.time);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    fn new_changes(&mut self) -> Vec<Entry> {
        let mut calls = self.env.aws.sandbox().journal_since(self.last_call);
        self.last_call = calls.last().map_or(self.last_call, |call| call.sequence);
        calls.retain(|call| call.operation == "AssociateKmsKey");
        calls
    }

    /// Creates the next job, if the one before has ended. It does nothing if no replica answers.
    async fn create_if_ended(&mut self) {
        if let Some(last) = self.created.last().cloned() {
            match self.get(&last).await {
                Ok(job) if has_ended(&job) => {}
                Ok(_) | Err(_) => return,
            }
        }
        let number = self.created.len();
        assert!(number < JOBS, "so many rounds need more jobs; increase JOBS");
        let job = Job { number, id: String::new() };
        let request = CreateBulkAssociationRequest {
            selection: Some(Selection {
                log_group_patterns: vec![format!("{}*", job_prefix(number))],
                ..Selection::default()
            }),
            change: Some(Change::Key(KeyChoice { kms_key_id: job.key(), overrides: Vec::new() })),
            start: true,
            request_id: request_id(number).to_string(),
            ..Default::default()
        };
        let (mut client, request) = self.call(request);
        if let Ok(created) = client.create_bulk_association(request).await {
            let id = created.into_inner().bulk_association.unwrap().id;
            self.created.push(Job { id, ..job });
        }
    }

    /// Waits until all jobs have ended, and returns them with their items.
    pub(crate) async fn finish(mut self) -> Vec<EndedJob> {
        let mut ended = Vec::new();
        for job in self.created.clone() {
            let mut association = None;
            until("the end of a job", async || {
                association = self.get(&job).await.ok().filter(has_ended);
                association.is_some()
            })
            .await;
            let mut items = None;
            until("the items of a job", async || {
                items = self.items(&job).await.ok();
                items.is_some()
            })
            .await;
            ended.push(EndedJob { job, association: association.unwrap(), items: items.unwrap() });
        }
        ended
    }

    async fn get(&mut self, job: &Job) -> Result<BulkAssociation, Status> {
        let (mut client, request) = self.call(GetBulkAssociationRequest { id: job.id.clone() });
        Ok(client.get_bulk_association(request).await?.into_inner().bulk_association.unwrap())
    }

    async fn items(&mut self, job: &Job) -> Result<Vec<BulkItem>, Status> {
        let (mut items, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListBulkAssociationItemsRequest {
                id: job.id.clone(),
                page_token,
                page_size: 500,
                ..Default::default()
            };
            let (mut client, request) = self.call(request);
            let page = client.list_bulk_association_items(request).await?.into_inner();
            items.extend(page.items);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(items);
            }
        }
    }

    /// A request to the next replica.
    fn call<T>(&mut self, message: T) -> (Client, Request<T>) {
        self.next_client = (self.next_client + 1) % self.clients.len();
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        (self.clients[self.next_client].clone(), request)
    }
}

/// The idempotency key of the request for a job, the same for each repetition.
fn request_id(job: usize) -> Uuid {
    Uuid::from_u128(0x1000_0000_0000_4000_8000_0000_0000_0000 + u128::try_from(job).unwrap())
}

fn client(address: &SocketAddr) -> Client {
    Client::new(Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy())
        .max_decoding_message_size(16 * 1024 * 1024)
}

fn has_ended(job: &BulkAssociation) -> bool {
    assert_ne!(job.state(), BulkState::Paused, "{job:?}");
    let open = job.counts.is_none_or(|counts| counts.running > 0);
    !open
        && matches!(job.state(), BulkState::Succeeded | BulkState::CompletedWithFailures | BulkState::Failed)
}

/// The recorded calls that change keys for jobs, by account and job.
pub(crate) fn by_location(calls: &[Entry]) -> HashMap<(String, String), Vec<&Entry>> {
    let mut locations: HashMap<(String, String), Vec<&Entry>> = HashMap::new();
    for call in calls.iter().filter(|call| call.operation == "AssociateKmsKey") {
        let Some(name) = call.params.get("logGroupName").and_then(|name| name.as_str()) else { continue };
        let Some((prefix, _)) = name.rsplit_once('-') else { continue };
        if prefix.starts_with(&format!("/{FLEET}/")) {
            locations.entry((call.account.clone(), prefix.to_owned())).or_default().push(call);
        }
    }
    locations
}
