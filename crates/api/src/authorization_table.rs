//! The rows of `docs/authorization.md` held against the tables of operations: what a reader is told
//! of rights is what is asked, and nothing is missing. `tests/e2e/test_authorization_table.py` makes
//! the calls.

use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../../../docs/authorization.md");

/// The document's rows: service and operation, then every action that one of its rows names first,
/// the plain row's before those "with" something.
fn documented() -> BTreeMap<(String, String), Vec<String>> {
    let mut rows: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut service = None;
    for line in DOCUMENT.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let known = ["S3", "KMS", "IAM", "STS", "CloudTrail"].contains(&heading);
            service = known.then(|| heading.to_ascii_lowercase());
        }
        let Some(service) = &service else { continue };
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, actions, on, ..] = cells.as_slice() else {
            continue;
        };
        let Some((operation, more)) = name.strip_prefix('`').and_then(|it| it.split_once('`'))
        else {
            continue;
        };
        assert!(!on.is_empty(), "{operation} is done to nothing");
        let first = actions.split('`').nth(1).unwrap_or_default().to_owned();
        let row = rows.entry((service.clone(), operation.to_owned()));
        assert!(
            more.is_empty() == matches!(row, std::collections::btree_map::Entry::Vacant(_)),
            "the plain row of {operation} comes first, and once"
        );
        row.or_default().push(first);
    }
    rows
}

fn served() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let of = |service| move |(name, action)| (service, name, action);
    crate::s3::actions()
        .map(of("s3"))
        .chain(crate::kms::actions().map(of("kms")))
        .chain(crate::iam::actions().map(of("iam")))
        .chain(crate::sts::actions().map(of("sts")))
        .chain(crate::cloudtrail::actions().map(of("cloudtrail")))
}

#[test]
fn every_operation_has_a_row_that_names_its_action() {
    let documented = documented();
    for (service, name, action) in served() {
        let row = documented.get(&(service.to_owned(), name.to_owned()));
        let first = row.and_then(|actions| actions.first());
        assert_eq!(first.map(String::as_str), Some(action), "{service} {name}");
    }
}

#[test]
fn every_row_is_of_an_operation() {
    let served: Vec<_> = served().map(|(service, name, _)| (service, name)).collect();
    for (service, name) in documented().keys() {
        let row = (service.as_str(), name.as_str());
        assert!(served.contains(&row), "{service} {name}");
    }
}
