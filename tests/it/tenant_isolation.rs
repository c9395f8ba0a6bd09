//! A hidden resource gets the same answer as a missing one, in nearly the same time. `docs/policies.md`
//! explains the cases in which the service has to call AWS.

mod names;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use logkey::proto::{
    AssociateKmsKeyRequest, CheckKeyAssociationRequest, GetKeyAssociationRequest, GetOnboardingRequest,
    ListKeyAssociationsRequest, check_key_association_request, get_key_association_request,
    tenant_service_client::TenantServiceClient,
};
use logkey::sandbox::seed::KeySeed;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt as _;

use self::names::{Name, Theirs};
use crate::harness::{ALL, Caller, GROUP, ORDERS, PAYMENTS, Plan, REGION, Service, on_group, tenant};

/// An account that does not exist.
const ABSENT_ACCOUNT: &str = "999999999999";
/// The number of measurements of each query of a pair in one series.
const ROUNDS: usize = 100;
/// The allowed ratio of the times of a pair: more than noise, and less than a call to AWS causes.
const RATIO: f64 = 1.6;
/// The number of series, of which one must be within the ratio: noise is temporary, and a leak is not.
const SERIES: usize = 5;

/// A query that names something that may be hidden or absent.
enum Query {
    Group(&'static str, String),
    Account(String),
    List(String),
    Onboarding(String),
    Set(String),
    Check(String),
    By(Name),
}

impl Query {
    /// The name in the query, which the answer may repeat.
    fn name(&self) -> &str {
        match self {
            Self::Group(_, name)
            | Self::Account(name)
            | Self::List(name)
            | Self::Onboarding(name)
            | Self::Set(name)
            | Self::Check(name) => name,
            Self::By(name) => name.text(),
        }
    }

    async fn send(&self, caller: &Caller) -> Result<String, Status> {
        let status_of = |error: Status| error;
        match self {
            Self::Group(account, name) => read(caller, account, name).await.map_err(status_of),
            Self::Account(account) => read(caller, account, GROUP).await.map_err(status_of),
            Self::List(account) => {
                let message = ListKeyAssociationsRequest {
                    account_id: account.clone(),
                    region: REGION.into(),
                    ..Default::default()
                };
                caller.list(message).await.map(|page| format!("{page:?}"))
            }
            Self::Onboarding(account) => {
                let mut client: TenantServiceClient<Channel> = TenantServiceClient::new(caller.channel());
                let message = GetOnboardingRequest { account_id: account.clone() };
                client.get_onboarding(caller.request(message)).await.map(|answer| format!("{answer:?}"))
            }
            Self::Set(key) => {
                let message = AssociateKmsKeyRequest { kms_key_id: key.clone(), ..on_group(GROUP, key) };
                caller.send(message).await.map(|answer| format!("{answer:?}"))
            }
            Self::Check(key) => {
                let target = check_key_association_request::Target::LogGroupName(GROUP.into());
                let message = CheckKeyAssociationRequest {
                    target: Some(target),
                    kms_key_id: key.clone(),
                    ..Default::default()
                };
                let answer = caller.keys().check_key_association(caller.request(message)).await?;
                Ok(format!("{:?}", answer.into_inner()))
            }
            Self::By(name) => name.send(caller).await.map_err(status_of),
        }
    }

