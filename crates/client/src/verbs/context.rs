//! `logkey context`: names for the options of a connection.

use clap::{Args, Subcommand};
use serde_json::json;

use super::shared::ServiceArgs;
use crate::{
    connection::contexts::{Context, Contexts},
    failure::Failure,
    output::{self, Column, Report, Table},
};

/// The arguments of `logkey context`.
#[derive(Args, Debug)]
pub struct ContextArgs {
    #[command(subcommand)]
    command: ContextCommand,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, Subcommand)]
enum ContextCommand {
    /// Use a context from now on
    Use {
        /// Its name
        name: String,
    },
    /// List the contexts
    List,
    /// Show a context, by default the current one
    Show {
        /// Its name
        name: Option<String>,
    },
    /// Create or change a context: give it the options of the connection
    Set {
        /// Its name
        name: String,
    },
}

pub(super) fn run(args: &ContextArgs) -> Result<(), Failure> {
    let file = &args.service.connection.contexts;
    let mut contexts = file.read()?;
    match &args.command {
        ContextCommand::Use { name } => {
            contexts.get(name)?;
            contexts.current = Some(name.clone());
            file.write(&contexts)
        }
        ContextCommand::Set { name } => {
            let context = contexts.contexts.remove(name).unwrap_or_default();
            contexts.insert(name, args.service.connection.update(context))?;
            file.write(&contexts)
        }
        ContextCommand::List => {
            print(&contexts, &contexts.contexts.keys().cloned().collect::<Vec<_>>(), args)
        }
        ContextCommand::Show { name } => {
            let name = name.as_ref().or(contexts.current.as_ref()).ok_or_else(|| {
                Failure::Usage("no context is in use; \"logkey context use NAME\" chooses one".to_owned())
            })?;
            contexts.get(name)?;
            print(&contexts, std::slice::from_ref(name), args)
        }
    }
}

fn print(contexts: &Contexts, names: &[String], args: &ContextArgs) -> Result<(), Failure> {
    let columns = [
        Column::new("name"),
        Column::new("current"),
        Column::new("server"),
        Column::new("token"),
        Column::wide("ca_file"),
        Column::wide("client_cert"),
    ];
    let mut table =
        Table::new(&columns, "There is no context; \"logkey context set NAME --server URL\" creates one.");
    let mut documents = Vec::new();
    for (name, context) in contexts.contexts.iter().filter(|(name, _)| names.contains(name)) {
        let current = contexts.current.as_ref() == Some(name);
        let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
        table.push([
            name.clone(),
            if current { "yes".to_owned() } else { String::new() },
            context.server.as_ref().map(ToString::to_string).unwrap_or_default(),
            token(context),
            path(&context.ca_file).unwrap_or_default(),
            path(&context.client_cert).unwrap_or_default(),
        ]);
        documents.push(json!({
            "name": name,
            "current": current,
            "server": context.server,
            "caFile": context.ca_file,
            "clientCert": context.client_cert,
            "clientKey": context.client_key,
            "tokenFile": context.token_file,
            "tokenCommand": context.token_command,
            "issuer": context.login.as_ref().map(|login| &login.issuer),
        }));
    }
    let report = Report::new(json!({ "contexts": documents }), table);
    Ok(output::print(&report, &args.service.output)?)
}

/// Where the token of a context comes from.
fn token(context: &Context) -> String {
    let file = context.token_file.as_ref().map(|file| format!("file {}", file.display()));
    let command = || context.token_command.as_ref().map(|line| format!("command {line}"));
    let login = || context.login.as_ref().map(|login| format!("login at {}", login.issuer));
    file.or_else(command).or_else(login).unwrap_or_default()
}
