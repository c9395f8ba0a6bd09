//! Events as a service writes them, with other values each time.

use std::time::Duration;

use logkey::domain::{
    association::{Location, Resource, Target},
    audit::{
        Actor, AuditOperation, AwsCallRecord, Completion, Compliance, DecisionRecord, Event, EventId,
        FindingChange, FindingRecord, Keys, Kind, ReconciliationResult,
    },
    call::{Action, RequestId},
    fleet::JobId,
    principal::Delegation,
    reason::Reason,
    time::Timestamp,
};
use uuid::Uuid;

const REGIONS: [&str; 6] =
    ["us-east-1", "eu-west-1", "eu-central-1", "us-west-2", "ap-southeast-2", "us-gov-west-1"];
/// The names that the samples of the dictionary have, and others.
const NAMES: [Names; 2] = [
    Names {
        teams: ["payments", "search", "ledger", "platform", "checkout", "identity", "data-lake", "orders"],
        folders: ["/aws/lambda/", "/ecs/", "/aws/eks/", "/app/", "/aws/codebuild/", "/aws/apigateway/"],
        issuer: "https://login.example.com/",
        role: "LogKeyAssociator",
    },
    Names {
        teams: ["claims", "fraud-check", "warehouse", "ads", "maps", "hr-portal", "telemetry", "billing"],
        folders: ["/prod/web/", "/k8s/cluster-7/", "/batch/", "/vpc/flow/", "/legacy/", "/rds/"],
        issuer: "https://sso.corp.test/realms/",
        role: "logkey-hub-access",
    },
];
const AGENTS: [&str; 6] = [
    "grpc-go/1.79.0",
    "grpc-node-js/1.13.0",
    "grpc-python/1.76.0 grpc-c/51.0.0 (linux; chttp2)",
    "grpc-java-netty/1.76.0",
    "logkey/0.1.0 tonic/0.14.2",
    "connect-es/2.1.0",
];
const REASONS: [&str; 4] =
    ["", "ticket 4711", "https://tickets.example.com/browse/SEC-1842", "yearly rotation"];