    /// The whole answer without the name, and the time that it took.
    async fn answer(&self, caller: &Caller) -> (String, Duration) {
        let started = Instant::now();
        let response = self.send(caller).await;
        let took = started.elapsed();
        let text = match response {
            Ok(answer) => answer,
            Err(status) => {
                let details = status.get_error_details();
                let info = details.error_info().unwrap();
                // Sorted, because the wire has no order.
                let members: BTreeMap<_, _> = info.metadata.iter().collect();
                let id = details.request_info().unwrap().request_id.clone();
                let rest = (
                    details.bad_request(),
                    details.resource_info(),
                    details.help(),
                    details.precondition_failure(),
                );
                let (code, message, reason) = (status.code(), status.message(), &info.reason);
                format!("{code:?} {message} {reason} {members:?} {rest:?}").replace(&id, "REQUEST")
            }
        };
        (text.replace(self.name(), "NAME"), took)
    }
}

async fn read(caller: &Caller, account: &str, group: &str) -> Result<String, Status> {
    let message = GetKeyAssociationRequest {
        account_id: account.into(),
        region: REGION.into(),
        target: Some(get_key_association_request::Target::LogGroupName(group.into())),
    };
    caller.keys().get_key_association(caller.request(message)).await.map(|answer| format!("{answer:?}"))
}

fn key(account: &str, id: &str) -> String {
    format!("arn:aws:kms:{REGION}:{account}:key/{id}")
}

/// A service whose tenant may use only the key `good` of the keys in its account.
async fn service() -> Service {
    let limits = "{ per_second = 100000, burst = 100000, max_in_flight = 100 }";
    let narrow = tenant("payments", PAYMENTS, limits)
        .replace(&format!("arn:aws:kms:*:{PAYMENTS}:key/*"), &format!("arn:aws:kms:*:{PAYMENTS}:key/good"));
    let hidden = |id: &str, alias: &str| KeySeed {
        id: id.to_owned(),
        region: REGION.to_owned(),
        aliases: vec![alias.to_owned()],
        ..KeySeed::default()
    };
    let keys = Plan::with_keys(vec![hidden("secret", "alias/hidden")]);
    let tenants = narrow + &tenant("orders", ORDERS, limits);
    let limiter = "[limits.upstream]\ndescribe_per_second = 100000\n";
    keys.tenants(&tenants).settings(limiter).start().await
}

/// The lower quartile of the times, which excludes short slowdowns of the machine.
fn quartile(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 4).unwrap().as_secs_f64()
}

async fn ratio(caller: &Caller, hidden: &Query, absent: &Query) -> f64 {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // The order is A-B-B-A, so that neither always has the warm caches.
        let (a, b) = if round % 2 == 0 { (hidden, absent) } else { (absent, hidden) };
        let (_, earlier) = a.answer(caller).await;
        let (_, later) = b.answer(caller).await;
        let (h, n) = if round % 2 == 0 { (earlier, later) } else { (later, earlier) };
        one.push(h);
        other.push(n);
    }
    quartile(one) / quartile(other)
}

#[tokio::test]
async fn hidden_resources_get_the_answer_of_absent_ones_in_the_same_time() {
    let service = Box::pin(service()).await;
    let caller = service.caller("payments", ALL);
    let pairs = [
        Pair::new(
            "another tenant's account",
            Query::Account(ORDERS.into()),
            Query::Account(ABSENT_ACCOUNT.into()),
        ),
        Pair::new("its list", Query::List(ORDERS.into()), Query::List(ABSENT_ACCOUNT.into())),
        Pair::new(
            "its onboarding",
            Query::Onboarding(ORDERS.into()),
            Query::Onboarding(ABSENT_ACCOUNT.into()),
        ),
        Pair::new(
            "a log group that is not granted",
            Query::Group(PAYMENTS, "/shared/by-nobody".into()),
            Query::Group(PAYMENTS, "/shared/is-nothing".into()),
        ),
        Pair::new("another tenant's key", Query::Set(key(ORDERS, "good")), Query::Set(key(ORDERS, "none"))),
        Pair::new(
            "a key that is not granted",
            Query::Set(key(PAYMENTS, "secret")),
            Query::Set(key(PAYMENTS, "nothing")),
        ),
        Pair::new(
            "the alias of such a key",
            Query::Set("alias/hidden".into()),
            Query::Set("alias/absent".into()),
        ),
        Pair::new("a key by its bare id", Query::Set("secret".into()), Query::Set("absent".into())),
        Pair::new(
            "a check of such a key",
            Query::Check(key(PAYMENTS, "secret")),
            Query::Check(key(PAYMENTS, "nothing")),
        ),
        Pair::new(
            "a check of such an alias",
            Query::Check("alias/hidden".into()),
            Query::Check("alias/absent".into()),
        ),
    ];
    assert_indistinguishable(&caller, &pairs).await;
    assert!(service.reached("AssociateKmsKey").is_empty());
    service.stop().await;
}

/// Asserts that both queries of each pair get the same answer in nearly the same time.
async fn assert_indistinguishable(caller: &Caller, pairs: &[Pair]) {
    for Pair { what, hidden, absent } in pairs {
        let (first, _) = hidden.answer(caller).await;
        let (second, _) = absent.answer(caller).await;
        assert_eq!(first, second, "{what}");
        let mut ratios = Vec::new();
        while ratios.len() < SERIES && !ratios.last().is_some_and(|last| (1.0 / RATIO..RATIO).contains(last))
        {
            ratios.push(ratio(caller, hidden, absent).await);
        }
        let last = ratios.last().unwrap();
        assert!((1.0 / RATIO..RATIO).contains(last), "{what}: hidden / absent time is {ratios:.2?}");
    }
}

