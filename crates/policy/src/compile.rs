//! Policies, parsed and compiled once, so that decisions only compare.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::comparison::CompiledCondition;
use crate::document::{
    ActionElement, DocumentError, Effect, PolicyDocument, PolicyVersion, ResourceElement, Statement,
};
use crate::explanation::{Doubt, SeenCondition};
use crate::facts::Facts;
use crate::pattern::{Arn, ArnPattern, Dialect, Pattern};
use crate::principals::CompiledPrincipal;

/// A compiled policy.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    pub(crate) statements: Box<[CompiledStatement]>,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct CompiledStatement {
    pub sid: Option<Arc<str>>,
    pub effect: Effect,
    pub principal: Option<CompiledPrincipal>,
    action: Option<Actions>,
    resource: Option<Resources>,
    conditions: Box<[CompiledCondition]>,
}

/// `Action` or `NotAction`.
#[derive(Clone, PartialEq, Debug)]
struct Actions {
    negated: bool,
    patterns: Box<[Pattern]>,
}

/// `Resource` or `NotResource`.
#[derive(Clone, PartialEq, Debug)]
struct Resources {
    negated: bool,
    patterns: Box<[ArnPattern]>,
}

impl Policy {
    /// Parses and compiles a document.
    ///
    /// # Errors
    ///
    /// [`DocumentError`].
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        PolicyDocument::parse(text).map(|document| Self::compile(&document))
    }

    /// Compiles a document.
    pub fn compile(document: &PolicyDocument) -> Self {
        let compile = |statement| CompiledStatement::compile(statement, document.version);
        Self {
            statements: document.statements.iter().map(compile).collect(),
        }
    }

    /// The condition keys that the policy asks for, in lower case: those of its conditions and of
    /// its variables.
    pub fn condition_keys(&self) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for statement in &self.statements {
            let resources = statement.resource.iter().flat_map(|it| &it.patterns);
            let of_resources = resources.flat_map(ArnPattern::keys);
            let of_conditions = statement
                .conditions
                .iter()
                .flat_map(CompiledCondition::keys);
            keys.extend(
                of_resources
                    .chain(of_conditions)
                    .map(|key| key.name().into_owned()),
            );
        }
        keys
    }
}

impl CompiledStatement {
    fn compile(statement: &Statement, version: PolicyVersion) -> Self {
        let conditions = statement.conditions.iter();
        Self {
            sid: statement.sid.as_deref().map(Into::into),
            effect: statement.effect,
            principal: statement.principal.as_ref().map(CompiledPrincipal::compile),
            action: statement.action.as_ref().map(Actions::compile),
            resource: statement
                .resource
                .as_ref()
                .map(|element| Resources::compile(element, version)),
            conditions: conditions
                .map(|condition| CompiledCondition::compile(condition, version))
                .collect(),
        }
    }

    /// Whether it speaks of the action (in lower case) on the resource; whom it speaks of, and
    /// under which circumstances, is asked apart.
    pub(crate) fn covers(&self, action: &str, resource: &Arn<'_>, facts: &Facts<'_>) -> bool {
        self.resource.is_some() && self.covers_its_own(action, resource, facts)
    }

    /// As [`CompiledStatement::covers`]; without `Resource` it is about what it is attached to. So
    /// trust policies are written.
    pub(crate) fn covers_its_own(
        &self,
        action: &str,
        resource: &Arn<'_>,
        facts: &Facts<'_>,
    ) -> bool {
        let covered = |element: &Resources| element.cover(resource, facts);
        self.action
            .as_ref()
            .is_some_and(|it| it.cover(action, facts))
            && self.resource.as_ref().is_none_or(covered)
    }

    /// Whether the circumstances are those that it asks for.
    pub(crate) fn conditions_hold(&self, facts: &Facts<'_>) -> bool {
        self.conditions.iter().all(|it| it.holds(facts))
    }

    /// As [`CompiledStatement::conditions_hold`], where some circumstances are not known.
    pub(crate) fn conditions_in_doubt(&self, facts: &Facts<'_>, doubt: &Doubt<'_>) -> Applies {
        let is_unknown = |it: &&CompiledCondition| {
            it.keys().any(|key| {
                let name = key.name();
                doubt.is_unknown(&name) && !facts.is_given(&name)
            })
        };
        let (unknown, known): (Vec<_>, Vec<_>) = self.conditions.iter().partition(is_unknown);
        if !known.iter().all(|it| it.holds(facts)) {
            Applies::No
        } else if unknown.is_empty() {
            Applies::Yes
        } else {
            Applies::Perhaps(unknown.iter().map(|it| it.seen(facts)).collect())
        }
    }

    /// Its conditions, with what the request has, and whether each holds.
    pub(crate) fn conditions_seen(&self, facts: &Facts<'_>) -> Vec<SeenCondition> {
        self.conditions.iter().map(|it| it.seen(facts)).collect()
    }
}

/// Whether a statement applies, as far as that is known.
pub(crate) enum Applies {
    Yes,
    No,
    /// If these conditions hold.
    Perhaps(Vec<SeenCondition>),
}

impl Actions {
    fn compile(element: &ActionElement) -> Self {
        let (negated, patterns) = match element {
            ActionElement::Is(patterns) => (false, patterns),
            ActionElement::IsNot(patterns) => (true, patterns),
        };
        let compile =
            |pattern: &String| Pattern::compile(&pattern.to_ascii_lowercase(), Dialect::ACTION);
        Self {
            negated,
            patterns: patterns.iter().map(compile).collect(),
        }
    }

    fn cover(&self, action: &str, facts: &Facts<'_>) -> bool {
        let matches = |pattern: &Pattern| pattern.matches(action, facts) == Ok(true);
        self.patterns.iter().any(matches) != self.negated
    }
}

impl Resources {
    fn compile(element: &ResourceElement, version: PolicyVersion) -> Self {
        let (negated, patterns) = match element {
            ResourceElement::Is(patterns) => (false, patterns),
            ResourceElement::IsNot(patterns) => (true, patterns),
        };
        let compile = |pattern: &String| ArnPattern::compile(pattern, version);
        Self {
            negated,
            patterns: patterns.iter().map(compile).collect(),
        }
    }

    /// A pattern with a variable that cannot be filled in covers nothing, and exempts nothing
    /// either: with `NotResource` the statement says nothing.
    fn cover(&self, arn: &Arn<'_>, facts: &Facts<'_>) -> bool {
        let mut results = self
            .patterns
            .iter()
            .map(|pattern| pattern.matches(arn, facts));
        if self.negated {
            results.all(|result| result == Ok(false))
        } else {
            results.any(|result| result == Ok(true))
        }
    }
}
