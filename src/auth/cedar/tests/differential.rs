//! Compares the decisions with those of Cedar's public `Authorizer`, which gets all policies of all tenants and
//! the same requests, built through the public API and checked against the schema.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::atomic::Ordering::SeqCst};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Effect, Entities, Entity, EntityUid, Policy, PolicyId,
    PolicySet, Request, RestrictedExpression as Expr, Schema,
};

use super::{
    super::{CedarPolicy, load},
    fixture::*,
};
use crate::domain::{
    arn::{KmsKeyArn, ResourceArn},
    association::Target,
    authorization::{AuthzRequest, FleetResource, LogScope, PreviousKey, ResourceScope},
    aws::Partition,
    call::Action,
    fleet_kind::FleetKind,
    key::KeyTags,
    tenant::TenantId,
};

const FOREIGN_KEY: &str = "arn:aws:kms:eu-west-1:999988887777:key/guarded";
const POLICIES: &str = r#"
    @id("break-glass") permit (principal == LogKey::Caller::"https://idp.test|oncall", action,
        resource in LogKey::Account::"111122223333") when { context.now < datetime("2026-11-23T12:00:00Z") };
    @id("shared-keys") permit (principal, action in LogKey::Action::"Change", resource is LogKey::LogGroup)
        when { context has key && context.key.hasTag("shared") };
    @id("no-audit-logs") forbid (principal, action in LogKey::Action::"Change", resource is LogKey::LogGroup)
        when { resource.name like "*/audit" };
    @id("only-pci") forbid (principal, action == LogKey::Action::"AssociateKmsKey", resource)
        unless { context has key && context.key.hasTag("data-class") && context.key.getTag("data-class") == "pci" };
    @id("no-downgrade") forbid (principal, action in LogKey::Action::"Change", resource)
        when { context has previous && context.previous.account == "999988887777" };
    @id("weekend") forbid (principal, action in LogKey::Action::"Change", resource)
        when { ["Saturday", "Sunday"].contains(context.weekday) };
    @id("night") forbid (principal, action, resource) when { context.hour < 6 && !(principal.scopes.contains("night")) };
    @id("inside") forbid (principal, action in LogKey::Action::"Audit", resource)
        unless { context has source && context.source.isInRange(ip("10.0.0.0/8")) };
    @id("risk-only") forbid (principal, action == LogKey::Action::"GetKeyUsage", resource)
        unless { principal.hasTag("org.department") && principal.getTag("org.department").contains("risk") };
    @id("other-account") forbid (principal, action, resource)
        when { context has key && !(context.key in LogKey::Account::"111122223333") };
    @id("broken-forbid") forbid (principal == LogKey::Caller::"https://idp.test|mallory", action, resource)
        when { 9223372036854775807 + context.hour > 0 };
    @id("broken-permit") permit (principal in LogKey::Tenant::"search", action, resource)
        when { 9223372036854775807 + context.hour > 0 };
"#;

/// The public authorizer with the policies of a fixture.
struct Reference {
    schema: Schema,
    all: PolicySet,
    permits: PolicySet,
    authorizer: Authorizer,
}

impl Reference {
    fn new(fixture: &Fixture) -> Self {
        let operators = fixture.policy.operator_policies().map(|(id, text)| (id.to_owned(), text));
        let tenants = fixture.tenants.iter().flat_map(|tenant| {
            [CedarPolicy::grants_of(tenant), CedarPolicy::global_policies(tenant)].into_iter().flatten()
        });
        let policies: Vec<Policy> = operators
            .chain(tenants.map(|policy| (policy.id, policy.text)))
            .map(|(id, text)| Policy::parse(Some(PolicyId::new(id)), text).unwrap())
            .collect();
        let permits = policies.iter().filter(|policy| policy.effect() == Effect::Permit).cloned();
        Self {
            schema: load::schema().unwrap(),
            permits: PolicySet::from_policies(permits).unwrap(),
            all: PolicySet::from_policies(policies).unwrap(),
            authorizer: Authorizer::new(),
        }
    }

