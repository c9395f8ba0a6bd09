//! Builds the settings of a service as TOML text. The tests in this process, and those of the binary and of
//! its crashes, start from it.

use std::{
    fmt::{self, Write as _},
    net::SocketAddr,
    path::Path,
};

use super::issuer::ISSUER;

/// Settings as a list of tables, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct SettingsText(Vec<(String, String)>);

/// One account of a tenant, with the role, external id and names that the tests give it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccountText<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) kms_keys: &'a str,
}

// === impl SettingsText ===

impl SettingsText {
    /// Adds lines to a table such as `[server]`. It may be called repeatedly for one table.
    pub(crate) fn table(mut self, name: &str, lines: &str) -> Self {
        let header = format!("[{name}]");
        match self.0.iter_mut().find(|(other, _)| *other == header) {
            Some((_, text)) => text.push_str(lines),
            None => self.0.push((header, lines.to_owned())),
        }
        self
    }

    /// Adds an element of an array of tables such as `[[tenants]]`.
    pub(crate) fn element(mut self, name: &str, lines: &str) -> Self {
        self.0.push((format!("[[{name}]]"), lines.to_owned()));
        self
    }

    /// The addresses of the gRPC port and of the admin port. A stop begins to drain at once.
    pub(crate) fn listen(self, grpc: SocketAddr, admin: SocketAddr) -> Self {
        self.table(
            "server",
            &format!("listen = \"{grpc}\"\nadmin_listen = \"{admin}\"\ndrain_delay = \"0s\"\n"),
        )
    }

    /// The URL of the store.
    pub(crate) fn store(self, url: &str) -> Self {
        self.table("store", &format!("url = \"{url}\"\n"))
    }

    /// A SQLite store in this folder.
    pub(crate) fn sqlite(self, folder: &Path) -> Self {
        self.store(&format!("sqlite://{}", folder.join("logkey.db").display()))
    }

    /// An issuer whose keys are in this file. Only [`ISSUER`] may grant `logkey:admin`.
    pub(crate) fn issuer(self, issuer: &str, jwks_file: &Path) -> Self {
        let jwks_file = jwks_file.display();
        let admin = if issuer == ISSUER { "may_grant_admin = true\n" } else { "" };
        let lines =
            format!("issuer = \"{issuer}\"\naudiences = [\"logkey\"]\n{admin}jwks_file = \"{jwks_file}\"\n");
        self.element("auth.issuers", &lines)
    }

    /// The embedded AWS.
    pub(crate) fn aws(self, endpoint: &str) -> Self {
        self.table("aws", &format!("endpoint_url = \"{endpoint}\"\n"))
    }

    /// A tenant whose callers have tokens of [`ISSUER`].
    pub(crate) fn tenant(self, id: &str, more: &str) -> Self {
        self.element("tenants", &format!("id = \"{id}\"\nissuers = [\"{ISSUER}\"]\n{more}"))
    }

    /// An account of the tenant before it, with the external id `TENANT-external-id`.
    pub(crate) fn account(self, account: &AccountText<'_>, more: &str) -> Self {
        let external_id = format!("external_id = \"{}-external-id\"\n", account.tenant);
        self.account_with(account, &external_id, more)
    }

    /// An account of the tenant before it, with this line for the external id.
    pub(crate) fn account_with(self, account: &AccountText<'_>, external_id: &str, more: &str) -> Self {
        let AccountText { tenant, account, region, kms_keys } = account;
        let lines = format!(
            "account_id = \"{account}\"\nrole_arn = \"arn:aws:iam::{account}:role/LogKeyAssociator\"\n\
             {external_id}regions = [\"{region}\"]\nlog_groups = [\"/{tenant}/*\"]\nkms_keys = [\"{kms_keys}\"]\n{more}"
        );
        self.element("tenants.accounts", &lines)
    }
}

impl fmt::Display for SettingsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (header, lines) in &self.0 {
            writeln!(f, "{header}\n{lines}")?;
        }
        f.write_char('\n')
    }
}
