//! Who can become whom: the roles that readers assume, one after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::report::{Answer, Finding, Half, Kind, ObjectReport, Reader, WhoCanDecrypt};

/// Who can assume a role, what it is, and by which statements.
pub type Assumer = (String, Kind, Half);

/// A way to a reader, backwards.
#[derive(Clone)]
struct Way {
    /// Whom to become first.
    role: String,
    /// What is assumed, first to last.
    through: Vec<String>,
    assumed_by: Vec<Half>,
    /// What is read by in the end.
    finding: usize,
    answer: Answer,
}

/// Puts together what everybody can do by himself and by roles. `assumers_of` is asked at most once
/// for each role; cycles end, as nobody is visited twice.
///
/// # Errors
///
/// Those of `assumers_of`.
pub fn who_can_decrypt<E>(
    object: ObjectReport,
    findings: Vec<Finding>,
    with_others: bool,
    mut assumers_of: impl FnMut(&str) -> Result<Vec<Assumer>, E>,
) -> Result<WhoCanDecrypt, E> {
    let mut known: BTreeMap<String, Vec<Assumer>> = BTreeMap::new();
    let mut readers = Vec::new();
    // By what they can do surely; who surely reads is not looked for any more.
    let mut sure: BTreeSet<String> = BTreeSet::new();
    let mut starts = Vec::new();
    for (index, finding) in findings.iter().enumerate() {
        let answer = finding.answer();
        if answer == Answer::No {
            continue;
        }
        if answer == Answer::Yes {
            sure.insert(finding.principal.clone());
        }
        let role = match finding.kind {
            Kind::Role => Some(&finding.principal),
            Kind::Session => finding.role.as_ref(),
            Kind::Root
            | Kind::User
            | Kind::Federated
            | Kind::Service
            | Kind::WebIdentity
            | Kind::Anonymous => None,
        };
        let mut out_of_reach = false;
        if let Some(role) = role {
            let assumers = assumers_of(role)?;
            out_of_reach = assumers.is_empty();
            known.insert(role.clone(), assumers);
            starts.push(Way {
                role: role.clone(),
                through: vec![finding.principal.clone()],
                assumed_by: Vec::new(),
                finding: index,
                answer,
            });
        }
        readers.push(Reader {
            principal: finding.principal.clone(),
            kind: finding.kind,
            answer,
            through: Vec::new(),
            assumed_by: Vec::new(),
            s3: finding.s3.clone(),
            key: finding.key.clone(),
            out_of_reach,
        });
    }
    // First by what is sure, then by what depends: the surest way is shown, of those the shortest.
    let mut maybe: BTreeSet<String> = readers.iter().map(|it| it.principal.clone()).collect();
    for wanted in [Answer::Yes, Answer::If] {
        let mut ways: VecDeque<Way> = starts
            .iter()
            .filter(|way| way.answer >= wanted)
            .cloned()
            .collect();
        let mut visited: BTreeSet<String> = ways.iter().map(|way| way.role.clone()).collect();
        while let Some(way) = ways.pop_front() {
            if !known.contains_key(&way.role) {
                known.insert(way.role.clone(), assumers_of(&way.role)?);
            }
            for (principal, kind, half) in known.get(&way.role).into_iter().flatten() {
                if half.answer < wanted {
                    continue;
                }
                let answer = way.answer.min(half.answer);
                let is_news = match wanted {
                    Answer::Yes => !sure.contains(principal),
                    Answer::If | Answer::No => !maybe.contains(principal),
                };
                let mut assumed_by = way.assumed_by.clone();
                assumed_by.insert(0, half.clone());
                if is_news && let Some(finding) = findings.get(way.finding) {
                    sure.insert(principal.clone());
                    maybe.insert(principal.clone());
                    readers.push(Reader {
                        principal: principal.clone(),
                        kind: *kind,
                        answer,
                        through: way.through.clone(),
                        assumed_by: assumed_by.clone(),
                        s3: finding.s3.clone(),
                        key: finding.key.clone(),
                        out_of_reach: false,
                    });
                }
                if *kind == Kind::Role && visited.insert(principal.clone()) {
                    let mut through = way.through.clone();
                    through.insert(0, principal.clone());
                    ways.push_back(Way {
                        role: principal.clone(),
                        through,
                        assumed_by,
                        finding: way.finding,
                        answer,
                    });
                }
            }
        }
    }
    readers.sort_by(|one, other| {
        (&one.principal, &one.through).cmp(&(&other.principal, &other.through))
    });
    let reads: BTreeSet<&String> = readers.iter().map(|it| &it.principal).collect();
    let rest = findings
        .into_iter()
        .filter(|finding| !reads.contains(&finding.principal));
    let (halves, others): (Vec<_>, Vec<_>) = rest.partition(Finding::has_one_half);
    let notes = notes(&object, &readers);
    Ok(WhoCanDecrypt {
        object,
        readers,
        halves,
        others_count: others.len(),
        others: with_others.then_some(others),
        notes,
    })
}

