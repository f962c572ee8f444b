use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::carrier::SocketTask;
use super::{NewSocket, SocketArrival, Told};
use crate::api::problem::Refusal;
use crate::delivery::parking::body::body;
use crate::delivery::parking::sink::Link;
use crate::{Api, defaults};

/// Serves a WebSocket on a connection of another program, once that program has let go of it. It cannot be parked, so a task
/// carries its bytes to a shard and back; all else is as on the hub's own connections. `guard` is kept for as long.
pub(crate) fn serve_mounted(
    api: &Api,
    upgrade: OnUpgrade,
    socket: NewSocket,
    guard: impl Send + 'static,
) -> Result<(), Refusal> {
    let parked = api.parked()?;
    let write_timeout = api.config.write_timeout;
    tokio::spawn(async move {
        let _guard = guard;
        let io = match upgrade.await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => return tracing::debug!(%error, "a connection did not become a WebSocket"),
        };
        let credit = Arc::new(Semaphore::new(0));
        let (sink, events) = body(socket.session.client.clone(), ());
        let gone = CancellationToken::new();
        let task = SocketTask { sink, credit: Arc::clone(&credit), _gone: gone.clone().drop_guard() };
        let link = Link::Task(Box::new(task));
        parked.open(SocketArrival { link, socket, head: Vec::new(), unread: Bytes::new(), permit: None });
        // The connections are not kept by what waits on them.
        drop(parked);
        let handle = events.handle();
        let (mut reader, mut writer) = tokio::io::split(io);
        let write = async {
            let mut events = std::pin::pin!(events);
            while let Some(frame) = events.frame().await {
                let frame = frame.map_err(io::Error::other)?;
                if let Ok(data) = frame.into_data() {
                    writer.write_all(&data).await?;
                    writer.flush().await?;
                }
            }
            writer.shutdown().await
        };
        let read = async {
            let mut buffer = vec![0; defaults::SOCKET_PIECE_BYTES];
            let most = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
            // The first credit comes from the shard, so from then on it can be told.
            while let Ok(permits) = credit.acquire_many(most).await {
                let received = tokio::select! {
                    // Its client may neither take nor send anything.
                    () = gone.cancelled() => break,
                    received = reader.read(&mut buffer) => received,
                };
                match received {
                    Ok(count @ 1..) => {
                        permits.forget();
                        credit.add_permits(buffer.len() - count);
                        handle.tell(Told::Received(Bytes::copy_from_slice(&buffer[..count])));
                    }
                    Ok(_) | Err(_) => {
                        handle.tell(Told::Ended);
                        credit.close();
                        return true;
                    }
                }
            }
            false
        };
        let mut write = std::pin::pin!(write);
        let (ended, has_left) = {
            let mut read = std::pin::pin!(read);
            tokio::select! {
                ended = &mut write => (ended, false),
                has_left = &mut read => {
                    // What was said last is still sent.
                    let patience = match has_left {
                        true => defaults::SOCKET_LINGER,
                        false if handle.is_finished() => write_timeout,
                        false => Duration::ZERO,
                    };
                    (timeout(patience, write).await.unwrap_or(Ok(())), has_left)
                }
            }
        };
        if ended.is_ok() && !has_left {
            // Closed under what its client still sends, its system would throw away what it was told.
            let mut buffer = vec![0; defaults::SOCKET_PIECE_BYTES];
            let rest = async { while reader.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
            let _ = timeout(defaults::SOCKET_LINGER, rest).await;
        }
        if let Err(error) = ended {
            tracing::debug!(%error, "a WebSocket ended with an error");
        }
    });
    Ok(())
}

/// The client of a socket has gone, or is sent away.
impl Drop for SocketTask {
    fn drop(&mut self) {
        self.credit.close();
    }
}
