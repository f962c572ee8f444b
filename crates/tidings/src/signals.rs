//! The signals that a hub is sent: none of them ends it abruptly but those that are meant to.

use std::io::{self, IsTerminal as _};

use tidings_http::Tls;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::activation;

/// SIGTERM and SIGINT end a hub cleanly, SIGHUP renews its certificate, and what else would end a program by default is
/// ignored.
pub(crate) struct Signals {
    terminate: io::Result<Signal>,
    interrupt: io::Result<Signal>,
    hangup: io::Result<Signal>,
    users: [io::Result<Signal>; 2],
    /// A file has grown to `RLIMIT_FSIZE`. That this is listened for makes the write fail instead.
    _file_size: io::Result<Signal>,
    tls: Option<Tls>,
    /// Whether the log went to a terminal at the beginning.
    had_terminal: bool,
}

// === impl Signals ===

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> Self {
        Self {
            terminate: signal(SignalKind::terminate()),
            interrupt: signal(SignalKind::interrupt()),
            hangup: signal(SignalKind::hangup()),
            users: [SignalKind::user_defined1(), SignalKind::user_defined2()].map(signal),
            _file_size: signal(SignalKind::from_raw(libc::SIGXFSZ)),
            tls: None,
            had_terminal: io::stderr().is_terminal(),
        }
    }

    /// What SIGHUP renews.
    pub(crate) fn renew(&mut self, tls: Option<Tls>) {
        self.tls = tls;
    }

    /// Obeys signals until one says that the hub is to end.
    pub(crate) async fn end(&mut self) {
        let [user_1, user_2] = &mut self.users;
        let name = loop {
            tokio::select! {
                () = next(&mut self.terminate) => break "SIGTERM",
                () = next(&mut self.interrupt) => break "SIGINT",
                () = next(&mut self.hangup) => {
                    // A terminal that is closed takes the hub with it that was started there.
                    if self.had_terminal && !io::stderr().is_terminal() {
                        break "SIGHUP, as its terminal is gone";
                    }
                    renew(self.tls.clone()).await;
                }
                () = next(user_1) => ignored("SIGUSR1"),
                () = next(user_2) => ignored("SIGUSR2"),
            }
        };
        tracing::info!("shutting down on {name}");
        activation::notify("STOPPING=1");
    }
}

async fn next(signal: &mut io::Result<Signal>) {
    match signal {
        Ok(signal) => drop(signal.recv().await),
        Err(error) => {
            tracing::warn!(%error, "failed to listen for a signal");
            std::future::pending::<()>().await;
        }
    }
}

/// Reads the certificate again, which is all that can be read again.
async fn renew(tls: Option<Tls>) {
    let Some(tls) = tls else {
        tracing::info!("nothing to do on SIGHUP: it renews the certificate, and none is set");
        return;
    };
    match tokio::task::spawn_blocking(move || tls.reload()).await {
        Ok(Ok(())) => tracing::info!("read the certificate again on SIGHUP"),
        Ok(Err(error)) => {
            tracing::error!(%error, "kept the certificate on SIGHUP, as the new one is of no use");
        }
        Err(error) => tracing::error!(%error, "failed to read the certificate again"),
    }
}

fn ignored(name: &str) {
    tracing::info!("ignored {name}: it has no meaning for a hub");
}
