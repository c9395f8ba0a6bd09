//! Many callers at once: each changes, reads and asks for what it may not have, in a loop, hangs up now
//! and then, and writes down what it was told.

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

/// How long a caller rests where nobody answers.
pub(crate) const REST: Duration = Duration::from_millis(5);

/// A change as a caller asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) operation: &'static str,
    /// The ARN of what is changed.
    pub(crate) resource: String,
    /// The ARN of the key that is set.
    pub(crate) key: Option<String>,
}

/// A change, and what its caller was told.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The request id that the caller gave it.
    pub(crate) id: String,
    pub(crate) change: Change,
    pub(crate) result: Answered,
    /// By which the caller may repeat the request.
    pub(crate) own: Option<OwnId>,
}

/// The id of its own that a request has, and where it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnId {
    pub(crate) id: Uuid,
    /// How often the service had been started when the answer came.
    pub(crate) life: u64,
}

/// What a caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It was made; with the answer whole.
    Made { event: String, aws_request_id: String, whole: String },
    /// It was not, or nobody knows; perhaps with its record still pending.
    Refused { reason: String, executed: bool, pending: bool },
    /// Nothing: the connection broke, or the caller hung up.
    Nothing,
    /// Nobody was there to be asked.
    NobodyThere,
}

/// Callers at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    callers: JoinSet<Vec<Answer>>,
}

/// One of them.
pub(crate) struct Caller {
    client: KeyAssociationServiceClient<Channel>,
    token: String,
    name: String,
    calls: u64,
    lives: Arc<AtomicU64>,
}

/// How a call ends if it takes long.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CallerTimeout {
    /// It waits as long as the service lets it.
    All,
    /// It has this deadline, and tells the service.
    Deadline(Duration),
    /// It hangs up after this, and does not tell before.
    HangsUp(Duration),
}

// === impl Change ===

impl Change {
    pub(crate) fn set(resource: &str, key: &str) -> Self {
        Self { operation: "AssociateKmsKey", resource: resource.into(), key: Some(key.into()) }
    }

    pub(crate) fn take_away(resource: &str) -> Self {
        Self { operation: "DisassociateKmsKey", resource: resource.into(), key: None }
    }

    /// Whether it is of a resource that is changed by one caller alone.
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

// === impl Patience ===

impl CallerTimeout {
    /// Mostly all of it; now and then less than a call takes.
    pub(crate) fn any(rng: &mut StdRng) -> Self {
        let now = Duration::from_millis(rng.random_range(1..60));
        match rng.random_range(0..100) {
            0..70 => Self::All,
            70..85 => Self::Deadline(now),
            _ => Self::HangsUp(now),
        }
    }
}

// === impl Load ===

impl Load {
    /// So many callers, from now until they are told to stop.
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

    /// How many calls were answered by the service so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more calls were answered: on a busy machine, time alone says nothing.
    pub(crate) async fn goes_on(&self, more: u64) {
        let before = self.answered();
        until("answers", async || self.answered() >= before + more).await;
    }

    /// Waits for the calls under way; tells what everyone was told.
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
        let lives = Arc::clone(&env.lives);
        Self { client, token: env.token(tenant), name: name.into(), calls: 0, lives }
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
            answers.extend(requests.again(&mut self, &mut rng).await);
            let key = key(account, rng.random_range(0..KEYS));
            let hot = group(account, &format!("hot-{}", rng.random_range(0..HOT)));
            let results =
                format!("arn:aws:logs:{REGION}:{}:query-result:*", ACCOUNTS.get(account).unwrap().1);
            let change = match rng.random_range(0..100) {
                0..55 => Change::set(&group(account, &format!("cold-{cold}")), &key),
                55..70 => Change::set(&hot, &key),
                70..80 => Change::take_away(&hot),
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
            let changed = matches!(answer.result, Answered::Made { .. });
            match answer.result {
                Answered::NobodyThere => {
                    tokio::time::sleep(REST).await;
                    continue;
                }
                Answered::Nothing => {}
                Answered::Made { .. } | Answered::Refused { .. } => {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
            if change.is_cold() {
                cold = env.cold(account);
            }
            answers.push(answer);
            if changed && change.is_cold() && rng.random_ratio(1, 3) {
                answers.push(self.change(Change::take_away(&change.resource), CallerTimeout::All).await);
            }
        }
        answers
    }

    /// Asks for a change.
    pub(crate) async fn change(&mut self, change: Change, timeout: CallerTimeout) -> Answer {
        self.request(change, timeout, None).await
    }

    /// The same, for the first time or again where it has an id of its own.
    pub(crate) async fn request(
        &mut self,
        change: Change,
        timeout: CallerTimeout,
        own: Option<Uuid>,
    ) -> Answer {
        self.calls += 1;
        let id = format!("{}-{}", self.name, self.calls);
        let sent = self.send(&change, timeout, &id, own);
        let result = if let CallerTimeout::HangsUp(after) = timeout {
            tokio::time::timeout(after, sent).await.unwrap_or(Answered::Nothing)
        } else {
            sent.await
        };
        let own = own.map(|id| OwnId { id, life: self.lives.load(Ordering::Relaxed) });
        Answer { id, change, result, own }
    }

    async fn send(
        &mut self,
        change: &Change,
        timeout: CallerTimeout,
        id: &str,
        own: Option<Uuid>,
    ) -> Answered {
        let resource = change.resource.clone();
        let request_id = own.map(|own| own.to_string()).unwrap_or_default();
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
            CallerTimeout::All,
            "read",
        );
        if self.client.get_key_association(request).await.is_err() {
            tokio::time::sleep(REST).await;
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
) -> Answered {
    match answer {
        Ok(answer) => {
            let whole = format!("{:?}", answer.get_ref());
            let (event, aws_request_id) = ids(answer.into_inner());
            Answered::Made { event, aws_request_id, whole }
        }
        // A status without details is the client's own: nobody answered.
        Err(status) => match status.get_details_error_info() {
            Some(info) => Answered::Refused {
                executed: info.metadata.get("executed").is_some_and(|text| text == "true"),
                pending: info.metadata.get("audit_record").is_some_and(|text| text == "pending"),
                reason: info.reason,
            },
            None if was_refused(&status) => Answered::NobodyThere,
            None => Answered::Nothing,
        },
    }
}

/// Whether there was not even a connection.
fn was_refused(status: &Status) -> bool {
    let causes = std::iter::successors(status.source(), |cause| std::error::Error::source(*cause));
    let io = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.map(std::io::Error::kind).any(|kind| kind == std::io::ErrorKind::ConnectionRefused)
}
