//! `AuditService` over real gRPC: which events a caller sees, in which order, and whether the proofs verify.

pub(crate) mod archived;

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use logkey::{
    audit::checkpoint,
    proto::{
        AuditEvent, AuditEventFilter, GetCheckpointRequest, GetCheckpointResponse,
        GetConsistencyProofRequest, GetInclusionProofRequest, GetInclusionProofResponse,
        ListAuditEventsRequest, ListAuditEventsResponse, WatchAuditEventsRequest, WatchAuditEventsResponse,
        audit_service_client::AuditServiceClient,
    },
};
use tlog_tiles::Hash;
use tonic::{Code, Request, Status, Streaming};

use crate::harness::{ALL, Caller, GROUP, Plan, Service, key, reason, tenant};

const OWN: &str = "logkey:audit";
const EVERYTHING: &str = "logkey:audit logkey:admin";

impl Caller {
    fn audit(&self) -> AuditServiceClient<tonic::transport::Channel> {
        AuditServiceClient::new(self.channel())
    }

    async fn events(&self, message: ListAuditEventsRequest) -> Result<ListAuditEventsResponse, Status> {
        self.audit().list_audit_events(self.request(message)).await.map(tonic::Response::into_inner)
    }

    /// Every event that matches the filter, from as many pages as needed.
    async fn all_events(&self, filter: AuditEventFilter, page_size: i32) -> Vec<AuditEvent> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let message = ListAuditEventsRequest { page_size, page_token, filter: Some(filter.clone()) };
            let page = self.events(message).await.unwrap();
            assert!(page.events.len() <= usize::try_from(page_size).unwrap());
            all.extend(page.events);
            if page.next_page_token.is_empty() {
                return all;
            }
            page_token = page.next_page_token;
        }
    }

    async fn watch(
        &self,
        after_position: Option<i64>,
        filter: AuditEventFilter,
    ) -> Result<Streaming<WatchAuditEventsResponse>, Status> {
        let message = WatchAuditEventsRequest { after_position, filter: Some(filter) };
        self.audit().watch_audit_events(self.request(message)).await.map(tonic::Response::into_inner)
    }

    async fn checkpoint(&self) -> Result<GetCheckpointResponse, Status> {
        let answer = self.audit().get_checkpoint(self.request(GetCheckpointRequest {})).await;
        answer.map(tonic::Response::into_inner)
    }

    async fn included(&self, event_id: &str, tree_size: i64) -> Result<GetInclusionProofResponse, Status> {
        let message = GetInclusionProofRequest { event_id: event_id.into(), tree_size };
        let answer = self.audit().get_inclusion_proof(self.request(message)).await;
        answer.map(tonic::Response::into_inner)
    }
}

fn hash(bytes: &[u8]) -> Hash {
    Hash(bytes.try_into().unwrap())
}

fn hashes(all: &[Vec<u8>]) -> Vec<Hash> {
    all.iter().map(|bytes| hash(bytes)).collect()
}

/// The next events of a stream, at least `count`.
async fn next(stream: &mut Streaming<WatchAuditEventsResponse>, count: usize) -> Vec<AuditEvent> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(stream.message().await.unwrap().unwrap().events);
    }
    all
}

