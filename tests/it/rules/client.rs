//! A client of `EncryptionRuleService`.

use std::time::Duration;

use logkey::proto::{
    CreateEncryptionRuleRequest, DeleteEncryptionRuleRequest, EncryptionRule, EvaluateEncryptionRuleRequest,
    EvaluateEncryptionRuleResponse, GetEncryptionRuleRequest, KeyChoice, ListEncryptionRulesRequest,
    RuleMode, Selection, UpdateEncryptionRuleRequest,
    encryption_rule_service_client::EncryptionRuleServiceClient,
};
use tonic::{Status, transport::Channel};

use crate::harness::{Caller, Service};

/// The longest wait for an evaluation.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A caller of encryption rules.
#[derive(Clone)]
pub(crate) struct RuleCaller(Caller);

/// A rule for these patterns.
pub(crate) fn rule(mode: RuleMode, patterns: &[&str], key: &str) -> EncryptionRule {
    EncryptionRule {
        selection: Some(Selection {
            log_group_patterns: patterns.iter().map(|it| (*it).to_owned()).collect(),
            ..Selection::default()
        }),
        key: Some(KeyChoice { kms_key_id: key.into(), overrides: Vec::new() }),
        mode: mode.into(),
        ..EncryptionRule::default()
    }
}

impl RuleCaller {
    pub(crate) fn new(service: &Service, tenant: &str, scopes: &str) -> Self {
        Self(service.caller(tenant, scopes))
    }

    fn client(&self) -> EncryptionRuleServiceClient<Channel> {
        EncryptionRuleServiceClient::new(self.0.channel())
    }

    pub(crate) async fn send(&self, request: CreateEncryptionRuleRequest) -> Result<EncryptionRule, Status> {
        let created = self.client().create_encryption_rule(self.0.request(request)).await?;
        Ok(created.into_inner().encryption_rule.unwrap())
    }

    pub(crate) async fn create(&self, rule: EncryptionRule) -> Result<EncryptionRule, Status> {
        let request = CreateEncryptionRuleRequest { encryption_rule: Some(rule), request_id: String::new() };
        self.send(request).await
    }

    pub(crate) async fn get(&self, id: &str) -> Result<EncryptionRule, Status> {
        self.get_of(id, "").await
    }

    pub(crate) async fn get_of(&self, id: &str, tenant: &str) -> Result<EncryptionRule, Status> {
        let request = GetEncryptionRuleRequest { id: id.into(), tenant_id: tenant.into() };
        let found = self.client().get_encryption_rule(self.0.request(request)).await?;
        Ok(found.into_inner().encryption_rule.unwrap())
    }

    /// The ids of all rules, in pages of this size.
    pub(crate) async fn list(&self, tenant: &str, page_size: i32) -> Result<Vec<String>, Status> {
        let (mut ids, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListEncryptionRulesRequest {
                page_size,
                page_token,
                tenant_id: tenant.into(),
                ..Default::default()
            };
            let page = self.client().list_encryption_rules(self.0.request(request)).await?.into_inner();
            ids.extend(page.encryption_rules.into_iter().map(|rule| rule.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(ids);
            }
        }
    }

    pub(crate) async fn update(
        &self,
        rule: EncryptionRule,
        paths: &[&str],
    ) -> Result<EncryptionRule, Status> {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateEncryptionRuleRequest {
            encryption_rule: Some(rule),
            update_mask: (!paths.is_empty()).then_some(prost_types::FieldMask { paths }),
        };
        let updated = self.client().update_encryption_rule(self.0.request(request)).await?;
        Ok(updated.into_inner().encryption_rule.unwrap())
    }

    pub(crate) async fn delete(&self, id: &str, etag: &str) -> Result<(), Status> {
        let request = DeleteEncryptionRuleRequest { id: id.into(), etag: etag.into() };
        self.client().delete_encryption_rule(self.0.request(request)).await.map(drop)
    }

    pub(crate) async fn evaluate(
        &self,
        id: &str,
        max_changes: Option<u32>,
    ) -> Result<EvaluateEncryptionRuleResponse, Status> {
        let request = EvaluateEncryptionRuleRequest { id: id.into(), max_changes };
        self.client().evaluate_encryption_rule(self.0.request(request)).await.map(tonic::Response::into_inner)
    }

    /// Reads the rule until it is as expected.
    pub(crate) async fn wait(&self, id: &str, expected: impl Fn(&EncryptionRule) -> bool) -> EncryptionRule {
        let waiting = async {
            loop {
                let rule = self.get(id).await.unwrap();
                if expected(&rule) {
                    return rule;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let reached = tokio::time::timeout(TIMEOUT, waiting).await;
        let Ok(rule) = reached else { panic!("the rule does not get there: {:?}", self.get(id).await) };
        rule
    }

    /// Reads the rule until its first evaluation has ended.
    pub(crate) async fn wait_for_evaluation(&self, id: &str) -> EncryptionRule {
        let is_evaluated =
            |rule: &EncryptionRule| rule.last_evaluation.as_ref().is_some_and(|it| it.end_time.is_some());
        self.wait(id, is_evaluated).await
    }
}
