//! `logkey completion` and `logkey man`: what a shell and `man` need to know about the commands.

use std::{io, io::Write as _, path::PathBuf, process::ExitCode};

use clap::Args;
use clap_complete::Shell;

/// The arguments of `logkey completion`.
#[derive(Args, Debug)]
#[command(after_help = "\
Load it in each new shell:

  bash:  source <(logkey completion bash)                 # in ~/.bashrc
  zsh:   source <(logkey completion zsh)                  # in ~/.zshrc, after compinit
  fish:  logkey completion fish > ~/.config/fish/completions/logkey.fish")]
pub(super) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

/// The arguments of `logkey man`.
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// The folder to write the pages to; it is created if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Prints the completion script of a shell for `command`.
pub(super) fn run(args: &CompletionArgs, mut command: clap::Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "logkey", &mut script);
    match io::stdout().lock().write_all(&script) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// Writes one page for each command.
pub(super) fn write_man_pages(args: &ManArgs, command: clap::Command) -> ExitCode {
    let folder = &args.folder;
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    if let Err(error) = written {
        anstream::eprintln!("logkey man: cannot write the pages to {}: {error}", folder.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
