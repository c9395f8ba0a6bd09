//! What a caller may not see answers as what does not exist: in the same words, and in nearly the same
//! time. What that is, where AWS has to be asked, stands in docs/policies.md.

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

/// An account that nobody has.
const NOBODYS: &str = "999999999999";
/// How often each of a pair is asked in one series, one after the other.
const ROUNDS: usize = 100;
/// How far the times of a pair may be apart: more than noise, and less than a call to AWS makes.
const RATIO: f64 = 1.6;
/// How many series may be too far apart: noise passes, and what gives something away does not.
const SERIES: usize = 5;

/// One question about something, by its name.
enum Ask {
    Group(&'static str, String),
    Account(String),
    List(String),
    Onboarding(String),
    Set(String),
    Check(String),
    By(Name),
}

impl Ask {
    /// What it is about, which may stand in the answer.
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

    async fn put(&self, caller: &Caller) -> Result<String, Status> {
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
            Self::By(name) => name.put(caller).await.map_err(status_of),
        }
    }

    /// The whole answer with the name taken out, and how long it took.
    async fn answer(&self, caller: &Caller) -> (String, Duration) {
        let started = Instant::now();
        let response = self.put(caller).await;
        let took = started.elapsed();
        let words = match response {
            Ok(answer) => answer,
            Err(status) => {
                let details = status.get_error_details();
                let info = details.error_info().unwrap();
                // In an order of their own: the wire has them in none.
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
        (words.replace(self.name(), "NAME"), took)
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

/// A service whose tenant may use the key `good` of its account and no other of those that are there.
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
    let keys = Plan::furnished_with(vec![hidden("secret", "alias/hidden")]);
    let tenants = narrow + &tenant("orders", ORDERS, limits);
    let limiter = "[limits.upstream]\ndescribe_per_second = 100000\n";
    keys.tenants(&tenants).settings(limiter).start().await
}

/// The quick quarter of the times: what slows a machine down for a moment is not in it.
fn quartile(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 4).unwrap().as_secs_f64()
}

async fn ratio(caller: &Caller, hidden: &Ask, absent: &Ask) -> f64 {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // A-B-B-A, so that neither is always the warm one.
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
async fn what_is_hidden_answers_as_what_is_absent_in_words_and_in_time() {
    let service = Box::pin(service()).await;
    let caller = service.caller("payments", ALL);
    let pairs = [
        ("another tenant's account", Ask::Account(ORDERS.into()), Ask::Account(NOBODYS.into())),
        ("its list", Ask::List(ORDERS.into()), Ask::List(NOBODYS.into())),
        ("its onboarding", Ask::Onboarding(ORDERS.into()), Ask::Onboarding(NOBODYS.into())),
        (
            "a log group beside one's own",
            Ask::Group(PAYMENTS, "/shared/by-nobody".into()),
            Ask::Group(PAYMENTS, "/shared/is-nothing".into()),
        ),
        ("another tenant's key", Ask::Set(key(ORDERS, "good")), Ask::Set(key(ORDERS, "none"))),
        ("a key beside one's own", Ask::Set(key(PAYMENTS, "secret")), Ask::Set(key(PAYMENTS, "nothing"))),
        ("the alias of such a key", Ask::Set("alias/hidden".into()), Ask::Set("alias/absent".into())),
        ("a key by its bare id", Ask::Set("secret".into()), Ask::Set("absent".into())),
        ("a check of such a key", Ask::Check(key(PAYMENTS, "secret")), Ask::Check(key(PAYMENTS, "nothing"))),
        ("a check of such an alias", Ask::Check("alias/hidden".into()), Ask::Check("alias/absent".into())),
    ];
    are_alike(&caller, &pairs).await;
    assert!(service.reached("AssociateKmsKey").is_empty());
    service.stop().await;
}

/// The two of each pair answer in the same words, and in nearly the same time.
async fn are_alike(caller: &Caller, pairs: &[(&str, Ask, Ask)]) {
    for (what, hidden, absent) in pairs {
        let (first, _) = hidden.answer(caller).await;
        let (second, _) = absent.answer(caller).await;
        assert_eq!(first, second, "{what}");
        let mut ratios = Vec::new();
        while ratios.len() < SERIES && !ratios.last().is_some_and(|last| (1.0 / RATIO..RATIO).contains(last))
        {
            ratios.push(ratio(caller, hidden, absent).await);
        }
        let last = ratios.last().unwrap();
        assert!((1.0 / RATIO..RATIO).contains(last), "{what}: hidden takes {ratios:.2?} of absent");
    }
}

/// A pair of names by the same RPC.
fn pair(what: &'static str, by: fn(String) -> Name, hidden: &str, absent: &str) -> (&'static str, Ask, Ask) {
    (what, Ask::By(by(hidden.to_owned())), Ask::By(by(absent.to_owned())))
}

#[tokio::test]
async fn every_rpc_that_names_what_it_may_not_see_answers_as_for_what_is_not_there() {
    let service = Box::pin(service()).await;
    let (beside, nothing) = ("/shared/by-nobody", "/shared/is-nothing");
    let (theirs, none) = (key(ORDERS, "good"), key(ORDERS, "none"));
    let (secret, absent) = (key(PAYMENTS, "secret"), key(PAYMENTS, "nothing"));
    let pairs = [
        pair("a change in another's account", Name::ChangeInAccount, ORDERS, NOBODYS),
        pair("a change of a log group beside", Name::ChangeOfGroup, beside, nothing),
        pair("a removal in another's account", Name::RemovalInAccount, ORDERS, NOBODYS),
        pair("a removal of a log group beside", Name::RemovalOfGroup, beside, nothing),
        pair("a check in another's account", Name::CheckInAccount, ORDERS, NOBODYS),
        pair("a check of a log group beside", Name::CheckOfGroup, beside, nothing),
        pair("the usage of another's key", Name::UsageOfKey, &theirs, &none),
        pair("the usage of a key beside", Name::UsageOfKey, &secret, &absent),
        pair("the usage of such a key's alias", Name::UsageOfKey, "alias/hidden", "alias/absent"),
        pair("the usage of such a key's bare id", Name::UsageOfKey, "secret", "absent"),
        pair("the usage in another's account", Name::UsageInAccount, ORDERS, NOBODYS),
        pair("a test of another's account", Name::TestOfAccount, ORDERS, NOBODYS),
    ];
    are_alike(&service.caller("payments", ALL), &pairs).await;
    assert!(service.reached("AssociateKmsKey").is_empty());
    assert!(service.reached("DisassociateKmsKey").is_empty());
    service.stop().await;
}

#[tokio::test]
async fn another_tenants_events_and_pages_are_as_those_of_nobody() {
    let service = Box::pin(service()).await;
    let audit = format!("{ALL} logkey:audit");
    let Theirs { event, call, list, usage, events } =
        Theirs::of(&service.caller("orders", &audit), ORDERS).await;
    let no_event = uuid::Uuid::now_v7().to_string();
    let arn = |group: &str| format!("arn:aws:logs:{REGION}:{ORDERS}:log-group:{group}");
    // A token that was never given out: theirs, with one character changed.
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
    are_alike(&service.caller("payments", &audit), &pairs).await;
    service.stop().await;
}
