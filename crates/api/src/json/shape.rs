//! Shapes: what a member of a request may be. A service describes its operations with them, as a
//! table.

/// A member of a structure.
#[derive(Clone, Copy)]
pub(crate) struct Member {
    /// Its name on the wire.
    pub(crate) name: &'static str,
    /// Whether it must be there.
    pub(crate) is_required: bool,
    /// What it may be.
    pub(crate) shape: &'static Shape,
}

/// A member that must be there.
pub(crate) const fn required(name: &'static str, shape: &'static Shape) -> Member {
    Member {
        name,
        is_required: true,
        shape,
    }
}

/// A member that may be there.
pub(crate) const fn optional(name: &'static str, shape: &'static Shape) -> Member {
    Member {
        name,
        is_required: false,
        shape,
    }
}

/// What a value may be.
pub(crate) enum Shape {
    /// A text.
    Text(Length, Option<&'static Pattern>),
    /// One of several names.
    Choice(Choice),
    /// Bytes in base64; the bounds are those of the bytes.
    Blob(Length),
    /// A whole number between two bounds, both included.
    Integer(i64, i64),
    /// True or false.
    Boolean,
    /// Seconds since the epoch, a fraction allowed.
    Time,
    /// A list.
    List(&'static Shape, Length),
    /// Pairs of texts.
    TextMap,
    /// An object.
    Structure(&'static [Member]),
}

/// Bounds of a length, both included.
#[derive(Clone, Copy)]
pub(crate) struct Length {
    /// The least.
    pub(crate) min: Option<usize>,
    /// The most.
    pub(crate) max: Option<usize>,
}

impl Length {
    /// No bounds.
    pub(crate) const ANY: Self = Self {
        min: None,
        max: None,
    };

    /// Both bounds.
    pub(crate) const fn of(min: usize, max: usize) -> Self {
        Self {
            min: Some(min),
            max: Some(max),
        }
    }
}

/// A regular expression that allows a set of characters, and its meaning. All patterns of AWS's
/// models that we need are of this form.
pub(crate) struct Pattern {
    /// AWS's text, which errors show.
    pub(crate) text: &'static str,
    /// Whether a character is allowed.
    pub(crate) allows: fn(char) -> bool,
    /// Whether no characters are allowed (`*` for `+`).
    pub(crate) may_be_empty: bool,
}

impl Pattern {
    /// Whether the whole text is of the allowed characters.
    pub(crate) fn matches(&self, text: &str) -> bool {
        (self.may_be_empty || !text.is_empty()) && text.chars().all(self.allows)
    }
}

/// An enumeration.
#[derive(Clone, Copy)]
pub(crate) struct Choice {
    /// Whether a name is in it.
    pub(crate) has: fn(&str) -> bool,
    /// Its names, in the order of AWS's model.
    pub(crate) names: fn() -> Vec<&'static str>,
}

/// An enumeration of `strongroom_types`, or a list of names.
macro_rules! choice {
    ($type:ty) => {
        $crate::json::Shape::Choice($crate::json::Choice {
            has: |name| <$type>::parse(name).is_some(),
            names: || <$type>::ALL.iter().map(|value| value.name()).collect(),
        })
    };
    [$($name:literal),+ $(,)?] => {
        $crate::json::Shape::Choice($crate::json::Choice {
            has: |name| [$($name),+].contains(&name),
            names: || vec![$($name),+],
        })
    };
}
pub(crate) use choice;

#[cfg(test)]
pub(crate) use tests::table;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::json::Operation;

    /// The members of all operations as text, sorted by the operation. One line for each member,
    /// nested ones behind a dot, in the operation's order:
    /// `Operation.Member required text 1..2048 /pattern/`.
    pub(crate) fn table<'a, S: 'static>(
        operations: impl Iterator<Item = &'a Operation<S>>,
    ) -> String {
        let mut blocks: Vec<String> = operations
            .map(|operation| {
                let mut out = String::new();
                describe_members(&mut out, operation.name, operation.members);
                out
            })
            .collect();
        blocks.sort();
        blocks.concat()
    }

    fn describe_members(out: &mut String, path: &str, members: &[Member]) {
        for member in members {
            let path = format!("{path}.{}", member.name);
            let need = if member.is_required { " required" } else { "" };
            describe(out, &path, need, member.shape);
        }
    }

    fn describe(out: &mut String, path: &str, need: &str, shape: &Shape) {
        let bounds = |length: &Length| match (length.min, length.max) {
            (None, None) => String::new(),
            (min, max) => {
                let text = |bound: Option<usize>| bound.map_or(String::new(), |n| n.to_string());
                format!(" {}..{}", text(min), text(max))
            }
        };
        let kind = match shape {
            Shape::Text(length, pattern) => {
                let pattern =
                    pattern.map_or(String::new(), |pattern| format!(" /{}/", pattern.text));
                format!("text{}{pattern}", bounds(length))
            }
            Shape::Choice(choice) => format!("choice {}", (choice.names)().join(" ")),
            Shape::Blob(length) => format!("blob{}", bounds(length)),
            Shape::Integer(min, max) => format!("integer {min}..{max}"),
            Shape::Boolean => "boolean".to_owned(),
            Shape::Time => "time".to_owned(),
            Shape::List(_, length) => format!("list{}", bounds(length)),
            Shape::TextMap => "text-map".to_owned(),
            Shape::Structure(_) => "structure".to_owned(),
        };
        // Writing into a String cannot fail.
        let _ = writeln!(out, "{path}{need} {kind}");
        match shape {
            Shape::List(member, _) => describe(out, &format!("{path}.member"), "", member),
            Shape::Structure(members) => describe_members(out, path, members),
            Shape::Text(..)
            | Shape::Choice(_)
            | Shape::Blob(_)
            | Shape::Integer(..)
            | Shape::Boolean
            | Shape::Time
            | Shape::TextMap => {}
        }
    }
}
