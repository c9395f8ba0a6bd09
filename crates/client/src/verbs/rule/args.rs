//! The subcommands of `logkey rule`.

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{
    definition::{DefinitionArgs, StateArg},
    show,
};
use crate::{
    failure::Failure,
    output::{self, OutputArgs, Report, Table, to_json},
    proto::{
        CreateEncryptionRuleRequest, DeleteEncryptionRuleRequest, EvaluateEncryptionRuleRequest,
        GetEncryptionRuleRequest, ListEncryptionRulesRequest, ListEncryptionRulesResponse, RuleState,
        UpdateEncryptionRuleRequest, encryption_rule_service_client::EncryptionRuleServiceClient,
    },
    session::Session,
    verbs::shared::{PAGE_SIZE, Page, ServiceArgs, hint, pages, repeatable},
};

/// The arguments of `logkey rule`.
#[derive(Args, Debug)]
pub struct RuleArgs {
    #[command(subcommand)]
    command: RuleCommand,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, Subcommand)]
enum RuleCommand {
    /// Create a rule. Without `--mode enforce` it only reports
    Create(Box<CreateArgs>),
    /// List the rules of the tenant, by priority
    List(ListArgs),
    /// Show a rule with its last evaluation
    Show(ShowArgs),
    /// Change what is given of a rule, and leave the rest
    Update(Box<UpdateArgs>),
    /// Delete a rule. Log groups keep their keys
    Delete(DeleteArgs),
    /// Evaluate a rule now
    Evaluate(EvaluateArgs),
}

#[derive(Args, Debug)]
struct CreateArgs {
    #[command(flatten)]
    definition: DefinitionArgs,
    /// The id of the request. Repeat it to repeat the same request; it is random by default
    #[arg(long, value_name = "UUID")]
    request_id: Option<Uuid>,
}

#[derive(Args, Debug)]
struct ListArgs {
    /// Only rules in these states
    #[arg(long = "state", value_enum, value_delimiter = ',')]
    states: Vec<StateArg>,
    /// The tenant, for callers with `logkey:admin`
    #[arg(long, default_value = "", hide_default_value = true)]
    tenant: String,
}

#[derive(Args, Debug)]
struct ShowArgs {
    /// The id of the rule
    rule: String,
    /// The tenant, for callers with `logkey:admin`
    #[arg(long, default_value = "", hide_default_value = true)]
    tenant: String,
}

#[derive(Args, Debug)]
struct UpdateArgs {
    /// The id of the rule
    rule: String,
    #[command(flatten)]
    definition: DefinitionArgs,
    /// Whether the rule is evaluated
    #[arg(long, value_enum)]
    state: Option<StateArg>,
    /// Change only the version with this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

#[derive(Args, Debug)]
struct DeleteArgs {
    /// The id of the rule
    rule: String,
    /// Delete only the version with this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

#[derive(Args, Debug)]
struct EvaluateArgs {
    /// The id of the rule
    rule: String,
    /// The maximum number of changes of this evaluation
    #[arg(long, value_name = "N")]
    max_changes: Option<u32>,
}

pub(in crate::verbs) async fn run(args: RuleArgs) -> Result<(), Failure> {
    let output = &args.service.output;
    let session = args.service.open()?;
    let report = match args.command {
        RuleCommand::Create(args) => create(&session, *args).await?,
        RuleCommand::List(args) => list(&session, args).await?,
        RuleCommand::Show(args) => {
            let request = GetEncryptionRuleRequest { id: args.rule, tenant_id: args.tenant };
            let response = session.call(request, async |channel, request| {
                EncryptionRuleServiceClient::new(channel).get_encryption_rule(request).await
            });
            show::report(response.await?.encryption_rule)
        }
        RuleCommand::Update(args) => update(&session, *args).await?,
        RuleCommand::Delete(args) => return delete(&session, args, output).await,
        RuleCommand::Evaluate(args) => evaluate(&session, args).await?,
    };
    Ok(output::print(&report, output)?)
}

async fn create(session: &Session, args: CreateArgs) -> Result<Report, Failure> {
    let request_id = args.request_id.unwrap_or_else(Uuid::new_v4).to_string();
    let request = CreateEncryptionRuleRequest {
        encryption_rule: Some(args.definition.new_rule()?),
        request_id: request_id.clone(),
    };
    let response = session.call(request, async |channel, request| {
        EncryptionRuleServiceClient::new(channel).create_encryption_rule(request).await
    });
    let response = response.await.map_err(|failure| repeatable(failure, &request_id))?;
    Ok(show::report(response.encryption_rule))
}

async fn list(session: &Session, args: ListArgs) -> Result<Report, Failure> {
    let states: Vec<i32> = args.states.iter().map(|state| RuleState::from(*state).into()).collect();
    let rules = pages(async |page_token| {
        let request = ListEncryptionRulesRequest {
            page_size: PAGE_SIZE,
            page_token,
            states: states.clone(),
            tenant_id: args.tenant.clone(),
        };
        let response = session.call(request, async |channel, request| {
            EncryptionRuleServiceClient::new(channel).list_encryption_rules(request).await
        });
        let response = response.await?;
        Ok(Page { entries: response.encryption_rules, next_token: response.next_page_token })
    });
    let encryption_rules = rules.await?;
    let table = show::table(&encryption_rules);
    let response = ListEncryptionRulesResponse { encryption_rules, next_page_token: String::new() };
    Ok(Report::new(to_json(&response), table))
}

async fn update(session: &Session, args: UpdateArgs) -> Result<Report, Failure> {
    let (mut rule, mut paths) = args.definition.changes();
    if let Some(state) = args.state {
        rule.set_state(state.into());
        paths.push("state".to_owned());
    }
    if paths.is_empty() {
        return Err(Failure::Usage("name at least one thing to change, such as --mode enforce".to_owned()));
    }
    rule.id = args.rule;
    rule.etag = args.etag;
    let request = UpdateEncryptionRuleRequest {
        encryption_rule: Some(rule),
        update_mask: Some(prost_types::FieldMask { paths }),
    };
    let response = session.call(request, async |channel, request| {
        EncryptionRuleServiceClient::new(channel).update_encryption_rule(request).await
    });
    Ok(show::report(response.await?.encryption_rule))
}

async fn delete(session: &Session, args: DeleteArgs, output: &OutputArgs) -> Result<(), Failure> {
    let deleted = format!("Deleted {}. Log groups keep their keys.", args.rule);
    let request = DeleteEncryptionRuleRequest { id: args.rule.clone(), etag: args.etag };
    let response = session.call(request, async |channel, request| {
        EncryptionRuleServiceClient::new(channel).delete_encryption_rule(request).await
    });
    let document = to_json(&response.await?);
    hint(output, &deleted);
    let report = Report::new(document, Table::default()).one_name(&args.rule);
    Ok(output::print(&report, output)?)
}

async fn evaluate(session: &Session, args: EvaluateArgs) -> Result<Report, Failure> {
    let request = EvaluateEncryptionRuleRequest { id: args.rule, max_changes: args.max_changes };
    let response = session.call(request, async |channel, request| {
        EncryptionRuleServiceClient::new(channel).evaluate_encryption_rule(request).await
    });
    let response = response.await?;
    let job = response.bulk_association.as_ref().map(|job| {
        format!("The job {} makes the changes: follow it with \"logkey bulk watch {}\".", job.id, job.id)
    });
    let document = to_json(&response);
    Ok(Report { document, ..show::report(response.encryption_rule) }.notes(job))
}
