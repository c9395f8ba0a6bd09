//! A fake of AWS, which responds as the test configures it and records the changes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociateKmsKey, DisassociateKmsKey, LogGroupName, Resource},
        audit::AwsCallRecord,
        authorization::{Access, Authorized},
        key::{KeyMetadata, KeyState, KeyTags},
        policy_simulation::{SimulationDecision, SimulationRequest, SimulationResult},
        refusal::{AccessDenial, DeniedAction},
        tenant::TenantId,
    },
    ports::{
        Acknowledgement, AwsResponse, KeyAssociations, Keys, LogGroup, LogGroupPage, LogGroups, Roles,
        UpstreamError,
        aws::{AwsErrorDetails, Refusal},
    },
};

/// The maximum number of log groups in a page.
const PAGE_SIZE: usize = 50;

/// Has the configured log groups, and accepts every change unless it is configured to fail.
#[derive(Debug, Default)]
pub struct FakeAws {
    groups: Mutex<Vec<LogGroup>>,
    answers: Mutex<VecDeque<UpstreamError>>,
    read_error: Mutex<Option<fn() -> UpstreamError>>,
    delay: Mutex<Duration>,
    key_state: Mutex<Option<KeyState>>,
    key_policy: Mutex<Option<Box<str>>>,
    decision: Mutex<Option<(String, SimulationDecision)>>,
    panics: Mutex<bool>,
    key_tags: Mutex<Option<KeyTags>>,
    calls: Mutex<Vec<RecordedCall>>,
}

/// A change that reached the fake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCall {
    /// The tenant whose credentials the call used.
    pub tenant: TenantId,
    /// The changed resource.
    pub resource: Resource,
    /// The key that was set. `None` if it was removed.
    pub key: Option<String>,
}

// === impl FakeAws ===

impl FakeAws {
    /// A fake with these log groups, in the order of their names.
    #[must_use]
    pub fn with(mut groups: Vec<LogGroup>) -> Self {
        groups.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Self { groups: Mutex::new(groups), ..Self::default() }
    }

    /// Sets the key of a log group, as another tool does.
    ///
    /// # Panics
    ///
    /// If the key is not an ARN.
    pub fn set_key(&self, name: &str, key: Option<&str>) {
        let key = key.map(|key| key.parse().unwrap());
        self.groups.lock().iter_mut().filter(|group| group.name.as_str() == name).for_each(|group| {
            group.key.clone_from(&key);
        });
    }

    /// Fails the next change with this error. Several calls queue their errors.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn answer(&self, error: UpstreamError) {
        self.answers.lock().push_back(error);
    }

    /// Removes the errors that no change used up.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn clear_answers(&self) {
        self.answers.lock().clear();
    }

    /// Fails every further read of log groups with this error.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn fail_reads(&self, error: fn() -> UpstreamError) {
        *self.read_error.lock() = Some(error);
    }

    /// A read of log groups. A call that needs a session has none if the role cannot be assumed.
    fn read<T>(&self, found: T) -> AwsResponse<T> {
        match *self.read_error.lock() {
            None => AwsResponse { via: trace(), result: Ok(found) },
            Some(error) => {
                let error = error();
                let has_session = matches!(error, UpstreamError::Refused { .. });
                let via = if has_session { trace() } else { AwsCallRecord::default() };
                AwsResponse { via, result: Err(error) }
            }
        }
    }

    /// Delays every further change by this time.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn delay(&self, delay: Duration) {
        *self.delay.lock() = delay;
    }

    /// Panics in every further change, after it is recorded, and in every further read of a log group.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn panic(&self) {
        *self.panics.lock() = true;
    }

    fn maybe_panic(&self) {
        let panics = *self.panics.lock();
        if panics {
            std::panic::resume_unwind(Box::new("configured to panic"));
        }
    }

    /// Sets the state of all keys.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn set_keys(&self, state: KeyState) {
        *self.key_state.lock() = Some(state);
    }

    /// Sets the policy of all keys. Without it, the role may not read policies.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn set_key_policies(&self, policy: &str) {
        *self.key_policy.lock() = Some(policy.into());
    }

    /// Sets the decision of the policy simulation for actions with this prefix; all other actions are
    /// allowed. Without it, the role may not simulate its policies.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn set_simulation(&self, prefix: &str, decision: SimulationDecision) {
        *self.decision.lock() = Some((prefix.to_owned(), decision));
    }

    /// Sets a tag on all keys. Without it, the role may not read tags.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn set_key_tags(&self, tag: &str, value: &str) {
        *self.key_tags.lock() = Some([(tag.into(), value.into())].into_iter().collect());
    }

    /// Every change that reached the fake.
    ///
    /// # Panics
    ///
    /// If another thread panicked while it held the lock.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.calls.lock().clone()
    }

    async fn change(&self, call: RecordedCall) -> AwsResponse<Acknowledgement> {
        self.calls.lock().push(call);
        let delay = *self.delay.lock();
        tokio::time::sleep(delay).await;
        self.maybe_panic();
        let result = match self.answers.lock().pop_front() {
            Some(error) => Err(error),
            None => Ok(Acknowledgement { aws_request_id: "aws-1".into() }),
        };
        AwsResponse { via: trace(), result }
    }
}

#[async_trait]
impl KeyAssociations for FakeAws {
    async fn associate(
        &self,
        authorized: &Authorized<AssociateKmsKey>,
        _deadline: Instant,
    ) -> AwsResponse<Acknowledgement> {
        self.change(RecordedCall {
            tenant: authorized.access().tenant().id.clone(),
            resource: authorized.command().resource.clone(),
            key: Some(authorized.command().key.to_string()),
        })
        .await
    }

