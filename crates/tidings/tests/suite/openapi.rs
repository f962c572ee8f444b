//! Schemathesis asks for everything that the OpenAPI description allows, and for much that it does not, and holds the
//! answers against it.

use crate::support::{Hub, tools, within};

#[tokio::test]
async fn the_hub_does_what_its_description_says() {
    let Some(mut command) = tools::python("openapi.py") else { return };
    // Small, so that limits are met; and nobody is held for long.
    let limits = ["--max-wait", "50ms", "--max-event-bytes", "64KiB", "--max-batch-bytes", "64KiB"];
    let hub = Hub::in_memory(&limits).await;
    command.arg(hub.url("")).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it has a limit").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("passed"), "{said}");
    assert_eq!(within("an answer", hub.get("/readyz")).await.status, 200);
}

/// It stops asking after 40 seconds by itself.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);
