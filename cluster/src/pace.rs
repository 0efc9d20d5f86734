//! How fast the bytes of blocks come over a connection. Pure: seconds come from the caller.

/// Shorter payloads may have come whole before anybody looked.
const SHORTEST: u64 = 64 << 10;
/// Bytes that are put together to one measurement.
const BYTES_AT_ONCE: u64 = 1 << 20;
/// Share of a new measurement in an average.
const LEARNING: f64 = 0.3;
/// Blocks after which one is asked for as it is: those that are compressed to little tell nothing of the link.
const PLAIN_AFTER: u32 = 64;
const PICOSECOND: f64 = 1e-12;

/// What has been measured on one connection.
#[derive(Default)]
pub(crate) struct Pace {
    /// Bytes and seconds that the average does not know of yet.
    bytes: u64,
    seconds: f64,
    seconds_per_byte: Option<f64>,
    /// Requests so far.
    requests: u32,
}

impl Pace {
    /// So many bytes of one payload have come, one behind the other.
    pub fn measure(&mut self, bytes: u64, seconds: f64) {
        if bytes < SHORTEST {
            return;
        }
        self.bytes += bytes;
        self.seconds += seconds;
        if self.bytes < BYTES_AT_ONCE {
            return;
        }
        let newest = self.seconds / self.bytes as f64;
        let average = self.seconds_per_byte.get_or_insert(newest);
        *average += LEARNING * (newest - *average);
        (self.bytes, self.seconds) = (0, 0.0);
    }

    /// For the next request: picoseconds that a byte takes, or 0 if the block is to come as it is.
    pub fn of_request(&mut self) -> u32 {
        self.requests = self.requests.wrapping_add(1);
        match self.seconds_per_byte {
            Some(seconds) if !self.requests.is_multiple_of(PLAIN_AFTER) => (seconds / PICOSECOND) as u32,
            _ => 0,
        }
    }
}

/// The seconds that a request speaks of.
pub(crate) fn seconds_per_byte(picoseconds: u32) -> f64 {
    f64::from(picoseconds) * PICOSECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u64 = 512 << 10;

    #[test]
    fn nothing_is_said_before_a_megabyte_has_come_and_small_ones_do_not_count() {
        let mut pace = Pace::default();
        pace.measure(PART, PART as f64 * 1e-8);
        (0..1000).for_each(|_| pace.measure(SHORTEST - 1, 0.0));
        assert_eq!(pace.of_request(), 0);
        pace.measure(PART, PART as f64 * 1e-8);
        assert!((9_999..=10_001).contains(&pace.of_request()));
        assert!((seconds_per_byte(10_000) - 1e-8).abs() < 1e-12);
        let mut pace = Pace::default();
        (0..BYTES_AT_ONCE / SHORTEST).for_each(|_| pace.measure(SHORTEST, SHORTEST as f64 * 1e-8));
        assert!(pace.of_request() > 0, "just long enough, all of them");
    }

    #[test]
    fn it_follows_the_link_and_one_block_in_sixty_four_is_to_come_as_it_is() {
        let mut pace = Pace::default();
        (0..2).for_each(|_| pace.measure(PART, PART as f64 * 1e-8));
        (0..50).for_each(|_| pace.measure(PART, PART as f64 * 1e-6));
        let said: Vec<u32> = (0..640).map(|_| pace.of_request()).collect();
        assert_eq!(said.iter().filter(|said| **said == 0).count(), 10);
        assert!(said.iter().all(|said| *said == 0 || (980_000..=1_000_000).contains(said)), "{said:?}");
        (0..200).for_each(|_| pace.measure(PART, 1e9));
        assert_eq!(pace.of_request(), u32::MAX, "as slow as can be said");
    }
}
