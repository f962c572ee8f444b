//! Flow control (RFC 9113 §5.2, §6.9).

/// The largest window (RFC 9113 §6.9.1).
pub(crate) const MAX_WINDOW: u32 = (1 << 31) - 1;

/// What may be sent; less than nothing, where settings have made it smaller than what is on its way (RFC 9113 §6.9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SendWindow(i32);

/// What the client may send, and what it may be told that it may send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReceiveWindow {
    open: i32,
    /// What has come and was used, of which the client does not know.
    credit: u32,
}

/// A window is larger than any may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflow;

// === impl SendWindow ===

impl SendWindow {
    pub(crate) fn new(size: u32) -> Self {
        Self(i32::try_from(size).unwrap_or(i32::MAX))
    }

    /// What may be sent now.
    pub(crate) fn open(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// So many bytes are sent, no more than may be.
    pub(crate) fn take(&mut self, count: usize) {
        self.0 = self.0.saturating_sub(i32::try_from(count).unwrap_or(i32::MAX));
    }

    /// Opens it further, or closes it where the change is negative.
    pub(crate) fn change(&mut self, by: i64) -> Result<(), Overflow> {
        self.0 = i32::try_from(i64::from(self.0) + by).map_err(|_| Overflow)?;
        Ok(())
    }
}

// === impl ReceiveWindow ===

impl ReceiveWindow {
    pub(crate) fn new(size: u32) -> Self {
        Self { open: i32::try_from(size).unwrap_or(i32::MAX), credit: 0 }
    }

    /// So many bytes come; more than may come are an overflow.
    pub(crate) fn take(&mut self, count: usize) -> Result<(), Overflow> {
        let count = i32::try_from(count).map_err(|_| Overflow)?;
        if count > self.open {
            return Err(Overflow);
        }
        self.open -= count;
        Ok(())
    }

    /// Settings have changed it.
    pub(crate) fn change(&mut self, by: i64) {
        let open = i64::from(self.open) + by;
        self.open = i32::try_from(open).unwrap_or(if open < 0 { i32::MIN } else { i32::MAX });
    }

    /// So many bytes were used. Returns by how much the window is opened again, where that is worth a frame: half of
    /// its size.
    pub(crate) fn give_back(&mut self, count: usize, size: u32) -> Option<u32> {
        self.credit = self.credit.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        if self.credit == 0 || self.credit < size / 2 {
            return None;
        }
        let credit = std::mem::take(&mut self.credit);
        self.change(credit.into());
        Some(credit)
    }
}
