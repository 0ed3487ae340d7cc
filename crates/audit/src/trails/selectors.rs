//! Event selectors: which events a trail delivers.

use minicbor::{Decode, Encode};

use crate::event::Event;
use crate::limits::{ADVANCED_VALUES_MAX, DATA_RESOURCES_MAX, SELECTORS_MAX, SELECTORS_MAX_BYTES};
use crate::trails::TrailProblem;

/// What a trail delivers: of either kind, as PutEventSelectors sets one and removes the other.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Selectors {
    /// `EventSelectors`.
    #[n(0)]
    Basic(#[n(0)] Vec<Selector>),
    /// `AdvancedEventSelectors`.
    #[n(1)]
    Advanced(#[n(0)] Vec<AdvancedSelector>),
}

/// The resources that this server has data events of.
const DATA_TYPE: &str = "AWS::S3::Object";

/// `ReadWriteType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ReadWrite {
    /// `All`.
    #[n(0)]
    All,
    /// `ReadOnly`.
    #[n(1)]
    ReadOnly,
    /// `WriteOnly`.
    #[n(2)]
    WriteOnly,
}

/// One of `EventSelectors`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Selector {
    /// `ReadWriteType`.
    #[n(0)]
    pub read_write: ReadWrite,
    /// `IncludeManagementEvents`.
    #[n(1)]
    pub management: bool,
    /// `DataResources`.
    #[n(2)]
    pub data_resources: Vec<DataResource>,
    /// `ExcludeManagementEventSources`.
    #[n(3)]
    pub excluded_sources: Vec<String>,
}

/// One of `DataResources`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DataResource {
    /// `AWS::S3::Object`.
    #[n(0)]
    pub kind: String,
    /// ARNs, or starts of them: `arn:aws:s3:::bucket/prefix`; `arn:aws:s3` is all buckets.
    #[n(1)]
    pub values: Vec<String>,
}

/// One of `AdvancedEventSelectors`: all its conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AdvancedSelector {
    /// `Name`.
    #[n(0)]
    pub name: Option<String>,
    /// `FieldSelectors`.
    #[n(1)]
    pub conditions: Vec<Condition>,
}

/// One of `FieldSelectors`: each list that is not empty must hold. A positive one holds if one of its
/// values fits, a negative one if none does.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Condition {
    /// `Field`.
    #[n(0)]
    pub field: Field,
    /// `Equals`.
    #[n(1)]
    pub equals: Vec<String>,
    /// `StartsWith`.
    #[n(2)]
    pub starts_with: Vec<String>,
    /// `EndsWith`.
    #[n(3)]
    pub ends_with: Vec<String>,
    /// `NotEquals`.
    #[n(4)]
    pub not_equals: Vec<String>,
    /// `NotStartsWith`.
    #[n(5)]
    pub not_starts_with: Vec<String>,
    /// `NotEndsWith`.
    #[n(6)]
    pub not_ends_with: Vec<String>,
}

/// `Field` of a field selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Field {
    /// `eventCategory`: `Management` or `Data`. Each selector has one.
    #[n(0)]
    EventCategory,
    /// `readOnly`: `true` or `false`.
    #[n(1)]
    ReadOnly,
    /// `eventSource`.
    #[n(2)]
    EventSource,
    /// `eventName`.
    #[n(3)]
    EventName,
    /// `resources.type`.
    #[n(4)]
    ResourcesType,
    /// `resources.ARN`.
    #[n(5)]
    ResourcesArn,
    /// `eventType`.
    #[n(6)]
    EventType,
    /// `userIdentity.arn`.
    #[n(7)]
    UserIdentityArn,
    /// `sessionCredentialFromConsole`: always `false` here.
    #[n(8)]
    SessionCredentialFromConsole,
}

impl ReadWrite {
    /// Parses the API's name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "All" => Self::All,
            "ReadOnly" => Self::ReadOnly,
            "WriteOnly" => Self::WriteOnly,
            _ => return None,
        })
    }

    /// The API's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "All",
            Self::ReadOnly => "ReadOnly",
            Self::WriteOnly => "WriteOnly",
        }
    }

    fn takes(self, read_only: bool) -> bool {
        match self {
            Self::All => true,
            Self::ReadOnly => read_only,
            Self::WriteOnly => !read_only,
        }
    }
}

