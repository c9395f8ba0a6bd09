//! Which resources a job or a rule is about, and which key they get.

use clap::{Args, ValueEnum};

use crate::proto::{CurrentKey, KeyChoice, KeyOverride, Selection};

/// The resources of a job or a rule. Without any of these options, every log group that the tenant may see.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Selection")]
pub(super) struct SelectionArgs {
    /// A pattern for log group names, such as `/payments/*`. Can be repeated
    #[arg(long = "pattern", value_name = "PATTERN")]
    patterns: Vec<String>,
    /// A pattern for log group names that are not selected. Can be repeated
    #[arg(long = "exclude", value_name = "PATTERN")]
    excluded: Vec<String>,
    /// An AWS account; by default every account of the tenant. Can be repeated
    #[arg(long = "account", value_name = "ID")]
    accounts: Vec<String>,
    /// An AWS Region; by default every Region of the tenant. Can be repeated
    #[arg(long = "region", value_name = "REGION")]
    regions: Vec<String>,
    /// Also the stored query results of each account and Region
    #[arg(long)]
    query_results: bool,
}

/// Selects by the key that resources have now.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Selection")]
pub(super) struct CurrentKeyArgs {
    /// Only resources whose present key is so
    #[arg(long, value_enum)]
    current: Option<Current>,
    /// Only resources that have this key now
    #[arg(long, value_name = "KEY", conflicts_with = "current")]
    current_key: Option<String>,
}

/// The key that a resource has now.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Current {
    /// No KMS key
    None,
    /// A KMS key
    Any,
    /// Another key than the chosen one, or none
    Other,
}

/// The key that resources get.
#[derive(Args, Clone, Debug)]
pub(super) struct KeyArgs {
    /// The key: a key ARN, alias ARN, `alias/NAME` or key id
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Another key for an account, a Region, or both: ACCOUNT=KEY, REGION=KEY or ACCOUNT/REGION=KEY
    #[arg(long = "key-for", value_name = "WHERE=KEY", value_parser = parse_override)]
    overrides: Vec<KeyOverride>,
}

impl SelectionArgs {
    /// The selection, by the present key too.
    pub(super) fn selection(&self, current: Option<&CurrentKeyArgs>) -> Selection {
        let current_key = current.map_or(CurrentKey::Unspecified, CurrentKeyArgs::current_key);
        Selection {
            account_ids: self.accounts.clone(),
            regions: self.regions.clone(),
            log_group_patterns: self.patterns.clone(),
            exclude_patterns: self.excluded.clone(),
            current_key: current_key.into(),
            current_kms_key_id: current.and_then(|it| it.current_key.clone()).unwrap_or_default(),
            query_results: self.query_results,
            resource_arns: Vec::new(),
        }
    }

    /// Whether an option is given.
    pub(super) fn is_given(&self) -> bool {
        let lists = [&self.patterns, &self.excluded, &self.accounts, &self.regions];
        self.query_results || lists.iter().any(|list| !list.is_empty())
    }
}

impl CurrentKeyArgs {
    /// Adds the present key to a selection by ARNs.
    pub(super) fn apply(&self, selection: Selection) -> Selection {
        let current_kms_key_id = self.current_key.clone().unwrap_or_default();
        Selection { current_key: self.current_key().into(), current_kms_key_id, ..selection }
    }

    fn current_key(&self) -> CurrentKey {
        match (self.current, &self.current_key) {
            (None, Some(_)) | (Some(Current::Any), _) => CurrentKey::WithKey,
            (Some(Current::None), _) => CurrentKey::WithoutKey,
            (Some(Current::Other), _) => CurrentKey::WithOtherKey,
            (None, None) => CurrentKey::Unspecified,
        }
    }
}

impl KeyArgs {
    /// The key, if one is given.
    pub(super) fn choice(&self) -> Option<KeyChoice> {
        let given = self.key.is_some() || !self.overrides.is_empty();
        let kms_key_id = self.key.clone().unwrap_or_default();
        given.then(|| KeyChoice { kms_key_id, overrides: self.overrides.clone() })
    }
}

fn parse_override(text: &str) -> Result<KeyOverride, String> {
    let expected = "expected ACCOUNT=KEY, REGION=KEY or ACCOUNT/REGION=KEY, such as 111122223333=alias/logs";
    let (location, key) = text.split_once('=').ok_or(expected)?;
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (account_id, region) = match location.split_once('/') {
        Some((account, region)) if is_account(account) => (account, region),
        Some(_) => return Err(expected.to_owned()),
        None if is_account(location) => (location, ""),
        None => ("", location),
    };
    if key.is_empty() || (account_id.is_empty() && region.is_empty()) {
        return Err(expected.to_owned());
    }
    Ok(KeyOverride { account_id: account_id.into(), region: region.into(), kms_key_id: key.into() })
}
