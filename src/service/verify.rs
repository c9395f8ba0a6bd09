//! The key of query results as AWS uses it, told by a query that is run for that, where the account's
//! grant asks for it. What a query cannot tell stays with our own record.

use std::time::{Duration, Instant};

use super::{Error, KeyBroker, change::feedback, replay::seldom, trail::Trail};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::{LogGroupName, Resource, SETTLING, Source, Target},
        authorization::Access,
        call::Call,
        history::{Known, Retention, Sighting},
        principal::Principal,
    },
    ports::{
        Answered, LogGroup, Unavailable, UpstreamError,
        limit::{Lane, Operation},
        queries::{QueryId, QueryRun},
    },
};

/// Longest time that is spent on one query, from looking for a log group to its end.
const PATIENCE: Duration = Duration::from_secs(8);
/// The share of what is left of a call's time that may be spent on it: the rest is for the answer.
const SHARE: f64 = 0.75;
/// How long a query is left alone before the first look at it; each further wait is twice as long.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// Longest wait between two looks.
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// Longest wait for a change of the key to come to its end, before what a query showed counts for nothing.
const MOMENT: Duration = Duration::from_secs(1);
/// Pages of log groups that are read to find one that can be queried.
const MOST_PAGES: usize = 5;
/// The class whose log groups cannot be queried.
const NOT_QUERIED: &str = "DELIVERY";

/// What a query showed of query results.
pub(super) enum Verified {
    /// The grant does not ask for it.
    Off,
    /// This is so.
    Shown(Sighting),
    /// It could not be told.
    Unknown(Why),
}

/// Why a query told nothing.
#[derive(Debug)]
pub(super) struct Why {
    /// In words.
    pub(super) said: String,
    /// What would help.
    pub(super) helps: Helps,
}

/// What would make a query tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Helps {
    /// Another try, later.
    Time,
    /// A permission that the role lacks.
    Permission,
    /// Nothing that is known.
    Nothing,
}

/// What is known of the key of query results.
pub(super) struct ResultsKey {
    /// Nothing, where there is neither a record nor a query that told.
    pub(super) known: Option<Known>,
    /// On what that is based.
    pub(super) source: Source,
}

impl KeyBroker {
    /// What is known of the key of query results; `resource` is theirs.
    pub(super) async fn results_key(
        &self,
        call: &Call,
        who: &Principal,
        access: &Access,
        resource: &Resource,
        trail: &mut Trail,
    ) -> Result<ResultsKey, Unavailable> {
        let shown = self.verified(call, who, access, trail).await;
        // While it is held nothing is changed from here, so that what the record says is the whole of it.
        let held = match &shown {
            Verified::Shown(_) => {
                let soon = tokio::time::Instant::now().into_std() + MOMENT;
                self.serial.hold(resource, soon.min(call.deadline)).await
            }
            Verified::Off | Verified::Unknown(_) => None,
        };
        let shown = match shown {
            Verified::Shown(_) if held.is_none() => Verified::Unknown(Why::for_now("a change is under way")),
            shown @ (Verified::Off | Verified::Shown(_) | Verified::Unknown(_)) => shown,
        };
        let known = self.ports.history.known(std::slice::from_ref(resource)).await;
        let known = known.map(|known| known.into_iter().next());
        if let Some(sighting) = news(shown, known.as_ref().ok().and_then(Option::as_ref), trail) {
            let known = Some(Known::with(known.ok().flatten(), &sighting));
            self.saw([sighting]);
            return Ok(ResultsKey { known, source: Source::Live });
        }
        Ok(ResultsKey { known: known?, source: Source::Recorded })
    }

    /// What a query shows of the key of query results that is about to be replaced; none where the record
    /// is all there is. Whoever calls it holds them.
    pub(super) async fn results_before(
        &self,
        call: &Call,
        who: &Principal,
        access: &Access,
        known: Option<&Known>,
        trail: &mut Trail,
    ) -> Option<Sighting> {
        news(self.verified(call, who, access, trail).await, known, trail)
    }

    /// Runs a query, where the grant asks for it, and tells the key that its results are stored under.
    pub(super) async fn verified(
        &self,
        call: &Call,
        who: &Principal,
        access: &Access,
        trail: &mut Trail,
    ) -> Verified {
        if !access.grant().verify_query_results {
            return Verified::Off;
        }
        let now = tokio::time::Instant::now().into_std();
        let left = call.deadline.saturating_duration_since(now);
        let run = Run { broker: self, call, who, access, deadline: now + left.mul_f64(SHARE).min(PATIENCE) };
        let (outcome, verified) = match seldom(run.shown(trail)).await {
            Ok(sighting) => ("shown", Verified::Shown(sighting)),
            Err(why) => {
                tracing::debug!(why = why.said, "the key of query results was not verified");
                ("unknown", Verified::Unknown(why))
            }
        };
        metrics::counter!("logkey_query_results_verified_total", "outcome" => outcome).increment(1);
        verified
    }
}

/// What a query showed, where that counts beside the record; the trail tells why it does not.
fn news(shown: Verified, known: Option<&Known>, trail: &mut Trail) -> Option<Sighting> {
    let why = match shown {
        Verified::Off => return None,
        Verified::Unknown(why) => why.said,
        Verified::Shown(sighting) if known.is_some_and(|known| is_too_early(known, &sighting)) => {
            "a query still shows another key, as AWS may for five minutes after a change".to_owned()
        }
        Verified::Shown(sighting) => return Some(sighting),
    };
    trail.detail(&format!("the key of query results was not verified: {why}"));
    None
}