/// Names that differ from one company to another.
struct Names {
    teams: [&'static str; 8],
    folders: [&'static str; 6],
    issuer: &'static str,
    role: &'static str,
}

/// A source of values. The same seed gives the same values, except for ids.
pub(super) struct Samples {
    state: u64,
    names: &'static Names,
}

impl Samples {
    /// Events with the names from which the dictionary is trained.
    pub(super) fn for_training(seed: u64) -> Self {
        Self { state: seed, names: &NAMES[0] }
    }

    /// Events with names that the dictionary does not have.
    pub(super) fn with_other_names(seed: u64) -> Self {
        Self { state: seed, names: &NAMES[1] }
    }

    /// A number below `end`: splitmix64.
    fn below(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        *all.get(self.below(all.len())).unwrap()
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    /// The events of a change that succeeds: its intent and its outcome.
    pub(super) fn change(&mut self, time: Timestamp) -> (Event, Event) {
        let act = if self.chance(4) { Action::DisassociateKmsKey } else { Action::AssociateKmsKey };
        let mut intent = Event { kind: Kind::Intent, ..self.call(act, time) };
        if act == Action::DisassociateKmsKey {
            intent.keys = Keys { previous: intent.keys.resolved.take(), ..Keys::default() };
        }
        if self.chance(6) {
            intent.job = Some(JobId::new_v7());
        }
        let end = Some(self.end(None));
        let outcome = Event { kind: Kind::Outcome, via: self.via(&intent), end, ..intent.clone() };
        (intent, outcome)
    }

    /// A read that succeeds.
    pub(super) fn read(&mut self, time: Timestamp) -> Event {
        let action = self.pick(&Action::ALL);
        let read = self.call(action, time);
        let (reason, via) = (None, self.via(&read));
        Event { kind: Kind::Read, reason, via, end: Some(self.end(None)), ..read }
    }

    /// One event of any kind.
    pub(super) fn any(&mut self, time: Timestamp) -> Event {
        match self.below(10) {
            0..4 => {
                let (intent, outcome) = self.change(time);
                let closes = Some(EventId(Uuid::now_v7()));
                match self.below(6) {
                    0..2 => intent,
                    2 => {
                        let failure = Some(self.pick(Reason::ALL));
                        Event { end: Some(self.end(failure)), closes, detail: Some(self.detail()), ..outcome }
                    }
                    3 if self.chance(3) => {
                        let kind = Kind::Reconciled(ReconciliationResult::Effective);
                        Event { kind, closes, detail: Some(self.detail()), ..outcome }
                    }
                    _ => Event { closes, ..outcome },
                }
            }
            4..7 => self.read(time),
            7 => {
                let (action, failure) = (self.pick(&Action::ALL), Some(self.pick(Reason::ALL)));
                let refused = self.call(action, time);
                let count = if self.chance(4) { 57 } else { 1 };
                let mut refusal = Event {
                    kind: Kind::Refusal,
                    end: Some(self.end(failure)),
                    detail: Some(self.detail()),
                    count,
                    ..refused
                };
                if self.chance(3) {
                    let Actor { source, unverified_user_agent, .. } = refusal.actor;
                    refusal.actor = Actor { source, unverified_user_agent, ..Actor::default() };
                    (refusal.resource, refusal.decision, refusal.keys) = (None, None, Keys::default());
                }
                refusal
            }
            8 => {
                let acts = [AuditOperation::Start, AuditOperation::Stop, AuditOperation::Reload];
                Event { end: Some(self.end(None)), ..Event::for_service(self.pick(&acts), time) }
            }
            _ => self.finding(time),
        }
    }

    fn call(&mut self, action: Action, time: Timestamp) -> Event {
        let names = self.names;
        let (team, other) = (self.pick(&names.teams), self.below(900));
        let account = format!("{:012}", 111_122_223_333 + self.below(40) as u64 * 7_654_321);
        let region = self.pick(&REGIONS);
        let location = Location { account: account.parse().unwrap(), region: region.parse().unwrap() };
        let group = format!("{}{team}-{}", self.pick(&names.folders), self.below(500));
        let resource = Resource { location, target: Target::LogGroup(group.parse().unwrap()) };
        let partition = resource.arn().to_string().split(':').nth(1).unwrap().to_owned();
        let key = format!("arn:{partition}:kms:{region}:{account}:key/{}", Uuid::new_v4());
        let requested = if self.chance(3) { format!("alias/{team}") } else { key.clone() };
        let token_id = if self.chance(3) {
            "sha256:".to_owned() + &Uuid::new_v4().simple().to_string()
        } else {
            Uuid::new_v4().to_string()
        };
        let delegation = self.chance(8).then(|| Delegation {
            on_behalf_of: format!("person-{other}@example.com").into(),
            actor: format!("{team}-portal").into(),
        });
        let reason = Some(self.pick(&REASONS)).filter(|reason| !reason.is_empty());
        let policy = format!("tenant/{team}/{account}/associate");
        Event {
            kind: Kind::Read,
            act: AuditOperation::Rpc(action),
            correlation: RequestId::new_v7(),
            actor: Actor {
                tenant: Some(team.parse().unwrap()),
                subject: Some(format!("{team}-deployer-{other}").into()),
                issuer: Some(format!("{}{team}", names.issuer).into()),
                token_id: Some(token_id.into()),
                delegation,
                source: Some(
                    format!("10.{}.{}.{}", self.below(200), self.below(200), self.below(200))
                        .parse()
                        .unwrap(),
                ),
                unverified_user_agent: Some(self.pick(&AGENTS).into()),
            },
            resource: (!self.chance(6)).then_some(resource),
            keys: Keys { requested: Some(requested.into()), resolved: key.parse().ok(), previous: None },
            reason: reason.map(Into::into),
            decision: Some(DecisionRecord { allowed: true, policies: vec![policy.into()] }),
            trace: self.chance(4).then(|| Uuid::new_v4().simple().to_string().parse().unwrap()),
            ..Event::for_service(AuditOperation::Start, time)
        }
    }

    fn via(&mut self, event: &Event) -> AwsCallRecord {
        let account = event.resource.as_ref().map(|resource| resource.location.account);
        let Some(account) = account else { return AwsCallRecord::default() };
        let tenant = event.actor.tenant.as_ref().map_or("logkey", |tenant| tenant.as_str());
        let ids = (0..=self.below(2)).map(|_| Uuid::new_v4().to_string().into());
        AwsCallRecord {
            role_arn: Some(format!("arn:aws:iam::{account}:role/{}", self.names.role).into()),
            session_name: Some(tenant.into()),
            aws_request_ids: ids.collect(),
        }
    }

    fn end(&mut self, failure: Option<Reason>) -> Completion {
        let latency = Duration::from_micros(300 + self.below(90_000) as u64);
        let aws_error =
            failure.map(|_| self.pick(&["AccessDeniedException", "InvalidParameterException"]).into());
        Completion { failure, aws_error, latency }
    }

    fn detail(&mut self) -> Box<str> {
        let all = [
            "the caller has no permission for this",
            "User: arn:aws:sts::111122223333:assumed-role/LogKeyAssociator/payments is not authorized to perform: \
             logs:AssociateKmsKey on resource: arn:aws:logs:eu-west-1:111122223333:log-group:/app/web because no \
             identity-based policy allows the logs:AssociateKmsKey action",
            "The specified log group does not exist.",
            "read back",
        ];
        self.pick(&all).into()
    }

    fn finding(&mut self, time: Timestamp) -> Event {
        let call = self.call(Action::Unknown, time);
        let change = self.pick(&[FindingChange::New, FindingChange::Changed, FindingChange::Resolved]);
        let record = FindingRecord {
            id: Uuid::new_v4(),
            change,
            kind: "NO_KEY",
            title: "No KMS key is set",
            compliance: if change == FindingChange::Resolved { Compliance::Pass } else { Compliance::Fail },
            rule: Some(format!("rule-{}", self.below(9)).into()),
            since: time,
            message: "the log group has no KMS key".into(),
            remedy: "set the required key".into(),
            remedy_document: None,
            current_key: None,
            changed_by: None,
        };
        Event {
            kind: Kind::Finding,
            actor: Actor { tenant: call.actor.tenant, ..Actor::default() },
            resource: call.resource,
            keys: Keys { resolved: call.keys.resolved, ..Keys::default() },
            finding: Some(Box::new(record)),
            ..Event::for_service(AuditOperation::Finding, time)
        }
    }
}
