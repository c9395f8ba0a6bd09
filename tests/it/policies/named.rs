//! The audit log names the policies that decided a call.

use super::*;

/// Kind, outcome and deciding policies of the `AssociateKmsKey` events, oldest first.
async fn decisions_of(caller: &Caller) -> Vec<(String, String, Vec<(String, String)>)> {
    let mut audit = AuditServiceClient::new(caller.channel());
    let message = ListAuditEventsRequest { page_size: 100, ..Default::default() };
    let mut events = audit.list_audit_events(caller.request(message)).await.unwrap().into_inner().events;
    events.reverse();
    let authorizations = |json: &str| {
        let json: Value = serde_json::from_str(json).unwrap();
        let all = json.pointer("/actor/authorizations").and_then(Value::as_array).cloned();
        let text = |one: &Value, at| one.pointer(at).and_then(Value::as_str).unwrap().to_owned();
        let all = all.unwrap_or_default();
        all.iter().map(|one| (text(one, "/decision"), text(one, "/policy/uid"))).collect()
    };
    let summary = |event: logkey::proto::AuditEvent| (event.kind, event.outcome, authorizations(&event.json));
    events.into_iter().filter(|event| event.action == "AssociateKmsKey").map(summary).collect()
}

#[tokio::test]
async fn an_event_names_the_policies_that_permitted_or_forbade() {
    let service = service_with_policy(ONLY_PCI).await;
    let caller = service.caller("cards", &format!("{ALL} logkey:audit"));
    // First a denied call: the change that follows is durable only after the refusal.
    caller.associate(CARD_GROUP, &card_key("open")).await.unwrap_err();
    caller.associate(CARD_GROUP, &card_key("pci")).await.unwrap();
    let decisions = decisions_of(&caller).await;
    let grant = format!("tenant/cards/{CARDS}/log-groups");
    let [(_, refused, forbade), (_, _, permitted), (_, done, permitted_too)] = &decisions[..] else {
        panic!("{decisions:#?}")
    };
    assert_eq!((refused.as_str(), done.as_str()), ("NOT_ALLOWED", "OK"), "{decisions:#?}");
    let ids = |named: &[(String, String)]| named.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(forbade), ["only-pci"]);
    assert_eq!((ids(permitted), ids(permitted_too)), (vec![grant.clone()], vec![grant]));
    assert_ne!(forbade[0].0, permitted[0].0, "the event also records the decision: {decisions:#?}");
    service.stop().await;
}
