//! How many lines a stranger may write into our log. Pure: the time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Lines at once, and then one each second.
const BURST: f64 = 50.0;
const PER_SECOND: f64 = 1.0;
/// Addresses that are told apart. All others share one count.
const ADDRESSES: usize = 1024;

struct Bucket {
    lines: f64,
    at: Instant,
    swallowed: u64,
}

#[derive(Default)]
pub(crate) struct LogLimit {
    by_address: HashMap<Option<IpAddr>, Bucket>,
}

impl LogLimit {
    /// Whether a line about this address may be written now, and then how many were swallowed before it.
    pub fn allow(&mut self, address: IpAddr, now: Instant) -> Option<u64> {
        let mut key = Some(address);
        if self.by_address.len() >= ADDRESSES && !self.by_address.contains_key(&key) {
            self.by_address.retain(|_, bucket| bucket.refilled(now) < BURST || bucket.swallowed > 0);
            if self.by_address.len() >= ADDRESSES {
                key = None;
            }
        }
        let bucket = self.by_address.entry(key).or_insert(Bucket { lines: BURST, at: now, swallowed: 0 });
        bucket.lines = bucket.refilled(now);
        bucket.at = now;
        if bucket.lines < 1.0 {
            bucket.swallowed += 1;
            return None;
        }
        bucket.lines -= 1.0;
        Some(std::mem::take(&mut bucket.swallowed))
    }
}

impl Bucket {
    fn refilled(&self, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        (self.lines + seconds * PER_SECOND).min(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from(n).into()
    }

    #[test]
    fn a_burst_is_written_then_one_each_second_with_what_was_swallowed() {
        let mut limit = LogLimit::default();
        let start = Instant::now();
        let written = (0..80).filter(|_| limit.allow(address(1), start).is_some()).count();
        assert_eq!(written, 50);
        assert_eq!(limit.allow(address(2), start), Some(0), "others are not held to it");
        assert_eq!(limit.allow(address(1), start + Duration::from_secs(1)), Some(30));
        assert_eq!(limit.allow(address(1), start + Duration::from_secs(1)), None);
    }

    #[test]
    fn many_addresses_cost_bounded_memory() {
        let mut limit = LogLimit::default();
        let start = Instant::now();
        let written = (0..100_000).filter(|n| limit.allow(address(*n), start).is_some()).count();
        assert_eq!(written, ADDRESSES + BURST as usize);
        assert!(limit.by_address.len() <= ADDRESSES + 1);
        let later = start + Duration::from_secs(3600);
        assert_eq!(limit.allow(address(200_000), later), Some(0), "the old ones are forgotten");
    }

    #[test]
    fn who_is_known_keeps_a_count_of_its_own_and_what_was_swallowed_is_told_in_the_end() {
        let mut limit = LogLimit::default();
        let start = Instant::now();
        let written = (0..60).filter(|_| limit.allow(address(0), start).is_some()).count();
        assert_eq!(written, 50);
        for n in 1..100_000 {
            limit.allow(address(n), start);
        }
        assert_eq!(limit.allow(address(1), start), Some(0), "the count of all others is used up");
        let later = start + Duration::from_secs(3600);
        assert_eq!(limit.allow(address(200_000), later), Some(0));
        assert_eq!(limit.allow(address(0), later), Some(10));
    }
}
