/// A block of an event stream, by its fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) retry: Option<u64>,
    pub(crate) id: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) topic: Option<String>,
    pub(crate) data: Option<String>,
    pub(crate) is_comment: bool,
}

// === impl Block ===

impl Block {
    /// Reads the text of a block, up to and including its blank line.
    pub(crate) fn new(text: &str) -> Self {
        let mut block = Self::default();
        for line in text.strip_suffix("\n\n").unwrap().split('\n') {
            let (name, value) = line.split_once(':').unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match name {
                "" => block.is_comment = true,
                "retry" => block.retry = Some(value.parse().unwrap()),
                "id" => block.id = Some(value),
                "event" => block.event = Some(value),
                "topic" => block.topic = Some(value),
                "data" => {
                    block.data = Some(match block.data.take() {
                        Some(before) => before + "\n" + &value,
                        None => value,
                    });
                }
                other => panic!("a field that the protocol does not have: {other}"),
            }
        }
        block
    }

    /// Whether it is an event that somebody published.
    pub(crate) fn is_published(&self) -> bool {
        let own = self.event.as_ref().is_some_and(|event| event.starts_with("tidings."));
        self.data.is_some() && !own
    }
}
