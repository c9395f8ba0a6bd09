//! Reading log groups and keys.

use logkey::{
    domain::key::KeyState,
    ports::aws::{Keys, LogGroups},
    sandbox::{
        fault::{Effect, Fault},
        seed::{KeySeed, LogGroupSeed},
    },
};

use super::*;

#[tokio::test]
async fn a_log_group_is_found_by_its_exact_name_only() {
    let env = TestEnv::new().await;
    let list = env.list();
    let find = async |name: &str| {
        let name = name.parse().unwrap();
        env.aws.find(list.access(), &name, soon()).await.result.unwrap()
    };
    assert_eq!(find(GROUP).await.unwrap().name.as_str(), GROUP);
    assert_eq!(find("/payments/api#2").await.unwrap().name.as_str(), "/payments/api#2");
    assert_eq!(find("/payments/ap").await, None);
    assert_eq!(find("/payments/api/x").await, None);
}

#[tokio::test]
async fn a_log_group_has_its_key_retention_and_class() {
    let group = LogGroupSeed {
        name: "/kept".to_owned(),
        region: REGION.to_owned(),
        key: Some("good".to_owned()),
        retention_days: Some(30),
        class: Some("INFREQUENT_ACCESS".to_owned()),
        ..LogGroupSeed::default()
    };
    let sandbox = Sandbox::builder()
        .without_quotas()
        .account(ACCOUNT, |account| populate(account).log_group_with(group));
    let env = TestEnv::of(sandbox, |config| config).await;
    let list = env.list();
    let found = env.aws.find(list.access(), &"/kept".parse().unwrap(), soon()).await.result.unwrap().unwrap();
    assert_eq!(found.key, Some(key_arn("good")));
    assert_eq!(found.retention, Some(Duration::from_hours(30 * 24)));
    assert_eq!(found.class.as_deref(), Some("INFREQUENT_ACCESS"));
    assert!(found.created.is_some());
    let bare = env.aws.find(list.access(), &GROUP.parse().unwrap(), soon()).await.result.unwrap().unwrap();
    assert_eq!((bare.key, bare.retention), (None, None));
}

#[tokio::test]
async fn pages_list_every_log_group_of_a_prefix_once_and_in_order() {
    let many = LogGroupSeed {
        name: "/many/{n}".to_owned(),
        region: REGION.to_owned(),
        count: Some(120),
        ..LogGroupSeed::default()
    };
    let sandbox = Sandbox::builder()
        .without_quotas()
        .account(ACCOUNT, |account| populate(account).log_group_with(many));
    let env = TestEnv::of(sandbox, |config| config).await;
    let list = env.list();
    let (mut names, mut token, mut pages) = (Vec::new(), None, 0);
    loop {
        let response = env.aws.page(list.access(), Some("/many/"), token.as_deref(), soon()).await;
        let page = response.result.unwrap();
        names.extend(page.groups.into_iter().map(|group| group.name));
        pages += 1;
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!((names.len(), pages), (120, 3));
    assert!(names.is_sorted());
    let all = env.aws.page(list.access(), None, None, soon()).await.result.unwrap();
    assert_eq!(all.groups.len(), 50);
}

#[tokio::test]
async fn a_key_is_found_by_every_form_of_its_name() {
    let named = KeySeed {
        id: "1234abcd-12ab-34cd-56ef-1234567890ab".to_owned(),
        region: REGION.to_owned(),
        aliases: vec!["alias/logs".to_owned()],
        ..KeySeed::default()
    };
    let sandbox =
        Sandbox::builder().without_quotas().account(ACCOUNT, |account| populate(account).key_with(named));
    let env = TestEnv::of(sandbox, |config| config).await;
    let list = env.list();
    let arn = key_arn("1234abcd-12ab-34cd-56ef-1234567890ab");
    for form in [
        arn.as_str(),
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "alias/logs",
        &format!("arn:aws:kms:{REGION}:{ACCOUNT}:alias/logs"),
    ] {
        let response = env.aws.describe(list.access(), &form.parse().unwrap(), soon()).await;
        let key = response.result.unwrap().unwrap();
        assert_eq!(key.arn, arn, "{form}");
        assert_eq!((key.symmetric, key.encrypts, key.customer_managed), (Some(true), Some(true), Some(true)));
        assert_eq!((key.state, key.deletion), (KeyState::Enabled, None));
    }
    let none = env.aws.describe(list.access(), &"alias/none".parse().unwrap(), soon()).await;
    assert_eq!(none.result.unwrap(), None);
}

#[tokio::test]
async fn a_read_of_a_key_is_retried_after_a_transient_kms_error() {
    let env = TestEnv::new().await;
    let list = env.list();
    env.running.sandbox().fault(Fault::on("DescribeKey", Effect::Throttle).times(2));
    let response = env.aws.describe(list.access(), &"good".parse().unwrap(), soon()).await;
    assert_eq!(response.result.unwrap().unwrap().arn, key_arn("good"));
    assert_eq!(response.via.aws_request_ids.len(), 3);
    env.running.sandbox().fault(Fault::on("DescribeKey", Effect::Throttle));
    let error = failure(env.aws.describe(list.access(), &"good".parse().unwrap(), soon()).await);
    assert!(matches!(error, UpstreamError::Throttled { .. }), "{error:?}");
}
