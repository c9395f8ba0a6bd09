use serde_json::json;

use super::{
    Column, Report, Table,
    args::Format,
    note::remedy,
    print::{render, without_formula},
    table,
};

fn report() -> Report {
    let columns =
        [Column::new("resource"), Column::narrow("key"), Column::wide("kms_key_arn"), Column::new("note")];
    let mut table = Table::new(&columns, "Nothing.").named_by("kms_key_arn");
    let arn = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    table.push(["/payments/api".into(), "1234abcd".into(), arn.into(), "a,\"b\"\u{1b}[31m".into()]);
    table.push(["=1+1".into(), String::new(), String::new(), "-5".into()]);
    Report::new(json!({ "items": [1] }), table).detail("VERDICT", "OK").notes(["One sentence. ".repeat(20)])
}

#[test]
fn every_line_fits_the_width() {
    for width in [20_u16, 40, 60, 80, 120] {
        let text = table::render(&report(), false, Some(width));
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(width), "{width}: {line}\n{text}");
        }
    }
}

#[test]
fn words_do_not_break_and_rows_are_stacked_where_columns_have_no_room() {
    let columns =
        [Column::new("job"), Column::new("pause_reason"), Column::new("state"), Column::new("created")];
    let mut table = Table::new(&columns, "Nothing.");
    let job = "0192d4e0-7a1b-7c3d-8e4f-123456789abc";
    for state in ["COMPLETED_WITH_FAILURES", "RUNNING"] {
        table.push([job.into(), "TENANT_SUSPENDED".into(), state.into(), "2026-01-31T08:00:00Z".into()]);
    }
    let report = Report::new(json!({}), table);
    for width in 45..120 {
        let text = table::render(&report, false, Some(width));
        let is_stacked = text.lines().filter(|line| line.starts_with("CREATED ")).count() == 2;
        assert_eq!(is_stacked, width < 101, "{width}:\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}:\n{text}");
        for word in ["PAUSE", job, "COMPLETED_WITH_FAILURES", "TENANT_SUSPENDED", "2026-01-31T08:00:00Z"] {
            assert!(text.contains(word), "{width}: {word}:\n{text}");
        }
    }
}

#[test]
fn ids_and_arns_do_not_break_where_the_terminal_has_room_for_them() {
    let ids = [
        "0192d4e0-7a1b-7c3d-8e4f-123456789abc",
        "/payments/production/checkout-service/orders-processor",
        "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    ];
    let mut table =
        Table::new(&[Column::new("job"), Column::new("log_group"), Column::new("message")], "Nothing.");
    table.push([ids[0].into(), ids[1].into(), format!("the key {} is disabled", ids[2])]);
    table.push([ids[0].into(), String::new(), "a sentence ".repeat(20)]);
    let report = Report::new(json!({}), table).detail("THE KEY IN USE", ids[2]);
    let report = report.notes([format!("More about {} and {}.", ids[1], ids[2])]);
    for report in [report.clone(), report.as_record()] {
        for width in 36..220 {
            let text = table::render(&report, false, Some(width));
            let width = usize::from(width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
            for id in ids.iter().filter(|id| id.len() < width) {
                assert!(text.contains(id), "{width}: {id}:\n{text}");
            }
        }
    }
}

#[test]
fn a_column_gets_the_room_that_others_do_not_need() {
    let mut table = Table::new(&[Column::new("limit"), Column::new("waiting"), Column::new("rate")], "");
    table.push(["111122223333 us-east-1 DescribeLogGroups".into(), "0".into(), "5.00/s".into()]);
    let report = Report::new(json!({}), table);
    for width in [56, 57, 80] {
        let text = table::render(&report, false, Some(width));
        assert_eq!(
            text.contains("111122223333 us-east-1 DescribeLogGroups"),
            width >= 57,
            "{width}:\n{text}"
        );
        assert!(text.starts_with("LIMIT "), "{width}:\n{text}");
    }
}

#[test]
fn a_statement_can_be_pasted_at_any_width_or_is_left_out() {
    let arn = "arn:aws:logs:us-east-1:111122223333:log-group:/payments/production/api";
    let statement = json!({ "Sid": "Allow", "Action": ["kms:Encrypt"], "Condition": { "ArnEquals": {
        "kms:EncryptionContext:aws:logs:arn": arn, "aws:SourceAccount": "1111 2222 3333 ".repeat(4) } } });
    let pretty = serde_json::to_string_pretty(&statement).unwrap();
    let report = Report::new(json!({}), Table::default());
    let report = report.notes(remedy("add this; the statement to paste is in `remedy_document`", &pretty));
    for width in 40..200 {
        let text = table::render(&report, false, Some(width));
        assert!(text.lines().all(|line| line.chars().count() <= width.into()), "{width}:\n{text}");
        let pasted = text.strip_prefix("add this\n").unwrap();
        if let Ok(pasted) = serde_json::from_str::<serde_json::Value>(pasted) {
            assert_eq!(pasted, statement, "{width}");
        } else {
            let says_how =
                pasted.split_whitespace().collect::<Vec<_>>().join(" ").contains("-o wide prints it");
            assert!(usize::from(width) < arn.len() + 3 && says_how, "{width}:\n{text}");
        }
    }
    assert!(table::render(&report, true, None).ends_with(&pretty));
    assert!(table::render(&report, false, Some(120)).ends_with(&pretty), "a wide terminal shows it as it is");
}

#[test]
fn characters_that_take_two_columns_fit_too() {
    let mut table = Table::new(&[Column::new("reason"), Column::new("state")], "");
    table.push(["承認 された 変更 です".into(), "RUNNING".into()]);
    for width in [14, 20, 40] {
        let text = table::render(&Report::new(json!({}), table.clone()), false, Some(width));
        let widest = text.lines().map(unicode_width::UnicodeWidthStr::width).max();
        assert!(widest <= Some(width.into()), "{width}:\n{text}");
        assert!(text.contains("された"), "{width}:\n{text}");
    }
}

#[test]
fn control_characters_reach_no_terminal() {
    for format in [Format::Table, Format::Wide, Format::Name] {
        assert!(!render(&report(), format).unwrap().contains('\u{1b}'), "{format:?}");
    }
}

#[test]
fn csv_has_every_column_and_runs_no_formula() {
    let text = render(&report(), Format::Csv).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("resource,kms_key_arn,note"));
    assert!(lines.next().unwrap().contains("\"a,\"\"b\"\""), "{text}");
    assert_eq!(lines.next(), Some("'=1+1,,-5"));
    for (cell, expected) in [("@a", "'@a"), ("-1.5", "-1.5"), ("-a", "'-a"), ("\tx", "'\tx"), ("/a", "/a")] {
        assert_eq!(without_formula(cell), expected);
    }
}

#[test]
fn wide_shows_the_whole_value_and_names_are_alone() {
    let wide = render(&report(), Format::Wide).unwrap();
    assert!(wide.contains("KMS KEY ARN") && !wide.contains(" KEY  "), "{wide}");
    assert!(render(&report(), Format::Name).unwrap().starts_with("arn:aws:kms:"));
    assert_eq!(render(&report().one_name("job"), Format::Name).unwrap(), "job\n");
    let json: serde_json::Value = serde_json::from_str(&render(&report(), Format::Json).unwrap()).unwrap();
    assert_eq!(json, json!({ "items": [1] }));
    assert_eq!(render(&report(), Format::Yaml).unwrap().trim(), "items:\n- 1");
}
