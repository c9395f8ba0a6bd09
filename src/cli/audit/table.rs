//! Renders events as a table, for `logkey audit list` and the end of `logkey demo`.

use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::audit::parsed_event::ParsedEvent;

/// Renders the events in the given order, one row each. Control characters are escaped.
#[must_use]
pub fn table(events: &[ParsedEvent]) -> String {
    if events.is_empty() {
        return "no events".to_owned();
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["TIME", "TENANT", "SUBJECT", "KIND", "ACTION", "RESOURCE", "KEY", "OUTCOME", "REQUEST"]);
    for event in events {
        let text =
            |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), escape_control_chars);
        table.add_row([
            Cell::new(time(event)),
            Cell::new(text(&event.tenant)),
            Cell::new(text(&event.subject)),
            Cell::new(escape_control_chars(&event.kind)),
            Cell::new(escape_control_chars(&event.action)),
            Cell::new(escape_control_chars(event.resource.as_deref().map_or("-", abbreviate))),
            Cell::new(escape_control_chars(
                event.resolved_key.as_deref().or(event.requested_key.as_deref()).map_or("-", abbreviate),
            )),
            Cell::new(escape_control_chars(&outcome(event))),
            Cell::new(escape_control_chars(&event.correlation)).set_alignment(CellAlignment::Left),
        ]);
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Escapes characters that a terminal could execute as a command. The service writes none, but a tampered log
/// can contain anything.
fn escape_control_chars(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, it| {
        if it.is_control() {
            escaped.extend(it.escape_unicode());
        } else {
            escaped.push(it);
        }
        escaped
    })
}

/// The time to the millisecond; the event itself has microseconds.
fn time(event: &ParsedEvent) -> String {
    let text = event.time.to_string();
    text.strip_suffix('Z').and_then(|text| text.get(..23)).map_or(text.clone(), |text| format!("{text}Z"))
}

/// An ARN without `arn:`, its partition and its service.
fn abbreviate(arn: &str) -> &str {
    let rest = arn.strip_prefix("arn:").and_then(|rest| rest.split_once(':'));
    rest.and_then(|(_partition, rest)| rest.split_once(':')).map_or(arn, |(_service, rest)| rest)
}

fn outcome(event: &ParsedEvent) -> String {
    let outcome = event.outcome.as_deref().unwrap_or("-");
    if event.count == 1 { outcome.to_owned() } else { format!("{outcome} (x{})", event.count) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn event() -> ParsedEvent {
        ParsedEvent {
            seq: 1,
            id: "0".into(),
            time: Timestamp::from_micros(1_700_000_000_123_456),
            kind: "refusal".into(),
            tenant: Some("payments".into()),
            subject: None,
            action: "AssociateKmsKey".into(),
            resource: Some("arn:aws:logs:eu-west-1:111122223333:log-group:/app/web".into()),
            issuer: None,
            token_id: None,
            on_behalf_of: None,
            delegate: None,
            account: None,
            region: None,
            log_group: None,
            requested_key: Some("alias/x".into()),
            resolved_key: None,
            previous_key: None,
            outcome: Some("TENANT_RATE_LIMITED".into()),
            detail: None,
            correlation: "call-1".into(),
            count: 7,
            status: Some("TENANT_RATE_LIMITED".into()),
            closes: None,
            job: None,
            archived: None,
            rotated: None,
        }
    }

    #[test]
    fn a_row_shows_caller_action_resource_and_outcome() {
        let table = table(&[event()]);
        let row: Vec<&str> = table.lines().nth(1).unwrap().split("  ").map(str::trim).collect();
        let row: Vec<&str> = row.into_iter().filter(|cell| !cell.is_empty()).collect();
        assert_eq!(
            row,
            [
                "2023-11-14T22:13:20.123Z",
                "payments",
                "-",
                "refusal",
                "AssociateKmsKey",
                "eu-west-1:111122223333:log-group:/app/web",
                "alias/x",
                "TENANT_RATE_LIMITED (x7)",
                "call-1",
            ]
        );
    }

    #[test]
    fn an_empty_list_says_that_there_are_no_events() {
        assert_eq!(table(&[]), "no events");
    }
}
