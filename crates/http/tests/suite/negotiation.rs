//! §3: `Accept` chooses the form.

use crate::support::{Request, Running};

#[tokio::test]
async fn accept_chooses_the_form() {
    let hub = Running::start().await;
    for (accept, form) in [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        ("text/event-stream", "text/event-stream"),
        ("Text/Event-Stream;charset=utf-8", "text/event-stream"),
        ("text/*", "text/event-stream"),
        ("text/event-stream, */*", "text/event-stream"),
        ("application/json;q=0.4, text/event-stream;q=0.5", "text/event-stream"),
        ("application/json, text/event-stream;q=0.9", "application/json"),
        ("text/event-stream;q=0, application/x-ndjson;q=0.1", "application/x-ndjson"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
    ] {
        for target in ["/topics/a", "/events?topic=a"] {
            let answer = hub.ask(Request::new("HEAD", target).accept(accept)).await;
            assert_eq!((answer.status(), answer.header("content-type")), (200, Some(form)), "{accept}");
            let vary = answer.header("vary").unwrap().to_ascii_lowercase();
            assert!(vary.contains("accept"));
        }
    }
    assert_eq!(hub.get("/topics/a").await.header("content-type"), Some("application/json"));
    let twice = Request::get("/topics/a").accept("text/html").accept("application/json");
    assert_eq!(hub.ask(twice).await.status(), 200);
}

#[tokio::test]
async fn what_accepts_none_of_the_forms_is_refused() {
    let hub = Running::start().await;
    for accept in ["text/html", "application/xml;q=1", "application/json;q=0", "*/*;q=0", "nonsense"] {
        for target in ["/topics/a", "/events?topic=a", "/topics/a?wait=60"] {
            let detail = hub.ask(Request::get(target).accept(accept)).await.problem(406, "not-acceptable");
            for form in ["application/json", "text/event-stream", "application/x-ndjson"] {
                assert!(detail.contains(form));
            }
        }
    }
}