/// Reads a stream to its end and returns the final status.
async fn end(mut stream: Streaming<WatchAuditEventsResponse>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a stream ended without saying why"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn a_tenant_sees_its_own_events_and_an_operator_sees_all() {
    let service = Service::start().await;
    for name in ["payments", "orders"] {
        service.caller(name, ALL).get(&format!("/{name}/api")).await.unwrap();
    }
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    let payments = service.caller("payments", OWN);
    // The call waits for this change to be durable, and earlier events are durable before it.
    service.caller("orders", ALL).disassociate("/orders/api").await.unwrap();

    let own = payments.all_events(AuditEventFilter::default(), 100).await;
    assert!(own.iter().all(|event| event.tenant_id == "payments"), "{own:#?}");
    let kinds: Vec<_> = own.iter().map(|event| (&*event.kind, &*event.action)).collect();
    assert_eq!(
        kinds,
        [("outcome", "AssociateKmsKey"), ("intent", "AssociateKmsKey"), ("read", "GetKeyAssociation")]
    );
    assert!(own.is_sorted_by(|one, other| one.position > other.position), "newest first");
    assert_eq!(own[0].outcome, "OK");
    assert_eq!(own[0].resource, format!("arn:aws:logs:eu-west-1:111122223333:log-group:{GROUP}"));
    assert_eq!(own[0].correlation_id, own[1].correlation_id);
    assert!(own[0].json.contains(&own[0].id));

    // Another tenant's events look absent, also if the filter names that tenant.
    let theirs = AuditEventFilter { tenant_id: "orders".into(), ..AuditEventFilter::default() };
    assert_eq!(payments.all_events(theirs.clone(), 100).await, []);
    let operator = service.caller("orders", EVERYTHING);
    let orders = operator.all_events(theirs, 100).await;
    assert!(orders.len() >= 3 && orders.iter().all(|event| event.tenant_id == "orders"));
    let all = operator.all_events(AuditEventFilter::default(), 100).await;
    assert!(all.iter().any(|event| event.action == "Start" && event.tenant_id.is_empty()));
    assert!(all.iter().any(|event| event.tenant_id == "payments"));

    for scopes in [ALL, "logkey:read"] {
        let refused = service.caller("payments", scopes).events(ListAuditEventsRequest::default()).await;
        assert_eq!(reason(&refused.unwrap_err()), "SCOPE_MISSING");
    }
    service.stop().await;
}

#[tokio::test]
async fn pages_hold_every_event_once_and_a_token_fits_only_its_request() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    for group in ["api", "hash#1", "gone", "api", "gone"] {
        let _ = caller.get(&format!("/payments/{group}")).await;
    }
    caller.associate(GROUP, &key("good")).await.unwrap();
    let reader = service.caller("payments", OWN);
    let gone = AuditEventFilter { outcome: "LOG_GROUP_NOT_FOUND".into(), ..AuditEventFilter::default() };
    assert_eq!(reader.all_events(gone.clone(), 1).await.len(), 2);
    let action = AuditEventFilter { action: "GetKeyAssociation".into(), ..AuditEventFilter::default() };
    let whole = reader.all_events(action.clone(), 500).await;
    assert_eq!(whole.len(), 5);
    for size in [1, 2, 3, 5, 6] {
        assert_eq!(reader.all_events(action.clone(), size).await, whole, "{size}");
    }
    let one = |filter: &AuditEventFilter, page_token: &str| ListAuditEventsRequest {
        page_size: 1,
        page_token: page_token.into(),
        filter: Some(filter.clone()),
    };
    let token = reader.events(one(&action, "")).await.unwrap().next_page_token;
    let operator = service.caller("payments", EVERYTHING);
    for (principal, filter) in
        [(&reader, &gone), (&service.caller("orders", OWN), &action), (&operator, &action)]
    {
        let refused = principal.events(one(filter, &token)).await.unwrap_err();
        assert_eq!(reason(&refused), "FIELD_INVALID");
        assert!(refused.message().starts_with("page_token"), "{refused}");
    }
    let subject = AuditEventFilter { subject: "someone".into(), ..action.clone() };
    assert_eq!(reader.all_events(subject, 500).await, whole);
    let resource = AuditEventFilter { resource: whole[0].resource.clone(), ..action.clone() };
    assert_eq!(reader.all_events(resource, 500).await.len(), 2);
    let call = AuditEventFilter { correlation_id: whole[2].correlation_id.clone(), ..action.clone() };
    assert_eq!(reader.all_events(call, 500).await, [whole[2].clone()]);
    let until = AuditEventFilter { end_time: whole[1].time, ..action.clone() };
    assert_eq!(reader.all_events(until, 500).await, whole[2..]);
    let since = AuditEventFilter { start_time: whole[1].time, ..action };
    assert_eq!(reader.all_events(since, 500).await, whole[..2]);
    service.stop().await;
}

