use serde_json::json;

use super::{
    Column, Report, Table,
    args::Format,
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
        let is_stacked = text.lines().filter(|line| line.starts_with("JOB ")).count() == 2;
        assert_eq!(is_stacked, width < 83, "{width}:\n{text}");
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}:\n{text}");
        for word in ["PAUSE", "COMPLETED_WITH_FAILURES", "TENANT_SUSPENDED", "2026-01-31T08:00:00Z"] {
            assert!(text.contains(word), "{width}: {word}:\n{text}");
        }
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
