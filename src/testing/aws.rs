//! A fake of AWS: answers what it was told to, and remembers who asked for what.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

use async_trait::async_trait;

use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{AssociateKmsKey, DisassociateKmsKey, LogGroupName, Resource},
        audit::Via,
        authorization::{Access, Authorized},
        key::{KeyMetadata, KeyState, KeyTags},
        simulation::{Ruling, Simulated, Trial},
        tenant::TenantId,
    },
    ports::{
        Accepted, Answered, KeyAssociations, Keys, LogGroup, LogGroupPage, LogGroups, Roles, UpstreamError,
        aws::{AwsAnswer, Refusal},
    },
};

/// Most log groups of a page.
const PAGE: usize = 50;

/// Knows the log groups it was given, and takes every change unless it was told otherwise.
#[derive(Debug, Default)]
pub struct FakeAws {
    groups: Mutex<Vec<LogGroup>>,
    answers: Mutex<VecDeque<UpstreamError>>,
    delay: Mutex<Duration>,
    key_state: Mutex<Option<KeyState>>,
    key_policy: Mutex<Option<Box<str>>>,
    ruling: Mutex<Option<(String, Ruling)>>,
    panics: Mutex<bool>,
    key_tags: Mutex<Option<KeyTags>>,
    seen: Mutex<Vec<Seen>>,
}

/// One change that reached AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose credentials it came with.
    pub tenant: TenantId,
    /// What was changed.
    pub resource: Resource,
    /// The key that was set; none where it was taken away.
    pub key: Option<String>,
}

// === impl FakeAws ===

impl FakeAws {
    /// One that has these log groups, in the order of their names.
    #[must_use]
    pub fn with(mut groups: Vec<LogGroup>) -> Self {
        groups.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Self { groups: Mutex::new(groups), ..Self::default() }
    }

    /// Answers the next change with this.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn answer(&self, error: UpstreamError) {
        self.answers.lock().unwrap().push_back(error);
    }

    /// Takes this long for every change from now on.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn dawdle(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// Panics from now on, once it has seen a change or was asked for a log group.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn panic(&self) {
        *self.panics.lock().unwrap() = true;
    }

    fn panic_as_told(&self) {
        let told = *self.panics.lock().unwrap();
        if told {
            std::panic::resume_unwind(Box::new("as it was told"));
        }
    }

    /// Has its keys in this state from now on.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn keys_are(&self, state: KeyState) {
        *self.key_state.lock().unwrap() = Some(state);
    }

    /// Has this policy on every key from now on; without it, the role may not read policies.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn key_policies_are(&self, policy: &str) {
        *self.key_policy.lock().unwrap() = Some(policy.into());
    }

    /// Simulates the role's policies from now on: those of these actions with this end, all others as
    /// allowed. Without it, the role may not have them simulated.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn simulates(&self, actions: &str, ruling: Ruling) {
        *self.ruling.lock().unwrap() = Some((actions.to_owned(), ruling));
    }

    /// Has this tag on every key from now on; without it, the role may not read tags.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn keys_are_tagged(&self, tag: &str, value: &str) {
        *self.key_tags.lock().unwrap() = Some([(tag.into(), value.into())].into_iter().collect());
    }

    /// Every change that reached it.
    ///
    /// # Panics
    ///
    /// If a test panicked while it was told.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn change(&self, seen: Seen) -> Answered<Accepted> {
        self.seen.lock().unwrap().push(seen);
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        self.panic_as_told();
        let result = match self.answers.lock().unwrap().pop_front() {
            Some(error) => Err(error),
            None => Ok(Accepted { aws_request_id: "aws-1".into() }),
        };
        Answered { via: via(), result }
    }
}

#[async_trait]
impl KeyAssociations for FakeAws {
    async fn associate(
        &self,
        permit: &Authorized<AssociateKmsKey>,
        _deadline: Instant,
    ) -> Answered<Accepted> {
        self.change(Seen {
            tenant: permit.access().tenant().id.clone(),
            resource: permit.command().resource.clone(),
            key: Some(permit.command().key.to_string()),
        })
        .await
    }

    async fn disassociate(
        &self,
        permit: &Authorized<DisassociateKmsKey>,
        _deadline: Instant,
    ) -> Answered<Accepted> {
        self.change(Seen {
            tenant: permit.access().tenant().id.clone(),
            resource: permit.command().resource.clone(),
            key: None,
        })
        .await
    }
}

