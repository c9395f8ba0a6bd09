//! The rows, in the order in which they are printed.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    Outcome,
    addresses::free_addresses,
    compare::{Report, Row, Side},
    issuer::{self, Issuer, Tokens},
    latency,
    method::{MAX_READ_ANSWER, Rpc, SERVICE_KEY},
    server::{Cores, Server},
    service::{self, Tenant},
    start,
};

/// The length of the window that fetches a response of the service, before the measurement.
const SHORT_WINDOW: Duration = Duration::from_millis(500);

/// Measures one row or all rows, and prints the tables.
pub(crate) fn run(only: Option<&str>, window: Duration) -> Outcome<()> {
    let bench = Bench::new()?;
    let mut report = Report::new(&bench.cores, window);
    let is_selected = |row| only.is_none_or(|only| only == row);
    if is_selected("1") || is_selected("2") {
        bench.stubbed(&mut report, only)?;
    }
    if is_selected("3") || is_selected("4") {
        bench.with_aws(&mut report, only, window)?;
    }
    if is_selected("5") {
        bench.read(&mut report)?;
    }
    if is_selected("13") {
        report.line(start::measure(bench.started.path())?);
    }
    report.print();
    Ok(())
}

/// The processes and files that the rows share.
struct Bench {
    cores: Cores,
    issuer: Issuer,
    aws: Server,
    /// The folders with the settings and store of four services: one that calls the stand-in, one with AWS
    /// stubbed in process, one whose tenant has one account, and one that is only started.
    with_aws: tempfile::TempDir,
    stubbed: tempfile::TempDir,
    one_account: tempfile::TempDir,
    started: tempfile::TempDir,
}

// === impl Bench ===

impl Bench {
    fn new() -> Outcome<Self> {
        let cores = Cores::find()?;
        let aws = Server::start(cores.outside(), &["aws"], SERVICE_KEY)?;
        let issuer = Issuer::new()?;
        let folder = |tenant| {
            let folder = tempfile::tempdir()?;
            issuer.publish(folder.path())?;
            let listen = free_addresses()?;
            service::write_settings(folder.path(), issuer::ISSUER, &aws.address, listen, tenant)?;
            Outcome::Ok(folder)
        };
        let [with_aws, stubbed, started] =
            [folder(Tenant::WIDE)?, folder(Tenant::WIDE)?, folder(Tenant::WIDE)?];
        let one_account = folder(Tenant::ONE_ACCOUNT)?;
        Ok(Self { cores, issuer, aws, with_aws, stubbed, one_account, started })
    }

    /// Rows 1 and 2, without the AWS hop.
    fn stubbed(&self, report: &mut Report<'_>, only: Option<&str>) -> Outcome<()> {
        let is_selected = |row| only.is_none_or(|only| only == row);
        let associate = Rpc::AssociateKmsKey;
        let stubbed = self.server(&["service", "stubbed", &path(&self.stubbed)])?;
        let answer = self.answer(&stubbed, associate)?;
        let echo = || self.server(&["serve", "echo", associate.name(), &answer]);
        let (e, another) = (echo()?, echo()?);
        let (e, service) = (self.side("E", &e), self.side("service", &stubbed));
        if only.is_none() {
            report.row(&row("0: E against E", associate, e, self.side("E", &another)))?;
        }
        drop(another);
        if is_selected("1") {
            report.row(&row("1: AWS stubbed", associate, e, service))?;
        }
        if is_selected("2") {
            let new = Side { name: "new tokens", tokens: Tokens::New(&self.issuer), ..service };
            report.row(&row("2: a new token each", associate, service, new))?;
        }
        Ok(())
    }

    /// Row 5. With more accounts the answer is larger, and building it would hide the rest of the cost.
    fn read(&self, report: &mut Report<'_>) -> Outcome<()> {
        let caller = Rpc::GetCaller;
        let server = self.server(&["service", "stubbed", &path(&self.one_account)])?;
        let answer = self.answer(&server, caller)?;
        let bytes = BASE64_STANDARD.decode(&answer)?.len();
        if bytes > MAX_READ_ANSWER {
            return Err(format!("row 5: the answer has {bytes} bytes, not {MAX_READ_ANSWER}").into());
        }
        let e = self.server(&["serve", "echo", caller.name(), &answer])?;
        report.row(&row("5: GetCaller", caller, self.side("E", &e), self.side("service", &server)))?;
        Ok(())
    }

    /// Rows 3 and 4, with the AWS stand-in.
    fn with_aws(&self, report: &mut Report<'_>, only: Option<&str>, window: Duration) -> Outcome<()> {
        let associate = Rpc::AssociateKmsKey;
        let server = self.server(&["service", "with-aws", &path(&self.with_aws)])?;
        let service = self.side("service", &server);
        let answer = self.answer(&server, associate)?;
        let f = self.server(&["serve", "forward", associate.name(), &answer, &self.aws.address])?;
        // Row 4 runs at half of the rate that row 3 reached.
        let reached = report.row(&row("3: with the AWS hop", associate, self.side("F", &f), service))?;
        let half = latency::AtRate { cores: &self.cores, window, rate: reached / 2.0 };
        let folder = self.with_aws.path();
        if only.is_none_or(|only| only == "4") {
            report.line(half.added(self.side("F", &f), service, folder)?);
        }
        Ok(())
    }

    fn server(&self, words: &[&str]) -> Outcome<Server> {
        Server::start(&self.cores.server, words, SERVICE_KEY)
    }

    /// A response of the service, so that the anchor can return the same.
    fn answer(&self, server: &Server, rpc: Rpc) -> Outcome<String> {
        let same = Tokens::Same(&self.issuer);
        Ok(server.load(&self.cores.generator, rpc, SHORT_WINDOW, same, None)?.answer)
    }

    fn side<'a>(&'a self, name: &'static str, server: &'a Server) -> Side<'a> {
        Side { name, server, tokens: Tokens::Same(&self.issuer) }
    }
}

fn row<'a>(name: &'static str, rpc: Rpc, anchor: Side<'a>, subject: Side<'a>) -> Row<'a> {
    Row { name, rpc, anchor, subject }
}

fn path(folder: &tempfile::TempDir) -> String {
    folder.path().display().to_string()
}