fn notes(object: &ObjectReport, readers: &[Reader]) -> Vec<String> {
    let mut notes = Vec::new();
    match object.key_state.as_deref() {
        Some("Enabled") | None => {}
        Some("Gone") => notes
            .push("The key is gone: nobody can read the object, and nobody ever will.".to_owned()),
        Some(state) => notes.push(format!(
            "The key is {state}: nobody can read the object while it is."
        )),
    }
    if object.encryption == "SSE-C" {
        notes.push(
            "SSE-C: the readers need the customer's key as well, which the server does not have."
                .to_owned(),
        );
    }
    if object.key.is_some() {
        notes.push(
            "kms:Decrypt is meant as S3 asks for it. A right to call it directly is of no use by itself: \
             the server gives nobody the wrapped key or the ciphertext of an object."
                .to_owned(),
        );
    }
    if readers.iter().any(|it| it.kind == Kind::Federated) {
        notes.push(
            "A federated user is whoever calls sts:GetFederationToken with that name.".to_owned(),
        );
    }
    if !object.strangers.is_empty() {
        notes.push(format!(
            "Named by policies or grants and not on this server, so that nobody can sign as: {}.",
            object.strangers.join(", ")
        ));
    }
    notes.push(
        "Assumed: over TLS, now. What depends on anything else of a request stands behind \"if\". \
         It is who reads today, not who could get the right."
            .to_owned(),
    );
    notes
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn half(answer: Answer) -> Half {
        Half {
            action: "x".to_owned(),
            answer,
            by: Vec::new(),
            conditions: Vec::new(),
            lacks: None,
        }
    }

    fn finding(principal: &str, kind: Kind, s3: Answer, key: Answer) -> Finding {
        Finding {
            principal: principal.to_owned(),
            kind,
            account: None,
            role: None,
            s3: half(s3),
            key: Some(half(key)),
        }
    }

    fn object() -> ObjectReport {
        ObjectReport {
            arn: "arn:aws:s3:::abc/k".to_owned(),
            version: None,
            owner: "111122223333".to_owned(),
            encryption: "aws:kms".to_owned(),
            key: Some("k".to_owned()),
            key_state: Some("Enabled".to_owned()),
            bucket_key: false,
            strangers: Vec::new(),
        }
    }

    /// Who assumes whom.
    fn report(
        findings: Vec<Finding>,
        edges: &[(&str, &str, Answer)],
    ) -> (Vec<String>, BTreeMap<String, u32>) {
        let mut asked = BTreeMap::new();
        let report = who_can_decrypt(object(), findings, false, |role| {
            *asked.entry(role.to_owned()).or_insert(0) += 1;
            let of_role = edges.iter().filter(|(_, to, _)| *to == role);
            let kind = |name: &str| {
                if name.starts_with("role") {
                    Kind::Role
                } else {
                    Kind::User
                }
            };
            Ok::<_, Infallible>(
                of_role
                    .map(|(from, _, answer)| ((*from).to_owned(), kind(from), half(*answer)))
                    .collect(),
            )
        });
        let Ok(report) = report;
        let shown = report.readers.iter().map(|it| {
            let way = it.through.join(">");
            let reach = if it.out_of_reach { "!" } else { "" };
            format!("{} [{way}] {:?}{reach}", it.principal, it.answer)
        });
        (shown.collect(), asked)
    }

    #[test]
    fn roles_are_followed_backwards_and_cycles_end() {
        use Answer::{If, No, Yes};
        let findings = vec![
            finding("role1", Kind::Role, Yes, Yes),
            finding("role2", Kind::Role, Yes, No),
            finding("alice", Kind::User, Yes, No),
            finding("bob", Kind::User, No, No),
        ];
        let edges = [
            ("role2", "role1", Yes),
            ("role1", "role2", Yes),
            ("role2", "role2", Yes),
            ("alice", "role2", Yes),
            ("bob", "role1", If),
            ("bob", "role2", Yes),
        ];
        let (readers, asked) = report(findings, &edges);
        assert_eq!(
            readers,
            [
                "alice [role2>role1] Yes",
                "bob [role2>role1] Yes",
                "role1 [] Yes",
                "role2 [role1] Yes",
            ]
        );
        assert!(asked.values().all(|times| *times == 1), "{asked:?}");
    }

    #[test]
    fn what_depends_is_said_and_a_role_that_nobody_assumes_too() {
        use Answer::{If, No, Yes};
        let findings = vec![
            finding("role1", Kind::Role, Yes, If),
            finding("role2", Kind::Role, Yes, Yes),
            finding("alice", Kind::User, If, Yes),
            finding("bob", Kind::User, Yes, No),
        ];
        let (readers, _) = report(findings, &[("bob", "role1", Yes)]);
        assert_eq!(
            readers,
            [
                "alice [] If",
                "bob [role1] If",
                "role1 [] If",
                "role2 [] Yes!"
            ]
        );
    }
}
