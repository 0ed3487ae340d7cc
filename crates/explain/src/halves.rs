//! Asks a service and listens to its witness.

use std::fmt;

use strongroom_policy::{Explanation, Hope, Witness};

use crate::candidates::Candidate;
use crate::report::{Answer, Half, StatementLine};
use crate::words::{Words, condition_in_words};

/// What came of asking.
pub(crate) struct Run<E> {
    pub answer: Answer,
    /// The last decision: the one that counts. None if it was refused before one.
    pub explanation: Option<Explanation>,
    /// How it was refused.
    pub error: Option<E>,
    /// It is allowed unless a statement that denies applies, whatever else is not known.
    only_denials: bool,
}

/// Asks as `who`, expecting the worst of what is not known, then hoping for the best.
pub(crate) fn run<E>(
    witness: &Witness,
    who: &Candidate,
    work: impl Fn() -> Result<(), E>,
) -> Run<E> {
    let last = |mut seen: Vec<Explanation>| {
        let principal = who.arn.clone();
        seen.pop().map(|it| Explanation { principal, ..it })
    };
    let (outcome, seen) = witness.watch(Some(Hope::Worst), &work);
    if outcome.is_ok() {
        return Run {
            answer: Answer::Yes,
            explanation: last(seen),
            error: None,
            only_denials: false,
        };
    }
    let (outcome, seen) = witness.watch(Some(Hope::Best), &work);
    let explanation = last(seen);
    if let Err(error) = outcome {
        return Run {
            answer: Answer::No,
            explanation,
            error: Some(error),
            only_denials: false,
        };
    }
    let (outcome, _) = witness.watch(Some(Hope::Neither), &work);
    Run {
        answer: Answer::If,
        explanation,
        error: None,
        only_denials: outcome.is_ok(),
    }
}

impl<E: fmt::Display> Run<E> {
    /// The statements on which it depends.
    pub(crate) fn depends_on(&self, words: Words<'_>) -> Vec<StatementLine> {
        match (&self.explanation, self.answer) {
            (Some(explanation), Answer::If) => words.doubtful(explanation, self.only_denials),
            (Some(_) | None, _) => Vec::new(),
        }
    }

    /// Why it is refused.
    pub(crate) fn why(&self, words: Words<'_>) -> String {
        match (&self.explanation, &self.error) {
            (Some(explanation), _) if !explanation.decision.is_allowed() => {
                words.why_denied(explanation)
            }
            (_, Some(error)) => error.to_string(),
            (_, None) => String::new(),
        }
    }

    /// By which statements, in words.
    pub(crate) fn chain(&self, words: Words<'_>) -> Vec<String> {
        match &self.explanation {
            Some(explanation) if explanation.decision.is_allowed() => words.chain(explanation),
            // The service let it pass by something that is no policy.
            Some(_) => vec!["access control list".to_owned()],
            None => Vec::new(),
        }
    }

    /// As one half of a right.
    pub(crate) fn half(&self, action: &str, words: Words<'_>) -> Half {
        let is_allowed = self.answer != Answer::No;
        Half {
            action: action.to_owned(),
            answer: self.answer,
            by: if is_allowed {
                self.chain(words)
            } else {
                Vec::new()
            },
            conditions: self
                .depends_on(words)
                .iter()
                .map(|line| {
                    let conditions: Vec<_> =
                        line.conditions.iter().map(condition_in_words).collect();
                    let conditions = conditions.join(" and ");
                    if line.effect == "Deny" {
                        format!("not ({conditions})")
                    } else {
                        conditions
                    }
                })
                .collect(),
            lacks: (!is_allowed).then(|| self.why(words)),
        }
    }
}
