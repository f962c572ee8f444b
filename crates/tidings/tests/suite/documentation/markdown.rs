/// A block of code in a page.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) language: &'a str,
    /// Where it begins in the page.
    pub(super) line: usize,
    pub(super) text: String,
    /// What somebody does elsewhere while the block's command waits, in a comment before it.
    pub(super) meanwhile: Option<&'a str>,
}

const FENCE: &str = "```";

/// The blocks of code of a page, in order.
pub(super) fn blocks(page: &str) -> Vec<Block<'_>> {
    let (mut blocks, mut open, mut meanwhile) = (Vec::new(), None::<Block<'_>>, None);
    for (number, line) in (1..).zip(page.lines()) {
        match (&mut open, line.strip_prefix(FENCE)) {
            (None, Some(language)) => {
                open =
                    Some(Block { language, line: number, text: String::new(), meanwhile: meanwhile.take() });
            }
            (None, None) if !line.is_empty() => {
                let comment =
                    line.strip_prefix("<!-- meanwhile: ").and_then(|rest| rest.strip_suffix(" -->"));
                meanwhile = comment;
            }
            (None, None) => {}
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a block does not end");
    blocks
}
