//! `[[tenants]]` and `tenants_dir`: the tenants and their grants.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::PathBuf,
    sync::Arc,
};

use super::{
    interner::Interner, limits, reader, reader::Reader, rules, section::Section, tree::Source, value,
};
use crate::{
    auth::IssuerConfig,
    aws::grant_fits_session_policy,
    domain::{
        aws::{AccountId, Partition, Region, RoleArn},
        tenant::{AccountGrant, Limits, Tenant, TenantId, Tenants},
        time::Timestamp,
    },
};

/// Other settings that tenants depend on.
pub(super) struct TenantContext<'k> {
    /// The limits of a tenant that configures none.
    pub(super) limits: Limits,
    /// The issuers that tenants may name.
    pub(super) issuers: &'k [IssuerConfig],
}

/// Every `*.toml` file in the folder `tenants_dir`, in the order of the names.
pub(super) fn files(root: &Section<'_>) -> Vec<PathBuf> {
    let Some(folder) = root.path("tenants_dir") else { return Vec::new() };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            root.report(
                "tenants_dir",
                &format!("refers to {}: {}", folder.display(), reader::io_message(&error)),
            );
            return Vec::new();
        }
    };
    root.reader().track_file(folder.clone());
    // Editors and Kubernetes use names that begin with a dot for their own files.
    let is_tenant = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "toml")
            && path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_tenant).collect();
    paths.sort_unstable();
    paths
}

/// Reads the tenants of the main document and of `files`.
pub(super) fn read(root: &Section<'_>, files: &[PathBuf], context: &TenantContext<'_>) -> Option<Tenants> {
    let mut tenants = TenantSet::new(root.reader(), context);
    for section in root.sections("tenants") {
        tenants.add(&section);
    }
    for file in files {
        let mut before = 0;
        root.reader().for_each_part(file, |at, table| {
            let document = Section::root(at, table, root.reader());
            if document.has("tenants") {
                let sections = document.sections_after(before, "tenants");
                before += sections.len();
                for section in &sections {
                    tenants.add(section);
                }
            } else {
                tenants.add(&document);
            }
        });
    }
    Tenants::new(tenants.tenants).ok()
}

/// The tenants so far, and the place of the first use of each id and claim value.
struct TenantSet<'k> {
    reader: &'k Reader,
    context: &'k TenantContext<'k>,
    issuers: HashSet<&'k str>,
    ids: HashMap<TenantId, Source>,
    claims: HashMap<(Arc<str>, Arc<str>), Source>,
    shared: Interner,
    /// The time of the load, for what has expired.
    now: Timestamp,
    tenants: Vec<Tenant>,
}

// === impl TenantSet ===

impl<'k> TenantSet<'k> {
    fn new(reader: &'k Reader, context: &'k TenantContext<'k>) -> Self {
        let issuers = context.issuers.iter().map(|issuer| issuer.issuer.as_ref()).collect();
        let (ids, claims, shared, tenants) = Default::default();
        let now = Timestamp::from_micros(jiff::Timestamp::now().as_microsecond());
        Self { reader, context, issuers, ids, claims, shared, now, tenants }
    }

    fn add(&mut self, section: &Section<'_>) {
        let id: Option<TenantId> = section.required("id", "\"payments\"", value::parsed);
        let issuers = self.read_issuers(section);
        let claim_values = section.list("claim_values", value::text);
        let limits = limits::read_tenant(&section.section("limits"), self.context.limits);
        let suspended = section.or_default("suspended", false, value::boolean);
        let accounts = self.read_accounts(section);
        let rules = rules::read(section, &accounts, self.now);
        let Some(id) = id else { return };

        if self.is_duplicate(id.clone(), section) {
            return;
        }
        let claim_values = claim_values
            .map_or_else(|| vec![id.as_claim_value()], |values| values.into_iter().map(Arc::from).collect());
        self.register_claims(&issuers, &claim_values, section);
        self.tenants.push(Tenant { id, issuers, claim_values, suspended, limits, accounts, rules });
    }

