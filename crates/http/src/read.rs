use http::request::Parts;
use tidings_protocol::{Selector, Start};

use crate::accept::Form;
use crate::problem::Answer;
use crate::query::{Query, ReadOptions};
use crate::{Face, poll, stream};

/// `GET /topics/{selector}` and `GET /events` (§3): whichever form the reader accepts.
pub(crate) async fn answer(face: &Face, parts: &Parts, selectors: Vec<Selector>) -> Answer {
    let form = Form::negotiate(&parts.headers)?;
    let options = ReadOptions::new(&Query::new(parts.uri.query()), &parts.headers)?;
    let selection = options.selection(selectors);
    let long = form != Form::Page || !options.wait.is_zero();
    let start = options.start.clone().unwrap_or(if long { Start::Latest } else { Start::Earliest });
    // Whether it names the place itself, and so may be told that nothing will ever follow it.
    let returning = matches!(options.start, Some(Start::Cursor(_)));
    let subscription = face.hub.subscribe(selection, start).await?;
    match form {
        Form::Page => poll::answer(face, parts, subscription, &options).await,
        Form::Stream | Form::Lines => {
            Ok(stream::answer(face, parts, form, subscription, &options, returning))
        }
    }
}
