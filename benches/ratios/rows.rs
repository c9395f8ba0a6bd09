//! What is measured, in the order in which it is printed.

use std::time::Duration;

use crate::{
    Outcome,
    compare::{Report, Row},
    issuer,
    method::Rpc,
    process::{Cores, Server},
    service,
};

/// How long a server is asked before it is measured beside another, to see what it answers.
const GLANCE: Duration = Duration::from_millis(500);

/// Measures every row and prints the tables.
pub(crate) fn all(window: Duration) -> Outcome<()> {
    let bench = Bench::new()?;
    let mut report = Report::new(&bench.cores, window);
    bench.rows(&mut report)?;
    report.print();
    Ok(())
}

/// What the rows share.
struct Bench {
    cores: Cores,
    token: String,
    aws: Server,
    /// Settings and store of the service in front of the stand-in, and of the one without.
    whole: tempfile::TempDir,
    stubbed: tempfile::TempDir,
}

// === impl Bench ===

impl Bench {
    fn new() -> Outcome<Self> {
        let cores = Cores::find()?;
        let aws = Server::start(&cores.outside, &["aws"])?;
        let (whole, stubbed) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let token = issuer::token(whole.path())?;
        std::fs::copy(whole.path().join("jwks.json"), stubbed.path().join("jwks.json"))?;
        for folder in [&whole, &stubbed] {
            service::write_settings(folder.path(), issuer::ISSUER, &aws.address)?;
        }
        Ok(Self { cores, token, aws, whole, stubbed })
    }

    fn rows(&self, report: &mut Report<'_>) -> Outcome<()> {
        let associate = Rpc::AssociateKmsKey;
        let stubbed = self.server(&["service", "stubbed", &path(&self.stubbed)])?;
        let answer = self.answer(&stubbed, associate)?;
        let echo = || self.server(&["serve", "echo", associate.name(), &answer]);
        let (e, another) = (echo()?, echo()?);
        report.row(&self.row("0: E beside E", associate, ("E", &e), ("E", &another)))?;
        drop(another);
        report.row(&self.row("1: AWS stubbed", associate, ("E", &e), ("service", &stubbed)))?;
        drop(stubbed);

        let whole = self.server(&["service", "whole", &path(&self.whole)])?;
        let answer = self.answer(&whole, associate)?;
        let f = self.server(&["serve", "forward", associate.name(), &answer, &self.aws.address])?;
        report.row(&self.row("3: with the AWS hop", associate, ("F", &f), ("service", &whole)))?;
        drop(f);

        let caller = Rpc::GetCaller;
        let answer = self.answer(&whole, caller)?;
        let e = self.server(&["serve", "echo", caller.name(), &answer])?;
        report.row(&self.row("5: GetCaller", caller, ("E", &e), ("service", &whole)))
    }

    fn server(&self, words: &[&str]) -> Outcome<Server> {
        Server::start(&self.cores.server, words)
    }

    /// What the service says, so that the anchor can say the same.
    fn answer(&self, server: &Server, rpc: Rpc) -> Outcome<String> {
        Ok(server.load(&self.cores.generator, rpc, GLANCE, &self.token)?.answer)
    }

    fn row<'a>(
        &'a self,
        name: &'static str,
        rpc: Rpc,
        anchor: (&'static str, &'a Server),
        subject: (&'static str, &'a Server),
    ) -> Row<'a> {
        Row { name, rpc, token: &self.token, anchor, subject }
    }
}

fn path(folder: &tempfile::TempDir) -> String {
    folder.path().display().to_string()
}
