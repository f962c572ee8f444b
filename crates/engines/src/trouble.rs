use std::time::Instant;

use crate::EngineError;

/// How many reasons are told before the engine is well again. It may give a new one each time it is tried.
const REASONS: usize = 16;

/// What is wrong with an engine.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// It is not there.
    pub(crate) away: bool,
    /// It is there, and takes no writes.
    pub(crate) refuses: bool,
    /// When it last had no room for a batch.
    pub(crate) full: Option<Instant>,
    /// Why the present attachment is doubted.
    pub(crate) doubt: Option<EngineError>,
    /// The reasons that were told.
    told: Vec<String>,
}

// === impl Trouble ===

impl Trouble {
    /// Whether a reason is to be told: each is once, as the engine is tried again every few moments.
    pub(crate) fn is_news(&mut self, reason: &str) -> bool {
        if self.told.len() >= REASONS || self.told.iter().any(|told| told == reason) {
            return false;
        }
        self.told.push(reason.to_owned());
        true
    }

    /// All is well again. Gives whether somebody was told that it was not.
    pub(crate) fn is_over(&mut self) -> bool {
        let told = std::mem::take(&mut self.told);
        !told.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_told_once_until_all_is_well() {
        let mut trouble = Trouble::default();
        assert!(!trouble.is_over());
        for _ in 0..2 {
            assert!(trouble.is_news("one"));
            assert!(trouble.is_news("other"));
            assert!(!trouble.is_news("one"));
            assert!(trouble.is_over());
        }
    }

    #[test]
    fn reasons_that_are_always_new_come_to_an_end() {
        let mut trouble = Trouble::default();
        let told = (0..1_000).filter(|number| trouble.is_news(&number.to_string())).count();
        assert_eq!(told, REASONS);
    }
}
