//! PyPI's `httpx-sse`.

use crate::clients::{keeps_its_place_and_ends_with_the_topic, resumes_after_restarts};
use crate::support::{Script, tools};

fn launch(url: &str) -> Option<Script> {
    let mut command = tools::python("httpx_sse_client.py")?;
    command.arg(url);
    Some(Script::start(command))
}

fn launch_http2(url: &str) -> Option<Script> {
    let mut command = tools::python("httpx_sse_client.py")?;
    command.arg(url).arg("--http2");
    Some(Script::start(command))
}

#[tokio::test]
async fn httpx_sse_resumes_after_restarts() {
    resumes_after_restarts(launch).await;
}

#[tokio::test]
async fn httpx_sse_resumes_after_restarts_over_http2() {
    resumes_after_restarts(launch_http2).await;
}

#[tokio::test]
async fn httpx_sse_keeps_its_place_and_ends_with_the_topic() {
    keeps_its_place_and_ends_with_the_topic(launch).await;
}
