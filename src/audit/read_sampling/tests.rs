use super::*;
use crate::domain::{
    audit::{Actor, AuditOperation},
    call::Action,
    time::Timestamp,
};

fn read(tenant: &str, subject: &str, action: Action) -> Event {
    let actor =
        Actor { tenant: Some(tenant.parse().unwrap()), subject: Some(subject.into()), ..Actor::default() };
    let time = Timestamp::from_micros(1_700_000_000_000_000);
    Event { actor, ..Event::for_service(AuditOperation::Rpc(action), time) }
}

/// The counts of the recorded events of so many reads.
fn counts(sampler: &mut ReadSampler, event: &Event, reads: u32, now: Instant) -> Vec<u32> {
    let recorded = (0..reads).filter_map(|_| sampler.admit(event.clone(), now));
    recorded.map(|event| event.count).collect()
}

#[test]
fn the_first_read_of_a_minute_and_each_hundredth_after_it_are_recorded() {
    let mut sampler = ReadSampler::new(ReadRecording::Sampled);
    let (event, start) = (read("payments", "alice", Action::GetCaller), Instant::now());
    assert_eq!(counts(&mut sampler, &event, 250, start), [1, 100, 100]);
    let soon = start + WINDOW / 2;
    assert_eq!(counts(&mut sampler, &event, 60, soon), [100]);
    // The first read of the next minute also represents the nine that are left.
    assert_eq!(counts(&mut sampler, &event, 100, start + WINDOW), [10]);
    assert_eq!(counts(&mut sampler, &event, 1, start + WINDOW * 2), [100]);
}

#[test]
fn each_tenant_subject_and_rpc_is_sampled_separately() {
    let mut sampler = ReadSampler::new(ReadRecording::Sampled);
    let now = Instant::now();
    for (tenant, subject, action) in [
        ("payments", "alice", Action::GetCaller),
        ("payments", "alice", Action::GetKeyAssociation),
        ("payments", "bob", Action::GetCaller),
        ("search", "alice", Action::GetCaller),
    ] {
        assert_eq!(counts(&mut sampler, &read(tenant, subject, action), 2, now), [1], "{tenant} {subject}");
    }
}

#[test]
fn all_reads_or_none_are_recorded_if_the_setting_says_so() {
    let event = read("payments", "alice", Action::GetCaller);
    for (recording, recorded) in [(ReadRecording::All, 250), (ReadRecording::None, 0)] {
        let counts = counts(&mut ReadSampler::new(recording), &event, 250, Instant::now());
        assert_eq!(counts, vec![1; recorded]);
    }
}

#[test]
fn subjects_beyond_the_bound_of_a_tenant_share_an_entry() {
    let mut sampler = ReadSampler::new(ReadRecording::Sampled);
    let now = Instant::now();
    let mut recorded = 0;
    for number in 0..2 * MAX_OF_TENANT {
        let event = read("payments", &format!("subject-{number}"), Action::GetCaller);
        recorded += counts(&mut sampler, &event, 1, now).len();
    }
    assert_eq!(sampler.readers, MAX_OF_TENANT + 1);
    assert_eq!(recorded, MAX_OF_TENANT + 1 + (MAX_OF_TENANT - 1) / INTERVAL as usize);
    // Another tenant does not notice.
    assert_eq!(counts(&mut sampler, &read("search", "alice", Action::GetCaller), 2, now), [1]);
    // In the window after the next one nothing is left of readers that are gone.
    for windows in [1, 2] {
        counts(&mut sampler, &read("search", "alice", Action::GetCaller), 1, now + WINDOW * windows);
    }
    assert_eq!(sampler.readers, 1);
}

#[test]
fn tenants_beyond_the_bound_share_entries() {
    let mut sampler = ReadSampler::new(ReadRecording::Sampled);
    let now = Instant::now();
    for number in 0..2 * MAX_TENANTS {
        for subject in 0..40 {
            let event = read(&format!("tenant-{number}"), &subject.to_string(), Action::GetCaller);
            counts(&mut sampler, &event, 1, now);
        }
    }
    assert!(sampler.tenants.len() <= MAX_TENANTS + 1, "{}", sampler.tenants.len());
    assert!(sampler.readers <= MAX_IN_ALL + MAX_TENANTS + 1, "{}", sampler.readers);
}
