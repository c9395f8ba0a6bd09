//! Parses a seed from TOML, element by element, so that one error does not hide the next.

use std::str::FromStr;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{
    check::check,
    contents::{AccountSeed, Seed},
    error::{SeedError, SeedErrors},
};

#[derive(Default)]
struct Reader(Vec<SeedError>);

// === impl Seed ===

impl FromStr for Seed {
    type Err = SeedErrors;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut reader = Reader::default();
        let mut seed = Self::default();
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error
                .span()
                .map_or(1, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
            SeedErrors(vec![SeedError {
                location: format!("line {line}"),
                message: error.message().to_owned(),
            }])
        })?;
        for (name, value) in table {
            match name.as_str() {
                "hub" => seed.service_principal = reader.read(value, &name),
                "quotas" => seed.quotas = reader.read(value, &name),
                "verify_signatures" => seed.verify_signatures = reader.read(value, &name),
                "journal" => seed.journal = reader.read(value, &name).unwrap_or_default(),
                "faults" => seed.faults = reader.list(value, &name),
                "event_queue" => seed.event_queue = reader.read(value, &name),
                "accounts" => {
                    let tables: Vec<Value> = reader.read(value, &name).unwrap_or_default();
                    for (at, table) in tables.into_iter().enumerate() {
                        let location = format!("accounts[{at}]");
                        seed.accounts.extend(reader.account(table, &location));
                    }
                }
                _ => reader.error(
                    &name,
                    "unknown field; expected hub, quotas, verify_signatures, journal, event_queue, accounts or faults",
                ),
            }
        }
        if reader.0.is_empty() {
            return Ok(seed);
        }
        // Check the parsed part too. Assume that every referenced key exists, because its entry may have
        // failed to parse.
        reader.0.extend(check(&seed, |_key| true));
        Err(SeedErrors(reader.0))
    }
}

// === impl Reader ===

impl Reader {
    fn account(&mut self, value: Value, location: &str) -> Option<AccountSeed> {
        let table: Table = self.read(value, location)?;
        let mut account = AccountSeed::default();
        if !table.contains_key("account_id") {
            self.error(location, "account_id is missing");
        }
        for (name, value) in table {
            let location = format!("{location}.{name}");
            match name.as_str() {
                "account_id" => account.account_id = self.read(value, &location).unwrap_or_default(),
                "regions" => account.regions = self.read(value, &location).unwrap_or_default(),
                "quotas" => account.quotas = self.read(value, &location),
                "queries" => account.queries = self.read(value, &location),
                "query_results" => account.query_results = self.read(value, &location).unwrap_or_default(),
                "roles" => account.roles = self.list(value, &location),
                "keys" => account.keys = self.list(value, &location),
                "log_groups" => account.log_groups = self.list(value, &location),
                "queues" => account.queues = self.list(value, &location),
                _ => self.error(
                    &location,
                    "unknown field; expected account_id, regions, quotas, queries, query_results, roles, keys, log_groups or queues",
                ),
            }
        }
        Some(account)
    }

    fn list<T: DeserializeOwned>(&mut self, value: Value, location: &str) -> Vec<T> {
        let values: Vec<Value> = self.read(value, location).unwrap_or_default();
        let mut list = Vec::new();
        for (at, value) in values.into_iter().enumerate() {
            list.extend(self.read(value, &format!("{location}[{at}]")));
        }
        list
    }

    fn read<T: DeserializeOwned>(&mut self, value: Value, location: &str) -> Option<T> {
        match value.try_into() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.error(location, error.message());
                None
            }
        }
    }

    fn error(&mut self, location: &str, message: &str) {
        self.0.push(SeedError { location: location.to_owned(), message: message.to_owned() });
    }
}
