//! The page as it is served, beside the API of a hub.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tidings_http::{Api, HttpConfig};
use tidings_hub::{Hub, HubConfig};
use tidings_log::{MemoryLog, Retention};
use tower::ServiceExt as _;

fn api() -> Router {
    let log = MemoryLog::new(Retention::default(), Duration::from_secs(60));
    let hub = Hub::new(Arc::new(log), HubConfig::default());
    Api::builder(hub, HttpConfig::default()).open_to_everyone().build().router()
}

async fn ask(app: &Router, request: http::request::Builder) -> Response<Body> {
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn the_page_names_files_that_are_there() {
    let app = api().merge(tidings_console::router());
    let page = ask(&app, Request::get("/")).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    let page = text(page).await;
    let names = page.split(['"', '\'']).filter_map(|part| part.strip_prefix("./")).collect::<Vec<_>>();
    assert_eq!(names.len(), 3, "{page}");
    for name in names {
        let file = ask(&app, Request::get(format!("/{name}"))).await;
        assert_eq!(file.status(), StatusCode::OK, "{name}");
        let media_type = match name.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(file.headers()[CONTENT_TYPE], media_type);
        assert!(!text(file).await.is_empty(), "{name}");
    }
    assert!(
        !page.contains("style=") && !page.contains("<style"),
        "the policy lets no style in the page count"
    );
}

#[tokio::test]
async fn every_file_is_served_with_a_strict_policy_and_asked_for_again() {
    let app = tidings_console::router();
    for path in ["/", "/console.js", "/console.css", "/console.svg"] {
        let response = ask(&app, Request::get(path)).await;
        let headers = response.headers();
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        for part in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"));
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers[CACHE_CONTROL], "no-cache");
        let tag = headers[ETAG].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
            let again = ask(&app, Request::get(path).header(IF_NONE_MATCH, known)).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(again.headers()[ETAG], tag.as_str());
            assert_eq!(text(again).await, "");
        }
        let other = ask(&app, Request::get(path).header(IF_NONE_MATCH, "\"other\"")).await;
        assert_eq!(other.status(), StatusCode::OK);
        assert_eq!(text(ask(&app, Request::head(path)).await).await, "");
        let posted = ask(&app, Request::post(path)).await;
        assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(posted.headers()[ALLOW], "GET, HEAD");
        assert_eq!(posted.headers()[CONTENT_TYPE], "application/problem+json");
        assert!(text(posted).await.contains("\"urn:tidings:method-not-allowed\""));
    }
}

#[tokio::test]
async fn it_stands_beside_the_face_under_any_prefix() {
    let app = Router::new().nest("/push/", api().merge(tidings_console::router()));
    for (path, status) in
        [("/push/", 200), ("/push/console.js", 200), ("/push/topics", 200), ("/push/metrics", 200)]
    {
        assert_eq!(ask(&app, Request::get(path)).await.status(), status, "{path}");
    }
    // What neither of them knows is the API's to answer.
    let nowhere = ask(&app, Request::get("/push/nowhere")).await;
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    assert_eq!(nowhere.headers()[CONTENT_TYPE], "application/problem+json");
}

/// What comes over the network once, with the heads left out.
#[test]
fn the_page_is_small() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/files");
    let size: u64 =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 120_000, "the console has grown to {size} bytes");
}
