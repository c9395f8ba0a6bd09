//! `logkey onboarding`: prints what to install in a tenant's account. It needs only the configuration.

use std::{
    io,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use logkey_client::output::{self, Column, OutputArgs, Report, Table, print, print_text};
use serde_json::json;

use super::{
    config_file::{self, ConfigFile},
    runtime::exit_code,
};
use crate::{
    app::SystemClock,
    aws::Aws,
    config::{Env, ProcessEnv, Settings, join_diagnostics},
    domain::{
        aws::{AccountId, Partition},
        error_chain::error_chain,
        onboarding::{KEY_STATEMENTS_NOTE, Onboarding, OrganizationId},
        tenant::{AccountGrant, TenantId},
    },
    ports::Roles as _,
};

/// The exit code if the documents cannot be printed.
const INVALID: u8 = 2;
/// How long STS may take to return the identity of the credentials.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The arguments of `logkey onboarding`.
#[derive(Args, Debug)]
pub(super) struct OnboardingArgs {
    /// The tenant
    tenant: TenantId,
    /// One of its accounts
    account: AccountId,
    #[command(flatten)]
    config: ConfigFile,
    /// The service's role or user, which the tenant's role must trust [default: the identity of the current
    /// AWS credentials, from STS]
    #[arg(long = "service-role", alias = "hub", value_name = "ARN")]
    service_principal: Option<String>,
    /// The organization that the service's account and the tenant's account belong to; the role then trusts the
    /// service only while it is in it
    #[arg(long, value_name = "ID")]
    organization: Option<OrganizationId>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// One JSON object with the policies and the key policy statements
    #[default]
    Json,
    /// A Terraform configuration
    Terraform,
    /// A CloudFormation template
    Cloudformation,
}

/// Runs the subcommand. The output contains the external id.
pub(super) async fn run(args: OnboardingArgs) -> ExitCode {
    match Box::pin(fetch(&args, &ProcessEnv)).await {
        Ok(onboarding) => exit_code(write(&onboarding, &args)),
        Err(reason) => {
            anstream::eprintln!("{reason}");
            ExitCode::from(INVALID)
        }
    }
}

async fn fetch(args: &OnboardingArgs, env: &dyn Env) -> Result<Onboarding, String> {
    let settings =
        Settings::load(&args.config.path(env), env).map_err(|diagnostics| join_diagnostics(&diagnostics))?;
    let grant = load_grant(&settings, &args.tenant, args.account)?;
    let service_principal = match &args.service_principal {
        Some(arn) if is_principal(arn) => arn.clone(),
        Some(arn) => {
            return Err(format!(
                "--service-role {arn} is not the ARN of a role or user: write arn:aws:iam::ACCOUNT:role/NAME"
            ));
        }
        None => Box::pin(fetch_service_role(settings, &args.tenant)).await?,
    };
    Ok(Onboarding::within(&grant, &service_principal, args.organization.as_ref()))
}

fn load_grant(settings: &Settings, tenant: &TenantId, account: AccountId) -> Result<AccountGrant, String> {
    let found = config_file::tenant(settings, tenant)?;
    let grant = found.grant(account).ok_or_else(|| {
        let accounts: Vec<String> = found.accounts.iter().map(|grant| grant.account.to_string()).collect();
        format!("tenant {tenant} has no account {account}; it has {}", accounts.join(", "))
    })?;
    Ok(AccountGrant::clone(grant))
}

fn is_principal(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [arn, partition, iam, region, account, name] = parts[..] else { return false };
    arn == "arn"
        && partition.parse::<Partition>().is_ok()
        && (iam, region) == ("iam", "")
        && account.parse::<AccountId>().is_ok()
        && (name.starts_with("role/") || name.starts_with("user/"))
}

async fn fetch_service_role(settings: Settings, tenant: &TenantId) -> Result<String, String> {
    let aws = Aws::connect(settings.aws, Arc::new(SystemClock)).await;
    let service_principal = aws.service_principal(tenant, Instant::now() + TIMEOUT).await;
    let reason = |error| {
        format!(
            "cannot get the identity of the AWS credentials from STS ({}): name the service role with --service-role ARN",
            error_chain(&error)
        )
    };
    Ok(service_principal.map_err(reason)?.into_string())
}

fn write(onboarding: &Onboarding, args: &OnboardingArgs) -> io::Result<()> {
    match args.format {
        Format::Terraform => print_text(&onboarding.terraform),
        Format::Cloudformation => print_text(&format!("{:#}", onboarding.cloudformation)),
        Format::Json => {
            let document = json!({
                "trust_policy": onboarding.trust_policy,
                "role_policy": onboarding.role_policy,
                "key_statements": KEY_STATEMENTS_NOTE,
                "log_group_key_statements": onboarding.key_policy_for_log_groups,
                "query_results_key_statements": onboarding.key_policy_for_query_results,
            });
            if args.output.format() == Some(output::Format::Table) {
                return print_text(&format!("{document:#}"));
            }
            let mut table = Table::new(&[Column::new("document"), Column::new("content")], "");
            for (name, content) in document.as_object().into_iter().flatten() {
                table.push([name.clone(), content.to_string()]);
            }
            print(&Report::new(document, table), &args.output)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_arn_of_a_role_or_user_is_a_principal() {
        for arn in ["arn:aws:iam::999999999999:role/LogKeyHub", "arn:aws-cn:iam::999999999999:user/a/b"] {
            assert!(is_principal(arn), "{arn}");
        }
        for arn in [
            "LogKeyHub",
            "arn:aws:sts::999999999999:assumed-role/LogKeyHub/i-1",
            "arn:aws:iam::9:role/x",
            "*",
        ] {
            assert!(!is_principal(arn), "{arn}");
        }
    }
}
