use super::*;
use crate::server::grpc::status::EdgeRefusal;

/// The fields with a violation.
fn invalid<T>(parsed: Result<T, InvalidField>) -> Vec<String> {
    match parsed {
        Err(InvalidField::Fields(EdgeRefusal::Body { violations })) => {
            violations.into_iter().map(|(field, _)| field).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_invalid_field_of_a_request_is_named() {
    let wire = proto::GetCoverageRequest {
        group_by: 6,
        account_id: "12".into(),
        region: "nowhere".into(),
        rule_id: "x".repeat(257),
        tenant_id: "A B".into(),
    };
    assert_eq!(invalid(coverage_query(wire)), ["group_by", "rule_id", "account_id", "region", "tenant_id"]);
    let wire = proto::ListCoverageFindingsRequest {
        page_size: -1,
        kinds: vec![1, 0, 9],
        ..proto::ListCoverageFindingsRequest::default()
    };
    assert_eq!(invalid(finding_query(wire)), ["page_size", "kinds", "kinds"]);
    let wire = proto::GetCoverageHistoryRequest { days: -1, tenant_id: "*".into() };
    assert_eq!(invalid(history_query(&wire)), ["days", "tenant_id"]);
}

#[test]
fn days_have_a_default_and_a_maximum() {
    let days = |days| {
        let wire = proto::GetCoverageHistoryRequest { days, ..proto::GetCoverageHistoryRequest::default() };
        history_query(&wire).unwrap().days
    };
    assert_eq!([days(0), days(7), days(366), days(i32::MAX)], [30, 7, 366, 366]);
}

#[test]
fn the_numbers_of_kinds_are_those_of_the_api() {
    for kind in FindingKind::ALL {
        assert_eq!(kind.number(), i64::from(i32::from(finding_kind(kind))));
        assert_eq!(finding_kind(kind).as_str_name(), format!("FINDING_KIND_{}", kind.as_str()));
    }
}

#[test]
fn the_classes_add_up_to_the_total() {
    let mut of_each = ClassCounts::default();
    for (class, count) in CoverageClass::ALL.into_iter().zip(1..) {
        of_each.add(class, count);
    }
    let wire = counts(&of_each);
    let parts = [
        wire.compliant,
        wire.other_key,
        wire.no_key,
        wire.key_unhealthy,
        wire.exempt,
        wire.unknown,
        wire.no_rule,
        wire.conflict,
    ];
    assert_eq!(parts, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(wire.total, parts.iter().sum::<u32>());
    assert_eq!(date(Timestamp::from_secs(1_767_225_600)), "2026-01-01");
}
