use std::{collections::VecDeque, num::NonZeroU32};

use async_trait::async_trait;
use aws_credential_types::{Credentials, provider::ProvideCredentials};
use tokio::time::{advance, sleep};

use super::*;
use crate::{
    aws::{
        session_policy::SessionScope,
        sts::assume_role::{AssumeRoleInput, AssumedSession},
    },
    domain::{
        refusal::AssumeRoleRefusal,
        tenant::{AccountGrant, Limits, Tenant},
    },
    ports::aws::AwsErrorDetails,
};

const HOUR: Duration = Duration::from_hours(1);

/// An STS that grants every request, unless failures are queued, and records the session names.
#[derive(Default)]
struct FakeSts {
    requested_roles: Mutex<Vec<String>>,
    failures: Mutex<VecDeque<SessionError>>,
    takes: Duration,
    lifetime: Option<Duration>,
}

#[async_trait]
impl AssumeRole for FakeSts {
    async fn assume(&self, input: &AssumeRoleInput) -> Result<AssumedSession, SessionError> {
        let number = {
            let mut requested_roles = self.requested_roles.lock();
            requested_roles.push(input.name.to_string());
            requested_roles.len()
        };
        sleep(self.takes).await;
        if let Some(failure) = self.failures.lock().pop_front() {
            return Err(failure);
        }
        let credentials = Credentials::new(format!("key-{number}"), "secret", None, None, "fake");
        Ok(AssumedSession { credentials, lifetime: self.lifetime.unwrap_or(HOUR) })
    }
}

impl FakeSts {
    fn request_count(&self) -> usize {
        self.requested_roles.lock().len()
    }

    fn fail_with(&self, failures: impl IntoIterator<Item = SessionError>) {
        self.failures.lock().extend(failures);
    }
}

fn sessions(sts: &Arc<FakeSts>) -> Sessions {
    let bounds = CacheLimits { sessions: 8, of_tenant: 8, idle: HOUR };
    Sessions::new(Arc::clone(sts) as Arc<dyn AssumeRole>, SessionTagging::Tenant, bounds)
}

fn grant() -> AccountGrant {
    AccountGrant {
        account: "111122223333".parse().unwrap(),
        role: "arn:aws:iam::111122223333:role/Associator".parse().unwrap(),
        external_id: "the-external-id".parse().unwrap(),
        regions: ["eu-west-1".parse().unwrap()].into(),
        log_groups: vec!["/payments/*".parse().unwrap()],
        kms_keys: vec!["*".parse().unwrap()],
        query_results: false,
        verify_query_results: false,
    }
}

fn key_of(tenant: &str, grant: AccountGrant) -> SessionKey {
    SessionKey {
        tenant: tenant.parse().unwrap(),
        grant: Arc::new(grant),
        scope: SessionScope::LogGroups,
        subject: None,
    }
}

