use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ID: &str = "31f697cc-89ea-4be9-af95-27b312d65648";
const REQUEST_ID: &str = "62e8744e-0e07-4328-8928-49a789eba36e";

/// A call of `CloudWatch` Logs as `EventBridge` delivers it, with the members of AWS's documentation.
fn event(name: &str, params: &Value) -> Value {
    json!({
        "version": "0",
        "id": "36eb8523-97d0-4518-b33d-ee3579ff19f0",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.logs",
        "account": "123456789012",
        "time": "2026-01-24T21:14:35Z",
        "region": "us-east-1",
        "resources": [],
        "detail": {
            "eventVersion": "1.09",
            "userIdentity": {
                "type": "AssumedRole",
                "principalId": "AROAIDPPEZS35WEXAMPLE:AssumedRoleSessionName",
                "arn": "arn:aws:sts::123456789012:assumed-role/RoleToBeAssumed/MySessionName",
                "accountId": "123456789012",
                "accessKeyId": "ASIAIOSFODNN7EXAMPLE",
                "sessionContext": {
                    "sessionIssuer": {
                        "type": "Role",
                        "principalId": "AROAIDPPEZS35WEXAMPLE",
                        "arn": "arn:aws:iam::123456789012:role/RoleToBeAssumed",
                        "accountId": "123456789012",
                        "userName": "RoleToBeAssumed"
                    },
                    "attributes": { "mfaAuthenticated": "false", "creationDate": "20131102T010628Z" },
                    "sourceIdentity": "alice"
                }
            },
            "eventTime": "2026-01-24T21:14:35Z",
            "eventSource": "logs.amazonaws.com",
            "eventName": name,
            "awsRegion": "us-east-1",
            "sourceIPAddress": "192.0.2.7",
            "userAgent": "aws-cli/2.13.5",
            "requestParameters": params,
            "responseElements": null,
            "requestID": REQUEST_ID,
            "eventID": ID,
            "readOnly": false,
            "eventType": "AwsApiCall",
            "apiVersion": "20140328",
            "managementEvent": true,
            "recipientAccountId": "123456789012",
            "eventCategory": "Management",
            "tlsDetails": { "tlsVersion": "TLSv1.3" }
        }
    })
}

fn created() -> Value {
    event("CreateLogGroup", &json!({ "logGroupName": "/app/web" }))
}

fn read(event: &Value) -> Result<GroupEvent, UnreadableEvent> {
    GroupEvent::read(&event.to_string())
}

fn change(event: &Value) -> LogGroupChange {
    match read(event) {
        Ok(GroupEvent::Change(change)) => *change,
        other => panic!("{other:?} from {event:#}"),
    }
}

/// The event with `value` at a path, or without the member there.
fn with(mut event: Value, path: &str, value: Option<Value>) -> Value {
    let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
    let members = parents.split('/').filter(|it| !it.is_empty()).fold(&mut event, |it, name| &mut it[name]);
    match value {
        Some(value) => members[name] = value,
        None => drop(members.as_object_mut().unwrap().remove(name)),
    }
    event
}

fn notification(event: &Value) -> Value {
    json!({
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:us-west-2:123456789012:MyTopic",
        "Message": event.to_string(),
        "Timestamp": "2026-01-24T21:14:36.000Z",
        "SignatureVersion": "1",
        "Signature": "c6lrgbbKd54L5L42F8G5fWGBMiTSRYre3Vih6cqdMVSo8sxamHe5VsT",
        "SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem",
        "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe"
    })
}

#[test]
fn a_new_log_group_is_a_change_with_its_actor() {
    let text = |text: &str| Some(Box::from(text));
    let expected = LogGroupChange {
        event_id: ID.into(),
        request_id: text(REQUEST_ID),
        time: Timestamp::from_secs(1_769_289_275),
        resource: Resource {
            location: Location {
                account: "123456789012".parse().unwrap(),
                region: "us-east-1".parse().unwrap(),
            },
            target: Target::LogGroup("/app/web".parse().unwrap()),
        },
        kind: ChangeKind::Created { key: None },
        actor: Actor {
            identity_type: text("AssumedRole"),
            arn: text("arn:aws:sts::123456789012:assumed-role/RoleToBeAssumed/MySessionName"),
            principal_id: text("AROAIDPPEZS35WEXAMPLE:AssumedRoleSessionName"),
            role_arn: text("arn:aws:iam::123456789012:role/RoleToBeAssumed"),
            source_identity: text("alice"),
            invoked_by: None,
            source: text("192.0.2.7"),
        },
    };
    assert_eq!(change(&created()), expected);
    assert_eq!(change(&notification(&created())), expected, "SNS without raw message delivery");
    let forwarded = with(created(), "replay-name", Some("archive".into()));
    assert_eq!(change(&forwarded), expected, "from an archive of EventBridge");
}

