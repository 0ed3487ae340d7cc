//! Compiled conditions, and whether they hold.

use std::net::IpAddr;

use crate::document::{Condition, PolicyVersion};
use crate::explanation::SeenCondition;
use crate::facts::{ConditionKey, Facts, Values};
use crate::operator::{AddressRange, Comparison, SetOperator, parse_date_millis};
use crate::pattern::{Arn, ArnPattern, Dialect, Pattern, Unresolved, folded};

/// One condition key under one operator.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct CompiledCondition {
    key: ConditionKey,
    set: Option<SetOperator>,
    if_exists: bool,
    negated: bool,
    test: Test,
    /// As it was written, for explanations.
    source: Box<Condition>,
}

/// What a value of the request is compared with.
#[derive(Clone, PartialEq, Debug)]
enum Test {
    Text(Box<[Pattern]>),
    TextIgnoringCase(Box<[Pattern]>),
    Arn(Box<[ArnPattern]>),
    Number(Order, Box<[f64]>),
    Date(Order, Box<[i64]>),
    Bool(Box<[bool]>),
    Binary(Box<[Box<str>]>),
    Address(Box<[AddressRange]>),
    /// Whether the key is absent.
    Null(Box<[bool]>),
    /// A document whose values do not suit their operator; parsing lets none through.
    Never,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, value: &T, limit: &T) -> bool {
        match self {
            Self::Equal => value == limit,
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterOrEqual => value >= limit,
        }
    }
}

impl CompiledCondition {
    pub(crate) fn compile(condition: &Condition, version: PolicyVersion) -> Self {
        let operator = condition.operator;
        Self {
            key: ConditionKey::parse(&condition.key),
            set: operator.set,
            if_exists: operator.if_exists,
            negated: operator.comparison.is_negated(),
            test: Test::compile(operator.comparison, &condition.values, version),
            source: Box::new(condition.clone()),
        }
    }

    /// The condition as it was written, and what it finds in the request.
    pub(crate) fn seen(&self, facts: &Facts<'_>) -> SeenCondition {
        SeenCondition {
            operator: self.source.operator.to_string(),
            key: self.source.key.clone(),
            expected: self.source.values.clone(),
            found: match facts.values(&self.key) {
                Values::Absent => None,
                Values::One(value) => Some(vec![value.into_owned()]),
                Values::Many(values) => Some(values.to_vec()),
            },
            holds: self.holds(facts),
        }
    }

    /// The keys that it asks for.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &ConditionKey> {
        let (texts, arns): (&[Pattern], &[ArnPattern]) = match &self.test {
            Test::Text(patterns) | Test::TextIgnoringCase(patterns) => (patterns, &[]),
            Test::Arn(patterns) => (&[], patterns),
            Test::Number(..)
            | Test::Date(..)
            | Test::Bool(_)
            | Test::Binary(_)
            | Test::Address(_)
            | Test::Null(_)
            | Test::Never => (&[], &[]),
        };
        std::iter::once(&self.key)
            .chain(texts.iter().flat_map(Pattern::keys))
            .chain(arns.iter().flat_map(ArnPattern::keys))
    }

    /// Whether the condition holds.
    ///
    /// A value with a variable that cannot be filled in is equal to nothing, and under a negated
    /// operator the condition does not hold: nobody knows what it would exclude.
    pub(crate) fn holds(&self, facts: &Facts<'_>) -> bool {
        if self.test == Test::Never {
            return false;
        }
        let values = facts.values(&self.key);
        if let Test::Null(wanted) = &self.test {
            return wanted.contains(&values.is_absent());
        }
        // Of a key without values all are equal, and none.
        let each = match self.set {
            Some(SetOperator::ForAllValues) => true,
            Some(SetOperator::ForAnyValue) => false,
            None => self.negated,
        };
        if values.is_absent() {
            return self.if_exists || each;
        }
        let one = |value: &str| match self.test.equals_any(value, facts) {
            (equal, None) => equal != self.negated,
            (equal, Some(Unresolved)) => equal && !self.negated,
        };
        if each {
            values.all(one)
        } else {
            values.any(one)
        }
    }
}