fn key() -> SessionKey {
    key_of("payments", grant())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

async fn access_key(session: &Session) -> String {
    session.credentials.provide_credentials().await.unwrap().access_key_id().to_owned()
}

/// Lets spawned tasks run.
async fn run_pending_tasks() {
    sleep(Duration::from_millis(1)).await;
}

fn refused_error() -> SessionError {
    let answer = AwsErrorDetails { code: "AccessDenied".into(), ..AwsErrorDetails::default() };
    SessionError::Refused { refusal: AssumeRoleRefusal::Other, answer }
}

#[tokio::test(start_paused = true)]
async fn concurrent_callers_share_one_assume_role_call() {
    let sts = Arc::new(FakeSts { takes: Duration::from_secs(1), ..FakeSts::default() });
    let sessions = Arc::new(sessions(&sts));
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let sessions = Arc::clone(&sessions);
            tokio::spawn(async move { sessions.get(&key(), soon()).await.unwrap() })
        })
        .collect();
    for one in waiting {
        assert_eq!(access_key(&one.await.unwrap()).await, "key-1");
    }
    assert_eq!(sts.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_does_not_cancel_the_call() {
    let sts = Arc::new(FakeSts { takes: Duration::from_secs(3), ..FakeSts::default() });
    let sessions = sessions(&sts);
    let early = sessions.get(&key(), Instant::now() + Duration::from_secs(1)).await;
    assert!(matches!(&*early.unwrap_err(), SessionError::TooLate));
    assert_eq!(access_key(&sessions.get(&key(), soon()).await.unwrap()).await, "key-1");
    assert_eq!(sts.request_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_while_the_old_one_is_still_used() {
    let sts = Arc::new(FakeSts { takes: Duration::from_secs(1), ..FakeSts::default() });
    let sessions = sessions(&sts);
    sessions.get(&key(), soon()).await.unwrap();
    advance(Duration::from_secs(3_554)).await;
    sessions.get(&key(), soon()).await.unwrap();
    run_pending_tasks().await;
    assert_eq!(sts.request_count(), 1, "too early");
    advance(Duration::from_secs(29)).await;
    let before = Instant::now();
    assert_eq!(access_key(&sessions.get(&key(), soon()).await.unwrap()).await, "key-1");
    assert_eq!(Instant::now(), before, "no caller waited");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(access_key(&sessions.get(&key(), soon()).await.unwrap()).await, "key-2");
    assert_eq!(sts.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_renewal_the_old_session_is_used_to_its_end() {
    let sts = Arc::new(FakeSts::default());
    let sessions = sessions(&sts);
    sessions.get(&key(), soon()).await.unwrap();
    sts.fail_with([refused_error()]);
    advance(Duration::from_secs(3_583)).await;
    for _ in 0..3 {
        assert_eq!(access_key(&sessions.get(&key(), soon()).await.unwrap()).await, "key-1");
        run_pending_tasks().await;
    }
    assert_eq!(sts.request_count(), 2, "a failed renewal is not retried at once");
    advance(Duration::from_secs(31)).await;
    assert_eq!(access_key(&sessions.get(&key(), soon()).await.unwrap()).await, "key-3");
}

#[tokio::test(start_paused = true)]
async fn sessions_that_began_together_are_not_renewed_together() {
    let sts = Arc::new(FakeSts::default());
    let bounds = CacheLimits { sessions: 1_000, of_tenant: 1_000, idle: HOUR * 2 };
    let sessions = Sessions::new(Arc::clone(&sts) as Arc<dyn AssumeRole>, SessionTagging::Tenant, bounds);
    let keys: Vec<_> = (0..200).map(|n| key_of(&format!("t-{n}"), grant())).collect();
    for key in &keys {
        sessions.get(key, soon()).await.unwrap();
    }
    advance(Duration::from_secs(3_550)).await;
    let mut max = 0;
    for _ in 0..50 {
        let before = sts.request_count();
        for key in &keys {
            sessions.get(key, soon()).await.unwrap();
        }
        run_pending_tasks().await;
        max = max.max(sts.request_count() - before);
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(sts.request_count(), 400, "each role once more");
    assert!(max < 40, "{max} of 200 in one second");
}

#[tokio::test(start_paused = true)]
async fn a_short_session_is_renewed_in_time_too() {
    let sts = Arc::new(FakeSts { lifetime: Some(Duration::from_mins(15)), ..FakeSts::default() });
    let sessions = sessions(&sts);
    sessions.get(&key(), soon()).await.unwrap();
    advance(Duration::from_secs(900 - 10)).await;
    sessions.get(&key(), soon()).await.unwrap();
    run_pending_tasks().await;
    assert_eq!(sts.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_cached_for_a_while() {
    let sts = Arc::new(FakeSts::default());
    sts.fail_with([refused_error()]);
    let sessions = sessions(&sts);
    for _ in 0..50 {
        let error = sessions.get(&key(), soon()).await.unwrap_err();
        assert!(matches!(&*error, SessionError::Refused { .. }));
        advance(Duration::from_millis(90)).await;
    }
    assert_eq!(sts.request_count(), 1);
    advance(Duration::from_secs(1)).await;
    sessions.get(&key(), soon()).await.unwrap();
    assert_eq!(sts.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failing_sts_is_called_less_and_less_often() {
    let sts = Arc::new(FakeSts::default());
    sts.fail_with((0..1_000).map(|_| SessionError::Expired));
    let sessions = sessions(&sts);
    for _ in 0..600 {
        sessions.get(&key(), soon()).await.unwrap_err();
        advance(Duration::from_millis(100)).await;
    }
    assert!((8..=16).contains(&sts.request_count()), "{} in a minute", sts.request_count());
}

#[tokio::test(start_paused = true)]
async fn sessions_are_shared_only_if_every_part_of_the_key_matches() {
    let sts = Arc::new(FakeSts::default());
    let sessions = sessions(&sts);
    let subject = |subject: &str| SessionKey { subject: Some(subject.into()), ..key() };
    let changed = |change: fn(&mut AccountGrant)| {
        let mut grant = grant();
        change(&mut grant);
        key_of("payments", grant)
    };
    let keys = [
        key(),
        key_of("payroll", grant()),
        subject("alice"),
        subject("bob"),
        SessionKey { scope: SessionScope::QueryResults, ..key() },
        changed(|grant| grant.external_id = "another-external-id".parse().unwrap()),
        changed(|grant| grant.role = "arn:aws:iam::111122223333:role/Other".parse().unwrap()),
        changed(|grant| grant.log_groups = vec!["/payroll/*".parse().unwrap()]),
    ];
    for key in &keys {
        sessions.get(key, soon()).await.unwrap();
    }
    assert_eq!(sts.request_count(), keys.len());
    for key in &keys {
        sessions.get(&key.clone(), soon()).await.unwrap();
    }
    assert_eq!(sts.request_count(), keys.len());
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_bounded_and_the_oldest_sessions_go_first() {
    let sts = Arc::new(FakeSts::default());
    let sessions = sessions(&sts);
    for tenant in 0..50 {
        sessions.get(&key_of(&format!("t-{tenant}"), grant()), soon()).await.unwrap();
        advance(Duration::from_secs(1)).await;
        assert!(sessions.len() <= 8);
    }
    sessions.get(&key_of("t-49", grant()), soon()).await.unwrap();
    assert_eq!(sts.request_count(), 50, "the latest is still there");
}

#[tokio::test(start_paused = true)]
async fn the_subjects_of_one_tenant_do_not_displace_the_sessions_of_others() {
    for of_tenant in [4, 100] {
        let sts = Arc::new(FakeSts::default());
        let bounds = CacheLimits { sessions: 8, of_tenant, idle: HOUR };
        let sessions =
            Sessions::new(Arc::clone(&sts) as Arc<dyn AssumeRole>, SessionTagging::Subject, bounds);
        let quiet = [key_of("quiet", grant()), key_of("silent", grant())];
        for key in &quiet {
            sessions.get(key, soon()).await.unwrap();
            advance(Duration::from_secs(1)).await;
        }
        for subject in 0..50 {
            let subject = Some(Arc::from(format!("subject-{subject}")));
            sessions.get(&SessionKey { subject, ..key_of("greedy", grant()) }, soon()).await.unwrap();
            advance(Duration::from_millis(10)).await;
        }
        let before = sts.request_count();
        for key in &quiet {
            sessions.get(key, soon()).await.unwrap();
        }
        assert_eq!(sts.request_count(), before, "at most {of_tenant} of one tenant");
        assert!(sessions.len() <= 2 + of_tenant.min(6), "{}", sessions.len());
    }
}

#[tokio::test(start_paused = true)]
async fn an_unused_session_is_removed() {
    let sts = Arc::new(FakeSts::default());
    let sessions = sessions(&sts);
    sessions.get(&key(), soon()).await.unwrap();
    advance(HOUR * 2).await;
    sessions.get(&key_of("other", grant()), soon()).await.unwrap();
    assert_eq!(sessions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_removed_when_the_tenants_grant_changes() {
    let sts = Arc::new(FakeSts::default());
    let sessions = sessions(&sts);
    sessions.get(&key(), soon()).await.unwrap();
    let limit = NonZeroU32::MIN;
    let with = |grant: AccountGrant| {
        let tenant = Tenant {
            id: "payments".parse().unwrap(),
            issuers: Vec::new(),
            claim_values: Vec::new(),
            suspended: false,
            limits: Limits { per_second: limit, burst: limit, max_in_flight: limit },
            accounts: vec![Arc::new(grant)],
            rules: Vec::new(),
        };
        Tenants::new([tenant]).unwrap()
    };
    sessions.retain_tenants(&with(grant()));
    assert_eq!(sessions.len(), 1);
    let narrowed = AccountGrant { log_groups: Vec::new(), ..grant() };
    sessions.retain_tenants(&with(narrowed));
    assert_eq!(sessions.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_aws_reports_expired_is_replaced() {
    let sts = Arc::new(FakeSts::default());
    let sessions = sessions(&sts);
    let expired = sessions.get(&key(), soon()).await.unwrap();
    sessions.forget(&key(), &expired);
    let fresh = sessions.get(&key(), soon()).await.unwrap();
    assert_eq!(access_key(&fresh).await, "key-2");
    sessions.forget(&key(), &expired);
    assert_eq!(access_key(&sessions.get(&key(), soon()).await.unwrap()).await, "key-2");
}

#[tokio::test(start_paused = true)]
async fn steady_use_needs_hardly_more_calls_than_lifetimes_require() {
    let sts = Arc::new(FakeSts { lifetime: Some(HOUR), ..FakeSts::default() });
    let bounds = CacheLimits { sessions: 10_000, of_tenant: 10_000, idle: HOUR };
    let sessions = Sessions::new(Arc::clone(&sts) as Arc<dyn AssumeRole>, SessionTagging::Tenant, bounds);
    let keys: Vec<_> = (0..1_000).map(|n| key_of(&format!("t-{n}"), grant())).collect();
    // Each role starts at some time in the first hour, and then is used every ten seconds for two hours.
    for step in 0..1_080_usize {
        for (n, key) in keys.iter().enumerate() {
            let start = n * 360 / keys.len();
            if (start..start + 720).contains(&step) {
                sessions.get(key, soon()).await.unwrap();
            }
        }
        run_pending_tasks().await;
        advance(Duration::from_secs(10)).await;
    }
    // Two lifetimes fill two hours; early renewals add a third one only at the very end.
    let within_two_hours = sts.request_count() - keys.len();
    assert!((2 * keys.len()..=2 * keys.len() + 100).contains(&within_two_hours), "{within_two_hours}");
}
