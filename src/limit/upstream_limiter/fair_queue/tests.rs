use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::*;

fn id(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn bounds(per_quota_key: usize, per_tenant: usize) -> QueueBounds {
    let n = |value| NonZeroUsize::new(value).unwrap();
    QueueBounds { per_quota_key: n(per_quota_key), per_tenant: n(per_tenant) }
}

const WIDE: fn() -> QueueBounds = || bounds(10_000, 10_000);

fn filled(calls: &[(&str, Priority)]) -> FairQueue<String> {
    let mut queue = FairQueue::new();
    for (nth, (name, priority)) in calls.iter().enumerate() {
        queue.push(&id(name), *priority, WIDE(), format!("{name}{nth}"));
    }
    queue
}

fn drained(mut queue: FairQueue<String>) -> Vec<String> {
    std::iter::from_fn(|| queue.pop()).collect()
}

#[test]
fn tenants_alternate_however_many_calls_one_has() {
    use Priority::Interactive as I;
    let queue = filled(&[("a", I), ("a", I), ("a", I), ("b", I), ("b", I), ("c", I)]);
    assert_eq!(drained(queue), ["a0", "b3", "c5", "a1", "b4", "a2"]);
}

#[test]
fn interactive_calls_go_first_and_bulk_calls_get_a_fifth() {
    use Priority::{Bulk, Interactive};
    let mut calls = vec![("a", Bulk); 3];
    calls.extend([("b", Interactive); 10]);
    let order = drained(filled(&calls));
    assert_eq!(order.join(" "), "b3 b4 b5 b6 a0 b7 b8 b9 b10 a1 b11 b12 a2");
}

#[test]
fn the_tenant_with_the_most_calls_makes_room() {
    use Priority::Interactive as I;
    let mut queue = filled(&[("a", I), ("a", I), ("a", I)]);
    let result = queue.push(&id("b"), I, bounds(3, 3), "b3".into());
    assert!(matches!(result, EnqueueResult::Displaced(_, ref displaced) if displaced == "a2"), "{result:?}");
    let result = queue.push(&id("a"), I, bounds(3, 3), "a4".into());
    assert!(matches!(result, EnqueueResult::Full(_)), "{result:?}");
    assert_eq!(drained(queue), ["a0", "b3", "a1"]);
}

#[test]
fn one_tenants_share_of_the_queue_is_bounded() {
    use Priority::Bulk;
    let mut queue = filled(&[("a", Bulk), ("a", Bulk)]);
    assert!(matches!(queue.push(&id("a"), Bulk, bounds(9, 2), "a".into()), EnqueueResult::Full(_)));
    assert!(matches!(queue.push(&id("b"), Bulk, bounds(9, 2), "b".into()), EnqueueResult::Queued(_)));
}

#[test]
fn the_retry_of_a_throttled_call_goes_first() {
    use Priority::Interactive as I;
    let mut queue = filled(&[("a", I), ("b", I), ("b", I)]);
    queue.push_front(&id("b"), I, "again".into());
    assert_eq!(drained(queue), ["again", "a0", "b1", "b2"]);
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8, bool),
    Pop,
    Remove(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..5u8, any::<bool>()).prop_map(|(tenant, bulk)| Step::Push(tenant, bulk)),
        2 => Just(Step::Pop),
        1 => (0..20usize).prop_map(Step::Remove),
    ];
    proptest::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn the_reported_position_matches_the_order(steps in steps()) {
        let mut queue = FairQueue::new();
        let mut entered = Vec::new();
        for step in steps {
            match step {
                Step::Push(tenant, bulk) => {
                    let priority = if bulk { Priority::Bulk } else { Priority::Interactive };
                    let tenant = id(&format!("t{tenant}"));
                    let ahead = queue.position(&tenant, priority);
                    let EnqueueResult::Queued(ticket) = queue.push(&tenant, priority, WIDE(), ()) else {
                        return Err(TestCaseError::fail("rejected"));
                    };
                    entered.push(ticket);
                    let calls = queue.round_robin();
                    let found = calls.iter().find(|other| other.ticket == ticket).unwrap();
                    prop_assert_eq!(found.ahead, ahead);
                }
                Step::Pop => drop(queue.pop()),
                Step::Remove(nth) => {
                    if let Some(ticket) = entered.get(nth) {
                        queue.remove(*ticket);
                    }
                }
            }
            prop_assert_eq!(queue.round_robin().len(), queue.len());
        }
    }

    #[test]
    fn calls_leave_in_the_reported_order(calls in proptest::collection::vec((0..5u8, any::<bool>()), 0..60)) {
        let mut queue = FairQueue::new();
        for (nth, (tenant, bulk)) in calls.into_iter().enumerate() {
            let priority = if bulk { Priority::Bulk } else { Priority::Interactive };
            queue.push(&id(&format!("t{tenant}")), priority, WIDE(), nth);
        }
        let positions: Vec<_> = queue.round_robin().into_iter().map(|position| *position.call).collect();
        let left: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        prop_assert_eq!(positions, left);
    }
}