#[async_trait]
impl LogGroups for FakeAws {
    async fn find(&self, _: &Access, name: &LogGroupName, _: Instant) -> Answered<Option<LogGroup>> {
        self.panic_as_told();
        let found = self.groups.lock().unwrap().iter().find(|group| group.name == *name).cloned();
        Answered { via: via(), result: Ok(found) }
    }

    async fn page(
        &self,
        _: &Access,
        prefix: Option<&str>,
        token: Option<&str>,
        _: Instant,
    ) -> Answered<LogGroupPage> {
        let from: usize = token.map_or(0, |token| token.parse().unwrap());
        let groups = self.groups.lock().unwrap();
        let fitting: Vec<LogGroup> = groups
            .iter()
            .filter(|group| group.name.as_str().starts_with(prefix.unwrap_or_default()))
            .cloned()
            .collect();
        let next = (from + PAGE < fitting.len()).then(|| (from + PAGE).to_string().into());
        let page = LogGroupPage { groups: fitting.into_iter().skip(from).take(PAGE).collect(), next };
        Answered { via: via(), result: Ok(page) }
    }
}

#[async_trait]
impl Keys for FakeAws {
    async fn describe(&self, access: &Access, key: &KmsKeyId, _: Instant) -> Answered<Option<KeyMetadata>> {
        let arn = match key {
            KmsKeyId::Arn(arn) => Some(arn.clone()),
            KmsKeyId::KeyId(id) => {
                let place = access.place();
                format!("arn:aws:kms:{}:{}:key/{id}", place.region, place.account).parse().ok()
            }
            KmsKeyId::Alias(_) | KmsKeyId::AliasArn { .. } => None,
        };
        let known = arn.map(|arn| KeyMetadata {
            arn,
            state: self.key_state.lock().unwrap().clone().unwrap_or(KeyState::Enabled),
            symmetric: true,
            encrypts: true,
            customer_managed: true,
            deletion: None,
        });
        Answered { via: via(), result: Ok(known) }
    }

    async fn policy(&self, _: &Access, _: &KmsKeyArn, _: Instant) -> Answered<Option<Box<str>>> {
        let result = self.key_policy.lock().unwrap().clone().map(Some).ok_or_else(lacks_kms);
        Answered { via: via(), result }
    }

    async fn tags(&self, _: &Access, _: &KmsKeyArn, _: Instant) -> Answered<Option<KeyTags>> {
        let result = self.key_tags.lock().unwrap().clone().map(Some).ok_or_else(lacks_kms);
        Answered { via: via(), result }
    }
}

#[async_trait]
impl Roles for FakeAws {
    async fn hub(&self, _: Instant) -> Result<Box<str>, UpstreamError> {
        Ok("arn:aws:iam::999999999999:role/LogKeyHub".into())
    }

    async fn opens_without_external_id(&self, _: &Access, _: Instant) -> Answered<bool> {
        Answered { via: via(), result: Ok(false) }
    }

    async fn simulate(&self, _: &Access, trial: &Trial, _: Instant) -> Answered<Vec<Simulated>> {
        let Some((actions, ruling)) = self.ruling.lock().unwrap().clone() else {
            let answer = AwsAnswer { code: "AccessDenied".into(), ..AwsAnswer::default() };
            return Answered {
                via: via(),
                result: Err(UpstreamError::Refused { refusal: Refusal::Other, answer }),
            };
        };
        let told = |action: &str, resource: &String| Simulated {
            action: action.into(),
            resource: resource.as_str().into(),
            ruling: if action.starts_with(&actions) { ruling } else { Ruling::Allowed },
            missing: Vec::new(),
        };
        let pairs =
            trial.actions.iter().flat_map(|action| trial.resources.iter().map(|each| told(action, each)));
        Answered { via: via(), result: Ok(pairs.collect()) }
    }
}

fn lacks_kms() -> UpstreamError {
    UpstreamError::Refused {
        refusal: Refusal::RoleLacksKms,
        answer: AwsAnswer { code: "AccessDeniedException".into(), ..AwsAnswer::default() },
    }
}

fn via() -> Via {
    Via {
        role_arn: Some("arn:aws:iam::111122223333:role/LogKey".into()),
        session_name: Some("session".into()),
        aws_request_ids: vec!["aws-1".into()],
    }
}
