//! The console of a Tidings hub: a page that shows the hub at work. Its files are part of the program; their
//! sources are in the folder `console` of the repository, and `console/build` makes them.
//!
//! The page asks the hub for what it shows by paths that are relative to its own, so it stands wherever the hub's
//! API stands. Under a prefix, nest both with a slash at its end:
//!
//! ```
//! fn push(api: &tidings_http::Api) -> axum::Router {
//!     axum::Router::new().nest("/push/", api.router().merge(tidings_console::router()))
//! }
//! ```

mod file;

use axum::Router;

use self::file::File;

const FILES: [(&str, File); 4] = [
    ("/", File::new("text/html; charset=utf-8", include_bytes!("../files/index.html"))),
    ("/console.js", File::new("text/javascript; charset=utf-8", include_bytes!("../files/console.js"))),
    ("/console.css", File::new("text/css; charset=utf-8", include_bytes!("../files/console.css"))),
    ("/console.svg", File::new("image/svg+xml", include_bytes!("../files/console.svg"))),
];

/// The page at `/`, and what belongs to it. It has no fallback, so that it merges with any router.
pub fn router() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (path, file)| router.route(path, file.route()))
}
