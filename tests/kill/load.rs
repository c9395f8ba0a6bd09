//! Concurrent callers. Each one loops over changes, reads and forbidden requests, sometimes disconnects, and
//! records its answers.

use std::{
    error::Error as _,
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use logkey::proto::{
    AssociateKmsKeyRequest, DisassociateKmsKeyRequest, GetKeyAssociationRequest,
    associate_kms_key_request as associate, disassociate_kms_key_request as disassociate,
    get_key_association_request as get, key_association_service_client::KeyAssociationServiceClient,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;
use tonic::{
    Request, Response, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::{
    process::until,
    request_ids::Requests,
    world::{ACCOUNTS, HOT, KEYS, REGION, TestEnv},
};

/// The pause after a call without an answer.
pub(crate) const RETRY_AFTER: Duration = Duration::from_millis(5);

/// A change that a caller requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) operation: &'static str,
    /// The ARN of the resource to change.
    pub(crate) resource: String,
    /// The ARN of the key to set; none to remove the key.
    pub(crate) key: Option<String>,
}

/// A change and its result for the caller.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The `x-request-id` of the call.
    pub(crate) id: String,
    pub(crate) change: Change,
    pub(crate) result: CallResult,
    /// The idempotency key, with which the caller may repeat the request.
    pub(crate) idempotency_key: Option<IdempotencyKey>,
}

/// A request's idempotency key, and which run of the service answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdempotencyKey {
    pub(crate) id: Uuid,
    /// The number of starts of the service when the answer arrived.
    pub(crate) start_number: u64,
}

/// The result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallResult {
    /// The change was made; with the whole response.
    Succeeded { event: String, aws_request_id: String, response: String },
    /// The service returned an error; the change was not made, its outcome is unknown, or its record is
    /// pending.
    Failed { reason: String, executed: bool, pending: bool },
    /// No response: the connection broke, or the caller disconnected.
    NoResponse,
    /// The connection was refused.
    ConnectionRefused,
}

/// Running callers.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    callers: JoinSet<Vec<Answer>>,
}

/// One caller with its token.
pub(crate) struct Caller {
    client: KeyAssociationServiceClient<Channel>,
    token: String,
    name: String,
    calls: u64,
    starts: Arc<AtomicU64>,
}

/// How long a caller waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallerTimeout {
    /// As long as the service allows.
    None,
    /// Until this deadline, which the request carries.
    Deadline(Duration),
    /// Until it disconnects without notice.
    Disconnect(Duration),
}

// === impl Change ===

impl Change {
    pub(crate) fn set(resource: &str, key: &str) -> Self {
        Self { operation: "AssociateKmsKey", resource: resource.into(), key: Some(key.into()) }
    }

    pub(crate) fn remove(resource: &str) -> Self {
        Self { operation: "DisassociateKmsKey", resource: resource.into(), key: None }
    }

    /// Whether only one caller changes the resource.
    pub(crate) fn is_cold(&self) -> bool {
        self.resource.contains("/cold-")
    }
}

pub(crate) fn group(account: usize, name: &str) -> String {
    let (tenant, account) = ACCOUNTS.get(account).unwrap();
    format!("arn:aws:logs:{REGION}:{account}:log-group:/{tenant}/{name}")
}

pub(crate) fn key(account: usize, number: usize) -> String {
    let (_, account) = ACCOUNTS.get(account).unwrap();
    format!("arn:aws:kms:{REGION}:{account}:key/key-{number}")
}

// === impl CallerTimeout ===

impl CallerTimeout {
    /// Usually none; sometimes shorter than a call takes.
    pub(crate) fn any(rng: &mut StdRng) -> Self {
        let duration = Duration::from_millis(rng.random_range(1..60));
        match rng.random_range(0..100) {
            0..70 => Self::None,
            70..85 => Self::Deadline(duration),
            _ => Self::Disconnect(duration),
        }
    }
}

// === impl Load ===

impl Load {
    /// Starts this many callers, which run until `stop`.
    pub(crate) fn start(env: &Arc<TestEnv>, callers: u64, seed: u64) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let mut all = JoinSet::new();
        for number in 0..callers {
            let (env, stop, answered) = (Arc::clone(env), Arc::clone(&stop), Arc::clone(&answered));
            let account = usize::try_from(number).unwrap() % ACCOUNTS.len();
            let rng = StdRng::seed_from_u64(seed.wrapping_mul(1000) + number);
            let caller = Caller::new(&env, account, &format!("{seed}-{number}"));
            all.spawn(async move { caller.work(&env, account, rng, &stop, &answered).await });
        }
        Self { stop, answered, callers: all }
    }

    /// The number of calls that the service has answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until this many more calls are answered. A fixed time would prove nothing on a busy machine.
    pub(crate) async fn wait_for_answers(&self, more: u64) {
        let before = self.answered();
        until("answers", async || self.answered() >= before + more).await;
    }

    /// Waits for the calls in flight and returns all answers.
    pub(crate) async fn stop(self) -> Vec<Answer> {
        self.stop.store(true, Ordering::Relaxed);
        self.callers.join_all().await.concat()
    }
}

// === impl Caller ===

impl Caller {
    pub(crate) fn new(env: &TestEnv, account: usize, name: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", env.grpc)).unwrap();
        let client = KeyAssociationServiceClient::new(endpoint.connect_lazy());
        let (tenant, _) = ACCOUNTS.get(account).unwrap();
        let starts = Arc::clone(&env.starts);
        Self { client, token: env.token(tenant), name: name.into(), calls: 0, starts }
    }