impl Field {
    const ALL: [Self; 9] = [
        Self::EventCategory,
        Self::ReadOnly,
        Self::EventSource,
        Self::EventName,
        Self::ResourcesType,
        Self::ResourcesArn,
        Self::EventType,
        Self::UserIdentityArn,
        Self::SessionCredentialFromConsole,
    ];

    /// The API's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EventCategory => "eventCategory",
            Self::ReadOnly => "readOnly",
            Self::EventSource => "eventSource",
            Self::EventName => "eventName",
            Self::ResourcesType => "resources.type",
            Self::ResourcesArn => "resources.ARN",
            Self::EventType => "eventType",
            Self::UserIdentityArn => "userIdentity.arn",
            Self::SessionCredentialFromConsole => "sessionCredentialFromConsole",
        }
    }

    /// Parses the API's name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    fn values(self, event: &Event) -> Vec<&str> {
        let flag = |value| if value { "true" } else { "false" };
        match self {
            Self::EventCategory => vec![if event.data { "Data" } else { "Management" }],
            Self::ReadOnly => vec![flag(event.read_only)],
            Self::EventSource => vec![&event.source],
            Self::EventName => vec![&event.name],
            Self::ResourcesType => event.resources.iter().map(|it| it.kind.as_str()).collect(),
            Self::ResourcesArn => event.resources.iter().map(|it| it.arn.as_str()).collect(),
            Self::EventType if event.by_service => vec!["AwsServiceEvent"],
            Self::EventType => vec!["AwsApiCall"],
            Self::UserIdentityArn => event.user_arn.as_deref().into_iter().collect(),
            Self::SessionCredentialFromConsole => vec!["false"],
        }
    }
}

impl Default for Selectors {
    /// Of a new trail: all management events, no data events (PutEventSelectors API).
    fn default() -> Self {
        Self::Basic(vec![Selector {
            read_write: ReadWrite::All,
            management: true,
            data_resources: Vec::new(),
            excluded_sources: Vec::new(),
        }])
    }
}

impl Selectors {
    /// Checks the API's rules.
    ///
    /// # Errors
    ///
    /// [`TrailProblem::EventSelectors`], with what is wrong.
    pub fn check(&self) -> Result<(), TrailProblem> {
        let refuse = |text: &str| Err(TrailProblem::EventSelectors(text.to_owned()));
        if self.length_bytes() > SELECTORS_MAX_BYTES {
            return refuse("The event selectors of a trail are too long together.");
        }
        match self {
            Self::Basic(selectors) => {
                if selectors.is_empty() || selectors.len() > SELECTORS_MAX {
                    return refuse("A trail has 1 to 5 event selectors.");
                }
                let resources = || selectors.iter().flat_map(|it| &it.data_resources);
                if resources().map(|it| it.values.len()).sum::<usize>() > DATA_RESOURCES_MAX {
                    return refuse("A trail has at most 250 data resources.");
                }
                if resources().any(|it| it.kind != DATA_TYPE) {
                    return refuse("Data events are those of AWS::S3::Object.");
                }
                let mut values = resources().flat_map(|it| &it.values);
                if let Some(wrong) = values.find(|value| !is_of_objects(value)) {
                    return refuse(&format!(
                        "Value {wrong} for DataResources.Values is invalid: \
                         a data resource is arn:aws:s3 or arn:aws:s3:::BUCKET/PREFIX."
                    ));
                }
                let known = |source: &String| {
                    matches!(
                        source.as_str(),
                        "kms.amazonaws.com" | "rdsdata.amazonaws.com"
                    )
                };
                if !selectors
                    .iter()
                    .flat_map(|it| &it.excluded_sources)
                    .all(known)
                {
                    return refuse(
                        "Only kms.amazonaws.com and rdsdata.amazonaws.com can be excluded.",
                    );
                }
            }
            Self::Advanced(selectors) => {
                if selectors.is_empty() {
                    return refuse("At least one advanced event selector is needed.");
                }
                let conditions = || selectors.iter().flat_map(|it| &it.conditions);
                if conditions()
                    .map(|it| it.lists().map(|(_, list)| list.len()).sum::<usize>())
                    .sum::<usize>()
                    > ADVANCED_VALUES_MAX
                {
                    return refuse("A trail has at most 500 values in advanced event selectors.");
                }
                if conditions().any(|it| it.lists().all(|(_, list)| list.is_empty())) {
                    return refuse("A field selector has at least one operator.");
                }
                for selector in selectors {
                    selector.check()?;
                }
            }
        }
        Ok(())
    }

