//! Chromium's own `EventSource`.

use crate::clients::{TYPES, keeps_its_place_and_ends_with_the_topic, resumes_after_restarts};
use crate::support::{Script, tools};

fn launch(url: &str) -> Option<Script> {
    let chromium = tools::program(&["chromium", "chromium-browser"])?;
    let mut command = tools::node("chromium.mjs", "playwright-core")?;
    command.arg(chromium).arg(url).args(TYPES);
    Some(Script::start(command))
}

#[tokio::test]
async fn chromium_resumes_after_restarts() {
    resumes_after_restarts(launch).await;
}

#[tokio::test]
async fn chromium_keeps_its_place_and_ends_with_the_topic() {
    keeps_its_place_and_ends_with_the_topic(launch).await;
}
