use super::{a_reload_loses_nothing, clients_are_told_apart, long_polls_pass, streams_pass};
use crate::support::proxy::Place;
use crate::support::{Hub, Proxy};

/// The least that makes nginx a proxy: everything else is as the package has it.
async fn plain(hub: &Hub) -> Option<Proxy> {
    let hub = hub.address();
    Proxy::nginx(move |place| {
        format!("server {{ listen {}; location / {{ proxy_pass http://{hub}; }} }}", place.listen)
    })
    .await
}

#[tokio::test]
async fn nginx_as_it_is_holds_nothing_back() {
    let hub = Hub::in_memory(&[]).await;
    let Some(proxy) = plain(&hub).await else { return };
    streams_pass(&hub, &proxy).await;
    long_polls_pass(&hub, &proxy).await;
}

/// The site that is handed out, on a port and with a hub of this test.
#[tokio::test]
async fn the_site_for_nginx_holds_nothing_back() {
    let hub =
        Hub::in_memory(&["--trusted-proxies", "127.0.0.1", "--log-level", "tidings::access=debug"]).await;
    let address = hub.address();
    let site = move |place: &Place| {
        let site = include_str!("../../../../../deploy/nginx/tidings.conf");
        let log = place.folder.join("tidings.log");
        let text = site.replace("server 127.0.0.1:8080;", &format!("server {address};"));
        let text = text.replace("listen 80;", &format!("listen {};", place.listen));
        text.replace("/var/log/nginx/tidings.log", &log.to_string_lossy())
    };
    let Some(proxy) = Proxy::nginx(site).await else { return };
    streams_pass(&hub, &proxy).await;
    long_polls_pass(&hub, &proxy).await;
    clients_are_told_apart(&hub, &proxy).await;
    a_reload_loses_nothing(&proxy).await;
}

#[tokio::test]
async fn a_reload_of_nginx_loses_nothing() {
    let hub = Hub::in_memory(&[]).await;
    let Some(proxy) = plain(&hub).await else { return };
    a_reload_loses_nothing(&proxy).await;
}
