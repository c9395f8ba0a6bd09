//! The AWS stand-in that F and the service call: the embedded AWS without its quotas.

use logkey::sandbox::Sandbox;
use tokio::net::TcpListener;

use crate::{
    Outcome,
    load::CALLERS,
    method::{EXTERNAL_ID, KEY_ID, REGION, ROLE, SERVICE_KEY, account, log_group},
    parent::{parent_exit, ready},
};

/// The service identity.
const SERVICE_ROLE: &str = "arn:aws:iam::999999999999:role/LogKeyHub";

/// Serves until standard input ends.
#[tokio::main]
pub(crate) async fn serve() -> Outcome<()> {
    let mut sandbox =
        Sandbox::builder().without_quotas().journal(0).service_principal(SERVICE_ROLE, SERVICE_KEY);
    for n in 0..CALLERS {
        sandbox = sandbox.account(&account(n), |account| {
            let account = account.role(ROLE, EXTERNAL_ID).key(REGION, KEY_ID, "allow-logs");
            account.log_group(REGION, &log_group(n))
        });
    }
    let sandbox = sandbox.build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    ready(&format!("http://{}", listener.local_addr()?))?;
    sandbox.serve(listener, parent_exit()).await;
    Ok(())
}
