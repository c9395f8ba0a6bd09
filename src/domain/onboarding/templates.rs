//! The onboarding documents as Terraform and `CloudFormation` templates.

use serde_json::{Value, json};

use super::documents::{KEY_STATEMENTS_NOTE, Onboarding};
use crate::domain::tenant::AccountGrant;

/// A Terraform configuration with the role, its policy and the key policy statements. It contains each
/// document verbatim.
pub(super) fn terraform(grant: &AccountGrant, onboarding: &Onboarding) -> String {
    let (path, name) = path_and_name(grant);
    let for_groups = by_region(grant, &onboarding.key_policy_for_log_groups);
    let for_results = by_region(grant, &onboarding.key_policy_for_query_results);
    // The documents need no escaping: accounts, Regions, ARNs and external ids cannot contain `${` or `%{`.
    format!(
        r#"resource "aws_iam_role" "logkey" {{
  name = "{name}"
  path = "{path}"

  assume_role_policy = <<-JSON
{}
  JSON
}}

resource "aws_iam_role_policy" "logkey" {{
  name = "logkey"
  role = aws_iam_role.logkey.id

  policy = <<-JSON
{}
  JSON
}}

# Statements for the policies of keys that encrypt log groups or query results, by Region.
# {KEY_STATEMENTS_NOTE}
locals {{
  logkey_log_group_key_statements = jsondecode(<<-JSON
{}
  JSON
  )
  logkey_query_results_key_statements = jsondecode(<<-JSON
{}
  JSON
  )
}}
"#,
        indented(&onboarding.trust_policy),
        indented(&onboarding.role_policy),
        indented(&for_groups),
        indented(&for_results),
    )
}

/// A `CloudFormation` template with the role and, as metadata, the key policy statements.
pub(super) fn cloudformation(grant: &AccountGrant, onboarding: &Onboarding) -> Value {
    let (path, name) = path_and_name(grant);
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The role that logkey assumes to set keys on log groups",
        "Metadata": {
            "KeyStatements": KEY_STATEMENTS_NOTE,
            "LogGroupKeyStatements": by_region(grant, &onboarding.key_policy_for_log_groups),
            "QueryResultsKeyStatements": by_region(grant, &onboarding.key_policy_for_query_results),
        },
        "Resources": {
            "LogKeyRole": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": name,
                    "Path": path,
                    "AssumeRolePolicyDocument": onboarding.trust_policy,
                    "Policies": [{ "PolicyName": "logkey", "PolicyDocument": onboarding.role_policy }],
                },
            },
        },
    })
}

/// The statements under the names of their Regions.
fn by_region(grant: &AccountGrant, statements: &[Value]) -> Value {
    let names = grant.regions.iter().map(ToString::to_string);
    Value::Object(names.zip(statements.iter().cloned()).collect())
}

fn path_and_name(grant: &AccountGrant) -> (String, &str) {
    let full = grant.role.as_str().split_once(":role/").map_or("", |(_, full)| full);
    match full.rsplit_once('/') {
        Some((path, name)) => (format!("/{path}/"), name),
        None => ("/".to_owned(), full),
    }
}

fn indented(document: &Value) -> String {
    let text = format!("{document:#}");
    let lines: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}