    async fn disassociate(
        &self,
        authorized: &Authorized<DisassociateKmsKey>,
        _deadline: Instant,
    ) -> AwsResponse<Acknowledgement> {
        self.change(RecordedCall {
            tenant: authorized.access().tenant().id.clone(),
            resource: authorized.command().resource.clone(),
            key: None,
        })
        .await
    }
}

#[async_trait]
impl LogGroups for FakeAws {
    async fn find(&self, _: &Access, name: &LogGroupName, _: Instant) -> AwsResponse<Option<LogGroup>> {
        self.maybe_panic();
        let found = self.groups.lock().iter().find(|group| group.name == *name).cloned();
        self.read(found)
    }

    async fn find_many(&self, _: &Access, names: &[LogGroupName], _: Instant) -> AwsResponse<Vec<LogGroup>> {
        let groups = self.groups.lock();
        let found = groups.iter().filter(|group| names.contains(&group.name)).cloned();
        AwsResponse { via: trace(), result: Ok(found.collect()) }
    }

    async fn page(
        &self,
        _: &Access,
        prefix: Option<&str>,
        token: Option<&str>,
        _: Instant,
    ) -> AwsResponse<LogGroupPage> {
        let from: usize = token.map_or(0, |token| token.parse().unwrap());
        let groups = self.groups.lock();
        let matching: Vec<LogGroup> = groups
            .iter()
            .filter(|group| group.name.as_str().starts_with(prefix.unwrap_or_default()))
            .cloned()
            .collect();
        let next = (from + PAGE_SIZE < matching.len()).then(|| (from + PAGE_SIZE).to_string().into());
        let page = LogGroupPage { groups: matching.into_iter().skip(from).take(PAGE_SIZE).collect(), next };
        self.read(page)
    }
}

#[async_trait]
impl Keys for FakeAws {
    async fn describe(
        &self,
        access: &Access,
        key: &KmsKeyId,
        _: Instant,
    ) -> AwsResponse<Option<KeyMetadata>> {
        let arn = match key {
            KmsKeyId::Arn(arn) => Some(arn.clone()),
            KmsKeyId::KeyId(id) => {
                let location = access.location();
                format!("arn:aws:kms:{}:{}:key/{id}", location.region, location.account).parse().ok()
            }
            KmsKeyId::Alias(_) | KmsKeyId::AliasArn { .. } => None,
        };
        let metadata = arn.map(|arn| KeyMetadata {
            arn,
            state: self.key_state.lock().clone().unwrap_or(KeyState::Enabled),
            symmetric: Some(true),
            encrypts: Some(true),
            customer_managed: Some(true),
            deletion: None,
        });
        AwsResponse { via: trace(), result: Ok(metadata) }
    }

    async fn policy(&self, _: &Access, _: &KmsKeyArn, deadline: Instant) -> AwsResponse<Option<Box<str>>> {
        let in_time = tokio::time::Instant::now().into_std() < deadline;
        let policy = self.key_policy.lock().clone().filter(|_| in_time);
        let result = policy.map(Some).ok_or_else(denied_kms);
        AwsResponse { via: trace(), result }
    }

    async fn tags(&self, _: &Access, _: &KmsKeyArn, _: Instant) -> AwsResponse<Option<KeyTags>> {
        let result = self.key_tags.lock().clone().map(Some).ok_or_else(denied_kms);
        AwsResponse { via: trace(), result }
    }
}

#[async_trait]
impl Roles for FakeAws {
    async fn service_principal(&self, _: &TenantId, _: Instant) -> Result<Box<str>, UpstreamError> {
        Ok("arn:aws:iam::999999999999:role/LogKeyHub".into())
    }

    async fn trusts_without_external_id(&self, _: &Access, _: Instant) -> AwsResponse<bool> {
        AwsResponse { via: trace(), result: Ok(false) }
    }

    async fn simulate(
        &self,
        _: &Access,
        simulation: &SimulationRequest,
        _: Instant,
    ) -> AwsResponse<Vec<SimulationResult>> {
        let Some((prefix, decision)) = self.decision.lock().clone() else {
            let answer = AwsErrorDetails { code: "AccessDenied".into(), ..AwsErrorDetails::default() };
            return AwsResponse {
                via: trace(),
                result: Err(UpstreamError::Refused { refusal: Refusal::Other, answer }),
            };
        };
        let simulate = |action: &str, resource: &String| SimulationResult {
            action: action.into(),
            resource: resource.as_str().into(),
            decision: if action.starts_with(&prefix) { decision } else { SimulationDecision::Allowed },
            missing: Vec::new(),
        };
        let pairs = simulation
            .actions
            .iter()
            .flat_map(|action| simulation.resources.iter().map(|resource| simulate(action, resource)));
        AwsResponse { via: trace(), result: Ok(pairs.collect()) }
    }
}

fn denied_kms() -> UpstreamError {
    UpstreamError::Refused {
        refusal: Refusal::Denied(AccessDenial::of(DeniedAction::Kms)),
        answer: AwsErrorDetails { code: "AccessDeniedException".into(), ..AwsErrorDetails::default() },
    }
}

fn trace() -> AwsCallRecord {
    AwsCallRecord {
        role_arn: Some("arn:aws:iam::111122223333:role/LogKey".into()),
        session_name: Some("session".into()),
        aws_request_ids: vec!["aws-1".into()],
    }
}
