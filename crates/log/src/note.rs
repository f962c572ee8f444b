/// What a hub leaves for the others of its log ([`Log::put_notes`](crate::Log::put_notes)): a short text under a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Its name: letters, digits and dots.
    pub name: String,
    /// What it says. A note that says nothing is removed.
    pub text: String,
}