    /// The decision in the form of [`Fixture::decide`].
    fn decide(&self, question: &AuthzRequest<'_>, now: i64) -> String {
        let Some((request, entities)) = self.request(question, now) else { return "undecided ".into() };
        let response = self.authorizer.is_authorized(&request, &self.all, &entities);
        let failed = response.diagnostics().errors().map(|error| {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            error.policy_id().to_string()
        });
        let failed = sorted(failed);
        let reason = sorted(response.diagnostics().reason().map(ToString::to_string));
        let permitted = || {
            let response = self.authorizer.is_authorized(&request, &self.permits, &entities);
            response.decision() == Decision::Allow
        };
        match response.decision() {
            _ if !failed.is_empty() => format!("undecided {failed}"),
            Decision::Allow => format!("allow {reason}"),
            Decision::Deny if permitted() => format!("forbid {reason}"),
            Decision::Deny => "not permitted".into(),
        }
    }

    /// None if the schema, or the rule that only an association has a key, forbids the request.
    fn request(&self, question: &AuthzRequest<'_>, now: i64) -> Option<(Request, Entities)> {
        let has_key = question.key.is_some();
        if (question.action == Action::AssociateKmsKey && !has_key)
            || (question.action == Action::DisassociateKmsKey && has_key)
        {
            return None;
        }
        let (principal, action) = (principal(question), uid("Action", question.action.as_str()));
        let resource = resource(question);
        let mut context = moment(now);
        let mut entities = Vec::new();
        if let Some(key) = question.key {
            let key = key_entity(key, question);
            context.insert("key".into(), Expr::new_entity_uid(key.uid()));
            entities.push(key);
        }
        if let PreviousKey::Key(key) = &question.facts.previous_key {
            context.insert("previous".into(), Expr::new_record(key_attributes(key)).unwrap());
        }
        if let Some(source) = question.call.source {
            context.insert("source".into(), Expr::new_ip(source.to_canonical().to_string()));
        }
        let context = Context::from_pairs(context).unwrap();
        let request =
            Request::new(principal.uid(), action, resource.uid(), context, Some(&self.schema)).ok()?;
        entities.extend([principal, resource]);
        Some((request, Entities::from_entities(entities, Some(&self.schema)).unwrap()))
    }
}

fn moment(now: i64) -> BTreeMap<String, Expr> {
    let now = jiff::Timestamp::from_second(now).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    BTreeMap::from([
        ("now".into(), Expr::new_datetime(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())),
        ("hour".into(), Expr::new_long(now.hour().into())),
        ("weekday".into(), Expr::new_string(now.strftime("%A").to_string())),
    ])
}

fn principal(question: &AuthzRequest<'_>) -> Entity {
    let principal = question.principal;
    let strings = |texts: Vec<&str>| Expr::new_set(texts.into_iter().map(string));
    let attributes = [
        ("subject".into(), string(&principal.subject)),
        ("issuer".into(), string(&principal.issuer)),
        ("tenant".into(), string(principal.tenant.as_str())),
        ("scopes".into(), strings(principal.scopes.iter().collect())),
    ];
    let tags = principal.claims.iter();
    let tags = tags.map(|(path, texts)| (path.into(), strings(texts.iter().map(|text| &**text).collect())));
    let id = uid("Caller", &format!("{}|{}", principal.issuer, principal.subject));
    Entity::new_with_tags(id, attributes, [uid("Tenant", principal.tenant.as_str())], tags).unwrap()
}