/// AWS may use another key than the one that was set, for a while after that was done: then a look says
/// nothing of what someone else has done.
fn is_too_early(known: &Known, sighting: &Sighting) -> bool {
    let settling = known.accepted.is_some_and(|accepted| sighting.seen < accepted.plus(SETTLING));
    settling && known.key != sighting.key
}

/// One query on its way.
struct Run<'r> {
    broker: &'r KeyBroker,
    call: &'r Call,
    who: &'r Principal,
    access: &'r Access,
    deadline: Instant,
}

// === impl Run ===

impl Run<'_> {
    async fn shown(&self, trail: &mut Trail) -> Result<Sighting, Why> {
        let name = self.queryable(trail).await?;
        let (ports, deadline) = (&self.broker.ports, self.deadline);
        let seen = ports.clock.now();
        let start = || ports.queries.start(self.access, &name, seen, deadline);
        let query = self.paced(Operation::StartQuery, start, trail).await?;
        let query = query.ok_or_else(|| Why::for_good(format!("log group {name} is gone")))?;
        let key = self.end_of(&query, trail).await?;
        let resource = Resource { place: self.access.place().clone(), target: Target::QueryResults };
        Ok(Sighting { resource, key, seen, created: None, retention: Retention::NotKnown })
    }

    /// Looks at a query until it has come to its end.
    async fn end_of(&self, query: &QueryId, trail: &mut Trail) -> Result<Option<KmsKeyArn>, Why> {
        let mut wait = FIRST_LOOK;
        loop {
            let next = tokio::time::Instant::now() + wait;
            if next.into_std() >= self.deadline {
                return Err(Why::for_now("the query did not come to its end in time"));
            }
            tokio::time::sleep_until(next).await;
            wait = (wait * 2).min(LONGEST_LOOK);
            let look = || self.broker.ports.queries.look(self.access, query, self.deadline);
            match self.paced(Operation::GetQueryResults, look, trail).await? {
                QueryRun::Running => {}
                QueryRun::Complete { key } => return Ok(key),
                QueryRun::Ended { status } => {
                    return Err(Why::for_now(format!("the query ended as {status}")));
                }
            }
        }
    }

    /// A log group that the tenant may see and that can be queried: one without a key before one with a
    /// key, which the role would have to be allowed to use.
    async fn queryable(&self, trail: &mut Trail) -> Result<LogGroupName, Why> {
        let mut pages = MOST_PAGES;
        for pattern in &self.access.grant().log_groups {
            let prefix = pattern.as_str().split('*').next().filter(|prefix| !prefix.is_empty());
            let mut token: Option<Box<str>> = None;
            loop {
                if pages == 0 {
                    return Err(Why::for_good("no log group that can be queried was found among the first"));
                }
                pages -= 1;
                let page = self.broker.aws_page(self.access, prefix, token.as_deref(), self.deadline, trail);
                let page = page.await.map_err(Why::of)?;
                let mut fitting: Vec<_> = page.groups.iter().filter(|group| self.fits(group)).collect();
                fitting.sort_by_key(|group| group.key.is_some());
                if let Some(group) = fitting.first() {
                    return Ok(group.name.clone());
                }
                token = page.next;
                if token.is_none() {
                    break;
                }
            }
        }
        Err(Why::for_good("there is no log group of the tenant's that can be queried"))
    }

    fn fits(&self, group: &LogGroup) -> bool {
        let tenant = self.access.tenant();
        let target = Target::LogGroup(group.name.clone());
        let resource = Resource { place: self.access.place().clone(), target };
        group.class.as_deref() != Some(NOT_QUERIED)
            && !group.name.is_reserved()
            && self.access.grant().opens_log_group(&group.name)
            && self.broker.may_see(self.call, self.who, tenant, &resource)
    }

    /// Makes one call at its turn; again, where AWS throttles it.
    async fn paced<T, F: Future<Output = Answered<T>>>(
        &self,
        operation: Operation,
        send: impl Fn() -> F,
        trail: &mut Trail,
    ) -> Result<T, Why> {
        let lane = Lane { place: self.access.place().clone(), operation };
        loop {
            let turn = self.broker.ports.pace.turn(&lane, &self.access.tenant().id, self.deadline).await;
            let turn = turn.map_err(|_none| Why::for_now("the account's quota left no turn in time"))?;
            let Answered { via, result } = send().await;
            turn.used(feedback(&result));
            trail.via(via);
            match result {
                Ok(answer) => return Ok(answer),
                Err(UpstreamError::Throttled { .. }) => {}
                Err(error) => return Err(Why::of(super::read::ended(error, self.deadline))),
            }
        }
    }
}

// === impl Why ===

impl Why {
    fn for_now(said: impl Into<String>) -> Self {
        Self { said: said.into(), helps: Helps::Time }
    }

    fn for_good(said: impl Into<String>) -> Self {
        Self { said: said.into(), helps: Helps::Nothing }
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is handled here and nowhere else")]
    fn of(error: Error) -> Self {
        let refused = matches!(error, Error::Refused { .. });
        let helps = if refused { Helps::Permission } else { Helps::Time };
        let said = match error.aws_answer() {
            Some(answer) => format!("{error}: {}", super::diagnose::words(answer)),
            None => error.to_string(),
        };
        Self { said, helps }
    }
}
