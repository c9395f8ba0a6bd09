//! Sets the key of a resource.

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
        association::{
            AssociateKmsKey, CheckKeyAssociation, GetKeyAssociation, Justification, Resource, Warning,
        },
        authorization::Authorized,
        call::Action,
        principal::Scope,
        request::AssociateRequest,
    },
    ports::{Acknowledgement, AwsResponse, limit::Operation},
    service::{
        context::Context,
        error::Error,
        preflight::check,
        shared::{lookup, resolve},
        state::Dependencies,
    },
};

/// The change that sets a key. Contains the key as the caller named it.
struct SetKey(KmsKeyId);

/// Sets the key of a log group, or of an account's query results.
///
/// # Errors
///
/// Any [`Error`] except [`Error::AuditRead`].
pub async fn associate(cx: Context, request: AssociateRequest) -> Result<Changed, Error> {
    let AssociateRequest { resource, key, reason, expected, validate_only, request_id } = request;
    let request = ChangeRequest { resource, reason, expected, validate_only, request_id, read: None };
    pipeline::execute(cx, SetKey(key), request).await
}

/// Sets the key of an item of a bulk job, whose log group was just read.
pub(in crate::service) async fn associate_item(
    cx: Context,
    key: KmsKeyArn,
    request: ItemRequest,
) -> Result<Changed, Error> {
    pipeline::execute(cx, SetKey(KmsKeyId::Arn(key)), request.into()).await
}

// === impl SetKey ===

impl KeyChange for SetKey {
    type Command = AssociateKmsKey;

    const ACTION: Action = Action::AssociateKmsKey;
    const SCOPE: Scope = Scope::Associate;
    const OPERATION: Operation = Operation::AssociateKmsKey;

    fn requested_key(&self) -> Option<&KmsKeyId> {
        Some(&self.0)
    }

    async fn command(
        &self,
        cx: &mut Context,
        resource: &Resource,
        reason: Option<Justification>,
    ) -> Result<AssociateKmsKey, Error> {
        let key = resolve_key(cx, resource, &self.0).await?;
        resolve::check_region(&key, &resource.location)?;
        cx.audit.resolved(&key);
        Ok(AssociateKmsKey { resource: resource.clone(), key, requested_key: self.0.clone(), reason })
    }

    fn new_key(command: &AssociateKmsKey) -> Option<(KmsKeyArn, KmsKeyId)> {
        Some((command.key.clone(), command.requested_key.clone()))
    }

    /// The change does not depend on the key that it replaces, unless the caller expects one.
    fn requirement(request: &ChangeRequest) -> Requirement {
        if request.expected.is_some() { Requirement::Required } else { Requirement::BestEffort }
    }

    fn mask(&self, error: Error) -> Error {
        resolve::redact_resolved_key(error, &self.0)
    }

    async fn dry_run(
        cx: &mut Context,
        authorized: &Authorized<AssociateKmsKey>,
    ) -> Result<Vec<Warning>, Error> {
        let AssociateKmsKey { resource, requested_key, .. } = authorized.command();
        let read = cx.authorize(CheckKeyAssociation { resource: resource.clone() })?;
        dry_run::unverified_warnings(&check::run_checks(cx, &read, requested_key).await)
    }

    async fn send(
        ports: &Dependencies,
        authorized: &Authorized<AssociateKmsKey>,
        deadline: Instant,
    ) -> AwsResponse<Acknowledgement> {
        ports.associations.associate(authorized, deadline).await
    }
}

/// The ARN of the requested key. An alias or a bare key id needs a call to KMS. It requires that the caller
/// may read the resource, and runs under the tenant's role.
async fn resolve_key(
    cx: &mut Context,
    resource: &Resource,
    requested: &KmsKeyId,
) -> Result<KmsKeyArn, Error> {
    if let KmsKeyId::Arn(arn) = requested {
        return Ok(arn.clone());
    }
    let read = cx.authorize(GetKeyAssociation { resource: resource.clone() })?;
    Box::pin(lookup::resolve_key(cx, read.access(), requested)).await
}
