use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{JoinHandle, sleep};

use tidings_hub::panic_message;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use super::http2::Requests;
use super::mailbox::Mailbox;
use super::parked_connections::Returned;
use super::shard::Shard;
use super::websocket::Messages;
use crate::defaults;
use crate::delivery::context::Context;

/// Runs a shard in a thread of its own, and begins it anew where it ends and should not have.
///
/// What it had is closed then, so that its readers come back with their cursors instead of waiting for ever; and the hub
/// is not ready from then on, so that somebody looks into it. Whoever is parked meanwhile waits in its mailbox.
#[derive(Debug)]
pub(super) struct Keeper {
    name: String,
    context: Context,
    service: Option<Arc<dyn Requests>>,
    messages: Arc<dyn Messages>,
    mailbox: Arc<Mailbox>,
    runtime: Handle,
    returned: UnboundedSender<Returned>,
}

// === impl Keeper ===

impl Keeper {
    pub(super) fn start(
        name: String,
        context: &Context,
        service: Option<&Arc<dyn Requests>>,
        messages: &Arc<dyn Messages>,
        mailbox: &Arc<Mailbox>,
        runtime: &Handle,
        returned: &UnboundedSender<Returned>,
    ) -> io::Result<JoinHandle<()>> {
        let own = Self {
            name: name.clone(),
            context: context.clone(),
            service: service.cloned(),
            messages: Arc::clone(messages),
            mailbox: Arc::clone(mailbox),
            runtime: runtime.clone(),
            returned: returned.clone(),
        };
        let shard = own.shard()?;
        context.hub.supervisor().spawn(name, move || {
            own.run(shard);
            Ok::<_, Infallible>(())
        })
    }

    fn shard(&self) -> io::Result<Shard> {
        let Self { context, service, messages, mailbox, runtime, returned, .. } = self;
        Shard::new(
            context.clone(),
            service.clone(),
            Arc::clone(messages),
            Arc::clone(mailbox),
            runtime.clone(),
            returned.clone(),
        )
    }

    fn run(&self, mut shard: Shard) {
        loop {
            let ran = catch_unwind(AssertUnwindSafe(|| shard.run()));
            let reason = match ran {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("failed to wait for its connections: {error}"),
                Err(panic) => format!("it panicked: {}", panic_message(&*panic)),
            };
            self.mailbox.set_alive(false);
            // Whatever broke it may break what it has, too.
            if catch_unwind(AssertUnwindSafe(move || drop(shard))).is_err() {
                tracing::error!(
                    thread = self.name,
                    "failed to close what a thread of parked connections had"
                );
            }
            self.mailbox.forget_entries();
            self.context.hub.supervisor().report(&self.name, reason);
            let Some(next) = self.next() else { return };
            shard = next;
            self.mailbox.set_alive(true);
        }
    }

    /// The next shard; none where the hub ends.
    fn next(&self) -> Option<Shard> {
        loop {
            sleep(defaults::SHARD_PAUSE);
            if self.mailbox.is_stopping() {
                return None;
            }
            match self.shard() {
                Ok(shard) => return Some(shard),
                Err(error) => {
                    tracing::error!(thread = self.name, %error, "failed to begin a thread of parked connections anew");
                }
            }
        }
    }
}