#[tokio::test]
async fn every_invalid_field_is_reported() {
    let service = Service::start().await;
    let reader = service.caller("payments", OWN);
    let filter = AuditEventFilter {
        tenant_id: "No Tenant".into(),
        subject: "x".repeat(5000),
        start_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: -1 }),
        action: "AsociateKmsKey".into(),
        outcome: "not_allowed".into(),
        ..AuditEventFilter::default()
    };
    let watched = reader.watch(Some(0), filter.clone()).await.unwrap_err();
    let message = ListAuditEventsRequest { page_size: -1, filter: Some(filter), ..Default::default() };
    let refused = reader.events(message).await.unwrap_err();
    for field in ["page_size", "filter.tenant_id", "filter.subject", "filter.start_time"] {
        assert!(refused.message().contains(field), "{field}: {refused}");
    }
    for refused in [watched, refused] {
        for advice in ["did you mean AssociateKmsKey?", "did you mean NOT_ALLOWED?", "RestartLog", "NO_KEY"] {
            assert!(refused.message().contains(advice), "{advice}: {refused}");
        }
    }
    assert_eq!(reason(&reader.included("none", -1).await.unwrap_err()), "FIELD_INVALID");
    let beyond = reader.watch(Some(1_000_000), AuditEventFilter::default()).await.unwrap_err();
    assert!(beyond.message().starts_with("after_position"), "{beyond}");
    service.stop().await;
}

#[tokio::test]
async fn an_event_is_proved_from_its_bytes_to_the_signed_root() {
    let service = Service::start().await;
    let reader = service.caller("payments", OWN);
    let before = reader.checkpoint().await.unwrap();
    let changed = service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    // The event may be unsigned when the caller asks for the proof.
    let proof = reader.included(&changed.audit_event_id, 0).await.unwrap();
    let filter = AuditEventFilter { action: "AssociateKmsKey".into(), ..AuditEventFilter::default() };
    let [event, intent] = &reader.all_events(filter, 10).await[..] else { panic!("two events of a change") };
    assert_eq!(event.id, changed.audit_event_id);
    assert_eq!(proof.leaf_index, event.position - 1);

    let verifiers = &before.verifier_keys;
    let signed = checkpoint::read(proof.checkpoint.as_bytes(), "logkey", verifiers).unwrap();
    let size = u64::try_from(proof.tree_size).unwrap();
    assert_eq!(signed.size(), size);
    let index = u64::try_from(proof.leaf_index).unwrap();
    let leaf = tlog_tiles::record_hash(event.json.as_bytes());
    assert_eq!(leaf.0.to_vec(), proof.leaf_hash);
    tlog_tiles::check_record(&hashes(&proof.hashes), size, *signed.hash(), index, leaf).unwrap();

    // An auditor who kept an older checkpoint sees that the log only grew.
    let old = checkpoint::read(before.checkpoint.as_bytes(), "logkey", verifiers).unwrap();
    assert_eq!(
        (before.tree_size, before.root_hash.clone()),
        (i64::try_from(old.size()).unwrap(), old.hash().0.to_vec())
    );
    let message =
        GetConsistencyProofRequest { old_tree_size: before.tree_size, new_tree_size: proof.tree_size };
    let grown = reader.audit().get_consistency_proof(reader.request(message)).await.unwrap().into_inner();
    tlog_tiles::check_tree(&hashes(&grown.hashes), size, *signed.hash(), old.size(), *old.hash()).unwrap();

    // Any tree size that includes the event works. A smaller one, or one beyond the log, is rejected.
    let smaller = reader.included(&intent.id, intent.position).await.unwrap();
    assert_eq!((smaller.tree_size, &*smaller.checkpoint), (intent.position, ""));
    for size in [event.position - 1, proof.tree_size + 1_000_000] {
        let refused = reader.included(&event.id, size).await.unwrap_err();
        assert!(refused.message().starts_with("tree_size"), "{refused}");
    }
    for (old_tree_size, new_tree_size) in [(5, 4), (1, 1_000_000), (-1, 1)] {
        let message = GetConsistencyProofRequest { old_tree_size, new_tree_size };
        let refused = reader.audit().get_consistency_proof(reader.request(message)).await.unwrap_err();
        assert_eq!(reason(&refused), "FIELD_INVALID", "{old_tree_size} {new_tree_size}");
    }
    service.stop().await;
}

