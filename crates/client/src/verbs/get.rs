//! `logkey get`: the key that a resource has now.

use clap::Args;

use super::{association, shared::ServiceArgs, target::TargetArgs};
use crate::{
    failure::Failure,
    output::{self, Report, to_json},
    proto::{
        GetKeyAssociationRequest, GetKeyAssociationResponse, get_key_association_request::Target,
        key_association_service_client::KeyAssociationServiceClient,
    },
    session::Session,
};

/// The arguments of `logkey get`.
#[derive(Args, Debug)]
pub struct GetArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

pub(super) async fn run(args: GetArgs) -> Result<(), Failure> {
    let session = args.service.open()?;
    let target = args.target.resolve(&session).await?;
    let request = GetKeyAssociationRequest {
        target: Some(target.resource(Target::LogGroupName, Target::ResourceIdentifier)),
        account_id: target.account_id,
        region: target.region,
    };
    let response = fetch(&session, request).await?;
    let mut table = association::table("");
    association::push(&mut table, &response.association.clone().unwrap_or_default());
    let report = Report::new(to_json(&response), table).as_record();
    let former = response.association.iter().flat_map(|it| &it.former_keys).map(|key| {
        let until = association::protects(key.protection(), key.protects_until_time.as_ref());
        format!("Former key {}: needed by data: {until}", key.kms_key_arn)
    });
    let report = report.notes(former).notes(association::warnings(&response.warnings));
    Ok(output::print(&report, &args.service.output)?)
}

/// Reads an association.
pub(super) async fn fetch(
    session: &Session,
    request: GetKeyAssociationRequest,
) -> Result<GetKeyAssociationResponse, Failure> {
    session
        .call(request, async |channel, request| {
            KeyAssociationServiceClient::new(channel).get_key_association(request).await
        })
        .await
}
