//! The npm package `eventsource`.

use crate::clients::{TYPES, keeps_its_place_and_ends_with_the_topic, resumes_after_restarts};
use crate::support::{Script, tools};

fn launch(url: &str) -> Option<Script> {
    let mut command = tools::node("eventsource.mjs", "eventsource")?;
    command.arg(url).args(TYPES);
    Some(Script::start(command))
}

#[tokio::test]
async fn eventsource_resumes_after_restarts() {
    resumes_after_restarts(launch).await;
}

#[tokio::test]
async fn eventsource_keeps_its_place_and_ends_with_the_topic() {
    keeps_its_place_and_ends_with_the_topic(launch).await;
}
