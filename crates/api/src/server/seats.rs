//! Who may have a connection: a bound for all, and a share of what is free for each peer.
//!
//! A peer may hold as many connections as there are still free ones (dynamic thresholds: Choudhury
//! and Hahne, 1998). One peer alone thus gets half of all, two a third each, `k` of them together
//! `k / (k + 1)`: whoever comes next always finds something free, without any setting, and a lone
//! client of a quiet server is hardly bounded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::CONNECTIONS_LOOPBACK_SHARE;

/// All connections that there may be at a time.
pub(super) struct Seats {
    max: usize,
    free: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// A peer without a connection has no entry, so that strangers do not fill the memory.
    by_peer: HashMap<IpAddr, usize>,
}

/// The right to have one connection, until dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    peer: IpAddr,
    _free: OwnedSemaphorePermit,
}

/// One seat is free, for whoever comes.
pub(super) struct FreeSeat(OwnedSemaphorePermit);

impl Seats {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            free: Arc::new(Semaphore::new(max)),
            taken: Mutex::default(),
        })
    }

    /// Resolves when a connection may be accepted at all; the others wait in the listener's queue.
    pub(super) async fn next_free(&self) -> Option<FreeSeat> {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        permit.ok().map(FreeSeat)
    }

    /// Gives the seat to a peer, unless it has its share already.
    pub(super) fn take(self: &Arc<Self>, free: FreeSeat, peer: IpAddr) -> Option<Seat> {
        let peer = one_peer(peer);
        let mut taken = self.taken.lock();
        let left = self.max.saturating_sub(taken.all);
        let held = taken.by_peer.get(&peer).copied().unwrap_or(0);
        if held >= left.saturating_mul(share(peer)) {
            return None;
        }
        taken.all = taken.all.saturating_add(1);
        taken.by_peer.insert(peer, held.saturating_add(1));
        drop(taken);
        Some(Seat {
            seats: Arc::clone(self),
            peer,
            _free: free.0,
        })
    }

    /// Resolves when no connection is left.
    pub(super) async fn all_free(&self) {
        let all = u32::try_from(self.max).unwrap_or(u32::MAX);
        drop(self.free.acquire_many(all).await);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        let held = taken.by_peer.get(&self.peer).copied().unwrap_or(0);
        if held > 1 {
            taken.by_peer.insert(self.peer, held.saturating_sub(1));
        } else {
            taken.by_peer.remove(&self.peer);
        }
    }
}

/// Addresses that count as one: of IPv6 a whole /64, since any host may use all of its network's.
fn one_peer(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & NETWORK)),
        other @ (IpAddr::V4(_) | IpAddr::V6(_)) => other,
    }
}

fn share(peer: IpAddr) -> usize {
    if peer.is_loopback() {
        CONNECTIONS_LOOPBACK_SHARE
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a peer take whatever it gets.
    async fn grab(seats: &Arc<Seats>, peer: &str) -> Vec<Seat> {
        let mut held = Vec::new();
        while let Some(seat) = take(seats, peer).await {
            held.push(seat);
        }
        held
    }

    async fn take(seats: &Arc<Seats>, peer: &str) -> Option<Seat> {
        let free = seats.next_free().await.unwrap();
        seats.take(free, peer.parse().unwrap())
    }

    #[tokio::test]
    async fn greedy_peers_always_leave_something_for_the_next() {
        let seats = Seats::new(96);
        let one = grab(&seats, "192.0.2.1").await;
        assert_eq!(one.len(), 48);
        let other = grab(&seats, "192.0.2.2").await;
        assert_eq!(other.len(), 24);
        assert!(take(&seats, "192.0.2.1").await.is_none());
        drop(one);
        assert_eq!(grab(&seats, "192.0.2.2").await.len(), 24);
        drop(other);
        assert_eq!(grab(&seats, "192.0.2.1").await.len(), 48);
    }

    #[tokio::test]
    async fn a_proxy_on_this_host_gets_nearly_all_and_not_all() {
        let seats = Seats::new(64);
        let proxy = grab(&seats, "127.0.0.1").await;
        assert_eq!(proxy.len(), 56);
        assert!(take(&seats, "192.0.2.1").await.is_some());
        drop(proxy);
        assert_eq!(grab(&seats, "::1").await.len(), 56);
    }

    #[tokio::test]
    async fn one_host_in_other_clothes_is_still_one_peer() {
        let seats = Seats::new(64);
        let _network = grab(&seats, "2001:db8::1").await;
        assert!(take(&seats, "2001:db8::ffff:2").await.is_none());
        assert!(take(&seats, "2001:db8:0:1::1").await.is_some());
        let _mapped = grab(&seats, "::ffff:192.0.2.1").await;
        assert!(take(&seats, "192.0.2.1").await.is_none());
    }

    #[tokio::test]
    async fn peers_that_left_are_forgotten() {
        let seats = Seats::new(8);
        for host in 0..100 {
            drop(take(&seats, &format!("192.0.2.{host}")).await.unwrap());
        }
        assert!(seats.taken.lock().by_peer.is_empty());
        assert_eq!(seats.taken.lock().all, 0);
        seats.all_free().await;
    }
}