impl Test {
    fn compile(comparison: Comparison, values: &[String], version: PolicyVersion) -> Self {
        use Comparison as C;
        let texts = |wildcards, fold| -> Box<[Pattern]> {
            let dialect = Dialect::text(version, wildcards, fold);
            let compile = |value: &String| Pattern::compile(value, dialect);
            values.iter().map(compile).collect()
        };
        let test = match comparison {
            C::StringEquals | C::StringNotEquals => Some(Self::Text(texts(false, false))),
            C::StringEqualsIgnoreCase | C::StringNotEqualsIgnoreCase => {
                Some(Self::TextIgnoringCase(texts(false, true)))
            }
            C::StringLike | C::StringNotLike => Some(Self::Text(texts(true, false))),
            C::ArnEquals | C::ArnNotEquals | C::ArnLike | C::ArnNotLike => {
                let compile = |value: &String| ArnPattern::compile(value, version);
                Some(Self::Arn(values.iter().map(compile).collect()))
            }
            C::NumericEquals | C::NumericNotEquals => Self::numbers(Order::Equal, values),
            C::NumericLessThan => Self::numbers(Order::Less, values),
            C::NumericLessThanEquals => Self::numbers(Order::LessOrEqual, values),
            C::NumericGreaterThan => Self::numbers(Order::Greater, values),
            C::NumericGreaterThanEquals => Self::numbers(Order::GreaterOrEqual, values),
            C::DateEquals | C::DateNotEquals => Self::dates(Order::Equal, values),
            C::DateLessThan => Self::dates(Order::Less, values),
            C::DateLessThanEquals => Self::dates(Order::LessOrEqual, values),
            C::DateGreaterThan => Self::dates(Order::Greater, values),
            C::DateGreaterThanEquals => Self::dates(Order::GreaterOrEqual, values),
            C::Bool => parsed(values, parse_bool).map(Self::Bool),
            C::Null => parsed(values, parse_bool).map(Self::Null),
            C::BinaryEquals => parsed(values, |value| Some(value.into())).map(Self::Binary),
            C::IpAddress | C::NotIpAddress => {
                parsed(values, AddressRange::parse).map(Self::Address)
            }
        };
        test.unwrap_or(Self::Never)
    }

    fn numbers(order: Order, values: &[String]) -> Option<Self> {
        parsed(values, parse_number).map(|values| Self::Number(order, values))
    }

    fn dates(order: Order, values: &[String]) -> Option<Self> {
        parsed(values, parse_date_millis).map(|values| Self::Date(order, values))
    }

    /// How many values it has.
    fn len(&self) -> usize {
        match self {
            Self::Text(values) | Self::TextIgnoringCase(values) => values.len(),
            Self::Arn(values) => values.len(),
            Self::Number(_, values) => values.len(),
            Self::Date(_, values) => values.len(),
            Self::Bool(values) | Self::Null(values) => values.len(),
            Self::Binary(values) => values.len(),
            Self::Address(values) => values.len(),
            Self::Never => 0,
        }
    }

    /// Whether `value` is equal to one of the values, and whether one of them cannot be told.
    fn equals_any(&self, value: &str, facts: &Facts<'_>) -> (bool, Option<Unresolved>) {
        let known = |equal| (equal, None);
        match self {
            Self::Text(patterns) => {
                any_matches(patterns.iter().map(|pattern| pattern.matches(value, facts)))
            }
            Self::TextIgnoringCase(patterns) => {
                if let Err(error) = facts.steps.take(value.len()) {
                    return (false, Some(error));
                }
                let value = folded(value);
                any_matches(
                    patterns
                        .iter()
                        .map(|pattern| pattern.matches(&value, facts)),
                )
            }
            Self::Arn(patterns) => {
                let value = Arn::split(value);
                any_matches(
                    patterns
                        .iter()
                        .map(|pattern| pattern.matches(&value, facts)),
                )
            }
            Self::Number(_, _)
            | Self::Date(_, _)
            | Self::Bool(_)
            | Self::Binary(_)
            | Self::Address(_)
                if facts.steps.take(self.len()).is_err() =>
            {
                (false, Some(Unresolved))
            }
            Self::Number(order, limits) => known(
                parse_number(value)
                    .is_some_and(|value| limits.iter().any(|limit| order.holds(&value, limit))),
            ),
            Self::Date(order, limits) => known(
                parse_date_millis(value)
                    .is_some_and(|value| limits.iter().any(|limit| order.holds(&value, limit))),
            ),
            Self::Bool(wanted) => {
                known(parse_bool(value).is_some_and(|value| wanted.contains(&value)))
            }
            Self::Binary(wanted) => known(wanted.iter().any(|wanted| **wanted == *value)),
            Self::Address(ranges) => {
                known(value.parse().is_ok_and(|address: IpAddr| {
                    ranges.iter().any(|range| range.contains(address))
                }))
            }
            Self::Null(_) | Self::Never => known(false),
        }
    }
}

fn any_matches(
    results: impl Iterator<Item = Result<bool, Unresolved>>,
) -> (bool, Option<Unresolved>) {
    let mut unresolved = None;
    for result in results {
        match result {
            Ok(true) => return (true, unresolved),
            Ok(false) => {}
            Err(error) => unresolved = Some(error),
        }
    }
    (false, unresolved)
}

fn parsed<T>(values: &[String], parse: impl Fn(&str) -> Option<T>) -> Option<Box<[T]>> {
    values.iter().map(|value| parse(value)).collect()
}

fn parse_number(value: &str) -> Option<f64> {
    value.parse().ok().filter(|value: &f64| value.is_finite())
}

fn parse_bool(value: &str) -> Option<bool> {
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}
