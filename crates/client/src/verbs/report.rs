//! `logkey report`: which resources have the key that they must have.

use clap::{Args, ValueEnum};

use crate::{
    compliance::{self, ComplianceReport, Scope, Verdict},
    connection::ConnectionArgs,
    failure::Failure,
    output::{self, Format, OutputArgs},
    session::Session,
};

/// The arguments of `logkey report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Only this AWS account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    /// Only this AWS Region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// The key that every log group must have, instead of the encryption rules: an ARN, alias or key id
    #[arg(long, value_name = "KEY")]
    expect: Option<String>,
    /// Exit with 1 if this is the case
    #[arg(long, value_enum, value_name = "CONDITION")]
    fail_on: Option<FailOn>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The form of the output
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT", help_heading = "Output")]
    format: Option<ReportFormat>,
    /// Print only errors, and the data if `-o` is given
    #[arg(long, short = 'q', help_heading = "Output")]
    quiet: bool,
}

/// When a report is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// A resource is not compliant, or something could not be read
    NonCompliant,
}

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Columns that fit the terminal
    Table,
    /// Columns with everything, however wide
    Wide,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
    /// Comma-separated values with a header
    Csv,
    /// The ARN of each resource
    Name,
    /// OCSF Compliance Findings (class 2003), one JSON document on each line
    Ocsf,
    /// Findings for AWS Security Hub (ASFF), one JSON array
    Asff,
    /// One HTML file with charts, which needs no network
    Html,
}

pub(super) async fn run(args: ReportArgs) -> Result<(), Failure> {
    let session = Session::open(&args.connection)?;
    let scope = Scope { account: args.account, region: args.region, expect: args.expect };
    let report = compliance::collect(&session, &scope).await?;
    let format = args.format.or((!args.quiet).then_some(ReportFormat::Table));
    if let Some(format) = format {
        print(&report, format)?;
    }
    match args.fail_on {
        Some(FailOn::NonCompliant) => verdict(&report),
        None => Ok(()),
    }
}

fn print(report: &ComplianceReport, format: ReportFormat) -> Result<(), Failure> {
    let format = match format {
        ReportFormat::Ocsf => return Ok(output::print_text(&compliance::ocsf(report))?),
        ReportFormat::Html => return Ok(output::print_text(&compliance::html(report))?),
        ReportFormat::Asff => {
            let findings =
                serde_json::to_string_pretty(&compliance::asff(report)).map_err(std::io::Error::from)?;
            return Ok(output::print_text(&findings)?);
        }
        ReportFormat::Table => Format::Table,
        ReportFormat::Wide => Format::Wide,
        ReportFormat::Json => Format::Json,
        ReportFormat::Yaml => Format::Yaml,
        ReportFormat::Csv => Format::Csv,
        ReportFormat::Name => Format::Name,
    };
    Ok(output::print(&compliance::report(report), &OutputArgs::from(format))?)
}

/// Fails unless everything was read and every resource that needs a key is compliant.
fn verdict(report: &ComplianceReport) -> Result<(), Failure> {
    let count = |verdict| report.with_verdict(verdict);
    let (bad, unknown, unread) =
        (count(Verdict::NonCompliant), count(Verdict::Unknown), report.unread().count());
    if bad + unknown + unread == 0 {
        return Ok(());
    }
    Err(Failure::Negative(format!(
        "{bad} resources are not compliant, {unknown} are not known, and {unread} accounts and Regions could not be read"
    )))
}
