use super::{
    HANDED_OUT, OPEN, a_reload_loses_nothing, clients_are_told_apart, long_polls_pass, nobody_is_let_in,
    own_pages_publish, status_from_elsewhere, streams_are_put_off, streams_pass, websockets_pass,
};
use crate::support::proxy::ProxySetup;
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
async fn site(hub: &Hub) -> Option<Proxy> {
    let address = hub.address();
    let site = move |place: &ProxySetup| {
        let site = include_str!("../../../../../deploy/nginx/tidings.conf");
        let text = site.replace("server 127.0.0.1:8080;", &format!("server {address};"));
        let text = text.replace("listen 80;", &format!("listen {};", place.listen));
        text.replace("/var/log/nginx/", &format!("{}/", place.folder.display()))
    };
    Proxy::nginx(site).await
}

#[tokio::test]
async fn the_site_for_nginx_is_closed_until_somebody_is_let_in() {
    for settings in [&["--config", HANDED_OUT][..], &[]] {
        let hub = Hub::in_memory(settings).await;
        let Some(proxy) = site(&hub).await else { return };
        nobody_is_let_in(&proxy).await;
    }
}

#[tokio::test]
async fn pages_behind_the_site_for_nginx_are_the_hubs_own() {
    let hub = Hub::in_memory(&OPEN).await;
    let Some(proxy) = site(&hub).await else { return };
    own_pages_publish(&proxy).await;
}

/// nginx writes the whole of a request into its own log of errors.
#[tokio::test]
async fn no_log_of_nginx_has_a_token_while_the_hub_is_away() {
    let mut hub = Hub::on_disk(&OPEN).await;
    let Some(proxy) = site(&hub).await else { return };
    assert_eq!(status_from_elsewhere(&proxy, "/topics/a?access_token=s3cret").await, 200);
    hub.kill().await;
    assert_eq!(status_from_elsewhere(&proxy, "/topics/a?access_token=s3cret").await, 502);
    let written = std::fs::read_dir(proxy.folder()).unwrap().map(|entry| entry.unwrap().path());
    let written: Vec<_> =
        written.filter_map(|path| Some((std::fs::read_to_string(&path).ok()?, path))).collect();
    assert!(
        written.iter().any(|(text, _)| text.contains("/topics/a") && text.contains(" 502 ")),
        "its status is told"
    );
    for (text, path) in written {
        assert!(!text.contains("s3cret"), "{}: {text}", path.display());
    }
}

#[tokio::test]
async fn the_site_for_nginx_puts_streams_off_while_the_hub_is_away() {
    let mut hub = Hub::on_disk(&OPEN).await;
    let Some(proxy) = site(&hub).await else { return };
    hub.kill().await;
    streams_are_put_off(&proxy, 502).await;
}

#[tokio::test]
async fn the_site_for_nginx_holds_nothing_back() {
    let hub = Hub::in_memory(&OPEN).await;
    let Some(proxy) = site(&hub).await else { return };
    streams_pass(&hub, &proxy).await;
    long_polls_pass(&hub, &proxy).await;
    websockets_pass(&hub, &proxy).await;
    clients_are_told_apart(&hub, &proxy).await;
    a_reload_loses_nothing(&proxy).await;
}

#[tokio::test]
async fn a_reload_of_nginx_loses_nothing() {
    let hub = Hub::in_memory(&[]).await;
    let Some(proxy) = plain(&hub).await else { return };
    a_reload_loses_nothing(&proxy).await;
}