    fn is_duplicate(&mut self, id: TenantId, section: &Section<'_>) -> bool {
        let at = section.location_of("id");
        let Some(first) = self.ids.insert(id, at) else { return false };
        section.report(
            "id",
            &format!("is already used at {}: give each tenant its own id", self.reader.location(first)),
        );
        true
    }

    /// Reports a value of the tenant claim that identifies two tenants of one issuer.
    fn register_claims(&mut self, issuers: &[Arc<str>], values: &[Arc<str>], section: &Section<'_>) {
        let key = if section.has("claim_values") { "claim_values" } else { "id" };
        let at = section.location_of(key);
        for issuer in issuers {
            for value in values {
                if let Some(first) = self.claims.insert((Arc::clone(issuer), Arc::clone(value)), at) {
                    let first = self.reader.location(first);
                    section.report(
                        key,
                        &format!(
                            "contains a value that already identifies the tenant at {first}, for the same issuer: \
                             give each tenant its own values"
                        ),
                    );
                }
            }
        }
    }

    fn read_issuers(&self, section: &Section<'_>) -> Vec<Arc<str>> {
        let is_registered = |node: &_| {
            let issuer = value::text(node)?;
            if self.issuers.contains(issuer.as_str()) {
                return Ok(self.shared.text(issuer));
            }
            Err("is not the issuer of any [[auth.issuers]]: write exactly the same text as there".to_owned())
        };
        section.required_list("issuers", "[\"https://idp.example.com\"]", is_registered).unwrap_or_default()
    }

    fn read_accounts(&self, section: &Section<'_>) -> Vec<Arc<AccountGrant>> {
        let mut first_locations: HashMap<AccountId, Source> = HashMap::new();
        let mut grants = Vec::new();
        for section in section.sections("accounts") {
            let Some(grant) = read_grant(&section, &self.shared) else { continue };
            if let Some(first) = first_locations.insert(grant.account, section.location_of("account_id")) {
                let first = self.reader.location(first);
                section.report("account_id", &format!("is already listed at {first}: merge the two entries"));
                continue;
            }
            grants.push(Arc::new(grant));
        }
        grants
    }
}

fn read_grant(section: &Section<'_>, shared: &Interner) -> Option<AccountGrant> {
    let account: Option<AccountId> = section.required("account_id", "\"111122223333\"", value::parsed);
    let role: Option<RoleArn> =
        section.required("role_arn", "\"arn:aws:iam::111122223333:role/LogKeyAssociator\"", value::parsed);
    let external_id =
        section.required_secret("external_id", "external_id_file", "\"payments.external-id\"", value::parsed);
    let regions: Option<Vec<Region>> = section.required_list("regions", "[\"eu-west-1\"]", value::parsed);
    let log_groups = section.required_list("log_groups", "[\"/payments/*\"]", value::parsed);
    let kms_keys = section.required_list("kms_keys", "[\"arn:aws:kms:*:111122223333:key/*\"]", value::parsed);
    let query_results = section.or_default("query_results", false, value::boolean);
    let verify_query_results = section.or_default("verify_query_results", false, value::boolean);
    if verify_query_results && !query_results {
        section.warn(
            "verify_query_results",
            "has no effect without query_results = true: the tenant cannot read the key of query results",
        );
    }
    if let (Some(account), Some(role)) = (account, &role)
        && role.account() != account
    {
        section.report(
            "role_arn",
            "belongs to a different account than account_id: name a role of that account",
        );
    }
    if let (Some(role), Some(regions)) = (&role, &regions)
        && regions.iter().any(|region| Partition::of(region) != role.partition())
    {
        section.report(
            "regions",
            "contains a Region of a different AWS partition than role_arn: write a separate entry for its account",
        );
    }
    let grant = AccountGrant {
        account: account?,
        role: role?,
        external_id: external_id?,
        regions: shared.regions(regions?),
        log_groups: log_groups?,
        kms_keys: kms_keys?,
        query_results,
        verify_query_results,
    };
    if !grant_fits_session_policy(&grant) {
        section.warn(
            "log_groups",
            "does not fit, together with kms_keys, into the 2,048 characters of a session policy: AWS restricts the sessions of this role less, and only the service itself enforces the patterns; use fewer and wider patterns, or several roles",
        );
    }
    Some(grant)
}
