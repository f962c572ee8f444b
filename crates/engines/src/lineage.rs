//! The epochs of a log as engines keep them: the present one, and the last place of each before, with blanks between.

use tidings_protocol::{Cursor, Epoch, Lineage, Sequence};

/// The epochs as text.
#[must_use]
pub fn write_lineage(lineage: &Lineage) -> String {
    lineage.past().iter().fold(lineage.present().to_string(), |text, end| format!("{text} {end}"))
}

/// The epochs of a log whose present one is known. What was written for another present epoch, by a hub that knew more or
/// less, says nothing.
#[must_use]
pub fn read_lineage(text: &str, present: Epoch) -> Lineage {
    let mut words = text.split_ascii_whitespace();
    let is_current = words.next().and_then(|word| word.parse().ok()) == Some(present);
    let past: Option<Vec<Cursor>> = words.map(|word| word.parse().ok()).collect();
    match past.filter(|_| is_current) {
        Some(past) => Lineage::new(past, present),
        None => Lineage::of(present),
    }
}

/// The log in a new epoch, after a loss. Where it is not known up to where it is the same as before, it begins anew.
#[must_use]
pub fn after_loss(lineage: &Lineage, epoch: Epoch, common: Option<Sequence>) -> Lineage {
    common.map_or_else(|| Lineage::of(epoch), |common| lineage.renewed(epoch, common))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lineage_is_read_as_it_was_written_and_for_its_epoch_only() {
        let lineage = Lineage::of("first1".parse().unwrap());
        let epoch = |text: &str| text.parse::<Epoch>().unwrap();
        let lineage = after_loss(&lineage, epoch("second"), Some(10));
        let lineage = after_loss(&lineage, epoch("third3"), Some(25));
        assert_eq!(write_lineage(&lineage), "third3 first1-10 second-25");
        assert_eq!(read_lineage("third3 first1-10 second-25", epoch("third3")), lineage);
        for other in ["", "fourth first1-10", "third3 first1-x", "third3"] {
            assert_eq!(read_lineage(other, epoch("third3")), Lineage::of(epoch("third3")), "{other}");
        }
        assert_eq!(after_loss(&lineage, epoch("fourth"), None), Lineage::of(epoch("fourth")));
    }
}