fn resource(question: &AuthzRequest<'_>) -> Entity {
    let (id, attributes, parent) = match question.about {
        ResourceScope::Aws { location, target, .. } => {
            let mut attributes = vec![
                ("account".into(), string(location.account.as_str())),
                ("region".into(), string(location.region.as_str())),
            ];
            let arn = target.map(|target| {
                let region = location.region.clone();
                let partition = Partition::of(&region);
                ResourceArn { partition, region, account: location.account, target: target.clone() }
                    .to_string()
            });
            let id = match (target, arn) {
                (Some(Target::LogGroup(name)), Some(arn)) => {
                    attributes.push(("name".into(), string(name.as_str())));
                    uid("LogGroup", &arn)
                }
                (Some(Target::QueryResults), Some(arn)) => uid("QueryResults", &arn),
                _ => uid("Place", &format!("{}/{}", location.account, location.region)),
            };
            (id, attributes, Some(uid("Account", location.account.as_str())))
        }
        ResourceScope::AuditLog(LogScope::Own) => {
            let id = question.tenant.id.as_str();
            (uid("AuditLog", id), vec![("tenant".into(), string(id))], Some(uid("Tenant", id)))
        }
        ResourceScope::AuditLog(LogScope::All) => (uid("AuditLog", "*"), Vec::new(), None),
        ResourceScope::Tenant => (uid("Tenant", question.tenant.id.as_str()), Vec::new(), None),
        ResourceScope::Account(grant) => {
            let account = grant.account.as_str();
            (uid("Account", account), vec![("account".into(), string(account))], None)
        }
        ResourceScope::Fleet(FleetResource { kind, owner, id }) => {
            let of_kind = match kind {
                FleetKind::BulkJob => "BulkJob",
                FleetKind::EncryptionRule => "EncryptionRule",
                FleetKind::Coverage => "Coverage",
            };
            let tenant = owner.map_or("*", TenantId::as_str);
            let id = if id.is_empty() { tenant } else { id };
            let parent = owner.map(|owner| uid("Tenant", owner.as_str()));
            (uid(of_kind, id), vec![("tenant".into(), string(tenant))], parent)
        }
    };
    Entity::new_with_tags(id, attributes, parent, []).unwrap()
}

fn key_entity(key: &KmsKeyArn, question: &AuthzRequest<'_>) -> Entity {
    let tags = question.facts.key_tags.iter().flat_map(KeyTags::iter);
    let tags = tags.map(|(tag, value)| (tag.to_owned(), string(value)));
    let account = uid("Account", key.account().as_str());
    Entity::new_with_tags(uid("Key", key.as_str()), key_attributes(key), [account], tags).unwrap()
}

fn key_attributes(key: &KmsKeyArn) -> [(String, Expr); 3] {
    [
        ("arn".into(), string(key.as_str())),
        ("account".into(), string(key.account().as_str())),
        ("region".into(), string(key.region().as_str())),
    ]
}

fn uid(of: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(format!("LogKey::{of}").parse().unwrap(), id.parse().unwrap())
}

fn string(text: &str) -> Expr {
    Expr::new_string(text.to_owned())
}

fn sorted(ids: impl Iterator<Item = String>) -> String {
    let mut ids: Vec<String> = ids.collect();
    ids.sort_unstable();
    ids.join(" ")
}

