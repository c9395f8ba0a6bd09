//! In which places a caller may ask about a key: with the key's tags in hand where a policy goes by them.

use std::sync::Arc;

use super::{Permits, locate};
use crate::{
    domain::{
        arn::KmsKeyArn,
        ask::AskUsage,
        association::{GetKeyUsage, ListKeyAssociations, Place, UnresolvedPlace},
        authorization::{Access, Authorized, Denial, Facts, Question},
        aws::AccountId,
        call::Call,
        principal::Principal,
        tenant::Tenant,
    },
    service::{Error, KeyBroker, trail::Trail},
};

impl KeyBroker {
    /// The places in which the caller may ask about the key: the one that was said, or all of the
    /// tenant's in the key's Region, since a key encrypts in its own Region only.
    pub(super) async fn usage_permits(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        about: (&KmsKeyArn, &AskUsage),
        trail: &mut Trail,
    ) -> Result<Permits, Error> {
        let (key, AskUsage { key: named, place: said, .. }) = about;
        let region = key.region().clone();
        if let Some(said) = said.region.as_ref().filter(|said| **said != region) {
            return Err(Error::KeyRegionMismatch { key: region, target: said.clone() });
        }
        let command = |account| {
            let place = Place { account, region: region.clone() };
            GetKeyUsage { place, key: Some(key.clone()) }
        };
        let commands: Vec<GetKeyUsage> = if let Some(account) = said.account {
            let place = UnresolvedPlace { account: Some(account), region: Some(region.clone()) };
            locate::place(tenant, &place)?;
            vec![command(account)]
        } else {
            let opened = tenant.accounts.iter().filter(|grant| grant.opens_region(&region));
            opened.map(|grant| command(grant.account)).collect()
        };
        let facts = self.usage_facts(call, who, tenant, (key, &commands), trail).await?;
        let (mut permits, mut refusal) = (Permits::new(), None);
        for command in commands {
            let policy = |question: &Question<'_>| self.decide(question);
            match Authorized::decide_knowing(&facts, policy, call, who, tenant, command) {
                Ok(permit) => permits.push(permit),
                Err(Denial::NotPermitted) => {}
                Err(denial) => refusal = refusal.or(Some(denial)),
            }
        }
        if let Some(permit) = permits.first() {
            trail.allowed(permit.policies());
            return Ok(permits);
        }
        let denial = refusal.unwrap_or(Denial::NotPermitted);
        trail.denied(&denial);
        Err(match denial {
            Denial::Forbidden { policies } | Denial::Undecided { policies } => Error::NotAllowed { policies },
            // By the name that it was asked for: what an alias leads to is not told.
            Denial::NotPermitted => {
                Error::KeyNotFound { key: named.clone(), place: Place { account: key.account(), region } }
            }
        })
    }

    /// Leave to look at what a place holds before the key is known that is asked about: for whoever may
    /// ask about keys there whichever they are, or may list what is there.
    pub(super) fn usage_look(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        place: &Place,
        trail: &mut Trail,
    ) -> Result<Access, Error> {
        let policy = |question: &Question<'_>| self.decide(question);
        let any = GetKeyUsage { place: place.clone(), key: None };
        // A policy that goes by the key refuses a question without one.
        if let Ok(permit) = Authorized::decide(policy, call, who, tenant, any) {
            return Ok(permit.access().clone());
        }
        let list = ListKeyAssociations { place: place.clone() };
        self.permit(call, who, tenant, list, trail).map(|permit| permit.access().clone())
    }

    /// The key's tags, where a policy about one of the commands goes by them; they are the same for all.
    async fn usage_facts(
        &self,
        call: &Call,
        who: &Principal,
        tenant: &Arc<Tenant>,
        about: (&KmsKeyArn, &[GetKeyUsage]),
        trail: &mut Trail,
    ) -> Result<Facts, Error> {
        let (key, commands) = about;
        let wanted = |command: &GetKeyUsage| {
            Authorized::wants(|question| self.wants(question), call, who, tenant, command).key_tags
        };
        let mut asked = commands.iter().map(|command| (&command.place, wanted(command)));
        let Some((place, policies)) = asked.find(|(_, policies)| !policies.is_empty()) else {
            return Ok(Facts::default());
        };
        // KMS shows tags within the key's own account alone.
        let own = Place { account: key.account(), region: key.region().clone() };
        let place = if is_open(tenant, own.account, key) { &own } else { place };
        let access = self.usage_look(call, who, tenant, place, trail)?;
        let tags = self.key_tags(&access, key, &policies, call, trail).await?;
        Ok(Facts { key_tags: Some(tags), ..Facts::default() })
    }
}

fn is_open(tenant: &Tenant, account: AccountId, key: &KmsKeyArn) -> bool {
    tenant.grant(account).is_some_and(|grant| grant.opens_region(key.region()))
}