    /// All there is.
    pub(crate) fn everything() -> Self {
        Self::Basic(vec![Selector {
            read_write: ReadWrite::All,
            management: true,
            data_resources: vec![DataResource {
                kind: DATA_TYPE.to_owned(),
                values: vec!["arn:aws:s3".to_owned()],
            }],
            excluded_sources: Vec::new(),
        }])
    }

    /// How long they are when they are stored.
    pub(crate) fn length_bytes(&self) -> usize {
        minicbor::to_vec(self).map_or(usize::MAX, |bytes| bytes.len())
    }

    /// Whether an event is delivered. A pure function of both.
    pub fn takes(&self, event: &Event) -> bool {
        match self {
            Self::Basic(selectors) => selectors.iter().any(|selector| selector.takes(event)),
            Self::Advanced(selectors) => selectors.iter().any(|selector| selector.takes(event)),
        }
    }

    /// Whether any data event can be delivered.
    pub fn wants_data(&self) -> bool {
        match self {
            Self::Basic(selectors) => selectors.iter().any(|it| !it.data_resources.is_empty()),
            Self::Advanced(selectors) => selectors.iter().any(|it| it.category() == Some("Data")),
        }
    }
}

impl Selector {
    fn takes(&self, event: &Event) -> bool {
        // PutEventSelectors and StartLogging and their like are in every trail that has management
        // events, whatever it excludes; they are writes of cloudtrail.amazonaws.com.
        if !self.read_write.takes(event.read_only) {
            return false;
        }
        if !event.data {
            return self.management && !self.excluded_sources.contains(&event.source);
        }
        self.data_resources.iter().any(|wanted| {
            let of_kind = event.resources.iter().filter(|it| it.kind == wanted.kind);
            let mut arns = of_kind.map(|it| it.arn.as_str());
            arns.any(|arn| {
                wanted
                    .values
                    .iter()
                    .any(|value| arn.starts_with(value.as_str()))
            })
        })
    }
}

impl AdvancedSelector {
    fn takes(&self, event: &Event) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.holds(event))
    }

    fn category(&self) -> Option<&str> {
        let mut of = self
            .conditions
            .iter()
            .filter(|it| it.field == Field::EventCategory);
        let values = &of.next()?.equals;
        let [category] = values.as_slice() else {
            return None;
        };
        of.next().is_none().then_some(category)
    }

    fn check(&self) -> Result<(), TrailProblem> {
        let refuse = |text: &str| Err(TrailProblem::EventSelectors(text.to_owned()));
        let category = self.category();
        if !matches!(category, Some("Management" | "Data")) {
            return refuse("eventCategory must be given once, and equal Management or Data.");
        }
        let has = |field| self.conditions.iter().any(|it| it.field == field);
        if category == Some("Data") && !has(Field::ResourcesType) {
            return refuse("Selectors of data events must give resources.type.");
        }
        if category == Some("Management") && (has(Field::ResourcesType) || has(Field::ResourcesArn))
        {
            return refuse("Selectors of management events cannot give resources.");
        }
        let exact = |it: &&Condition| {
            matches!(
                it.field,
                Field::EventCategory | Field::ReadOnly | Field::ResourcesType
            )
        };
        let only_equals = |it: &Condition| it.lists().skip(1).all(|(_, list)| list.is_empty());
        if !self.conditions.iter().filter(exact).all(only_equals) {
            return refuse("eventCategory, readOnly and resources.type take Equals only.");
        }
        // What can never be is a mistake, and nobody would see that nothing is delivered.
        let values = |field| {
            let of = self.conditions.iter().filter(move |it| it.field == field);
            of.flat_map(|it| &it.equals)
        };
        if !values(Field::ReadOnly).all(|it| it == "true" || it == "false") {
            return refuse("readOnly is true or false.");
        }
        if !values(Field::ResourcesType).all(|it| it == DATA_TYPE) {
            return refuse("Data events are those of AWS::S3::Object.");
        }
        Ok(())
    }
}

/// All objects, those of a bucket, or those of it whose keys begin so.
fn is_of_objects(value: &str) -> bool {
    match value.strip_prefix("arn:aws:s3:::") {
        Some("") => true,
        // A wildcard is no part of a name: it would fit no bucket.
        Some(place) => place
            .split_once('/')
            .is_some_and(|(bucket, _)| !bucket.is_empty() && !bucket.contains(['*', '?'])),
        None => value == "arn:aws:s3",
    }
}

