//! `logkey healthcheck`: asks a running service for its health, for containers and scripts that have no HTTP
//! client.

use std::{
    error::Error,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use super::config_file::ConfigFile;
use crate::{
    config::{ProcessEnv, Settings, join_diagnostics},
    domain::error_chain::error_chain,
};

/// The exit code if the configuration is invalid.
const INVALID: u8 = 2;
/// How long the service may take to respond.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Ask a running service for its health.
#[derive(Args, Clone, Debug)]
pub(super) struct HealthcheckArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// The URL of the service's admin port [default: `server.admin_listen` of the configuration]
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    admin: Option<url::Url>,
    /// Ask only whether the process runs, not whether it can serve calls
    #[arg(long)]
    live: bool,
}

/// Runs the subcommand: 0 if the service is healthy, 1 if not, and 2 if the configuration is invalid.
pub(super) async fn run(args: HealthcheckArgs) -> ExitCode {
    let admin = match args.admin {
        Some(url) => url.to_string(),
        None => match Settings::load(&args.config.path(&ProcessEnv), &ProcessEnv) {
            Ok(settings) => format!("http://{}/", reachable(settings.server.admin_listen)),
            Err(diagnostics) => {
                anstream::eprintln!("{}", join_diagnostics(&diagnostics));
                return ExitCode::from(INVALID);
            }
        },
    };
    match ask(&admin, if args.live { "livez" } else { "readyz" }).await {
        Ok((healthy, text)) => {
            anstream::println!("{}", text.trim_end());
            if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            anstream::eprintln!("logkey: the service does not answer at {admin}: {}", error_chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn ask(admin: &str, probe: &str) -> Result<(bool, String), Box<dyn Error>> {
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    let answer = client.get(url::Url::parse(admin)?.join(probe)?).send().await?;
    Ok((answer.status().is_success(), answer.text().await?))
}

/// The address under which this machine reaches the listener.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_through_loopback() {
        for (listen, expected) in
            [("0.0.0.0:9464", "127.0.0.1:9464"), ("[::]:9464", "[::1]:9464"), ("10.1.2.3:80", "10.1.2.3:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
