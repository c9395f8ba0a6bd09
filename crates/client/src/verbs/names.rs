//! The names that the API has as texts. The service has their lists, and so has the program that mounts the commands.

use clap::{Arg, Command, builder::PossibleValuesParser};

/// The names that options take.
#[derive(Clone, Debug)]
pub struct Names {
    /// What an audit event can be about.
    pub actions: Vec<&'static str>,
    /// How it can end.
    pub outcomes: Vec<&'static str>,
    /// The reasons of errors.
    pub reasons: Vec<&'static str>,
}

// === impl Names ===

impl Names {
    /// Makes the options of the commands take only these names. Any other is refused before a call, with the nearest
    /// one.
    #[must_use]
    pub fn restrict(&self, command: Command) -> Command {
        let filter = |command: Command| {
            let command = command.mut_arg("action", |arg| one_of(arg, &self.actions));
            command.mut_arg("outcome", |arg| one_of(arg, &self.outcomes))
        };
        let items = |command: Command| command.mut_arg("reasons", |arg| one_of(arg, &self.reasons));
        command
            .mut_subcommand("events", |it| it.mut_subcommand("list", filter).mut_subcommand("follow", filter))
            .mut_subcommand("bulk", |it| it.mut_subcommand("items", items))
    }
}

/// The list is too long for the help.
fn one_of(arg: Arg, names: &[&'static str]) -> Arg {
    arg.value_parser(PossibleValuesParser::new(names)).hide_possible_values(true)
}
