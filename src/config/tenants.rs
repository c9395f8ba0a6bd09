//! `[[tenants]]` and `tenants_dir`: who the tenants are, and what stands open to them.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::PathBuf,
    sync::Arc,
};

use super::{interner::Interner, limits, reader, reader::Reader, section::Section, tree::Source, value};
use crate::{
    auth::IssuerConfig,
    aws::grant_fits_session_policy,
    domain::{
        aws::{AccountId, Partition, Region, RoleArn},
        tenant::{AccountGrant, Limits, Tenant, TenantId, Tenants},
    },
};

/// What tenants are held against.
pub(super) struct RegisteredIssuers<'k> {
    /// Limits of a tenant that has none of its own.
    pub(super) limits: Limits,
    /// Issuers that tenants may name.
    pub(super) issuers: &'k [IssuerConfig],
}

/// Every `*.toml` of the folder that `tenants_dir` leads to, in the order of their names.
pub(super) fn files(root: &Section<'_>) -> Vec<PathBuf> {
    let Some(folder) = root.path("tenants_dir") else { return Vec::new() };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) => {
            root.report(
                "tenants_dir",
                &format!("leads to {}: {}", folder.display(), reader::toml_message(&error)),
            );
            return Vec::new();
        }
    };
    root.reader().track_file(folder.clone());
    // Names that begin with a dot are editors' and Kubernetes' own.
    let is_tenant = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "toml")
            && path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_tenant).collect();
    paths.sort_unstable();
    paths
}

/// Reads the tenants of the main document and of the folder's files.
pub(super) fn read(
    root: &Section<'_>,
    files: &[PathBuf],
    registered: &RegisteredIssuers<'_>,
) -> Option<Tenants> {
    let mut gathered = TenantSet::new(root.reader(), registered);
    for section in root.sections("tenants") {
        gathered.add(&section);
    }
    for file in files {
        let mut before = 0;
        root.reader().parts(file, |at, table| {
            let document = Section::root(at, table, root.reader());
            if document.has("tenants") {
                let sections = document.sections_after(before, "tenants");
                before += sections.len();
                for section in &sections {
                    gathered.add(section);
                }
            } else {
                gathered.add(&document);
            }
        });
    }
    Tenants::new(gathered.tenants).ok()
}

/// The tenants so far, and where each of their names was first said.
struct TenantSet<'k> {
    reader: &'k Reader,
    registered: &'k RegisteredIssuers<'k>,
    issuers: HashSet<&'k str>,
    ids: HashMap<TenantId, Source>,
    claims: HashMap<(Arc<str>, Arc<str>), Source>,
    shared: Interner,
    tenants: Vec<Tenant>,
}

// === impl Gathered ===

impl<'k> TenantSet<'k> {
    fn new(reader: &'k Reader, registered: &'k RegisteredIssuers<'k>) -> Self {
        let issuers = registered.issuers.iter().map(|issuer| issuer.issuer.as_ref()).collect();
        let (ids, claims, shared, tenants) = Default::default();
        Self { reader, registered, issuers, ids, claims, shared, tenants }
    }

    fn add(&mut self, section: &Section<'_>) {
        let id: Option<TenantId> = section.required("id", "\"payments\"", value::parsed);
        let issuers = self.read_issuers(section);
        let claim_values = section.list("claim_values", value::text);
        let limits = limits::read_tenant(&section.section("limits"), self.registered.limits);
        let suspended = section.or_default("suspended", false, value::boolean);
        let accounts = self.read_accounts(section);
        let Some(id) = id else { return };

        if self.check_unique(id.clone(), section) {
            return;
        }
        let claim_values = claim_values
            .map_or_else(|| vec![id.as_claim_value()], |values| values.into_iter().map(Arc::from).collect());
        self.parse_claim(&issuers, &claim_values, section);
        self.tenants.push(Tenant { id, issuers, claim_values, suspended, limits, accounts });
    }

    fn check_unique(&mut self, id: TenantId, section: &Section<'_>) -> bool {
        let at = section.location_of("id");
        let Some(first) = self.ids.insert(id, at) else { return false };
        section.report(
            "id",
            &format!("is taken by {}: give each tenant a name of its own", self.reader.location(first)),
        );
        true
    }

    /// A value of the tenant claim means one tenant, for each issuer.
    fn parse_claim(&mut self, issuers: &[Arc<str>], values: &[Arc<str>], section: &Section<'_>) {
        let key = if section.has("claim_values") { "claim_values" } else { "id" };
        let at = section.location_of(key);
        for issuer in issuers {
            for value in values {
                if let Some(first) = self.claims.insert((Arc::clone(issuer), Arc::clone(value)), at) {
                    let first = self.reader.location(first);
                    section.report(
                        key,
                        &format!(
                            "holds a value that means the tenant at {first} already, for the same issuer: \
                                  let each value mean one tenant"
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
            Err("is the issuer of no [[auth.issuers]]: write it exactly as it stands there".to_owned())
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
                section.report("account_id", &format!("stands at {first} already: put the two together"));
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
            "has no use without query_results = true: the tenant cannot read the key of query results",
        );
    }
    if let (Some(account), Some(role)) = (account, &role)
        && role.account() != account
    {
        section
            .report("role_arn", "is a role of another account than account_id: name a role of that account");
    }
    if let (Some(role), Some(regions)) = (&role, &regions)
        && regions.iter().any(|region| Partition::of(region) != role.partition())
    {
        section.report(
            "regions",
            "holds a Region of another AWS partition than role_arn: give it an account entry of its own",
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
            "does not fit, together with kms_keys, into the 2,048 characters of a session policy: sessions of the role are narrowed less, and only this service itself holds the tenant to its patterns; use fewer and wider ones, or several roles",
        );
    }
    Some(grant)
}
