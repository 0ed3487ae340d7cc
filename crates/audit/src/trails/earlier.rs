//! What a trail wanted before it was changed: an event is delivered if it was wanted when it happened.
//! Otherwise who changes the selectors would hide what was done just before, or during an outage.

use minicbor::{Decode, Encode};

use crate::event::Event;
use crate::limits::{EARLIER_MAX, EARLIER_MAX_BYTES};
use crate::trails::state::TrailState;
use crate::trails::{Selectors, Trail};

/// What a trail wanted up to a time, and since the one before.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Earlier {
    /// The end of it, in milliseconds: the event of the change belongs to both sides.
    #[n(0)]
    pub until_millis: u64,
    /// What was selected; nothing while it did not log.
    #[n(1)]
    pub selectors: Option<Selectors>,
    /// `IncludeGlobalServiceEvents`.
    #[n(2)]
    pub global_events: bool,
    /// The batches behind the last that can hold an event of that time, once that is known.
    #[n(3)]
    pub management_end: Option<u64>,
    /// The same of data events.
    #[n(4)]
    pub data_end: Option<u64>,
}

impl Earlier {
    fn of(trail: &Trail, until_millis: u64) -> Self {
        Self {
            selectors: Some(trail.selectors.clone()),
            global_events: trail.global_events,
            ..Self::nothing(until_millis)
        }
    }

    fn nothing(until_millis: u64) -> Self {
        Self {
            until_millis,
            selectors: None,
            global_events: true,
            management_end: None,
            data_end: None,
        }
    }

    fn takes(&self, event: &Event) -> bool {
        let selectors = self.selectors.as_ref();
        selectors.is_some_and(|selectors| takes(selectors, self.global_events, event))
    }

    fn wants_data(&self) -> bool {
        self.selectors.as_ref().is_some_and(Selectors::wants_data)
    }

    /// Whether everything of that time is delivered.
    fn is_over(&self, state: &TrailState) -> bool {
        self.management_end.is_some_and(|it| state.management >= it)
            && self.data_end.is_some_and(|it| state.data >= it)
    }
}

impl TrailState {
    /// Notes what `before` wanted, as it wants something else from then on.
    pub(crate) fn wanted_until(&mut self, before: &Trail, until_millis: u64) {
        self.note(Earlier::of(before, until_millis));
    }

    /// Notes that the trail did not log between the two times.
    pub(crate) fn was_off(&mut self, trail: &Trail, from_millis: u64, until_millis: u64) {
        for earlier in &mut self.earlier {
            earlier.until_millis = earlier.until_millis.min(from_millis);
        }
        self.note(Earlier::of(trail, from_millis));
        self.note(Earlier::nothing(until_millis));
    }

    /// Too many or too long, they come together as one that selects everything: better too much is
    /// delivered than too little.
    fn note(&mut self, earlier: Earlier) {
        self.earlier.push(earlier);
        let length = |it: &Earlier| it.selectors.as_ref().map_or(0, Selectors::length_bytes);
        let bytes: usize = self.earlier.iter().map(length).sum();
        if self.earlier.len() <= EARLIER_MAX && bytes <= EARLIER_MAX_BYTES {
            return;
        }
        let until_millis = self.earlier.last().map_or(0, |it| it.until_millis);
        self.earlier = vec![Earlier {
            selectors: Some(Selectors::everything()),
            ..Earlier::nothing(until_millis)
        }];
    }

    /// Whether the event was wanted when it happened.
    pub(crate) fn wants(&self, trail: &Trail, event: &Event) -> bool {
        let time = event.time_millis;
        let mut from = 0;
        for earlier in &self.earlier {
            if (from..=earlier.until_millis).contains(&time) && earlier.takes(event) {
                return true;
            }
            from = earlier.until_millis;
        }
        time >= from && takes(&trail.selectors, trail.global_events, event)
    }

    /// Whether any data event can be wanted that is still to be delivered.
    pub(crate) fn wants_data(&self, trail: &Trail) -> bool {
        trail.selectors.wants_data() || self.earlier.iter().any(Earlier::wants_data)
    }

    /// Forgets what no event that is still to be delivered asks for.
    pub(crate) fn forget_earlier(&mut self) {
        let mut earlier = std::mem::take(&mut self.earlier);
        earlier.retain(|it| !it.is_over(self));
        self.earlier = earlier;
    }
}

fn takes(selectors: &Selectors, global_events: bool, event: &Event) -> bool {
    let is_global = || {
        let source = event.source.as_str();
        matches!(source, "iam.amazonaws.com" | "sts.amazonaws.com")
    };
    (global_events || !is_global()) && selectors.takes(event)
}
