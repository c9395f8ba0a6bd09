//! A stored event: it is printed or rejected, and nothing in it reaches the terminal as a command.

use logkey::{cli::audit::report::report, domain::audit::EventId, ports::StoredEvent};

/// Returns whether the input was accepted.
pub fn run(data: &[u8]) -> bool {
    let Ok(body) = String::from_utf8(data.to_vec()) else { return false };
    let id: EventId = EventId(uuid::Uuid::nil());
    let stored = StoredEvent { seq: 1, id, tenant: None, body };
    let Ok(events) = report(&[stored]) else { return false };
    assert!(events.to_text().split('\n').all(|line| !line.chars().any(char::is_control)));
    true
}
