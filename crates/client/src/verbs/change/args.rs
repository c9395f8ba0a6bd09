//! The two changes: their arguments, their requests and what they print.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use super::wait;
use crate::{
    connection::duration,
    failure::Failure,
    output::{self, Report, to_json},
    proto::{
        AssociateKmsKeyRequest, DisassociateKmsKeyRequest, GetKeyAssociationRequest, KeyAssociation, State,
        Warning, associate_kms_key_request, disassociate_kms_key_request, get_key_association_request,
        key_association_service_client::KeyAssociationServiceClient,
    },
    session::Session,
    verbs::{
        association, get,
        shared::{ServiceArgs, repeatable},
        target::{Target, TargetArgs},
    },
};

/// The arguments of `logkey associate`.
#[derive(Args, Debug)]
pub struct AssociateArgs {
    /// The key: a key ARN, alias ARN, `alias/NAME` or key id
    #[arg(long, value_name = "KEY")]
    key: String,
    #[command(flatten)]
    change: ChangeArgs,
}

/// The arguments of `logkey disassociate`.
#[derive(Args, Debug)]
pub struct DisassociateArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Args, Debug)]
struct ChangeArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Change nothing unless this key is set now. An empty text means: no key
    #[arg(long, value_name = "KEY")]
    expect: Option<String>,
    /// The reason for the change, such as a ticket number. The audit log keeps it
    #[arg(long, default_value = "", value_name = "TEXT", hide_default_value = true)]
    reason: String,
    /// Check everything and change nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Wait until the change is in force
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", default_value = "6m", value_parser = duration::parse, requires = "wait")]
    wait_timeout: Duration,
    /// The id of the request. Repeat it to repeat the same request; it is random by default
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
    #[command(flatten)]
    service: ServiceArgs,
}

/// What a change answers.
struct Answer {
    document: Value,
    association: KeyAssociation,
    audit_event_id: String,
    warnings: Vec<Warning>,
}

pub(crate) async fn associate(args: AssociateArgs) -> Result<(), Failure> {
    use associate_kms_key_request::Target as Resource;
    let AssociateArgs { key, change } = args;
    let session = change.service.open()?;
    let target = change.target.resolve(&session).await?;
    let request_id = change.request_id.unwrap_or_else(Uuid::new_v4).to_string();
    let request = AssociateKmsKeyRequest {
        target: Some(target.resource(Resource::LogGroupName, Resource::ResourceIdentifier)),
        account_id: target.account_id.clone(),
        region: target.region.clone(),
        kms_key_id: key,
        validate_only: change.dry_run,
        request_id: request_id.clone(),
        reason: change.reason.clone(),
        expected_kms_key_id: change.expect.clone(),
    };
    let response = session.call(request, async |channel, request| {
        KeyAssociationServiceClient::new(channel).associate_kms_key(request).await
    });
    let response = response.await.map_err(|failure| repeatable(failure, &request_id))?;
    let answer = Answer {
        document: to_json(&response),
        association: response.association.unwrap_or_default(),
        audit_event_id: response.audit_event_id,
        warnings: response.warnings,
    };
    change.finish(&session, &target, answer, State::InForce).await
}

pub(crate) async fn disassociate(args: DisassociateArgs) -> Result<(), Failure> {
    use disassociate_kms_key_request::Target as Resource;
    let DisassociateArgs { change } = args;
    let session = change.service.open()?;
    let target = change.target.resolve(&session).await?;
    let request_id = change.request_id.unwrap_or_else(Uuid::new_v4).to_string();
    let request = DisassociateKmsKeyRequest {
        target: Some(target.resource(Resource::LogGroupName, Resource::ResourceIdentifier)),
        account_id: target.account_id.clone(),
        region: target.region.clone(),
        validate_only: change.dry_run,
        request_id: request_id.clone(),
        reason: change.reason.clone(),
        expected_kms_key_id: change.expect.clone(),
    };
    let response = session.call(request, async |channel, request| {
        KeyAssociationServiceClient::new(channel).disassociate_kms_key(request).await
    });
    let response = response.await.map_err(|failure| repeatable(failure, &request_id))?;
    let answer = Answer {
        document: to_json(&response),
        association: response.association.unwrap_or_default(),
        audit_event_id: response.audit_event_id,
        warnings: response.warnings,
    };
    change.finish(&session, &target, answer, State::DefaultEncryption).await
}

impl ChangeArgs {
    /// Waits if asked to, and prints the association.
    async fn finish(
        &self,
        session: &Session,
        target: &Target,
        mut answer: Answer,
        in_force: State,
    ) -> Result<(), Failure> {
        use get_key_association_request::Target as Resource;
        let waited = if self.wait {
            let request = GetKeyAssociationRequest {
                target: Some(target.resource(Resource::LogGroupName, Resource::ResourceIdentifier)),
                account_id: target.account_id.clone(),
                region: target.region.clone(),
            };
            let read = async || {
                let response = get::fetch(session, request.clone()).await?;
                Ok(response.association.unwrap_or_default())
            };
            let (association, result) =
                wait::until(answer.association, in_force, self.wait_timeout, read).await;
            answer.association = association;
            if let Value::Object(fields) = &mut answer.document {
                fields.insert("association".to_owned(), to_json(&answer.association));
            }
            result
        } else {
            Ok(())
        };
        let mut table = association::table("");
        association::push(&mut table, &answer.association);
        let done = match (self.dry_run, answer.audit_event_id.as_str()) {
            (true, _) => Some("Nothing was changed: this was a dry run.".to_owned()),
            (false, "") => None,
            (false, id) => Some(format!("Audit event {id}")),
        };
        let report = Report::new(answer.document, table).as_record();
        let report = report.notes(association::warnings(&answer.warnings)).notes(done);
        output::print(&report, &self.service.output)?;
        waited
    }
}