#[test]
fn each_form_of_the_three_calls_is_read() {
    let group = "arn:aws:logs:us-east-1:123456789012:log-group:/app/web";
    let queries = "arn:aws:logs:us-east-1:123456789012:query-result:*";
    let (key, name) = (KEY.parse::<KmsKeyId>().unwrap(), Target::LogGroup("/app/web".parse().unwrap()));
    let associated = || ChangeKind::KeyAssociated { key: key.clone() };
    let tags = json!({ "team": "payments" });
    for (call, params, target, kind) in [
        (
            "CreateLogGroup",
            json!({ "logGroupName": "/app/web", "kmsKeyId": KEY, "tags": tags, "logGroupClass": "STANDARD" }),
            &name,
            ChangeKind::Created { key: Some(key.clone()) },
        ),
        ("AssociateKmsKey", json!({ "logGroupName": "/app/web", "kmsKeyId": KEY }), &name, associated()),
        ("AssociateKmsKey", json!({ "resourceIdentifier": group, "kmsKeyId": KEY }), &name, associated()),
        (
            "AssociateKmsKey",
            json!({ "resourceIdentifier": format!("{group}:*"), "kmsKeyId": KEY }),
            &name,
            associated(),
        ),
        (
            "AssociateKmsKey",
            json!({ "resourceIdentifier": queries, "kmsKeyId": KEY }),
            &Target::QueryResults,
            associated(),
        ),
        ("DisassociateKmsKey", json!({ "logGroupName": "/app/web" }), &name, ChangeKind::KeyDisassociated),
        (
            "DisassociateKmsKey",
            json!({ "logGroupName": null, "resourceIdentifier": queries }),
            &Target::QueryResults,
            ChangeKind::KeyDisassociated,
        ),
    ] {
        let read = change(&event(call, &params));
        assert_eq!((&read.resource.target, read.kind), (target, kind), "{call} {params}");
    }
}

#[test]
fn every_kind_of_identity_has_a_name() {
    for (identity, name) in [
        (
            json!({ "type": "Root", "principalId": "123456789012", "arn": "arn:aws:iam::123456789012:root" }),
            "arn:aws:iam::123456789012:root",
        ),
        (
            json!({ "type": "IAMUser", "principalId": "AIDAJ45Q7YFFAREXAMPLE", "arn": "arn:aws:iam::123456789012:user/Alice", "userName": "Alice" }),
            "arn:aws:iam::123456789012:user/Alice",
        ),
        (json!({ "type": "AWSService", "invokedBy": "rds.amazonaws.com" }), "rds.amazonaws.com"),
        (
            json!({ "type": "AWSAccount", "principalId": "AIDAJ45Q7YFFAREXAMPLE", "accountId": "444455556666" }),
            "AIDAJ45Q7YFFAREXAMPLE",
        ),
        (json!({ "type": "SAMLUser", "principalId": "SAMPLE:Bob", "userName": "Bob" }), "SAMPLE:Bob"),
        (
            json!({ "type": "IdentityCenterUser", "accountId": "123456789012", "onBehalfOf": {} }),
            "IdentityCenterUser",
        ),
        (json!({ "accountId": "123456789012", "invokedBy": "AWS Internal" }), "AWS Internal"),
        (json!({}), "an unknown principal"),
        (json!(null), "an unknown principal"),
        (json!("root"), "an unknown principal"),
    ] {
        let read = change(&with(created(), "detail/userIdentity", Some(identity.clone())));
        assert_eq!(read.actor.name(), name, "{identity}");
    }
    let read = change(&with(created(), "detail/userIdentity", None));
    assert_eq!(read.actor.source.as_deref(), Some("192.0.2.7"));
}

#[test]
fn texts_about_the_actor_are_bounded_and_printable() {
    let long = format!("\u{1b}[31m{}", "x".repeat(5_000));
    let read = change(&with(created(), "detail/userIdentity/arn", Some(long.into())));
    let name = read.actor.name();
    assert!(name.starts_with('\u{fffd}') && name.chars().count() == 512, "{name}");
}

