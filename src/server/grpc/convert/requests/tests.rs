use super::*;
use crate::server::grpc::status::EdgeRefusal;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const GROUP_ARN: &str = "arn:aws:logs:eu-west-1:111122223333:log-group:/app/web";

fn request(target: Option<proto::associate_kms_key_request::Target>) -> proto::AssociateKmsKeyRequest {
    proto::AssociateKmsKeyRequest { target, kms_key_id: KEY.into(), ..Default::default() }
}

fn violations<T: std::fmt::Debug>(result: Result<T, InvalidField>) -> Vec<String> {
    let InvalidField::Fields(EdgeRefusal::Body { violations }) = result.unwrap_err() else {
        return Vec::new();
    };
    violations.into_iter().map(|(field, _)| field).collect()
}

#[test]
fn five_bad_fields_give_five_violations() {
    use proto::associate_kms_key_request::Target::LogGroupName;
    let wire = proto::AssociateKmsKeyRequest {
        account_id: "12".into(),
        region: "nowhere".into(),
        kms_key_id: "two words".into(),
        reason: "x".repeat(513),
        ..request(Some(LogGroupName("a b".into())))
    };
    assert_eq!(
        violations(associate(wire)),
        ["account_id", "region", "log_group_name", "kms_key_id", "reason"]
    );
}

#[test]
fn account_and_region_must_match_the_arn() {
    use proto::associate_kms_key_request::Target::ResourceIdentifier;
    let arn = || request(Some(ResourceIdentifier(GROUP_ARN.into())));
    let request = associate(arn()).unwrap();
    assert_eq!(request.resource.location.account.unwrap().as_str(), "111122223333");
    assert!(associate(proto::AssociateKmsKeyRequest { region: "eu-west-1".into(), ..arn() }).is_ok());
    let wire = proto::AssociateKmsKeyRequest {
        region: "us-east-1".into(),
        account_id: "444455556666".into(),
        ..arn()
    };
    assert_eq!(violations(associate(wire)), ["account_id", "region"]);
}

#[test]
fn a_target_is_required_and_its_partition_must_match_the_region() {
    use proto::associate_kms_key_request::Target::ResourceIdentifier;
    assert_eq!(violations(associate(request(None))), ["target"]);
    let china = "arn:aws:logs:cn-north-1:111122223333:query-result:*";
    let wire = request(Some(ResourceIdentifier(china.into())));
    assert_eq!(violations(associate(wire)), ["resource_identifier"]);
}

#[test]
fn page_sizes_are_bounded_and_negative_sizes_are_rejected() {
    let wire = |page_size| proto::ListKeyAssociationsRequest { page_size, ..Default::default() };
    assert_eq!(list(wire(0)).unwrap().page_size, 50);
    assert_eq!(list(wire(10_000)).unwrap().page_size, 500);
    assert_eq!(violations(list(wire(-1))), ["page_size"]);
}
