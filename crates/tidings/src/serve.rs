//! `tidings serve`: runs a hub.

pub(crate) mod help;

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tidings_engine::EngineConfig;
use tidings_http::{Api, Auth, Server, defaults};
use tidings_hub::Hub;
use tidings_log::{DiskConfig, DiskLog, Log, MemoryLog};
use tidings_mercure::Mercure;
use tidings_relay::Relays;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::activation;
use crate::engine;
use crate::environment;
use crate::failure::WrongArguments;
use crate::heap;
use crate::listening;
use crate::logging;
use crate::open_files;
use crate::settings::Settings;
use crate::signals::Signals;
use crate::stderr;
use crate::value::LogPlace;

/// What `tidings serve` is told.
#[derive(Debug, Args)]
#[command(
    after_help = "Every setting is also an environment variable (`--retain-age` is TIDINGS_RETAIN_AGE) and a key of \
    the file (`retain-age = \"7d\"`). A flag wins over the environment, and that over the file.\n\n\
    Exit codes: 0 shut down by SIGTERM or SIGINT; 1 failed; 2 wrong arguments or settings."
)]
pub(crate) struct Arguments {
    /// A TOML file with settings
    #[arg(long, env = "TIDINGS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Serve no console; the same as `--console=false`
    #[arg(long, conflicts_with = "console")]
    no_console: bool,

    /// End when the process that started this one does
    #[cfg(target_os = "linux")]
    #[arg(long, hide = true)]
    end_with_parent: bool,

    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    #[cfg(target_os = "linux")]
    if arguments.end_with_parent {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let file = arguments.config.as_deref().map(Settings::from_file).transpose()?;
    let mut settings = arguments.settings.or(file.unwrap_or_default());
    if arguments.no_console {
        settings.console = Some(false);
    }
    // Before the hub has a log, so that a mistake is told as the others are.
    let (auth, relays) = (settings.auth.auth()?, settings.relays()?);
    let mercure = settings.mercure(auth.as_ref())?;
    // Who may use the hub was said then: Mercure's publishers and subscribers, and nobody else.
    let auth = auth.or_else(|| mercure.is_some().then(Auth::closed));
    let announcement = |urls: &[String]| format!("tidings listening on {}", urls.join(" "));
    start(Plan { settings, auth, relays, mercure, sockets: activation::sockets()?, announcement })
}

/// What is served, and how that is announced, given the hub's addresses.
pub(crate) struct Plan<F> {
    pub(crate) settings: Settings,
    /// Who may do what; `None`, where nothing says so.
    pub(crate) auth: Option<Auth>,
    pub(crate) relays: Relays,
    pub(crate) mercure: Option<Mercure>,
    pub(crate) sockets: Vec<std::net::TcpListener>,
    pub(crate) announcement: F,
}

/// Serves until the process is asked to end.
pub(crate) fn start(
    plan: Plan<impl FnOnce(&[String]) -> String + Send + 'static>,
) -> Result<(), Box<dyn Error>> {
    let settings = &plan.settings;
    let endpoint = settings.otlp_endpoint.as_deref();
    // Held until the end: what is left of traces is sent then.
    let _traces = logging::start(settings.log_level(), settings.log_json.unwrap_or(false), endpoint)?;
    allow_open_files();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        // On a worker: from outside of them, every connection would be handed over to one.
        let served = tokio::spawn(serve(plan)).await?;
        served.map_err(|error| error as Box<dyn Error>)
    })
}

