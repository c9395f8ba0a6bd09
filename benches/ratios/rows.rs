//! What is measured, in the order in which it is printed.

use std::{net::TcpListener, time::Duration};

use crate::{
    Outcome,
    compare::{Report, Row, Side},
    issuer::{self, Issuer, Tokens},
    latency,
    method::Rpc,
    process::{Cores, Server},
    service, start,
};

/// How long a server is asked before it is measured beside another, to see what it answers.
const GLANCE: Duration = Duration::from_millis(500);

/// Measures every row, or one, and prints the tables.
pub(crate) fn run(only: Option<&str>, window: Duration) -> Outcome<()> {
    let bench = Bench::new()?;
    let mut report = Report::new(&bench.cores, window);
    let is_selected = |row| only.is_none_or(|only| only == row);
    if is_selected("1") || is_selected("2") {
        bench.stubbed(&mut report, only)?;
    }
    if ["3", "4", "5"].into_iter().any(is_selected) {
        bench.whole(&mut report, only, window)?;
    }
    if is_selected("13") {
        report.line(start::measured(bench.started.path())?);
    }
    report.print();
    Ok(())
}

/// What the rows share.
struct Bench {
    cores: Cores,
    issuer: Issuer,
    aws: Server,
    /// Settings and store of the service in front of the stand-in, of the one without, and of one that is
    /// only started.
    whole: tempfile::TempDir,
    stubbed: tempfile::TempDir,
    started: tempfile::TempDir,
}

// === impl Bench ===

impl Bench {
    fn new() -> Outcome<Self> {
        let cores = Cores::find()?;
        let aws = Server::start(&cores.outside, &["aws"])?;
        let issuer = Issuer::new()?;
        let [whole, stubbed, started] = [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
        for folder in [&whole, &stubbed, &started] {
            issuer.publish(folder.path())?;
            service::write_settings(folder.path(), issuer::ISSUER, &aws.address, free()?)?;
        }
        Ok(Self { cores, issuer, aws, whole, stubbed, started })
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
            report.row(&row("0: E beside E", associate, e, self.side("E", &another)))?;
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

    /// Rows 3 to 5, in front of the AWS stand-in.
    fn whole(&self, report: &mut Report<'_>, only: Option<&str>, window: Duration) -> Outcome<()> {
        let is_selected = |row| only.is_none_or(|only| only == row);
        let associate = Rpc::AssociateKmsKey;
        let whole = self.server(&["service", "whole", &path(&self.whole)])?;
        let service = self.side("service", &whole);
        if is_selected("5") {
            let caller = Rpc::GetCaller;
            let answer = self.answer(&whole, caller)?;
            let e = self.server(&["serve", "echo", caller.name(), &answer])?;
            report.row(&row("5: GetCaller", caller, self.side("E", &e), service))?;
        }
        if !is_selected("3") && !is_selected("4") {
            return Ok(());
        }
        let answer = self.answer(&whole, associate)?;
        let f = self.server(&["serve", "forward", associate.name(), &answer, &self.aws.address])?;
        // Row 4 is at half of what row 3 reached.
        let reached = report.row(&row("3: with the AWS hop", associate, self.side("F", &f), service))?;
        let half = latency::AtRate { cores: &self.cores, window, rate: reached / 2.0 };
        let folder = self.whole.path();
        if is_selected("4") {
            report.line(half.added(self.side("F", &f), service, folder)?);
        }
        Ok(())
    }

    fn server(&self, words: &[&str]) -> Outcome<Server> {
        Server::start(&self.cores.server, words)
    }

    /// What the service says, so that the anchor can say the same.
    fn answer(&self, server: &Server, rpc: Rpc) -> Outcome<String> {
        let same = Tokens::Same(&self.issuer);
        Ok(server.load(&self.cores.generator, rpc, GLANCE, same, None)?.answer)
    }

    fn side<'a>(&'a self, name: &'static str, server: &'a Server) -> Side<'a> {
        Side { name, server, tokens: Tokens::Same(&self.issuer) }
    }
}

fn row<'a>(name: &'static str, rpc: Rpc, anchor: Side<'a>, subject: Side<'a>) -> Row<'a> {
    Row { name, rpc, anchor, subject }
}

/// Addresses that nobody listens on, for a server that cannot tell its own.
fn free() -> Outcome<[std::net::SocketAddr; 2]> {
    let [one, other] = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([one.local_addr()?, other.local_addr()?])
}

fn path(folder: &tempfile::TempDir) -> String {
    folder.path().display().to_string()
}