#[tokio::test]
async fn another_tenants_event_gets_the_same_answer_as_an_absent_one() {
    let service = Service::start().await;
    let changed = service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    let theirs = service.caller("orders", OWN).included(&changed.audit_event_id, 0).await.unwrap_err();
    let none = uuid::Uuid::now_v7().to_string();
    let absent = service.caller("orders", OWN).included(&none, 0).await.unwrap_err();
    assert_eq!(reason(&theirs), "AUDIT_EVENT_NOT_FOUND");
    assert_eq!(
        theirs.message().replace(&changed.audit_event_id, "ID"),
        absent.message().replace(&none, "ID")
    );
    assert_eq!(theirs.code(), absent.code());
    service.caller("orders", EVERYTHING).included(&changed.audit_event_id, 0).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_watcher_gets_past_events_in_order_and_then_new_ones() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    for _ in 0..3 {
        caller.associate(GROUP, &key("good")).await.unwrap();
        caller.disassociate(GROUP).await.unwrap();
    }
    let reader = service.caller("payments", OWN);
    let changes = AuditEventFilter { outcome: "OK".into(), ..AuditEventFilter::default() };
    let mut stream = reader.watch(Some(0), changes.clone()).await.unwrap();
    let past = next(&mut stream, 6).await;
    assert!(past.is_sorted_by(|one, other| one.position < other.position));
    caller.associate(GROUP, &key("next")).await.unwrap();
    let arrived = next(&mut stream, 1).await;
    let last = arrived.last().unwrap();
    assert!(last.json.contains("key/next"), "{arrived:#?}");
    assert!(arrived[0].position > past.last().unwrap().position);
    drop(stream);

    // From the middle, a stream gets the rest; without a position, it gets only new events.
    let middle = past[2].position;
    let mut stream = reader.watch(Some(middle), changes.clone()).await.unwrap();
    assert_eq!(next(&mut stream, 1).await[0].id, past[3].id);
    let mut now = reader.watch(None, changes).await.unwrap();
    caller.disassociate(GROUP).await.unwrap();
    let new = next(&mut now, 1).await;
    assert!(new.iter().all(|event| event.position > last.position));
    // No events of another tenant arrive.
    service.caller("orders", ALL).disassociate("/orders/api").await.unwrap();
    caller.associate(GROUP, &key("good")).await.unwrap();
    assert!(next(&mut now, 1).await.iter().all(|event| event.tenant_id == "payments"));
    drop((stream, now));
    service.stop().await;
}