async fn serve(plan: Plan<impl FnOnce(&[String]) -> String>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Plan { settings, auth, relays, mercure, sockets, announcement } = plan;
    let mut signals = Signals::listen();
    for warning in environment::warnings() {
        tracing::warn!("{warning}");
    }
    let (hub_config, mut http_config) = (settings.hub()?, settings.http()?);
    let stream_lease = settings.stream_lease()?;
    http_config.max_connections = http_config.max_connections.min(connections_with_files());
    let tls = settings.tls.open()?;
    signals.renew(tls.clone());
    let listeners = listen(&settings, sockets).await?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    if auth.is_none() {
        if let Some(address) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            return Err(WrongArguments::new(format!(
                "failed to listen on {address}: nothing says who may publish and read there; name a key that tokens are \
                 signed with (`--auth-hs256-secret-file FILE`, `--auth-public-key-file FILE` or `--auth-jwks-url URL`), or \
                 what needs no token (`--auth-anonymous-publish '**' --auth-anonymous-subscribe '**'` is everything)"
            ))
            .into());
        }
        if http_config.trusted_proxies.is_empty() {
            tracing::info!("everyone on this machine may publish and read; no key for tokens is set");
        } else {
            tracing::warn!(
                "every request is refused: `trusted-proxies` is set, and nothing says who may publish and read; set a key \
                 that tokens are signed with, or what needs no token (`[auth.anonymous]`)"
            );
        }
    }

    let cors = http_config.cors.clone();
    let (waiting, reason) = watch::channel(String::new());
    // Where that is all there is to wait for, as at a restart, whoever connects waits and is not turned away.
    let answering = async {
        sleep(defaults::OPENING_GRACE).await;
        tidings_http::answer_while_opening(&listeners, tls.as_ref(), &cors, reason).await;
    };
    let log = tokio::select! {
        log = open(&settings, waiting) => log?,
        () = answering => return Ok(()),
        () = signals.end() => return Ok(()),
    };
    let bounds = log.bounds();
    tracing::info!(
        log = %settings.log(),
        epoch = %bounds.epoch(),
        earliest = bounds.earliest,
        latest = bounds.latest,
        "opened the log"
    );
    let hub = Hub::new(log, hub_config);
    if let LogPlace::Disk(folder) = settings.log()
        && let Err(error) = hub.remember_streams(&folder.join(STREAMS))
    {
        tracing::warn!(%error, "failed to read which streams were under way: their topics stay open");
    }
    hub.share_streams(stream_lease);
    let open = auth.is_none();
    let auth = auth.unwrap_or_else(Auth::open_to_this_machine);
    let builder =
        Api::builder(hub.clone(), http_config).auth(auth.clone()).dropped_log_lines(stderr::dropped_lines);
    let api = relays.allow(builder).build();
    // Both end with this function.
    let mut chores = JoinSet::new();
    if !open {
        chores.spawn(async move { auth.warm().await });
    }
    chores.spawn(warm(hub.clone()));
    chores.spawn(heap::tidy(api.clone()));
    let mut server = Server::new(api.clone(), listeners).and_routes(relays.router(&api));
    if let Some(mercure) = mercure {
        server = server.and_routes(mercure.router(&api));
        chores.spawn(warm_mercure(mercure, hub.clone()));
    }
    if settings.console.unwrap_or(true) {
        server = server.and_routes(tidings_console::router());
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    if let Some(tls) = tls {
        server = server.tls(tls, settings.tls.cleartext());
    }
    let urls: Vec<_> = addresses.iter().map(|address| format!("{scheme}://{address}")).collect();
    announce(announcement(&urls));
    activation::notify("READY=1");

    server.serve(signals.end()).await.map_err(|error| format!("failed to serve: {error}"))?;
    chores.shutdown().await;
    relays.close().await;
    hub.close().await.map_err(|error| format!("failed to close the log cleanly: {error}"))?;
    tracing::info!("shut down");
    Ok(())
}

/// The sockets to listen on: those that were handed over, or else one of its own.
async fn listen(
    settings: &Settings,
    sockets: Vec<std::net::TcpListener>,
) -> Result<Vec<TcpListener>, Box<dyn Error + Send + Sync>> {
    if sockets.is_empty() {
        return Ok(vec![listening::listen(settings.listen()).await?]);
    }
    tracing::info!(sockets = sockets.len(), "listening on what the service manager handed over");
    let listeners = sockets.into_iter().map(|socket| {
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket)
    });
    Ok(listeners.collect::<Result<_, _>>()?)
}

/// Opens the log. An engine may be long in coming.
async fn open(
    settings: &Settings,
    waiting: watch::Sender<String>,
) -> Result<Arc<dyn Log>, Box<dyn Error + Send + Sync>> {
    let (retention, window) = (settings.retention()?, settings.idempotency_window());
    match settings.log() {
        LogPlace::Memory => Ok(Arc::new(MemoryLog::new(retention, window))),
        LogPlace::Disk(folder) => {
            let durability = settings.durability.unwrap_or_default().into();
            let config =
                DiskConfig { retention, idempotency_window: window, durability, ..DiskConfig::default() };
            let log = DiskLog::open(&folder, config)
                .map_err(|error| format!("failed to open the log in {}: {error}", folder.display()))?;
            Ok(Arc::new(log))
        }
        LogPlace::Engine(url) => {
            let config = EngineConfig { retention, idempotency_window: window };
            let engine = url.engine(config).map_err(|error| format!("failed to set `log`: {error}"))?;
            engine::open(engine, config, waiting).await
        }
    }
}

async fn warm(hub: Hub) {
    if let Err(error) = hub.warm().await {
        tracing::warn!(%error, "failed to read the newest events into memory");
    }
}

async fn warm_mercure(mercure: Mercure, hub: Hub) {
    if let Err(error) = mercure.warm(&hub).await {
        tracing::warn!(%error, "failed to read the ids of Mercure's updates");
    }
}

/// Writes the one line on standard output, which scripts wait for. The hub waits for nobody to take it.
fn announce(line: String) {
    let write = move || {
        let mut out = std::io::stdout().lock();
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            tracing::warn!(%error, "failed to write to standard output: {line}");
        }
    };
    if let Err(error) = std::thread::Builder::new().name("tidings-stdout".into()).spawn(write) {
        tracing::warn!(%error, "failed to write to standard output");
    }
}

fn allow_open_files() {
    if let Err(error) = open_files::allow() {
        tracing::warn!(%error, "failed to raise the limit on open files");
    }
}

/// The file in the folder of a log that says which streams are under way.
const STREAMS: &str = "streams";

/// Files that are kept for the log and for what else the hub opens: its segments, the sealed ones that are read, an engine.
const FILES_KEPT: usize = 128;

/// How many connections leave the log the files that it opens: without them it could not begin its next segment, and
/// whoever connects often enough would end the publishing.
fn connections_with_files() -> usize {
    let Some(files) = open_files::allowed() else { return usize::MAX };
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    files - FILES_KEPT.min(files / 2)
}
