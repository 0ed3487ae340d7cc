//! What is reported: these types are what the commands print with `--json`, and what travels between
//! the server and its owner's commands. A member is never renamed; new ones may come.

use serde::{Deserialize, Serialize};

/// Whether it may.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// No request of this kind may.
    No,
    /// Some may: it depends on what is not known of the request.
    If,
    /// All may.
    Yes,
}

/// A statement of a policy, or a grant.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct StatementLine {
    /// `identity`, `boundary`, `session`, `resource` or `grant`.
    pub layer: String,
    /// What the policy is called, in words.
    pub policy: String,
    /// Its place in the policy, from 1; of a grant its place among those of the principal.
    pub statement: usize,
    /// Its `Sid`.
    pub sid: Option<String>,
    /// `Allow` or `Deny`.
    pub effect: String,
    /// Its conditions.
    pub conditions: Vec<ConditionLine>,
}

/// A condition of a statement.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ConditionLine {
    /// The operator.
    pub operator: String,
    /// The condition key.
    pub key: String,
    /// The values of the policy.
    pub expected: Vec<String>,
    /// The values of the request; none if the key is absent or not known.
    pub found: Option<Vec<String>>,
    /// Whether the value can be known before the request is made.
    pub known: bool,
    /// Whether the condition holds; of an unknown value nothing.
    pub holds: Option<bool>,
}

/// A layer of the decision.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct LayerLine {
    /// `identity`, `boundary`, `session`, `resource` or `grant`.
    pub layer: String,
    /// What it is called.
    pub name: String,
    /// `denies`, `allows`, `delegates`, `silent`, `absent` or `unreadable`.
    pub says: String,
    /// The statements that say so.
    pub statements: Vec<StatementLine>,
}

/// A statement that nearly had a part.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct NearMissLine {
    /// The statement, with only those conditions that do not hold.
    pub statement: StatementLine,
    /// It is about other principals.
    pub for_others: bool,
}

/// The answer of `strongroom explain`.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Explained {
    /// Whether it may.
    pub answer: Answer,
    /// Who.
    pub principal: String,
    /// What.
    pub action: String,
    /// To what.
    pub resource: String,
    /// The service that would ask for the principal.
    pub via: Option<String>,
    /// Why, in a sentence without its end.
    pub reason: String,
    /// The statements that decided.
    pub deciding: Vec<StatementLine>,
    /// What each layer says.
    pub layers: Vec<LayerLine>,
    /// What nearly spoke.
    pub near_misses: Vec<NearMissLine>,
    /// If it depends on what is not known: on these statements.
    pub depends_on: Vec<StatementLine>,
    /// What would have to change.
    pub to_allow: Vec<String>,
    /// What was assumed of the request.
    pub assumed: Vec<String>,
    /// What else the request needs: the key of an object.
    pub then: Option<Box<Explained>>,
}

impl Explained {
    /// The answer of it and of what else is needed.
    pub fn whole_answer(&self) -> Answer {
        let then = self.then.as_ref().map(|then| then.whole_answer());
        then.map_or(self.answer, |then| then.min(self.answer))
    }
}

/// A kind of principal.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An account's root user.
    Root,
    /// A user.
    User,
    /// A role, as any of its sessions.
    Role,
    /// One session of a role, by its name.
    Session,
    /// A federated user.
    Federated,
    /// A service of this server.
    Service,
    /// Whoever an identity provider vouches for.
    WebIdentity,
    /// Who does not sign.
    Anonymous,
}

/// One half of the right to read, of one principal.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Half {
    /// The action.
    pub action: String,
    /// Whether it has it.
    pub answer: Answer,
    /// By which statements, in words, in the order in which one leads to the next.
    pub by: Vec<String>,
    /// If it depends: on which conditions.
    pub conditions: Vec<String>,
    /// Why it does not have it.
    pub lacks: Option<String>,
}

/// What one principal can do by itself.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Its ARN.
    pub principal: String,
    /// What it is.
    pub kind: Kind,
    /// Its account.
    pub account: Option<String>,
    /// Of a session: the ARN of its role.
    pub role: Option<String>,
    /// The right to the object.
    pub s3: Half,
    /// The right to its key; none if it needs none.
    pub key: Option<Half>,
}

impl Finding {
    /// Whether it can read.
    pub fn answer(&self) -> Answer {
        let key = self.key.as_ref().map(|key| key.answer);
        key.map_or(self.s3.answer, |key| key.min(self.s3.answer))
    }

    /// Whether it has one of two halves.
    pub fn has_one_half(&self) -> bool {
        self.key.as_ref().is_some_and(|key| {
            self.answer() == Answer::No
                && (key.answer != Answer::No || self.s3.answer != Answer::No)
        })
    }
}

/// The object, and how it is kept.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ObjectReport {
    /// Its ARN.
    pub arn: String,
    /// Its version, if it has one.
    pub version: Option<String>,
    /// The account that owns its bucket.
    pub owner: String,
    /// `AES256`, `aws:kms`, `aws:kms:dsse` or `SSE-C`.
    pub encryption: String,
    /// Its KMS key.
    pub key: Option<String>,
    /// The state of that key; `Gone` if there is no such key any more.
    pub key_state: Option<String>,
    /// Whether an S3 Bucket Key is used.
    pub bucket_key: bool,
    /// Accounts and principals that policies name and this server does not have.
    pub strangers: Vec<String>,
}

/// A page of principals.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ReadersPage {
    /// The object.
    pub object: ObjectReport,
    /// How many principals there are in all.
    pub total: usize,
    /// These.
    pub findings: Vec<Finding>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// A page of who can assume a role.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct AssumersPage {
    /// Who can, each as one half.
    pub assumers: Vec<(String, Kind, Half)>,
    /// Where the next page begins.
    pub next: Option<String>,
}

/// Somebody who can read the object.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Reader {
    /// Its ARN.
    pub principal: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it always can, or if conditions hold.
    pub answer: Answer,
    /// The roles that it assumes one after the other, the last of which reads; none if it reads itself.
    pub through: Vec<String>,
    /// Of each role, by which statements it is assumed.
    pub assumed_by: Vec<Half>,
    /// The right to the object: its own, or of the last role.
    pub s3: Half,
    /// The right to the key, likewise.
    pub key: Option<Half>,
    /// Nobody can assume this role.
    pub out_of_reach: bool,
}

/// The answer of `strongroom who-can-decrypt`.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct WhoCanDecrypt {
    /// The object.
    pub object: ObjectReport,
    /// Who can read it.
    pub readers: Vec<Reader>,
    /// Who has one half only.
    pub halves: Vec<Finding>,
    /// Everybody else, if asked for.
    pub others: Option<Vec<Finding>>,
    /// How many they are.
    pub others_count: usize,
    /// What to know beside.
    pub notes: Vec<String>,
}
