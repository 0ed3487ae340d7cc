//! Denials of unauthenticated callers: counted and sampled, so that nobody can fill the disk.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use strongroom_ports::Entropy;
use strongroom_types::{AccountId, Timestamp};

use crate::event::{Event, EventBuilder, Home, OWN_SOURCE};
use crate::limits::{SAMPLED_PAIRS_MAX, SAMPLES_MAX, SUMMARY_INTERVAL_MILLIS, SUMMARY_PAIRS_MAX};
use crate::params::Params;

/// What becomes of a denial.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Noted {
    /// Record it as an event of its own: it is the first of its kind in this interval.
    Record,
    /// It is counted, and the interval's summary tells.
    Counted,
}

/// Counts denials of callers that nobody knows, in bounded memory and at a bounded rate: whatever they
/// do, they cause at most [`SAMPLES_MAX`] events and one summary in an interval of one minute.
///
/// The reason is one of ours (`AccessDenied`, `InvalidAccessKeyId`, `SignatureDoesNotMatch`), never
/// the caller's text.
#[derive(Debug, Default)]
pub struct Denials {
    counts: BTreeMap<(IpAddr, &'static str), u64>,
    /// Of pairs for which there was no room.
    others: u64,
    total: u64,
    samples: u32,
    since: Option<Timestamp>,
}

/// What happened in an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its first denial.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// How many denials there were.
    pub total: u64,
    /// Network, reason, and how many; most first.
    pub counts: Vec<(IpAddr, &'static str, u64)>,
    /// How many more there were that `counts` does not name.
    pub others: u64,
}

impl Denials {
    /// Counts a denial.
    pub fn note(&mut self, source: IpAddr, reason: &'static str, now: Timestamp) -> Noted {
        self.since.get_or_insert(now);
        self.total += 1;
        let pair = (network(source), reason);
        let room = self.counts.len() < SAMPLED_PAIRS_MAX;
        let new = match self.counts.get_mut(&pair) {
            Some(count) => {
                *count += 1;
                false
            }
            None if room => {
                self.counts.insert(pair, 1);
                true
            }
            None => {
                self.others += 1;
                false
            }
        };
        if new && self.samples < SAMPLES_MAX {
            self.samples += 1;
            Noted::Record
        } else {
            Noted::Counted
        }
    }

    /// The summary of the interval, if it is over, or when the server stops (`all`). The next one
    /// begins. Nothing, if nothing was denied.
    pub fn summary(&mut self, now: Timestamp, all: bool) -> Option<Summary> {
        let from = self.since?;
        // A clock that was set back ends the interval, too.
        let age = now.as_millis().checked_sub(from.as_millis());
        if !all && age.is_some_and(|age| age < SUMMARY_INTERVAL_MILLIS) {
            return None;
        }
        let done = std::mem::take(self);
        let mut counts: Vec<_> = done
            .counts
            .into_iter()
            .map(|((network, reason), count)| (network, reason, count))
            .collect();
        counts.sort_by_key(|(network, reason, count)| (u64::MAX - count, *network, *reason));
        counts.truncate(SUMMARY_PAIRS_MAX);
        let named: u64 = counts.iter().map(|(_, _, count)| count).sum();
        Some(Summary {
            from,
            until: now,
            total: done.total,
            others: done.total.saturating_sub(named),
            counts,
        })
    }
}

impl Summary {
    /// The event that says so: `UnauthenticatedDenials`.
    pub fn event(&self, account: AccountId, home: &Home, entropy: &dyn Entropy) -> Event {
        let counts: Vec<Params> = self
            .counts
            .iter()
            .map(|(network, reason, count)| {
                Params::new()
                    .text("network", &network_text(*network))
                    .text("reason", reason)
                    .number("count", *count)
            })
            .collect();
        let details = Params::new()
            .text("from", &self.from.to_iso8601())
            .text("until", &self.until.to_iso8601())
            .number("total", self.total)
            .number("others", self.others)
            .objects("denials", &counts);
        EventBuilder::by_service(account, OWN_SOURCE, "UnauthenticatedDenials")
            .service_details(&details)
            .finish(self.until, home, entropy)
    }
}

/// The network that is counted: one customer of a provider may have as many addresses as this.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

fn network_text(network: IpAddr) -> String {
    let bits = if network.is_ipv4() { 24 } else { 48 };
    format!("{network}/{bits}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::World;

    const T0: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn a_flood_costs_a_bounded_number_of_events_and_all_of_it_is_counted() {
        let world = World::new();
        let mut denials = Denials::default();
        let mut recorded = 0;
        for n in 0..200_000_u32 {
            let source = Ipv4Addr::from(n.wrapping_mul(2_654_435_761)).into();
            if denials.note(source, "InvalidAccessKeyId", T0) == Noted::Record {
                recorded += 1;
            }
            assert!(denials.counts.len() <= SAMPLED_PAIRS_MAX);
        }
        assert_eq!(recorded, SAMPLES_MAX);
        assert_eq!(
            denials.summary(Timestamp::from_seconds(T0.as_seconds() + 59), false),
            None
        );
        let end = Timestamp::from_seconds(T0.as_seconds() + 60);
        let summary = denials.summary(end, false).unwrap();
        assert_eq!(summary.total, 200_000);
        let named: u64 = summary.counts.iter().map(|(_, _, count)| count).sum();
        assert_eq!(named + summary.others, 200_000);
        let event = summary.event(world.account(), &world.home(), &*world.entropy);
        let (_, value) = world.log().row(&event);
        assert!(value.len() < 16 << 10, "{}", value.len());
        assert!(!event.document().contains("omitted"));
        assert_eq!(
            denials.summary(end, true),
            None,
            "the next interval is empty"
        );
    }

    #[test]
    fn neighbours_count_as_one_and_most_come_first() {
        let mut denials = Denials::default();
        let v4 = |last| IpAddr::from([192, 0, 2, last]);
        assert_eq!(denials.note(v4(1), "AccessDenied", T0), Noted::Record);
        assert_eq!(denials.note(v4(2), "AccessDenied", T0), Noted::Counted);
        assert_eq!(denials.note(v4(2), "InvalidAccessKeyId", T0), Noted::Record);
        let v6: IpAddr = "2001:db8:1:2::3".parse().unwrap();
        assert_eq!(denials.note(v6, "AccessDenied", T0), Noted::Record);
        let mapped: IpAddr = "::ffff:192.0.2.9".parse().unwrap();
        assert_eq!(denials.note(mapped, "AccessDenied", T0), Noted::Counted);
        let summary = denials.summary(T0, true).unwrap();
        assert_eq!(summary.counts[0], (v4(0), "AccessDenied", 3));
        assert_eq!(summary.others, 0);
    }

    #[test]
    fn a_clock_set_back_does_not_hold_the_summary_up() {
        let mut denials = Denials::default();
        denials.note([127, 0, 0, 1].into(), "AccessDenied", T0);
        let before = Timestamp::from_seconds(T0.as_seconds() - 3600);
        assert!(denials.summary(before, false).is_some());
    }
}
