//! The methods of `EncryptionRuleService`.

use tonic::{Request, Response, Status, async_trait};

use super::{convert, handler::GrpcHandler};
use crate::proto::{
    CreateEncryptionRuleRequest, CreateEncryptionRuleResponse, DeleteEncryptionRuleRequest,
    DeleteEncryptionRuleResponse, EvaluateEncryptionRuleRequest, EvaluateEncryptionRuleResponse,
    GetEncryptionRuleRequest, GetEncryptionRuleResponse, ListEncryptionRulesRequest,
    ListEncryptionRulesResponse, UpdateEncryptionRuleRequest, UpdateEncryptionRuleResponse,
    encryption_rule_service_server::EncryptionRuleService,
};

#[async_trait]
impl EncryptionRuleService for GrpcHandler {
    async fn create_encryption_rule(
        &self,
        request: Request<CreateEncryptionRuleRequest>,
    ) -> Result<Response<CreateEncryptionRuleResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let request = self.parse_request(&caller, convert::rule::create(message))?;
        let rule = self.fleet.create_rule(self.context(&caller), request).await.map_err(caller.status())?;
        let encryption_rule = Some(convert::rule_answer::rule(rule));
        Ok(Response::new(CreateEncryptionRuleResponse { encryption_rule }))
    }

    async fn get_encryption_rule(
        &self,
        request: Request<GetEncryptionRuleRequest>,
    ) -> Result<Response<GetEncryptionRuleResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let convert::rule::RuleRequest { id, tenant } =
            self.parse_request(&caller, convert::rule::rule(&message))?;
        let rule = self.fleet.rule(self.context(&caller), id, tenant).await.map_err(caller.status())?;
        let encryption_rule = Some(convert::rule_answer::rule(rule));
        Ok(Response::new(GetEncryptionRuleResponse { encryption_rule }))
    }

    async fn list_encryption_rules(
        &self,
        request: Request<ListEncryptionRulesRequest>,
    ) -> Result<Response<ListEncryptionRulesResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let query = self.parse_request(&caller, convert::rule::list(message))?;
        let page = self.fleet.rules(self.context(&caller), query).await.map_err(caller.status())?;
        Ok(Response::new(convert::rule_answer::rules(page)))
    }

    async fn update_encryption_rule(
        &self,
        request: Request<UpdateEncryptionRuleRequest>,
    ) -> Result<Response<UpdateEncryptionRuleResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let patch = self.parse_request(&caller, convert::rule::update(message))?;
        let rule = self.fleet.update_rule(self.context(&caller), patch).await.map_err(caller.status())?;
        let encryption_rule = Some(convert::rule_answer::rule(rule));
        Ok(Response::new(UpdateEncryptionRuleResponse { encryption_rule }))
    }

    async fn delete_encryption_rule(
        &self,
        request: Request<DeleteEncryptionRuleRequest>,
    ) -> Result<Response<DeleteEncryptionRuleResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let id = self.parse_request(&caller, convert::rule::rule_id(&message.id))?;
        let deleted = self.fleet.delete_rule(self.context(&caller), id, &message.etag).await;
        deleted.map_err(caller.status())?;
        Ok(Response::new(DeleteEncryptionRuleResponse {}))
    }

    async fn evaluate_encryption_rule(
        &self,
        request: Request<EvaluateEncryptionRuleRequest>,
    ) -> Result<Response<EvaluateEncryptionRuleResponse>, Status> {
        let (caller, message) = Self::begin(request)?;
        let request = self.parse_request(&caller, convert::rule::evaluate(&message))?;
        let evaluated = self.fleet.evaluate_rule(self.context(&caller), request).await;
        let (rule, job) = evaluated.map_err(caller.status())?;
        Ok(Response::new(EvaluateEncryptionRuleResponse {
            bulk_association: job.map(convert::bulk_answer::job),
            encryption_rule: Some(convert::rule_answer::rule(rule)),
        }))
    }
}