/// Callers and circumstances, each to be combined with every action and resource.
fn circumstances() -> Vec<(Case, i64)> {
    let known = Case { tags: Some(&[("data-class", "pci")]), previous: Some(""), ..ASSOCIATE };
    let keyless = Case { key: None, ..known.clone() };
    let search = Case { tenant: "search", account: "444455556666", ..known.clone() };
    vec![
        (known.clone(), MONDAY),
        (keyless.clone(), MONDAY),
        (keyless.clone(), MONDAY - 24 * 3600),
        (Case { key: None, ..ASSOCIATE }, MONDAY - 10 * 3600),
        (Case { scopes: "night logkey:admin", ..keyless.clone() }, MONDAY - 9 * 3600),
        (Case { scopes: "logkey:admin", source: None, ..keyless.clone() }, MONDAY),
        (Case { scopes: "logkey:admin", source: Some("::ffff:10.1.2.3"), ..keyless.clone() }, MONDAY),
        (Case { source: Some("2001:db8::1"), ..keyless.clone() }, MONDAY),
        (Case { claims: &[("org.department", "risk"), ("x", "y")], ..keyless.clone() }, MONDAY),
        (Case { previous: Some(FOREIGN_KEY), ..keyless.clone() }, MONDAY),
        (Case { previous: Some(KEY), ..known.clone() }, MONDAY),
        (Case { key: Some(FOREIGN_KEY), tags: Some(&[("shared", "")]), ..known.clone() }, MONDAY),
        (Case { tags: Some(&[("data-class", "pci"), ("shared", "yes")]), ..known.clone() }, MONDAY),
        (Case { tags: Some(&[]), ..known.clone() }, MONDAY),
        (Case { region: "eu-west-2", ..keyless.clone() }, MONDAY),
        (Case { account: "777788889999", ..keyless.clone() }, MONDAY),
        (Case { account: "444455556666", ..keyless.clone() }, MONDAY),
        (Case { subject: "oncall", ..keyless.clone() }, MONDAY),
        (Case { subject: "oncall", ..known.clone() }, MONDAY + 3 * 3600),
        (Case { subject: "mallory", ..keyless.clone() }, MONDAY),
        (Case { subject: "mallory", scopes: "night", ..known.clone() }, MONDAY - 10 * 3600),
        (search.clone(), MONDAY),
        (Case { key: None, scopes: "night", ..search }, MONDAY - 10 * 3600),
        (ASSOCIATE, MONDAY),
        (Case { key: None, ..ASSOCIATE }, MONDAY),
    ]
}

#[test]
fn the_engine_and_the_public_authorizer_decide_alike() {
    let targets = [
        Some("/payments/api"),
        Some("/shared/audit"),
        Some("/search/api"),
        Some("*"),
        None,
        Some("audit"),
        Some("audit *"),
        Some("tenant"),
        Some("account"),
    ];
    for operators in ["", POLICIES] {
        let fixture = Fixture::new(operators);
        let reference = Reference::new(&fixture);
        let mut outcomes = BTreeMap::<String, usize>::new();
        for (base, now) in circumstances() {
            fixture.clock.0.store(now, SeqCst);
            for action in Action::ALL.into_iter().filter(|action| *action != Action::Unknown) {
                for target in targets {
                    let case = Case { action, target, ..base.clone() };
                    // The public authorizer cannot know that a fact is missing.
                    if fixture.required_facts(&case) != " / " {
                        assert!(fixture.decide(&case).starts_with("undecided "));
                        *outcomes.entry("facts".into()).or_default() += 1;
                        continue;
                    }
                    let expected = fixture.with_request(&case, |_, question| reference.decide(question, now));
                    let what = format!("{action} {target:?} {:?} by {} at {now}", case.key, case.subject);
                    assert_eq!(fixture.decide(&case), expected, "{what}");
                    *outcomes.entry(expected).or_default() += 1;
                }
            }
        }
        let decided = |start: &str| -> usize {
            outcomes.iter().filter(|(text, _)| text.starts_with(start)).map(|(_, count)| count).sum()
        };
        assert!(decided("allow ") > 100 && decided("not permitted") > 100, "{outcomes:#?}");
        if operators == POLICIES {
            assert!(decided("forbid ") > 50 && decided("facts") > 2, "{outcomes:#?}");
            let each = POLICIES.split("@id(\"").skip(1).filter_map(|policy| policy.split('"').next());
            for id in each {
                let names = |outcome: &str| outcome.split(' ').any(|word| word == id);
                assert!(outcomes.keys().any(|outcome| names(outcome)), "{id} decides nothing: {outcomes:#?}");
            }
        }
    }
}

#[test]
fn only_the_engine_uses_the_internal_api_of_cedar() {
    let src = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let engine = src.join("auth/cedar/engine");
    let mut folders = vec![src];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.starts_with(&engine)
            {
                let uses = fs::read_to_string(&path).unwrap().contains("cedar_policy_core::");
                assert!(!uses || path.ends_with("tests/differential.rs"), "{}", path.display());
            }
        }
    }
}