#[test]
fn a_failed_call_is_not_a_change() {
    let failed = with(created(), "detail/errorCode", Some("ResourceAlreadyExistsException".into()));
    let GroupEvent::Irrelevant(reason) = read(&failed).unwrap() else { panic!("{failed}") };
    assert_eq!(reason.to_string(), "the call CreateLogGroup failed with ResourceAlreadyExistsException");
    // A refused call can lack its parameters.
    let bare = with(failed, "detail/requestParameters", Some(Value::Null));
    assert!(matches!(read(&bare), Ok(GroupEvent::Irrelevant(Irrelevance::Failed { .. }))));
    let succeeded = with(created(), "detail/errorCode", Some(Value::Null));
    assert_eq!(&*change(&succeeded).event_id, ID);
}

#[test]
fn other_events_are_irrelevant() {
    let service = with(created(), "detail-type", Some("AWS Service Event via CloudTrail".into()));
    let export =
        json!({ "destination": "yourdestination", "logGroupName": "yourloggroup", "to": 1, "from": 0 });
    let instance = json!({
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": "EC2 Instance State-change Notification",
        "source": "aws.ec2",
        "account": "111122223333",
        "time": "2017-12-22T18:43:48Z",
        "region": "us-west-1",
        "resources": ["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"],
        "detail": { "instance-id": "i-1234567890abcdef0", "state": "terminated" }
    });
    for other in [
        service,
        instance,
        event("CreateExportTask", &export),
        event("DeleteLogGroup", &json!({ "logGroupName": "/app/web" })),
        event("createloggroup", &json!({ "logGroupName": "/app/web" })),
        with(created(), "detail/eventSource", Some("kms.amazonaws.com".into())),
        with(created(), "detail/eventSource", Some("logs.amazonaws.com.example".into())),
        with(created(), "source", Some("com.example".into())),
    ] {
        let read = read(&other).unwrap();
        assert!(matches!(read, GroupEvent::Irrelevant(Irrelevance::OtherEvent { .. })), "{other:#}");
    }
}

#[test]
fn a_missing_or_mistyped_member_is_named_in_the_reason() {
    let associated = event("AssociateKmsKey", &json!({ "logGroupName": "/app/web", "kmsKeyId": KEY }));
    assert!(matches!(read(&associated), Ok(GroupEvent::Change(_))));
    for path in [
        "detail-type",
        "source",
        "account",
        "region",
        "detail/eventSource",
        "detail/eventName",
        "detail/eventTime",
        "detail/eventID",
        "detail/requestParameters/logGroupName",
        "detail/requestParameters/kmsKeyId",
    ] {
        let member = path.replace('/', ".");
        for absent in [None, Some(Value::Null)] {
            let reason = read(&with(associated.clone(), path, absent)).unwrap_err();
            assert!(reason.to_string().starts_with(&format!("{member} is missing")), "{path}: {reason}");
        }
        for value in [json!(7), json!(true), json!(["x"]), json!({ "x": "y" })] {
            let reason = read(&with(associated.clone(), path, Some(value))).unwrap_err();
            assert_eq!(reason.to_string(), format!("{member} is not a string"));
        }
    }
    for path in ["detail", "detail/requestParameters"] {
        for value in [None, Some(json!(null))] {
            let reason = read(&with(associated.clone(), path, value)).unwrap_err();
            assert!(matches!(reason, UnreadableEvent::Missing { .. }), "{path}: {reason}");
        }
        for value in [json!("text"), json!([]), json!(1)] {
            let reason = read(&with(associated.clone(), path, Some(value))).unwrap_err();
            assert!(matches!(reason, UnreadableEvent::Type { .. }), "{path}: {reason}");
        }
    }
}