#[tokio::test]
async fn a_watch_does_not_create_events_for_itself() {
    let service = Service::start().await;
    let operator = service.caller("orders", EVERYTHING);
    let watches = AuditEventFilter { action: "WatchAuditEvents".into(), ..AuditEventFilter::default() };
    let mut stream = operator.watch(Some(0), AuditEventFilter::default()).await.unwrap();
    // The stream shows its own start event, and that creates no further event.
    let mut received = next(&mut stream, 2).await;
    service.caller("payments", ALL).associate(GROUP, &key("good")).await.unwrap();
    while !received.iter().any(|event| event.kind == "outcome") {
        received.extend(next(&mut stream, 1).await);
    }
    let opened = received.iter().filter(|event| event.action == "WatchAuditEvents").count();
    assert_eq!(opened, 1, "{received:#?}");
    drop(stream);
    // The end of the stream is one more event.
    loop {
        let all = operator.all_events(watches.clone(), 10).await;
        if all.len() == 2 {
            assert!(all[0].json.contains("a stream ended: the client disconnected; "), "{}", all[0].json);
            break;
        }
        assert_eq!(all.len(), 1);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_stop_ends_streams_with_a_reason_and_records_it() {
    let service = Service::start().await;
    let reader = service.caller("payments", OWN);
    let mut stream = reader.watch(Some(0), AuditEventFilter::default()).await.unwrap();
    next(&mut stream, 1).await;
    drop(reader);
    let (status, service) = tokio::join!(end(stream), service.restart());
    assert_eq!((reason(&status), status.code()), ("SHUTTING_DOWN".into(), Code::Unavailable));
    let events = service.events().await;
    let is_watch = |event: &&logkey::audit::parsed_event::ParsedEvent| event.action == "WatchAuditEvents";
    let details: Vec<_> = events.iter().filter(is_watch).filter_map(|event| event.detail.clone()).collect();
    assert!(details.iter().any(|detail| detail.contains("the service is stopping")), "{details:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_stream_ends_when_its_token_does() {
    let service = Service::start().await;
    let soon = jiff::Timestamp::now().as_second() + 2;
    let token = service.issuer.token_with("payments", OWN, &[("exp", soon.into())]);
    let caller = Caller::new(service.channel(), &token);
    let stream = caller.watch(Some(0), AuditEventFilter::default()).await.unwrap();
    let status = end(stream).await;
    assert_eq!((reason(&status), status.code()), ("TOKEN_EXPIRED".into(), Code::Unauthenticated));
    service.stop().await;
}

#[tokio::test]
async fn open_streams_have_a_limit_and_do_not_count_as_calls_in_flight() {
    let plan = Plan::default().settings("[audit]\nstreams_per_tenant = 2\n").tenants(
        &(tenant(
            "payments",
            crate::harness::PAYMENTS,
            "{ per_second = 1000, burst = 1000, max_in_flight = 1 }",
        ) + &tenant(
            "orders",
            crate::harness::ORDERS,
            "{ per_second = 1000, burst = 1000, max_in_flight = 9 }",
        )),
    );
    let service = plan.start().await;
    let reader = service.caller("payments", OWN);
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(reader.watch(Some(0), AuditEventFilter::default()).await.unwrap());
    }
    let refused = reader.watch(Some(0), AuditEventFilter::default()).await.unwrap_err();
    assert_eq!(reason(&refused), "TENANT_CONCURRENCY_LIMITED");
    // Two streams are open, and the tenant can still make its one call in flight.
    service.caller("payments", ALL).get(GROUP).await.unwrap();
    service.caller("orders", OWN).watch(None, AuditEventFilter::default()).await.unwrap();
    // A stream that ended makes room once the server notices its end.
    drop(open.pop());
    let again = async {
        loop {
            match reader.watch(Some(0), AuditEventFilter::default()).await {
                Ok(stream) => break stream,
                Err(refused) => assert_eq!(reason(&refused), "TENANT_CONCURRENCY_LIMITED"),
            }
        }
    };
    drop(tokio::time::timeout(Duration::from_secs(20), again).await.unwrap());
    drop(open);
    service.stop().await;
}

#[tokio::test]
async fn a_slow_reader_gets_every_event_in_order_once() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    let reader = service.caller("payments", OWN);
    let mut slow = reader.watch(Some(0), AuditEventFilter::default()).await.unwrap();
    for _ in 0..40 {
        caller.associate(GROUP, &key("good")).await.unwrap();
    }
    // The client read nothing so far. Every event arrives, in order and once.
    let filter = AuditEventFilter { action: "AssociateKmsKey".into(), ..AuditEventFilter::default() };
    let whole = reader.all_events(filter, 500).await;
    assert_eq!(whole.len(), 80);
    let mut arrived = Vec::new();
    while arrived.len() < 80 {
        let events = slow.message().await.unwrap().unwrap().events;
        arrived.extend(events.into_iter().filter(|event| event.action == "AssociateKmsKey"));
    }
    arrived.reverse();
    assert_eq!(arrived, whole);
    assert!(slow.next().now_or_never().is_none(), "then the stream waits");
    drop(slow);
    service.stop().await;
}

#[tokio::test]
async fn a_suspended_tenant_cannot_read_the_log_and_health_still_works() {
    let service = Service::start().await;
    service
        .reload(
            &(tenant(
                "payments",
                crate::harness::PAYMENTS,
                "{ per_second = 9, burst = 9, max_in_flight = 9 }",
            ) + "\n")
                .replace("id = \"payments\"", "id = \"payments\"\nsuspended = true"),
        )
        .await;
    let refused = service.caller("payments", OWN).checkpoint().await.unwrap_err();
    assert_eq!(reason(&refused), "TENANT_SUSPENDED");
    let mut health = tonic_health::pb::health_client::HealthClient::new(service.channel());
    let request = tonic_health::pb::HealthCheckRequest { service: "keyassociation.v1.AuditService".into() };
    assert_eq!(health.check(Request::new(request)).await.unwrap().into_inner().status, 1);
    service.stop().await;
}
