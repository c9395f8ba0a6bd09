use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_ended_lease_is_never_extended() {
    let start = Instant::now();
    let lease = Lease::unconfirmed(start);
    assert!(!lease.has_ended(start), "it has not begun");
    lease.extend(start, start + SECOND);
    lease.extend(start + SECOND / 2, start + SECOND * 2);
    assert_eq!(lease.valid_until(), Some(start + SECOND * 2));
    lease.extend(start + SECOND * 2, start + SECOND * 9);
    assert_eq!(lease.valid_until(), Some(start + SECOND * 2));
    assert!(lease.has_ended(start + SECOND * 2));
}

#[test]
fn an_unconfirmed_lease_is_not_valid() {
    let now = Instant::now();
    assert_eq!(Lease::unconfirmed(now).valid_until(), Some(now));
}

#[test]
fn the_lease_of_a_single_process_has_no_end() {
    let (lease, now) = (Lease::unlimited(), Instant::now());
    lease.extend(now, now + SECOND);
    assert_eq!(lease.valid_until(), None);
    assert!(!lease.has_ended(now + SECOND * 9));
}
