//! A hub that says when to come back is listened to.

use std::time::Duration;

use tidings_client::{Interruption, Transport};

use crate::support::{Script, client, next_interruption, next_texts, page, reply};

#[tokio::test]
async fn no_attempt_comes_before_the_time() {
    let server = Script::start(|request, mut socket| async move {
        match request.number {
            0 => reply(&mut socket, "429 Too Many Requests\nretry-after: 1", "").await,
            1 => reply(&mut socket, "503 Service Unavailable\nretry-after: 1", "").await,
            _ => page(&mut socket, &[1], 1).await,
        }
    })
    .await;
    let mut subscription =
        client(&server.url).subscribe(["a"]).transport(Transport::LongPoll).open().unwrap();
    let begun = std::time::Instant::now();
    for status in [429, 503] {
        let (reason, after) = next_interruption(&mut subscription).await;
        assert!(
            matches!(&reason, Interruption::Unavailable(problem) if problem.status == status),
            "{reason}"
        );
        assert!(after >= Duration::from_secs(1), "{after:?}");
    }
    assert_eq!(next_texts(&mut subscription, 1).await, ["1"]);
    assert!(begun.elapsed() >= Duration::from_secs(2));
}