/// The same query with a hidden and an absent name.
struct Pair {
    what: &'static str,
    hidden: Query,
    absent: Query,
}

impl Pair {
    fn new(what: &'static str, hidden: Query, absent: Query) -> Self {
        Self { what, hidden, absent }
    }
}

/// A pair of queries that name their object in the same way.
fn pair(what: &'static str, by: fn(String) -> Name, hidden: &str, absent: &str) -> Pair {
    Pair::new(what, Query::By(by(hidden.to_owned())), Query::By(by(absent.to_owned())))
}

#[tokio::test]
async fn every_rpc_answers_for_hidden_names_as_for_absent_ones() {
    let service = Box::pin(service()).await;
    let (hidden_group, nothing) = ("/shared/by-nobody", "/shared/is-nothing");
    let (theirs, none) = (key(ORDERS, "good"), key(ORDERS, "none"));
    let (secret, absent) = (key(PAYMENTS, "secret"), key(PAYMENTS, "nothing"));
    let pairs = [
        pair("a change in another's account", Name::ChangeInAccount, ORDERS, ABSENT_ACCOUNT),
        pair("a change of a log group that is not granted", Name::ChangeOfGroup, hidden_group, nothing),
        pair("a removal in another's account", Name::RemovalInAccount, ORDERS, ABSENT_ACCOUNT),
        pair("a removal of a log group that is not granted", Name::RemovalOfGroup, hidden_group, nothing),
        pair("a check in another's account", Name::CheckInAccount, ORDERS, ABSENT_ACCOUNT),
        pair("a check of a log group that is not granted", Name::CheckOfGroup, hidden_group, nothing),
        pair("the usage of another's key", Name::UsageOfKey, &theirs, &none),
        pair("the usage of a key that is not granted", Name::UsageOfKey, &secret, &absent),
        pair("the usage of such a key's alias", Name::UsageOfKey, "alias/hidden", "alias/absent"),
        pair("the usage of such a key's bare id", Name::UsageOfKey, "secret", "absent"),
        pair("the usage in another's account", Name::UsageInAccount, ORDERS, ABSENT_ACCOUNT),
        pair("a test of another's account", Name::TestOfAccount, ORDERS, ABSENT_ACCOUNT),
    ];
    assert_indistinguishable(&service.caller("payments", ALL), &pairs).await;
    assert!(service.reached("AssociateKmsKey").is_empty());
    assert!(service.reached("DisassociateKmsKey").is_empty());
    service.stop().await;
}

#[tokio::test]
async fn events_and_pages_of_another_tenant_look_absent() {
    let service = Box::pin(service()).await;
    let audit = format!("{ALL} logkey:audit");
    let Theirs { event, call, list, usage, events } =
        Theirs::of(&service.caller("orders", &audit), ORDERS).await;
    let no_event = uuid::Uuid::now_v7().to_string();
    let arn = |group: &str| format!("arn:aws:logs:{REGION}:{ORDERS}:log-group:{group}");
    // A token that the service never issued: the other tenant's token with one changed character.
    let changed = |token: &str| {
        let (last, rest) = token.as_bytes().split_last().unwrap();
        let other = if *last == b'A' { 'B' } else { 'A' };
        format!("{}{other}", String::from_utf8(rest.to_vec()).unwrap())
    };
    let pairs = [
        pair("the proof of an event", Name::ProofOfEvent, &event, &no_event),
        pair("a tenant's events", Name::EventsOfTenant, "orders", "nobody"),
        pair("the events of a log group", Name::EventsOfResource, &arn("/orders/api"), &arn("/orders/none")),
        pair("the events of a call", Name::EventsOfCall, call, "ticket-of-nobody"),
        pair("a page of a list", Name::PageOfList, &list, &changed(&list)),
        pair("a page of a usage", Name::PageOfUsage, &usage, &changed(&usage)),
        pair("a page of events", Name::PageOfEvents, &events, &changed(&events)),
    ];
    assert_indistinguishable(&service.caller("payments", &audit), &pairs).await;
    service.stop().await;
}