impl Condition {
    /// The API's name of each list, and the list. `Equals` first.
    pub fn lists(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        let Self {
            field: _,
            equals,
            starts_with,
            ends_with,
            not_equals,
            not_starts_with,
            not_ends_with,
        } = self;
        [
            ("Equals", equals),
            ("StartsWith", starts_with),
            ("EndsWith", ends_with),
            ("NotEquals", not_equals),
            ("NotStartsWith", not_starts_with),
            ("NotEndsWith", not_ends_with),
        ]
        .into_iter()
        .map(|(name, list)| (name, list.as_slice()))
    }

    fn holds(&self, event: &Event) -> bool {
        let values = self.field.values(event);
        let one = |list: &[String], fits: fn(&str, &str) -> bool| {
            values
                .iter()
                .any(|value| list.iter().any(|wanted| fits(value, wanted)))
        };
        let yes = |list: &[String], fits| list.is_empty() || one(list, fits);
        let no = |list: &[String], fits| !one(list, fits);
        let equals: fn(&str, &str) -> bool = |value, wanted| value == wanted;
        let starts: fn(&str, &str) -> bool = |value, wanted| value.starts_with(wanted);
        let ends: fn(&str, &str) -> bool = |value, wanted| value.ends_with(wanted);
        yes(&self.equals, equals)
            && yes(&self.starts_with, starts)
            && yes(&self.ends_with, ends)
            && no(&self.not_equals, equals)
            && no(&self.not_starts_with, starts)
            && no(&self.not_ends_with, ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventBuilder;
    use crate::fixture::{KEY_ARN, World};

    fn basic(read_write: ReadWrite, management: bool, values: &[&str]) -> Selectors {
        let values: Vec<String> = values.iter().map(|it| (*it).to_owned()).collect();
        let resource = DataResource {
            kind: "AWS::S3::Object".to_owned(),
            values,
        };
        Selectors::Basic(vec![Selector {
            read_write,
            management,
            data_resources: if resource.values.is_empty() {
                Vec::new()
            } else {
                vec![resource]
            },
            excluded_sources: Vec::new(),
        }])
    }

    fn condition(field: Field) -> Condition {
        Condition {
            field,
            equals: Vec::new(),
            starts_with: Vec::new(),
            ends_with: Vec::new(),
            not_equals: Vec::new(),
            not_starts_with: Vec::new(),
            not_ends_with: Vec::new(),
        }
    }

    fn equals(field: Field, value: &str) -> Condition {
        Condition {
            equals: vec![value.to_owned()],
            ..condition(field)
        }
    }

    fn advanced(conditions: Vec<Condition>) -> Selectors {
        Selectors::Advanced(vec![AdvancedSelector {
            name: None,
            conditions,
        }])
    }

    /// A read and a write of management, and one of each of data.
    fn events(world: &World) -> [Event; 4] {
        let context = world.alice();
        let data = |name| {
            let arn = "arn:aws:s3:::photos/2026/cat.jpg";
            let event = EventBuilder::of(&context, "s3.amazonaws.com", name).data();
            let event = event.resource("AWS::S3::Object", arn, None);
            world
                .log()
                .finish(event.resource("AWS::S3::Bucket", "arn:aws:s3:::photos", None))
        };
        [
            world.decrypt(KEY_ARN),
            world.record("CreateUser"),
            data("GetObject"),
            data("PutObject"),
        ]
    }

    #[test]
    fn basic_selectors_take_what_they_say() {
        let world = World::new();
        let events = events(&world);
        let takes = |selectors: &Selectors| {
            selectors.check().unwrap();
            events.each_ref().map(|event| selectors.takes(event))
        };
        let (yes, no) = (true, false);
        assert_eq!(takes(&Selectors::default()), [yes, yes, no, no]);
        assert_eq!(
            takes(&basic(ReadWrite::ReadOnly, true, &[])),
            [yes, no, no, no]
        );
        assert_eq!(
            takes(&basic(ReadWrite::WriteOnly, true, &[])),
            [no, yes, no, no]
        );
        for value in [
            "arn:aws:s3",
            "arn:aws:s3:::photos/",
            "arn:aws:s3:::photos/2026",
        ] {
            assert_eq!(
                takes(&basic(ReadWrite::All, false, &[value])),
                [no, no, yes, yes]
            );
        }
        let other = basic(
            ReadWrite::All,
            false,
            &["arn:aws:s3:::photo/", "arn:aws:s3:::photos/2025"],
        );
        assert_eq!(takes(&other), [no; 4]);
        let Selectors::Basic(mut without_kms) = Selectors::default() else {
            panic!("a new trail has a basic selector");
        };
        without_kms[0]
            .excluded_sources
            .push("kms.amazonaws.com".to_owned());
        assert_eq!(takes(&Selectors::Basic(without_kms)), [no, yes, no, no]);
    }

    #[test]
    fn advanced_selectors_take_what_they_say() {
        let world = World::new();
        let events = events(&world);
        let takes = |conditions: Vec<Condition>| {
            let selectors = advanced(conditions);
            selectors.check().unwrap();
            events.each_ref().map(|event| selectors.takes(event))
        };
        let management = || equals(Field::EventCategory, "Management");
        let data = || {
            vec![
                equals(Field::EventCategory, "Data"),
                equals(Field::ResourcesType, "AWS::S3::Object"),
            ]
        };
        let (yes, no) = (true, false);
        assert_eq!(takes(vec![management()]), [yes, yes, no, no]);
        assert_eq!(
            takes(vec![management(), equals(Field::ReadOnly, "true")]),
            [yes, no, no, no]
        );
        let not_kms = Condition {
            not_equals: vec!["kms.amazonaws.com".to_owned()],
            ..condition(Field::EventSource)
        };
        assert_eq!(takes(vec![management(), not_kms]), [no, yes, no, no]);
        let mut of_photos = data();
        of_photos.push(Condition {
            starts_with: vec!["arn:aws:s3:::photos/".to_owned()],
            not_ends_with: vec![".png".to_owned()],
            ..condition(Field::ResourcesArn)
        });
        assert_eq!(takes(of_photos.clone()), [no, no, yes, yes]);
        of_photos.push(Condition {
            starts_with: vec!["Put".to_owned()],
            ..condition(Field::EventName)
        });
        assert_eq!(takes(of_photos), [no, no, no, yes]);
        let mut not_jpg = data();
        not_jpg.push(Condition {
            not_ends_with: vec![".jpg".to_owned()],
            ..condition(Field::ResourcesArn)
        });
        assert_eq!(takes(not_jpg), [no; 4]);
        let by_alice = Condition {
            ends_with: vec!["/alice".to_owned()],
            ..condition(Field::UserIdentityArn)
        };
        assert_eq!(takes(vec![management(), by_alice]), [yes, yes, no, no]);
    }

    #[test]
    fn selectors_that_the_api_refuses_are_refused() {
        let long = format!("arn:aws:s3:::photos/{}", "x".repeat(300));
        let of_data = |kind| {
            vec![
                equals(Field::EventCategory, "Data"),
                equals(Field::ResourcesType, kind),
            ]
        };
        for selectors in [
            // What could never be delivered, and what no row could hold.
            basic(ReadWrite::All, true, &["arn:aws:s3:::ph*/raw/"]),
            basic(ReadWrite::All, true, &["arn:aws:s3:::/raw"]),
            basic(ReadWrite::All, true, &[long.as_str(); 250]),
            advanced(of_data("AWS::S3::Objekt")),
            advanced(vec![
                equals(Field::EventCategory, "Management"),
                equals(Field::ReadOnly, "yes"),
            ]),
            Selectors::Basic(Vec::new()),
            Selectors::Basic(vec![
                Selector {
                    read_write: ReadWrite::All,
                    management: true,
                    data_resources: Vec::new(),
                    excluded_sources: Vec::new(),
                };
                6
            ]),
            basic(ReadWrite::All, true, &["arn:aws:s3:::photos"]),
            basic(ReadWrite::All, true, &["arn:aws:s3:::a/"; 251]),
            advanced(Vec::new()),
            advanced(vec![equals(Field::EventCategory, "Insight")]),
            advanced(vec![equals(Field::EventCategory, "Data")]),
            advanced(vec![
                equals(Field::EventCategory, "Management"),
                equals(Field::ResourcesType, "AWS::S3::Object"),
            ]),
            advanced(vec![
                equals(Field::EventCategory, "Management"),
                condition(Field::EventName),
            ]),
            advanced(vec![equals(Field::EventName, "Decrypt")]),
        ] {
            assert!(selectors.check().is_err(), "{selectors:?}");
        }
    }
}
