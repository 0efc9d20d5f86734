//! The bytes that one memory may hold, and those it has promised.

/// What is reserved under a limit. Bytes are reserved before they exist and released when they are gone.
///
/// Invariant: the bytes on their way out are part of those that are reserved.
pub(super) struct Ledger {
    limit: u64,
    reserved: u64,
    leaving: u64,
}

impl Ledger {
    pub fn new(limit: u64) -> Self {
        Ledger { limit, reserved: 0, leaving: 0 }
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn reserved(&self) -> u64 {
        self.reserved
    }

    pub fn leaving(&self) -> u64 {
        self.leaving
    }

    /// Reserved bytes without those on their way out.
    pub fn staying(&self) -> u64 {
        self.reserved - self.leaving
    }

    /// Do so many more fit now?
    pub fn fits(&self, bytes: u64) -> bool {
        self.reserved.saturating_add(bytes) <= self.limit
    }

    /// Do so many more fit when everything has left that is on its way out?
    pub fn will_fit(&self, bytes: u64) -> bool {
        self.staying().saturating_add(bytes) <= self.limit
    }

    pub fn reserve(&mut self, bytes: u64) {
        self.reserved += bytes;
    }

    pub fn release(&mut self, bytes: u64) {
        self.reserved -= bytes;
    }

    /// They are on their way out, and take memory until they have left.
    pub fn begin_leaving(&mut self, bytes: u64) {
        self.leaving += bytes;
    }

    pub fn has_left(&mut self, bytes: u64) {
        self.leaving -= bytes;
        self.reserved -= bytes;
    }

    /// For a new count.
    pub fn clear(&mut self) {
        self.reserved = 0;
        self.leaving = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_out_will_be_free() {
        let mut ledger = Ledger::new(10);
        ledger.reserve(8);
        ledger.begin_leaving(5);
        assert_eq!((ledger.reserved(), ledger.leaving(), ledger.staying()), (8, 5, 3));
        assert!(ledger.fits(2) && !ledger.fits(3));
        assert!(ledger.will_fit(7) && !ledger.will_fit(8));
        ledger.has_left(5);
        assert_eq!((ledger.reserved(), ledger.leaving(), ledger.staying()), (3, 0, 3));
    }
}
