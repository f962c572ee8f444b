use super::{a_reload_loses_nothing, long_polls_pass, streams_pass};
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

#[tokio::test]
async fn a_reload_of_nginx_loses_nothing() {
    let hub = Hub::in_memory(&[]).await;
    let Some(proxy) = plain(&hub).await else { return };
    a_reload_loses_nothing(&proxy).await;
}