    async fn work(
        mut self,
        env: &TestEnv,
        account: usize,
        mut rng: StdRng,
        stop: &AtomicBool,
        answered: &AtomicU64,
    ) -> Vec<Answer> {
        let (mut answers, mut cold) = (Vec::new(), env.cold(account));
        let mut requests = Requests::default();
        while !stop.load(Ordering::Relaxed) {
            answers.extend(requests.repeat(&mut self, &mut rng).await);
            let key = key(account, rng.random_range(0..KEYS));
            let hot = group(account, &format!("hot-{}", rng.random_range(0..HOT)));
            let results =
                format!("arn:aws:logs:{REGION}:{}:query-result:*", ACCOUNTS.get(account).unwrap().1);
            let change = match rng.random_range(0..100) {
                0..55 => Change::set(&group(account, &format!("cold-{cold}")), &key),
                55..70 => Change::set(&hot, &key),
                70..80 => Change::remove(&hot),
                80..85 => Change::set(&results, &key),
                85..90 => Change::set(&hot.replace("/hot", "/nobody/hot").replace(":/", ":/else"), &key),
                _ => {
                    self.read(&hot).await;
                    continue;
                }
            };
            if rng.random_ratio(1, 4) {
                let result = requests.make(&mut self, change.clone(), &mut rng, stop).await;
                answered.fetch_add(u64::from(!result.is_empty()), Ordering::Relaxed);
                answers.extend(result);
                if change.is_cold() {
                    cold = env.cold(account);
                }
                continue;
            }
            let answer = self.change(change.clone(), CallerTimeout::any(&mut rng)).await;
            let changed = matches!(answer.result, CallResult::Succeeded { .. });
            match answer.result {
                CallResult::ConnectionRefused => {
                    tokio::time::sleep(RETRY_AFTER).await;
                    continue;
                }
                CallResult::NoResponse => {}
                CallResult::Succeeded { .. } | CallResult::Failed { .. } => {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
            if change.is_cold() {
                cold = env.cold(account);
            }
            answers.push(answer);
            if changed && change.is_cold() && rng.random_ratio(1, 3) {
                answers.push(self.change(Change::remove(&change.resource), CallerTimeout::None).await);
            }
        }
        answers
    }

    /// Requests a change without an idempotency key.
    pub(crate) async fn change(&mut self, change: Change, timeout: CallerTimeout) -> Answer {
        self.request(change, timeout, None).await
    }

    /// Requests a change, or repeats it with the same idempotency key.
    pub(crate) async fn request(
        &mut self,
        change: Change,
        timeout: CallerTimeout,
        idempotency_key: Option<Uuid>,
    ) -> Answer {
        self.calls += 1;
        let id = format!("{}-{}", self.name, self.calls);
        let sent = self.send(&change, timeout, &id, idempotency_key);
        let result = if let CallerTimeout::Disconnect(after) = timeout {
            tokio::time::timeout(after, sent).await.unwrap_or(CallResult::NoResponse)
        } else {
            sent.await
        };
        let idempotency_key = idempotency_key
            .map(|id| IdempotencyKey { id, start_number: self.starts.load(Ordering::Relaxed) });
        Answer { id, change, result, idempotency_key }
    }

    async fn send(
        &mut self,
        change: &Change,
        timeout: CallerTimeout,
        id: &str,
        idempotency_key: Option<Uuid>,
    ) -> CallResult {
        let resource = change.resource.clone();
        let request_id = idempotency_key.map(|key| key.to_string()).unwrap_or_default();
        if let Some(key) = &change.key {
            let target = Some(associate::Target::ResourceIdentifier(resource));
            let kms_key_id = key.clone();
            let message = AssociateKmsKeyRequest { target, kms_key_id, request_id, ..Default::default() };
            let request = self.to_request(message, timeout, id);
            classify(self.client.associate_kms_key(request).await, |answer| {
                (answer.audit_event_id, answer.aws_request_id)
            })
        } else {
            let target = Some(disassociate::Target::ResourceIdentifier(resource));
            let message = DisassociateKmsKeyRequest { target, request_id, ..Default::default() };
            let request = self.to_request(message, timeout, id);
            classify(self.client.disassociate_kms_key(request).await, |answer| {
                (answer.audit_event_id, answer.aws_request_id)
            })
        }
    }

    async fn read(&mut self, resource: &str) {
        let target = Some(get::Target::ResourceIdentifier(resource.into()));
        let request = self.to_request(
            GetKeyAssociationRequest { target, ..Default::default() },
            CallerTimeout::None,
            "read",
        );
        if self.client.get_key_association(request).await.is_err() {
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    fn to_request<T>(&self, message: T, timeout: CallerTimeout, id: &str) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        if let CallerTimeout::Deadline(deadline) = timeout {
            request.set_timeout(deadline);
        }
        request
    }
}

fn classify<T: Debug>(
    answer: Result<Response<T>, Status>,
    ids: impl FnOnce(T) -> (String, String),
) -> CallResult {
    match answer {
        Ok(answer) => {
            let response = format!("{:?}", answer.get_ref());
            let (event, aws_request_id) = ids(answer.into_inner());
            CallResult::Succeeded { event, aws_request_id, response }
        }
        // A status without details comes from the client library: the service did not answer.
        Err(status) => match status.get_details_error_info() {
            Some(info) => CallResult::Failed {
                executed: info.metadata.get("executed").is_some_and(|text| text == "true"),
                pending: info.metadata.get("audit_record").is_some_and(|text| text == "pending"),
                reason: info.reason,
            },
            None if is_connection_refused(&status) => CallResult::ConnectionRefused,
            None => CallResult::NoResponse,
        },
    }
}

/// Whether the connection was refused.
fn is_connection_refused(status: &Status) -> bool {
    let causes = std::iter::successors(status.source(), |cause| std::error::Error::source(*cause));
    let io = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.map(std::io::Error::kind).any(|kind| kind == std::io::ErrorKind::ConnectionRefused)
}
