//! What a rule says, as options.

use clap::{Args, ValueEnum};

use crate::{
    failure::Failure,
    proto::{EncryptionRule, RuleExemption, RuleMode, RuleState},
    verbs::selection::{KeyArgs, SelectionArgs},
};

/// The definition of a rule.
#[derive(Args, Clone, Debug)]
pub(super) struct DefinitionArgs {
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    key: KeyArgs,
    /// What the rule does about a log group that has another key
    #[arg(long, value_enum)]
    mode: Option<ModeArg>,
    /// Of two rules in mode enforce for the same log group, the one with the lower number decides
    #[arg(long, allow_negative_numbers = true)]
    priority: Option<i32>,
    /// The maximum number of changes of one evaluation
    #[arg(long, value_name = "N")]
    max_changes: Option<u32>,
    /// Log groups to leave as they are, with the reason. Can be repeated
    #[arg(long = "exempt", value_name = "PATTERN=REASON", value_parser = parse_exemption)]
    exemptions: Vec<RuleExemption>,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArg {
    /// Report a finding and change nothing
    Report,
    /// Set the key
    Enforce,
}

/// Whether a rule is evaluated.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum StateArg {
    Active,
    Paused,
    Disabled,
}

impl DefinitionArgs {
    /// A whole rule.
    pub(super) fn new_rule(&self) -> Result<EncryptionRule, Failure> {
        let key = self.key.choice();
        let key = key.ok_or_else(|| Failure::Usage("name the key of the rule with --key".to_owned()))?;
        Ok(EncryptionRule {
            display_name: self.name.clone().unwrap_or_default(),
            selection: Some(self.selection.selection(None)),
            key: Some(key),
            mode: RuleMode::from(self.mode.unwrap_or(ModeArg::Report)).into(),
            priority: self.priority.unwrap_or_default(),
            exemptions: self.exemptions.clone(),
            max_changes: self.max_changes,
            ..EncryptionRule::default()
        })
    }

    /// A rule with what is given, and the names of those fields.
    pub(super) fn changes(&self) -> (EncryptionRule, Vec<String>) {
        let rule = EncryptionRule {
            display_name: self.name.clone().unwrap_or_default(),
            selection: self.selection.is_given().then(|| self.selection.selection(None)),
            key: self.key.choice(),
            mode: self.mode.map_or(RuleMode::Unspecified, RuleMode::from).into(),
            priority: self.priority.unwrap_or_default(),
            exemptions: self.exemptions.clone(),
            max_changes: self.max_changes,
            ..EncryptionRule::default()
        };
        let given = [
            self.name.as_ref().map(|_| "display_name"),
            rule.selection.as_ref().map(|_| "selection"),
            rule.key.as_ref().map(|_| "key"),
            self.mode.map(|_| "mode"),
            self.priority.map(|_| "priority"),
            (!self.exemptions.is_empty()).then_some("exemptions"),
            self.max_changes.map(|_| "max_changes"),
        ];
        (rule, given.into_iter().flatten().map(str::to_owned).collect())
    }
}

fn parse_exemption(text: &str) -> Result<RuleExemption, String> {
    let parts = text.split_once('=').filter(|(pattern, reason)| !pattern.is_empty() && !reason.is_empty());
    let (pattern, reason) =
        parts.ok_or("expected PATTERN=REASON, such as \"/payments/tmp-*=deleted daily\"")?;
    Ok(RuleExemption { pattern: pattern.to_owned(), reason: reason.to_owned(), expire_time: None })
}

impl From<ModeArg> for RuleMode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Report => Self::Report,
            ModeArg::Enforce => Self::Enforce,
        }
    }
}

impl From<StateArg> for RuleState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Active => Self::Active,
            StateArg::Paused => Self::Paused,
            StateArg::Disabled => Self::Disabled,
        }
    }
}