#[test]
fn an_invalid_value_is_unreadable() {
    let identifier =
        |text: &str| event("AssociateKmsKey", &json!({ "resourceIdentifier": text, "kmsKeyId": KEY }));
    for (event, part) in [
        (with(created(), "account", Some("12345".into())), "account is not an AWS account id"),
        (with(created(), "region", Some("Virginia".into())), "region is not an AWS Region"),
        (with(created(), "detail/eventTime", Some("yesterday".into())), "detail.eventTime is not a time"),
        (with(created(), "detail/eventID", Some("".into())), "detail.eventID is not 1 to 64"),
        (with(created(), "detail/eventID", Some("a b".into())), "detail.eventID is not 1 to 64"),
        (
            with(created(), "detail/requestParameters/logGroupName", Some("a b".into())),
            "logGroupName contains",
        ),
        (
            with(created(), "detail/requestParameters/logGroupName", Some("".into())),
            "logGroupName is required",
        ),
        (with(created(), "detail/requestParameters/kmsKeyId", Some("a:b".into())), "kmsKeyId does not name"),
        (identifier("arn:aws:s3:::bucket"), "resourceIdentifier is malformed"),
        (
            identifier("arn:aws:logs:us-east-1:444455556666:log-group:/app/web"),
            "but the location of the event is 123456789012 in us-east-1",
        ),
        (
            with(created(), "detail/recipientAccountId", Some("444455556666".into())),
            "detail.recipientAccountId is 444455556666, but account is 123456789012",
        ),
        (
            with(created(), "detail/awsRegion", Some("eu-west-1".into())),
            "detail.awsRegion is eu-west-1, but region is us-east-1",
        ),
    ] {
        let reason = read(&event).unwrap_err().to_string();
        assert!(reason.contains(part), "{part} in {reason}");
    }
}

#[test]
fn a_body_that_is_no_event_is_unreadable() {
    let subscription = with(notification(&created()), "Type", Some("SubscriptionConfirmation".into()));
    let nested = notification(&notification(&created()));
    let (deep, huge) = ("[".repeat(200_000), " ".repeat((1 << 20) + 1));
    for (body, part) in [
        (String::new(), "the body has 0 bytes"),
        (huge, "the body has 1048577 bytes; expected 1 to 1048576"),
        (deep, "not a JSON object (recursion limit"),
        ("not json".to_owned(), "not a JSON object (expected"),
        ("\"text\"".to_owned(), "not a JSON object (it is a string)"),
        ("[]".to_owned(), "not a JSON object (it is an array)"),
        ("{}".to_owned(), "detail-type is missing"),
        (created()["detail"].to_string(), "detail-type is missing"),
        (format!("{} {}", created(), created()), "not a JSON object (trailing"),
        (subscription.to_string(), "SubscriptionConfirmation of the SNS topic arn:aws:sns:us-west-2"),
        (nested.to_string(), "detail-type is missing"),
        (with(notification(&created()), "Message", Some(json!({}))).to_string(), "Message is not a string"),
        (
            with(notification(&created()), "Type", Some("Other".into())).to_string(),
            "Type is not Notification",
        ),
    ] {
        let reason = GroupEvent::read(&body).unwrap_err().to_string();
        assert!(reason.contains(part), "{part} in {reason}");
    }
}

proptest! {
    #[test]
    fn a_change_says_what_its_event_says(
        name in "[a-zA-Z0-9._/#-]{1,40}",
        account in "[0-9]{12}",
        region in "(eu|us|ap)-(west|south)-[1-9]",
    ) {
        let event = event("CreateLogGroup", &json!({ "logGroupName": name }));
        let event = with(event, "account", Some(account.clone().into()));
        let event = with(event, "detail/recipientAccountId", Some(account.clone().into()));
        let event = with(event, "region", Some(region.clone().into()));
        let event = with(event, "detail/awsRegion", Some(region.clone().into()));
        let Resource { location, target } = change(&event).resource;
        prop_assert_eq!(location.account.as_str(), account);
        prop_assert_eq!(location.region.as_str(), region);
        prop_assert_eq!(target, Target::LogGroup(name.parse().unwrap()));
    }

    #[test]
    fn no_body_is_a_panic(body in ".{0,400}") {
        drop(GroupEvent::read(&body));
    }

    #[test]
    fn a_damaged_event_is_the_same_change_or_has_a_printable_reason(
        at in any::<prop::sample::Index>(),
        removed in 0_usize..40,
        inserted in "[\\x00-\\x7f]{0,8}",
    ) {
        let text = created().to_string();
        let at = at.index(text.len());
        let (front, rest) = text.split_at(at);
        let damaged = format!("{front}{inserted}{}", rest.get(removed..).unwrap_or_default());
        match GroupEvent::read(&damaged) {
            Ok(GroupEvent::Change(change)) => prop_assert_eq!(change.kind, ChangeKind::Created { key: None }),
            Ok(GroupEvent::Irrelevant(reason)) => prop_assert!(!reason.to_string().contains(char::is_control)),
            Err(reason) => prop_assert!(!reason.to_string().contains(char::is_control), "{reason}"),
        }
    }
}
