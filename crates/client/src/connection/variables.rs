//! Variables of the environment that are set to nothing.

use std::env;

use clap::{Command, builder::Resettable};

/// Makes options ignore a variable that is empty, as if it was not set. Scripts pass on variables that they do not have.
#[must_use]
pub fn ignore_empty_variables(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let value = arg.get_env().and_then(env::var_os);
        if value.is_some_and(|value| value.is_empty()) { arg.env(Resettable::Reset) } else { arg }
    });
    command.mut_subcommands(ignore_empty_variables)
}
