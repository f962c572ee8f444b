use http::request::Parts;
use tidings_protocol::{Selector, Start};

use crate::accept::Form;
use crate::metrics::Transport;
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
    let transport = match form {
        Form::Page if options.wait.is_zero() => Transport::Poll,
        Form::Page => Transport::LongPoll,
        Form::Stream => Transport::Stream,
        Form::Lines => Transport::Lines,
    };
    if matches!(options.start, Some(Start::Cursor(_) | Start::Foreign(_))) {
        face.metrics.deliveries(transport).reconnect();
    }
    let subscription = face.hub.subscribe(selection, start).await?;
    let mut response = match form {
        Form::Page => poll::answer(face, parts, subscription, &options).await?,
        Form::Stream | Form::Lines => stream::answer(face, parts, form, subscription, &options, returning),
    };
    // For the access log.
    response.extensions_mut().insert(transport);
    Ok(response)
}
