//! The role in the languages of tools that install it.

use serde_json::{Value, json};

use crate::domain::tenant::AccountGrant;

/// A Terraform configuration: the role and its policy, each document as it stands.
pub(super) fn terraform(grant: &AccountGrant, trust: &Value, policy: &Value) -> String {
    let (path, name) = path_and_name(grant);
    // The documents hold no `${` or `%{`: accounts, Regions, ARNs and external ids have no such signs.
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
"#,
        indented(trust),
        indented(policy),
    )
}

/// A `CloudFormation` template.
pub(super) fn cloudformation(grant: &AccountGrant, trust: &Value, policy: &Value) -> Value {
    let (path, name) = path_and_name(grant);
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The role through which keys are set on log groups",
        "Resources": {
            "LogKeyRole": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "RoleName": name,
                    "Path": path,
                    "AssumeRolePolicyDocument": trust,
                    "Policies": [{ "PolicyName": "logkey", "PolicyDocument": policy }],
                },
            },
        },
    })
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
