use std::sync::Arc;

use parking_lot::Mutex;

use super::*;

/// A readiness that serves, and what its checks find.
fn serving() -> (Arc<Readiness>, Arc<Mutex<Findings>>) {
    let findings = Arc::new(Mutex::new(Findings::default()));
    let readiness = Readiness::starting();
    let found = Arc::clone(&findings);
    readiness.begin_serving(move || found.lock().clone());
    (readiness, findings)
}

fn impaired(component: Component) -> Findings {
    let impairment = Impairment { component, problem: "it is broken".to_owned() };
    Findings { impairments: vec![impairment], notes: Vec::new() }
}

#[test]
fn a_service_that_starts_is_neither_started_nor_ready() {
    let readiness = Readiness::starting();
    assert!(!readiness.has_started());
    assert!(!readiness.report().ready && readiness.report().to_string().starts_with("starting: "));
    readiness.begin_serving(Findings::default);
    assert!(readiness.has_started());
    assert_eq!(readiness.report().to_string(), "ok\n");
}

#[test]
fn only_what_blocks_every_call_makes_the_service_not_ready() {
    for component in Component::ALL {
        let (readiness, findings) = serving();
        *findings.lock() = impaired(component);
        let report = readiness.report();
        let blocks = matches!(component, Component::Store | Component::Issuers);
        assert_eq!(report.ready, !blocks, "{component:?}");
        assert!(report.to_string().contains(&format!("{}: it is broken\n", component.as_str())), "{report}");
    }
}

#[test]
fn a_service_that_drains_is_not_ready_whatever_works() {
    let (readiness, _findings) = serving();
    let mut watched = readiness.watch();
    assert!(*watched.borrow_and_update());
    readiness.begin_draining();
    assert!(watched.has_changed().unwrap() && !*watched.borrow_and_update());
    assert_eq!(readiness.report().to_string(), "draining: the service is stopping\n");
    assert!(readiness.has_started(), "a draining service has started");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_noticed_when_nobody_asks() {
    let (readiness, findings) = serving();
    let mut watched = readiness.watch();
    watched.mark_unchanged();
    let running = tokio::spawn(Arc::clone(&readiness).run());
    *findings.lock() = impaired(Component::Store);
    watched.changed().await.unwrap();
    assert!(!*watched.borrow_and_update());
    *findings.lock() = Findings::default();
    watched.changed().await.unwrap();
    assert!(*watched.borrow_and_update());
    running.abort();
}
