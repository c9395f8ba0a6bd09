//! The servers: E, a bare tonic server with a fixed response, and the service as `logkey serve` runs it. Both
//! answer `GetCaller`, which does not call AWS.

use std::{fs, path::Path};

use logkey::{
    app::{
        AdminPort, App, Listeners,
        telemetry::{self, ProcessTelemetry},
    },
    config::{EmptyEnv, Settings, join_diagnostics},
    proto::{
        GetCallerRequest, GetCallerResponse, GetOnboardingRequest, GetOnboardingResponse, TestAccessRequest,
        TestAccessResponse,
        tenant_service_server::{TenantService, TenantServiceServer},
    },
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::{
    Outcome,
    parent::{parent_exit, ready},
    token::ISSUER,
};

/// The service's limit of calls in flight.
pub(crate) const MAX_IN_FLIGHT: usize = 256;
/// Calls per second of the tenant that has a limit.
pub(crate) const LIMIT: u32 = 50;
/// Limits that are checked but never reached.
const NO_LIMIT: u32 = 1_000_000;

/// Answers every call with the same response.
struct Echo(GetCallerResponse);

#[tonic::async_trait]
impl TenantService for Echo {
    async fn get_caller(&self, _: Request<GetCallerRequest>) -> Result<Response<GetCallerResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn get_onboarding(
        &self,
        _: Request<GetOnboardingRequest>,
    ) -> Result<Response<GetOnboardingResponse>, Status> {
        Err(Status::unimplemented("the echo server does not implement this"))
    }

    async fn test_access(
        &self,
        _: Request<TestAccessRequest>,
    ) -> Result<Response<TestAccessResponse>, Status> {
        Err(Status::unimplemented("the echo server does not implement this"))
    }
}

/// Serves E until standard input ends.
#[tokio::main]
pub(crate) async fn echo() -> Outcome<()> {
    let answer = GetCallerResponse {
        tenant_id: "good".into(),
        subject: "bench@example.com".into(),
        issuer: ISSUER.into(),
        scopes: vec!["logkey:read".into()],
        ..GetCallerResponse::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    ready(&listener.local_addr()?.to_string())?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let router = Server::builder().add_service(TenantServiceServer::new(Echo(answer)));
    Ok(router.serve_with_incoming_shutdown(incoming, parent_exit()).await?)
}

/// Runs the service with the settings in `folder` until standard input ends.
#[tokio::main]
pub(crate) async fn service(folder: &str) -> Outcome<()> {
    let settings = Settings::load(&Path::new(folder).join("logkey.toml"), &EmptyEnv);
    let settings = settings.map_err(|diagnostics| join_diagnostics(&diagnostics))?;
    let ProcessTelemetry { metrics, log: _log } = telemetry::init(&settings.telemetry, None)?;
    let app = App::start(settings, None).await?;
    let free = || TcpListener::bind("127.0.0.1:0");
    let listeners = Listeners { grpc: free().await?, admin: AdminPort::serve(free().await?, Some(metrics)) };
    ready(&listeners.grpc.local_addr()?.to_string())?;
    Ok(app.run(listeners, parent_exit()).await?)
}

/// Writes the settings of the service into `folder`, next to `jwks.json`.
pub(crate) fn write_settings(folder: &Path) -> Outcome<()> {
    let here = folder.display();
    let tenant = |id: &str, per_second: u32| {
        format!(
            "[[tenants]]\nid = \"{id}\"\nissuers = [\"{ISSUER}\"]\n\
             limits = {{ per_second = {per_second}, burst = {per_second}, max_in_flight = 10000 }}\n"
        )
    };
    let settings = format!(
        "[server]\nmax_in_flight = {MAX_IN_FLIGHT}\n[store]\nurl = \"sqlite://{here}/logkey.db\"\n\
         [audit]\nreads = false\n[[auth.issuers]]\nissuer = \"{ISSUER}\"\naudiences = [\"logkey\"]\n\
         jwks_file = \"{here}/jwks.json\"\nalgorithms = [\"ES256\"]\n{}{}",
        tenant("good", NO_LIMIT),
        tenant("greedy", LIMIT),
    );
    Ok(fs::write(folder.join("logkey.toml"), settings)?)
}
