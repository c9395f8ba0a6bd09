//! Reloads of the settings while the service runs.

use std::collections::BTreeMap;

use logkey::sandbox::{
    fault::{Effect, Fault},
    seed::KeySeed,
};

use crate::harness::{ALL, GROUP, ORDERS, PAYMENTS, Plan, REGION, Service, key, reason, tenant};

const LIMITS: &str = "{ per_second = 100, burst = 100, max_in_flight = 10 }";

#[tokio::test]
async fn tenants_can_be_added_and_removed_without_a_restart() {
    let service = Service::start().await;
    let (payments, orders) = (service.caller("payments", ALL), service.caller("orders", ALL));
    orders.who_am_i().await.unwrap();

    service.reload(&tenant("payments", PAYMENTS, LIMITS)).await;
    payments.who_am_i().await.unwrap();
    assert_eq!(reason(&orders.who_am_i().await.unwrap_err()), "TOKEN_INVALID");

    service.reload(&(tenant("payments", PAYMENTS, LIMITS) + &tenant("orders", ORDERS, LIMITS))).await;
    orders.who_am_i().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_suspended_tenant_is_rejected_after_the_reload() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    caller.associate(GROUP, &key("good")).await.unwrap();
    let suspended = tenant("payments", PAYMENTS, LIMITS).replace("limits =", "suspended = true\nlimits =");
    service.reload(&suspended).await;
    assert_eq!(reason(&caller.associate(GROUP, &key("next")).await.unwrap_err()), "TENANT_SUSPENDED");
    assert_eq!(service.reached("AssociateKmsKey").len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn invalid_settings_keep_the_previous_snapshot() {
    let service = Service::start().await;
    service.reload("[[tenants]]\nid = \"Not An Id\"\n").await;
    service.caller("payments", ALL).who_am_i().await.unwrap();
    let events = service.events().await;
    let reload = events.iter().find(|event| event.action == "Reload").unwrap();
    assert_eq!(reload.outcome.as_deref(), Some("FIELD_INVALID"));
    service.stop().await;
}

#[tokio::test]
async fn changed_policies_apply_after_the_reload_and_invalid_ones_do_not() {
    let usual = tenant("payments", PAYMENTS, LIMITS) + &tenant("orders", ORDERS, LIMITS);
    let forbid = |tenant: &str| {
        format!("@id(\"{tenant}\") forbid (principal in LogKey::Tenant::\"{tenant}\", action, resource);")
    };
    let service = Plan::default().policies(&forbid("orders")).start().await;
    let file = service.settings().with_file_name("policies").join("operator.cedar");
    let (payments, orders) = (service.caller("payments", ALL), service.caller("orders", ALL));
    payments.who_am_i().await.unwrap();
    assert_eq!(reason(&orders.who_am_i().await.unwrap_err()), "NOT_ALLOWED");

    for policies in [forbid("payments"), "forbid (".to_owned()] {
        std::fs::write(&file, policies).unwrap();
        service.reload(&usual).await;
        assert_eq!(reason(&payments.who_am_i().await.unwrap_err()), "NOT_ALLOWED");
        orders.who_am_i().await.unwrap();
    }
    service.stop().await;
}

#[tokio::test]
async fn changed_tenant_limits_apply_after_the_reload() {
    let service = Service::start().await;
    let caller = service.caller("payments", ALL);
    for _ in 0..20 {
        caller.who_am_i().await.unwrap();
    }
    let low_limits = "{ per_second = 1, burst = 1, max_in_flight = 10 }";
    service.reload(&tenant("payments", PAYMENTS, low_limits)).await;
    let mut refused = 0;
    for _ in 0..20 {
        if let Err(status) = caller.who_am_i().await {
            assert_eq!(reason(&status), "TENANT_RATE_LIMITED");
            refused += 1;
        }
    }
    assert!(refused > 0);
    service.stop().await;
}

/// A call that began before the reload keeps the tenant and the policies of its snapshot until its end. Here
/// the reload happens while the service reads the key's tags, which a policy requires.
#[tokio::test]
async fn a_call_keeps_its_snapshot_during_a_reload() {
    let no_pci = r#"@id("no-pci") forbid (principal, action == LogKey::Action::"AssociateKmsKey", resource)
        when { context has key && context.key.hasTag("data-class") && context.key.getTag("data-class") == "pci" };"#;
    let tagged = KeySeed {
        id: "tagged".to_owned(),
        region: REGION.to_owned(),
        tags: BTreeMap::from([("data-class".to_owned(), "pci".to_owned())]),
        ..KeySeed::default()
    };
    let service = Plan::with_keys(vec![tagged]).policies(no_pci).start().await;
    let caller = service.caller("payments", ALL);
    let latency = Effect::Latency { ms: 2_000, jitter_ms: 0 };
    service.sandbox.sandbox().fault(Fault::on("ListResourceTags", latency).times(1));
    let call = tokio::spawn({
        let caller = caller.clone();
        async move { caller.associate(GROUP, &key("tagged")).await }
    });
    while service.reached("ListResourceTags").is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let file = service.settings().with_file_name("policies").join("operator.cedar");
    std::fs::write(file, "").unwrap();
    service.reload(&tenant("payments", PAYMENTS, LIMITS)).await;
    let refused = call.await.unwrap().unwrap_err();
    assert_eq!(reason(&refused), "NOT_ALLOWED", "{refused:?}");
    assert!(format!("{refused:?}").contains("no-pci"), "{refused:?}");
    assert_eq!(service.reached("AssociateKmsKey").len(), 0);
    // The next call uses the new snapshot.
    caller.associate(GROUP, &key("tagged")).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn changed_issuer_settings_apply_after_the_reload() {
    let service = Service::start().await;
    let (caller, tenants) = (
        service.caller("payments", ALL),
        tenant("payments", PAYMENTS, LIMITS) + &tenant("orders", ORDERS, LIMITS),
    );
    caller.who_am_i().await.unwrap();
    let head = service.settings().with_file_name("head.toml");
    let usual = std::fs::read_to_string(&head).unwrap();
    // The new settings also apply to a token that was accepted before.
    for (changed, expected) in [
        (usual.replace("audiences = [\"logkey\"]", "audiences = [\"another\"]"), Some("TOKEN_INVALID")),
        (usual.clone(), None),
        (usual.replace("audiences = ", "algorithms = [\"RS256\"]\naudiences = "), Some("TOKEN_INVALID")),
        (usual.replace("audiences = ", "max_lifetime = \"1m\"\naudiences = "), Some("TOKEN_INVALID")),
        (usual.clone(), None),
    ] {
        std::fs::write(&head, changed).unwrap();
        service.reload(&tenants).await;
        let answer = caller.who_am_i().await.map_err(|status| reason(&status));
        assert_eq!(answer.err().as_deref(), expected);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_changed_upstream_quota_applies_after_the_reload() {
    let service = Plan::default().settings("[limits.upstream]\ndescribe_per_second = 7\n").start().await;
    let caller = service.caller("payments", ALL);
    let quota = async || {
        caller.get(GROUP).await.unwrap();
        let view = reqwest::get(format!("http://{}/limits", service.admin)).await.unwrap();
        let view: serde_json::Value = serde_json::from_str(&view.text().await.unwrap()).unwrap();
        let quota_keys = view["quota_keys"].as_array().unwrap().iter();
        quota_keys
            .filter(|quota_key| quota_key["operation"] == "DescribeLogGroups")
            .map(|quota_key| quota_key["quota"].clone())
            .next()
    };
    assert_eq!(quota().await, Some(7.0.into()));
    let head = service.settings().with_file_name("head.toml");
    let text = std::fs::read_to_string(&head).unwrap();
    std::fs::write(&head, text.replace("describe_per_second = 7", "describe_per_second = 21")).unwrap();
    service.reload(&tenant("payments", PAYMENTS, LIMITS)).await;
    assert_eq!(quota().await, Some(21.0.into()));
    service.stop().await;
}
