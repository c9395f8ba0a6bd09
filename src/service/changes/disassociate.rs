//! Removes the key of a resource, so that the AWS-owned default applies again.

use std::time::Instant;

use super::{
    change::{ChangeRequest, ItemRequest, KeyChange},
    changed::Changed,
    dry_run,
    pipeline::{self},
    prior_state::Requirement,
};
use crate::{
    domain::{
        arn::{KmsKeyArn, KmsKeyId},
        association::{DisassociateKmsKey, Justification, Resource, Warning},
        authorization::Authorized,
        call::Action,
        diagnosis::Diagnosis,
        principal::Scope,
        request::DisassociateRequest,
    },
    ports::{Acknowledgement, AwsResponse, limit::Operation},
    service::{context::Context, error::Error, preflight::role_check::RoleCheck, state::Dependencies},
};

/// The change that removes a key.
struct RemoveKey;

/// Removes the key of a log group, or of an account's query results. The warnings name the former keys that
/// still protect data.
///
/// # Errors
///
/// Any [`Error`] except [`Error::AuditRead`].
pub async fn disassociate(cx: Context, request: DisassociateRequest) -> Result<Changed, Error> {
    let DisassociateRequest { resource, reason, expected, validate_only, request_id } = request;
    let request = ChangeRequest { resource, reason, expected, validate_only, request_id, read: None };
    pipeline::execute(cx, RemoveKey, request).await
}

/// Removes the key of an item of a bulk job, whose log group was just read.
pub(in crate::service) async fn disassociate_item(
    cx: Context,
    request: ItemRequest,
) -> Result<Changed, Error> {
    pipeline::execute(cx, RemoveKey, request.into()).await
}

// === impl RemoveKey ===

impl KeyChange for RemoveKey {
    type Command = DisassociateKmsKey;

    const ACTION: Action = Action::DisassociateKmsKey;
    const SCOPE: Scope = Scope::Disassociate;
    const OPERATION: Operation = Operation::DisassociateKmsKey;

    fn requested_key(&self) -> Option<&KmsKeyId> {
        None
    }

    async fn command(
        &self,
        _cx: &mut Context,
        resource: &Resource,
        reason: Option<Justification>,
    ) -> Result<DisassociateKmsKey, Error> {
        Ok(DisassociateKmsKey { resource: resource.clone(), reason })
    }

    fn new_key(_command: &DisassociateKmsKey) -> Option<(KmsKeyArn, KmsKeyId)> {
        None
    }

    /// The change makes the current key a former one, and AWS does not return former keys.
    fn requirement(_request: &ChangeRequest) -> Requirement {
        Requirement::Required
    }

    async fn dry_run(
        cx: &mut Context,
        authorized: &Authorized<DisassociateKmsKey>,
    ) -> Result<Vec<Warning>, Error> {
        let (access, resource) = (authorized.access(), &authorized.command().resource);
        let role = RoleCheck { access, resource, deadline: cx.call.deadline };
        let checks = vec![role.logs(cx, Action::DisassociateKmsKey).await];
        dry_run::unverified_warnings(&Diagnosis { checks, key: None })
    }

    async fn send(
        ports: &Dependencies,
        authorized: &Authorized<DisassociateKmsKey>,
        deadline: Instant,
    ) -> AwsResponse<Acknowledgement> {
        ports.associations.disassociate(authorized, deadline).await
    }
}
