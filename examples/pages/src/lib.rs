//! What the pages of the examples share: a style sheet, the client for browsers, and how they are served.

use std::io::{self, Write as _};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::Html;
use axum::routing::get;
use tidings::Api;
use tokio::net::TcpListener;

/// A page at `/`, and the hub under `/push`.
pub fn app(api: &Api, page: &'static str) -> Router {
    let text = |media_type, text: &'static str| get(async move || ([(CONTENT_TYPE, media_type)], text));
    Router::new()
        .route("/", get(async move || Html(page)))
        .route("/icon.svg", text("image/svg+xml", include_str!("../icon.svg")))
        .route("/style.css", text("text/css; charset=utf-8", include_str!("../style.css")))
        // `console/build` makes it from clients/typescript.
        .route("/tidings.js", text("text/javascript; charset=utf-8", include_str!("../tidings.js")))
        .nest("/push", api.router())
}

/// Serves a program's pages on an address, and says where.
///
/// # Errors
/// As the system says.
pub async fn serve(app: Router, address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    writeln!(io::stdout(), "open http://{}", listener.local_addr()?)?;
    axum::serve(listener, app).await
}
