use serde_json::Value;

use super::*;
use crate::compliance::model::{Basis, Finding, Resource, Status};

const HOSTILE: &str = "</script><script>alert(1)</script><!--<script {{charts}} {{nonce}}";

fn report() -> ComplianceReport {
    let finding =
        Finding { message: HOSTILE.to_owned(), rule_name: HOSTILE.to_owned(), ..Finding::default() };
    let resource = Resource {
        account: "111122223333".to_owned(),
        region: "us-east-1".to_owned(),
        name: HOSTILE.to_owned(),
        arn: HOSTILE.to_owned(),
        status: Status::NoKey,
        key: String::new(),
        finding: Some(finding),
    };
    ComplianceReport {
        tenant: HOSTILE.to_owned(),
        basis: Basis::ExpectedKey(HOSTILE.to_owned()),
        time: jiff::Timestamp::UNIX_EPOCH,
        resources: vec![resource],
        locations: Vec::new(),
        history: Vec::new(),
    }
}

#[test]
fn a_name_cannot_end_the_element_that_holds_it() {
    let file = html(&report());
    assert!(!file.contains("alert(1)</script>"));
    let (_, rest) = file.split_once("<script id=\"data\"").unwrap();
    let (_, rest) = rest.split_once('>').unwrap();
    let (data, _) = rest.split_once("</script>").unwrap();
    assert!(!data.contains('<'));
    let document: Value = serde_json::from_str(data).unwrap();
    assert_eq!(document["resources"][0]["resource"], HOSTILE);
    assert_eq!(document["tenantId"], HOSTILE);
}

#[test]
fn each_report_permits_only_its_own_scripts() {
    let policy = |file: &str| {
        let (_, rest) = file.split_once("script-src 'nonce-").unwrap();
        rest.split_once('\'').unwrap().0.to_owned()
    };
    let (one, other) = (html(&report()), html(&report()));
    assert_ne!(policy(&one), policy(&other));
    assert_eq!(one.matches(&format!("nonce=\"{}\"", policy(&one))).count(), 3);
    assert!(one.contains("The MIT License (MIT)"), "the licence of the chart library is in the file");
    assert!(!one.contains("sourceMappingURL"), "developer tools fetch source maps");
}
